//! Tests an overlay that is a Rust library: here one that mounts the kernel's, through mount(2).
//!
//! `cargo run --example own_target` runs two hundred random cases on it and prints the summary.

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use ovlcheck::campaign::{Settings, run};
use ovlcheck::errno::Errno;
use ovlcheck::exec::{MountRequest, Mounter, TargetSpec, WorkerConfig, register_target, worker_entry};
use ovlcheck::report;
use ovlcheck::trace::Privilege;
use rustix::mount::{MountFlags, mount};

struct Mine;

impl Mounter for Mine {
    fn mount(&mut self, request: &MountRequest) -> Result<(), (Errno, String)> {
        let lowers: Vec<String> = request.lowerdirs.iter().map(|dir| dir.display().to_string()).collect();
        let mut options = format!(
            "lowerdir={},upperdir={},workdir={},userxattr",
            lowers.join(":"),
            request.upperdir.display(),
            request.workdir.display()
        );
        for option in &request.options {
            options += &format!(",{option}");
        }
        let options = std::ffi::CString::new(options).map_err(|e| (Errno::EINVAL, e.to_string()))?;
        mount("mine", &request.merged, "overlay", MountFlags::NOATIME, options.as_c_str())
            .map_err(|e| (Errno(e.raw_os_error()), "mount(2) refuses".to_owned()))
    }
}

fn main() -> ExitCode {
    register_target("mine", || Box::new(Mine));
    // The worker is this program, started again: what is before this line runs there as well.
    worker_entry();
    let worker = WorkerConfig::new(Privilege::Rootless, TargetSpec::Library("mine".to_owned()));
    let settings = Settings { seed: 1, cases: 200, ..Settings::new(worker) };
    match run(&settings, &AtomicBool::new(false), |_| {}) {
        Ok(summary) => {
            print!("{}", report::summary(&summary, ""));
            ExitCode::from(u8::from(summary.stats.diverged > 0))
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(3)
        }
    }
}
