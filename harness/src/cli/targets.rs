//! The targets with a name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exec::TargetSpec;
use crate::expectations::{Range, Version};
use crate::level::Level;
use crate::trace::Privilege;

/// A target with a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// The name, as in `--target`.
    pub(super) name: &'static str,
    /// How it is started, for a program.
    program: Option<Program>,
    /// What it claims to be.
    pub(super) level: Level,
    /// Whether it knows whiteouts and private xattrs of Linux.
    pub(super) marks: bool,
}

/// A program that mounts.
#[derive(Clone, Copy, Debug)]
struct Program {
    /// Its name. Where there are several on the path, the first one of the wanted versions is taken.
    name: &'static str,
    /// Its arguments.
    arguments: &'static str,
    /// The option that makes it tell its version, and the word that comes before it.
    version: (&'static str, &'static str),
    /// Which versions are meant; all if empty.
    wanted: &'static str,
}

const FUSE_OVERLAYFS: Program = Program {
    name: "fuse-overlayfs",
    arguments: "-o lowerdir={lowerdir},upperdir={upperdir},workdir={workdir} {merged}",
    version: ("--version", "fuse-overlayfs"),
    wanted: "",
};

const UNIONFS: Program = Program {
    name: "unionfs",
    arguments: "-o cow,suid,dev,default_permissions,allow_other,use_ino,hide_meta_files {upperdir}=RW:{lowerdir} {merged}",
    version: ("--version", "unionfs-fuse"),
    wanted: "",
};

/// All of them.
pub(super) const NAMED: [Named; 6] = [
    Named { name: "kernel", program: None, level: Level::Linux, marks: true },
    Named { name: "plain", program: None, level: Level::Linux, marks: true },
    Named { name: "fuse-overlayfs", program: Some(FUSE_OVERLAYFS), level: Level::Contract, marks: true },
    Named {
        name: "fuse-overlayfs-1",
        program: Some(Program { wanted: ">=1, <2", ..FUSE_OVERLAYFS }),
        level: Level::Contract,
        marks: true,
    },
    Named {
        name: "fuse-overlayfs-2",
        program: Some(Program { wanted: ">=2, <3", ..FUSE_OVERLAYFS }),
        level: Level::Contract,
        marks: true,
    },
    Named { name: "unionfs-fuse", program: Some(UNIONFS), level: Level::Contract, marks: false },
];

impl Named {
    /// Whether its layers are for others, too: it knows the whiteouts and private xattrs of Linux, which are the
    /// kernel's own where an ordinary user mounts.
    pub(super) fn shares(&self, privilege: Privilege) -> bool {
        self.marks && self.name != "plain" && (privilege == Privilege::Root || self.program.is_some())
    }
}

/// The target of this name; the kernel if there is none.
pub(super) fn named(name: &str) -> Named {
    NAMED.into_iter().find(|n| n.name == name).unwrap_or(NAMED[0])
}

impl Named {
    /// How a worker gets it.
    pub(super) fn spec(&self) -> TargetSpec {
        match (self.program, self.name) {
            (Some(program), _) => {
                // Where there is none of the wanted versions, no other is started in its place.
                let missing = if program.wanted.is_empty() { program.name } else { self.name };
                let found = program.find().map_or(missing.into(), |(path, _)| path.display().to_string());
                TargetSpec::Command(format!("{found} {}", program.arguments))
            }
            (None, "plain") => TargetSpec::Plain,
            (None, _) => TargetSpec::Kernel,
        }
    }

    /// The version of the one that would be started, if it tells.
    pub(super) fn version(&self) -> Option<Version> {
        self.program?.find()?.1
    }
}

impl Program {
    /// The program to start, with its version. One whose version is not wanted is not it.
    fn find(&self) -> Option<(PathBuf, Option<Version>)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Where cargo installs programs, which is not always on the path of root.
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo/bin"));
        let wanted: Option<Range> = self.wanted.parse().ok();
        std::env::split_paths(&path).chain(home).map(|dir| dir.join(self.name)).filter(|file| file.is_file()).find_map(
            |file| {
                let version = self.version_of(&file);
                let fits = match (&wanted, &version) {
                    (None, _) => true,
                    (Some(range), Some(version)) => range.holds(version),
                    (Some(_), None) => false,
                };
                fits.then_some((file, version))
            },
        )
    }

    fn version_of(&self, file: &Path) -> Option<Version> {
        let (option, word) = self.version;
        let told = Command::new(file).arg(option).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&told.stdout) + String::from_utf8_lossy(&told.stderr);
        let line = text.lines().find(|line| line.contains(word))?;
        Version::in_text(line)
    }
}
