//! From a stack of layers to the merged tree.

use std::collections::{BTreeSet, HashMap, hash_map};

use super::layer::{At, LayerTree};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::{Content, Kind, NodeSeen, Seen};

/// How the layers were, or are to be, mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether redirects are followed; if not, a directory that has one cannot be entered.
    pub follow_redirects: bool,
    /// Whether the redirect of an upper directory is refused only if something is found with it (before 6.16).
    pub refuse_late: bool,
    /// Whether an empty file with the mark for it is a whiteout (since 6.7).
    pub xattr_whiteouts: bool,
    /// Whether metacopies are followed to their data; if not, there is nobody who can open one.
    pub metacopy: bool,
    /// Whether hard links of lower files stay together: then what a lower name of such a file shows stands
    /// in an index, and not in the layers.
    pub index: bool,
}

/// One place of the merged tree.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Where.
    pub path: Bytes,
    /// What.
    pub found: Found<'a>,
    /// Another name leads to the same lower directory or file: whichever is looked up second may not be found, and
    /// what is below is known by both names.
    pub shared: bool,
    /// It has a part in a lower layer, to which a redirect may have led another name: while that is open, removed or
    /// not, this one is stale. What is open the layers do not tell.
    pub may_be_stale: bool,
}

/// What the layers have at a place.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    /// A node, with the attributes of its top-most layer.
    Node {
        /// As it lies in that layer.
        top: &'a Seen,
        /// Which layers it comes from, top first, 0 being the first layer given.
        layers: Vec<usize>,
        /// Its data, where the layers tell.
        data: Option<&'a Content>,
        /// Whether its link count is that of its inode.
        counts_links: bool,
    },
    /// Something that looking for gives an error.
    Refused(Errno),
    /// Nothing. A directory that lies in one layer alone may be listed as it lies there, and one without the
    /// mark for xattr whiteouts lists those, so the name may be listed though nobody finds it.
    Whiteout,
    /// The layers do not tell: they could not be read here, or are not what any mount leaves (a redirect that
    /// is no path, a metacopy without data).
    Unknown,
}

/// A place in a layer: which layer, which node.
type Place = (usize, At);

/// The merged tree of these layers, top-most first, in walking order.
pub fn resolve<'a>(layers: &[LayerTree<'a>], rules: Rules) -> Vec<Entry<'a>> {
    let mut resolver = Resolver {
        layers,
        rules,
        led_to: HashMap::new(),
        twice: Vec::new(),
        uppers: Vec::new(),
        led: false,
        out: Vec::new(),
    };
    let roots: Vec<Place> = (0..layers.len()).filter(|&l| !layers[l].is_empty()).map(|l| (l, 0)).collect();
    // The root of a layer merges whatever it carries.
    resolver.directory(roots, Bytes::default());
    // Which of two names is found depends on which is looked up first.
    let mut shared = std::mem::take(&mut resolver.twice);
    // What a metacopy leads to may be in the upper by now, copied up by its own name: the layers do not tell by which.
    if resolver.led && resolver.uppers.len() > 1 {
        shared.append(&mut resolver.uppers);
    }
    for at in shared {
        resolver.out[at].shared = true;
    }
    resolver.out
}

struct Resolver<'a, 'l> {
    layers: &'l [LayerTree<'a>],
    rules: Rules,
    /// Which entry led to something below first.
    led_to: HashMap<Place, usize>,
    /// Entries that lead to what another leads to as well.
    twice: Vec<usize>,
    /// Entries that are upper regular files.
    uppers: Vec<usize>,
    /// Whether one of these is a metacopy with a redirect.
    led: bool,
    out: Vec<Entry<'a>>,
}

/// What a search for a name finds.
enum Search {
    Stack(Vec<Place>),
    Hidden,
    Refused(Errno),
    Unknown,
}

impl<'a> Resolver<'a, '_> {
    /// Puts out a directory and all below it.
    fn directory(&mut self, stack: Vec<Place>, path: Bytes) {
        let Some(&(top, at)) = stack.first() else { return };
        let Some(seen) = self.layers[top].seen(at) else { return self.put(path, Found::Unknown) };
        let layers = stack.iter().map(|&(layer, _)| layer).collect();
        for &place in stack.iter().filter(|(layer, at)| *layer > 0 && *at > 0) {
            self.comes_to(place);
        }
        self.put_node(path.clone(), &stack, Found::Node { top: seen, layers, data: None, counts_links: true });
        let mut names: BTreeSet<&'a [u8]> = BTreeSet::new();
        for &(layer, dir) in &stack {
            let tree = &self.layers[layer];
            if tree.node(dir).list_error.is_some() {
                // Then nobody can say what is in it.
                if let Some(last) = self.out.last_mut() {
                    last.found = Found::Unknown;
                }
                return;
            }
            names.extend(tree.children(dir).iter().map(|&child| tree.name(child)));
        }
        for name in names {
            let path = path.join(name);
            match self.search(&stack, name) {
                Search::Hidden => self.put(path, Found::Whiteout),
                Search::Refused(errno) => self.put(path, Found::Refused(errno)),
                Search::Unknown => self.put(path, Found::Unknown),
                Search::Stack(found) => {
                    let (layer, at) = found[0];
                    if self.layers[layer].is_dir(at) { self.directory(found, path) } else { self.leaf(&found, path) }
                }
            }
        }
    }

    fn put(&mut self, path: Bytes, found: Found<'a>) {
        self.out.push(Entry { path, found, shared: false, may_be_stale: false });
    }

    /// Puts out a node that is made of these places.
    fn put_node(&mut self, path: Bytes, stack: &[Place], found: Found<'a>) {
        let may_be_stale = self.rules.follow_redirects && stack.iter().any(|&(layer, _)| layer > 0);
        self.out.push(Entry { path, found, shared: false, may_be_stale });
    }

    /// Notes that the entry that is put out next is known by what is at this place below.
    fn comes_to(&mut self, place: Place) {
        match self.led_to.entry(place) {
            hash_map::Entry::Vacant(v) => drop(v.insert(self.out.len())),
            hash_map::Entry::Occupied(o) => self.twice.extend([*o.get(), self.out.len()]),
        }
    }

    /// Puts out what is no directory.
    fn leaf(&mut self, stack: &[Place], path: Bytes) {
        let (top, at) = stack[0];
        let Some(seen) = self.layers[top].seen(at) else { return self.put(path, Found::Unknown) };
        if self.rules.index && top > 0 && seen.stat.nlink > 1 {
            return self.put(path, Found::Unknown);
        }
        let data = stack.iter().find(|&&(layer, at)| !self.layers[layer].is_metacopy(at));
        // Each name of an upper file goes on with the data that it was found with: whether that was a metacopy at the
        // time does not stand in the layers any more.
        let told = !self.rules.metacopy || top > 0 || seen.stat.nlink == 1;
        let data = data.filter(|_| told).and_then(|&(layer, at)| self.layers[layer].seen(at)).map(|s| &s.content);
        let counts_links = !self.layers[top].has_own_link_count(at);
        let layers = stack.iter().map(|&(layer, _)| layer).collect();
        if top == 0 && seen.stat.kind == Kind::File {
            self.uppers.push(self.out.len());
            self.led |= self.layers[top].is_metacopy(at) && self.layers[top].redirect(at).is_some();
        }
        // Only what has several names is not known by what is below (`ovl_hash_bylower`).
        let below = stack.iter().find(|(layer, _)| *layer > 0);
        let single = |place: &&Place| self.layers[place.0].seen(place.1).is_some_and(|s| s.stat.nlink == 1);
        if let Some(&place) = below.filter(single) {
            self.comes_to(place);
        }
        self.put_node(path, stack, Found::Node { top: seen, layers, data, counts_links });
    }

    /// Looks for a name in a stack of directories, from the top down.
    fn search(&self, stack: &[Place], name: &'a [u8]) -> Search {
        let mut pool = stack.to_vec();
        let mut name = Target::Name(name);
        let mut found: Vec<Place> = Vec::new();
        let mut is_dir = false;
        let mut refused = false;
        let mut next = 0;
        while let Some(&(layer, dir)) = pool.get(next) {
            next += 1;
            let tree = &self.layers[layer];
            let walked = match &name {
                Target::Name(name) => Walked { at: tree.child(dir, name), stop: false, led: None },
                Target::Path(path) => self.walk(layer, path),
            };
            if let Some(led) = walked.led {
                name = Target::Path(led);
            }
            let (hit, stop) = (walked.at, walked.stop);
            let Some(at) = hit else {
                if stop {
                    break;
                }
                continue;
            };
            if tree.is_whiteout(at, self.rules) {
                break;
            }
            if tree.seen(at).is_none() {
                // Whatever it is, it hides what is below or merges with it: nobody can say.
                found.truncate(0);
                found.push((layer, at));
                break;
            }
            if !tree.is_dir(at) {
                // The data of a metacopy are in a regular file.
                let is_file = tree.seen(at).is_some_and(|s| s.stat.kind == Kind::File);
                if is_dir || !found.is_empty() && !is_file {
                    break;
                }
                if refused {
                    return Search::Refused(Errno::EPERM);
                }
                found.push((layer, at));
                if !tree.is_metacopy(at) {
                    break;
                }
            } else {
                if !found.is_empty() && !is_dir {
                    // The data of a file cannot be a directory.
                    break;
                }
                if refused {
                    return Search::Refused(Errno::EPERM);
                }
                is_dir = true;
                found.push((layer, at));
                // Marks are not read where nothing could lie below.
                let last = match self.rules.follow_redirects {
                    true => layer + 1 == self.layers.len(),
                    false => next == pool.len(),
                };
                if last {
                    continue;
                }
                // An absolute redirect leads out of an opaque directory above it.
                let leads_out = tree.redirect(at).is_some_and(|to| to.first() == Some(&b'/'));
                if tree.is_opaque(at) || stop && !leads_out {
                    break;
                }
            }
            if tree.is_metacopy(at) && !self.rules.metacopy {
                return Search::Unknown;
            }
            let Some(redirect) = tree.redirect(at) else { continue };
            let parts = |path: &[u8]| path.split(|&b| b == b'/').all(|part| !part.is_empty());
            let valid = match redirect.strip_prefix(b"/") {
                Some(path) => parts(path),
                None => !redirect.is_empty() && !redirect.contains(&b'/'),
            };
            if !valid {
                return Search::Unknown;
            }
            if !self.rules.follow_redirects {
                refused = self.rules.refuse_late && layer == 0;
                if !refused {
                    return Search::Refused(Errno::EPERM);
                }
            }
            match redirect.strip_prefix(b"/") {
                Some(path) => {
                    name = Target::Path(path.to_vec());
                    pool = (0..self.layers.len()).map(|l| (l, 0)).collect();
                    next = layer + 1;
                }
                None => {
                    name = match name {
                        Target::Name(_) => Target::Name(redirect),
                        Target::Path(path) => Target::Path(beside(&path, redirect)),
                    };
                }
            }
        }
        // Whoever opens a metacopy finds its data, or an error.
        let has_data = |&(layer, at): &Place| !self.layers[layer].is_metacopy(at);
        match found.last() {
            None => Search::Hidden,
            Some(last) if !has_data(last) => Search::Unknown,
            Some(_) => Search::Stack(found),
        }
    }

    /// Walks a path from the root of a layer. Redirects on the way count for the layers below.
    fn walk(&self, layer: usize, path: &[u8]) -> Walked {
        let tree = &self.layers[layer];
        let mut walked = Walked { at: None, stop: false, led: None };
        if tree.is_empty() {
            return walked;
        }
        let mut dir = 0;
        // The part of the path that is behind, as the layers below know it.
        let mut behind: Vec<u8> = Vec::new();
        let mut parts = path.split(|&b| b == b'/').filter(|p| !p.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let Some(at) = tree.child(dir, part) else { break };
            if parts.peek().is_none() {
                walked.at = Some(at);
                break;
            }
            if tree.is_whiteout(at, self.rules) || !tree.is_dir(at) {
                walked.stop = true;
                return walked;
            }
            if tree.is_opaque(at) {
                walked.stop = true;
            }
            behind = match tree.redirect(at).filter(|_| !tree.is_opaque(at)) {
                Some(to) if to.first() == Some(&b'/') => {
                    walked.stop = false;
                    to[1..].to_vec()
                }
                Some(to) => join(&behind, to),
                None => join(&behind, part),
            };
            let rest = parts.clone().fold(behind.clone(), |path, part| join(&path, part));
            walked.led = Some(rest).filter(|rest| rest != path);
            dir = at;
        }
        walked
    }
}

/// Where a walk in one layer came to.
struct Walked {
    /// The node at its end.
    at: Option<At>,
    /// Whether layers below are out of the question.
    stop: bool,
    /// The path for the layers below, if a redirect changed it.
    led: Option<Vec<u8>>,
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// The path of another name in the same directory.
fn beside(path: &[u8], name: &[u8]) -> Vec<u8> {
    let dir = path.iter().rposition(|&b| b == b'/').map_or(&path[..0], |at| &path[..at]);
    join(dir, name)
}

/// What to look for in the next layer.
enum Target<'a> {
    /// A name in the directory of the stack.
    Name(&'a [u8]),
    /// A path from the root of the layer.
    Path(Vec<u8>),
}

impl Entry<'_> {
    /// Whether a node that was seen may stand at this place without being one.
    pub(super) fn allows_ghost(&self, seen: &NodeSeen) -> bool {
        matches!(self.found, Found::Whiteout) && seen.seen == Err(Errno::ENOENT)
    }
}
