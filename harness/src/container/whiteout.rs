//! Layers as images carry them: what `.wh.` names mean, for an overlay.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::ArchiveError;
use crate::bytes::Bytes;
use crate::case::{Entry, Layer, Node, NodeKind};
use crate::step::Device;

/// What the name of a whiteout begins with.
pub(super) const PREFIX: &[u8] = b".wh.";
/// The name that makes its directory opaque.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// What names begin with that are other engines' own business.
const META: &[u8] = b".wh..wh.";

/// Whether this is a private xattr of an overlay other than Linux's own, which has `@` for a prefix: it shows where
/// another overlay mounts the layer, and says nothing there.
pub(crate) fn is_private_of_others(name: &[u8]) -> bool {
    name.starts_with(b"user.fuseoverlayfs.")
}

/// The xattr of an opaque directory.
pub(super) fn opaque_mark() -> (Bytes, Bytes) {
    (Bytes::from("@opaque"), Bytes::from("y"))
}

/// Turns a layer with `.wh.` names into one of an overlay, with whiteouts and opaque directories.
///
/// # Errors
/// When a name means nothing, or something already is what only an overlay may make.
pub(super) fn convert(layer: Layer) -> Result<Layer, ArchiveError> {
    let hostile = |path: &Bytes, why: &str| ArchiveError::Hostile { path: path.clone(), why: why.to_owned() };
    let mut nodes: BTreeMap<Bytes, Node> = BTreeMap::new();
    let (mut hidden, mut opaque) = (BTreeSet::new(), BTreeSet::new());
    for Entry { path, node } in layer.entries {
        if node.is_whiteout() {
            return Err(hostile(&path, "a character device 0:0, which an overlay takes for a whiteout"));
        }
        let (parent, name) = path.split_last();
        if parent.split(|&b| b == b'/').any(|n| n.starts_with(PREFIX)) {
            return Err(hostile(&path, "it lies below a whiteout"));
        }
        if !name.starts_with(PREFIX) {
            nodes.insert(path, node);
        } else if name == OPAQUE {
            opaque.insert(Bytes::from(parent));
        } else if !name.starts_with(META) {
            match &name[PREFIX.len()..] {
                b"" | b"." | b".." => return Err(hostile(&path, "a whiteout of no name")),
                name => hidden.insert(Bytes::from(parent).join(name)),
            };
        }
    }
    for path in hidden {
        let below = path.join(b"");
        let has_below = nodes.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(below.as_slice()));
        // A whiteout is about the layers below: what this one has at the name stays, on its own.
        match nodes.get(&path).map(|n| &n.kind) {
            Some(NodeKind::Dir) => drop(opaque.insert(path)),
            Some(_) => {}
            None if has_below => drop(opaque.insert(path)),
            None => drop(nodes.insert(path, Node::new(NodeKind::Char(Device::WHITEOUT)))),
        }
    }
    for path in opaque {
        let node = nodes.entry(path.clone()).or_insert_with(|| Node::new(NodeKind::Dir));
        if node.kind != NodeKind::Dir {
            return Err(hostile(&path, "it is marked opaque and is no directory"));
        }
        node.xattrs.push(opaque_mark());
    }
    Ok(Layer { entries: nodes.into_iter().map(|(path, node)| Entry { path, node }).collect(), on: 0 })
}

/// Gives directories that a layer has something in, but no entry for, the attributes they have below: an
/// engine that unpacks one layer over the other leaves them as they are. Layers are given top-most first.
pub(super) fn fill_parents(layers: &mut [Layer]) {
    let mut known: BTreeMap<Bytes, Node> = BTreeMap::new();
    for layer in layers.iter_mut().rev() {
        let own: BTreeSet<Bytes> = layer.entries.iter().map(|e| e.path.clone()).collect();
        let mut missing: BTreeSet<Bytes> = BTreeSet::new();
        for path in &own {
            let mut at = path.split_last().0;
            while !own.contains(&Bytes::from(at)) && missing.insert(Bytes::from(at)) && !at.is_empty() {
                at = at.iter().rposition(|&b| b == b'/').map_or(&b""[..], |end| &at[..end]);
            }
        }
        for path in missing {
            if let Some(node) = known.get(&path) {
                layer.entries.push(Entry { path, node: node.clone() });
            }
        }
        for entry in &layer.entries {
            match entry.node.kind {
                NodeKind::Dir => {
                    let mut node = entry.node.clone();
                    node.xattrs.retain(|(name, _)| name.first() != Some(&b'@'));
                    known.insert(entry.path.clone(), node);
                }
                _ => drop(known.remove(&entry.path)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(entries: &[(&str, NodeKind)]) -> Layer {
        let entry = |(path, kind): &(&str, NodeKind)| Entry { path: Bytes::from(*path), node: Node::new(kind.clone()) };
        Layer { entries: entries.iter().map(entry).collect(), on: 0 }
    }

    fn file() -> NodeKind {
        NodeKind::File(Bytes::default())
    }

    #[track_caller]
    fn refused(entries: &[(&str, NodeKind)], why: &str) {
        match convert(layer(entries)) {
            Err(e @ ArchiveError::Hostile { .. }) => assert!(e.to_string().contains(why), "no '{why}' in {e}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whiteouts_and_opaque_marks_are_those_of_an_overlay() {
        let converted = convert(layer(&[
            ("d", NodeKind::Dir),
            ("d/.wh.gone", file()),
            ("d/.wh..wh..opq", file()),
            ("d/.wh..wh.plnk", file()),
            ("e/.wh..wh..opq", file()),
            (".wh.again", file()),
            ("again", file()),
            (".wh.dir", file()),
            ("dir", NodeKind::Dir),
        ]))
        .expect("a layer");
        let told: Vec<String> = converted
            .entries
            .iter()
            .map(|e| {
                let what = if e.node.is_whiteout() { "whiteout" } else { "" };
                format!("{} {what}{}", e.path, if e.node.xattrs.is_empty() { "" } else { "opaque" })
            })
            .collect();
        assert_eq!(told, ["again ", "d opaque", "d/gone whiteout", "dir opaque", "e opaque"]);
    }

    #[test]
    fn names_that_mean_nothing_are_refused() {
        refused(&[(".wh.", file())], "no name");
        refused(&[("d/.wh...", file())], "no name");
        refused(&[(".wh.d/f", file())], "below a whiteout");
        refused(&[("x", NodeKind::Char(Device::WHITEOUT))], "takes for a whiteout");
        refused(&[("f", file()), ("f/.wh..wh..opq", file())], "no directory");
    }

    #[test]
    fn directories_without_an_entry_are_as_below() {
        let mut below = layer(&[("d", NodeKind::Dir), ("d/e", NodeKind::Dir)]);
        below.entries[0].node.mode = 0o700;
        below.entries[1].node.mode = 0o711;
        let mut layers = [layer(&[("d/e/f", file()), ("new/f", file())]), below];
        fill_parents(&mut layers);
        let modes: Vec<(String, u16)> = layers[0]
            .entries
            .iter()
            .map(|e| (e.path.to_string(), e.node.mode))
            .filter(|m| m.0.starts_with('d'))
            .collect();
        assert_eq!(modes, [("d/e/f".to_owned(), 0o644), ("d".to_owned(), 0o700), ("d/e".to_owned(), 0o711)]);
    }
}
