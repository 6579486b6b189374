//! What kind of cases to draw, and the seed of each.

use std::ops::RangeInclusive;

use crate::trace::{Filesystem, Privilege};

/// What kind of cases to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How many steps, observations included.
    pub steps: RangeInclusive<usize>,
    /// How many lower layers; at least one is made, and where there may be several, in one case of 25 up to six.
    pub lowers: RangeInclusive<usize>,
    /// How many entries in all layers together; fewer where the names do not suffice.
    pub entries: RangeInclusive<usize>,
    /// Rootless cases have no devices but whiteouts, and every entry belongs to 0:0.
    pub privilege: Privilege,
    /// Sets of mount options; each case has one of them, the first in half of the cases.
    pub options: Vec<Vec<String>>,
    /// At most so many steps go by without an `observe`; at least 1.
    pub observe_within: usize,
    /// Of a thousand cases so many have a directory that takes several calls to list, beyond `entries`.
    pub wide: usize,
    /// In so many cases of a hundred lower layers lie on several filesystems.
    pub spread: usize,
    /// Whether entries may carry `user.*` xattrs, which some filesystems refuse.
    pub user_xattrs: bool,
    /// Whether layers hold whiteouts and private xattrs, for targets that know those of Linux.
    pub marks: bool,
    /// Whether layers hold whiteouts that are files with an xattr, which only Linux knows.
    pub xattr_whiteouts: bool,
    /// Whether files may have security.capability, where root draws: that is for Linux alone to say.
    pub capabilities: bool,
    /// Whether there are access control lists.
    pub acls: bool,
    /// Whether the upper layer holds the marks of what is immutable or append-only, which only Linux knows.
    pub protected: bool,
    /// Whether names may begin with `.wh.`, which other implementations take for whiteouts as AUFS has them.
    pub reserved_names: bool,
}

impl Profile {
    /// Short cases with default options for this privilege.
    pub fn new(privilege: Privilege) -> Profile {
        Profile {
            steps: 10..=30,
            lowers: 1..=3,
            entries: 5..=40,
            privilege,
            options: usual_options(privilege),
            observe_within: 10,
            wide: 4,
            spread: 8,
            user_xattrs: true,
            marks: true,
            xattr_whiteouts: true,
            capabilities: privilege == Privilege::Root,
            acls: true,
            protected: true,
            reserved_names: true,
        }
    }

    /// The same for a filesystem in a kernel of this version: on tmpfs user.* xattrs came with 6.6, and whiteouts by
    /// xattr with 6.7.
    pub fn on(self, filesystem: Filesystem, kernel: (u32, u32)) -> Profile {
        Profile {
            user_xattrs: filesystem != Filesystem::Tmpfs || kernel >= (6, 6),
            xattr_whiteouts: self.xattr_whiteouts && kernel >= (6, 7),
            ..self
        }
    }

    /// The same without mount options, for targets that may not take them.
    pub fn without_options(self) -> Profile {
        Profile { options: vec![Vec::new()], ..self }
    }
}

/// The sets of options that cases are drawn with, as often as they are worth: none, each feature alone and
/// with others, and a few that the kernel refuses.
fn usual_options(privilege: Privilege) -> Vec<Vec<String>> {
    let sets: &[(usize, &[&str])] = match privilege {
        Privilege::Root => &[
            (1, &[]),
            (8, &["redirect_dir=on"]),
            (3, &["redirect_dir=nofollow"]),
            (8, &["index=on"]),
            (8, &["metacopy=on"]),
            (3, &["index=on", "redirect_dir=on"]),
            (4, &["index=on", "metacopy=on", "redirect_dir=on"]),
            (3, &["index=on", "metacopy=on", "xino=on"]),
            (3, &["xino=on"]),
            (2, &["uuid=on"]),
            (2, &["uuid=null"]),
            (3, &["volatile"]),
            (1, &["metacopy=on", "redirect_dir=follow"]),
            (1, &["index=off", "nfs_export=on"]),
            (1, &["index=on", "metacopy=on", "nfs_export=on"]),
            (3, &["strictatime"]),
            (2, &["index=on", "metacopy=on", "strictatime"]),
        ],
        Privilege::Rootless => &[
            (1, &[]),
            (6, &["index=on"]),
            (6, &["xino=on"]),
            (6, &["uuid=on"]),
            (6, &["uuid=null"]),
            (6, &["volatile"]),
            (6, &["strictatime"]),
            (1, &["index=off", "nfs_export=on"]),
            (1, &["metacopy=on"]),
            (1, &["redirect_dir=on"]),
        ],
    };
    let owned = |set: &[&str]| set.iter().map(|&option| option.to_owned()).collect::<Vec<_>>();
    sets.iter().flat_map(|(times, set)| std::iter::repeat_n(owned(set), *times)).collect()
}

/// The ChaCha seed of case `index` of a campaign; no other case is needed to make it.
///
/// A seed means a case only within one build of `ovlcheck`: what lasts is the case's text.
pub fn seed_for(campaign: u64, index: u64) -> [u8; 32] {
    let mut state = mix(campaign).wrapping_add(mix(index ^ 0x6f76_6c63_6865_636b));
    let mut seed = [0; 32];
    for word in seed.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word.copy_from_slice(&mix(state ^ campaign.rotate_left(32)).to_le_bytes());
    }
    seed
}

/// The finaliser of splitmix64: every input bit changes about half of the output bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
