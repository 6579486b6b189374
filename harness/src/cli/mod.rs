//! The command line: what people type, and the exit status they get.

mod campaign;
mod doctor;
mod enumerate;
mod exchange;
mod expect;
mod explain;
mod extent;
mod guest;
mod matrix;
mod merge;
mod replay;
mod resolve;
mod results;
mod selftest;
mod targets;
mod vm;
mod walkthrough;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser, Subcommand};

use crate::campaign::case_of;
use crate::check::Focus;
use crate::exec::{ExecError, Place, TargetSpec, WorkerConfig};
use crate::expectations::{Expectations, Version};
use crate::generate::Profile;
use crate::level::Level;
use crate::report;
use crate::trace::{Filesystem, Privilege, kernel_version};
use targets::NAMED;

/// Exit status: all held.
pub const HELD: u8 = 0;
/// Exit status: a divergence.
pub const DIVERGED: u8 = 1;
/// Exit status: wrong usage, or a bad case file.
pub const USAGE: u8 = 2;
/// Exit status: this machine cannot run what was asked, or nothing ran.
pub const CANNOT: u8 = 3;
/// Exit status: a defect of ovlcheck.
pub const DEFECT: u8 = 4;
/// Exit status: `git bisect run` is to skip this kernel.
pub const CANNOT_TELL: u8 = 125;
/// Exit status: interrupted.
pub const INTERRUPTED: u8 = 130;

const EXAMPLES: &str = "\
Examples:
  ovlcheck                                   the default campaign on the kernel's OverlayFS
  ovlcheck run --seed 7 --time 60            one minute of random cases from seed 7
  ovlcheck run --rootless                    in a user namespace, with userxattr
  ovlcheck run --keep found/ --target-command \\
    'fuse-overlayfs -o lowerdir={lowerdir},upperdir={upperdir},workdir={workdir} {merged}'
  ovlcheck replay found/*.case               run case files again
  ovlcheck rules RMV                         what the model says about removal
  ovlcheck vm --kernel linux-image-6.12.deb  another kernel, in a virtual machine

Exit status: 0 all held, 1 a divergence, 2 wrong usage or a bad case file, 3 this machine cannot run
what was asked or nothing ran, 4 a defect of ovlcheck, 125 cannot tell (vm --bisect alone),
130 interrupted.";

const RULES_EXAMPLES: &str = "\
Examples:
  ovlcheck rules            all clauses
  ovlcheck rules REN-05     what the model says about the whiteouts that rename leaves";

/// Prints to standard output; a reader that has seen enough (`| head`) ends the program quietly.
fn put(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    if std::io::stdout().write_fmt(text).is_err() {
        std::process::exit(i32::from(HELD));
    }
}

/// As `println!`, through [`put`].
macro_rules! say {
    ($($arg:tt)*) => { $crate::cli::put(format_args!("{}\n", format_args!($($arg)*))) };
}

/// As `print!`, through [`put`].
macro_rules! say_raw {
    ($($arg:tt)*) => { $crate::cli::put(format_args!($($arg)*)) };
}

use {say, say_raw};

/// Does this overlay filesystem behave as OverlayFS must?
///
/// Draws random cases (layers, mount options, file operations), runs each on a mounted overlay, and
/// judges what every call returned, what the merged tree shows and what lies in the upper layer with
/// an executable model of OverlayFS. A difference is shrunk to the few calls that matter. Everything
/// happens in private namespaces on file systems in memory; nothing of this machine is touched.
#[derive(Debug, Parser)]
#[command(name = "ovlcheck", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a campaign of random cases (the default).
    #[command(after_help = campaign::EXAMPLES)]
    Run(Box<campaign::RunArgs>),
    /// Run case files again: judge them by the model and by what they assert themselves.
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::ReplayArgs),
    /// List the clauses of the specification: ID, level, statement, source.
    #[command(after_help = RULES_EXAMPLES)]
    Rules {
        /// Only those whose ID starts with this, as in `CUP` or `REN-05`.
        #[arg(default_value = "")]
        filter: String,
    },
    /// Print one case of a campaign as a case file, without running anything.
    Draw {
        /// The campaign's seed.
        #[arg(long, value_name = "N")]
        seed: u64,
        /// The case's index in it.
        #[arg(long, value_name = "N")]
        case: u64,
        /// As a rootless campaign draws it.
        #[arg(long)]
        rootless: bool,
        /// As a campaign with this --filter draws it.
        #[arg(long, value_name = "RULE|OPERATION|AREA")]
        filter: Option<Focus>,
    },
    /// Explain a rule with a minimal case, or a case step by step.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Say what can be tested on this machine, and what to do about the rest.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Run every sequence of a few steps from a small alphabet, on a few initial layers.
    #[command(after_help = enumerate::EXAMPLES)]
    Enumerate(enumerate::EnumerateArgs),
    /// Run programs in a root filesystem as a container engine does, and show what its layers hold then.
    #[command(after_help = walkthrough::EXAMPLES)]
    Walkthrough(walkthrough::WalkthroughArgs),
    /// Propose a file of expectations from a campaign: an entry for each deviation, with its smallest case.
    #[command(after_help = expect::EXAMPLES)]
    Expect(Box<expect::ExpectArgs>),
    /// Have one target mount what another one left in the layers, and compare what it shows.
    #[command(after_help = exchange::EXAMPLES)]
    Exchange(Box<exchange::ExchangeArgs>),
    /// Run the same cases on several targets, and show clause by target what holds.
    #[command(after_help = matrix::EXAMPLES)]
    Matrix(matrix::MatrixArgs),
    /// Make one summary of those that the shards of a campaign printed with --json.
    #[command(after_help = merge::EXAMPLES)]
    Merge(merge::MergeArgs),
    /// Merge layers of this machine as they lie on disk, and compare a mount of them.
    #[command(after_help = resolve::EXAMPLES)]
    Resolve(resolve::ResolveArgs),
    /// Boot kernels in virtual machines and run a campaign on each: nothing of this machine is needed but QEMU.
    #[command(after_help = vm::EXAMPLES)]
    Vm(vm::VmArgs),
    /// Break every clause of the model in turn, and show that the campaign notices.
    #[command(after_help = selftest::EXAMPLES)]
    SelfTest(selftest::SelfTestArgs),
}

/// Where and as whom cases run.
#[derive(Debug, Clone, Args)]
struct WorkerArgs {
    /// Run in a user namespace with `userxattr` although this is root.
    #[arg(long)]
    rootless: bool,
    /// What to test. A program that mounts must be installed; docs/targets.md says how.
    #[arg(long, value_name = "NAME", default_value = "kernel",
          value_parser = clap::builder::PossibleValuesParser::new(NAMED.map(|n| n.name)))]
    target: String,
    /// Judge the target as what it claims to be: contract (what is seen through the mount), format (what lies
    /// in the upper layer, too) or linux (all that Linux does). The default is that of the target.
    #[arg(long, value_name = "LEVEL",
          value_parser = clap::builder::PossibleValuesParser::new(Level::ALL.map(Level::name)))]
    level: Option<String>,
    /// Test this program instead of the kernel: a command line with {lowerdir}, {upperdir}, {workdir}
    /// and {merged}, split at blanks and run without a shell.
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "target")]
    target_command: Option<String>,
    /// Test a plain directory without any overlay: validates the model's lower half.
    #[arg(long, conflicts_with_all = ["target", "target_command"])]
    plain: bool,
    /// Put the layers on this filesystem, on a disk in memory made with the distribution's tools. Needs root.
    #[arg(long = "fs", value_name = "FILESYSTEM", default_value = "tmpfs",
          value_parser = clap::builder::PossibleValuesParser::new(Filesystem::ALL.map(Filesystem::name)))]
    filesystem: String,
    #[command(flatten)]
    guest: guest::GuestArgs,
}

impl WorkerArgs {
    /// How workers run, and where: with `--kernel` this reads the kernel and tries how it boots, unless `stop` is set
    /// meanwhile.
    fn place(&self, stop: &Arc<AtomicBool>) -> Result<WorkerConfig, ExecError> {
        self.guest.place(WorkerConfig { stop: Some(stop.clone()), ..self.config() })
    }

    fn config(&self) -> WorkerConfig {
        // A guest is its own root's.
        let root = self.guest.is_asked_for() || rustix::process::geteuid().is_root();
        let privilege = if root && !self.rootless { Privilege::Root } else { Privilege::Rootless };
        let named = targets::named(&self.target);
        let (target, claimed) = match &self.target_command {
            Some(template) => (TargetSpec::Command(template.clone()), Level::Linux),
            None if self.plain => (TargetSpec::Plain, Level::Linux),
            None => (named.spec(), named.level),
        };
        let level = self.level.as_ref().and_then(|name| name.parse().ok()).unwrap_or(claimed);
        let filesystem = Filesystem::named(&self.filesystem).unwrap_or_default();
        WorkerConfig { filesystem, level, ..WorkerConfig::new(privilege, target) }
    }

    /// What kind of cases to draw for it.
    fn profile(&self, worker: &WorkerConfig) -> Profile {
        let known = self.target_command.is_some() || self.plain || targets::named(&self.target).marks;
        Profile { marks: known, ..profile(worker) }
    }

    /// The version of the target, if it is one with a name that tells it.
    fn version(&self) -> Option<Version> {
        if self.target_command.is_some() || self.plain { None } else { targets::named(&self.target).version() }
    }

    /// Reads what is known of the target. The error is the exit status; what is wrong has been said.
    fn expectations(&self, file: Option<&Path>) -> Result<Option<Arc<Expectations>>, u8> {
        let Some(file) = file else { return Ok(None) };
        let known = Expectations::load(file, self.version().as_ref()).map_err(|e| {
            eprintln!("ovlcheck: {e}");
            USAGE
        })?;
        let target = self.config().target;
        match &known.target {
            Some(of) if of != target.name() => {
                eprintln!("ovlcheck: {} is about {of}, not {}", file.display(), target.name());
                Err(USAGE)
            }
            _ => Ok(Some(known)),
        }
    }
}

/// What kind of cases to draw for these workers: mount options are the kernel's own, and what a name means is
/// for Linux alone to say.
fn profile(worker: &WorkerConfig) -> Profile {
    let release = match &worker.place {
        Place::Guest(machine) => machine.release().to_owned(),
        Place::Here => rustix::system::uname().release().to_string_lossy().into_owned(),
    };
    let usual = Profile::new(worker.privilege).on(worker.filesystem, kernel_version(&release));
    let profile = Profile {
        reserved_names: worker.level == Level::Linux,
        capabilities: usual.capabilities && worker.level == Level::Linux,
        acls: usual.acls && worker.level == Level::Linux,
        protected: worker.level == Level::Linux,
        xattr_whiteouts: usual.xattr_whiteouts && worker.level == Level::Linux,
        ..usual
    };
    if worker.target == TargetSpec::Kernel { profile } else { profile.without_options() }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors; clap knows where each belongs.
            let status = if e.use_stderr() { USAGE } else { HELD };
            let _ = e.print();
            return ExitCode::from(status);
        }
    };
    let status = match cli.command.unwrap_or_else(|| Command::Run(Box::default())) {
        Command::Run(args) => campaign::run(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Rules { filter } => {
            let rules = report::rules(&filter);
            if rules.is_empty() {
                eprintln!("ovlcheck: no clause starts with '{filter}'; `ovlcheck rules` lists them all");
                USAGE
            } else {
                say_raw!("{rules}");
                HELD
            }
        }
        Command::Draw { seed, case, rootless, filter } => {
            let privilege = if rootless { Privilege::Rootless } else { Privilege::Root };
            match case_of(&Profile::new(privilege), filter.as_ref(), seed, case) {
                Some(case) => {
                    say_raw!("{case}");
                    HELD
                }
                None => {
                    eprintln!("ovlcheck: no such case was drawn");
                    CANNOT
                }
            }
        }
        Command::Explain(args) => explain::explain(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Enumerate(args) => enumerate::enumerate(&args),
        Command::Walkthrough(args) => walkthrough::walkthrough(&args),
        Command::Expect(args) => expect::expect(&args),
        Command::Exchange(args) => exchange::exchange(&args),
        Command::Matrix(args) => matrix::matrix(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::Resolve(args) => resolve::resolve(&args),
        Command::Vm(args) => vm::vm(&args),
        Command::SelfTest(args) => selftest::self_test(&args),
    };
    ExitCode::from(status)
}

/// Says why there is no trace, and which exit status that means.
fn refuse(error: &ExecError) -> u8 {
    eprintln!("ovlcheck: {error}");
    match error {
        ExecError::Internal(_) => DEFECT,
        ExecError::Unsupported { .. } | ExecError::Setup(_) => CANNOT,
        ExecError::Interrupted => INTERRUPTED,
    }
}
