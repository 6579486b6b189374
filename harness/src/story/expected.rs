//! The story as the model tells it, looking where a worker looks and in the same order.

use super::words::{Facts, dents_text, filesystem_text, is_secret, kind_word, listing_text, names_text};
use super::{ANYTHING, Chapter, Line, Story, Trees, looks_at_all};
use crate::bytes::Bytes;
use crate::case::Case;
use crate::check::IGNORED_XATTRS;
use crate::errno::Errno;
use crate::model::disk::{Body, Ino, XattrValue};
use crate::model::look::Look;
use crate::model::overlay::{Cache, DentryId};
use crate::model::value::Stamp;
use crate::model::{Clause, Context, Model, Predicted, View};
use crate::step::{Op, Step, footprint_of};
use crate::trace::{Content, Environment, Kind, Side, content_of};

/// Files longer than this are not read by a worker.
const READ_LIMIT: usize = 16 << 20;

/// What must happen, by the model; with a `fault`, by one that is wrong in that clause.
pub fn expected(case: &Case, environment: &Environment, fault: Option<Clause>) -> Story {
    let mut teller = Teller::new(case, environment, fault);
    let mut story = Story { refused: teller.model.mounts.err(), ..Story::default() };
    if story.refused.is_some() {
        return story;
    }
    for step in &case.steps {
        // Times are told as `now` whenever they are, so one span serves for all.
        teller.model.at(1);
        teller.model.rules.begin_step();
        let chapter = teller.chapter(step);
        if teller.model.adrift || teller.model.undecided {
            return story;
        }
        if matches!(step.op, Op::Remount | Op::Rotate) {
            story.refused = chapter.outcome.parse().ok();
            if story.refused.is_some() {
                return story;
            }
        }
        story.steps.push(chapter);
    }
    story.last = Some(teller.trees(ALL, ALL));
    story
}

/// What of each node is told besides its attributes.
#[derive(Clone, Copy)]
pub(super) struct Detail {
    xattrs: bool,
    content: bool,
}

pub(super) const ALL: Detail = Detail { xattrs: true, content: true };

pub(super) struct Teller {
    pub(super) model: Model,
    overlay: bool,
    /// A directory was read in part.
    parts: bool,
}

impl Teller {
    pub(super) fn new(case: &Case, environment: &Environment, fault: Option<Clause>) -> Teller {
        let context = Context::of(environment);
        Teller { overlay: context.view == View::Overlay, model: Model::new(case, context, fault), parts: false }
    }

    /// All of the upper layer.
    pub(super) fn upper_lines(&self, detail: Detail) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.overlay {
            self.upper(self.model.upper, Bytes::default(), detail, &mut lines);
        }
        lines
    }

    /// Where each path of a step is found, by what the step would look up.
    pub(super) fn found(&mut self, step: &Step) -> Vec<String> {
        let paths: Vec<Bytes> = step.op.paths().into_iter().flatten().cloned().collect();
        let mut found = Vec::new();
        for path in &paths {
            let clean = footprint_of(path);
            let served = self.model.served(step.actor, path);
            let upper = self.overlay.then(|| self.model.disk_at(self.model.upper, &clean).ok()).flatten();
            let whiteout = upper.is_some_and(|ino| self.model.disk[ino].is_char_whiteout());
            let served = if whiteout { "nothing, by a whiteout in the upper layer".to_owned() } else { served };
            found.push(format!("{path}: {served}"));
        }
        found
    }

    pub(super) fn chapter(&mut self, step: &Step) -> Chapter {
        let predicted = self.model.act(step);
        // What a call gives when not all fits, and what is left then, depends on the order of entries.
        let reads = matches!(step.op, Op::Getdents { .. } | Op::Getdents64 { .. });
        self.parts |= matches!(step.op, Op::Seekdir { .. });
        if let (Op::Getdents64 { slot, .. }, true) = (&step.op, self.model.guessed) {
            let gave = matches!(&predicted, Ok(Predicted::Dents(dents)) if !dents.is_empty());
            self.parts |= gave && !self.model.is_over(*slot);
        }
        let outcome =
            if reads && self.parts && predicted.is_ok() { ANYTHING.to_owned() } else { self.outcome(&predicted) };
        let mut fired: Vec<Clause> = Vec::new();
        for &clause in self.model.rules.in_play() {
            if !fired.contains(&clause) {
                fired.push(clause);
            }
        }
        let mut looks = Vec::new();
        let mut trees = None;
        if looks_at_all(&step.op) {
            let whole = !matches!(step.op, Op::Observe);
            let merged = Detail { xattrs: whole, content: true };
            trees = Some(self.trees(merged, Detail { xattrs: true, content: whole }));
        } else {
            // Looks start from the root, where the step's relative paths did not if it was elsewhere.
            let base = self.model.cwd_path().unwrap_or_default();
            for path in step.op.paths().into_iter().flatten() {
                let from_root = path.as_slice().first() == Some(&b'/');
                self.footprint(&if from_root { path.clone() } else { base.join(path) }, &mut looks);
            }
        }
        Chapter { outcome, looks, trees, fired }
    }

    fn footprint(&mut self, path: &Bytes, looks: &mut Vec<Line>) {
        let clean = footprint_of(path);
        let bare = Detail { xattrs: false, content: false };
        let with = Detail { xattrs: true, content: false };
        let text = match self.model.look_merged(&clean) {
            Ok((_, look)) => self.node(look, Side::Merged, bare, None),
            Err(e) => e.to_string(),
        };
        looks.push(Line { side: Side::Merged, path: clean.clone(), text });
        if !self.overlay {
            return;
        }
        let upper = self.model.upper;
        let (parent, name) = clean.split_last();
        let found = if clean.is_empty() { Ok(upper) } else { self.model.disk_dir_at(upper, parent) };
        let text = self.disk_place(found, with);
        looks.push(Line { side: Side::Upper, path: parent.into(), text });
        if !name.is_empty() {
            let text = self.disk_place(found.and_then(|_| self.model.disk_at(upper, &clean)), with);
            looks.push(Line { side: Side::Upper, path: clean, text });
        }
    }

    fn disk_place(&self, found: Result<Ino, Errno>, detail: Detail) -> String {
        match found {
            Ok(ino) => self.node(self.disk_look(ino), Side::Upper, detail, None),
            Err(e) => e.to_string(),
        }
    }

    fn disk_look(&self, ino: Ino) -> Look {
        Look::on_disk(&self.model.disk, ino)
    }

    fn node(&self, look: Look, side: Side, detail: Detail, listed: Option<Kind>) -> String {
        let inode = &self.model.disk[look.attributes];
        let (size, rdev) = match &inode.body {
            Body::File(data) => (data.len() as u64, (0, 0)),
            Body::Symlink(target) => (target.len() as u64, (0, 0)),
            Body::Char(major, minor) | Body::Block(major, minor) => (0, (*major, *minor)),
            _ => (0, (0, 0)),
        };
        let hidden = side == Side::Merged && self.overlay;
        let mut xattrs = Vec::new();
        for (name, value) in inode.xattrs.iter().filter(|_| detail.xattrs) {
            if IGNORED_XATTRS.iter().any(|i| i.as_bytes() == name.as_slice()) {
                continue;
            }
            // Through the overlay, private names are hidden and escaped ones come back (XAT-02).
            let name = match name.strip_prefix(b"@") {
                Some(rest) if hidden => match rest.strip_prefix(b"overlay.") {
                    Some(rest) => Bytes::from([b"@", rest].concat()),
                    None => continue,
                },
                _ => name.clone(),
            };
            let value = match value {
                XattrValue::Known(value) => (!is_secret(&name, value)).then_some(value),
                XattrValue::Handle(_) | XattrValue::Uuid(_) => None,
            };
            xattrs.push((name, value));
        }
        xattrs.sort_by(|a, b| a.0.cmp(&b.0));
        let content = match &self.model.disk[look.data].body {
            _ if !detail.content => Content::None,
            Body::File(data) if data.len() > READ_LIMIT => Content::Unreadable(Errno::EFBIG),
            Body::File(data) => content_of(data),
            Body::Symlink(target) => Content::Bytes(target.clone()),
            _ => Content::None,
        };
        let kind = inode.body.kind();
        Facts {
            kind,
            mode: inode.mode,
            owner: (inode.uid, inode.gid),
            nlink: look.nlink,
            size,
            rdev,
            mtime: match inode.mtime {
                Stamp::Exact(time) => Some(time),
                Stamp::In(_) => None,
            },
            listed: listed.filter(|l| *l != kind),
            xattrs,
            content,
        }
        .text()
    }

    fn outcome(&self, predicted: &Result<Predicted, Errno>) -> String {
        let bare = Detail { xattrs: false, content: false };
        match predicted {
            Err(e) => e.to_string(),
            Ok(Predicted::Unspecified) => ANYTHING.to_owned(),
            Ok(Predicted::Unit) => "ok".to_owned(),
            Ok(Predicted::Count(n)) => n.to_string(),
            Ok(Predicted::Bytes(b)) => b.quoted().to_string(),
            Ok(Predicted::Stat(look)) => self.node(*look, Side::Merged, bare, None),
            Ok(Predicted::List(listing)) => listing_text(listing.iter().map(|(name, kind, _)| (name, *kind))),
            Ok(Predicted::Dents(dents)) => dents_text(dents.iter().map(|dent| (&dent.name, dent.kind))),
            Ok(Predicted::Filesystem(facts)) => filesystem_text(facts),
            Ok(Predicted::Names(names)) => names_text(names.iter()),
        }
    }

    fn trees(&mut self, merged: Detail, upper: Detail) -> Trees {
        let mut lines = Vec::new();
        self.merged(Cache::ROOT, Bytes::default(), None, merged, &mut lines);
        if self.overlay {
            self.upper(self.model.upper, Bytes::default(), upper, &mut lines);
            let mut work = Vec::new();
            self.work(self.model.work_base, &Bytes::default(), &mut work);
            work.sort_by(|a: &Line, b: &Line| (&a.path, &a.text).cmp(&(&b.path, &b.text)));
            lines.append(&mut work);
        }
        Trees { lines }
    }

    fn merged(&mut self, id: DentryId, path: Bytes, listed: Option<Kind>, detail: Detail, lines: &mut Vec<Line>) {
        let side = Side::Merged;
        let look = match self.model.look(id) {
            Ok(look) => look,
            Err(e) => return lines.push(Line { side, path, text: e.to_string() }),
        };
        let text = self.node(look, side, detail, listed);
        lines.push(Line { side, path: path.clone(), text });
        if self.model.disk[look.attributes].body.kind() != Kind::Dir {
            return;
        }
        let listing = match self.model.list_dentry(id) {
            Ok(listing) => listing,
            Err(e) => {
                if let Some(line) = lines.last_mut() {
                    line.text += &format!(" unlistable: {e}");
                }
                return;
            }
        };
        for (name, kind, _) in listing {
            let child = path.join(&name);
            match self.model.lookup_for_look(id, &name) {
                Ok(dentry) => self.merged(dentry, child, Some(kind), detail, lines),
                Err(e) => lines.push(Line { side, path: child, text: e.to_string() }),
            }
        }
    }

    fn upper(&self, ino: Ino, path: Bytes, detail: Detail, lines: &mut Vec<Line>) {
        let text = self.node(self.disk_look(ino), Side::Upper, detail, None);
        lines.push(Line { side: Side::Upper, path: path.clone(), text });
        for (name, &child) in self.model.disk[ino].names().into_iter().flatten() {
            self.upper(child, path.join(name), detail, lines);
        }
    }

    fn work(&self, ino: Ino, path: &Bytes, lines: &mut Vec<Line>) {
        for (name, &child) in self.model.disk[ino].names().into_iter().flatten() {
            let path = path.join(name);
            let inode = &self.model.disk[child];
            let text = format!("{} {:04o}", kind_word(inode.body.kind()), inode.mode);
            lines.push(Line { side: Side::Work, path: without_numbers(&path), text });
            self.work(child, &path, lines);
        }
    }
}

/// A path of the work directory with temporaries called `#`, and what is in the index named alike: its names
/// are file handles.
pub(super) fn without_numbers(path: &Bytes) -> Bytes {
    let mut in_index = false;
    let names = path.as_slice().split(|&b| b == b'/').map(|name| {
        let named = std::mem::replace(&mut in_index, name == b"index");
        match name.first() {
            Some(b'#') => b"#",
            _ if named => &b"(a file handle)"[..],
            _ => name,
        }
    });
    Bytes::from(names.collect::<Vec<_>>().join(&b'/'))
}
