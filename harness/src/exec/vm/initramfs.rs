//! A cpio archive in the "newc" format, as the kernel unpacks it into its first root filesystem
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

/// An archive being written.
#[derive(Debug, Default)]
pub(super) struct Initramfs {
    bytes: Vec<u8>,
    made: BTreeSet<String>,
    inodes: u32,
}

impl Initramfs {
    /// Adds a directory, and those above it. `path` is relative to the root.
    pub(super) fn dir(&mut self, path: &str) {
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let dir = &path[..end];
            if !dir.is_empty() && self.made.insert(dir.to_owned()) {
                self.entry(dir, libc::S_IFDIR | 0o755, &[]);
            }
        }
    }

    /// Adds a file that may be executed, and the directories above it.
    pub(super) fn file(&mut self, path: &str, data: &[u8]) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.dir(parent);
        }
        self.entry(path, libc::S_IFREG | 0o755, data);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, data: &[u8]) {
        self.inodes += 1;
        let fields = [
            self.inodes,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // time of modification
            data.len() as u32,
            0, // device
            0,
            0, // device number of a special file
            0,
            path.len() as u32 + 1,
            0, // checksum
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_cpio_would_list() {
        let mut archive = Initramfs::default();
        archive.file("lib/x/a.so", b"abc");
        archive.dir("lib/x");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        // A directory comes before what it holds, and once.
        assert!(text.starts_with("070701"), "{text}");
        let places: Vec<usize> = ["lib\0", "lib/x\0", "lib/x/a.so\0", "TRAILER!!!\0"]
            .iter()
            .flat_map(|name| text.match_indices(&format!("00000000{name}")).map(|found| found.0).collect::<Vec<_>>())
            .collect();
        assert_eq!(places.len(), 4, "{text}");
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains("\0abc\0"), "{text}");
        assert_eq!(bytes.len() % 4, 0);
    }
}
