//! A busybox that needs no libraries, if the machine has one.

use std::path::PathBuf;

/// Where a busybox may be.
const PLACES: [&str; 4] = ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox", "/bin/busybox.static"];

/// The first busybox of the machine that is linked statically.
pub fn static_busybox() -> Option<Vec<u8>> {
    PLACES.iter().map(PathBuf::from).filter_map(|p| std::fs::read(p).ok()).find(|program| is_static(program))
}

/// Whether this is an ELF program that asks for no interpreter, so that nothing else is needed to run it.
fn is_static(program: &[u8]) -> bool {
    is_static_elf(program).unwrap_or(false)
}

fn is_static_elf(program: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    // 64 bits, in the byte order of the machine; others would not run here anyway.
    let native = if cfg!(target_endian = "little") { 1 } else { 2 };
    if program.get(..6)? != [0x7f, b'E', b'L', b'F', 2, native] {
        return Some(false);
    }
    let u16_at = |at: usize| Some(u16::from_ne_bytes(*program.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(*program.get(at..)?.first_chunk()?));
    let (table, size, count) = (u64_at(32)?, usize::from(u16_at(54)?), usize::from(u16_at(56)?));
    for n in 0..count {
        let at = usize::try_from(table).ok()?.checked_add(n * size)?;
        if u32::from_ne_bytes(*program.get(at..)?.first_chunk()?) == PT_INTERP {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_with_an_interpreter_are_not_static() {
        let mut elf = vec![0u8; 120];
        elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, if cfg!(target_endian = "little") { 1 } else { 2 }]);
        elf[32..40].copy_from_slice(&64u64.to_ne_bytes());
        elf[54..56].copy_from_slice(&56u16.to_ne_bytes());
        elf[56..58].copy_from_slice(&1u16.to_ne_bytes());
        assert!(is_static(&elf));
        elf[64..68].copy_from_slice(&3u32.to_ne_bytes());
        assert!(!is_static(&elf));
        assert!(!is_static(b"#!/bin/sh\n"));
        assert!(!is_static(&elf[..70]));
    }
}
