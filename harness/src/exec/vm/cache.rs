//! Packages of kernels, kept unpacked for the next run.
//!
//! ```text
//! $XDG_CACHE_HOME/ovlcheck/kernels/<SHA-256 of the package>/vmlinuz, overlay.ko.xz, ...
//! ```
//!
//! An entry is made beside its place and renamed there, so whoever sees it sees all of it, however many runs
//! make it at once. The cache never is the reason why something fails: where it cannot be written or read, the
//! package is unpacked as if there were none.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

/// Entries beyond so many are removed, the longest unused first.
const KEPT: usize = 16;

/// What is being made and was not finished after this long never will be.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// How names begin of what is being made.
const UNFINISHED: &str = ".unfinished-";

/// A directory of unpacked packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The user's: in `$XDG_CACHE_HOME`, or `~/.cache`; `None` for somebody who has neither.
    pub fn of_user() -> Option<Cache> {
        let of = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")))?;
        Some(Cache::at(base.join("ovlcheck").join("kernels")))
    }

    /// One in this directory, which is made when it is needed.
    pub fn at(root: PathBuf) -> Cache {
        Cache { root }
    }

    /// The directory with what `package` holds, if it was unpacked before.
    pub(super) fn get(&self, package: &mut File) -> Option<PathBuf> {
        let entry = self.root.join(digest(package).ok()?);
        // When it was used last decides what goes first. Somebody else's directory cannot be told so.
        let _ = File::open(&entry).ok()?.set_modified(SystemTime::now());
        Some(entry)
    }

    /// Keeps these files, under these names, as what `package` holds.
    pub(super) fn put<'a>(
        &self,
        package: &mut File,
        files: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> io::Result<()> {
        let entry = self.root.join(digest(package)?);
        fs::create_dir_all(&self.root)?;
        let unfinished = self.unfinished()?;
        let made = fill(&unfinished, files).and_then(|()| fs::rename(&unfinished, &entry));
        if let Err(e) = made {
            fs::remove_dir_all(&unfinished)?;
            // Somebody else was quicker, with the same files.
            return if entry.is_dir() { Ok(()) } else { Err(e) };
        }
        self.tidy()
    }

    /// A new directory that nobody else has.
    fn unfinished(&self) -> io::Result<PathBuf> {
        (0..)
            .map(|n| self.root.join(format!("{UNFINISHED}{}-{n}", std::process::id())))
            .map(|path| fs::create_dir(&path).map(|()| path))
            .find(|made| !matches!(made, Err(e) if e.kind() == io::ErrorKind::AlreadyExists))
            .unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
    }

    /// Removes what was left unfinished, and entries beyond [`KEPT`].
    fn tidy(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.root)?.flatten() {
            let Ok(used) = entry.metadata().and_then(|m| m.modified()) else { continue };
            let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            if !unfinished {
                entries.push((used, entry.path()));
            } else if used.elapsed().is_ok_and(|age| age > ABANDONED) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        entries.sort();
        let beyond = entries.len().saturating_sub(KEPT);
        entries.iter().take(beyond).try_for_each(|(_, path)| fs::remove_dir_all(path))
    }
}

fn fill<'a>(dir: &Path, files: impl Iterator<Item = (&'a str, &'a [u8])>) -> io::Result<()> {
    for (name, data) in files {
        fs::write(dir.join(name), data)?;
    }
    Ok(())
}

/// The name of a package's entry.
fn digest(package: &mut File) -> io::Result<String> {
    package.rewind()?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match package.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => digest.update(&buffer[..len]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    package.rewind()?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache in a directory of its own, and a package with this content.
    fn with(name: &str, content: &[u8]) -> (PathBuf, Cache, File) {
        let root = std::env::temp_dir().join(format!("ovlcheck-cache-{}-{name}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("x.deb"), content).unwrap();
        (root.clone(), Cache::at(root.join("cache")), File::open(root.join("x.deb")).unwrap())
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_entry_is_of_one_content() {
        let (root, cache, mut package) = with("content", b"one");
        assert_eq!(cache.get(&mut package), None);
        cache.put(&mut package, [("vmlinuz", &b"image"[..]), ("a.ko", b"a")].into_iter()).unwrap();
        let entry = cache.get(&mut package).unwrap();
        assert_eq!(names(&entry), ["a.ko", "vmlinuz"]);
        assert_eq!(fs::read(entry.join("vmlinuz")).unwrap(), b"image");
        fs::write(root.join("x.deb"), b"two").unwrap();
        assert_eq!(cache.get(&mut File::open(root.join("x.deb")).unwrap()), None);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn many_may_make_one_entry_at_once() {
        let (root, cache, _) = with("many", b"package");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut package = File::open(root.join("x.deb")).unwrap();
                    cache.put(&mut package, [("vmlinuz", &[7; 1 << 16][..])].into_iter()).unwrap();
                    // From then on it is there, and whole.
                    let entry = cache.get(&mut package).unwrap();
                    assert_eq!(fs::read(entry.join("vmlinuz")).unwrap(), [7; 1 << 16]);
                });
            }
        });
        assert_eq!(names(&root.join("cache")).len(), 1, "nothing unfinished is left");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn old_entries_go_and_a_cache_that_cannot_be_written_says_so() {
        let (root, cache, _) = with("old", b"");
        for n in 0..KEPT + 3 {
            let path = root.join("x.deb");
            fs::write(&path, n.to_string()).unwrap();
            cache.put(&mut File::open(&path).unwrap(), std::iter::empty()).unwrap();
        }
        assert_eq!(names(&root.join("cache")).len(), KEPT);
        let nowhere = Cache::at(root.join("x.deb").join("below a file"));
        let mut package = File::open(root.join("x.deb")).unwrap();
        assert!(nowhere.put(&mut package, std::iter::empty()).is_err() && nowhere.get(&mut package).is_none());
        fs::remove_dir_all(root).unwrap();
    }
}
