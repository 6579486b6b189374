//! Layers, made with coreutils.

use std::fmt::Write;

use super::Refused;
use super::quote::{printf, py, sh};
use crate::acl::Role;
use crate::case::{LAYER_TIME, Layer, Node, NodeKind};
use crate::step::Device;

/// The prefix of private xattrs.
pub(super) fn prefix(rootless: bool) -> &'static [u8] {
    if rootless { b"user.overlay." } else { b"trusted.overlay." }
}

/// The commands that make a layer in the directory `name`.
pub(super) fn make(out: &mut String, name: &str, layer: &Layer, rootless: bool) -> Result<(), Refused> {
    let nodes = layer.resolved();
    // In a setgid directory new entries get its group, so there every owner must be set.
    let inherits = nodes.iter().any(|(_, n)| n.kind == NodeKind::Dir && n.mode & 0o2000 != 0);
    for (path, node) in &nodes {
        let at = [name.as_bytes(), b"/", path].concat();
        let at = if path.is_empty() { name.to_owned() } else { sh(&at) };
        create(out, name, &at, node);
        if matches!(node.kind, NodeKind::Link(_)) {
            continue;
        }
        if inherits || node.uid != 0 || node.gid != 0 {
            let _ = writeln!(out, "chown -h {}:{} {at}", node.uid, node.gid);
        }
        let plain = match node.kind {
            NodeKind::Dir => 0o755,
            NodeKind::Char(Device::WHITEOUT) => 0,
            _ => 0o644,
        };
        let symlink = matches!(node.kind, NodeKind::Symlink(_));
        if !symlink && (inherits || node.uid != 0 || node.gid != 0 || node.mode != plain) {
            let _ = writeln!(out, "chmod {:04o} {at}", node.mode);
        }
        set_xattrs(out, &at, node, rootless, |name| !is_default_acl(name));
    }
    // What is made in a directory with a default ACL would take that.
    for (path, node) in nodes.iter().filter(|(_, n)| n.kind == NodeKind::Dir) {
        let at = [name.as_bytes(), b"/", path].concat();
        let at = if path.is_empty() { name.to_owned() } else { sh(&at) };
        set_xattrs(out, &at, node, rootless, is_default_acl);
    }
    let _ = writeln!(out, "find {name} -depth -exec touch -h -d @{} {{}} +", LAYER_TIME.sec);
    for (path, node) in nodes.iter().filter(|(_, n)| n.time != LAYER_TIME && !matches!(n.kind, NodeKind::Link(_))) {
        let at = sh(&[name.as_bytes(), b"/", path].concat());
        let _ = writeln!(out, "touch -h -d @{}.{:09} {at}", node.time.sec, node.time.nsec);
    }
    Ok(())
}

fn is_default_acl(name: &[u8]) -> bool {
    Role::of(name) == Some(Role::Default)
}

/// The commands that set the xattrs of which the names fit. The mode was set before: an access ACL changes it.
fn set_xattrs(out: &mut String, at: &str, node: &Node, rootless: bool, fits: impl Fn(&[u8]) -> bool) {
    for (key, value) in node.xattrs.iter().filter(|(key, _)| fits(key)) {
        let full = match key.strip_prefix(b"@") {
            Some(private) => [prefix(rootless), private].concat(),
            None => key.as_slice().to_vec(),
        };
        let _ = writeln!(out, "setx {at} {} {}", sh(&full), sh(py(value.as_slice()).as_bytes()));
    }
}

fn create(out: &mut String, layer: &str, at: &str, node: &Node) {
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(out, "{text}");
    };
    match &node.kind {
        NodeKind::Dir => line(format_args!("mkdir {at}")),
        NodeKind::File(data) if data.is_empty() => line(format_args!("> {at}")),
        NodeKind::File(data) if node.sparse => {
            line(format_args!(
                "printf {} | dd of={at} bs=4096 iflag=fullblock conv=sparse status=none",
                printf(data.as_slice())
            ));
            line(format_args!("truncate -s {} {at}", data.len()));
        }
        NodeKind::File(data) => line(format_args!("printf {} > {at}", printf(data.as_slice()))),
        NodeKind::Symlink(to) => line(format_args!("ln -s {} {at}", sh(to.as_slice()))),
        NodeKind::Fifo => line(format_args!("mkfifo {at}")),
        // No tool makes a socket that nobody listens on.
        NodeKind::Socket => line(format_args!(
            "python3 -c 'import os, stat, sys; os.mknod(os.fsencode(sys.argv[1]), stat.S_IFSOCK | 0o644)' {at}"
        )),
        NodeKind::Char(Device::WHITEOUT) => line(format_args!("mknod -m 0 {at} c 0 0")),
        NodeKind::Char(d) => line(format_args!("mknod {at} c {} {}", d.major(), d.minor())),
        NodeKind::Block(d) => line(format_args!("mknod {at} b {} {}", d.major(), d.minor())),
        NodeKind::Link(to) => {
            let to = sh(&[layer.as_bytes(), b"/", to.as_slice()].concat());
            line(format_args!("ln -P {to} {at}"));
        }
    }
}
