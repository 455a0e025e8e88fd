//! The doctor: which protections are in force on this host, which are missing, and what to do about it.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::protocol::HostFacts;
use crate::{BoxSpec, Sandbox, SandboxConfig, SandboxError};

/// How many boxes are started to measure the launch time.
const TRIALS: u32 = 9;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// How one protection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// In force.
    Good,
    /// A weaker substitute is in force.
    Weak,
    /// Not in force.
    Missing,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, for example `memory limit`.
    pub subject: &'static str,
    /// How it stands.
    pub health: Health,
    /// What was found.
    pub detail: String,
    /// What the operator can do; `None` if nothing is needed.
    pub remedy: Option<String>,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DoctorReport {
    /// Whether boxes run on this host at all.
    pub works: bool,
    /// True if the boxes are made with the host's root rights.
    pub privileged: bool,
    /// The median time from the request for a box to its running command, in microseconds, if boxes run.
    pub launch_us: Option<u64>,
    /// Protection by protection.
    pub findings: Vec<Finding>,
}

impl DoctorReport {
    /// Whether functions can run on this host.
    pub fn can_run(&self) -> bool {
        self.works
    }

    fn add(
        &mut self,
        subject: &'static str,
        health: Health,
        detail: impl Into<String>,
        remedy: Option<&str>,
    ) {
        let remedy = remedy.map(str::to_owned);
        self.findings.push(Finding { subject, health, detail: detail.into(), remedy });
    }
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let mark = match finding.health {
                Health::Good => "ok     ",
                Health::Weak => "weak   ",
                Health::Missing => "missing",
            };
            writeln!(f, "{mark}  {:<18} {}", finding.subject, finding.detail)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:>28} -> {remedy}", "")?;
            }
        }
        Ok(())
    }
}

impl Sandbox {
    /// Looks at this host by starting a sandbox and a few boxes, with a temporary directory as state. Takes well
    /// below a second. `main` must call [`crate::child_entry`] first.
    pub async fn doctor() -> DoctorReport {
        Self::doctor_with(None).await
    }

    /// [`doctor`](Self::doctor), with the executable whose `main` calls [`crate::child_entry`].
    pub async fn doctor_with(executable: Option<PathBuf>) -> DoctorReport {
        let state_dir = std::env::temp_dir().join(format!("lamplighter-doctor-{}", std::process::id()));
        let config = SandboxConfig { executable, ..SandboxConfig::new(&state_dir) };
        let mut report = DoctorReport::default();
        match examine(config, &mut report).await {
            Ok(()) => report.works = true,
            Err(error) => {
                let remedy = remedy_for(&error);
                report.add("boxes", Health::Missing, error.to_string(), Some(remedy));
            }
        }
        let _ = std::fs::remove_file(state_dir.join(".gate"));
        let _ = std::fs::remove_dir(&state_dir);
        report
    }
}

async fn examine(config: SandboxConfig, report: &mut DoctorReport) -> Result<(), SandboxError> {
    let sandbox = Sandbox::start(config).await?;
    let facts = sandbox.facts().await?;
    report.privileged = facts.privileged;
    let measured = measure(&sandbox).await;
    sandbox.shutdown().await;
    let (first, median) = measured?;
    report.launch_us = u64::try_from(median.as_micros()).ok();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let detail =
        format!("work; {:.1} ms to start the first one, {:.1} ms one half built", ms(first), ms(median));
    report.add("boxes", Health::Good, detail, None);
    describe_identity(&facts, report);
    describe_groups(&facts, report);
    describe_filters(&facts, report);
    Ok(())
}

/// The time of the first launch, and the median of the others.
async fn measure(sandbox: &Sandbox) -> Result<(Duration, Duration), SandboxError> {
    let mut times = Vec::new();
    for trial in 0..TRIALS {
        // As long as it takes to build the next one ahead.
        tokio::time::sleep(PAUSE).await;
        let begin = Instant::now();
        let running = sandbox.launch(trial_spec(trial)).await?;
        times.push(begin.elapsed());
        running.exited().await;
    }
    let first = times.remove(0);
    times.sort_unstable();
    Ok((first, times[times.len() / 2]))
}

fn trial_spec(trial: u32) -> BoxSpec {
    BoxSpec {
        id: format!("doctor-{trial}"),
        memory_mib: 128,
        cpu_millis: 1000,
        tmp_mib: 16,
        max_processes: 16,
        max_files: 64,
        mounts: vec![],
        folders: vec![],
        command: vec!["true".into()],
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        cwd: "/".into(),
        listeners: vec![],
        companions: vec![],
        companion_env: vec![],
    }
}

fn describe_identity(facts: &HostFacts, report: &mut DoctorReport) {
    let kernel = rustix::system::uname();
    report.add("kernel", Health::Good, format!("Linux {}", kernel.release().to_string_lossy()), None);
    match facts.privileged {
        true => report.add("rights", Health::Good, "root: used to build boxes, never inside them", None),
        false => {
            let remedy =
                "run the server as root (or in a container with --privileged) for own user ids and limits";
            report.add("rights", Health::Weak, "rootless", Some(remedy));
        }
    }
    let spaces = "user, pid, mount, net, ipc, uts, cgroup: each box has its own";
    report.add("namespaces", Health::Good, spaces, None);
    match facts.own_uids {
        true => report.add("user ids", Health::Good, "each box has its own user id on the host", None),
        false => {
            let detail = "all boxes run as the server's own user; their namespaces still keep them apart";
            let remedy = "run as root, with user ids from 700000 to 1700000 available";
            report.add("user ids", Health::Weak, detail, Some(remedy));
        }
    }
}

fn describe_groups(facts: &HostFacts, report: &mut DoctorReport) {
    let groups = &facts.cgroups;
    let mode = groups.mode();
    let delegate = "run as root, or start with: systemd-run --user --scope -p Delegate=yes lamplighter start";
    let why = if groups.notes.is_empty() { String::new() } else { format!(" ({})", groups.notes.join("; ")) };
    match mode {
        "none" => report.add("control groups", Health::Missing, format!("none{why}"), Some(delegate)),
        _ => report.add("control groups", Health::Good, mode, None),
    }
    match groups.memory {
        Some(_) => report.add("memory limit", Health::Good, "by the kernel", None),
        None => {
            let detail = "a watchdog looks every 50 ms and kills what uses too much";
            report.add("memory limit", Health::Weak, detail, Some(delegate));
        }
    }
    match &facts.no_disks {
        None => report.add("/tmp", Health::Good, "a disk of its own size; it does not count as memory", None),
        Some(why) => {
            let counts = if groups.memory.is_some() { "; it counts as the function's memory" } else { "" };
            let remedy =
                "run as root on a host with loop devices (/dev/loop-control) and e2fsprogs (mkfs.ext4)";
            report.add("/tmp", Health::Weak, format!("in memory ({why}){counts}"), Some(remedy));
        }
    }
    match groups.cpu {
        Some(_) => report.add("CPU share", Health::Good, "quota, in periods of 20 ms", None),
        None => report.add("CPU share", Health::Missing, "functions may use all processors", Some(delegate)),
    }
    match groups.pids {
        Some(_) => report.add("process limit", Health::Good, "by control group", None),
        None => {
            report.add("process limit", Health::Good, "by RLIMIT_NPROC in the box's user namespace", None)
        }
    }
    let freeze = match &groups.freeze {
        Some(crate::cgroup::Place::V2(_)) => (Health::Good, "cgroup.freeze"),
        Some(crate::cgroup::Place::V1(_)) => (Health::Good, "v1 freezer"),
        None => (Health::Weak, "SIGSTOP to all processes of the box (a parent inside can see it)"),
    };
    report.add("freeze", freeze.0, freeze.1, None);
}

fn describe_filters(facts: &HostFacts, report: &mut DoctorReport) {
    let seccomp = "allow list; no capabilities, no_new_privs";
    report.add("seccomp", Health::Good, seccomp, None);
    match facts.landlock_abi {
        0 => {
            let remedy =
                "boot with lsm=landlock,... (kernel 5.13 or later) for a second lock on the file system";
            report.add("Landlock", Health::Weak, "not available on this kernel", Some(remedy));
        }
        abi => report.add("Landlock", Health::Good, format!("version {abi}"), None),
    }
    report.add("egress", Health::Good, "none: a box reaches only the listeners given to it", None);
    report.add("boundary", Health::Weak, "a shared kernel, not a virtual machine", None);
}

fn remedy_for(error: &SandboxError) -> &'static str {
    match error {
        SandboxError::Unsupported(why) if why.contains("user namespace") => {
            "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces > 0), or run as root"
        }
        SandboxError::Unsupported(_) => "needs Linux 5.12 or later; in a container: --privileged",
        SandboxError::Launch { step, .. } if step.contains("/proc") => {
            "in a container /proc is masked: start it with --security-opt systempaths=unconfined, or as root"
        }
        _ => "in a container: --privileged; else run as root",
    }
}
