//! OCI image layouts: a directory, or a tar archive of one, whose blobs are named by their digests.
//!
//! Everything in it is somebody else's word: names of blobs are digests and nothing else, blobs are regular
//! files of the size and digest that were promised, and nothing is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use super::archive::{ArchiveError, SIZE_LIMIT, read_blob, read_compressed};
use super::whiteout::{convert, fill_parents};
use crate::case::Layer;

/// The file that says that this is a layout.
const MARK: &str = "oci-layout";
/// Indexes may name indexes; nobody needs more of them.
const NESTED: usize = 4;
/// The kernel stacks no more layers.
const LAYERS: usize = 500;
/// The largest document of JSON, in bytes.
const DOCUMENT: u64 = 4 << 20;

/// Reads the root filesystem of an image: an OCI layout (a directory, or a tar archive of one, which may be
/// compressed) or a tar archive of the root filesystem itself. Gives the layers, top-most first.
///
/// # Errors
/// When it cannot be read, is not what it promises to be, or is hostile.
pub fn read_image(path: &Path) -> Result<Vec<Layer>, ArchiveError> {
    let unreadable = |e: std::io::Error| ArchiveError::Unreadable(format!("{}: {e}", path.display()));
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        if !path.join(MARK).exists() {
            return Err(ArchiveError::Unreadable(format!(
                "{}: a directory without {MARK} is no OCI image layout (of a root filesystem give a tar archive)",
                path.display()
            )));
        }
        return layers(&Blobs::Directory(path.to_owned()));
    }
    match blobs_of(path)? {
        Some(blobs) => layers(&blobs),
        None => Ok(vec![super::archive::read_archive_file(path)?]),
    }
}

/// Where the files of a layout are.
enum Blobs {
    Directory(PathBuf),
    Files(BTreeMap<String, Vec<u8>>),
}

impl Blobs {
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let bad = |why: String| ArchiveError::Unreadable(format!("OCI image layout: {name}: {why}"));
        let bytes = match self {
            Blobs::Files(files) => files.get(name).cloned().ok_or_else(|| bad("there is no such file".into()))?,
            Blobs::Directory(dir) => {
                let path = dir.join(name);
                let kind = std::fs::symlink_metadata(&path).map_err(|e| bad(e.to_string()))?.file_type();
                if !kind.is_file() {
                    let why = "it is no regular file".to_owned();
                    return Err(ArchiveError::Hostile { path: name.as_bytes().into(), why });
                }
                let mut bytes = Vec::new();
                File::open(&path)
                    .and_then(|f| f.take(limit + 1).read_to_end(&mut bytes))
                    .map_err(|e| bad(e.to_string()))?;
                bytes
            }
        };
        if bytes.len() as u64 > limit {
            return Err(bad(format!("it is longer than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// The blob that a descriptor names, which must be just that.
    fn blob(&self, descriptor: &Value, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        let hostile = |why: String| ArchiveError::Hostile { path: digest.as_bytes().into(), why };
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(hostile("it is no sha256 digest".to_owned()));
        }
        let bytes = self.read(&format!("blobs/sha256/{hex}"), limit)?;
        if descriptor["size"].as_u64() != Some(bytes.len() as u64) {
            return Err(hostile(format!("its size is {} and not {}", bytes.len(), descriptor["size"])));
        }
        let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if found != hex {
            return Err(hostile(format!("its digest is sha256:{found}")));
        }
        Ok(bytes)
    }

    fn document(&self, descriptor: &Value) -> Result<Value, ArchiveError> {
        json(&self.blob(descriptor, DOCUMENT)?, descriptor["digest"].as_str().unwrap_or_default())
    }
}

fn json(bytes: &[u8], name: &str) -> Result<Value, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|e| ArchiveError::Unreadable(format!("OCI image layout: {name}: {e}")))
}

/// The files of a layout in a tar archive; `None` if it is no layout.
fn blobs_of(path: &Path) -> Result<Option<Blobs>, ArchiveError> {
    let broken = |e: std::io::Error| ArchiveError::Unreadable(format!("not a whole tar archive: {e}"));
    read_compressed(path, |from| {
        let mut archive = Archive::new(from);
        let (mut files, mut total, mut marked) = (BTreeMap::new(), 0u64, false);
        for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
            let mut entry = entry.map_err(broken)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            marked |= name == MARK;
            let wanted = matches!(name.as_str(), MARK | "index.json") || name.starts_with("blobs/sha256/");
            // A root filesystem shows itself soon, and need not be read to its end for that.
            if !wanted && !marked && number > 3 && files.is_empty() {
                return Ok(None);
            }
            if !wanted || entry.header().entry_type() != EntryType::Regular {
                continue;
            }
            total = total.saturating_add(entry.size());
            if total > SIZE_LIMIT {
                return Err(ArchiveError::Unreadable(format!("more than {} MiB of files", SIZE_LIMIT >> 20)));
            }
            let mut data = Vec::new();
            entry.read_to_end(&mut data).map_err(broken)?;
            files.insert(name, data);
        }
        Ok(marked.then_some(Blobs::Files(files)))
    })
}

/// The layers of a layout, top-most first.
fn layers(blobs: &Blobs) -> Result<Vec<Layer>, ArchiveError> {
    let bad = |why: &str| ArchiveError::Unreadable(format!("OCI image layout: {why}"));
    let mark = json(&blobs.read(MARK, DOCUMENT)?, MARK)?;
    if !mark["imageLayoutVersion"].as_str().unwrap_or_default().starts_with("1.") {
        return Err(bad("its version is not 1.x"));
    }
    let mut document = json(&blobs.read("index.json", DOCUMENT)?, "index.json")?;
    for _ in 0..NESTED {
        let Some(manifests) = document["manifests"].as_array() else { break };
        document = blobs.document(chosen(manifests).ok_or_else(|| bad("it has no image for this machine"))?)?;
    }
    let listed = document["layers"].as_array().ok_or_else(|| bad("no manifest with layers"))?;
    if listed.is_empty() || listed.len() > LAYERS {
        return Err(bad(&format!("{} layers; there must be 1 to {LAYERS}", listed.len())));
    }
    let mut layers = Vec::new();
    let mut left = SIZE_LIMIT;
    // A manifest lists the lowest first.
    for descriptor in listed.iter().rev() {
        let blob = blobs.blob(descriptor, left)?;
        left -= blob.len() as u64;
        layers.push(convert(read_blob(&blob)?)?);
    }
    fill_parents(&mut layers);
    Ok(layers)
}

/// The image for this machine, or the only one.
fn chosen(manifests: &[Value]) -> Option<&Value> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let fits = |m: &&Value| m["platform"]["os"] == "linux" && m["platform"]["architecture"] == architecture;
    manifests.iter().find(fits).or_else(|| match manifests {
        [only] => Some(only),
        _ => manifests.iter().find(|m| m["platform"].is_null()),
    })
}
