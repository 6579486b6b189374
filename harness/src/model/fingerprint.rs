//! A fingerprint of the model's state: equal where every continuation gives the same, up to what no step
//! depends on.
//!
//! It covers the disk below the roots (times left out: no call decides anything by them), the dentries and
//! overlay inodes that are cached, what is open, and the rest of the process. Inodes, nodes and dentries are
//! numbered in the order in which a walk meets them, so how they came to be does not show.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

use super::Model;
use super::disk::{Body, Ino, XattrValue};
use super::file::OpenFile;
use super::overlay::{Cache, Dentry, DentryId, Node, NodeId, Snapshot};
use super::stream::Placed;
use crate::trace::{FNV_START, fnv1a};

/// A renaming of names: pairs that stand for each other.
pub type Renaming = [(&'static str, &'static str)];

impl Model {
    /// The fingerprint after names are exchanged as `renaming` says.
    pub fn fingerprint(&self, renaming: &Renaming) -> u128 {
        let mut writer = Writer::new(self, renaming);
        writer.state();
        let mut hasher = DefaultHasher::new();
        hasher.write(&writer.out);
        u128::from(hasher.finish()) << 64 | u128::from(fnv1a(FNV_START, &writer.out))
    }
}

struct Writer<'m> {
    model: &'m Model,
    renaming: &'m Renaming,
    inos: HashMap<Ino, usize>,
    nodes: HashMap<NodeId, usize>,
    dentries: HashMap<DentryId, usize>,
    files: Vec<*const RefCell<OpenFile>>,
    snapshots: Vec<*const RefCell<Snapshot>>,
    /// Counts of arrivals that open directories compare with.
    counts: Vec<u64>,
    out: Vec<u8>,
}

impl<'m> Writer<'m> {
    fn new(model: &'m Model, renaming: &'m Renaming) -> Writer<'m> {
        let (inos, nodes, dentries, files, snapshots, out) = Default::default();
        let mut counts = Vec::new();
        for (slot, file) in model.slots.iter().enumerate() {
            let Some(file) = file.as_ref().map(|file| file.borrow()) else { continue };
            if model.disk.traits.lists_as_opened {
                counts.push(file.arrivals);
            }
            if file.started && !file.listed || !model.marks[slot].is_empty() {
                counts.push(file.began);
                counts.extend(file.given.values());
            }
        }
        Writer { model, renaming, inos, nodes, dentries, files, snapshots, counts, out }
    }

    fn number(&mut self, n: impl Into<u64>) {
        self.out.extend_from_slice(&n.into().to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        self.out.extend(flags.map(u8::from));
    }

    /// A path or name, renamed; what temporaries in the work directory are called says nothing.
    fn renamed(&self, path: &[u8]) -> Vec<u8> {
        if path.first() == Some(&b'#') {
            return b"#".to_vec();
        }
        let mut out = Vec::with_capacity(path.len());
        for (at, name) in path.split(|&c| c == b'/').enumerate() {
            if at > 0 {
                out.push(b'/');
            }
            let pair = self.renaming.iter().find_map(|(a, b)| match name {
                n if n == a.as_bytes() => Some(b),
                n if n == b.as_bytes() => Some(a),
                _ => None,
            });
            out.extend_from_slice(pair.map_or(name, |n| n.as_bytes()));
        }
        out
    }

    fn state(&mut self) {
        let model = self.model;
        self.ino(model.upper);
        for &lower in &model.lowers {
            self.ino(lower);
        }
        self.ino(model.work_base);
        self.ino(model.work);
        self.dentry(Cache::ROOT);
        for slot in &model.slots {
            match slot {
                Some(file) => self.file(file),
                None => self.number(0u8),
            }
        }
        self.dentry(model.cwd);
        self.number(model.uuids);
        self.number(model.umask);
        self.flags([model.adrift]);
        for &layer in &model.marked {
            self.number(layer as u64);
        }
        for marks in &model.marks {
            self.number(marks.len() as u64);
        }
    }

    fn ino(&mut self, ino: Ino) {
        let next = self.inos.len();
        if let Some(&known) = self.inos.get(&ino) {
            self.out.push(b'=');
            return self.number(known as u64);
        }
        self.inos.insert(ino, next);
        let model = self.model;
        let inode = &model.disk[ino];
        self.number(inode.mode);
        self.number(inode.uid);
        self.number(inode.gid);
        self.number(inode.nlink);
        self.flags([inode.linkable]);
        self.number(inode.flags.0 as u32);
        self.number(inode.xattrs.len() as u64);
        for (name, value) in &inode.xattrs {
            self.bytes(name.as_slice());
            match value {
                XattrValue::Known(value) => self.bytes(value.as_slice()),
                XattrValue::Handle(of) => self.ino(*of),
                XattrValue::Uuid(n) => self.number(*n),
            }
        }
        self.number(inode.pages.len() as u64);
        self.out.extend(inode.pages.iter().map(|&p| u8::from(p)));
        self.flags([inode.cloned]);
        self.number(inode.filled as u64);
        self.number(inode.unwritten.len() as u64);
        for &page in &inode.unwritten {
            self.number(page as u64);
        }
        match &inode.body {
            Body::Dir(names) => {
                self.out.push(b'd');
                let mut names: Vec<(Vec<u8>, Ino)> =
                    names.iter().map(|(n, &i)| (self.renamed(n.as_slice()), i)).collect();
                names.sort();
                self.number(names.len() as u64);
                for (name, ino) in names {
                    self.bytes(&name);
                    self.ino(ino);
                }
                // When names came matters to those who are reading alone, and to them by what they may see yet.
                let mut arrivals: Vec<(Vec<u8>, Vec<bool>)> = Vec::new();
                if !self.counts.is_empty() {
                    let early = |at: u64| self.counts.iter().map(|&count| at <= count).collect();
                    arrivals.extend(inode.arrivals.iter().map(|(n, &at)| (self.renamed(n.as_slice()), early(at))));
                    arrivals.sort();
                }
                for (name, early) in arrivals {
                    self.bytes(&name);
                    self.out.extend(early.into_iter().map(u8::from));
                }
            }
            Body::File(data) => {
                self.out.push(b'f');
                self.bytes(data);
            }
            Body::Symlink(target) => {
                self.out.push(b'l');
                let target = self.renamed(target.as_slice());
                self.bytes(&target);
            }
            Body::Fifo => self.out.push(b'p'),
            Body::Socket => self.out.push(b's'),
            Body::Char(major, minor) => {
                self.out.push(b'c');
                self.number(*major);
                self.number(*minor);
            }
            Body::Block(major, minor) => {
                self.out.push(b'b');
                self.number(*major);
                self.number(*minor);
            }
        }
    }

    fn option(&mut self, ino: Option<Ino>) {
        self.flags([ino.is_some()]);
        if let Some(ino) = ino {
            self.ino(ino);
        }
    }

    fn dentry(&mut self, id: DentryId) {
        let next = self.dentries.len();
        if let Some(&known) = self.dentries.get(&id) {
            self.out.push(b'=');
            return self.number(known as u64);
        }
        self.dentries.insert(id, next);
        let model = self.model;
        // Here and below: whoever adds a field decides whether it is part of a state.
        let Dentry { parent, name, node, opaque, alias, marked, hashed, children, pins } = model.cache.dentry(id);
        let name = self.renamed(name.as_slice());
        self.bytes(&name);
        self.flags([*opaque, *alias, *marked, *hashed, node.is_some()]);
        self.number(*pins);
        if let Some(node) = node {
            self.node(*node);
        }
        let mut children: Vec<(Vec<u8>, DentryId)> =
            children.iter().map(|(n, &child)| (self.renamed(n.as_slice()), child)).collect();
        children.sort();
        self.number(children.len() as u64);
        for (_, child) in children {
            self.dentry(child);
        }
        self.dentry(*parent);
    }

    fn node(&mut self, id: NodeId) {
        let next = self.nodes.len();
        if let Some(&known) = self.nodes.get(&id) {
            self.out.push(b'=');
            return self.number(known as u64);
        }
        self.nodes.insert(id, next);
        let model = self.model;
        let Node {
            kind,
            flags,
            upper,
            lowers,
            mode,
            owner,
            size,
            by_lower,
            whiteouts,
            impure,
            indexed,
            upper_data,
            no_suid,
            redirect,
            version,
            impure_cache,
            snapshot,
            key,
            dead,
            nlink,
            refs,
            pipe,
        } = model.cache.node(id);
        let known = key.is_some_and(|key| model.cache.find(key) == Some(id));
        self.flags([*by_lower, *whiteouts, *impure, *dead, known, *indexed, *upper_data, redirect.is_some()]);
        self.number(u64::from(*no_suid));
        self.number(flags.0 as u32);
        let redirect = self.renamed(redirect.as_ref().map_or(b"", |r| r.as_slice()));
        self.bytes(&redirect);
        self.out.push(*kind as u8);
        self.number(*mode);
        self.number(owner.0);
        self.number(owner.1);
        self.number(*size);
        self.number(*nlink);
        self.number(*refs);
        self.option(*upper);
        self.number(lowers.len() as u64);
        for &(layer, ino) in lowers {
            self.number(layer as u64);
            self.ino(ino);
        }
        self.option(*key);
        self.number(pipe.readers);
        self.number(pipe.writers);
        self.bytes(&pipe.data);
        self.flags([impure_cache.is_some()]);
        if let Some((filled, numbers)) = impure_cache {
            self.flags([filled == version]);
            let mut numbers: Vec<(Vec<u8>, Ino)> =
                numbers.iter().map(|(n, &ino)| (self.renamed(n.as_slice()), ino)).collect();
            numbers.sort();
            for (name, ino) in numbers {
                self.bytes(&name);
                self.ino(ino);
            }
        }
        let held = snapshot.upgrade();
        self.flags([held.is_some()]);
        if let Some(snapshot) = held {
            self.flags([snapshot.borrow().version == *version]);
            self.snapshot(&snapshot);
        }
    }

    fn snapshot(&mut self, snapshot: &Rc<RefCell<Snapshot>>) {
        if let Some(known) = self.snapshots.iter().position(|&s| s == Rc::as_ptr(snapshot)) {
            self.out.push(b'=');
            return self.number(known as u64);
        }
        self.snapshots.push(Rc::as_ptr(snapshot));
        let held = snapshot.borrow();
        for placed in &held.order {
            match placed {
                Placed::Entry(at) => {
                    let name = self.renamed(&held.entries[*at].name);
                    self.bytes(&name);
                }
                Placed::Hidden => self.out.push(b'-'),
            }
        }
        self.number(held.reached as u64);
        self.flags([held.vague]);
        let mut entries = held.entries.clone();
        entries.sort_by_key(|e| self.renamed(e.name.as_slice()));
        self.number(entries.len() as u64);
        for entry in entries {
            let name = self.renamed(entry.name.as_slice());
            self.bytes(&name);
            self.out.push(entry.kind as u8);
            self.option(entry.number);
            self.ino(entry.real);
            self.flags([entry.hidden, entry.optional, entry.check]);
        }
    }

    fn file(&mut self, file: &Rc<RefCell<OpenFile>>) {
        if let Some(known) = self.files.iter().position(|&f| f == Rc::as_ptr(file)) {
            self.out.push(b'=');
            return self.number(known as u64);
        }
        self.files.push(Rc::as_ptr(file));
        let OpenFile {
            dentry,
            flags,
            position,
            appended: _,
            was_lower,
            listed,
            lost,
            at_far_end,
            arrivals,
            real,
            started,
            given,
            began: _,
            rest,
            parted,
            snapshot,
        } = &*file.borrow();
        self.number(1u8);
        self.dentry(*dentry);
        self.number(flags.0 as u64);
        self.number(*position);
        let fresh = *arrivals == self.model.disk.arrivals;
        self.flags([*was_lower, *listed, *lost, fresh, *started, *parted, real.is_some(), snapshot.is_some()]);
        let mut given: Vec<Vec<u8>> = given.keys().map(|name| self.renamed(name)).collect();
        given.sort();
        for name in given {
            self.bytes(&name);
        }
        let mut rest: Vec<Vec<u8>> = rest.keys().map(|name| self.renamed(name)).collect();
        rest.sort();
        self.number(rest.len() as u64);
        for name in rest {
            self.bytes(&name);
        }
        if let Some(real) = real {
            self.ino(*real);
        }
        self.out.push(at_far_end.map_or(2, u8::from));
        if let Some(snapshot) = snapshot {
            self.snapshot(snapshot);
        }
    }
}
