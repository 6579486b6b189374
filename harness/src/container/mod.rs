//! Containers on a root filesystem: the walk-through of container tutorials, for real.
//!
//! A root filesystem comes from an image or an archive ([`read_image`], [`read_archive`]) or is the one that is
//! built in ([`minirootfs`]). [`crate::exec::container`] mounts it and runs programs in it; what comes of that
//! is shown by [`crate::report::walkthrough`]. The upper layer can be told as one of an image
//! ([`export_layer`]), and that it then means the same is an oracle ([`diff_and_apply`]).

mod apply;
mod archive;
mod busybox;
mod export;
mod oci;
mod whiteout;

pub use apply::diff_and_apply;
pub use archive::{ArchiveError, read_archive, read_archive_file};
pub use busybox::static_busybox;
pub use export::{ExportError, export_layer};
pub use oci::read_image;

pub(crate) use whiteout::is_private_of_others;

use crate::bytes::Bytes;
use crate::case::{Layer, NodeKind, text};

/// The root filesystem that is built in, as a case file without steps.
const MINIROOTFS: &str = include_str!("minirootfs.case");

/// A root filesystem shaped like Alpine's minirootfs, with this program as `bin/busybox` if there is one.
pub fn minirootfs(busybox: Option<Vec<u8>>) -> Layer {
    // That it parses is held by a test; an empty layer would be noticed at once.
    let mut layer =
        text::parse(MINIROOTFS.as_bytes()).ok().and_then(|c| c.lowers.into_iter().next()).unwrap_or_default();
    if let Some(program) = busybox {
        if let Some(entry) = layer.entries.iter_mut().find(|e| e.path == Bytes::from("bin/busybox")) {
            entry.node.kind = NodeKind::File(Bytes::from(program));
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minirootfs_has_what_alpine_has() {
        let layer = minirootfs(Some(b"program".to_vec()));
        let paths: Vec<String> = layer.resolved().iter().map(|(p, _)| Bytes::from(*p).to_string()).collect();
        let expected = "bin dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var bin/sh etc/apk";
        for path in expected.split(' ') {
            assert!(paths.iter().any(|p| p == path), "no {path}");
        }
        let busybox = layer.entries.iter().find(|e| e.path == Bytes::from("bin/busybox")).expect("an entry");
        assert_eq!(busybox.node.kind, NodeKind::File(b"program".to_vec().into()));
    }
}
