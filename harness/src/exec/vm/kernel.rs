//! A kernel to boot, found in what people have of one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::modules::{self, NEEDED};
use super::unpacked::unpacked;
use crate::compression::{Compression, Decompressor, in_memory};
use crate::exec::error::ExecError;

/// The x86 boot protocol's mark, at 0x202 of an image that a boot loader takes.
const BOOT_MARK: &[u8] = b"HdrS";

/// What a guest boots, and the modules it needs in the order they load.
#[derive(Clone, Debug)]
pub struct Kernel {
    release: String,
    /// What the emulator starts: the kernel itself if it can be, else its image.
    pub(super) image: Vec<u8>,
    pub(super) modules: Vec<(String, Vec<u8>)>,
}

/// Where something of a kernel is.
enum Found {
    File(PathBuf),
    Packed(Vec<u8>),
}

impl Kernel {
    /// Finds a kernel in these places, each a file or directory:
    ///
    /// - an image (`vmlinuz`, `bzImage`), with the directory of its modules as another place;
    /// - a Debian package (`.deb`), or two where image and modules are in packages of their own;
    /// - a directory that holds them somewhere below: an unpacked package, a build tree.
    ///
    /// `replacements` are module files that take the place of those of the same name. Packages are kept unpacked
    /// in `cache`.
    ///
    /// # Errors
    /// When there is no image, or something cannot be read.
    pub fn find(places: &[PathBuf], replacements: &[PathBuf], cache: Option<&Cache>) -> Result<Kernel, ExecError> {
        let mut image = None;
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        for place in places {
            let unreadable = |e: std::io::Error| {
                ExecError::unsupported(
                    format!("{}: {e}", place.display()),
                    "name a kernel image, a directory or a .deb package",
                )
            };
            if fs::metadata(place).map_err(unreadable)?.is_dir() {
                search(place, &mut image, &mut found);
            } else if place.extension().is_some_and(|e| e == "deb") {
                unpack(place, cache, &mut image, &mut found)?;
            } else {
                image = Some(fs::read(place).map_err(unreadable)?);
            }
        }
        let names: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        let Some(image) = image else {
            return Err(ExecError::unsupported(
                format!("no kernel image in {}", names.join(", ")),
                "name a bzImage or vmlinuz, or the package or build tree that holds one",
            ));
        };
        if image.get(0x202..0x206) != Some(BOOT_MARK) {
            return Err(ExecError::unsupported(
                format!("{} is no kernel image for x86", names.join(", ")),
                "name a bzImage or vmlinuz (not the ELF file vmlinux)",
            ));
        }
        for path in replacements {
            let refuse =
                |why: String| ExecError::unsupported(why, "name an overlay.ko, or another module that a guest loads");
            let Some(of_file) = path.to_str().and_then(modules::name_of) else {
                return Err(refuse(format!("{} is no module", path.display())));
            };
            let data = fs::read(path).map_err(|e| refuse(format!("{}: {e}", path.display())))?;
            let data = decompress(data, &of_file)?;
            // What it calls itself counts, not its file's name.
            let module = modules::own_name(&data).unwrap_or(of_file);
            if !NEEDED.contains(&module.as_str()) && !found.contains_key(&module) {
                return Err(refuse(format!("{}: no guest loads a module {module}", path.display())));
            }
            found.insert(module, Found::Packed(data));
        }
        let read = |name: &str| match found.get(name) {
            None => Ok(None),
            Some(Found::Packed(data)) => decompress(data.clone(), name).map(Some),
            Some(Found::File(path)) => fs::read(path)
                .map_err(|e| {
                    ExecError::unsupported(format!("{}: {e}", path.display()), "name a module that can be read")
                })
                .and_then(|data| decompress(data, name))
                .map(Some),
        };
        let modules = modules::in_order(&NEEDED, read)?;
        let release = release(&image);
        let image = unpacked(&image).unwrap_or(image);
        Ok(Kernel { release, image, modules })
    }

    /// Its release, as `uname -r` says in a guest.
    pub fn release(&self) -> &str {
        &self.release
    }
}

/// The release that an image names itself (`kernel_version` of the boot protocol).
fn release(image: &[u8]) -> String {
    let at = image.get(0x20e..0x210).map_or(0, |b| usize::from(b[0]) | usize::from(b[1]) << 8);
    let text = image.get(at + 0x200..).unwrap_or_default();
    let end = text.iter().position(|&b| b == b' ' || b == 0).unwrap_or(0);
    String::from_utf8_lossy(&text[..end]).into_owned()
}

/// Whether a file of this name is a kernel image, as distributions and build trees name them.
fn is_image(name: &str) -> bool {
    name.starts_with("vmlinuz") || name == "bzImage"
}

/// Looks for an image and modules below a directory.
fn search(root: &Path, image: &mut Option<Vec<u8>>, found: &mut BTreeMap<String, Found>) {
    let mut entries: Vec<PathBuf> = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                Ok(kind) if kind.is_file() => entries.push(entry.path()),
                _ => {}
            }
        }
    }
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if is_image(name) {
            if let Ok(data) = fs::read(&path) {
                image.get_or_insert(data);
            }
        } else if let Some(module) = modules::name_of(name) {
            found.insert(module, Found::File(path));
        }
    }
}

/// Finds image and modules of a Debian package, in the cache if it was unpacked before.
fn unpack(
    package: &Path,
    cache: Option<&Cache>,
    image: &mut Option<Vec<u8>>,
    found: &mut BTreeMap<String, Found>,
) -> Result<(), ExecError> {
    let broken = |why: &dyn std::fmt::Display| {
        ExecError::unsupported(format!("{}: {why}", package.display()), "name a whole Debian package")
    };
    let mut file = File::open(package).map_err(|e| broken(&e))?;
    if let Some(entry) = cache.and_then(|cache| cache.get(&mut file)) {
        search(&entry, image, found);
        return Ok(());
    }
    let files = read_package(&mut file, &broken)?;
    if let Some(cache) = cache {
        let named = files.iter().map(|(name, data)| (name.as_str(), data.as_slice()));
        // Without an entry the next run unpacks the package again.
        let _ = cache.put(&mut file, named);
    }
    for (name, data) in files {
        match modules::name_of(&name) {
            Some(module) => drop(found.insert(module, Found::Packed(data))),
            None => *image = Some(data),
        }
    }
    Ok(())
}

/// Reads image and modules out of a Debian package: an `ar` archive with a tar archive in it.
fn read_package(
    file: &mut File,
    broken: &dyn Fn(&dyn std::fmt::Display) -> ExecError,
) -> Result<BTreeMap<String, Vec<u8>>, ExecError> {
    let mut files = BTreeMap::new();
    let (compression, len) = data_member(file).map_err(|e| broken(&e))?;
    let member = file.take(len);
    let data: Box<dyn Read> = match compression.as_str() {
        "" => Box::new(member),
        ending => {
            let compression = Compression::by_ending(ending)
                .ok_or_else(|| broken(&format!("its data are compressed with {ending}")))?;
            // The program would read on behind the member.
            Box::new(undo(compression, in_memory("ovlcheck-package", member).map_err(|e| broken(&e))?)?)
        }
    };
    for entry in tar::Archive::new(data).entries().map_err(|e| broken(&e))? {
        let mut entry = entry.map_err(|e| broken(&e))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(|e| broken(&e))?.into_owned();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if !is_image(name) && modules::name_of(name).is_none() {
            continue;
        }
        let name = name.to_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).map_err(|e| broken(&e))?;
        files.insert(name, data);
    }
    Ok(files)
}

/// Goes to the member `data.tar*` of an `ar` archive; what its name ends in, and how long it is.
fn data_member(file: &mut File) -> std::io::Result<(String, u64)> {
    let wrong = |why: &str| std::io::Error::other(why.to_owned());
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if &magic != b"!<arch>\n" {
        return Err(wrong("not a Debian package"));
    }
    loop {
        let mut header = [0; 60];
        file.read_exact(&mut header)?;
        let text = String::from_utf8_lossy(&header).into_owned();
        let name = text.get(..16).unwrap_or_default().trim_end().trim_end_matches('/');
        let len: u64 =
            text.get(48..58).and_then(|n| n.trim().parse().ok()).ok_or_else(|| wrong("a damaged package"))?;
        if let Some(ending) = name.strip_prefix("data.tar") {
            return Ok((ending.trim_start_matches('.').to_owned(), len));
        }
        file.seek(SeekFrom::Current(len.next_multiple_of(2) as i64))?;
    }
}

/// A module as the kernel takes it.
fn decompress(data: Vec<u8>, name: &str) -> Result<Vec<u8>, ExecError> {
    let Some(compression) = Compression::of(&data) else { return Ok(data) };
    let failed = |e: std::io::Error| ExecError::Setup(format!("decompressing the module {name}: {e}"));
    let mut from = undo(compression, in_memory("ovlcheck-module", data.as_slice()).map_err(failed)?)?;
    let mut out = Vec::new();
    from.read_to_end(&mut out).and_then(|_| from.finish()).map_err(failed)?;
    Ok(out)
}

/// Starts to undo a compression.
fn undo(compression: Compression, file: File) -> Result<Decompressor, ExecError> {
    compression.undo(file).map_err(|e| {
        let remedy = format!("install {}", e.program);
        ExecError::unsupported(e.to_string(), remedy)
    })
}
