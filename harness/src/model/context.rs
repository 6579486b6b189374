//! What the model is told of the world: privilege, kernel, traits of filesystems.

use super::traits::Traits;
use crate::trace::{Environment, Filesystem, Kind, Privilege, kernel_version, stable_patch};

/// What is under test: an overlay or a plain directory (the same pipeline without layers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// An overlay of upper and lower layers.
    Overlay,
    /// A plain filesystem.
    Plain,
}

/// Stable releases from which on copy-up leaves taken names alone ([`Context::never_replaces`]).
const FIRST_WITH: [((u32, u32), u32); 2] = [((6, 12), 117), ((7, 3), 4)];

/// Stable releases up to which it does not: the change log of 6.12 says so, the others were tried.
const LAST_WITHOUT: [((u32, u32), u32); 8] = [
    ((5, 10), 262),
    ((6, 1), 192),
    ((6, 12), 116),
    ((6, 16), 12),
    ((6, 17), 13),
    ((6, 18), 44),
    ((7, 0), 13),
    ((7, 2), 13),
];

/// Everything that the model's answers depend on, besides the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Overlay or plain.
    pub view: View,
    /// Root or rootless.
    pub privilege: Privilege,
    /// Whether what is under test is the kernel's own.
    pub in_kernel: bool,
    /// Kernel version: major, minor.
    pub kernel: (u32, u32),
    /// Its stable point release, where the version says one ([`stable_patch`]): a fix may come with it.
    pub patch: Option<u32>,
    /// `fs.protected_symlinks`.
    pub protected_symlinks: bool,
    /// `fs.protected_hardlinks`.
    pub protected_hardlinks: bool,
    /// `fs.protected_fifos` and `fs.protected_regular`: 0, 1 or 2.
    pub protected_create: [u8; 2],
    /// The overlay module's parameter `xino_auto`.
    pub xino_auto: bool,
    /// Of the layers' filesystem.
    pub traits: Traits,
}

impl Context {
    /// The context of a trace.
    pub fn of(environment: &Environment) -> Context {
        let view = if environment.target == "plain" { View::Plain } else { View::Overlay };
        let kernel = kernel_version(&environment.kernel);
        let setting = |name: &str| {
            let found = environment.sysctl.iter().find(|(n, _)| n == name);
            found.and_then(|(_, value)| value.parse::<u8>().ok()).unwrap_or(0)
        };
        let protected_symlinks = setting("fs.protected_symlinks") != 0;
        let protected_hardlinks = setting("fs.protected_hardlinks") != 0;
        let protected_create = [setting("fs.protected_fifos"), setting("fs.protected_regular")];
        Context {
            view,
            privilege: environment.privilege,
            in_kernel: environment.target == "kernel",
            kernel,
            patch: stable_patch(&environment.kernel),
            protected_symlinks,
            protected_hardlinks,
            protected_create,
            xino_auto: environment.module.iter().any(|(name, value)| name == "xino_auto" && value == "Y"),
            // One that has no traits here is taken for a tmpfs.
            traits: Traits::of(Filesystem::named(&environment.filesystem).unwrap_or_default(), kernel),
        }
    }

    /// The context that cases are drawn in, before anything has run.
    pub fn assumed(privilege: Privilege) -> Context {
        Context {
            view: View::Overlay,
            privilege,
            in_kernel: true,
            kernel: (6, 12),
            patch: None,
            protected_symlinks: false,
            protected_hardlinks: true,
            protected_create: [0, 0],
            xino_auto: false,
            traits: Traits::default(),
        }
    }

    /// Whether private xattrs are `user.overlay.*`.
    pub fn userxattr(&self) -> bool {
        self.privilege == Privilege::Rootless
    }

    /// Whether the overlay can decode file handles, and so stores real ones (MNT-41).
    pub fn decodes_handles(&self) -> bool {
        self.privilege == Privilege::Root
    }

    /// Whether mounts can be tried: on a kernel that takes layers one by one, since 6.8. What came before parsed
    /// all options at once, and found errors in another order.
    pub fn tries_mounts(&self) -> bool {
        self.in_kernel && self.kernel >= (6, 8)
    }

    /// Whether an xattr can make a whiteout (`ovl_path_check_xwhiteout_xattr`, since 6.7).
    pub fn knows_xattr_whiteouts(&self) -> bool {
        self.view == View::Overlay && self.kernel >= (6, 7)
    }

    /// Whether copy-up leaves alone what has taken the name of a removed object that is no regular file; `None`
    /// where the version does not tell: "ovl: do not copy up a dentry that was removed" came to 7.3 and to stable
    /// releases of that time, and a version that names no point release may have it from its distribution.
    pub fn never_replaces(&self) -> Option<bool> {
        if self.kernel >= (7, 4) {
            return Some(true);
        }
        let patch = self.patch?;
        let with = FIRST_WITH.iter().any(|(kernel, first)| *kernel == self.kernel && patch >= *first);
        let without = LAST_WITHOUT.iter().any(|(kernel, last)| *kernel == self.kernel && patch <= *last);
        (with || without).then_some(with)
    }

    /// Whether `user.*` xattrs exist on an object of this kind (`xattr_permission`; on sockets since 7.1).
    pub fn takes_user_xattrs(&self, kind: Kind) -> bool {
        matches!(kind, Kind::File | Kind::Dir) || kind == Kind::Socket && self.kernel >= (7, 1)
    }

    /// Whether the caller has CAP_FSETID and CAP_MKNOD in the initial user namespace.
    pub fn initial_capabilities(&self) -> bool {
        self.privilege == Privilege::Root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn point_releases_tell_whether_taken_names_are_left_alone() {
        for (release, expected) in [
            ("6.12.117+deb12-cloud-amd64", Some(true)),
            ("6.12.116", Some(false)),
            ("6.12-rc3", None),
            ("6.1.0-56-cloud-amd64", None),
            ("6.1.192", Some(false)),
            ("6.1.193", None),
            ("6.18.44-fc", Some(false)),
            ("7.3.4+deb13-cloud-amd64", Some(true)),
            ("7.3.0", None),
            ("7.4.0-rc1", Some(true)),
        ] {
            let context = Context {
                kernel: kernel_version(release),
                patch: stable_patch(release),
                ..Context::assumed(Privilege::Root)
            };
            assert_eq!(context.never_replaces(), expected, "{release}");
        }
    }
}
