//! The kernel inside an image, as the emulator can start it by itself.
//!
//! A bzImage is a program that decompresses a kernel. In an emulated processor that takes longer than all the
//! rest of a boot but one, so it is done here. What is inside starts without the boot protocol only if it has
//! an entry for that (`CONFIG_PVH`, Documentation/arch/x86/boot.rst and the note of `arch/x86/platform/pvh`).

use std::io::Read;
use std::ops::Range;

use super::program::{loaded_part, segments};
use crate::compression::{Compression, in_memory};

/// The boot protocol since which an image says where its payload is.
const WITH_PAYLOAD: u16 = 0x208;
/// A segment with notes (elf(5)).
const NOTE: u32 = 4;
/// The note that holds the entry: `XEN_ELFNOTE_PHYS32_ENTRY`.
const PVH_ENTRY: (&[u8], u32) = (b"Xen\0", 18);

/// The kernel inside `image`; `None` where it cannot be had, or could not be started without the image.
pub(super) fn unpacked(image: &[u8]) -> Option<Vec<u8>> {
    let payload = image.get(payload(image)?)?;
    let compression = Compression::of(payload)?;
    // Behind the compressed data stands how long they will be, unless the format says so itself.
    let end = if compression == Compression::Gzip { payload.len() } else { payload.len().checked_sub(4)? };
    let mut from = compression.undo(in_memory("ovlcheck-payload", &payload[..end]).ok()?).ok()?;
    let mut kernel = Vec::new();
    from.read_to_end(&mut kernel).ok()?;
    from.finish().ok()?;
    has_entry(&kernel)?.then(|| loaded_part(kernel))
}

/// Where in an image the compressed kernel is.
fn payload(image: &[u8]) -> Option<Range<usize>> {
    let number = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    let protocol = u16::from_le_bytes(image.get(0x206..0x208)?.try_into().ok()?);
    if protocol < WITH_PAYLOAD {
        return None;
    }
    let sectors = match image.get(0x1f1)? {
        0 => 4,
        n => usize::from(*n),
    };
    let begin = ((sectors + 1) * 512).checked_add(number(0x248)?)?;
    Some(begin..begin.checked_add(number(0x24c)?)?)
}

/// Whether an ELF file has the entry among its notes.
fn has_entry(elf: &[u8]) -> Option<bool> {
    for (_, at, len) in segments(elf)?.into_iter().filter(|segment| segment.0 == NOTE) {
        let mut notes = elf.get(at..at.checked_add(len)?)?;
        while notes.len() >= 12 {
            let number = |at: usize| Some(u32::from_le_bytes(notes.get(at..at + 4)?.try_into().ok()?));
            let (name, description, kind) = (number(0)? as usize, number(4)? as usize, number(8)?);
            if notes.get(12..12 + name) == Some(PVH_ENTRY.0) && kind == PVH_ENTRY.1 {
                return Some(true);
            }
            let end = 12 + name.next_multiple_of(4) + description.next_multiple_of(4);
            notes = notes.get(end..).unwrap_or_default();
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file whose one segment holds one note.
    fn elf(name: &[u8; 4], kind: u32) -> Vec<u8> {
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64; // program headers
        elf[54] = 56; // size of one
        elf[56] = 1;
        elf[64] = NOTE as u8;
        elf[64 + 8] = 120; // where
        elf[64 + 32] = 20; // how long
        for number in [4, 4, kind] {
            elf.extend_from_slice(&number.to_le_bytes());
        }
        elf.extend_from_slice(name);
        elf.extend_from_slice(&[0; 4]);
        elf
    }

    #[test]
    fn the_entry_is_found_among_notes() {
        assert_eq!(has_entry(&elf(b"Xen\0", 18)), Some(true));
        assert_eq!(has_entry(&elf(b"Xen\0", 6)), Some(false));
        assert_eq!(has_entry(&elf(b"GNU\0", 18)), Some(false));
        assert_eq!(has_entry(b"no ELF file"), None);
    }

    #[test]
    fn what_has_no_payload_is_booted_as_it_is() {
        assert_eq!(unpacked(b""), None);
        assert_eq!(unpacked(&[0; 4096]), None);
        let mut image = vec![0xff; 4096];
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        assert_eq!(unpacked(&image), None);
    }
}
