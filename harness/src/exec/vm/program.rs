//! This program as files of a guest: itself, and the libraries that it is running with.

use std::collections::BTreeSet;
use std::fs;

use crate::exec::error::{Doing as _, ExecError};

/// Where the program is in a guest.
pub(super) const INIT: &str = "init";

/// The files of this program: path relative to the root, content.
pub(super) fn files() -> Result<Vec<(String, Vec<u8>)>, ExecError> {
    let own = fs::read_link("/proc/self/exe").doing("reading /proc/self/exe")?;
    let mut files = vec![(INIT.to_owned(), loaded_part(fs::read("/proc/self/exe").doing("reading this program")?))];
    let maps = fs::read_to_string("/proc/self/maps").doing("reading /proc/self/maps")?;
    for path in libraries(&maps) {
        if own.as_os_str() != path {
            let data = fs::read(path).map_err(|e| ExecError::Setup(format!("reading the library {path}: {e}")))?;
            files.push((path.trim_start_matches('/').to_owned(), loaded_part(data)));
        }
    }
    // The loader is asked for by a name of its own, which may be a symlink.
    if let Some(loader) = interpreter(&files[0].1) {
        let data = fs::read(&loader).map_err(|e| ExecError::Setup(format!("reading the loader {loader}: {e}")))?;
        files.push((loader.trim_start_matches('/').to_owned(), loaded_part(data)));
    }
    let mut seen = BTreeSet::new();
    files.retain(|(path, _)| seen.insert(path.clone()));
    Ok(files)
}

/// Files that are mapped to be executed.
fn libraries(maps: &str) -> BTreeSet<&str> {
    // "address perms offset dev inode      /path"
    maps.lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|perms| perms.contains('x')))
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .collect()
}

/// One entry of an ELF program header table (64 bits, little endian): type, offset, size in the file.
pub(super) fn segments(elf: &[u8]) -> Option<Vec<(u32, usize, usize)>> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, len: usize| -> Option<usize> {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(elf.get(at..at.checked_add(len)?)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    (0..count)
        .map(|n| {
            let at = table.checked_add(n * size)?;
            Some((number(at, 4)? as u32, number(at + 8, 8)?, number(at + 32, 8)?))
        })
        .collect()
}

/// Without what no loader reads: symbols and what debuggers need lie behind the last segment.
pub(super) fn loaded_part(mut elf: Vec<u8>) -> Vec<u8> {
    const LOAD: u32 = 1;
    let end = segments(&elf).and_then(|all| all.iter().filter(|s| s.0 == LOAD).map(|s| s.1 + s.2).max());
    elf.truncate(end.unwrap_or(elf.len()));
    elf
}

/// The program interpreter that an executable asks for; `None` for a static one.
fn interpreter(elf: &[u8]) -> Option<String> {
    const INTERP: u32 = 3;
    let (_, at, len) = segments(elf)?.into_iter().find(|s| s.0 == INTERP)?;
    let name = elf.get(at..at + len)?;
    String::from_utf8(name.split(|&b| b == 0).next()?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_found_with_its_loader() {
        let files = files().unwrap();
        assert_eq!(files[0].0, INIT);
        let whole = fs::metadata("/proc/self/exe").unwrap().len() as usize;
        assert!(files[0].1.len() < whole, "the symbols of a test program are left out");
        if let Some(loader) = interpreter(&files[0].1) {
            assert!(files.iter().any(|f| format!("/{}", f.0) == loader), "{loader}");
            assert!(files.iter().any(|f| f.0.contains("libc")), "a dynamic program has a C library");
        }
    }

    #[test]
    fn what_is_no_elf_file_is_left_alone() {
        assert_eq!(loaded_part(b"#!/bin/sh\n".to_vec()), b"#!/bin/sh\n");
        assert_eq!(loaded_part(b"\x7fELF\x02\x01".to_vec()), b"\x7fELF\x02\x01");
    }
}
