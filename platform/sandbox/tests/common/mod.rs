//! What the tests of boxes share: a sandbox in a temporary directory, a specification to start from, and reading.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use lamplighter_sandbox::{BoxSpec, Exit, RunningBox, Sandbox, SandboxConfig};

/// The binary that stands in for the server, and for the spawner.
pub(crate) fn helper() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sandbox-helper"))
}

/// These tests check what root can enforce. Elsewhere they say so and stop.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = start(dir.path().join("state")).await;
        Self { dir, sandbox }
    }

    /// With boxes built ahead of their launches from now on, or without.
    pub(crate) async fn with_stock(stock: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = SandboxConfig::new(dir.path().join("state"));
        let sandbox =
            Sandbox::start(SandboxConfig { executable: Some(helper()), stock, ..own }).await.unwrap();
        let bench = Self { dir, sandbox };
        if stock {
            bench.run(spec(["/bin/true"])).await;
            bench.wait_for_stock().await;
        }
        bench
    }

    /// Waits until some boxes are half built and wait.
    pub(crate) async fn wait_for_stock(&self) -> Vec<u32> {
        let spawner = self.sandbox.spawner_pid().await.unwrap();
        eventually("there are half-built boxes", || half_built(spawner).len() >= 2).await;
        // All are ready, and the spawner knows it, when nothing changes any more.
        let mut before = Vec::new();
        while before != half_built(spawner) {
            before = half_built(spawner);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        before
    }

    /// Runs a command to its end: output, exit.
    pub(crate) async fn run(&self, spec: BoxSpec) -> (String, Exit) {
        let running = self.sandbox.launch(spec).await.unwrap();
        let output = read_all(running.take_output());
        let exit = running.exited().await;
        (output.await.unwrap(), exit)
    }

    /// Runs a Python program to its end, which must be a good one.
    pub(crate) async fn python(&self, program: &str) -> String {
        let (output, exit) = self.run(python(program)).await;
        assert_eq!(exit.code, Some(0), "{output}\n{exit:?}");
        output
    }
}

/// What a process can find out about itself and its box.
pub(crate) const LOOK: &str = "import os, re, resource\n\
    for p in ['self', '1']:\n\
    \tfor l in open(f'/proc/{p}/status'):\n\
    \t\tif re.match('(Name|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|NSpid|Threads|SigBlk|SigIgn|CoreDumping)', l): print(p, l.strip())\n\
    for l in open('/proc/self/mountinfo'):\n\
    \tprint(re.sub(r'^[0-9]+ [0-9]+ [0-9]+:[0-9]+ |loop[0-9]+', '', l.strip()))\n\
    for l in open('/proc/self/limits'): print(l.strip())\n\
    print(sorted(os.listdir('/proc/self/fd'))[:-1], [os.readlink(f'/proc/self/fd/{n}').split(':')[0] for n in range(3)])\n\
    print(sorted(p for p in os.listdir('/proc') if p.isdigit()))\n\
    for top in ['/', '/var', '/opt', '/tmp', '/dev', '/etc']:\n\
    \tprint(top, sorted(os.listdir(top)), oct(os.stat(top).st_mode), os.stat(top).st_uid)\n\
    print(open('/proc/self/cgroup').read(), os.uname().nodename, os.getsid(0) == os.getpid())\n\
    print(open('/proc/net/unix').read().count('\\n'), open('/proc/net/dev').read().count('\\n'))\n\
    print(open('/proc/self/oom_score_adj').read(), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))\n\
    print(open('/proc/sysvipc/shm').read().count('\\n'), os.umask(0), os.getpgid(0) == os.getpid(), os.getppid())\n\
    for p in ['fd', 'environ', 'maps', 'root', 'cwd', 'exe', 'ns/net']:\n\
    \ttry: os.listdir(f'/proc/1/{p}') if p in ['fd', 'root', 'cwd'] else open(f'/proc/1/{p}').read(); print(p, 'SEEN')\n\
    \texcept OSError as e: print(p, e.errno)\n\
    for s in [9, 15, 19]:\n\
    \ttry: os.kill(1, s)\n\
    \texcept OSError as e: print(s, e.errno == 1)\n";

/// The spawner's half-built boxes: children without children.
pub(crate) fn half_built(spawner: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        let mut fields = rest.split_whitespace();
        let (state, parent) = (fields.next().unwrap(), fields.next().unwrap().parse::<u32>().unwrap());
        parents.push((pid, parent, name.ends_with("(lamplighter-box") && state != "Z"));
    }
    let has_children = |pid| parents.iter().any(|(_, parent, _)| *parent == pid);
    let halves =
        parents.iter().filter(|(pid, parent, is_box)| *parent == spawner && *is_box && !has_children(*pid));
    halves.map(|(pid, ..)| *pid).collect()
}

/// The whole suite can be run with boxes built ahead, which is the default, and with `SANDBOX_STOCK=off`.
pub(crate) async fn start(state_dir: impl Into<PathBuf>) -> Sandbox {
    let stock = std::env::var_os("SANDBOX_STOCK").is_none_or(|word| word != "off");
    let config = SandboxConfig { executable: Some(helper()), stock, ..SandboxConfig::new(state_dir) };
    Sandbox::start(config).await.unwrap()
}

pub(crate) fn spec<const N: usize>(command: [&str; N]) -> BoxSpec {
    BoxSpec {
        id: "test".to_owned(),
        memory_mib: 128,
        cpu_millis: 2000,
        tmp_mib: 16,
        max_processes: 64,
        max_files: 128,
        mounts: vec![],
        folders: vec![],
        command: command.into_iter().map(OsString::from).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/".into(),
        listeners: vec![],
        companions: vec![],
        companion_env: vec![],
    }
}

pub(crate) fn python(program: &str) -> BoxSpec {
    spec(["/usr/bin/python3", "-S", "-c", program])
}

/// To the end of the pipe, on a thread of its own.
pub(crate) fn read_all(pipe: OwnedFd) -> tokio::task::JoinHandle<String> {
    tokio::task::spawn_blocking(move || {
        rustix::io::ioctl_fionbio(&pipe, false).unwrap();
        let mut bytes = Vec::new();
        std::fs::File::from(pipe).read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// One line, as soon as it is there; the pipe stays usable.
pub(crate) async fn read_line(pipe: OwnedFd) -> (String, OwnedFd) {
    tokio::task::spawn_blocking(move || {
        rustix::io::ioctl_fionbio(&pipe, false).unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while rustix::io::read(&pipe, &mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        (String::from_utf8_lossy(&line).into_owned(), pipe)
    })
    .await
    .unwrap()
}

/// The host's process whose command line ends with `mark`, which must be unique.
pub(crate) fn find_process(mark: &str) -> Option<u32> {
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        line.strip_suffix(b"\0")?.ends_with(mark.as_bytes()).then_some(pid)
    })
}

/// User and system time in clock ticks.
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Waits until `done` holds; fails after ten seconds.
pub(crate) async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("not in ten seconds: {what}");
}

pub(crate) async fn hold(bench: &Bench, spec: BoxSpec) -> RunningBox {
    bench.sandbox.launch(spec).await.unwrap()
}
