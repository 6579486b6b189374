//! Compressed files, undone by the program of their format: `gzip`, `xz`, `zstd`.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

/// A format that a file is compressed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Xz,
    Zstd,
}

/// How many bytes of a file [`Compression::of`] needs to see.
pub(crate) const MAGIC_LEN: usize = 6;

impl Compression {
    /// By what a file begins with; `None` for one that is not compressed in a known format.
    pub(crate) fn of(head: &[u8]) -> Option<Compression> {
        match head {
            [0x1f, 0x8b, ..] => Some(Compression::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// By what its name ends in.
    pub(crate) fn by_ending(ending: &str) -> Option<Compression> {
        match ending {
            "gz" => Some(Compression::Gzip),
            "xz" => Some(Compression::Xz),
            "zst" => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// The program that undoes it.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        }
    }

    /// Starts undoing it, from where the file is read next.
    ///
    /// # Errors
    /// When the program does not start.
    pub(crate) fn undo(self, file: File) -> Result<Decompressor, NoProgram> {
        let mut child = Command::new(self.program())
            .arg("-dc")
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| NoProgram { program: self.program(), error })?;
        Ok(Decompressor { program: self.program(), stdout: child.stdout.take(), child })
    }
}

/// A program that is needed to undo a compression, and does not start.
#[derive(Debug, thiserror::Error)]
#[error("{program} does not start: {error}")]
pub(crate) struct NoProgram {
    pub(crate) program: &'static str,
    error: io::Error,
}

/// What a program that undoes a compression gives. Dropping it ends the program.
#[derive(Debug)]
pub(crate) struct Decompressor {
    program: &'static str,
    stdout: Option<ChildStdout>,
    child: Child,
}

impl Decompressor {
    /// Says whether all that was read was what is compressed there.
    ///
    /// # Errors
    /// When the program complained.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        // Without a reader it ends in any case; of what nobody reads any more it may die.
        drop(self.stdout.take());
        let status = self.child.wait()?;
        if status.success() || status.signal() == Some(libc::SIGPIPE) {
            return Ok(());
        }
        Err(io::Error::other(format!("{} ended with {status}", self.program)))
    }
}

impl Read for Decompressor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stdout.as_mut().map_or(Ok(0), |stdout| stdout.read(buffer))
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        drop(self.stdout.take());
        drop(self.child.wait());
    }
}

/// A file in memory that holds all of `from`, to be read from its start. A program reads it by itself, so nobody
/// need feed it.
///
/// # Errors
/// When `from` cannot be read, or there is no memory.
pub(crate) fn in_memory(name: &str, mut from: impl Read) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    io::copy(&mut from, &mut file)?;
    file.flush()?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_how_they_begin() {
        assert_eq!(Compression::of(b"\x1f\x8b\x08"), Some(Compression::Gzip));
        assert_eq!(Compression::of(b"\xfd7zXZ\0"), Some(Compression::Xz));
        assert_eq!(Compression::of(b"\x28\xb5\x2f\xfd"), Some(Compression::Zstd));
        assert_eq!(Compression::of(b"\x7fELF"), None);
        assert_eq!(Compression::of(b""), None);
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        // gzip is everywhere; the others work the same way.
        let damaged = in_memory("damaged", &b"\x1f\x8b\x08 and nothing of it"[..]).unwrap();
        let mut gzip = Compression::Gzip.undo(damaged).unwrap();
        let mut out = Vec::new();
        gzip.read_to_end(&mut out).unwrap();
        let said = gzip.finish().unwrap_err().to_string();
        assert!(said.starts_with("gzip ended with"), "{said}");
    }
}
