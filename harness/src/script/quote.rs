//! Quoting for the shell and for Python.

/// A word for the shell: itself where that is safe, else in quotes; bytes that cannot be seen through
/// `printf`.
pub(super) fn sh(bytes: &[u8]) -> String {
    if !bytes.is_empty() && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || b"._/+,:=@-".contains(&b)) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if bytes.is_empty() {
        return "''".to_owned();
    }
    let visible = |b: u8| (0x20..0x7f).contains(&b) || b == b'\n';
    let mut out = String::new();
    for part in bytes.chunk_by(|a, b| visible(*a) == visible(*b)) {
        if visible(part[0]) {
            out.push('\'');
            out += &String::from_utf8_lossy(part).replace('\'', "'\\''");
            out.push('\'');
        } else {
            // No newline is among these, so the shell cuts nothing off the end.
            let octal: String = part.iter().map(|b| format!("\\{b:03o}")).collect();
            out += &format!("\"$(printf '{octal}')\"");
        }
    }
    out
}

/// The argument of `printf` that prints these bytes.
pub(super) fn printf(bytes: &[u8]) -> String {
    let mut out = String::from("'");
    for &b in bytes {
        match b {
            b'%' => out += "%%",
            b'\\' => out += "\\\\",
            b'\n' => out += "\\n",
            b'\'' => out += "'\\''",
            0x20..=0x7e => out.push(char::from(b)),
            _ => out += &format!("\\{b:03o}"),
        }
    }
    out.push('\'');
    out
}

/// Bytes for Python; a long run of one byte as a product.
pub(super) fn py(bytes: &[u8]) -> String {
    if bytes.len() > 16 && bytes.iter().all(|&b| b == bytes[0]) {
        return format!("b\"{}\"*{}", py_bytes(&bytes[..1]), bytes.len());
    }
    format!("b\"{}\"", py_bytes(bytes))
}

/// Text for Python.
pub(super) fn py_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            ' '..='~' => out.push(c),
            c => out += &format!("\\U{:08x}", u32::from(c)),
        }
    }
    out.push('"');
    out
}

fn py_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &b in bytes {
        match b {
            b'"' => out += "\\\"",
            b'\\' => out += "\\\\",
            b'\n' => out += "\\n",
            0x20..=0x7e => out.push(char::from(b)),
            _ => out += &format!("\\x{b:02x}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_safe() {
        assert_eq!(sh(b"d/f"), "d/f");
        assert_eq!(sh(b""), "''");
        assert_eq!(sh(b"it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(sh(b"a\xffb"), "'a'\"$(printf '\\377')\"'b'");
        assert_eq!(printf(b"100%\\\n\0"), "'100%%\\\\\\n\\000'");
        assert_eq!(py(b"a\"\xff"), "b\"a\\\"\\xff\"");
        assert_eq!(py(&[b'a'; 17]), "b\"a\"*17");
        assert_eq!(py_text("mkdir \"x\""), "\"mkdir \\\"x\\\"\"");
    }
}
