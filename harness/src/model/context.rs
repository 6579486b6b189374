//! What the model is told of the world: privilege, kernel, traits of filesystems.

use super::traits::Traits;
use crate::trace::{Environment, Filesystem, Kind, Privilege, kernel_version};

/// What is under test: an overlay or a plain directory (the same pipeline without layers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// An overlay of upper and lower layers.
    Overlay,
    /// A plain filesystem.
    Plain,
}

/// Everything that the model's answers depend on, besides the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Overlay or plain.
    pub view: View,
    /// Root or rootless.
    pub privilege: Privilege,
    /// Kernel version: major, minor.
    pub kernel: (u32, u32),
    /// `fs.protected_symlinks`.
    pub protected_symlinks: bool,
    /// `fs.protected_hardlinks`.
    pub protected_hardlinks: bool,
    /// `fs.protected_fifos` and `fs.protected_regular`: 0, 1 or 2.
    pub protected_create: [u8; 2],
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
            kernel,
            protected_symlinks,
            protected_hardlinks,
            protected_create,
            // One that has no traits here is taken for a tmpfs.
            traits: Traits::of(Filesystem::named(&environment.filesystem).unwrap_or_default(), kernel),
        }
    }

    /// The context that cases are drawn in, before anything has run.
    pub fn assumed(privilege: Privilege) -> Context {
        Context {
            view: View::Overlay,
            privilege,
            kernel: (6, 12),
            protected_symlinks: false,
            protected_hardlinks: true,
            protected_create: [0, 0],
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

    /// Whether an xattr can make a whiteout (`ovl_path_check_xwhiteout_xattr`, since 6.7).
    pub fn knows_xattr_whiteouts(&self) -> bool {
        self.view == View::Overlay && self.kernel >= (6, 7)
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
