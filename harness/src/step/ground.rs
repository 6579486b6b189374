//! Where `try-mount` mounts: a directory of its own with always the same in it, so that the step means the
//! same in every case, and nothing that the case has mounted is touched.

/// The directories of the ground, parents first.
pub const DIRS: [&str; 11] = ["a", "a/in", "b", "c", "d", "d/e", "u", "u/in", "w", "w/in", "x:y"];

/// The regular files of the ground; all are empty.
pub const FILES: [&str; 4] = ["a/f", "b/g", "x:y/h", "f"];

/// Whether a mount option can name nothing outside the ground, however its escapes are read: it has no NUL, no
/// `..`, and every `/` follows a letter or a digit, so that no path in it is absolute.
pub fn is_confined(option: &[u8]) -> bool {
    let plain: Vec<u8> = option.iter().copied().filter(|b| *b != b'\\').collect();
    let slashes_inside = |pair: &[u8]| pair[1] != b'/' || pair[0].is_ascii_alphanumeric();
    !plain.contains(&0)
        && plain.first() != Some(&b'/')
        && plain.windows(2).all(|pair| slashes_inside(pair) && pair != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_leads_nowhere_else() {
        for option in ["lowerdir=a:b", "lowerdir+=a/in", r"lowerdir=x\:y::c", "upperdir=./u", "userxattr", "index=on"] {
            let confined = option != "upperdir=./u";
            assert_eq!(is_confined(option.as_bytes()), confined, "{option}");
        }
        for option in [
            "lowerdir=/etc",
            "lowerdir=a:/etc",
            r"lowerdir=\/etc",
            r"lowerdir=a:\\/etc",
            "upperdir=..",
            r"upperdir=.\./x",
            "upperdir=u/../..",
            "lowerdir=a,upperdir=/",
            "/",
            "lowerdir=a\0",
        ] {
            assert!(!is_confined(option.as_bytes()), "{option}");
        }
    }
}
