//! The names of a case: few, so that layers and steps collide.

use super::dice::Dice;
use crate::bytes::Bytes;

/// Longest name that Linux allows, in bytes.
const NAME_MAX: usize = 255;

/// The names that layers and steps of one case share.
#[derive(Debug)]
pub(super) struct Pool {
    names: Vec<Bytes>,
    /// Whether the case may hold fifos or devices, which block or wait when opened.
    pub fifos: bool,
}

impl Pool {
    /// A pool of 3 to 6 plain names and, in a third of the cases, one or two odd ones.
    /// Without `reserved` there are none that AUFS layers give a meaning.
    pub fn draw(dice: &mut Dice<'_>, reserved: bool) -> Pool {
        let plain = dice.between(3, 6);
        let mut names: Vec<Bytes> = ["a", "b", "c", "d", "e", "f"][..plain].iter().map(|n| Bytes::from(*n)).collect();
        if dice.percent(33) {
            for _ in 0..dice.between(1, 2) {
                let odd = odd(dice);
                let taken = !reserved && odd.starts_with(b".wh.");
                if !taken && !names.contains(&odd) {
                    names.push(odd);
                }
            }
        }
        Pool { names, fifos: dice.percent(60) }
    }

    /// One of the names; the first ones more often.
    pub fn name(&self, dice: &mut Dice<'_>) -> &Bytes {
        let (one, two) = (dice.below(self.names.len()), dice.below(self.names.len()));
        let at = if dice.percent(50) { one } else { one.min(two) };
        &self.names[at]
    }
}

/// A name that trips code which thinks of names as text, or gives some of them a meaning.
fn odd(dice: &mut Dice<'_>) -> Bytes {
    match dice.below(14) {
        0 => Bytes::from("a b"),
        1 => Bytes::from("a\nb"),
        2 => Bytes::from(vec![b'a', 0xff, 0xfe]),
        3 => Bytes::from(".a"),
        4 => Bytes::from("#a"),
        5 => Bytes::from(".wh.a"),
        6 => Bytes::from(".wh..wh..opq"),
        7 => Bytes::from(vec![b'n'; NAME_MAX]),
        8 => Bytes::from("..."),
        9 => Bytes::from("aa"),
        10 => Bytes::from("ab"),
        11 => Bytes::from("a:b,c\\d"),
        12 => Bytes::from(vec![0xc3, 0xa9]),
        _ => Bytes::from("work"),
    }
}
