//! Logical values: what the model knows of values that only the kernel chooses.
//!
//! Times are spans of the trace, inode numbers and file handles are variables that bind at first
//! sight and must be equal ever after.

use std::collections::HashMap;

use super::disk::Ino;
use super::overlay::NodeId;
use crate::bytes::Bytes;
use crate::trace::{Span, Time};

/// A time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Exactly this.
    Exact(Time),
    /// Sometime in span number `n` of the case.
    In(u32),
}

impl Default for Stamp {
    fn default() -> Self {
        Stamp::In(Spans::SETUP)
    }
}

/// The spans of a case, numbered as they happen.
#[derive(Clone, Debug, Default)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Making the layers.
    pub const SETUP: u32 = 0;
    /// The first mount.
    pub const MOUNTED: u32 = 1;

    /// Adds the next span and returns its number.
    pub fn push(&mut self, span: Span) -> u32 {
        self.0.push(span);
        (self.0.len() - 1) as u32
    }

    /// Lets the last span end later: looking at the tree happened after the step but before `to`.
    pub fn extend_last(&mut self, to: Time) {
        if let Some(last) = self.0.last_mut() {
            last.to = last.to.max(to);
        }
    }

    /// Whether `seen` can be `stamp`.
    pub fn admits(&self, stamp: Stamp, seen: Time) -> bool {
        match stamp {
            Stamp::Exact(time) => seen == time,
            Stamp::In(n) => self.0.get(n as usize).is_some_and(|s| s.from <= seen && seen <= s.to),
        }
    }

    /// What a stamp stands for, in words.
    pub fn describe(&self, stamp: Stamp) -> String {
        match stamp {
            Stamp::Exact(t) => format!("{}.{:09}", t.sec, t.nsec),
            Stamp::In(n) => match self.0.get(n as usize) {
                Some(s) => format!("{}.{:09} to {}.{:09}", s.from.sec, s.from.nsec, s.to.sec, s.to.nsec),
                None => "unknown".to_owned(),
            },
        }
    }
}

/// Values that bind at first sight: inode numbers, handles, uuids.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    numbers: HashMap<Ino, u64>,
    /// By filesystem and number.
    numbered: HashMap<(u64, u8), Ino>,
    counted: HashMap<(u32, NodeId), u64>,
    handles: HashMap<Ino, Bytes>,
    handled: HashMap<Bytes, Ino>,
    uuids: HashMap<u32, Bytes>,
}

impl Bindings {
    /// Whether `seen` can be the inode number of `ino`, on filesystem `on`; binds it if it is the first.
    pub fn number(&mut self, on: u8, ino: Ino, seen: u64) -> bool {
        let number = *self.numbers.entry(ino).or_insert(seen);
        number == seen && *self.numbered.entry((seen, on)).or_insert(ino) == ino
    }

    /// Whether `seen` can be what a mount counted up for an overlay inode; binds it if it is the first.
    pub fn counted(&mut self, (mount, node): (u32, NodeId), seen: u64) -> bool {
        let other = self.counted.iter().any(|((m, n), number)| *m == mount && *n != node && *number == seen);
        !other && *self.counted.entry((mount, node)).or_insert(seen) == seen
    }

    /// The inode that `number` of filesystem `on` is bound to.
    pub fn holder(&self, on: u8, number: u64) -> Option<Ino> {
        self.numbered.get(&(number, on)).copied()
    }

    /// The inode number that `ino` is bound to.
    pub fn number_of(&self, ino: Ino) -> Option<u64> {
        self.numbers.get(&ino).copied()
    }

    /// Forgets the number of an inode that is gone for good: filesystems use numbers again.
    pub fn release(&mut self, on: u8, ino: Ino) {
        if let Some(number) = self.numbers.remove(&ino) {
            self.numbered.remove(&(number, on));
        }
    }

    /// Whether `seen` can be a file handle of `ino`; binds it if it is the first.
    pub fn handle(&mut self, ino: Ino, seen: &Bytes) -> bool {
        // Header of 21 bytes: version 0, magic 0xfb (CUP-14).
        if seen.len() <= 21 || seen.as_slice()[..2] != [0, 0xfb] {
            return false;
        }
        self.handles.entry(ino).or_insert_with(|| seen.clone()) == seen
            && *self.handled.entry(seen.clone()).or_insert(ino) == ino
    }

    /// The file handle of an inode, if one was seen.
    pub fn handle_of(&self, ino: Ino) -> Option<&Bytes> {
        self.handles.get(&ino)
    }

    /// Whether `seen` can be uuid number `n` of the case.
    pub fn uuid(&mut self, n: u32, seen: &Bytes) -> bool {
        let other = self.uuids.iter().any(|(m, v)| *m != n && v == seen);
        seen.len() == 16 && !other && self.uuids.entry(n).or_insert_with(|| seen.clone()) == seen
    }
}
