//! Path walk: from a path to a dentry, in the kernel's order of steps and errors (`fs/namei.c`).
//!
//! Walking has effects: every component that is not cached yet is looked up, and lookups write.

use super::Model;
use super::clause::Clause;
use super::disk::Body;
use super::overlay::{Cache, DentryId};
use super::permission::EXEC;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// Longest path with its NUL (`PATH_MAX`).
const PATH_MAX: usize = 4096;
/// Most symlinks in one walk (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;
/// Most symlinks that a walk surely survives: where a mount elsewhere interrupts it, it begins again and
/// goes on counting (`filename_lookup` after ECHILD; `nd->total_link_count` is set once).
const SURE_LINKS: u32 = MAX_LINKS / 2;

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// An ordinary name; `slash` when one or more slashes follow it.
    Name { name: Vec<u8>, slash: bool },
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// None: the path has only slashes.
    Root,
}

/// Where in the whole path a symlink stands: the kernel protects only those at its end
/// (`pick_link`, WALK_TRAILING).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Something of the path comes after it.
    Middle,
    /// What it points to is what the path names.
    End,
}

/// A walk under way: it counts the symlinks it followed.
#[derive(Default)]
pub(super) struct Walk {
    links: u32,
}

impl Model {
    /// Whether a walk of this step followed so many symlinks that it may be ELOOP as well (VFS-05.loop).
    pub(crate) fn may_loop(&self) -> bool {
        (SURE_LINKS + 1..=MAX_LINKS).contains(&self.most_links)
    }

    /// Whether a dentry is a directory.
    pub(super) fn is_dir(&self, id: DentryId) -> bool {
        self.cache.at(id).is_some_and(|n| n.kind == Kind::Dir)
    }

    /// Whether nothing is at a dentry.
    pub(super) fn is_negative(&self, id: DentryId) -> bool {
        self.cache.dentry(id).node.is_none()
    }

    /// Takes a path from the caller (`getname`).
    fn take_path(&mut self, path: &[u8]) -> Result<(), Errno> {
        if path.is_empty() && self.rules.holds(Clause::VfsEmptyPath) {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX && self.rules.holds(Clause::VfsPathTooLong) {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(())
    }

    /// Walks to the directory that holds the last component (`filename_parentat`).
    pub(super) fn walk_parent(&mut self, walk: &mut Walk, path: &[u8]) -> Result<(DentryId, Last), Errno> {
        self.take_path(path)?;
        self.walk_from(walk, self.cwd, path)
    }

    /// `link_path_walk`: all but the last component.
    fn walk_from(&mut self, walk: &mut Walk, start: DentryId, path: &[u8]) -> Result<(DentryId, Last), Errno> {
        let mut at = if path.first() == Some(&b'/') { Cache::ROOT } else { start };
        let mut rest = trim(path);
        if rest.is_empty() {
            return Ok((at, Last::Root));
        }
        loop {
            self.may(at, EXEC)?;
            let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let next = trim(after);
            if next.is_empty() {
                let last = match name {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    _ => Last::Name { name: name.to_vec(), slash: !after.is_empty() },
                };
                return Ok((at, last));
            }
            at = match name {
                b"." => at,
                b".." => self.dot_dot(at),
                _ => self.step_into(walk, at, name)?,
            };
            rest = next;
        }
    }

    fn dot_dot(&mut self, at: DentryId) -> DentryId {
        if self.rules.holds(Clause::VfsDotDot) { self.cache.dentry(at).parent } else { at }
    }

    /// One component before the last: a directory, or a symlink to one.
    fn step_into(&mut self, walk: &mut Walk, dir: DentryId, name: &[u8]) -> Result<DentryId, Errno> {
        let mut id = self.lookup(dir, name)?;
        if self.is_negative(id) {
            return Err(self.refuse(Clause::VfsMissing, Errno::ENOENT));
        }
        if let Some(target) = self.symlink_target(id) {
            if self.rules.holds(Clause::VfsFollow) {
                self.count_link(walk, id, Place::Middle)?;
                id = self.resolve(walk, dir, &target, true, Place::Middle)?;
            }
        }
        if !self.is_dir(id) {
            return Err(if self.rules.holds(Clause::VfsNotDir) { Errno::ENOTDIR } else { Errno::ENOENT });
        }
        Ok(id)
    }

    fn count_link(&mut self, walk: &mut Walk, link: DentryId, place: Place) -> Result<(), Errno> {
        walk.links += 1;
        self.most_links = self.most_links.max(walk.links);
        if walk.links > MAX_LINKS {
            return Err(self.refuse(Clause::VfsLoop, Errno::ELOOP));
        }
        if place == Place::End { self.may_follow(link) } else { Ok(()) }
    }

    /// The target of a symlink, `None` for anything else.
    pub(super) fn symlink_target(&self, id: DentryId) -> Option<Bytes> {
        match &self.disk[self.cache.at(id)?.real()].body {
            Body::Symlink(target) => Some(target.clone()),
            _ => None,
        }
    }

    /// Resolves a path that starts in `start` to something that is there.
    fn resolve(
        &mut self,
        walk: &mut Walk,
        start: DentryId,
        path: &[u8],
        mut follow: bool,
        place: Place,
    ) -> Result<DentryId, Errno> {
        let mut dir = start;
        let mut path = path.to_vec();
        let mut need_dir = false;
        loop {
            let (parent, last) = self.walk_from(walk, dir, &path)?;
            let id = match last {
                Last::Root | Last::Dot => parent,
                Last::DotDot => self.dot_dot(parent),
                Last::Name { name, slash } => {
                    if slash {
                        follow |= self.rules.holds(Clause::VfsSlashFollow);
                        need_dir |= self.rules.holds(Clause::VfsSlashDir);
                    }
                    let id = self.lookup(parent, &name)?;
                    if self.is_negative(id) {
                        return Err(self.refuse(Clause::VfsMissing, Errno::ENOENT));
                    }
                    if let Some(target) = self.symlink_target(id) {
                        if follow && self.rules.holds(Clause::VfsFollowLast) {
                            self.count_link(walk, id, place)?;
                            dir = parent;
                            path = target.into_vec();
                            continue;
                        }
                    }
                    id
                }
            };
            if need_dir && !self.is_dir(id) {
                return Err(Errno::ENOTDIR);
            }
            return Ok(id);
        }
    }

    /// Resolves a path to something that is there (`user_path_at`).
    pub(super) fn walk(&mut self, path: &[u8], follow: bool) -> Result<DentryId, Errno> {
        self.take_path(path)?;
        self.resolve(&mut Walk::default(), self.cwd, path, follow, Place::End)
    }

    /// Makes a directory the one that relative paths start from.
    pub(super) fn chdir(&mut self, id: DentryId) -> Result<(), Errno> {
        if !self.is_dir(id) {
            return Err(self.refuse(Clause::CwdNotDir, Errno::ENOTDIR));
        }
        self.may(id, EXEC)?;
        if self.rules.holds(Clause::CwdRelative) {
            self.cache.pin(id);
            self.cache.unpin(std::mem::replace(&mut self.cwd, id));
        }
        Ok(())
    }

    /// The path of the working directory, by the names that the directories above it have now.
    pub(super) fn getcwd(&mut self) -> Result<Bytes, Errno> {
        match self.cwd_path() {
            None => Err(self.refuse(Clause::CwdRemoved, Errno::ENOENT)),
            Some(path) if path.len() + 2 > PATH_MAX => Err(Errno::ENAMETOOLONG),
            Some(path) if self.rules.holds(Clause::CwdPath) => Ok(Bytes::from([b"/", path.as_slice()].concat())),
            Some(_) => Ok(Bytes::from("/")),
        }
    }

    /// The path of the working directory from the root; `None` if it was removed.
    pub fn cwd_path(&self) -> Option<Bytes> {
        let mut names = Vec::new();
        let mut at = self.cwd;
        while at != Cache::ROOT {
            let dentry = self.cache.dentry(at);
            if at == self.cwd && !dentry.hashed {
                return None;
            }
            names.push(dentry.name.as_slice());
            at = dentry.parent;
        }
        names.reverse();
        Some(Bytes::from(names.join(&b'/')))
    }

    /// Continues a walk at the target of a symlink in `dir` (for `open`, which creates at its end).
    pub(super) fn walk_link(
        &mut self,
        walk: &mut Walk,
        dir: DentryId,
        link: DentryId,
        target: &Bytes,
    ) -> Result<(DentryId, Last), Errno> {
        self.count_link(walk, link, Place::End)?;
        self.walk_from(walk, dir, target.as_slice())
    }

    /// `..` or `.` as the last component of `open`.
    pub(super) fn walk_dots(&mut self, parent: DentryId, last: &Last) -> DentryId {
        if *last == Last::DotDot { self.dot_dot(parent) } else { parent }
    }

    /// Walks to a name that is to be created and looks it up (`filename_create`).
    pub(super) fn walk_create(&mut self, path: &[u8], directory: bool) -> Result<DentryId, Errno> {
        let (dir, last) = self.walk_parent(&mut Walk::default(), path)?;
        let Last::Name { name, slash } = last else {
            return Err(if self.rules.holds(Clause::VfsCreateDots) { Errno::EEXIST } else { Errno::EINVAL });
        };
        let id = self.lookup(dir, &name)?;
        if !self.is_negative(id) {
            return Err(if self.rules.holds(Clause::VfsCreateExists) { Errno::EEXIST } else { Errno::EBUSY });
        }
        if slash && !directory && self.rules.holds(Clause::VfsCreateSlash) {
            return Err(Errno::ENOENT);
        }
        Ok(id)
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Drops leading slashes.
fn trim(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    &path[start..]
}
