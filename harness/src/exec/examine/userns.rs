//! User namespaces: whether there are any for an ordinary user, and if not, which of the usual reasons it is.

use std::fs;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::child::in_child;
use crate::errno::Errno;
use crate::exec::scratch;
use crate::exec::sys;

/// Who an ordinary user is when root asks.
const NOBODY: u32 = 65534;

/// How far an ordinary user gets with a user namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reached {
    /// Giving up root failed.
    Nowhere(Errno),
    /// `unshare(CLONE_NEWUSER)` failed.
    NoNamespace(Errno),
    /// The id maps cannot be written.
    NoIds(Errno),
    /// No mount namespace in it, or no mount in that.
    NoMount(String),
    /// It all works.
    Mounted,
}

/// What the machine says about itself.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// `user.max_user_namespaces`, if there is such a setting.
    limit: Option<u64>,
    /// `kernel.unprivileged_userns_clone` is 0 (Debian's switch).
    switched_off: bool,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1.
    apparmor: bool,
    /// A seccomp filter is on this process.
    seccomp: bool,
    /// The kind of container this is.
    container: Option<String>,
    /// The kernel has user namespaces.
    built_in: bool,
}

impl Facts {
    fn read() -> Facts {
        let number = |path: &str| fs::read_to_string(path).ok().and_then(|s| s.trim().parse::<u64>().ok());
        Facts {
            limit: number("/proc/sys/user/max_user_namespaces"),
            switched_off: number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1),
            seccomp: has_seccomp_filter(),
            container: container(),
            built_in: fs::symlink_metadata("/proc/self/ns/user").is_ok(),
        }
    }
}

/// Whether a seccomp filter is on this process.
fn has_seccomp_filter() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|l| l.strip_prefix("Seccomp:").is_some_and(|v| v.trim() == "2"))
}

/// The kind of container that this process is in, by the marks that engines leave.
fn container() -> Option<String> {
    if fs::symlink_metadata("/.dockerenv").is_ok() {
        return Some("Docker".into());
    }
    if fs::symlink_metadata("/run/.containerenv").is_ok() {
        return Some("Podman".into());
    }
    if let Ok(kind) = fs::read_to_string("/run/systemd/container") {
        return Some(kind.trim().to_owned());
    }
    let environment = fs::read("/proc/1/environ").unwrap_or_default();
    let named = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"container="));
    if let Some(kind) = named.filter(|k| !k.is_empty()) {
        return Some(String::from_utf8_lossy(kind).into_owned());
    }
    let groups = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    ["docker", "kubepods", "libpod", "lxc"].into_iter().find(|k| groups.contains(k)).map(str::to_owned)
}

/// Who this is, where it is, and whether there are user namespaces.
pub(super) fn answers() -> Vec<Answer> {
    let facts = Facts::read();
    let uid = rustix::process::geteuid();
    let root = if uid.is_root() {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let all = map.split_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"];
        if all {
            Answer::yes("root", "root", "in the initial user namespace")
        } else {
            Answer::no(
                "root",
                "root of the machine",
                "uid 0 of a user namespace",
                "run in the initial user namespace, or --rootless",
            )
        }
    } else {
        Answer::no("root", "root", format!("uid {}", uid.as_raw()), "run as root for disks, devices and trusted.*")
    };
    let place = match (&facts.container, facts.seccomp) {
        (Some(kind), true) => format!("in a container ({kind}) with a seccomp filter"),
        (Some(kind), false) => format!("in a container ({kind}) without a seccomp filter"),
        (None, true) => "no container, but a seccomp filter is on this process".to_owned(),
        (None, false) => "no container and no seccomp filter".to_owned(),
    };
    let userns = match in_child(reach) {
        Ok(reached) => judge(&reached, &facts),
        Err(e) => Answer::no("userns", QUESTION, e.to_string(), "this should work here: report it"),
    };
    vec![root, Answer::fact("place", "where", place), userns]
}

const QUESTION: &str = "user namespaces for ordinary users";

/// Goes as far as it can. For a child process.
fn reach() -> Reached {
    if rustix::process::geteuid().is_root() {
        if let Err(e) = sys::drop_ids(NOBODY, NOBODY).and_then(|()| sys::set_dumpable()) {
            return Reached::Nowhere(e);
        }
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if let Err(e) = sys::unshare(libc::CLONE_NEWUSER) {
        return Reached::NoNamespace(e);
    }
    let write = |what: &str, text: String| fs::write(format!("/proc/self/{what}"), text);
    let maps = write("setgroups", "deny".into())
        .and_then(|()| write("uid_map", format!("0 {uid} 1\n")))
        .and_then(|()| write("gid_map", format!("0 {gid} 1\n")));
    if let Err(e) = maps {
        return Reached::NoIds(Errno(e.raw_os_error().unwrap_or(libc::EIO)));
    }
    if let Err(e) = sys::unshare(libc::CLONE_NEWNS) {
        return Reached::NoMount(format!("unshare(CLONE_NEWNS) in it gives {e}"));
    }
    match scratch::tmpfs() {
        Ok(_) => Reached::Mounted,
        Err(e) => Reached::NoMount(e.to_string()),
    }
}

/// Which of the usual reasons it is.
fn judge(reached: &Reached, facts: &Facts) -> Answer {
    let no = |detail: String, remedy: &str| Answer::no("userns", QUESTION, detail, remedy);
    let engine = "run the container with --privileged, or with a seccomp profile that allows unshare and mount";
    let in_container = facts.container.as_deref();
    match reached {
        Reached::Mounted => Answer::yes("userns", QUESTION, "made one and mounted a tmpfs in it"),
        Reached::Nowhere(e) => {
            no(format!("uid {NOBODY} cannot be taken on: {e}"), "run as an ordinary user instead of as root")
        }
        Reached::NoNamespace(_) if !facts.built_in => {
            no("the kernel has none".into(), "use a kernel built with CONFIG_USER_NS")
        }
        Reached::NoNamespace(Errno::ENOSPC) if facts.limit == Some(0) => {
            no("off: user.max_user_namespaces is 0".into(), "sysctl user.max_user_namespaces=15000")
        }
        Reached::NoNamespace(Errno::ENOSPC) => no(
            "the limit is reached: user.max_user_namespaces, or 32 levels".into(),
            "raise sysctl user.max_user_namespaces, or run outside the nested container",
        ),
        Reached::NoNamespace(_) if facts.switched_off => {
            no("off: kernel.unprivileged_userns_clone is 0".into(), "sysctl kernel.unprivileged_userns_clone=1")
        }
        Reached::NoNamespace(e) if facts.seccomp && in_container.is_some() => {
            let kind = in_container.unwrap_or_default();
            no(format!("refused ({e}) by the seccomp filter of this container ({kind})"), engine)
        }
        Reached::NoNamespace(e) if facts.seccomp => no(
            format!("refused ({e}), probably by the seccomp filter on this process"),
            "start it outside the sandbox that set the filter",
        ),
        Reached::NoNamespace(Errno::EPERM) => no(
            "refused (EPERM) although no switch is off".into(),
            "leave the chroot, or ask the security module's log: user namespaces may be denied to this program",
        ),
        Reached::NoNamespace(e) => no(format!("unshare gives {e}"), "look up CONFIG_USER_NS of this kernel"),
        Reached::NoIds(e) if facts.apparmor => no(
            format!("restricted by AppArmor: a namespace can be made, but gives no rights ({e})"),
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with 'userns,'",
        ),
        Reached::NoIds(e) => no(
            format!("a namespace can be made, but writing its id maps gives {e}"),
            if in_container.is_some() {
                engine
            } else {
                "see user_namespaces(7), 'Defining user and group ID mappings'"
            },
        ),
        Reached::NoMount(said) if facts.apparmor => no(
            format!("restricted by AppArmor: {said}"),
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with 'userns,'",
        ),
        Reached::NoMount(said) if in_container.is_some() => no(said.clone(), engine),
        Reached::NoMount(said) => no(said.clone(), "allow it in the security module or sandbox that refuses it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reached: Reached, facts: Facts, detail: &str, remedy: &str) {
        let answer = judge(&reached, &facts);
        assert_eq!(answer.yes, Some(false));
        assert!(answer.detail.contains(detail), "no '{detail}' in {answer:?}");
        assert!(answer.remedy.contains(remedy), "no '{remedy}' in {answer:?}");
    }

    fn facts() -> Facts {
        Facts { built_in: true, limit: Some(1000), ..Facts::default() }
    }

    #[test]
    fn reasons_are_told_apart() {
        let docker = Some("Docker".to_owned());
        let none = Reached::NoNamespace;
        check(none(Errno::EINVAL), Facts::default(), "the kernel has none", "CONFIG_USER_NS");
        check(none(Errno::ENOSPC), Facts { limit: Some(0), ..facts() }, "off", "user.max_user_namespaces");
        check(none(Errno::ENOSPC), facts(), "limit is reached", "raise");
        check(none(Errno::EPERM), Facts { switched_off: true, ..facts() }, "off", "unprivileged_userns_clone=1");
        check(
            none(Errno::EPERM),
            Facts { seccomp: true, container: docker.clone(), ..facts() },
            "seccomp filter of this container (Docker)",
            "--privileged",
        );
        check(none(Errno::EPERM), Facts { seccomp: true, ..facts() }, "seccomp", "sandbox");
        check(none(Errno::EPERM), facts(), "no switch is off", "chroot");
        check(Reached::NoIds(Errno::EPERM), Facts { apparmor: true, ..facts() }, "AppArmor", "apparmor_restrict");
        check(Reached::NoIds(Errno::EPERM), facts(), "id maps", "user_namespaces(7)");
        check(
            Reached::NoMount("x".into()),
            Facts { apparmor: true, container: docker.clone(), ..facts() },
            "AppArmor",
            "apparmor_restrict",
        );
        check(Reached::NoMount("x".into()), Facts { container: docker, ..facts() }, "x", "--privileged");
        check(Reached::NoMount("x".into()), facts(), "x", "security module");
        assert_eq!(judge(&Reached::Mounted, &facts()).yes, Some(true));
    }
}
