//! The closed list of what an overlay does otherwise than a plain filesystem.

use crate::acl::Role;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::model::disk::PAGE;
use crate::model::{Facts, Model, Predicted};
use crate::step::{Device, NewTime, On, Op, RenameFlags, Slot, Special, Step, Whence};
use crate::trace::Kind;

/// Longest name of an xattr.
const XATTR_NAME_MAX: usize = 255;

/// Something in which an overlay is supposed to differ, named after its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deviation {
    /// A lower or merged directory cannot be renamed.
    RenameLower,
    /// What merges is not moved if the path of its lower layers is too long for a redirect.
    RedirectLong,
    /// Data that are copied up after the attributes date the file.
    LateData,
    /// RENAME_WHITEOUT is refused.
    RenameWhiteout,
    /// Two names of one upper file that were found separately cannot be renamed onto each other.
    RenameAlias,
    /// What one name of an upper file tells the kernel of mode, owner and size, names found separately do not know.
    StaleAlias,
    /// A whiteout cannot be made.
    MakeWhiteout,
    /// A directory gives its entries in an order of its own.
    EntryOrder,
    /// A directory that does not merge lists its raw whiteouts.
    RawListing,
    /// A directory of the upper layer alone is not empty while raw whiteouts lie in it.
    RawNotEmpty,
    /// The size of a list of xattrs counts what is not listed.
    HiddenXattrs,
    /// A private xattr gets longer when it is escaped, and the prefix alone is none.
    PrivateXattr,
    /// Removing an access control list that is not there is an error where the object is a lower one.
    MissingAcl,
    /// Copying up fills holes.
    Holes,
    /// What was removed while open is not copied up as if it were there.
    CopyUpRemoved,
    /// Kernels before 6.10 make no file without a name.
    NoTmpfile,
    /// What protects an inode is not known to a later mount, of the root, and not kept by a lower layer.
    Unprotected,
    /// Disk filesystems protect in their own ways too, and give special files flags.
    ProtectsItself,
    /// A lower file that was removed while open keeps its link count.
    RemovedLower,
    /// A directory that shows nothing is cleared of whiteouts when it is removed, which dates it.
    RemovedDir,
    /// fallocate that is refused has cleared setuid and setgid.
    FallocateRefused,
    /// What lies on another filesystem than the upper layer is not copied by copy_file_range.
    CopyAcross,
    /// Writing to a fifo does not date what lies in a layer.
    FifoDates,
    /// Copying up parts the names of what became a lower file.
    RotatedLinks,
    /// The root of a new upper layer has attributes of its own.
    RotatedRoot,
    /// There is no mount to try.
    OtherMount,
    /// A walk through many symlinks is ELOOP if a mount elsewhere interrupts it, in either run.
    LongWalk,
}

/// All deviations, each with its rule and a statement.
const DEVIATIONS: &[(Deviation, &str, &str)] = &[
    (Deviation::RenameLower, "REN-02", "a lower or merged directory cannot be renamed (EXDEV)"),
    (Deviation::RedirectLong, "REN-10", "a redirect would be too long (EXDEV)"),
    (Deviation::LateData, "MCP-07", "data that are copied up after the attributes date the file"),
    (Deviation::RenameWhiteout, "REN-01", "RENAME_WHITEOUT is refused (EINVAL)"),
    (Deviation::RenameAlias, "REN-14", "names of one upper file that were found separately (ESTALE)"),
    (
        Deviation::StaleAlias,
        "REN-14",
        "mode, owner and size changed by another name of an upper file, found separately",
    ),
    (Deviation::MakeWhiteout, "WHT-07", "a whiteout cannot be made (EPERM)"),
    (Deviation::EntryOrder, "DIR-05", "in which order and at which positions a directory gives its entries"),
    (
        Deviation::RawListing,
        "WHT-04",
        "a directory that does not merge lists its raw whiteouts, and one without a mark its xattr whiteouts",
    ),
    (
        Deviation::RawNotEmpty,
        "RMV-05",
        "a directory is not empty while xattr whiteouts lie in it, nor a pure upper one with raw whiteouts",
    ),
    (Deviation::HiddenXattrs, "XAT-02", "the size of a list of xattrs counts what is not listed"),
    (
        Deviation::PrivateXattr,
        "XAT-01",
        "private xattrs are escaped: a long one gets too long, the prefix alone is none",
    ),
    (Deviation::MissingAcl, "ACL-03", "an ACL that a lower object does not have cannot be removed (ENODATA)"),
    (Deviation::Holes, "CUP-15", "where the holes of a file lie, which copying up fills in part"),
    (Deviation::CopyUpRemoved, "FIL-11", "what was removed while open is not copied up"),
    (Deviation::NoTmpfile, "CRE-08", "before Linux 6.10 an overlay makes no file without a name (EOPNOTSUPP)"),
    (
        Deviation::Unprotected,
        "FAT-02",
        "a protected root is not so after a mount, and nothing protected is so in a lower layer",
    ),
    (Deviation::ProtectsItself, "FAT-03", "an upper inode has no flags, by which its filesystem would go as well"),
    (Deviation::RemovedLower, "CUP-06", "a lower file that was removed while open keeps its link count"),
    (Deviation::RemovedDir, "RMV-07", "a removed directory was cleared of its whiteouts, which dates it"),
    (Deviation::FallocateRefused, "FIL-10", "fallocate that the upper filesystem refuses clears setuid and setgid"),
    (Deviation::CopyAcross, "FIL-09", "copy_file_range between filesystems is refused (EXDEV)"),
    (Deviation::FifoDates, "FIL-14", "a fifo is the overlay's own: writing does not date what lies in a layer"),
    (Deviation::RotatedLinks, "CUP-14", "copying up parts the names of a file"),
    (Deviation::RotatedRoot, "LKP-05", "the root of a new upper layer has attributes of its own"),
    (Deviation::OtherMount, "MNT-01", "a mount that is tried is the overlay's"),
    (Deviation::LongWalk, "VFS-05", "a walk through more than 20 symlinks that a mount elsewhere interrupts is ELOOP"),
];

impl Deviation {
    /// The rule that says so.
    pub fn id(self) -> &'static str {
        DEVIATIONS.iter().find(|(d, _, _)| *d == self).map_or("", |(_, id, _)| id)
    }

    /// What it says.
    pub fn statement(self) -> &'static str {
        DEVIATIONS.iter().find(|(d, _, _)| *d == self).map_or("", |(_, _, statement)| statement)
    }
}

/// What follows from a deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The step is left out of the plain run.
    LeaveOut,
    /// What it returns is not compared.
    Outcome,
    /// The dates of fifos are not compared from here on.
    Dates,
    /// From here on the trees may differ: nothing is compared any more.
    Stop,
}

/// In what way the overlay is supposed to differ in this step, in the model's state before it.
pub(super) fn deviation(model: &mut Model, step: &Step) -> Option<(Deviation, Verdict)> {
    let places = step.op.paths().into_iter().flatten();
    let stale =
        places.clone().filter_map(|path| model.facts(step.actor, path.as_slice(), true)).any(|facts| facts.stale);
    let mut op = step.op.clone();
    let mut slots = op.slots_mut().into_iter().flatten();
    if stale || slots.any(|slot| model.facts_of_slot(*slot).is_some_and(|facts| facts.stale)) {
        return Some((Deviation::StaleAlias, Verdict::Stop));
    }
    // By `.` or the like, from a working directory that was removed.
    let gone = places.clone().filter_map(|path| model.facts(step.actor, path.as_slice(), true)).find_map(removed);
    if gone.is_some() && step.op.is_mutating() {
        return gone;
    }
    let needs_data = match &step.op {
        Op::Open { flags, .. } => flags.writes() || flags.has(libc::O_TRUNC),
        Op::Truncate { .. } => true,
        _ => false,
    };
    if needs_data {
        let mut facts = places.filter_map(|path| model.facts(step.actor, path.as_slice(), true));
        if facts.any(|facts| facts.metacopy) {
            return Some((Deviation::LateData, Verdict::Stop));
        }
    }
    match &step.op {
        Op::Open { flags, .. } if flags.has(libc::O_TMPFILE) && model.context.kernel < (6, 10) => {
            Some((Deviation::NoTmpfile, Verdict::Stop))
        }
        Op::Mknod { node: Special::Char(Device::WHITEOUT), .. } => Some((Deviation::MakeWhiteout, Verdict::LeaveOut)),
        Op::Rename { old, new, flags } => rename(model, step, old, new, *flags),
        Op::List { path } => listing(model.facts(step.actor, path.as_slice(), true)?),
        Op::Rmdir { path } => {
            let facts = model.facts(step.actor, path.as_slice(), false)?;
            (is_raw(facts) && !facts.covers || facts.xattr_whiteouts)
                .then_some((Deviation::RawNotEmpty, Verdict::LeaveOut))
        }
        Op::Getdents64 { slot, .. } if model.facts_of_slot(*slot)?.kind == Kind::Dir => {
            Some((Deviation::EntryOrder, Verdict::Outcome))
        }
        Op::Seekdir { slot, .. } | Op::Lseek { slot, .. } if model.facts_of_slot(*slot)?.kind == Kind::Dir => {
            Some((Deviation::EntryOrder, Verdict::Outcome))
        }
        Op::Lseek { slot, whence: Whence::Data | Whence::Hole, .. }
            if model.facts_of_slot(*slot).is_some_and(|facts| facts.size > PAGE as u64 || facts.holes) =>
        {
            Some((Deviation::Holes, Verdict::Stop))
        }
        // Cutting at the same size dates what has storage (FS-01.same).
        Op::Truncate { len, .. } | Op::Ftruncate { len, .. } => {
            let facts = match step.op.slot() {
                Some(slot) => model.facts_of_slot(slot)?,
                None => model.facts(step.actor, step.op.paths()[0]?.as_slice(), true)?,
            };
            (facts.holes && i64::try_from(facts.size) == Ok(*len)).then_some((Deviation::Holes, Verdict::Stop))
        }
        Op::Getdents { slot, .. } if model.is_partway(*slot) => Some((Deviation::EntryOrder, Verdict::Outcome)),
        Op::Getdents { slot, .. } => listing(model.facts_of_slot(*slot)?),
        Op::Write { slot, .. } | Op::Writev { slot, .. } | Op::Sendfile { to: slot, .. } => {
            let fifo = model.facts_of_slot(*slot)?.kind == Kind::Fifo;
            fifo.then_some((Deviation::FifoDates, Verdict::Dates))
        }
        Op::Fstat { slot } => {
            let facts = model.facts_of_slot(*slot)?;
            match facts.kind {
                _ if !facts.removed => None,
                Kind::Dir => Some((Deviation::RemovedDir, Verdict::Outcome)),
                _ if facts.upper.is_none() => Some((Deviation::RemovedLower, Verdict::Outcome)),
                _ => None,
            }
        }
        Op::ListXattr { on, .. } => {
            let facts = facts_on(model, step, on)?;
            let hides = facts.hides_xattrs || facts.trusted_xattrs && !step.actor.is_capable();
            hides.then_some((Deviation::HiddenXattrs, Verdict::Outcome))
        }
        Op::SetXattr { name, on, .. } | Op::RemoveXattr { name, on } => {
            escaped(model, name).or_else(|| removed(model.facts_of_slot(slot_of(on)?)?))
        }
        // Sizes are known to each name by itself.
        Op::CopyFileRange { from, to, .. } => {
            let (from, to) = (model.facts_of_slot(*from)?, model.facts_of_slot(*to)?);
            let alias = from.node != to.node && from.upper.is_some() && from.upper == to.upper;
            (alias || from.missized).then_some((Deviation::StaleAlias, Verdict::Stop))
        }
        // It counts names that are not shown, too.
        Op::Flink { slot, .. } if model.facts_of_slot(*slot)?.removed => Some((Deviation::RemovedLower, Verdict::Stop)),
        Op::GetXattr { name, .. } => escaped(model, name),
        Op::Fallocate { mode, .. } if !model.disk.traits.fallocate.supports(mode.operation()) => {
            Some((Deviation::FallocateRefused, Verdict::Stop))
        }
        Op::Getflags { .. } | Op::Setflags { .. } if !model.disk.traits.protects_by_vfs => {
            Some((Deviation::ProtectsItself, Verdict::Stop))
        }
        Op::TryMount { .. } => Some((Deviation::OtherMount, Verdict::Outcome)),
        Op::Remount if model.has_protected_root() => Some((Deviation::Unprotected, Verdict::Stop)),
        Op::Rotate if model.has_protected_upper() => Some((Deviation::Unprotected, Verdict::Stop)),
        Op::Fchmod { slot, .. } | Op::Flink { slot, .. } | Op::Setflags { slot, .. } => {
            removed(model.facts_of_slot(*slot)?)
        }
        // Two times that stay as they are change nothing, and copy nothing up.
        Op::Utimens { atime: NewTime::Omit, mtime: NewTime::Omit, .. } => None,
        Op::Chown { on, .. } | Op::Utimens { on, .. } => removed(model.facts_of_slot(slot_of(on)?)?),
        Op::Rotate if model.upper_has_links() || model.has_indexed() => Some((Deviation::RotatedLinks, Verdict::Stop)),
        Op::Rotate if !model.upper_root_is_plain() => Some((Deviation::RotatedRoot, Verdict::Stop)),
        _ => None,
    }
}

/// Whether the step is refused for want of room for a redirect, as only the path of every ancestor tells.
pub(super) fn too_long(
    model: &Model,
    step: &Step,
    predicted: &Result<Predicted, Errno>,
) -> Option<(Deviation, Verdict)> {
    let names = matches!(step.op, Op::Rename { .. } | Op::Link { .. } | Op::Linkat { .. } | Op::Flink { .. });
    let moves = names && model.moves_merged();
    (moves && *predicted == Err(Errno::EXDEV)).then_some((Deviation::RedirectLong, Verdict::LeaveOut))
}

/// Whether the step is refused because a lower object does not have the access control list that it removes.
pub(super) fn missing_acl(step: &Step, predicted: &Result<Predicted, Errno>) -> Option<(Deviation, Verdict)> {
    let (Op::SetXattr { name, .. } | Op::RemoveXattr { name, .. }) = &step.op else { return None };
    let refused = *predicted == Err(Errno::ENODATA) && Role::of(name).is_some();
    refused.then_some((Deviation::MissingAcl, Verdict::Outcome))
}

/// Whether the step is refused because it copies between filesystems.
pub(super) fn copies_across(step: &Step, predicted: &Result<Predicted, Errno>) -> Option<(Deviation, Verdict)> {
    let refused = matches!(step.op, Op::CopyFileRange { .. }) && *predicted == Err(Errno::EXDEV);
    // By then the target has lost setuid and setgid.
    refused.then_some((Deviation::CopyAcross, Verdict::Stop))
}

/// Whether a walk of the step may end otherwise in either run.
pub(super) fn interruptible(model: &Model) -> Option<(Deviation, Verdict)> {
    model.may_loop().then_some((Deviation::LongWalk, Verdict::Stop))
}

fn slot_of(on: &On) -> Option<Slot> {
    if let On::Slot(slot) = on { Some(*slot) } else { None }
}

fn facts_on(model: &mut Model, step: &Step, on: &On) -> Option<Facts> {
    match on {
        On::Path(path) => model.facts(step.actor, path.as_slice(), true),
        On::Link(path) => model.facts(step.actor, path.as_slice(), false),
        On::Slot(slot) => model.facts_of_slot(*slot),
    }
}

fn rename(
    model: &mut Model,
    step: &Step,
    old: &Bytes,
    new: &Bytes,
    flags: RenameFlags,
) -> Option<(Deviation, Verdict)> {
    let from = model.facts(step.actor, old.as_slice(), false)?;
    let to = model.facts(step.actor, new.as_slice(), false);
    // Two names of one inode: the call does nothing, before any filesystem is asked.
    if to.is_some_and(|to| to.node == from.node) {
        return None;
    }
    if flags.has(libc::RENAME_WHITEOUT) {
        return Some((Deviation::RenameWhiteout, Verdict::LeaveOut));
    }
    let moves = model.moves_merged();
    let stays = |facts: Facts| facts.kind == Kind::Dir && facts.lower && !moves;
    let exchanges = flags.has(libc::RENAME_EXCHANGE);
    if stays(from) || exchanges && to.is_some_and(stays) {
        return Some((Deviation::RenameLower, Verdict::LeaveOut));
    }
    if flags.0 == 0 && to.is_some_and(|to| is_raw(to) || to.xattr_whiteouts) {
        return Some((Deviation::RawNotEmpty, Verdict::LeaveOut));
    }
    let alias = from.upper.is_some() && to.is_some_and(|to| to.upper == from.upper);
    alias.then_some((Deviation::RenameAlias, Verdict::LeaveOut))
}

/// A directory that is empty for those who look, and not on disk.
fn is_raw(facts: Facts) -> bool {
    facts.lists_whiteouts && facts.upper.is_some() && !facts.lower
}

fn listing(facts: Facts) -> Option<(Deviation, Verdict)> {
    facts.lists_whiteouts.then_some((Deviation::RawListing, Verdict::Outcome))
}

/// A name that fits as it is, and does not when it is escaped; or the prefix.
fn escaped(model: &Model, name: &Bytes) -> Option<(Deviation, Verdict)> {
    let private = name.0.strip_prefix(b"@")?;
    let prefix = if model.context.userxattr() { "user.overlay." } else { "trusted.overlay." };
    let long = prefix.len() + "overlay.".len() + private.len() > XATTR_NAME_MAX;
    (long || private.is_empty()).then_some((Deviation::PrivateXattr, Verdict::LeaveOut))
}

/// A change that would copy up what has no name any more. For a regular file it is an error; anything else
/// may come back in place of what has its name now.
fn removed(facts: Facts) -> Option<(Deviation, Verdict)> {
    let verdict = if facts.kind == Kind::File { Verdict::LeaveOut } else { Verdict::Stop };
    (facts.removed && facts.upper.is_none()).then_some((Deviation::CopyUpRemoved, verdict))
}
