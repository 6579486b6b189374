//! The walk-through of a container, its archives and images.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Trial};
use ovlcheck::bytes::Bytes;
use ovlcheck::check::judge;
use ovlcheck::container::{export_layer, static_busybox};
use ovlcheck::exec::{Executor, TargetSpec, WorkerConfig, read_tree, worker_entry};
use ovlcheck::generate::{Profile, draw, seed_for};
use ovlcheck::model::Model;
use ovlcheck::trace::{Content, Kind, NodeSeen, Privilege, Seen};
use ovlcheck_cases::archive::tar_of;
use ovlcheck_cases::need::{Need, ignorable, own, trial};
use ovlcheck_cases::program::{Ended, Program, binary};

fn main() {
    worker_entry();
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let kernel = || Need::of(own(), &TargetSpec::Kernel);
    vec![
        trial("shows_the_layers", kernel(), walkthrough_shows_the_layers),
        ignorable("two_containers_and_a_commit", kernel(), two_containers_and_a_commit),
        ignorable("runs_in_an_archive", kernel(), walkthrough_in_an_archive),
        trial("hostile_archives_are_2", vec![], hostile_archives_are_2),
        trial("an_image_layout_is_its_layers", kernel(), an_image_layout_is_its_layers),
        trial("hostile_image_layouts_are_2", vec![], hostile_image_layouts_are_2),
        trial("the_upper_layer_is_exported", kernel(), the_upper_layer_is_exported),
        ignorable(
            "umoci_unpacks_exported_layers_the_same",
            Need::of(Privilege::Root, &TargetSpec::Kernel),
            umoci_unpacks_exported_layers_the_same,
        ),
    ]
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
}

fn walkthrough_shows_the_layers() -> Result<()> {
    for arguments in [&["walkthrough"] as &[_], &["walkthrough", "--rootless"]] {
        let ended = ovlcheck(arguments)?;
        let out = &ended.expect(0)?.stdout;
        for wanted in [
            "  echo -> /bin/busybox     echo  c 0, 0  whiteout\n",
            "                           echo.old -> /bin/busybox  new     echo.old -> /bin/busybox\n",
            "  apk/                     apk/  opaque                      apk/\n    arch\n    keys/\n",
            "  motd                     motd  copied up                   motd\n",
            "                           hello.txt  new                    hello.txt\n",
            "layer resolver: merged is what these layers make, 67 entries\n",
        ] {
            ensure!(out.contains(wanted), "no\n{wanted}in\n{out}");
        }
    }
    Ok(())
}

fn two_containers_and_a_commit() -> Result<Completion> {
    if static_busybox().is_none() {
        return Ok(Completion::ignored_with("there is no static busybox"));
    }
    let ended = ovlcheck(&["walkthrough", "--two"])?;
    let out = &ended.expect(0)?.stdout;
    let parts: Vec<&str> = out.split("==> ").collect();
    ensure!(parts.len() == 4 && out.matches("merged is what these layers make").count() == 3, "{out}");
    // Each has its own upper layer: the second saw nothing of the first.
    ensure!(parts[2].contains("home  c 0, 0  whiteout") && !parts[2].contains("apk/  opaque"), "{}", parts[2]);
    // The third stands on the first.
    ensure!(parts[3].contains("  hello.txt     hello.txt  c 0, 0  whiteout"), "{}", parts[3]);
    ensure!(parts[3].contains("arch  new"), "{}", parts[3]);
    Ok(Completion::Completed)
}

fn walkthrough_in_an_archive() -> Result<Completion> {
    let Some(busybox) = static_busybox() else {
        return Ok(Completion::ignored_with("there is no static busybox"));
    };
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("root");
    for name in ["bin", "etc"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::write(root.join("bin/sh"), busybox)?;
    fs::set_permissions(root.join("bin/sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::write(root.join("etc/config"), "a\n")?;
    let archive = dir.path().join("root.tar.gz");
    let made = Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&root).arg(".").status();
    if !made.is_ok_and(|s| s.success()) {
        return Ok(Completion::ignored_with("tar and gzip are not installed"));
    }
    let path = archive.display().to_string();
    let command = "echo out; echo b >> /etc/config; echo x > /new; exit 7";
    let ended = ovlcheck(&["walkthrough", "--lower", &path, "--", "/bin/sh", "-c", command])?;
    let out = &ended.expect(0)?.stdout;
    ensure!(out.starts_with("out\n") && out.contains("ended with status 7"), "{out}");
    ensure!(out.contains("config  copied up") && out.contains("new  new"), "{out}");
    Ok(Completion::Completed)
}

fn hostile_archives_are_2() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("x.tar");
    for (bytes, why) in [
        (tar_of(b'0', "../escape", ""), "'..'"),
        (tar_of(b'0', "/etc/passwd", ""), "absolute"),
        (tar_of(b'1', "x", "/etc/shadow"), "absolute"),
        (tar_of(b'3', "sda", ""), "harmless list"),
        (b"no archive".repeat(100), "tar archive"),
    ] {
        fs::write(&file, bytes)?;
        let ended = ovlcheck(&["walkthrough", "--lower", &file.display().to_string()])?;
        ended.expect(2)?;
        ensure!(ended.stderr.contains(why) && ended.stdout.is_empty(), "no '{why}' in {}", ended.stderr);
    }
    ovlcheck(&["walkthrough", "--lower", "/nowhere/x.tar"])?.expect(2)?;
    Ok(())
}

/// Entries of a tar archive: type, path, what is in it or where it leads.
type Members<'m> = &'m [(tar::EntryType, &'m str, &'m str)];

fn tar_with(members: Members<'_>, xattr: Option<&str>) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, text) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if *kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        // Written as they are: what is to be tried, the builder would refuse.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        let data: &[u8] = match kind {
            tar::EntryType::Symlink => {
                header.set_link_name(text)?;
                b""
            }
            _ => text.as_bytes(),
        };
        if kind.is_character_special() {
            header.set_device_major(0)?;
            header.set_device_minor(0)?;
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        if let Some(name) = xattr {
            builder.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), &b"y"[..])])?;
        }
        builder.append(&header, data)?;
    }
    Ok(builder.into_inner()?)
}

/// Writes a blob into an image layout; its descriptor.
fn blob(dir: &Path, kind: &str, bytes: &[u8]) -> Result<serde_json::Value> {
    use sha2::Digest;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    fs::write(blobs.join(&hex), bytes)?;
    Ok(serde_json::json!({ "mediaType": kind, "digest": format!("sha256:{hex}"), "size": bytes.len() }))
}

/// Writes an image layout with these layers, the lowest first.
fn image_layout(dir: &Path, layers: &[Vec<u8>]) -> Result<()> {
    let of = |what: &str| format!("application/vnd.oci.image.{what}.v1+json");
    let listed = layers
        .iter()
        .map(|layer| blob(dir, "application/vnd.oci.image.layer.v1.tar", layer))
        .collect::<Result<Vec<_>>>()?;
    let digests: Vec<&serde_json::Value> = listed.iter().map(|layer| &layer["digest"]).collect();
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": digests });
    let config = serde_json::json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs });
    let config = blob(dir, &of("config"), config.to_string().as_bytes())?;
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": listed });
    let mut manifest = blob(dir, &of("manifest"), manifest.to_string().as_bytes())?;
    manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "it" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(dir.join("index.json"), index.to_string())?;
    Ok(fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?)
}

/// The same bytes as gzip would keep them, without compressing: blocks that are stored.
fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut chunks = bytes.chunks(65_535).peekable();
    while let Some(chunk) = chunks.next() {
        out.push(u8::from(chunks.peek().is_none()));
        let len = chunk.len() as u16;
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(chunk);
    }
    let crc = bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    });
    out.extend((!crc).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// Layers in order, whiteouts and an opaque mark converted, also compressed, also in an archive: five entries stay.
fn an_image_layout_is_its_layers() -> Result<()> {
    use tar::EntryType::{Directory, Regular};
    let base = tar_with(
        &[
            (Directory, "etc/", ""),
            (Regular, "etc/a", "1"),
            (Regular, "etc/b", "1"),
            (Regular, "gone", ""),
            (Directory, "dir/", ""),
            (Regular, "dir/old", ""),
        ],
        None,
    )?;
    let top = tar_with(
        &[
            (Regular, "etc/.wh.b", ""),
            (Regular, "etc/a", "2"),
            (Regular, ".wh.gone", ""),
            (Directory, "dir/", ""),
            (Regular, "dir/.wh..wh..opq", ""),
            (Regular, "dir/new", ""),
        ],
        Some("user.a"),
    )?;
    let dir = tempfile::tempdir()?;
    let (layout, archive) = (dir.path().join("image"), dir.path().join("image.tar"));
    fs::create_dir(&layout)?;
    let gzip = Command::new("gzip").arg("--version").stdout(Stdio::null()).status().is_ok();
    image_layout(&layout, &[base, if gzip { gzip_of(&top) } else { top }])?;
    let mut builder = tar::Builder::new(fs::File::create(&archive)?);
    builder.append_dir_all(".", &layout)?;
    builder.finish()?;
    for path in [&layout, &archive] {
        let ended = ovlcheck(&["walkthrough", "--lower", &path.display().to_string(), "--", "/nothing"])?;
        let out = &ended.expect(0)?.stdout;
        ensure!(out.contains("ended with status 127"), "{out}");
        ensure!(out.contains("merged is what these layers make, 5 entries\n"), "{out}");
        ensure!(
            out.contains("diff and apply: the upper layer as one of an OCI image, unpacked over lower, is merged"),
            "{out}"
        );
    }
    Ok(())
}

fn hostile_image_layouts_are_2() -> Result<()> {
    use tar::EntryType::{Char, Regular, Symlink};
    let refused = |spoil: &dyn Fn(&Path) -> Result<()>, layer: Vec<u8>, why: &str| -> Result<()> {
        let dir = tempfile::tempdir()?;
        image_layout(dir.path(), &[layer])?;
        spoil(dir.path())?;
        let ended = ovlcheck(&["walkthrough", "--lower", &dir.path().display().to_string()])?;
        ended.expect(2).with_context(|| why.to_owned())?;
        ensure!(ended.stderr.contains(why) && ended.stdout.is_empty(), "no '{why}' in {}", ended.stderr);
        Ok(())
    };
    let good = || tar_with(&[(Regular, "f", "data")], None);
    let nothing = |_: &Path| Ok(());
    for (member, why) in [
        ((Regular, "../escape", ""), "'..'"),
        ((Regular, "/etc/passwd", ""), "absolute"),
        ((Regular, "d/.wh...", ""), "no name"),
        ((Regular, ".wh.d/f", ""), "below a whiteout"),
        ((Char, "null", ""), "takes for a whiteout"),
    ] {
        refused(&nothing, tar_with(&[member], None)?, why)?;
    }
    refused(&nothing, tar_with(&[(Symlink, "a", "/etc"), (Regular, "a/passwd", "")], None)?, "no directory")?;
    refused(&nothing, tar_with(&[(Regular, "f", "")], Some("trusted.overlay.redirect"))?, "takes for its own")?;
    // The largest blob is the layer.
    let of_layer = |dir: &Path| -> Result<std::path::PathBuf> {
        let blobs = fs::read_dir(dir.join("blobs/sha256"))?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
        blobs.into_iter().max_by_key(|p| fs::metadata(p).map_or(0, |m| m.len())).context("no blob")
    };
    let exchanged = |dir: &Path| -> Result<()> {
        let path = of_layer(dir)?;
        let mut bytes = fs::read(&path)?;
        bytes[512] ^= 1;
        Ok(fs::write(&path, bytes)?)
    };
    refused(&exchanged, good()?, "its digest is sha256:")?;
    refused(&|dir| Ok(fs::write(of_layer(dir)?, "short")?), good()?, "its size is 5")?;
    let linked = |dir: &Path| -> Result<()> {
        let path = of_layer(dir)?;
        fs::remove_file(&path)?;
        Ok(std::os::unix::fs::symlink("/etc/passwd", &path)?)
    };
    refused(&linked, good()?, "no regular file")?;
    refused(&|dir| Ok(fs::remove_file(of_layer(dir)?)?), good()?, "blobs/sha256/")?;
    for (file, text, why) in [
        ("index.json", r#"{"manifests":[{"digest":"sha256:../../../etc/passwd","size":1}]}"#, "no sha256 digest"),
        ("index.json", r#"{"manifests":[]}"#, "no image"),
        ("index.json", "{", "index.json"),
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "version"),
    ] {
        refused(&|dir| Ok(fs::write(dir.join(file), text)?), good()?, why)?;
    }
    refused(&|dir| Ok(fs::remove_file(dir.join("oci-layout"))?), good()?, "no OCI image layout")
}

/// The tour's upper layer as one of an image, and on top of an image of its own again.
fn the_upper_layer_is_exported() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (layer, layout) = (path("layer.tar"), path("image"));
    let ended = ovlcheck(&["walkthrough", "--export", &layer])?;
    ensure!(ended.expect(0)?.stdout.contains("unpacked over lower, is merged"), "{}", ended.stdout);
    let bytes = fs::read(&layer)?;
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names: BTreeSet<String> =
        archive.entries()?.map(|e| Ok(e?.path()?.display().to_string())).collect::<Result<_>>()?;
    for name in ["bin/.wh.echo", "bin/echo.old", "etc/apk/.wh..wh..opq", "etc/motd", "home/hello.txt"] {
        ensure!(names.contains(name), "no {name} among {names:?}");
    }
    let below =
        tar_with(&[(tar::EntryType::Regular, "bin/echo", "hidden"), (tar::EntryType::Regular, "etc/apk/x", "")], None)?;
    fs::create_dir(&layout)?;
    image_layout(Path::new(&layout), &[below, bytes])?;
    let ended = ovlcheck(&["walkthrough", "--lower", &layout, "--", "/nothing"])?;
    // root, bin, bin/echo.old, etc, etc/apk, etc/motd, home, home/hello.txt
    ensure!(ended.expect(0)?.stdout.contains("make, 8 entries"), "{}", ended.stdout);
    ovlcheck(&["walkthrough", "--export", "/proc/self/layer.tar"])?.expect(3)?;
    Ok(())
}

/// What a tool that others wrote makes of the layers, where it is installed: the lower one as the base of an image and
/// the upper one as it is exported, unpacked, are what the mount shows.
fn umoci_unpacks_exported_layers_the_same() -> Result<Completion> {
    if Command::new("umoci").arg("--version").stdin(Stdio::null()).output().is_err() {
        return Ok(Completion::ignored_with("umoci is not installed"));
    }
    let mut executor = Executor::start(WorkerConfig::new(Privilege::Root, TargetSpec::Kernel))?;
    let profile = Profile {
        lowers: 1..=1,
        marks: false,
        acls: false,
        capabilities: false,
        reserved_names: false,
        xattr_whiteouts: false,
        protected: false,
        ..Profile::new(Privilege::Root).without_options()
    };
    let data = |_: &Bytes, seen: &Seen| match &seen.content {
        Content::Bytes(bytes) => Ok(bytes.to_vec()),
        Content::None => Ok(Vec::new()),
        _ => Err("only a digest of it is known".to_owned()),
    };
    let mut unpacked = 0;
    for case in (0..).map(|n| draw::<Model>(&profile, &seed_for(12, n))).take(60) {
        let trace = executor.run(&case)?;
        let whole = judge(&case, &trace, None).checked == trace.steps.len();
        let Some(last) = trace.last.as_ref().filter(|_| whole && trace.lowers.len() == 1) else { continue };
        let rotated = trace.steps.iter().any(|s| s.observation.as_ref().is_some_and(|o| o.rotated.is_some()));
        let layers = [&trace.lowers[0], &last.upper].map(|layer| export_layer(layer, data));
        let ([Ok(base), Ok(upper)], false) = (layers, rotated) else { continue };
        let dir = tempfile::tempdir()?;
        let (layout, bundle) = (dir.path().join("image"), dir.path().join("bundle"));
        fs::create_dir(&layout)?;
        image_layout(&layout, &[base, upper])?;
        let image = format!("{}:it", layout.display());
        let ended = Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle).output()?;
        ensure!(ended.status.success(), "{}\n{case}", String::from_utf8_lossy(&ended.stderr));
        let tree = read_tree(&bundle.join("rootfs"), Privilege::Root)?;
        let (expected, seen) = (told(&last.merged), told(&tree));
        if let Some((a, b)) = expected.iter().zip(&seen).find(|(a, b)| a != b) {
            anyhow::bail!("the mount shows {a}\numoci unpacks {b}\n{case}");
        }
        ensure!(expected.len() == seen.len(), "{expected:?}\n{seen:?}\n{case}");
        unpacked += 1;
    }
    ensure!(unpacked >= 8, "only {unpacked} layers could be exported");
    Ok(Completion::Completed)
}

/// What an image can say of a tree: each path with type, mode, owner, device, date and data.
fn told(tree: &[NodeSeen]) -> Vec<String> {
    let there = tree.iter().filter_map(|node| Some((node, node.seen.as_ref().ok()?)));
    let tell = |(node, seen): (&NodeSeen, &Seen)| {
        let stat = &seen.stat;
        let device = matches!(stat.kind, Kind::Char | Kind::Block).then_some(stat.rdev);
        let data = (stat.kind != Kind::Dir).then_some(&seen.content);
        let xattrs: Vec<_> = seen.xattrs.iter().flatten().filter(|(name, _)| name.starts_with(b"user.")).collect();
        format!(
            "{} {:?} {:o} {}:{} {device:?} {:?} {data:?} {xattrs:?}",
            node.path, stat.kind, stat.mode, stat.uid, stat.gid, stat.mtime
        )
    };
    there.map(tell).collect()
}
