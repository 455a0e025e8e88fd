//! The same boxes without any rights: the helper runs as nobody, without control groups.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{find_process, helper, is_root};

/// A directory that nobody owns, with a copy of the helper (the original may lie below a private directory).
struct Nobody {
    dir: tempfile::TempDir,
}

impl Nobody {
    /// `None`, with the reason printed, where it cannot be tried.
    fn new() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::copy(helper(), dir.path().join("helper")).unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        std::os::unix::fs::chown(dir.path().join("state"), Some(65534), Some(65534)).unwrap();
        let nobody = Self { dir };
        let probe = nobody.setpriv().args(["unshare", "--user", "true"]).status();
        if !probe.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no user namespaces without root on this host, or no setpriv");
            return None;
        }
        Some(nobody)
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    fn setpriv(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command
    }

    fn helper(&self, verb: &str) -> Command {
        let mut command = self.setpriv();
        command.arg(self.dir.path().join("helper")).arg(verb).arg(self.state());
        command
    }

    fn run(&self, program: &str) -> String {
        let output = self.helper("run").args(["/usr/bin/python3", "-S", "-c", program]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn only_the_gate(state: &Path) -> bool {
    std::fs::read_dir(state).unwrap().count() == 1
}

#[test]
fn a_box_is_as_closed_as_with_root() {
    let Some(nobody) = Nobody::new() else { return };
    let secret = nobody.dir.path().join("secret");
    std::fs::write(&secret, "host secret").unwrap();
    let output = nobody.run(&format!(
        "import os\n\
         print(os.getuid(), [l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')])\n\
         for p in [{secret:?}, '/home', '/root', '/var/lib', '/sys']: print(os.path.exists(p))\n\
         wrote = []\n\
         for p in ['/x', '/usr/x', '/etc/x', '/dev/x', '/opt/x', '/proc/sys/kernel/hostname', '/tmp/x']:\n\
         \ttry: open(p, 'w').write('1'); wrote.append(p)\n\
         \texcept OSError: pass\n\
         print(wrote, len([p for p in os.listdir('/proc') if p.isdigit()]) <= 3)\n"
    ));
    let none = "'0000000000000000'";
    assert!(output.starts_with(&format!("993 [{none}, {none}, {none}, {none}, {none}]\n")), "{output}");
    assert!(!output.lines().skip(1).take(5).any(|line| line == "True"), "{output}");
    assert!(output.contains("['/tmp/x'] True"), "{output}");
    assert!(only_the_gate(&nobody.state()));
}

#[test]
fn the_watchdog_kills_what_uses_too_much_memory() {
    let Some(nobody) = Nobody::new() else { return };
    let output = nobody.run("import time\nx = bytearray(300 << 20)\ntime.sleep(20)");
    assert!(output.contains("signal: Some(9), oom_killed: true"), "{output}");
}

#[test]
fn a_worker_waits_without_rights_and_is_limited_by_what_it_becomes() {
    let Some(nobody) = Nobody::new() else { return };
    let program = "import os, time\n\
        caps = lambda: {l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')}\n\
        before = caps()\n\
        told = open(4).read().split(chr(0))\n\
        print(before, os.path.isdir('/opt/deep/share'), caps(), told, os.listdir('/tmp'), flush=True)\n\
        x = bytearray(100 << 20)\n\
        time.sleep(20)";
    let output = nobody.helper("worker").args(["/usr/bin/python3", "-S", "-c", program]).output().unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let none = "{'0000000000000000'}";
    let told = format!("{none} True {none} ['/var/task', 'NAME=value', ''] []\n");
    assert!(output.starts_with(&told) && output.contains("oom_killed: true"), "{output}");
}

#[test]
fn processes_are_limited() {
    let Some(nobody) = Nobody::new() else { return };
    let output = nobody.run(
        "import os, time\nn = 0\n\
         try:\n\twhile n < 500:\n\t\tif os.fork() == 0: time.sleep(100)\n\t\tn += 1\n\
         except OSError as e: print('limit', e.errno, n <= 64)\n",
    );
    assert!(output.contains("limit 11 True"), "{output}");
}

#[test]
fn frozen_stands_still_and_goes_on() {
    let Some(nobody) = Nobody::new() else { return };
    let output = nobody.helper("freeze").output().unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let counts: Vec<(&str, u64)> = output
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(state, count)| Some((state, count.parse().ok()?)))
        .collect();
    assert_eq!(counts.len(), 4, "{output}");
    for (state, count) in counts {
        assert_eq!(state == "frozen", count == 0, "{output}");
    }
    assert!(output.contains("memory true"), "{output}");
}

#[test]
fn a_killed_server_takes_everything_down() {
    let Some(nobody) = Nobody::new() else { return };
    for stop_spawner in [false, true] {
        let mut server = nobody
            .helper("hold")
            .args(["3", "/bin/sh", "-c", "sleep 987691 & sleep 987691"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.as_mut().unwrap()), &mut line)
            .unwrap();
        let spawner: i32 = line.trim().strip_prefix("ready ").unwrap().parse().unwrap();
        assert!(find_process("987691").is_some());
        let spawner = rustix::process::Pid::from_raw(spawner).unwrap();
        if stop_spawner {
            rustix::process::kill_process(spawner, rustix::process::Signal::STOP).unwrap();
        }
        server.kill().unwrap();
        server.wait().unwrap();
        if stop_spawner {
            rustix::process::kill_process(spawner, rustix::process::Signal::KILL).unwrap();
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while find_process("987691").is_some() {
            assert!(std::time::Instant::now() < deadline, "still there");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // The next start removes what the killed spawner could not.
        nobody.run("print('next')");
        assert!(only_the_gate(&nobody.state()));
    }
}
