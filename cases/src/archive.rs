//! Archives for tests, as no tool would write them.

/// A tar archive of one entry without data.
pub fn tar_of(kind: u8, path: &str, link: &str) -> Vec<u8> {
    let mut header = vec![0u8; 512];
    header[..path.len()].copy_from_slice(path.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    for (at, len) in [(108, 7), (116, 7), (124, 11), (136, 11), (329, 7), (337, 7)] {
        header[at..at + len].fill(b'0');
    }
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[335] = b'8';
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header.resize(3 * 512, 0);
    header
}
