//! Runs one case: layers, mount, steps, looks. One system call per step, from the merged root.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fspick};

use super::config::ObservePolicy;
use super::error::{Doing as _, ExecError, errno, failure};
use super::isolation::{Home, enter_root};
use super::layers;
use super::observe::{Detail, Looker, c_path};
use super::progress::{Doing, announce};
use super::reaper::Reaper;
use super::scratch::{CaseDir, Scratch, new_dir};
use super::sys::{self, Shared};
use super::target::{Layers, MountFailure, Mounted, TakeDown, Target, check_options};
use super::trial;
use super::watchdog::Unfinished;
use crate::bytes::Bytes;
use crate::case::{Case, Layer};
use crate::errno::Errno;
use crate::step::{Actor, InodeFlags, NewTime, On, Op, SLOTS, Slot, Special, ground};
use crate::trace::{
    End, Environment, LowerDigest, MountError, Observation, Outcome, Span, StepTrace, Time, Trace, TreeSeen, Value,
};

/// Everything that outlives a case.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) environment: Environment,
    pub(super) observe: ObservePolicy,
    pub(super) page: Arc<Shared>,
    pub(super) unfinished: Unfinished,
    pub(super) target: Box<dyn Target>,
    pub(super) scratch: Scratch,
    pub(super) home: Home,
    pub(super) reaper: Reaper,
    pub(super) looker: Looker,
    /// For `read` and `readlink`.
    pub(super) buffer: Vec<u8>,
    /// Positions in open directories that steps may seek to.
    pub(super) marks: [Vec<i64>; SLOTS],
}

/// The layers of the case under way.
#[derive(Debug)]
struct Stack {
    dir: CaseDir,
    lowers: Vec<String>,
    lower_fds: Vec<OwnedFd>,
    upper: String,
    upper_fd: OwnedFd,
    work: String,
    work_fd: OwnedFd,
    rotations: u32,
    /// How many mounts were tried.
    grounds: u32,
    digest: LowerDigest,
    /// The former upper layer, as it was read when it became a lower one.
    rotated: Option<TreeSeen>,
}

/// What a case holds open.
#[derive(Debug, Default)]
struct Held {
    slots: [Option<OwnedFd>; SLOTS],
    mounted: Option<Mounted>,
    umask: u32,
    /// The working directory, once a step has changed it. Between steps the worker is in the merged root.
    cwd: Option<OwnedFd>,
}

/// Why the steps do not go on.
enum Stop {
    /// An end that belongs in the trace.
    End(End),
    /// No trace.
    Error(ExecError),
}

impl From<ExecError> for Stop {
    fn from(e: ExecError) -> Self {
        Stop::Error(e)
    }
}

/// Takes on an actor's credentials for one step.
fn put_on(actor: Actor) -> Result<(), ExecError> {
    match actor {
        Actor::Root => Ok(()),
        Actor::Bare => sys::capabilities_in_effect(false).doing("putting capabilities out of effect"),
        _ => sys::become_ids(actor.uid(), actor.gid(), actor.groups()).map_err(|e| {
            ExecError::unsupported(format!("a step as uid {}: {e}", actor.uid()), "run this case as root")
        }),
    }
}

/// Takes them off again. A change of credentials makes the kernel forget whom to die with.
fn take_off(actor: Actor) -> Result<(), ExecError> {
    match actor {
        Actor::Root => return Ok(()),
        Actor::Bare => sys::capabilities_in_effect(true).doing("putting capabilities into effect")?,
        _ => sys::become_root().doing("becoming root again")?,
    }
    sys::die_with_parent().doing("PR_SET_PDEATHSIG")
}

/// The start of a span.
fn before() -> Time {
    sys::clock(libc::CLOCK_REALTIME_COARSE)
}

fn span_since(from: Time) -> Span {
    Span { from, to: sys::clock(libc::CLOCK_REALTIME) }
}

impl Runner {
    /// Runs the case; whatever comes of it, the worker is ready for the next one afterwards.
    pub(super) fn run(&mut self, number: u32, case: &Case) -> Result<Trace, ExecError> {
        let mut held = Held::default();
        self.marks = Default::default();
        let result = self.run_case(number, case, &mut held);
        announce(&self.page, number, Doing::Layers);
        held.slots = Default::default();
        held.cwd = None;
        self.home.enter()?;
        if let Some(mounted) = held.mounted.take() {
            self.target.unmount(mounted, TakeDown::Soon(&self.reaper))?;
        }
        announce(&self.page, number, Doing::Idle);
        result
    }

    fn run_case(&mut self, number: u32, case: &Case, held: &mut Held) -> Result<Trace, ExecError> {
        check_options(&case.options)?;
        announce(&self.page, number, Doing::Layers);
        let from = before();
        let (mut stack, lowers) = self.make_stack(case)?;
        let setup = span_since(from);
        announce(&self.page, number, Doing::Mounting);
        let from = before();
        let mount_error = match self.mount(&stack, case, held) {
            Ok(()) => None,
            Err(MountFailure::Refused(e)) => Some(e),
            Err(MountFailure::Broken(e)) => return Err(e),
        };
        let refused = mount_error.is_some();
        *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = Some(Trace {
            environment: self.environment.clone(),
            setup,
            mounted: span_since(from),
            mount_error,
            steps: Vec::with_capacity(case.steps.len()),
            last: None,
            lowers,
            lower: stack.digest,
            end: End::Completed,
        });
        let stopped = if refused { Ok(None) } else { self.run_steps(number, case, &mut stack, held) };
        announce(&self.page, number, Doing::Layers);
        let (end, last) = match stopped {
            Ok(last) => (End::Completed, last),
            Err(Stop::End(end)) => (end, None),
            Err(Stop::Error(e)) => return Err(e),
        };
        self.digest_again(&mut stack)?;
        let trace = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).take();
        let trace = trace.ok_or_else(|| ExecError::Internal("the trace of the case is gone".into()))?;
        Ok(Trace { last, end, lower: stack.digest, ..trace })
    }

    fn run_steps(
        &mut self,
        number: u32,
        case: &Case,
        stack: &mut Stack,
        held: &mut Held,
    ) -> Result<Option<Observation>, Stop> {
        for (index, step) in case.steps.iter().enumerate() {
            let index = index as u32;
            announce(&self.page, number, Doing::Step(index));
            let done = self.step(index, &step.op, case, stack, held)?;
            if let Some(trace) = &mut *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) {
                trace.steps.push(done);
            }
        }
        if !self.observe.last {
            return Ok(None);
        }
        announce(&self.page, number, Doing::Step(case.steps.len() as u32));
        let last = self.look_at_all(stack, held, true).map_err(|e| gone(case.steps.len() as u32, e))?;
        Ok(Some(last))
    }

    fn step(
        &mut self,
        index: u32,
        op: &Op,
        case: &Case,
        stack: &mut Stack,
        held: &mut Held,
    ) -> Result<StepTrace, Stop> {
        let actor = case.steps.get(index as usize).map(|s| s.actor).unwrap_or_default();
        if let Some(cwd) = &held.cwd {
            sys::fchdir(cwd.as_fd()).map_err(|e| gone(index, e))?;
        }
        put_on(actor)?;
        let from = before();
        let outcome = match op {
            Op::Remount | Op::Rotate => {
                self.mount_anew(op == &Op::Rotate, case, stack, held).map_err(|e| match e {
                    MountFailure::Refused(error) => Stop::End(End::MountFailed { step: index, error }),
                    MountFailure::Broken(e) => Stop::Error(e),
                })?;
                Ok(Value::Unit)
            }
            Op::DropCaches => self.drop_caches(held),
            Op::TryMount { options } => self.try_mount(options, stack, held)?,
            Op::Observe => Ok(Value::Unit),
            Op::Umask { mode } => {
                // Ours is 0 between the steps, so that layers come out as they are written.
                sys::umask(held.umask);
                let old = sys::umask(*mode);
                sys::umask(0);
                held.umask = mode & 0o777;
                Ok(Value::Count(old.into()))
            }
            call if held.umask != 0 => {
                sys::umask(held.umask);
                let result = self.call(call, &mut held.slots);
                sys::umask(0);
                result
            }
            call => self.call(call, &mut held.slots),
        };
        let span = span_since(from);
        take_off(actor)?;
        let base = self.leave_cwd(op, outcome.is_ok(), held).map_err(|e| gone(index, e))?;
        let outcome = match outcome {
            Ok(value) => Outcome::Ok(value),
            Err(e) => Outcome::Err(e),
        };
        let mut footprint = Vec::new();
        let mut observation = None;
        if matches!(op, Op::Remount | Op::Rotate | Op::Observe) {
            observation =
                Some(Box::new(self.look_at_all(stack, held, op != &Op::Observe).map_err(|e| gone(index, e))?));
        } else if self.observe.footprints
            && let Some(mounted) = &held.mounted
        {
            let upper = self.target.has_upper().then(|| stack.upper_fd.as_fd());
            for path in op.paths().into_iter().flatten() {
                if footprint.capacity() == 0 {
                    footprint.reserve_exact(if op.paths()[1].is_some() { 6 } else { 3 });
                }
                // Looks start from the root, where the step's relative paths did not if it was elsewhere.
                let path = if path.first() == Some(&b'/') { path.clone() } else { base.join(path) };
                self.looker
                    .footprint(path.as_slice(), mounted.root.as_fd(), upper, &mut footprint)
                    .map_err(|e| gone(index, e))?;
            }
        }
        Ok(StepTrace { span, outcome, footprint, observation })
    }

    /// Goes back to the merged root after a step, and keeps the working directory of the case for the next. Gives
    /// its path as far as it has one.
    fn leave_cwd(&mut self, op: &Op, succeeded: bool, held: &mut Held) -> Result<Bytes, Errno> {
        let changed = succeeded && matches!(op, Op::Chdir { .. } | Op::Fchdir { .. });
        let Some(mounted) = held.mounted.as_ref().filter(|_| changed || held.cwd.is_some()) else {
            return Ok(Bytes::default());
        };
        if changed {
            held.cwd = Some(sys::open(c".", libc::O_PATH | libc::O_DIRECTORY, 0)?);
        }
        let len = sys::getcwd(&mut self.buffer[..4096]).unwrap_or(0);
        let path = self.buffer[..len].strip_suffix(&[0]).and_then(|path| path.strip_prefix(b"/"));
        let path = path.map_or_else(Bytes::default, Bytes::from);
        sys::fchdir(mounted.root.as_fd())?;
        Ok(path)
    }

    /// The system call of a step.
    fn call(&mut self, op: &Op, slots: &mut [Option<OwnedFd>; SLOTS]) -> Result<Value, Errno> {
        let unit = |()| Value::Unit;
        match op {
            Op::Open { slot, path, flags, mode } => {
                let place = slots.get_mut(usize::from(*slot)).ok_or(Errno::EBADF)?;
                *place = None;
                self.marks[usize::from(*slot)].clear();
                *place = Some(sys::open(&c_path(path.as_slice())?, flags.0 | libc::O_LARGEFILE, *mode)?);
                Ok(Value::Unit)
            }
            Op::Close { slot } => {
                if let Some(marks) = self.marks.get_mut(usize::from(*slot)) {
                    marks.clear();
                }
                sys::close(slots.get_mut(usize::from(*slot)).and_then(Option::take)).map(unit)
            }
            Op::Read { slot, len } => {
                let len = *len as usize;
                let fd = number(slots, *slot);
                if len <= self.buffer.len() {
                    let got = sys::read(fd, &mut self.buffer[..len])?;
                    return Ok(Value::Bytes(Bytes::from(&self.buffer[..got])));
                }
                // Zeroed memory of this size costs nothing until it is written to.
                let mut large = vec![0; len];
                let got = sys::read(fd, &mut large)?;
                Ok(Value::Bytes(Bytes::from(&large[..got])))
            }
            Op::Write { slot, data } => sys::write(number(slots, *slot), data.as_slice()).map(Value::Count),
            Op::Truncate { path, len } => sys::truncate(&c_path(path.as_slice())?, *len).map(unit),
            Op::Fstat { slot } => {
                sys::statx(number(slots, *slot), c"", libc::AT_EMPTY_PATH).map(|s| Value::Stat(Box::new(s)))
            }
            Op::Mkdir { path, mode } => sys::mkdir(&c_path(path.as_slice())?, *mode).map(unit),
            Op::Rmdir { path } => sys::unlink(&c_path(path.as_slice())?, libc::AT_REMOVEDIR).map(unit),
            Op::Unlink { path } => sys::unlink(&c_path(path.as_slice())?, 0).map(unit),
            Op::Mknod { path, node, mode } => {
                let (kind, device) = match node {
                    Special::Regular => (libc::S_IFREG, (0, 0)),
                    Special::Fifo => (libc::S_IFIFO, (0, 0)),
                    Special::Socket => (libc::S_IFSOCK, (0, 0)),
                    Special::Char(d) => (libc::S_IFCHR, (d.major(), d.minor())),
                    Special::Block(d) => (libc::S_IFBLK, (d.major(), d.minor())),
                };
                sys::mknodat(sys::CWD, &c_path(path.as_slice())?, kind | mode & !libc::S_IFMT, device).map(unit)
            }
            Op::Symlink { target, path } => {
                sys::symlink(&c_path(target.as_slice())?, &c_path(path.as_slice())?).map(unit)
            }
            Op::Readlink { path } => {
                let got = sys::readlink(&c_path(path.as_slice())?, &mut self.buffer[..4096])?;
                Ok(Value::Bytes(Bytes::from(&self.buffer[..got])))
            }
            Op::Link { old, new } => {
                sys::linkat(sys::CWD, &c_path(old.as_slice())?, &c_path(new.as_slice())?, 0).map(unit)
            }
            Op::Linkat { old, new, flags } => {
                sys::linkat(sys::CWD, &c_path(old.as_slice())?, &c_path(new.as_slice())?, flags.0).map(unit)
            }
            Op::Flink { slot, new } => {
                sys::linkat(number(slots, *slot), c"", &c_path(new.as_slice())?, libc::AT_EMPTY_PATH).map(unit)
            }
            Op::Rename { old, new, flags } => {
                sys::rename(&c_path(old.as_slice())?, &c_path(new.as_slice())?, flags.0).map(unit)
            }
            Op::Chmod { path, mode } => sys::chmod(&c_path(path.as_slice())?, *mode).map(unit),
            Op::Stat { path } => sys::statx(sys::CWD, &c_path(path.as_slice())?, 0).map(|s| Value::Stat(Box::new(s))),
            Op::Lstat { path } => sys::statx(sys::CWD, &c_path(path.as_slice())?, libc::AT_SYMLINK_NOFOLLOW)
                .map(|s| Value::Stat(Box::new(s))),
            Op::List { path } => {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NONBLOCK;
                let fd = sys::open(&c_path(path.as_slice())?, flags, 0)?;
                self.looker.list(fd.as_raw_fd()).map(Value::List)
            }
            Op::Pread { slot, len, offset } => {
                let mut buffer = vec![0; *len as usize];
                let got = sys::pread(number(slots, *slot), &mut buffer, *offset)?;
                Ok(Value::Bytes(Bytes::from(&buffer[..got])))
            }
            Op::Pwrite { slot, data, offset } => {
                sys::pwrite(number(slots, *slot), data.as_slice(), *offset).map(Value::Count)
            }
            Op::Lseek { slot, offset, whence } => {
                sys::lseek(number(slots, *slot), *offset, whence.number()).map(Value::Count)
            }
            Op::Ftruncate { slot, len } => sys::ftruncate(number(slots, *slot), *len).map(unit),
            Op::Fsync { slot } => sys::fsync(number(slots, *slot)).map(unit),
            Op::Getflags { slot } => {
                let flags = sys::inode_flags(number(slots, *slot))?;
                Ok(Value::Bytes(Bytes::from(InodeFlags(flags).letters())))
            }
            Op::Setflags { slot, flags } => {
                let others = sys::inode_flags(number(slots, *slot))? & !InodeFlags::ALL;
                sys::set_inode_flags(number(slots, *slot), others | flags.0).map(unit)
            }
            Op::Setfl { slot, flags } => sys::setfl(number(slots, *slot), flags.0).map(unit),
            Op::Fdatasync { slot } => sys::fdatasync(number(slots, *slot)).map(unit),
            Op::Getdents { slot, size } => self.looker.getdents(number(slots, *slot), *size as usize).map(Value::List),
            Op::Getdents64 { slot, size } => {
                let given = self.looker.getdents64(number(slots, *slot), *size as usize)?;
                if let Some(marks) = self.marks.get_mut(usize::from(*slot)) {
                    marks.extend(given.iter().map(|(_, next)| *next));
                }
                Ok(Value::Dents(given))
            }
            Op::Seekdir { slot, entry } => {
                let marks = self.marks.get(usize::from(*slot));
                let to = marks.and_then(|marks| marks.get(*entry as usize)).copied().unwrap_or(0);
                sys::lseek(number(slots, *slot), to, libc::SEEK_SET).map(Value::Count)
            }
            Op::Fchmod { slot, mode } => sys::fchmod(number(slots, *slot), *mode).map(unit),
            Op::Chown { on, uid, gid } => {
                // -1 is what the kernel calls it, too.
                let (uid, gid) = (*uid as u32, *gid as u32);
                match on {
                    On::Path(path) => sys::chown(&c_path(path.as_slice())?, uid, gid, 0),
                    On::Link(path) => sys::chown(&c_path(path.as_slice())?, uid, gid, libc::AT_SYMLINK_NOFOLLOW),
                    On::Slot(slot) => sys::fchown(number(slots, *slot), uid, gid),
                }
                .map(unit)
            }
            Op::Utimens { on, atime, mtime } => {
                let times = [*atime, *mtime].map(|t| match t {
                    NewTime::Now => (0, libc::UTIME_NOW),
                    NewTime::Omit => (0, libc::UTIME_OMIT),
                    NewTime::At(t) => (t.sec, t.nsec.into()),
                });
                match on {
                    On::Path(path) => sys::utimens(sys::CWD, Some(&c_path(path.as_slice())?), times, 0),
                    On::Link(path) => {
                        sys::utimens(sys::CWD, Some(&c_path(path.as_slice())?), times, libc::AT_SYMLINK_NOFOLLOW)
                    }
                    On::Slot(slot) => sys::utimens(number(slots, *slot), None, times, 0),
                }
                .map(unit)
            }
            Op::SetXattr { on, name, value, flags } => {
                let name = self.looker.full_name(name.as_slice())?;
                on_file(on, slots, |of| sys::set_xattr(of, &name, value.as_slice(), flags.0)).map(unit)
            }
            Op::GetXattr { on, name, size } => {
                let name = self.looker.full_name(name.as_slice())?;
                let mut buffer = vec![0; *size as usize];
                let got = on_file(on, slots, |of| sys::get_xattr(of, &name, &mut buffer))?;
                Ok(if buffer.is_empty() { Value::Count(got as u64) } else { Value::Bytes(Bytes::from(&buffer[..got])) })
            }
            Op::ListXattr { on, size } => {
                let mut buffer = vec![0; *size as usize];
                let got = on_file(on, slots, |of| sys::list_xattr(of, &mut buffer))?;
                let names = || Value::Names(self.looker.names_in(&buffer[..got]));
                Ok(if buffer.is_empty() { Value::Count(got as u64) } else { names() })
            }
            Op::RemoveXattr { on, name } => {
                let name = self.looker.full_name(name.as_slice())?;
                on_file(on, slots, |of| sys::remove_xattr(of, &name)).map(unit)
            }
            Op::Access { path, mode } => sys::access(&c_path(path.as_slice())?, *mode).map(unit),
            Op::Readv { slot, lens } => {
                let mut buffers: Vec<Vec<u8>> = lens.iter().map(|len| vec![0; *len as usize]).collect();
                let got = sys::readv(number(slots, *slot), &mut buffers)?;
                let mut all = buffers.concat();
                all.truncate(got);
                Ok(Value::Bytes(Bytes::from(all)))
            }
            Op::Writev { slot, parts } => {
                let parts: Vec<&[u8]> = parts.iter().map(Bytes::as_slice).collect();
                sys::writev(number(slots, *slot), &parts).map(Value::Count)
            }
            Op::Dup { slot, to } => {
                let fd = sys::dup(number(slots, *slot))?;
                *slots.get_mut(usize::from(*to)).ok_or(Errno::EBADF)? = Some(fd);
                self.marks[usize::from(*to)].clear();
                Ok(Value::Unit)
            }
            Op::Faccessat { path, mode, flags } => sys::faccessat(&c_path(path.as_slice())?, *mode, flags.0).map(unit),
            Op::Fchmodat { path, mode, flags } => sys::fchmodat(&c_path(path.as_slice())?, *mode, flags.0).map(unit),
            Op::Statfs { path } => sys::statfs(&c_path(path.as_slice())?).map(Value::Filesystem),
            Op::Fstatfs { slot } => sys::fstatfs(number(slots, *slot)).map(Value::Filesystem),
            Op::Syncfs { slot } => sys::syncfs(number(slots, *slot)).map(unit),
            Op::Chdir { path } => sys::chdir(&c_path(path.as_slice())?).map(unit),
            Op::Fchdir { slot } => sys::enter(number(slots, *slot)).map(unit),
            Op::Getcwd => {
                let got = sys::getcwd(&mut self.buffer[..4096])?;
                Ok(Value::Bytes(Bytes::from(&self.buffer[..got.saturating_sub(1)])))
            }
            Op::CopyFileRange { from, from_at, to, to_at, len } => {
                let (from, to) = (number(slots, *from), number(slots, *to));
                sys::copy_file_range(from, *from_at, to, *to_at, *len as usize).map(Value::Count)
            }
            Op::Sendfile { to, from, from_at, len } => {
                let (from, to) = (number(slots, *from), number(slots, *to));
                sys::sendfile(to, from, *from_at, *len as usize).map(Value::Count)
            }
            Op::Fallocate { slot, offset, len, mode } => {
                sys::fallocate(number(slots, *slot), mode.0, *offset, *len).map(unit)
            }
            Op::Umask { .. } | Op::Remount | Op::Rotate | Op::DropCaches | Op::TryMount { .. } | Op::Observe => {
                Ok(Value::Unit)
            }
        }
    }

    fn drop_caches(&self, held: &Held) -> Result<Value, Errno> {
        // Without an overlay the superblock is that of the layers, whose mount is elsewhere.
        let mount = match &held.mounted {
            Some(mounted) if self.target.has_upper() => mounted.root.as_fd(),
            _ => self.scratch.mount(),
        };
        let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
        let fs = fspick(mount, "", flags).map_err(errno)?;
        fsconfig_reconfigure(&fs).map_err(errno)?;
        Ok(Value::Unit)
    }

    /// Makes the layers of a case, and reads the lower ones back.
    fn make_stack(&mut self, case: &Case) -> Result<(Stack, Vec<TreeSeen>), ExecError> {
        let reaper = &self.reaper;
        let dir = self.scratch.case_dir(|old| reaper.bury(old))?;
        let mut lowers = Vec::new();
        let mut lower_fds = Vec::new();
        let mut others: Vec<OwnedFd> = Vec::new();
        for (index, layer) in case.lowers.iter().enumerate() {
            let name = format!("l{index}");
            let (at, name) = match layer.filesystem() {
                // The layer of a plain directory is where the steps work.
                _ if !self.target.has_upper() => (dir.fd.as_fd(), name),
                0 => (dir.fd.as_fd(), name),
                on => {
                    let other = self.scratch.other_dir(on)?;
                    let path = other.path.map(|path| format!("{path}/{name}"));
                    others.push(other.fd);
                    (others[others.len() - 1].as_fd(), path.unwrap_or_default())
                }
            };
            lower_fds.push(self.make_layer(at, &format!("l{index}"), layer)?);
            lowers.push(name);
        }
        let upper_fd = self.make_layer(dir.fd.as_fd(), "upper", &case.upper)?;
        let work_fd = new_dir(&dir.fd, "work")?;
        let trees = match self.target.has_upper() {
            true => layers::read(&mut self.looker, &lower_fds)?,
            false => Vec::new(),
        };
        let digest = layers::digest_of_all(&trees, layers::digest_detail(&self.environment.kernel));
        let digest = LowerDigest { before: digest, after: digest };
        let (upper, work) = ("upper".to_owned(), "work".to_owned());
        let (rotations, grounds, rotated) = (0, 0, None);
        let stack =
            Stack { dir, lowers, lower_fds, upper, upper_fd, work, work_fd, rotations, grounds, digest, rotated };
        Ok((stack, trees))
    }

    fn make_layer(&self, dir: BorrowedFd<'_>, name: &str, layer: &Layer) -> Result<OwnedFd, ExecError> {
        let fd = new_dir(dir, name)?;
        layers::make(fd.as_fd(), layer, self.environment.privilege)?;
        Ok(fd)
    }

    /// Digests the lower layers again. A difference, once found, stays.
    fn digest_again(&mut self, stack: &mut Stack) -> Result<(), ExecError> {
        // The plain target's only layer is the one that steps change.
        if self.target.has_upper() && stack.digest.before == stack.digest.after {
            stack.digest.after =
                layers::digest(&mut self.looker, &stack.lower_fds, layers::digest_detail(&self.environment.kernel))?;
        }
        Ok(())
    }

    fn mount(&mut self, stack: &Stack, case: &Case, held: &mut Held) -> Result<(), MountFailure> {
        sys::fchdir(stack.dir.fd.as_fd()).doing("entering the directory of a case")?;
        let layers = Layers {
            base: stack.dir.fd.as_fd(),
            path: stack.dir.path.as_ref(),
            lowers: &stack.lowers,
            lower_fds: &stack.lower_fds,
            upper: &stack.upper,
            work: &stack.work,
            options: &case.options,
        };
        let mounted = held.mounted.insert(self.target.mount(&layers)?);
        enter_root(mounted.root.as_fd()).map_err(|e| {
            MountFailure::Refused(MountError { errno: e, message: "the merged root cannot be entered".into() })
        })
    }

    fn mount_anew(
        &mut self,
        rotate: bool,
        case: &Case,
        stack: &mut Stack,
        held: &mut Held,
    ) -> Result<(), MountFailure> {
        held.slots = Default::default();
        held.cwd = None;
        self.home.enter()?;
        if let Some(mounted) = held.mounted.take() {
            self.target.unmount(mounted, TakeDown::Now)?;
        }
        if rotate && self.target.has_upper() {
            self.digest_again(stack)?;
            stack.rotations += 1;
            let upper = format!("upper{}", stack.rotations);
            let work = format!("work{}", stack.rotations);
            let upper_fd = self.make_layer(stack.dir.fd.as_fd(), &upper, &Layer::default())?;
            stack.work_fd = new_dir(&stack.dir.fd, &work)?;
            stack.lowers.insert(0, std::mem::replace(&mut stack.upper, upper));
            stack.lower_fds.insert(0, std::mem::replace(&mut stack.upper_fd, upper_fd));
            stack.work = work;
            stack.rotated = layers::read(&mut self.looker, &stack.lower_fds[..1])?.pop();
            if stack.digest.before == stack.digest.after {
                let detail = layers::digest_detail(&self.environment.kernel);
                let digest = layers::digest(&mut self.looker, &stack.lower_fds, detail)?;
                stack.digest = LowerDigest { before: digest, after: digest };
            }
        }
        self.mount(stack, case, held)
    }

    /// Tries another mount on a ground of its own, and goes back to the merged root.
    fn try_mount(
        &mut self,
        options: &[Bytes],
        stack: &mut Stack,
        held: &Held,
    ) -> Result<Result<Value, Errno>, ExecError> {
        // Whoever wrote the case: a mount must not find anything but its ground.
        if !options.iter().all(|option| ground::is_confined(option.as_slice())) {
            return Err(ExecError::Internal("an option of a tried mount leads out of its ground".into()));
        }
        stack.grounds += 1;
        let place = trial::make_ground(stack.dir.fd.as_fd(), &format!("ground{}", stack.grounds))?;
        sys::fchdir(place.as_fd()).doing("entering the ground of a tried mount")?;
        let tried = self.target.try_mount(options);
        let seen = tried.and_then(|mounted| trial::look(&mut self.looker, mounted, place.as_fd()).map(Value::Names));
        if let Some(mounted) = &held.mounted {
            sys::fchdir(mounted.root.as_fd()).doing("going back to the merged root")?;
        }
        Ok(seen)
    }

    /// Looks at merged, upper and work, at everything or at what suffices between two steps. The error is that of a root that cannot be entered.
    fn look_at_all(&mut self, stack: &mut Stack, held: &Held, everything: bool) -> Result<Observation, Errno> {
        let mounted = held.mounted.as_ref().ok_or(Errno::ENOTCONN)?;
        let from = before();
        let detail = |usual| if everything { Detail::ALL } else { usual };
        let merged = self.looker.tree(mounted.root.as_fd(), detail(Detail::MERGED))?;
        let (mut upper, mut work) = Default::default();
        if self.target.has_upper() {
            upper = self.looker.tree(stack.upper_fd.as_fd(), detail(Detail::UPPER))?;
            work = self.looker.tree(stack.work_fd.as_fd(), Detail::ATTRIBUTES)?;
        }
        sys::fchdir(mounted.root.as_fd())?;
        Ok(Observation { span: span_since(from), merged, upper, work, rotated: stack.rotated.take() })
    }
}

/// The target's root cannot be entered any more: it died in this step.
fn gone(step: u32, e: Errno) -> Stop {
    match e {
        Errno::ENOTCONN | Errno::ECONNABORTED | Errno::EIO | Errno::ESTALE => {
            Stop::End(End::Died { step, how: format!("the merged root cannot be entered any more: {e}") })
        }
        e => Stop::Error(failure(e, &format!("looking at the trees after step {step}"))),
    }
}

/// Makes an xattr call on what it is about.
fn on_file<T>(
    on: &On,
    slots: &[Option<OwnedFd>; SLOTS],
    call: impl FnOnce(sys::XattrOf<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    match on {
        On::Path(path) => call(sys::XattrOf::Path(&c_path(path.as_slice())?)),
        On::Link(path) => call(sys::XattrOf::Link(&c_path(path.as_slice())?)),
        On::Slot(slot) => call(sys::XattrOf::Fd(number(slots, *slot))),
    }
}

/// The descriptor in a slot; -1 when it is empty.
fn number(slots: &[Option<OwnedFd>; SLOTS], slot: Slot) -> i32 {
    slots.get(usize::from(slot)).and_then(Option::as_ref).map_or(-1, AsRawFd::as_raw_fd)
}
