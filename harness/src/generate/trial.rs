//! Mounts to try: layers and options that go together, most of them then spoilt in one way.

use super::dice::Dice;
use crate::bytes::Bytes;
use crate::step::Op;
use crate::trace::Privilege;

/// Directories of the ground that may be lower layers together, as `lowerdir=` says them.
const LOWERS: [&str; 5] = ["a", "b", "c", "d", r"x\:y"];

/// What any mount may be asked for.
const OPTIONS: [&str; 22] = [
    "index=on",
    "index=off",
    "uuid=on",
    "uuid=null",
    "uuid=auto",
    "volatile",
    "default_permissions",
    "xino=on",
    "xino=off",
    "ro",
    "ro",
    "ro",
    "nfs_export=on",
    "nfs_export=off",
    "metacopy=on",
    "metacopy=off",
    "redirect_dir=on",
    "redirect_dir=off",
    "redirect_dir=follow",
    "redirect_dir=nofollow",
    "nfs_export=on",
    "redirect_dir=nofollow",
];

/// Options that are not there, or not like this.
const MALFORMED: [&str; 12] = [
    "nouserxattr",
    "lowerdirs=a",
    "frobnicate",
    "index=maybe",
    "redirect_dir",
    "metacopy=",
    "xino=yes",
    "volatile=on",
    "userxattr=on",
    "upperdir",
    "workdir=",
    "lowerdir+=",
];

/// The options that name a layer or the work directory.
const LAYERS: [&str; 4] = ["lowerdir", "upperdir", "workdir", "lowerdir+"];

/// What is no directory of the ground.
const NO_DIRECTORY: [&str; 6] = ["none", "a/none", "f", "a/f", "f/x", "f/"];

/// Lists in which a layer is another, or the work directory.
const SAME: [&str; 8] = ["a:a", "a:b:a", "u:a", "a:w", "b::b", "a:a/in:b", "d/e:d", "d/e"];

/// Lists in which a layer lies in another, or in the work directory.
const INSIDE: [&str; 8] = ["u/in", "a:w/in", "d:d/e", "a:a/in", "b:u/in:c", ".", ".:a", "a::a/in"];

/// Lists with colons where none may be.
const COLONS: [&str; 7] = [":a", "a:", "a:::b", "::a", "a::", "a:b:", ":"];

/// Lists with layers for data alone.
const DATA: [&str; 5] = ["a::b:c", "a::b::c", "a:b::c", "a:b::d", "a::b:none"];

/// A mount to try.
pub(super) fn draw(privilege: Privilege, dice: &mut Dice<'_>) -> Op {
    let mut lowers: Vec<&str> = LOWERS.to_vec();
    while lowers.len() > 3 || lowers.len() > 1 && dice.percent(40) {
        lowers.remove(dice.below(lowers.len()));
    }
    let has_upper = lowers.len() == 1 || dice.percent(70);
    let data_only = lowers.len() > 1 && dice.percent(25);
    let mut options = layers(&lowers, data_only, dice);
    if has_upper {
        options.extend(["upperdir=u".to_owned(), "workdir=w".to_owned()]);
    }
    let rootless = privilege == Privilege::Rootless;
    if dice.percent(if rootless { 80 } else { 8 }) {
        options.push("userxattr".to_owned());
    }
    if data_only && dice.percent(60) {
        options.push("metacopy=on".to_owned());
    }
    while dice.percent(45) {
        options.push((*dice.one(&OPTIONS)).to_owned());
    }
    if dice.percent(70) {
        spoil(&mut options, dice);
    }
    Op::TryMount { options: options.iter().map(|option| Bytes::from(option.as_str())).collect() }
}

/// The lower layers in a list or one by one, the last of them for data if there is one.
fn layers(lowers: &[&str], data_only: bool, dice: &mut Dice<'_>) -> Vec<String> {
    let (above, data) = lowers.split_at(lowers.len() - usize::from(data_only));
    if dice.percent(60) {
        let list = [above.join(":"), data.concat()];
        let list = if data_only { list.join("::") } else { list.concat() };
        return vec![format!("lowerdir={list}")];
    }
    // One by one there are no escapes.
    let plain = |name: &&str| name.replace('\\', "");
    let above = above.iter().map(plain).map(|name| format!("lowerdir+={name}"));
    above.chain(data.iter().map(plain).map(|name| format!("datadir+={name}"))).collect()
}

/// Makes one thing of it odd.
fn spoil(options: &mut Vec<String>, dice: &mut Dice<'_>) {
    let set = |options: &mut Vec<String>, name: &&str, value: &&str| {
        options.retain(|option| !option.starts_with(&format!("{name}=")));
        options.push(format!("{name}={value}"));
    };
    match dice.below(22) {
        0 => {
            let at = dice.below(options.len() + 1);
            options.insert(at, (*dice.one(&MALFORMED)).to_owned());
        }
        1 => set(options, dice.one(&LAYERS), dice.one(&NO_DIRECTORY)),
        2 => options.retain(|option| !option.starts_with("workdir=")),
        3 => {
            let (upper, work) = *dice.one(&[("u", "u"), ("u", "u/in"), ("w/in", "w"), ("u/in", "u"), ("w", "w/in")]);
            set(options, &"upperdir", &upper);
            set(options, &"workdir", &work);
        }
        4 => set(options, &"lowerdir", dice.one(&SAME)),
        5 => set(options, &"lowerdir", dice.one(&INSIDE)),
        6 => set(options, &"lowerdir", dice.one(&COLONS)),
        7 => set(options, &"lowerdir", dice.one(&DATA)),
        8 => options.push(format!("{}={}", *dice.one(&["lowerdir+", "datadir+"]), *dice.one(&["a", "b", "d", "none"]))),
        9 => options.extend(["datadir+=b".to_owned(), "lowerdir+=c".to_owned()]),
        10 => options.push(format!("lowerdir={}", *dice.one(&["a:b", "c", "d", "", "b::d"]))),
        11 => {
            options.retain(|option| !option.starts_with("lowerdir"));
            options.extend(dice.percent(50).then(|| "lowerdir=".to_owned()));
        }
        12 => {
            options.retain(|option| !option.starts_with("upperdir=") && !option.starts_with("lowerdir"));
            options.push(format!("lowerdir={}", *dice.one(&LOWERS)));
        }
        13 => {
            options.retain(|option| !option.starts_with("lowerdir") && !option.starts_with("datadir"));
            options.extend(["datadir+=a".to_owned(), "datadir+=b".to_owned()]);
            options.extend(dice.percent(80).then(|| "metacopy=on".to_owned()));
        }
        14 => {
            let (list, upper, work) = *dice.one(&[
                ("a", "a/in", "w"),
                ("a:b", "u", "a/in"),
                ("d:a", "d/e", "w"),
                (".", "u", "w"),
                ("b:.", "a", "w"),
            ]);
            options.retain(|option| !option.starts_with("datadir"));
            options.retain(|option| !option.starts_with("lowerdir"));
            options.insert(0, format!("lowerdir={list}"));
            set(options, &"upperdir", &upper);
            set(options, &"workdir", &work);
        }
        15 => {
            let name = *dice.one(&[r"x\:y", "x:y", r"\a", r"a\/in", r"x\\:y"]);
            let name = if crate::step::ground::is_confined(name.as_bytes()) { name } else { "a" };
            options.push(format!("{}={name}", *dice.one(&["lowerdir", "lowerdir+", "datadir+", "upperdir"])));
        }
        16 => {
            let pair = *dice.one(&[
                ["metacopy=on", "redirect_dir=nofollow"],
                ["metacopy=on", "redirect_dir=follow"],
                ["nfs_export=on", "index=off"],
                ["nfs_export=on", "metacopy=on"],
                ["userxattr", "redirect_dir=on"],
                ["userxattr", "metacopy=on"],
                ["nfs_export=on", "redirect_dir=nofollow"],
                ["index=on", "volatile"],
            ]);
            options.extend(pair.map(str::to_owned));
        }
        17 => options.retain(|option| !option.starts_with("upperdir=") && !option.starts_with("workdir=")),
        _ => {
            options.retain(|option| !option.starts_with("upperdir="));
            options.extend(dice.percent(50).then(|| "index=off".to_owned()));
            options.push("nfs_export=on".to_owned());
            options.extend(dice.percent(40).then(|| "redirect_dir=nofollow".to_owned()));
        }
    }
}
