//! `--kernel`: cases run in a virtual machine that boots it.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::Args;

use crate::exec::vm::machine::kvm_may_work;
use crate::exec::vm::{Acceleration, Cache, Kernel, Machine, MachineOptions};
use crate::exec::{ExecError, Executor, Place, WorkerConfig};

/// Which kernel to boot, and in what.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Under another kernel")]
pub(super) struct GuestArgs {
    /// Boot this kernel in a virtual machine and run there. A kernel image, a directory that holds one with its
    /// modules (a build tree, an unpacked package), a .deb package; several places of one kernel with commas.
    #[arg(long, value_name = "PLACES", value_delimiter = ',')]
    kernel: Vec<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What a machine is made of.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct MachineArgs {
    /// A module that takes the place of the kernel's own, such as an overlay.ko that you built.
    #[arg(long, value_name = "FILE.ko")]
    module: Vec<PathBuf>,
    /// Who executes the guest's instructions: kvm, software, or auto (kvm if it works).
    #[arg(long, value_name = "WHO", default_value = "auto",
          value_parser = clap::builder::PossibleValuesParser::new(["auto", "kvm", "software"]))]
    accel: String,
    /// Memory of a guest, in MiB [default: 1024].
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Unpack packages anew, and keep nothing of them in $XDG_CACHE_HOME/ovlcheck/kernels.
    #[arg(long)]
    no_cache: bool,
    /// Words for the guest kernel's command line.
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    append: String,
}

impl GuestArgs {
    /// A machine that boots the kernel in these places.
    pub(super) fn new(kernel: Vec<PathBuf>, machine: MachineArgs) -> GuestArgs {
        GuestArgs { kernel, machine }
    }

    pub(super) fn is_asked_for(&self) -> bool {
        !self.kernel.is_empty()
    }

    /// The same worker, in a guest if one is asked for.
    pub(super) fn place(&self, config: WorkerConfig) -> Result<WorkerConfig, ExecError> {
        if self.is_asked_for() { self.machine.boot(&self.kernel, config) } else { Ok(config) }
    }
}

impl MachineArgs {
    /// The same worker in a machine that boots the kernel in these places. Which acceleration works is found
    /// out by booting.
    pub(super) fn boot(&self, places: &[PathBuf], config: WorkerConfig) -> Result<WorkerConfig, ExecError> {
        let begun = Instant::now();
        let cache = if self.no_cache { None } else { Cache::of_user() };
        let kernel = Kernel::find(places, &self.module, cache.as_ref())?;
        eprintln!("kernel {} read in {:.1} s", kernel.release(), begun.elapsed().as_secs_f64());
        let defaults = MachineOptions::default();
        let acceleration = match self.accel.as_str() {
            "kvm" => Acceleration::Kvm,
            "software" => Acceleration::Software,
            _ => Acceleration::Auto,
        };
        let memory = self.memory.unwrap_or(defaults.memory);
        let options = MachineOptions { acceleration, memory, command_line: self.append.clone(), ..defaults };
        let machine = Machine::new(&kernel, options)?;
        let placed = |machine| WorkerConfig { place: Place::Guest(machine), ..config.clone() };
        if config.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(ExecError::Interrupted);
        }
        if acceleration != Acceleration::Auto {
            return Ok(placed(machine));
        }
        if kvm_may_work() {
            let fast = placed(machine.accelerated(Acceleration::Kvm)?);
            match Executor::start(fast.clone()) {
                Ok(_) => return Ok(fast),
                Err(ExecError::Interrupted) => return Err(ExecError::Interrupted),
                Err(e) => eprintln!("ovlcheck: KVM does not work here, so guests run in software ({e})"),
            }
        }
        Ok(placed(machine.accelerated(Acceleration::Software)?))
    }
}
