use super::matching::glob;
use super::*;
use crate::bytes::Bytes;
use crate::case::text;
use crate::check::{Oracle, Place};
use crate::trace::{Privilege, Side};

fn environment(kernel: &str) -> Environment {
    Environment {
        privilege: Privilege::Root,
        target: "fuse-overlayfs".into(),
        level: crate::level::Level::Contract,
        kernel: kernel.into(),
        filesystem: "tmpfs".into(),
        module: Vec::new(),
        sysctl: Vec::new(),
    }
}

fn divergence() -> Divergence {
    Divergence {
        place: Place::Step(0),
        oracle: Oracle::Footprint(Side::Merged),
        operation: "mknod",
        rule: "FS-03.setgid".parse().ok(),
        in_play: Vec::new(),
        path: Bytes::from("a/b"),
        field: "mode".into(),
        expected: "6755".into(),
        seen: "0755".into(),
    }
}

fn foresees(entry: &str, kernel: &str, options: &[&str]) -> bool {
    let text = format!("[[deviation]]\nname = \"x\"\nwhy = \"y\"\n{entry}");
    let known = Expectations::parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let case = Case { options: options.iter().map(|o| (*o).to_owned()).collect(), ..Case::default() };
    known.foresee(&case, &environment(kernel), &divergence()).is_some()
}

#[test]
fn an_entry_matches_all_that_it_says() {
    for (entry, expected) in [
        ("rule = 'FS-03'", true),
        ("rule = 'FS-03.setgid'", true),
        ("rule = ['FS-01', 'FS-03.setgid']", true),
        ("rule = 'FS-01'", false),
        ("operation = ['mkdir', 'mknod']", true),
        ("operation = 'mkdir'", false),
        ("field = 'm*'", true),
        ("field = 'nlink'", false),
        ("field = 'mode'\noracle = 'footprint, merged side'", true),
        ("field = 'mode'\noracle = 'merged tree'", false),
        ("seen = '0*'\nexpected = '*755'", true),
        ("seen = '6755'", false),
        ("field = 'mode'\noption = 'redirect_dir=on'", false),
        ("field = 'mode'\nkernel = '>=6.12, <6.19'", true),
        ("field = 'mode'\nkernel = '<6.12'", false),
        ("field = 'mode'\nkernel = '6.18'", true),
    ] {
        assert_eq!(foresees(entry, "6.18.44-x", &[]), expected, "{entry}");
    }
}

#[test]
fn options_are_those_of_the_case() {
    assert!(foresees("field = 'mode'\noption = ['index=on']", "6.18", &["xino=on", "index=on"]));
    assert!(!foresees("field = 'mode'\noption = ['index=on', 'metacopy=on']", "6.18", &["index=on"]));
}

#[test]
fn what_is_wrong_has_a_place() {
    let entry = "[[deviation]]\nname = 'x'\nwhy = 'y'\n";
    for (rest, message) in [
        ("rule = ", "4:"),
        ("rule = 'FS-99'\n", "4:8: 'FS-99' is neither a rule nor a clause"),
        ("  oper = 'mkdir'\n", "4:3: unknown field `oper`"),
        ("operation = 'mkdirs'\n", "4:13: 'mkdirs' is no operation"),
        ("oracle = 'merged'\n", "4:10: 'merged' is no comparison"),
        ("kernel = '6.x'\n", "4:10: '6.x' is no range of versions"),
        ("option = 'fast'\n", "4:10: 'fast' is no mount option"),
        ("", "2:8: 'x' would hide everything"),
        ("field = 'a'\nwithin = 5\ncase = '''\nlower\nsteps\n'''\n", "2:8: 'x' has a case"),
        ("field = 'a'\n[[deviation]]\nname = 'x'\nwhy = 'y'\nfield = 'b'\n", "6:8: 'x' stands here twice"),
        ("field = 'a'\ncase = \"\"\"\nlower\nsteps\n  mkdirs d\n\"\"\"\n", "5:8: in the case, line 3:"),
    ] {
        let said = Expectations::parse(&format!("{entry}{rest}")).map(drop).map_err(|e| e.to_string());
        assert!(said.as_ref().is_err_and(|e| e.starts_with(message)), "{rest:?}: {said:?}");
    }
}

#[test]
fn an_entry_knows_its_line_and_its_case() -> Result<(), Unreadable> {
    let known = Expectations::parse(
        "# about\ntarget = 't'\n\n[[deviation]]\nfield = 'nlink'\nname = 'x'\nwhy = 'y'\ncase = \"\"\"\nlower\nsteps\n  mkdir d \
         0755\n\"\"\"\n",
    )?;
    assert_eq!(known.target.as_deref(), Some("t"));
    assert_eq!(known.deviations[0].line, 6);
    assert!(known.deviations[0].case.is_some());
    assert_eq!(known.deviations[0].case, text::parse(b"lower\nsteps\n  mkdir d 0755\n").ok());
    Ok(())
}

#[test]
fn patterns() {
    for (pattern, text, fits) in [
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "acb", false),
        ("*b*", "abc", true),
        ("a*b*c", "a-b-b-c", true),
        ("ab*ba", "aba", false),
        ("abc", "abcd", false),
    ] {
        assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
    }
}

#[test]
fn versions_are_found_in_text() {
    for (text, version) in [
        ("fuse-overlayfs: version 1.10", "1.10"),
        ("fuse-overlayfs 2.0.0", "2.0.0"),
        ("6.18.44-fc-v782", "6.18.44"),
        ("program 7 version: v3.1-beta", "3.1"),
    ] {
        assert_eq!(Version::in_text(text).map(|v| v.to_string()).as_deref(), Some(version));
    }
}

#[test]
fn ranges() {
    for (range, version, inside) in [
        ("1.10", "1.10.3", true),
        ("1.10", "1.1", false),
        ("1.10.0", "1.10", true),
        (">=1.9, <2", "1.10", true),
        (">=1.9, <2", "1.8.9", false),
        ("<=6.12", "6.12", true),
        (">6.12", "6.12", false),
    ] {
        let holds = range.parse::<Range>().ok().zip(Version::in_text(version)).map(|(r, v)| r.holds(&v));
        assert_eq!(holds, Some(inside), "{range} {version}");
    }
}
