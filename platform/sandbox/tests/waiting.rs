//! Boxes whose command waits to hear what the box is for: before, what comes in, and after.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Bench, LOOK, eventually, find_process, is_root, python, read_all, read_line, spec};
use lamplighter_sandbox::{BoxSpec, ReadOnlyMount, SandboxError, WaitingBox};

/// Waits on descriptor 4, takes over what it is told, and runs the program that is mounted at `/var/task/app.py`.
const WORKER: &str = "import os, sys\n\
    before = sorted(os.environ), os.listdir('/tmp')\n\
    told = open(4, 'rb').read().split(b'\\0')\n\
    os.environ.clear()\n\
    os.chdir(told[0])\n\
    for pair in told[1:-1]:\n\
    \tname, value = pair.decode().split('=', 1)\n\
    \tos.environ[name] = value\n\
    exec(open('app.py').read())\n";

fn worker() -> BoxSpec {
    BoxSpec { id: "worker".to_owned(), ..python(WORKER) }
}

struct Function {
    dir: tempfile::TempDir,
}

impl Function {
    fn new(program: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(dir.path().join("app.py"), program).unwrap();
        Self { dir }
    }

    fn binding(&self) -> lamplighter_sandbox::Binding {
        let mount = |inside: &str| ReadOnlyMount { host: self.dir.path().into(), inside: inside.into() };
        lamplighter_sandbox::Binding {
            id: "function".to_owned(),
            memory_mib: 64,
            cpu_millis: 500,
            tmp_mib: 16,
            mounts: vec![mount("/var/task")],
            env: vec![("SECRET".into(), "of the function".into())],
            cwd: "/var/task".into(),
        }
    }
}

/// Runs a program as a function in a worker that waited, to its end.
async fn run_in_worker(bench: &Bench, function: &Function) -> String {
    let waiting = bench.sandbox.prepare(worker()).await.unwrap();
    let running = waiting.bind(function.binding()).await.unwrap();
    assert_eq!(running.id(), "function");
    let output = read_all(running.take_output());
    let exit = running.exited().await;
    let output = output.await.unwrap();
    assert_eq!(exit.code, Some(0), "{output}\n{exit:?}");
    output
}

#[tokio::test]
async fn a_worker_hears_what_it_is_for_and_sees_it() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let function = Function::new(
        "print(before)\nprint(dict(os.environ), os.getcwd(), os.listdir('.'))\n\
         open('/tmp/x', 'w').write('x')\nprint(os.listdir('/tmp'), os.getuid(), os.getpid())\n",
    );
    let output = run_in_worker(&bench, &function).await;
    assert_eq!(
        output,
        "(['LC_CTYPE', 'PATH'], [])\n{'SECRET': 'of the function'} /var/task ['app.py']\n['x'] 993 3\n"
    );
}

#[tokio::test]
async fn what_is_mounted_later_may_have_no_place_yet_and_is_read_only() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let function = Function::new(
        "print(sorted(os.listdir('/opt/deep/er')), open('/opt/file.py').readline() != '')\n\
         wrote = []\n\
         for p in ['/', '/usr', '/etc', '/dev', '/opt', '/opt/deep', '/opt/deep/er', '/var/task', '/var', '/proc']:\n\
         \ttry: open(p + '/probe', 'w').close(); wrote.append(p)\n\
         \texcept OSError: pass\n\
         print(wrote)\n",
    );
    let mut binding = function.binding();
    let (dir, app) = (function.dir.path().to_owned(), function.dir.path().join("app.py"));
    binding.mounts.push(ReadOnlyMount { host: dir, inside: "/opt/deep/er".into() });
    binding.mounts.push(ReadOnlyMount { host: app, inside: "/opt/file.py".into() });
    let running = bench.sandbox.prepare(worker()).await.unwrap().bind(binding).await.unwrap();
    let output = read_all(running.take_output());
    assert_eq!(output.await.unwrap(), "['app.py'] True\n[]\n");
}

#[tokio::test]
async fn from_inside_a_box_that_waited_is_like_any_other() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let function = Function::new(LOOK);
    let plain = BoxSpec {
        mounts: function.binding().mounts,
        cwd: "/var/task".into(),
        memory_mib: 64,
        ..python("exec(open('app.py').read())")
    };
    let (plain, exit) = bench.run(plain).await;
    assert_eq!(exit.code, Some(0), "{plain}");
    assert!(!plain.contains("SEEN"), "{plain}");
    let waited = run_in_worker(&bench, &function).await;
    let (plain, waited): (Vec<_>, Vec<_>) = (plain.lines().collect(), waited.lines().collect());
    // A worker may not even try to reach its init: that is outside its Landlock domain.
    let waited: Vec<_> =
        waited.into_iter().filter(|line| !["9 True", "15 True", "19 True"].contains(line)).collect();
    let missing: Vec<_> = plain.iter().filter(|line| !waited.contains(line)).collect();
    let strange: Vec<_> = waited.iter().filter(|line| !plain.contains(line)).collect();
    assert!(missing.is_empty() && strange.is_empty(), "{missing:#?}\n{strange:#?}");
}

#[tokio::test]
async fn before_and_after_a_worker_has_no_rights() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let try_all = "import ctypes, os\n\
        def attempt():\n\
        \tc = ctypes.CDLL(None, use_errno=True)\n\
        \tdone = []\n\
        \tif c.mount(b'x', b'/tmp', b'tmpfs', 0, 0) == 0: done.append('mount')\n\
        \tif c.unshare(0x10000000) == 0: done.append('unshare')\n\
        \tif c.ptrace(16, 1, 0, 0) == 0: done.append('ptrace')\n\
        \tfor p in ['/proc/1/mem', '/proc/1/root', '/proc/1/environ']:\n\
        \t\ttry: os.listdir(p) if p.endswith('root') else open(p, 'rb').read(1); done.append(p)\n\
        \t\texcept OSError: pass\n\
        \tfor s in [9, 19, 15]:\n\
        \t\ttry: os.kill(1, s)\n\
        \t\texcept OSError: pass\n\
        \tfor f in range(5, 256):\n\
        \t\ttry: os.fstat(f); done.append(f)\n\
        \t\texcept OSError: pass\n\
        \tcaps = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('Cap', 'Seccomp:', 'NoNewPrivs'))]\n\
        \treturn done, sorted(set(caps))\n";
    let before = format!("{try_all}print(attempt(), flush=True)\n{WORKER}");
    let function = Function::new("print(attempt(), flush=True)\nos.fstat(4)\n");
    let waiting = bench.sandbox.prepare(BoxSpec { ..python(&before) }).await.unwrap();
    let running = waiting.bind(function.binding()).await.unwrap();
    let output = read_all(running.take_output()).await.unwrap();
    let none = "([], ['0000000000000000', '1', '2'])\n";
    assert!(
        output.starts_with(&format!("{none}{none}")) && output.contains("Bad file descriptor"),
        "{output}"
    );
}

#[tokio::test]
async fn the_limits_are_those_of_the_function() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let function = Function::new("x = bytearray(100 << 20)\nprint('alive')");
    let waiting = bench.sandbox.prepare(BoxSpec { memory_mib: 512, ..worker() }).await.unwrap();
    let running = waiting.bind(function.binding()).await.unwrap();
    let exit = running.exited().await;
    assert!(exit.oom_killed && exit.signal == Some(libc::SIGKILL), "{exit:?}");
}

#[tokio::test]
async fn what_does_not_fit_or_is_dead_is_refused_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let function = Function::new("print('never')");
    let prepare = |mark: &str| {
        let mut spec =
            spec(["/usr/bin/python3", "-S", "-c", "import sys; open(4).read(); import time; time.sleep(99)"]);
        spec.command.push(mark.into());
        bench.sandbox.prepare(spec)
    };
    let waiting = prepare("987711").await.unwrap();
    let other_size = lamplighter_sandbox::Binding { tmp_mib: 32, ..function.binding() };
    assert!(matches!(waiting.bind(other_size).await, Err(SandboxError::InvalidSpec(_))));
    let waiting = prepare("987711").await.unwrap();
    let mut missing = function.binding();
    missing.mounts[0].host = "/no/such".into();
    match waiting.bind(missing).await {
        Err(SandboxError::Launch { step, source, .. }) => {
            assert_eq!(
                (step.as_str(), source.raw_os_error()),
                ("open the mount source /no/such", Some(libc::ENOENT))
            );
        }
        other => panic!("{other:?}"),
    }
    let waiting: WaitingBox = prepare("987711").await.unwrap();
    assert!(waiting.is_alive());
    kill(find_process("987711").unwrap());
    waiting.exited().await;
    assert!(!waiting.is_alive());
    assert!(matches!(waiting.bind(function.binding()).await, Err(SandboxError::Gone { .. })));
    drop(prepare("987711").await.unwrap());
    eventually("all are gone", || find_process("987711").is_none()).await;
    // Companions and shared folders are not for a box that waits.
    let folder = lamplighter_sandbox::SharedFolder { host: "/tmp".into(), inside: "/mnt/x".into() };
    let with_folder = BoxSpec { folders: vec![folder], ..worker() };
    assert!(matches!(bench.sandbox.prepare(with_folder).await, Err(SandboxError::InvalidSpec(_))));
    let with_companion = BoxSpec { companions: vec![vec!["true".into()]], ..worker() };
    assert!(matches!(bench.sandbox.prepare(with_companion).await, Err(SandboxError::InvalidSpec(_))));
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn it_can_be_frozen_and_served_like_any_other() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let function = Function::new(
        "import socket\ns = socket.create_connection(('127.0.0.1', 9001))\nprint(s.recv(10), flush=True)\nimport time\ntime.sleep(99)",
    );
    let listeners = vec!["127.0.0.1:9001".parse().unwrap()];
    let waiting = bench.sandbox.prepare(BoxSpec { listeners, ..worker() }).await.unwrap();
    let running = waiting.bind(function.binding()).await.unwrap();
    let listener = tokio::net::TcpListener::from_std(running.take_listeners().remove(0)).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"welcome").await.unwrap();
    let (line, _pipe) = read_line(running.take_output()).await;
    assert_eq!(line, "b'welcome'");
    running.freeze().unwrap();
    running.thaw().unwrap();
    assert!(running.memory().current_bytes > 0);
    running.socket().unwrap();
    // Init can still do what is asked of it.
    running.terminate_command().unwrap();
    assert_eq!(running.exited().await.signal, Some(libc::SIGTERM));
}
