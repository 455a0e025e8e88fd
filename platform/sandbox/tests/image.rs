//! Process images: a process that started in one box goes on in others, each on its own.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use common::{Bench, is_root, read_all, spec};
use lamplighter_sandbox::image::{self, RESTORE_FAILED};
use lamplighter_sandbox::{BoxSpec, Exit, ReadOnlyMount};

/// What a process does before its image is made, and the call.
const CHECKPOINT: &str = r#"
import ctypes, os, sys
def checkpoint(fd=3):
    function = ctypes.PyDLL("/var/lib/lamplighter/checkpoint").lamplighter_checkpoint
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    why = ctypes.c_char_p()
    result = function(fd, ctypes.byref(why))
    if result < 0:
        print("refused:", why.value.decode(), flush=True)
        os._exit(75)
    if result == 0:
        os._exit(0)
    word = lambda at: ctypes.c_uint64.from_address(result + 8 * at).value
    count, env = word(0), {}
    at = count + 2
    while word(at):
        name, _, value = ctypes.string_at(word(at)).decode().partition("=")
        env[name] = value
        at += 1
    return env
"#;

struct Images {
    bench: Bench,
    dir: tempfile::TempDir,
}

impl Images {
    async fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for (name, bytes) in
            [("restore", image::restore_program()), ("checkpoint", image::checkpoint_library())]
        {
            std::fs::write(dir.path().join(name), bytes.unwrap()).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(dir.path().join(name), mode).unwrap();
        }
        Images { bench: Bench::new().await, dir }
    }

    fn mount(&self, name: &str) -> ReadOnlyMount {
        let inside = Path::new("/var/lib/lamplighter").join(name);
        ReadOnlyMount { host: self.dir.path().join(name), inside }
    }

    /// Runs a program that makes its image: what it printed, how it ended, the image.
    async fn make(&self, name: &str, program: &str) -> (String, Exit, PathBuf) {
        let program = format!("{CHECKPOINT}{program}");
        let mut spec = spec(["/usr/bin/python3", "-S", "-c", &program]);
        spec.mounts.push(self.mount("checkpoint"));
        let running = self.bench.sandbox.launch(spec).await.unwrap();
        let output = read_all(running.take_output());
        let (pipe, path) = (running.take_telemetry(), self.dir.path().join(name));
        let file = path.clone();
        let copied = tokio::task::spawn_blocking(move || {
            rustix::io::ioctl_fionbio(&pipe, false).unwrap();
            std::io::copy(&mut File::from(pipe), &mut File::create(file).unwrap()).unwrap()
        });
        let exit = running.exited().await;
        copied.await.unwrap();
        (output.await.unwrap(), exit, path)
    }

    fn restore(&self, name: &str) -> BoxSpec {
        let mut spec = spec(["/var/lib/lamplighter/restore", "/var/lib/lamplighter/image"]);
        spec.mounts.push(self.mount("restore"));
        spec.mounts.push(ReadOnlyMount {
            host: self.dir.path().join(name),
            inside: "/var/lib/lamplighter/image".into(),
        });
        // The library is part of the process.
        spec.mounts.push(self.mount("checkpoint"));
        spec
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_goes_on_in_other_boxes_each_on_its_own() {
    if !is_root() {
        return;
    }
    let images = Images::new().await;
    let program = r#"
import json, signal, subprocess, threading, time
counter = [41]
caught = []
signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))
env = checkpoint()
counter[0] += 1
os.kill(os.getpid(), signal.SIGUSR1)
worker = threading.Thread(target=lambda: caught.append(2)); worker.start(); worker.join()
child = subprocess.run([sys.executable, "-S", "-c", "print(6 * 7)"], capture_output=True).stdout
grown = [bytearray(100_000) for _ in range(300)]
forked = os.fork() or os._exit(3)
status = os.waitpid(forked, 0)[1] >> 8
print(json.dumps({"counter": counter, "caught": caught, "child": child.decode(), "mine": env["MINE"],
    "cwd": os.getcwd(), "env": open("/proc/self/environ").read().split("\0")[:-1], "forked": status,
    "fds": sorted(os.listdir("/proc/self/fd")), "grown": len(grown), "comm": open("/proc/self/comm").read().strip(),
    "clock": abs(time.clock_gettime(time.CLOCK_MONOTONIC) - float(open("/proc/uptime").read().split()[0])) < 1,
    "tid": threading.get_native_id() == os.getpid(), "tmp": os.listdir("/tmp")}))
open("/tmp/canary", "w").write("x")
"#;
    let (output, exit, path) = images.make("image", program).await;
    assert_eq!((output.as_str(), exit.code), ("", Some(0)), "{exit:?}");
    let info = image::check(&path).unwrap();
    assert!(info.len_bytes > 1 << 20 && info.mappings > 20, "{info:?}");

    for round in 0..3 {
        let mut spec = images.restore("image");
        spec.env.push(("MINE".into(), format!("round {round}").into()));
        spec.cwd = "/usr/lib".into();
        let (output, exit) = images.bench.run(spec).await;
        assert_eq!(exit.code, Some(0), "{output}\n{exit:?}");
        let expected = format!(
            r#"{{"counter": [42], "caught": [1, 2], "child": "42\n", "mine": "round {round}", "cwd": "/usr/lib", "env": ["PATH=/usr/bin:/bin", "MINE=round {round}"], "forked": 3, "fds": ["0", "1", "2", "3", "4"], "grown": 300, "comm": "python3", "clock": true, "tid": true, "tmp": []}}"#
        );
        assert_eq!(output.trim(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_files_are_opened_again_and_connections_are_gone() {
    if !is_root() {
        return;
    }
    let images = Images::new().await;
    let program = r#"
import socket
file = open("/etc/passwd"); first = file.readline()
server = socket.create_server(("127.0.0.1", 5000)); client = socket.create_connection(("127.0.0.1", 5000))
client.settimeout(None)
checkpoint()
try: got = client.recv(10)
except OSError as error: got = type(error).__name__
try: client.send(b"x") or client.send(b"y"); sent = True
except OSError as error: sent = type(error).__name__
print(first.split(":")[0], repr(file.readline().split(":")[0]), os.get_inheritable(file.fileno()), got, sent)
"#;
    let (output, exit, _) = images.make("image", program).await;
    assert_eq!((output.as_str(), exit.code), ("", Some(0)));
    let (output, _) = images.bench.run(images.restore("image")).await;
    assert_eq!(output.trim(), "root 'sbx_user1051' False b'' BrokenPipeError");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imaged_says_why() {
    if !is_root() {
        return;
    }
    let images = Images::new().await;
    for (program, why) in [
        (
            "import threading; threading.Thread(target=lambda: threading.Event().wait(), daemon=True).start()",
            "the process has more than one thread",
        ),
        ("pipe = os.pipe()", "a pipe, an event loop or the like is open"),
        ("import select; loop = select.epoll()", "a pipe, an event loop or the like is open"),
        ("file = open('/tmp/x', 'w')", "a file is open for writing, or in /tmp"),
        ("open('/tmp/x', 'w').close(); file = open('/tmp/x')", "a file is open for writing, or in /tmp"),
        ("import mmap; shared = mmap.mmap(-1, 4096)", "memory is shared with other processes"),
    ] {
        let (output, exit, path) = images.make("image", &format!("{program}\ncheckpoint()\n")).await;
        assert_eq!((output.trim(), exit.code), (format!("refused: {why}").as_str(), Some(75)), "{program}");
        assert!(image::check(&path).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_process_is_not_imaged_again() {
    if !is_root() {
        return;
    }
    let images = Images::new().await;
    let (output, ..) = images.make("image", "checkpoint()\ncheckpoint(1)\n").await;
    assert_eq!(output, "");
    let (output, exit) = images.bench.run(images.restore("image")).await;
    assert_eq!(output.trim(), "refused: the process was itself restored from an image");
    assert_eq!(exit.code, Some(75));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_ends_the_box_and_nothing_else() {
    if !is_root() {
        return;
    }
    let images = Images::new().await;
    std::fs::write(images.dir.path().join("garbage"), [0x5a; 40_000]).unwrap();
    let (output, exit) = images.bench.run(images.restore("garbage")).await;
    assert_eq!(
        (output.trim(), exit.code),
        ("restore: this is no image of this version", Some(RESTORE_FAILED))
    );

    let (_, _, path) = images.make("image", "checkpoint()\nprint('fine')\n").await;
    let mut bytes = std::fs::read(path).unwrap();
    // Its mappings lie: they would replace `restore` itself.
    let areas = usize::from_ne_bytes(bytes[40..48].try_into().unwrap());
    bytes[areas..areas + 8].copy_from_slice(&0x2_0000_0000_u64.to_ne_bytes());
    std::fs::write(images.dir.path().join("lie"), &bytes).unwrap();
    let (output, exit) = images.bench.run(images.restore("lie")).await;
    assert!(exit.code != Some(0), "{output} {exit:?}");
    let (output, _) = images.bench.run(images.restore("image")).await;
    assert_eq!(output.trim(), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_process_keeps_to_the_limits_and_rights_of_its_box() {
    if !is_root() {
        return;
    }
    let images = Images::new().await;
    let program = r#"
checkpoint()
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
print(status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"], os.getuid(), flush=True)
for what in (lambda: open("/var/lib/lamplighter/image", "r+b"), lambda: os.chmod("/var/lib/lamplighter/image", 0o777),
             lambda: os.mkdir("/var/lib/lamplighter/x")):
    try: what(); print("could")
    except OSError as error: print(error.strerror, flush=True)
hungry = bytearray(200 << 20)
"#;
    images.make("image", program).await;
    let (output, exit) = images.bench.run(images.restore("image")).await;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "0000000000000000 0000000000000000 1 2 993");
    assert!(!lines.contains(&"could"), "{lines:?}");
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(exit.oom_killed, "{exit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_must_not_inherit_is_not_in_the_image() {
    if !is_root() {
        return;
    }
    let images = Images::new().await;
    let program = r#"
import mmap
wiped = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); wiped.madvise(18)
kept = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
wiped[:6] = kept[:6] = b"secret"
checkpoint()
seen = [bytes(wiped[:6]), bytes(kept[:6])]
wiped[:5] = b"again"
if os.fork() == 0:
    os._exit(int(wiped[:5] == b"again"))
print(seen, os.wait()[1])
"#;
    let (output, exit, path) = images.make("image", program).await;
    assert_eq!((output.as_str(), exit.code), ("", Some(0)));
    assert!(image::check(&path).is_ok());
    let (output, _) = images.bench.run(images.restore("image")).await;
    assert_eq!(output.trim(), r"[b'\x00\x00\x00\x00\x00\x00', b'secret'] 0");
}
