//! The language as a whole: exact inverses, canonical text, errors in the right place.

use proptest::prelude::*;

use super::{MAX_DATA, ParseError, arbitrary, parse, print_layer};
use crate::bytes::Bytes;
use crate::case::{Case, Entry, ExpectedKind, Layer, Node, NodeKind};
use crate::step::{Device, Expected, Op, OpenFlags, Step};
use crate::trace::Time;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_undoes_writing(case in arbitrary::case()) {
        let text = case.to_string();
        prop_assert!(text.is_ascii() || !case.title.is_ascii() || case.options.iter().any(|o| !o.is_ascii()));
        let read = parse(text.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&case), "{}", text);
        prop_assert_eq!(read.map(|c| c.to_string()), Ok(text));
    }

    #[test]
    fn what_means_nothing_is_left_out(case in arbitrary::tolerant_case()) {
        let text = case.to_string();
        let read: Case = text.parse().map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        for (read, written) in read.lowers.iter().zip(&case.lowers).chain([(&read.upper, &case.upper)]) {
            prop_assert_eq!(read.resolved(), written.resolved());
        }
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn a_step_stands_alone(step in arbitrary::step()) {
        prop_assert_eq!(step.to_string().parse(), Ok(step));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_place(&bytes)?;
    }

    #[test]
    fn any_text_is_read_without_panic(text in "([a-z@=\"\\\\*:\\[\\]>|#? \\-]{0,12}[\n ]){0,30}") {
        check_place(text.as_bytes())?;
    }

    #[test]
    fn mutated_cases_are_read_without_panic(
        case in arbitrary::case(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6u8, any::<u8>()), 1..5),
    ) {
        let mut text = case.to_string().into_bytes();
        for (at, other, edit, byte) in edits {
            if text.is_empty() {
                break;
            }
            let (at, other) = (at.index(text.len()), other.index(text.len()));
            match edit {
                0 => text[at] = byte,
                1 => text[at] = text[other],
                2 => text.truncate(at),
                3 => text.insert(at, b" =:|[]\"*#->"[usize::from(byte) % 11]),
                4 => drop(text.remove(at)),
                _ => drop(text.drain(at.min(other)..at.max(other))),
            }
        }
        check_place(&text)?;
    }
}

/// Reading does not panic; an error is in a line of the text, what is read can be written.
fn check_place(bytes: &[u8]) -> Result<(), TestCaseError> {
    match parse(bytes) {
        Ok(case) => prop_assert_eq!(case.to_string().parse(), Ok(case)),
        Err(error) => {
            let line = bytes.split(|b| *b == b'\n').nth(error.line - 1);
            prop_assert!(line.is_some_and(|line| (1..=line.len() + 1).contains(&error.column)), "{}", error);
            prop_assert!(!error.message.is_empty());
        }
    }
    Ok(())
}

/// The shortest case around these lines.
fn with_lower(lines: &str) -> String {
    format!("lower\n{lines}\nsteps\nobserve\n")
}

fn with_steps(lines: &str) -> String {
    format!("lower\nsteps\n{lines}\n")
}

fn with_expect(lines: &str) -> String {
    format!("lower\nsteps\nobserve\nexpect upper\n{lines}\n")
}

/// Reads every text and compares where and how that fails; the message must start with the words.
#[track_caller]
fn assert_errors(table: &[(String, usize, usize, &str)]) {
    for (text, line, column, message) in table {
        match text.parse::<Case>() {
            Ok(_) => panic!("no error in\n{text}"),
            Err(e) => {
                assert_eq!((e.line, e.column), (*line, *column), "{e}\n{text}");
                assert!(e.message.starts_with(message), "{e}\n{text}\nexpected: {message}");
            }
        }
    }
}

#[test]
fn words_in_the_wrong_form() {
    assert_errors(&[
        (with_steps("stat a$b"), 3, 7, "`$` stands only in quotes"),
        (with_steps("stat é"), 3, 6, "`é` stands only in quotes"),
        (with_steps("stat a->b"), 3, 8, "`>` stands only in quotes"),
        (with_steps("stat \"a"), 3, 6, "this quote is not closed"),
        (with_steps("stat \"a\\"), 3, 8, "unknown escape"),
        (with_steps("stat \"é\\q\""), 3, 8, "unknown escape"),
        (with_steps("stat \"\\x+1\""), 3, 7, "unknown escape"),
        (with_steps("stat a#b"), 3, 7, "a comment needs a blank"),
        (with_steps("stat \"a\"b"), 3, 9, "expected a blank here"),
        (with_steps("stat \"a\"*"), 3, 10, "expected a number after `*`"),
        (with_steps("write 0 \"a\"*1048577"), 3, 9, "more than 1048576 bytes"),
        (with_steps("write 0 \"ab\"*99999999999999999999999"), 3, 9, "more than 1048576 bytes"),
        (with_steps(&"write 0 \"a\"*1048576\n".repeat(65)), 66, 9, "the words of a case have at most 67108864 bytes"),
        (with_steps("stat a:b"), 3, 7, "a word that holds `:` needs quotes"),
        (with_steps("stat a=b"), 3, 7, "a word that holds `=` needs quotes"),
        (with_steps("stat ["), 3, 6, "expected a path, found `[`"),
        (with_steps("stat \"a\\x00\""), 3, 6, "a path cannot hold a NUL byte"),
    ]);
}

#[test]
fn sections_that_are_missing_or_misplaced() {
    let text = |t: &str| t.to_owned();
    assert_errors(&[
        (text(""), 1, 1, "expected a `lower` section"),
        (text("\n# nothing\n"), 1, 1, "expected a `lower` section"),
        (text("case x"), 1, 7, "expected a `lower` section"),
        (text("lower\n  dir a # b\n\n"), 2, 8, "expected a `steps` section"),
        (text("lower\nexpect upper\n"), 2, 1, "expected a `steps` section"),
        (text("upper\n"), 1, 1, "expected a `lower` section before `upper`"),
        (text("lower\nupper\nlower\n"), 3, 1, "`lower` stands before `upper`"),
        (text("lower\nsteps\n observe\noption a"), 4, 1, "`option` stands before `steps`"),
        (text("case a\n\ncase b"), 3, 1, "a second `case`, the first is in line 1"),
        (text("lower\nupper\nupper"), 3, 1, "a second `upper`, the first is in line 2"),
        (text("lower\n").repeat(7), 7, 1, "more than 6 lower layers"),
        (text("case a b"), 1, 8, "a title of several words needs quotes"),
        (text("case \"\\xff\""), 1, 6, "a title is UTF-8 text"),
        (text("option"), 1, 7, "expected a mount option"),
        (text("option a b"), 1, 10, "expected the end of the line, found `b`"),
        (text("option index=on|x"), 1, 16, "a word that holds `|` needs quotes"),
        (
            text("lowr"),
            1,
            1,
            "expected a section (case, option, lower, upper, steps, expect), found `lowr`: did you mean `lower`?",
        ),
        (text("lower x"), 1, 7, "expected `on=` with the number of a filesystem, or the end of the line, found `x`"),
        (text("lower on"), 1, 7, "expected `on=` with the number of a filesystem"),
        (text("lower on=0"), 1, 10, "expected the number of a filesystem"),
        (text("lower on=4"), 1, 10, "expected the number of a filesystem"),
        (text("lower\nupper on=2"), 2, 7, "expected the end of the line"),
        (with_lower("uper"), 2, 1, "unknown entry `uper`: did you mean `upper`?"),
        (with_steps("expekt upper"), 3, 1, "unknown operation `expekt`: did you mean `expect`?"),
        (with_expect("").replace("upper", "lower"), 4, 8, "expected a tree (merged, upper, work), found `lower`"),
        (
            with_expect("").replace("upper", "uper"),
            4,
            8,
            "expected a tree (merged, upper, work), found `uper`: did you mean `upper`?",
        ),
        (with_expect("").replace("upper", "upper exakt"), 4, 14, "expected `exact` or the end of the line"),
    ]);
}

#[test]
fn entries_that_make_no_layer() {
    assert_errors(&[
        (with_lower("flie a"), 2, 1, "unknown entry `flie`: did you mean `file`?"),
        (with_lower("\"dir\" a"), 2, 1, "expected an entry"),
        (with_lower("dir"), 2, 4, "expected a path, found the end of the line"),
        (with_lower("file ."), 2, 6, "the root of a layer is a dir"),
        (with_lower("dir \"\""), 2, 5, "a path in a tree is relative and clean: this one has an empty component"),
        (with_lower("dir /a"), 2, 5, "a path in a tree is relative and clean: this one has an empty component"),
        (with_lower("dir a/"), 2, 5, "a path in a tree is relative and clean: this one has an empty component"),
        (with_lower("dir a/../b"), 2, 5, "a path in a tree is relative and clean: this one has a component `..`"),
        (with_lower("dir ./b"), 2, 5, "a path in a tree is relative and clean: this one has a component `.`"),
        (with_lower("dir \"x\"*256"), 2, 5, "a path in a tree is relative and clean: this one has a name of 256 bytes"),
        (with_lower("dir a\ndir b\n  dir a"), 4, 7, "a is in this layer already, in line 2"),
        (with_lower("dir .\ndir ."), 3, 5, ". is in this layer already, in line 2"),
        (with_lower("dir a/b/c\nfile a"), 2, 5, "a/b/c is below a of line 3, which is not a dir"),
        (with_lower("link h -> x"), 2, 11, "the target x is not listed in this layer"),
        (with_lower("dir x\nlink h -> x"), 3, 11, "the target x is a dir"),
        (with_lower("link h -> ."), 2, 11, "the target . is a dir"),
        (with_lower("file x\nlink h -> x\nlink i -> h"), 4, 11, "the target h is a hard link itself"),
        (with_lower("file x\nlink h -> x 0644"), 3, 13, "a hard link has no attributes"),
        (with_lower("link h x"), 2, 8, "expected `->` and a target, found `x`"),
        (with_lower("symlink s"), 2, 10, "expected `->` and a target, found the end of the line"),
        (with_lower("symlink s -> \"\""), 2, 14, "the target of a symlink is not empty"),
        (with_lower("symlink s -> a 0755"), 2, 16, "the mode of a symlink is always 0777"),
        (with_lower("char c"), 2, 7, "expected a device number"),
        (with_lower("char c 8:0"), 2, 8, "device 8:0 is not on the harmless list"),
        (with_lower("block b 0:256"), 2, 9, "device 0:256 is not on the harmless list"),
        (with_lower("char c 1: 3"), 2, 11, "expected a minor number"),
    ]);
}

#[test]
fn attributes_that_are_wrong() {
    assert_errors(&[
        (with_lower("dir a 755"), 2, 7, "expected an octal mode"),
        (with_lower("dir a 010000"), 2, 7, "expected an octal mode"),
        (with_lower("dir a 0789"), 2, 7, "expected an octal mode"),
        (with_lower("dir a 0"), 2, 7, "expected an octal mode"),
        (with_lower("dir a 0755 0700"), 2, 12, "the mode is written twice"),
        (with_lower("dir a \"x\""), 2, 7, "only a file has data"),
        (with_lower("file a \"x\" \"y\""), 2, 12, "the data is written twice"),
        (with_lower("file a x"), 2, 8, "unknown attribute `x`"),
        (with_lower("file a uid=1 uid=2"), 2, 14, "`uid=` is written twice"),
        (with_lower("file a uid=-1"), 2, 12, "expected a user id (0 to 4294967295), found `-1`"),
        (with_lower("file a uid= 1"), 2, 13, "expected a value right after `=`"),
        (with_lower("file a uidd=1"), 2, 8, "unknown attribute `uidd=`: did you mean `uid`?"),
        (with_lower("file a time=1.0123456789"), 2, 13, "expected a time"),
        (with_lower("file a time=-0.5"), 2, 13, "expected a time"),
        (with_lower("file a nlink=1"), 2, 8, "`nlink=` belongs to an expected tree"),
        (with_lower("file a mtime=1"), 2, 8, "`mtime=` belongs to an expected tree"),
        (with_lower("file a opaque"), 2, 8, "only a dir is `opaque`"),
        (with_lower("dir a opaqe"), 2, 7, "unknown attribute `opaqe`: did you mean `opaque`?"),
        (with_lower("dir a user.x"), 2, 13, "expected `=` and the value of xattr user.x"),
        (with_lower("dir a user.x=?"), 2, 14, "expected an xattr's value, found `?`"),
        (with_lower("dir a \"\"=x"), 2, 7, "an xattr has a name"),
        (with_lower("dir a opaque @opaque=x"), 2, 14, "xattr \"@opaque\" is written twice"),
        (with_lower("dir a user.x=\"a\"]"), 2, 17, "a word that holds `]` needs quotes"),
        (with_expect("file a time=1"), 5, 8, "`time=` belongs to a layer"),
        (with_expect("file a uid=1"), 5, 8, "`uid=` and `gid=` are asserted together"),
        (with_expect("file a 0644 nlnk=1"), 5, 13, "unknown attribute `nlnk=`: did you mean `nlink`?"),
        (with_expect("dir a\nabsent a"), 6, 8, "a is in this tree already"),
        (with_expect("absent a 0644"), 5, 10, "what is absent has no attributes"),
        (with_expect("absnt a"), 5, 1, "unknown expected entry `absnt`: did you mean `absent`?"),
        (with_expect("link a -> b"), 5, 1, "unknown expected entry `link` (write the file and its `nlink=`)"),
    ]);
}

#[test]
fn steps_that_are_wrong() {
    assert_errors(&[
        (with_steps("unlnk a"), 3, 1, "unknown operation `unlnk`: did you mean `unlink`?"),
        (with_steps("= ok"), 3, 1, "expected an operation, found `=`"),
        (with_steps("as=root"), 3, 8, "expected an operation, found the end of the line"),
        (with_steps("as=rot unlink a"), 3, 4, "expected an actor (root, bare, user, other), found `rot`"),
        (with_steps("as= root unlink a"), 3, 5, "expected the value of `as=`"),
        (with_steps("thread=1 unlink a"), 3, 8, "expected a thread (0 to 0), found `1`"),
        (with_steps("as=root as=root unlink a"), 3, 9, "`as=` is written twice"),
        (with_steps("thred=0 unlink a"), 3, 1, "expected `as=` or `thread=`, found `thred=`: did you mean `thread`?"),
        (with_steps("close 10"), 3, 7, "expected a slot (0 to 9), found `10`"),
        (with_steps("close 01"), 3, 7, "expected a slot (0 to 9), found `01`"),
        (with_steps("open 0 a"), 3, 9, "expected flags (`O_RDWR|O_CREAT`): the form is `open SLOT PATH FLAGS [MODE]`"),
        (with_steps("open 0 a = ok"), 3, 10, "expected flags (`O_RDWR|O_CREAT`): the form is"),
        (with_steps("open 0 a O_RDWR|O_CRAET"), 3, 17, "unknown flag `O_CRAET`: did you mean `O_CREAT`?"),
        (with_steps("open 0 a O_RDWR|O_RDONLY"), 3, 17, "a second access mode after O_RDWR"),
        (with_steps("open 0 a O_RDWR|"), 3, 17, "expected flags"),
        (with_steps("open 0 a O_RDWR O_CREAT"), 3, 17, "expected an octal mode"),
        (with_steps("rename a b NOREPLACE"), 3, 12, "unknown flag `NOREPLACE`"),
        (
            with_steps("rename a b RENAME_NOREPLAC"),
            3,
            12,
            "unknown flag `RENAME_NOREPLAC`: did you mean `RENAME_NOREPLACE`?",
        ),
        (with_steps("mkdir a 755"), 3, 9, "expected an octal mode"),
        (with_steps("read 0 4294967296"), 3, 8, "expected a length (0 to 4294967295)"),
        (with_steps("truncate a 1.5"), 3, 12, "expected a length"),
        (with_steps("mknod a pipe 0644"), 3, 9, "expected a node type"),
        (with_steps("mknod a char 0644"), 3, 14, "expected a device number"),
        (with_steps("mknod a char 1:1 0644"), 3, 14, "device 1:1 is not on the harmless list"),
        (
            with_steps("unlink a b"),
            3,
            10,
            "expected the end of the line (the form is `unlink PATH [= RESULT]`), found `b`",
        ),
        (with_steps("unlink a =ok"), 3, 11, "expected a blank here, after `=`"),
        (with_steps("unlink a= ok"), 3, 9, "a word that holds `=` needs quotes"),
        (
            with_steps("unlink a = ENOENTT"),
            3,
            12,
            "expected a result (ok, a count, \"data\", [names], an errno name), found `ENOENTT`: did you mean `ENOENT`?",
        ),
        (with_steps("unlink a ="), 3, 11, "expected a result"),
        (with_steps("read 0 1 = 1x"), 3, 12, "expected a count"),
        (with_steps("list a = [a b"), 3, 14, "expected a name or `]`, found the end of the line"),
        (with_steps("list a = [a/b]"), 3, 11, "a name is not empty and holds neither `/` nor NUL"),
        (with_steps("list a = [a] b"), 3, 14, "expected the end of the line, found `b`"),
    ]);
}

#[test]
fn files_that_are_not_text() {
    let error = parse(b"lower\nsteps # \xc3\xa9 \xff\n").expect_err("not UTF-8");
    assert_eq!((error.line, error.column), (2, 11));
    assert_eq!(error.to_string(), "2:11: not UTF-8 text (other bytes are written \\xNN, in quotes)");
    let error = "unlink a\nunlink b".parse::<Step>().expect_err("two lines");
    assert_eq!((error.line, error.column), (2, 1));
}

#[test]
fn every_operation_has_its_row() {
    assert_eq!(super::op::WORDS, Op::ALL);
}

#[test]
fn runs_are_parts_of_a_word() -> Result<(), ParseError> {
    let data = [&[0; 8192][..], b"xy", &[b'S'; 17], b"S\"", &[b'"'; 16]].concat();
    let entry = Entry { path: "f".into(), node: Node { sparse: true, ..Node::new(NodeKind::File(data.into())) } };
    let shown = entry.to_string();
    assert_eq!(shown, format!("file f \"\\x00\"*8192+\"xy\"+\"S\"*18+\"\\\"\"*17 sparse"));
    let case: Case = format!("lower\n  {shown}\nsteps\n").parse()?;
    assert_eq!(case.lowers[0].entries, [entry]);
    let error = format!("lower\n  file f \"x\"*{MAX_DATA}+\"y\"\nsteps\n").parse::<Case>().expect_err("too long");
    assert_eq!((error.line, error.column), (2, 10));
    Ok(())
}

#[test]
fn words_are_read_as_they_are_meant() -> Result<(), ParseError> {
    let text = "lower\r\n\tfile \"a b\" \"\\x00\"\"\"\r\n";
    assert!(text.parse::<Case>().is_err());
    let text = "\n# c\nlower # c\r\n\tfile \"a b\" \"\\x00\\\"\" uid=7 0600 @a=b user.x=\"#\" time=-2.5 # c\r\n\
                steps\r\nopen 3 \"\" O_CREAT\nsymlink a .\nread 1 2 = \"3\"\nthread=0 as=root list . = []\ntruncate a -1";
    let case: Case = text.parse()?;
    let entry = &case.lowers[0].entries[0];
    assert_eq!(entry.path, Bytes::from("a b"));
    let node = Node {
        mode: 0o600,
        uid: 7,
        time: Time { sec: -2, nsec: 500_000_000 },
        xattrs: vec![("@a".into(), "b".into()), ("user.x".into(), "#".into())],
        ..Node::new(NodeKind::File("\0\"".into()))
    };
    assert_eq!(entry.node, node);
    assert_eq!(case.steps[0].op, Op::Open { slot: 3, path: "".into(), flags: OpenFlags(libc::O_CREAT), mode: 0 });
    assert_eq!(case.steps[1].op, Op::Symlink { target: "a".into(), path: ".".into() });
    assert_eq!(case.steps[2].expect, Some(Expected::Bytes("3".into())));
    assert_eq!(case.steps[3].expect, Some(Expected::Names(Vec::new())));
    assert_eq!(case.steps[4].op, Op::Truncate { path: "a".into(), len: -1 });
    Ok(())
}

#[test]
fn defaults_are_not_written() -> Result<(), ParseError> {
    let text = r#"case "Größe, two words"
option redirect_dir=off
option "a b"
lower
  dir .
  dir d 02755 uid=1 gid=2
  file d/a 0600 "hello\n" time=1000000000.5
  file big "x"*5000
  symlink s -> "../a b"
  char null 1:3 0666
  whiteout gone
  whiteout odd 0600
  dir o opaque @origin=""
  file x "opaque"="y" user.foo="bar"
  link h -> d/a
lower
upper
  block b 0:7
steps
  open 0 d/a O_RDONLY
  open 0 d/a O_RDWR|O_CREAT|O_EXCL 0644 = ok
  mknod c char 1:3 0000 = EPERM
  rename a b RENAME_NOREPLACE|RENAME_EXCHANGE = E4000
  list d = [a "" "c d"]
  drop-caches
expect merged exact
  file d/a 0644 "" uid=1 gid=2 nlink=1 mtime=5
  absent d/x
  symlink s
  char c 0:0
expect work
  dir o opaque @origin "user foo"=?
"#;
    let text = text.replace(" \"\" \"c d\"", " \"c d\"");
    let case: Case = text.parse()?;
    assert_eq!(case.to_string(), text);
    assert_eq!(case.lowers[0].entries[6].node.kind, NodeKind::Char(Device::WHITEOUT));
    assert_eq!(case.expect[0].entries[0].kind, Some(ExpectedKind::File(Some(Bytes::default()))));
    assert_eq!(case.expect[0].entries[3].kind, Some(ExpectedKind::Char(Some(Device::WHITEOUT))));
    assert_eq!(print_layer(&case.upper), "block b 0:7\n");
    assert_eq!(print_layer(&Layer::default()), "");
    Ok(())
}

#[test]
fn flags_without_a_name_are_shown() {
    let op = Op::Open { slot: 0, path: "a".into(), flags: OpenFlags(libc::O_WRONLY | libc::O_SYNC), mode: 0 };
    assert_eq!(op.to_string(), format!("open 0 a O_WRONLY|{:#x}", libc::O_SYNC));
}

#[test]
fn of_two_xattrs_the_last_is_left() {
    let xattrs = ["a", "b", "a"].map(|name| (Bytes::from(format!("user.{name}").as_str()), Bytes::from(name)));
    let node = Node { xattrs: xattrs.to_vec(), ..Node::new(NodeKind::Dir) };
    let entry = Entry { path: "d".into(), node };
    assert_eq!(entry.to_string(), r#"dir d user.b="b" user.a="a""#);
}

#[test]
fn an_entry_left_out_still_has_parents() {
    let link = |path: &str, target: &str| Entry { path: path.into(), node: Node::new(NodeKind::Link(target.into())) };
    let layer =
        Layer { entries: vec![link("a/b/c", "x"), link("a/b/d", "x"), link("a/e/f", "x"), link("g", "g")], on: 0 };
    assert_eq!(print_layer(&layer), "dir a/e\ndir a/b\n");
}
