//! Mount options: what a case asks for, and what the kernel makes of it (`ovl_fs_params_verify`).

use super::clause::{Clause, Rules};
use super::context::Context;
use crate::errno::Errno;
use crate::trace::Privilege;

/// What `redirect_dir=` comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirect {
    /// Renaming a lower or merged directory leaves a redirect; redirects are followed.
    On,
    /// Redirects are followed and never made. `off` means this too, with default module parameters
    /// (MNT-26).
    #[default]
    Follow,
    /// Redirects are neither made nor followed.
    NoFollow,
}

/// What `uuid=` comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Uuid {
    /// An upper root that is fresh gets a uuid.
    #[default]
    Auto,
    /// An upper root without a uuid gets one.
    On,
    /// None is written (`null`, `off`).
    Null,
}

/// What `xino=` comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xino {
    /// Numbers are not marked.
    #[default]
    Off,
    /// They are, where every layer's filesystem can be told by its file handles.
    Auto,
    /// They are.
    On,
}

/// The effective mount options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `redirect_dir`
    pub redirect: Redirect,
    /// `index=on`: hard links of lower files stay together.
    pub index: bool,
    /// `metacopy=on`: changes of attributes copy no data up.
    pub metacopy: bool,
    /// `xino`, whether or not layers need it.
    pub xino: Xino,
    /// `uuid`
    pub uuid: Uuid,
    /// `volatile`
    pub volatile: bool,
    /// `strictatime`, which is the mount's and not the overlay's: without it all is mounted `noatime`.
    pub strictatime: bool,
}

/// What the options of a mount meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// There is an upper layer.
    pub upper: bool,
    /// There is a layer for data alone.
    pub data_only: bool,
    /// Private xattrs are to be `user.overlay.*`.
    pub userxattr: bool,
}

/// The options that the model knows, each with the values it may have.
const KNOWN: &[(&str, &[&str])] = &[
    ("redirect_dir", &["on", "off", "follow", "nofollow"]),
    ("index", &["on", "off"]),
    ("metacopy", &["on", "off"]),
    ("xino", &["on", "off", "auto"]),
    ("uuid", &["on", "off", "null", "auto"]),
    ("volatile", &[]),
    ("nfs_export", &["on", "off"]),
    ("default_permissions", &[]),
    ("strictatime", &[]),
];

impl Options {
    /// The first option that the model knows nothing of. Of `nfs_export=on` it knows what it cannot be together with.
    pub fn unknown(asked: &[String]) -> Option<&str> {
        let refused = last(asked, "index") == Some("off") || last(asked, "metacopy") == Some("on");
        if let Some(option) = asked.iter().find(|option| *option == "nfs_export=on" && !refused) {
            return Some(option);
        }
        asked.iter().map(String::as_str).find(|option| {
            let (name, value) = option.split_once('=').map_or((*option, None), |(n, v)| (n, Some(v)));
            !KNOWN.iter().any(|(known, values)| {
                *known == name && value.map_or(values.is_empty(), |value| values.contains(&value))
            })
        })
    }

    /// What the kernel makes of the options that a case asks for: the last of each name counts (MNT-03).
    ///
    /// # Errors
    /// The errno that the mount gives.
    pub fn effective(asked: &[String], context: &Context, rules: &mut Rules) -> Result<Options, Errno> {
        // uuid= came with 5.11, and had two values until 6.6 gave it a meaning beyond file handles.
        let uuid = last(asked, "uuid");
        if context.kernel < (5, 11) && uuid.is_some()
            || context.kernel < (6, 6) && matches!(uuid, Some("null" | "auto"))
        {
            return Err(Errno::EINVAL);
        }
        let around = Around { upper: true, data_only: false, userxattr: context.userxattr() };
        Options::verified(asked, around, context, rules)
    }

    /// What the kernel makes of options that are well formed each, with such layers.
    ///
    /// # Errors
    /// The errno that the mount gives for options that do not go together, or that the caller may not ask for.
    pub(super) fn verified(
        asked: &[String],
        around: Around,
        context: &Context,
        rules: &mut Rules,
    ) -> Result<Options, Errno> {
        let last = |name: &str| last(asked, name);
        let on = |name: &str| last(name).map(|value| value == "on");
        let redirect = last("redirect_dir").map(|value| match value {
            "on" => Redirect::On,
            "nofollow" => Redirect::NoFollow,
            // Without an upper layer nothing is renamed, and to follow is all that there is (MNT-25).
            _ if !around.upper => Redirect::On,
            _ => Redirect::Follow,
        });
        let metacopy = on("metacopy");
        // An index that nothing is written to is not asked for (MNT-25).
        let index = on("index").filter(|on| around.upper || !on);
        let flag = |name: &str| asked.iter().any(|o| o == name);
        let mut options = Options {
            redirect: redirect.unwrap_or_default(),
            index: index == Some(true),
            metacopy: metacopy.unwrap_or(false),
            xino: match last("xino") {
                Some("on") => Xino::On,
                Some("auto") => Xino::Auto,
                Some(_) => Xino::Off,
                None if context.xino_auto == rules.holds(Clause::InoDefault) => Xino::Auto,
                None => Xino::Off,
            },
            uuid: match last("uuid") {
                Some("on") => Uuid::On,
                Some("null" | "off") => Uuid::Null,
                _ => Uuid::Auto,
            },
            volatile: flag("volatile"),
            strictatime: flag("strictatime"),
        };
        let redirects = redirect.is_none_or(|r| r == Redirect::On);
        if options.metacopy && !redirects && rules.holds(Clause::MntMetacopyRedirect) {
            return Err(Errno::EINVAL);
        }
        // Without an upper layer the index that exporting needs is not there, and following redirects is
        // enough to give it up.
        let exports = on("nfs_export") == Some(true)
            && !(!around.upper && redirect != Some(Redirect::NoFollow) && rules.holds(Clause::MntExportLower));
        if exports && index == Some(false) && rules.holds(Clause::MntExportIndex) {
            return Err(Errno::EINVAL);
        }
        if exports && index.is_none() && rules.holds(Clause::MntExportImplies) {
            options.index = true;
        }
        if exports && options.metacopy && rules.holds(Clause::MntExportMetacopy) {
            return Err(Errno::EINVAL);
        }
        let trusted = context.privilege == Privilege::Root;
        let follows = redirect.is_some_and(|r| r != Redirect::NoFollow);
        if around.userxattr {
            if (follows || options.metacopy) && rules.holds(Clause::MntUserxattr) {
                return Err(Errno::EINVAL);
            }
            (options.redirect, options.metacopy) = (Redirect::NoFollow, false);
        } else if !trusted && (follows || options.metacopy || around.data_only) && rules.holds(Clause::MntDenied) {
            return Err(Errno::EPERM);
        }
        if around.data_only && !options.metacopy {
            let needs = context.kernel < (6, 16);
            if needs == rules.holds(Clause::MntDataMetacopy) {
                return Err(Errno::EINVAL);
            }
        }
        if !context.decodes_handles() {
            // There are no file handles to find an index entry by (MNT-41).
            options.index = false;
        }
        if options.metacopy && redirect.is_none() && rules.holds(Clause::MntMetacopyImplies) {
            options.redirect = Redirect::On;
        }
        Ok(options)
    }

    /// Whether the option of this name takes such a value, or none; `None` if there is no such option.
    pub(super) fn takes(name: &str, value: Option<&str>) -> Option<bool> {
        let mounts = |known: &&(&str, &[&str])| known.0 == name && name != "strictatime";
        let (_, values) = KNOWN.iter().find(mounts)?;
        Some(value.map_or(values.is_empty(), |value| values.contains(&value)))
    }

    /// Whether redirects are followed.
    pub fn follows(&self) -> bool {
        self.redirect != Redirect::NoFollow
    }

    /// Whether a feature is on that forbids changing layers offline (`ovl_allow_offline_changes`).
    pub fn forbids_offline_changes(&self) -> bool {
        self.index || self.metacopy || self.redirect == Redirect::On || self.xino == Xino::On
    }
}

/// The value of an option: the last one that was asked for.
fn last<'a>(asked: &'a [String], name: &str) -> Option<&'a str> {
    asked.iter().rev().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}
