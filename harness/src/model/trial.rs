//! A mount that is tried on a ground of its own (`try-mount`): which options are taken, which layers go
//! together, and what the mount shows and leaves. In the kernel's order: each option as it is given
//! (`ovl_parse_param`), all options (`ovl_fs_params_verify`), then upper layer, work directory and lower layers
//! (`ovl_fill_super`).

use std::collections::BTreeSet;

use super::Model;
use super::clause::Clause;
use super::options::{Around, Options, Uuid};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::ground;
use crate::trace::Privilege;

/// What was given for the mount so far.
#[derive(Debug, Default)]
struct Given {
    lowers: Vec<Lower>,
    /// `lowerdir=` has named the lower layers.
    listed: bool,
    upper: Option<String>,
    work: Option<String>,
    userxattr: bool,
    read_only: bool,
    /// All that is no layer.
    rest: Vec<String>,
}

/// A lower layer.
#[derive(Clone, Debug)]
struct Lower {
    /// Its path on the ground, clean; empty for the ground itself.
    path: String,
    data_only: bool,
}

impl Model {
    /// Tries a mount. What it shows and leaves is told in words, as `exec` tells what it sees.
    pub(super) fn try_mount(&mut self, options: &[Bytes]) -> Result<Vec<Bytes>, Errno> {
        if !self.context.tries_mounts() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut given = Given::default();
        for option in options {
            self.give(&mut given, &String::from_utf8_lossy(option.as_slice()))?;
        }
        let around = Around {
            upper: given.upper.is_some(),
            data_only: given.lowers.iter().any(|l| l.data_only),
            userxattr: given.userxattr,
        };
        let context = self.context.clone();
        let options = Options::verified(&given.rest, around, &context, &mut self.rules)?;
        self.verify_layers(&given)?;
        Ok(self.what_comes_of(&given, options))
    }

    fn invalid_if(&mut self, so: bool, clause: Clause, errno: Errno) -> Result<(), Errno> {
        if so && self.rules.holds(clause) { Err(errno) } else { Ok(()) }
    }

    /// One option, as it is given.
    fn give(&mut self, given: &mut Given, option: &str) -> Result<(), Errno> {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("lowerdir", Some(list)) => return self.give_list(given, list),
            ("upperdir" | "workdir" | "lowerdir+" | "datadir+", Some(path)) if !path.is_empty() => {
                let escapes = matches!(name, "upperdir" | "workdir");
                let path = self.directory(path, escapes)?;
                let data_only = name == "datadir+";
                match name {
                    "upperdir" => given.upper = Some(path),
                    "workdir" => given.work = Some(path),
                    _ => {
                        self.invalid_if(given.listed, Clause::MntMixed, Errno::EINVAL)?;
                        let below_data = !data_only && given.lowers.iter().any(|l| l.data_only);
                        self.invalid_if(below_data, Clause::MntBelowData, Errno::EINVAL)?;
                        given.lowers.push(Lower { path, data_only });
                    }
                }
            }
            ("lowerdir" | "upperdir" | "workdir" | "lowerdir+" | "datadir+", _) => {
                return self.invalid_if(true, Clause::MntValue, Errno::EINVAL);
            }
            ("userxattr", None) => given.userxattr = true,
            // The mount's and not the overlay's.
            ("ro", None) => given.read_only = true,
            _ => match Options::takes(name, value) {
                Some(true) => given.rest.push(option.to_owned()),
                Some(false) => self.invalid_if(true, Clause::MntValue, Errno::EINVAL)?,
                None if name == "userxattr" => self.invalid_if(true, Clause::MntValue, Errno::EINVAL)?,
                None => self.invalid_if(true, Clause::MntUnknown, Errno::EINVAL)?,
            },
        }
        Ok(())
    }

    /// `lowerdir=`: layers with a colon between them, data-only ones after two.
    fn give_list(&mut self, given: &mut Given, list: &str) -> Result<(), Errno> {
        if self.rules.holds(Clause::MntReplace) {
            given.lowers.clear();
        }
        given.listed = false;
        if list.is_empty() {
            return Ok(());
        }
        let names = split(list);
        let odd = names.first().is_some_and(String::is_empty)
            || names.last().is_some_and(String::is_empty)
            || names.windows(2).any(|pair| pair.iter().all(String::is_empty));
        self.invalid_if(odd, Clause::MntColons, Errno::EINVAL)?;
        given.listed = true;
        let mut data_only = false;
        let mut below_data = false;
        for name in &names {
            if name.is_empty() {
                data_only = true;
                continue;
            }
            self.invalid_if(below_data && !data_only, Clause::MntBelowData, Errno::EINVAL)?;
            let path = self.directory(name, true)?;
            given.lowers.push(Lower { path, data_only });
            below_data |= data_only;
            data_only = false;
        }
        Ok(())
    }

    /// The clean path of the directory that a layer's name leads to.
    fn directory(&mut self, name: &str, escapes: bool) -> Result<String, Errno> {
        let escapes = escapes == self.rules.holds(Clause::MntEscape);
        let name = if escapes { unescape(name) } else { name.to_owned() };
        let mut path = String::new();
        for part in name.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if ground::FILES.contains(&path.as_str()) {
                return Err(Errno::ENOTDIR);
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            let known = ground::DIRS.iter().chain(&ground::FILES).any(|known| *known == path);
            self.invalid_if(!known, Clause::MntMissing, Errno::ENOENT)?;
        }
        if ground::FILES.contains(&path.as_str()) {
            if name.ends_with('/') {
                return Err(Errno::ENOTDIR);
            }
            self.invalid_if(true, Clause::MntNotDir, Errno::EINVAL)?;
        }
        Ok(path)
    }

    /// Which layers go together.
    fn verify_layers(&mut self, given: &Given) -> Result<(), Errno> {
        self.invalid_if(given.lowers.is_empty(), Clause::MntNoLower, Errno::EINVAL)?;
        let mut traps = Vec::new();
        if let Some(upper) = &given.upper {
            let Some(work) = &given.work else {
                return self.invalid_if(true, Clause::MntNoWork, Errno::EINVAL);
            };
            let together = upper == work || is_inside(upper, work) || is_inside(work, upper);
            self.invalid_if(together, Clause::MntWorkApart, Errno::EINVAL)?;
            traps.extend([upper, work]);
        }
        let alone = given.upper.is_none() && given.lowers.len() == 1;
        self.invalid_if(alone, Clause::MntOneLower, Errno::EINVAL)?;
        let all_data = !given.lowers.is_empty() && given.lowers.iter().all(|l| l.data_only);
        self.invalid_if(all_data, Clause::MntAllData, Errno::EINVAL)?;
        for lower in &given.lowers {
            self.invalid_if(traps.contains(&&lower.path), Clause::MntTwice, Errno::ELOOP)?;
            traps.push(&lower.path);
        }
        let inside = given.lowers.iter().any(|lower| traps.iter().any(|trap| is_inside(&lower.path, trap)));
        self.invalid_if(inside, Clause::MntInside, Errno::ELOOP)
    }

    /// What the mount shows in its root and leaves on the ground.
    fn what_comes_of(&mut self, given: &Given, options: Options) -> Vec<Bytes> {
        let mut words = BTreeSet::new();
        let upper = given.upper.as_ref();
        if upper.is_none() && self.rules.holds(Clause::MntReadOnly) {
            words.extend(["ro".to_owned(), format!("remount-rw:{}", Errno::EROFS)]);
        } else if given.read_only && self.rules.holds(Clause::MntRo) {
            words.extend(["ro".to_owned(), "remount-rw:ok".to_owned()]);
        } else {
            words.insert("rw".to_owned());
        }
        let shown = given.lowers.iter().filter(|l| !(l.data_only && self.rules.holds(Clause::MntDataHidden)));
        let layers: Vec<&String> = upper.into_iter().chain(shown.map(|l| &l.path)).collect();
        let names: BTreeSet<&str> = layers.iter().flat_map(|layer| children(layer)).collect();
        let work = given.work.as_ref().filter(|_| upper.is_some());
        for name in names {
            let trapped = self.is_trapped(&layers, name, [upper, work]);
            let error = if trapped { format!(":{}", Errno::ELOOP) } else { String::new() };
            words.insert(format!("merged:{name}{error}"));
        }
        if let (Some(upper), Some(work)) = (upper, work) {
            self.prepare(&mut words, upper, work, given.userxattr, options);
        }
        words.into_iter().map(|word| Bytes::from(word.as_str())).collect()
    }

    /// Whether looking up a name in the root meets the upper layer or the work directory.
    fn is_trapped(&mut self, layers: &[&String], name: &str, traps: [Option<&String>; 2]) -> bool {
        let places = layers.iter().filter(|layer| children(layer).any(|child| child == name));
        let places = places.map(|layer| if layer.is_empty() { name.to_owned() } else { format!("{layer}/{name}") });
        let merged: Vec<String> = places.take_while(|place| !ground::FILES.contains(&place.as_str())).collect();
        let met = traps.into_iter().flatten().any(|trap| merged.contains(trap));
        met && self.rules.holds(Clause::MntTrap)
    }

    /// What mounting leaves in the work directory and on the upper root.
    fn prepare(&mut self, words: &mut BTreeSet<String>, upper: &str, work: &str, userxattr: bool, options: Options) {
        let (upper, work) = (upper.replace('/', ":"), work.replace('/', ":"));
        let private = match (userxattr, self.context.privilege) {
            (false, Privilege::Root) | (true, Privilege::Rootless) => "@",
            (true, Privilege::Root) => "user.overlay.",
            // Nobody may write trusted xattrs, and the mount goes on without (MNT-40).
            (false, Privilege::Rootless) => "",
        };
        if self.rules.holds(Clause::MntWorkdir) {
            words.insert(format!("{work}:work"));
        }
        if options.volatile && self.rules.holds(Clause::MntVolatile) {
            words.extend(["", ":volatile", ":volatile:dirty"].map(|below| format!("{work}:work:incompat{below}")));
        }
        if private.is_empty() {
            return;
        }
        if options.uuid != Uuid::Null {
            words.insert(format!("{upper}:{private}uuid"));
        }
        if options.index {
            words.insert(format!("{work}:index"));
            words.insert(format!("{work}:index:{private}upper"));
            words.insert(format!("{upper}:{private}origin"));
        }
    }
}

/// The names in a directory of the ground.
fn children(dir: &str) -> impl Iterator<Item = &'static str> {
    let known = ground::DIRS.iter().chain(&ground::FILES);
    let rest = known
        .filter_map(move |path| if dir.is_empty() { Some(*path) } else { path.strip_prefix(dir)?.strip_prefix('/') });
    rest.filter(|name| !name.contains('/'))
}

/// Whether a directory of the ground lies somewhere in another.
fn is_inside(path: &str, dir: &str) -> bool {
    !path.is_empty() && (dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
}

/// The names between the colons that no backslash protects.
fn split(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut escaped = false;
    for c in list.chars() {
        match names.last_mut() {
            Some(name) if c != ':' || escaped => name.push(c),
            _ => names.push(String::new()),
        }
        escaped = c == '\\' && !escaped;
    }
    names
}

/// Without the backslashes that protect what follows them.
fn unescape(name: &str) -> String {
    let mut plain = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}
