//! What a filesystem under layers must be able to do, and how the kernel mounts: found out by trying.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, XattrFlags, chmodat, fsetxattr, fstat, makedev, mkdirat,
    mknodat, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::Answer;
use super::child::in_child;
use crate::exec::error::{self, Doing, ExecError};
use crate::exec::isolation::isolate;
use crate::exec::scratch;
use crate::exec::sys;
use crate::trace::Privilege;

/// How deep what a trial leaves can be.
const DEPTH: u32 = 6;

/// What came of a trial in a child, as an answer in any case.
fn answers_of(id: &str, question: &str, trial: impl FnOnce() -> Result<Vec<Answer>, ExecError>) -> Vec<Answer> {
    let no = |e: ExecError| match e {
        ExecError::Unsupported { reason, remedy } => vec![Answer::no(id, question, reason, remedy)],
        e => vec![Answer::no(id, question, e.to_string(), "see the answers above")],
    };
    match in_child(|| trial().unwrap_or_else(no)) {
        Ok(answers) => answers,
        Err(e) => no(e),
    }
}

/// What layers on tmpfs can have.
pub(super) fn on_tmpfs(privilege: Privilege) -> Vec<Answer> {
    answers_of("tmpfs", "a tmpfs of its own", || {
        isolate(privilege)?;
        let dir = scratch::tmpfs()?;
        Ok(features("tmpfs", dir.as_fd(), privilege))
    })
}

/// What layers in this directory of the user's could have. Works in a fresh directory of its own there,
/// and removes it.
pub(super) fn in_directory(dir: &Path, privilege: Privilege) -> Result<Vec<Answer>, ExecError> {
    let cannot = |what: &str, e: Errno| {
        ExecError::unsupported(
            format!("{}: {what}: {}", dir.display(), error::errno(e)),
            "name a directory that exists and that you may write to",
        )
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(dir, flags, Mode::empty()).map_err(|e| cannot("opening it", e))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!(".ovlcheck-doctor-{}-{}", std::process::id(), now.as_nanos());
    // Fails if the name is taken, so what is removed below is what was made here.
    mkdirat(&parent, name.as_str(), Mode::from(0o700)).map_err(|e| cannot("making a directory in it", e))?;
    let result = openat(&parent, name.as_str(), flags | OFlags::NOFOLLOW, Mode::empty())
        .doing("opening the new directory")
        .and_then(|own| {
            let path = std::fs::canonicalize(dir).doing("finding the directory's path")?.join(&name);
            let answers = answers_of("dir", "an overlay here", || {
                isolate(privilege)?;
                // The mount it is on is another one in the new namespace.
                let here =
                    rustix::fs::open(&path, flags | OFlags::NOFOLLOW, Mode::empty()).doing("opening it again")?;
                let (old, new) = (fstat(&own).doing("fstat")?, fstat(&here).doing("fstat")?);
                if (old.st_dev, old.st_ino) != (new.st_dev, new.st_ino) {
                    return Err(ExecError::Setup("the directory was replaced".into()));
                }
                let mut answers = features("dir", here.as_fd(), privilege);
                answers.push(overlay(here.as_fd(), privilege)?);
                Ok(answers)
            });
            empty(own.as_fd(), DEPTH)?;
            Ok(answers)
        });
    unlinkat(&parent, name.as_str(), AtFlags::REMOVEDIR).doing(&format!("removing {}", dir.join(&name).display()))?;
    result
}

/// Removes everything in a directory of ours.
fn empty(dir: BorrowedFd<'_>, depth: u32) -> Result<(), ExecError> {
    for name in names(dir)? {
        let stat = statat(dir, &*name, AtFlags::SYMLINK_NOFOLLOW).doing("looking at what a trial left")?;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if directory && depth > 0 {
            // The kernel makes its work directory without any permission.
            chmodat(dir, &*name, Mode::from(0o700), AtFlags::empty()).doing("chmod of what a trial left")?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            empty(openat(dir, &*name, flags, Mode::empty()).doing("opening what a trial left")?.as_fd(), depth - 1)?;
        }
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        unlinkat(dir, &*name, flags).doing("removing what a trial left")?;
    }
    Ok(())
}

/// The names in a directory.
fn names(dir: BorrowedFd<'_>) -> Result<Vec<CString>, ExecError> {
    Ok(entries(dir).doing("listing what a trial left")?.into_iter().map(|(name, _)| name).collect())
}

fn entries(dir: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let again = openat(dir, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(&again, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            found.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

/// One answer from one trial.
fn tried(prefix: &str, id: &str, question: &str, result: Result<&str, Errno>, remedy: &str) -> Answer {
    let id = format!("{prefix}.{id}");
    match result {
        Ok(detail) => Answer::yes(id, question, detail),
        Err(e) => Answer::no(id, question, error::errno(e).to_string(), remedy),
    }
}

/// What an upper layer in this directory could have.
fn features(prefix: &str, dir: BorrowedFd<'_>, privilege: Privilege) -> Vec<Answer> {
    let file = |name: &str| openat(dir, name, OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC, Mode::from(0o600));
    let xattr = |name: &str| file("xattr").and_then(|f| fsetxattr(&f, name, b"y", XattrFlags::empty()));
    let other = "use another filesystem for the upper layer (ext4, XFS, Btrfs, tmpfs)";
    let mut answers = Vec::new();
    if privilege == Privilege::Root {
        let remedy = "run in the initial user namespace on a filesystem with xattrs";
        answers.push(tried(prefix, "trusted", "trusted.* xattrs", xattr("trusted.overlay.x").map(|()| ""), remedy));
    }
    let remedy = "user.* on tmpfs needs Linux 6.6 with CONFIG_TMPFS_XATTR; else another filesystem";
    answers.push(tried(prefix, "user", "user.* xattrs", xattr("user.overlay.x").map(|()| ""), remedy));
    let whiteout = mknodat(dir, "whiteout", FileType::CharacterDevice, Mode::empty(), makedev(0, 0));
    answers.push(tried(prefix, "whiteout", "whiteouts by mknod", whiteout.map(|()| "c 0, 0"), other));
    let renamed = file("old").and_then(|_| renameat_with(dir, "old", dir, "new", RenameFlags::WHITEOUT));
    answers.push(tried(prefix, "rename_whiteout", "RENAME_WHITEOUT", renamed.map(|()| ""), other));
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let tmpfile = openat(dir, ".", flags, Mode::from(0o600));
    answers.push(tried(prefix, "tmpfile", "O_TMPFILE", tmpfile.map(|_| ""), "copy-up works without, by another way"));
    let types = file("typed").and_then(|_| entries(dir)).and_then(|entries| {
        let known = entries.iter().all(|(_, kind)| *kind != FileType::Unknown);
        if known { Ok("entries carry their type") } else { Err(Errno::NOTSUP) }
    });
    answers.push(tried(prefix, "d_type", "d_type", types, "XFS: mkfs.xfs -n ftype=1; else another filesystem"));
    let handle = sys::has_handle(dir, c".");
    let handle = handle.map(|()| "").map_err(|e| Errno::from_raw_os_error(e.0));
    let remedy = "index, nfs_export and origins need them: another filesystem, or do without";
    answers.push(tried(prefix, "handles", "file handles", handle, remedy));
    answers
}

/// Whether an overlay with all its layers in this directory mounts, copies up and whites out.
fn overlay(dir: BorrowedFd<'_>, privilege: Privilege) -> Result<Answer, ExecError> {
    sys::fchdir(dir).doing("entering the directory")?;
    for name in ["lower", "upper", "work"] {
        mkdirat(dir, name, Mode::from(0o755)).doing("making layers")?;
    }
    for name in ["lower/changed", "lower/removed"] {
        openat(dir, name, OFlags::WRONLY | OFlags::CREATE, Mode::from(0o644)).doing("filling a layer")?;
    }
    let (id, question) = ("dir.overlay", "an overlay with its layers here");
    let remedy = "see the answers above, and the kernel's log";
    let root = match mount_overlay(|fs| fsconfig_set_string(fs, "lowerdir", "lower"), privilege) {
        Ok(root) => root,
        Err(e) => return Ok(Answer::no(id, question, format!("the mount gives {}", error::errno(e)), remedy)),
    };
    let used = openat(&root, "changed", OFlags::WRONLY | OFlags::APPEND, Mode::empty())
        .and_then(|f| rustix::io::write(&f, b"x"))
        .and_then(|_| unlinkat(&root, "removed", AtFlags::empty()))
        .and_then(|()| statat(dir, "upper/removed", AtFlags::SYMLINK_NOFOLLOW));
    Ok(match used {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice => {
            Answer::yes(id, question, "mounted, copied a file up and made a whiteout")
        }
        Ok(_) => Answer::yes(id, question, "mounted, copied a file up; whiteouts are no devices here"),
        Err(e) => Answer::no(id, question, format!("it mounts, but using it gives {}", error::errno(e)), remedy),
    })
}

/// A detached overlay over `upper` and `work` of the current directory.
fn mount_overlay(
    lower: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
    privilege: Privilege,
) -> Result<OwnedFd, Errno> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    lower(fs.as_fd())?;
    fsconfig_set_string(&fs, "upperdir", "upper")?;
    fsconfig_set_string(&fs, "workdir", "work")?;
    if privilege == Privilege::Rootless {
        fsconfig_set_flag(&fs, "userxattr")?;
    }
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// How this kernel takes mounts and layers.
pub(super) fn mount_api(privilege: Privilege) -> Vec<Answer> {
    let question = "fsopen, fsconfig, fsmount";
    answers_of("mount.api", question, || {
        isolate(privilege)?;
        let dir = scratch::tmpfs()?;
        let mut answers = vec![Answer::yes("mount.api", question, "a detached tmpfs was mounted")];
        for name in ["lower", "upper", "work"] {
            mkdirat(&dir, name, Mode::from(0o755)).doing("making layers")?;
        }
        sys::fchdir(dir.as_fd()).doing("entering a tmpfs")?;
        let mut ask = |id: &str, question: &str, result: Result<OwnedFd, Errno>, remedy: &str| {
            answers.push(tried("mount", id, question, result.map(|_| ""), remedy));
        };
        let joined = mount_overlay(|fs| fsconfig_set_string(fs, "lowerdir", "lower"), privilege);
        let attach = "older kernels take layers from attached filesystems only; ovlcheck then attaches one privately";
        ask("detached", "layers on a detached filesystem", joined, attach);
        let single = mount_overlay(|fs| fsconfig_set_string(fs, "lowerdir+", "lower"), privilege);
        ask("one_by_one", "layers one by one (lowerdir+)", single, "Linux 6.8; ovlcheck joins them with ':' instead");
        let fd = openat(&dir, "lower", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .doing("opening a layer")?;
        let by_fd = mount_overlay(|fs| fsconfig_set_fd(fs, "lowerdir+", &fd), privilege);
        ask("by_descriptor", "layers by descriptor", by_fd, "Linux 6.13; ovlcheck gives paths instead");
        Ok(answers)
    })
}
