//! Boxes that were half built before their launch: the same as others, replaced when they fail, and without anything of
//! anybody in them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, LOOK, eventually, half_built, is_root, python, read_line, spec};
use lamplighter_sandbox::BoxSpec;
use rustix::process::Signal;

fn send(pid: u32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn from_inside_nobody_can_tell_when_a_box_was_built() {
    if !is_root() {
        return;
    }
    let (without, with) = (Bench::with_stock(false).await, Bench::with_stock(true).await);
    let listeners = vec!["127.0.0.1:9001".parse().unwrap()];
    let look = || BoxSpec { listeners: listeners.clone(), ..python(LOOK) };
    let (plain, exit) = without.run(look()).await;
    assert_eq!(exit.code, Some(0), "{plain}");
    let spawner = with.sandbox.spawner_pid().await.unwrap();
    let waiting = half_built(spawner);
    let (output, _) = with.run(look()).await;
    let (plain, stocked): (Vec<_>, Vec<_>) = (plain.lines().collect(), output.lines().collect());
    assert_eq!(plain, stocked);
    let now = half_built(spawner);
    assert!(
        waiting.iter().any(|pid| !now.contains(pid)),
        "it was one of those that waited: {waiting:?} {now:?}"
    );
}

#[tokio::test]
async fn a_half_built_box_that_is_dead_or_hangs_is_no_obstacle() {
    if !is_root() {
        return;
    }
    let bench = Bench::with_stock(true).await;
    for signal in [Signal::KILL, Signal::STOP] {
        let waiting = bench.wait_for_stock().await;
        waiting.iter().for_each(|pid| send(*pid, signal));
        let begin = Instant::now();
        let (output, _) = bench.run(spec(["/bin/echo", "alive"])).await;
        assert_eq!(output, "alive\n");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        // The others are found out by the launches that get them.
        let gone = || waiting.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists());
        while !gone() && begin.elapsed() < Duration::from_secs(30) {
            assert_eq!(bench.run(spec(["/bin/echo", "alive"])).await.0, "alive\n");
        }
        eventually("they are gone", gone).await;
    }
}

#[tokio::test]
async fn nothing_is_built_ahead_before_the_first_launch_or_when_switched_off() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let spawner = bench.sandbox.spawner_pid().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(half_built(spawner), Vec::<u32>::new());
    let bench = Bench::with_stock(false).await;
    let spawner = bench.sandbox.spawner_pid().await.unwrap();
    bench.run(spec(["/bin/true"])).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(half_built(spawner), Vec::<u32>::new());
}

#[tokio::test]
async fn the_stock_follows_bursts_and_is_bounded() {
    if !is_root() {
        return;
    }
    let bench = Bench::with_stock(true).await;
    let launches = (0..24).map(|n| BoxSpec { id: format!("burst-{n}"), ..spec(["/usr/bin/sleep", "100"]) });
    let mut set = tokio::task::JoinSet::new();
    for spec in launches {
        let sandbox = bench.sandbox.clone();
        set.spawn(async move { sandbox.launch(spec).await.unwrap() });
    }
    let boxes = set.join_all().await;
    let spawner = bench.sandbox.spawner_pid().await.unwrap();
    eventually("more are kept", || half_built(spawner).len() >= 8).await;
    assert!(bench.wait_for_stock().await.len() <= 16);
    drop(boxes);
}

/// What a function leaves wherever it can, as long as it lives; then it waits.
const LEAVE: &str = "import ctypes, os, socket, sys\n\
    canary = os.environ['CANARY']\n\
    open('/tmp/' + canary, 'w').write(canary)\n\
    held = open('/tmp/held', 'w')\n\
    os.mkfifo('/tmp/fifo')\n\
    s = socket.socket(socket.AF_UNIX); s.bind('\\0' + canary); s.listen()\n\
    t = socket.socket(); t.bind(('127.0.0.1', 7777)); t.listen()\n\
    c = ctypes.CDLL(None)\n\
    shm = c.shmget(4711, 4096, 0o1666); msg = c.msgget(4711, 0o1666); sem = c.semget(4711, 1, 0o1666)\n\
    c.shmat.restype = ctypes.c_void_p\n\
    ctypes.memmove(c.shmat(shm, None, 0), canary.encode(), len(canary))\n\
    memory = [canary.encode() * 1000 for _ in range(100)]\n\
    os.setpriority(os.PRIO_PROCESS, 0, 5)\n\
    print('left', shm >= 0, msg >= 0, sem >= 0, flush=True)\n\
    import time\n\
    time.sleep(1000)\n";

/// Looks for all that; prints what it finds.
const SEARCH: &str = "import ctypes, os, re, socket\n\
    found = []\n\
    if os.listdir('/tmp'): found.append('tmp')\n\
    if sorted(os.environ) != ['LC_CTYPE', 'PATH']: found.append(str(os.environ))\n\
    if sorted(os.listdir('/proc/self/fd'))[:-1] != ['0', '1', '2', '3']: found.append('descriptors')\n\
    if len([p for p in os.listdir('/proc') if p.isdigit()]) != 2: found.append('processes')\n\
    c = ctypes.CDLL(None)\n\
    for name in ['shmget', 'msgget', 'semget']:\n\
    \tif getattr(c, name)(4711, 0, 0) >= 0: found.append(name)\n\
    for f in ['shm', 'msg', 'sem']:\n\
    \tif open('/proc/sysvipc/' + f).read().count('\\n') != 1: found.append(f)\n\
    if open('/proc/net/unix').read().count('\\n') != 1: found.append('unix sockets')\n\
    if open('/proc/net/tcp').read().count('\\n') != 1: found.append('tcp sockets')\n\
    try: socket.create_connection(('127.0.0.1', 7777), 1); found.append('connected')\n\
    except OSError: pass\n\
    if os.getpriority(os.PRIO_PROCESS, 0) != 0: found.append('priority')\n\
    if open('/proc/self/cgroup').read() != open('/proc/1/cgroup').read() or 'box-' in open('/proc/self/cgroup').read(): found.append('cgroup')\n\
    needle = b'CaNa' + b'Ry'\n\
    for line in open('/proc/self/maps'):\n\
    \tm = re.match('([0-9a-f]+)-([0-9a-f]+) r', line)\n\
    \tif m and 'vvar' not in line and 'vsyscall' not in line:\n\
    \t\twith open('/proc/self/mem', 'rb') as mem:\n\
    \t\t\tmem.seek(int(m[1], 16))\n\
    \t\t\ttry: block = mem.read(int(m[2], 16) - int(m[1], 16))\n\
    \t\t\texcept OSError: continue\n\
    \t\t\tif needle + b'-of' in block: found.append('memory ' + line)\n\
    print(found)\n";

#[tokio::test]
async fn nothing_of_one_function_is_found_in_the_box_of_another() {
    if !is_root() {
        return;
    }
    let canary = "CaNaRy-of-one-function";
    for stock in [false, true] {
        let bench = Bench::with_stock(stock).await;
        let one = BoxSpec {
            id: "one".to_owned(),
            env: vec![("PATH".into(), "/usr/bin".into()), ("CANARY".into(), canary.into())],
            ..python(LEAVE)
        };
        for alive in [true, false] {
            let running = bench.sandbox.launch(one.clone()).await.unwrap();
            let (line, pipe) = read_line(running.take_output()).await;
            assert_eq!(line, "left True True True");
            if !alive {
                running.kill();
                running.exited().await;
            }
            // As many as were half built before, while and after the other ran.
            for _ in 0..4 {
                let (output, exit) = bench.run(python(SEARCH)).await;
                assert_eq!((output.as_str(), exit.code), ("[]\n", Some(0)), "stock {stock}, alive {alive}");
            }
            drop((running, pipe));
        }
        if stock {
            bench.wait_for_stock().await;
        }
        let spawner = bench.sandbox.spawner_pid().await.unwrap();
        for pid in half_built(spawner).into_iter().chain([spawner]) {
            assert!(
                !memory_contains(pid, canary.as_bytes()),
                "process {pid} remembers a function's environment"
            );
        }
    }
}

/// Whether a process of the host has these bytes in its memory.
fn memory_contains(pid: u32, needle: &[u8]) -> bool {
    use std::os::unix::fs::FileExt;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut read = 0;
    let found = maps.lines().filter(|line| line.contains(" rw")).any(|line| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap());
        let mut block = vec![0; usize::try_from(to - from).unwrap()];
        let length = memory.read_at(&mut block, from).unwrap_or(0);
        read += length;
        block[..length].windows(needle.len()).any(|window| window == needle)
    });
    assert!(read > 100_000, "{pid}: only {read} bytes could be read");
    found
}

#[tokio::test]
async fn a_function_cannot_reach_what_waits() {
    if !is_root() {
        return;
    }
    let bench = Bench::with_stock(true).await;
    let waiting = bench.wait_for_stock().await;
    let spawner = bench.sandbox.spawner_pid().await.unwrap();
    let pids: Vec<_> = waiting.iter().copied().chain([spawner]).collect();
    let hostile = format!(
        "import os, signal, socket, ctypes\n\
         c = ctypes.CDLL(None)\n\
         done = []\n\
         for p in {pids:?}:\n\
         \tfor s in [0, 9, 19]:\n\
         \t\ttry: os.kill(p, s); done.append(('kill', p))\n\
         \t\texcept OSError: pass\n\
         \tif os.path.exists(f'/proc/{{p}}'): done.append(('proc', p))\n\
         \tif c.ptrace(16, p, 0, 0) == 0: done.append(('ptrace', p))\n\
         \tif c.syscall(434, p, 0) >= 0: done.append(('pidfd', p))\n\
         for p in ['/proc/1/fd', '/proc/1/root', '/proc/1/cwd', '/proc/1/task/1/fd']:\n\
         \ttry: os.listdir(p); done.append(p)\n\
         \texcept OSError: pass\n\
         for name in ['lamplighter-users-700000', 'lamplighter']:\n\
         \ttry: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect('\\0' + name); done.append(name)\n\
         \texcept OSError: pass\n\
         try: os.kill(-1, 9); print('all')\n\
         except OSError as e: print(e.errno)\n\
         print(done)\n"
    );
    let (output, _) = bench.run(python(&hostile)).await;
    assert!(output.ends_with("[]\n"), "{output}");
    let now = half_built(spawner);
    assert!(
        waiting.iter().filter(|pid| now.contains(pid)).count() >= waiting.len() - 1,
        "{waiting:?} {now:?}"
    );
}
