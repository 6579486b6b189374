//! Which modules a guest needs, and in which order they load.

use std::collections::{BTreeMap, BTreeSet};

use crate::exec::error::ExecError;

/// What a guest cannot do without, unless it is built in: the port, and the filesystem under test.
pub(super) const NEEDED: [&str; 3] = ["virtio_pci", "virtio_console", "overlay"];

/// The name by which the kernel knows a module: a file's name up to `.ko`, with underscores.
pub(super) fn name_of(file: &str) -> Option<String> {
    let base = file.rsplit('/').next()?;
    let (name, ending) = base.split_once(".ko")?;
    matches!(ending, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}

/// A field of a module's `.modinfo` section.
fn info(module: &[u8], key: &str) -> Option<String> {
    let key = format!("\0{key}=");
    let at = module.windows(key.len()).position(|w| w == key.as_bytes())?;
    let value = module[at + key.len()..].split(|&b| b == 0).next()?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The name that a module has for the kernel.
pub(super) fn own_name(module: &[u8]) -> Option<String> {
    info(module, "name")
}

/// The modules that one depends on.
fn dependencies(module: &[u8]) -> Vec<String> {
    let value = info(module, "depends").unwrap_or_default();
    value.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// Reads the needed modules and those they depend on, in an order in which they load. What is not among
/// the modules is taken to be built in: the guest says so if it is not.
pub(super) fn in_order(
    names: &[&str],
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, ExecError>,
) -> Result<Vec<(String, Vec<u8>)>, ExecError> {
    let mut order = Vec::new();
    let mut known: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut begun = BTreeSet::new();
    let mut stack: Vec<(String, bool)> = names.iter().rev().map(|n| ((*n).to_owned(), false)).collect();
    while let Some((name, after_dependencies)) = stack.pop() {
        if after_dependencies {
            order.extend(known.remove(&name).map(|data| (name, data)));
        } else if begun.insert(name.clone()) {
            let Some(data) = read(&name)? else { continue };
            stack.push((name.clone(), true));
            stack.extend(dependencies(&data).into_iter().rev().map(|n| (n, false)));
            known.insert(name, data);
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name_of("kernel/fs/overlayfs/overlay.ko.xz").as_deref(), Some("overlay"));
        assert_eq!(name_of("virtio-rng.ko").as_deref(), Some("virtio_rng"));
        assert_eq!(name_of("modules.dep"), None);
        assert_eq!(name_of("overlay.ko.bak"), None);
    }

    #[test]
    fn a_module_says_its_name() {
        assert_eq!(own_name(b"..\0depends=\0name=overlay\0vermagic=x").as_deref(), Some("overlay"));
        assert_eq!(own_name(b"no module"), None);
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let modules: BTreeMap<&str, &[u8]> = [
            ("virtio_pci", b"..\0depends=virtio_ring,virtio-lib\0".as_slice()),
            ("virtio_ring", b"..\0depends=\0"),
            ("virtio_lib", b"..\0license=GPL\0depends=virtio_ring\0"),
        ]
        .into();
        let read = |name: &str| Ok(modules.get(name).map(|data| data.to_vec()));
        let order = in_order(&["virtio_pci", "overlay", "virtio_ring"], read).unwrap();
        let names: Vec<&str> = order.iter().map(|m| m.0.as_str()).collect();
        assert_eq!(names, ["virtio_ring", "virtio_lib", "virtio_pci"]);
    }
}
