//! Beginning and end: of boxes, of the spawner, of the server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Bench, eventually, find_process, helper, is_root, python, spec, start};
use lamplighter_sandbox::SandboxError;

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let (_, exit) = bench.run(spec(["/bin/sh", "-c", "exit 42"])).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (Some(42), None, false));
    let (_, exit) = bench.run(spec(["/bin/sh", "-c", "kill -SEGV $$"])).await;
    assert_eq!((exit.code, exit.signal), (None, Some(libc::SIGSEGV)));
    let (_, exit) = bench.run(spec(["/bin/sh", "-c", "kill -9 $$"])).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (None, Some(libc::SIGKILL), false));
}

#[tokio::test]
async fn the_output_is_complete() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let (output, _) =
        bench.run(python("import sys\nfor i in range(200000): print(i)\nsys.stderr.write('end')")).await;
    assert_eq!(output.lines().count(), 200_001);
    assert!(output.ends_with("199999\nend"));
}

#[tokio::test]
async fn the_end_of_the_main_process_ends_its_children() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let (_, exit) = bench.run(spec(["/bin/sh", "-c", "setsid sleep 987621 & exit 0"])).await;
    assert_eq!(exit.code, Some(0));
    assert_eq!(find_process("987621"), None);
}

#[tokio::test]
async fn kill_and_drop_end_everything() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let running = common::hold(&bench, spec(["/bin/sh", "-c", "sleep 987631 & sleep 987632"])).await;
    eventually("both run", || find_process("987631").and(find_process("987632")).is_some()).await;
    running.kill();
    running.kill();
    assert_eq!(running.exited().await.signal, Some(libc::SIGKILL));
    assert_eq!(running.exited().await.signal, Some(libc::SIGKILL));
    assert_eq!(find_process("987631").or(find_process("987632")), None);

    let running = common::hold(&bench, spec(["/usr/bin/sleep", "987633"])).await;
    let exited = running.exited();
    drop(running);
    assert_eq!(exited.await.signal, Some(libc::SIGKILL));
    assert_eq!(find_process("987633"), None);
}

#[tokio::test]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let step = |result: Result<_, SandboxError>| match result {
        Err(SandboxError::Launch { step, source, .. }) => (step, source.raw_os_error()),
        other => panic!("{other:?}"),
    };
    let (at, errno) = step(bench.sandbox.launch(spec(["/no/such/program"])).await.map(|_| ()));
    assert_eq!((at.as_str(), errno), ("run /no/such/program", Some(libc::ENOENT)));
    let mut bad = spec(["/bin/true"]);
    bad.cwd = "/no/such/dir".into();
    let (at, errno) = step(bench.sandbox.launch(bad).await.map(|_| ()));
    assert_eq!((at.as_str(), errno), ("change to /no/such/dir", Some(libc::ENOENT)));
    let mut bad = spec(["/bin/true"]);
    bad.mounts = vec![lamplighter_sandbox::ReadOnlyMount { host: "/no/such".into(), inside: "/opt".into() }];
    let (at, errno) = step(bench.sandbox.launch(bad).await.map(|_| ()));
    assert_eq!((at.as_str(), errno), ("open the mount source /no/such", Some(libc::ENOENT)));
    let mut bad = spec(["/bin/true"]);
    bad.env = vec![("BIG".into(), "x".repeat(200_000).into())];
    assert!(matches!(bench.sandbox.launch(bad).await, Err(SandboxError::InvalidSpec(_))));
    let mut bad = spec(["/bin/true"]);
    bad.id = "../escape".into();
    assert!(matches!(bench.sandbox.launch(bad).await, Err(SandboxError::InvalidSpec(_))));
    bench.sandbox.shutdown().await;
    assert!(matches!(bench.sandbox.launch(spec(["/bin/true"])).await, Err(SandboxError::ShutDown)));
    assert_nothing_left(&bench.dir.path().join("state"));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_boxes_at_once() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let launches: Vec<_> = (0..20)
        .map(|number| {
            let sandbox = bench.sandbox.clone();
            tokio::spawn(async move {
                let mut spec = spec(["/bin/sh", "-c", "exit $0"]);
                spec.command.push(number.to_string().into());
                spec.id = format!("parallel-{number}");
                sandbox.launch(spec).await.unwrap().exited().await.code
            })
        })
        .collect();
    for (number, launch) in launches.into_iter().enumerate() {
        assert_eq!(launch.await.unwrap(), i32::try_from(number).ok());
    }
}

#[tokio::test]
async fn a_cancelled_launch_leaves_no_box() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    for delay_us in [0, 500, 2000, 4000] {
        let launch = bench.sandbox.launch(spec(["/usr/bin/sleep", "987641"]));
        let _ = tokio::time::timeout(std::time::Duration::from_micros(delay_us), launch).await;
    }
    eventually("they are gone", || find_process("987641").is_none()).await;
    bench.sandbox.shutdown().await;
    assert_nothing_left(&bench.dir.path().join("state"));
}

#[tokio::test]
async fn the_death_of_the_spawner_kills_the_boxes_and_the_next_launch_works() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let running = common::hold(&bench, spec(["/usr/bin/sleep", "987651"])).await;
    let frozen = common::hold(&bench, spec(["/usr/bin/sleep", "987652"])).await;
    frozen.freeze().unwrap();
    kill(bench.sandbox.spawner_pid().await.unwrap());
    assert_eq!(running.exited().await.signal, Some(libc::SIGKILL));
    assert_eq!(frozen.exited().await.signal, Some(libc::SIGKILL));
    eventually("the processes are gone", || find_process("987651").or(find_process("987652")).is_none())
        .await;
    let (_, exit) = bench.run(spec(["/bin/sh", "-c", "exit 5"])).await;
    assert_eq!(exit.code, Some(5));
    bench.sandbox.shutdown().await;
    assert_nothing_left(&bench.dir.path().join("state"));
}

/// Starts a server of its own with five boxes (the first frozen), and returns it and its spawner.
fn held_server(state: &Path, mark: &str) -> (std::process::Child, u32) {
    let mut server = Command::new(helper())
        .arg("hold")
        .arg(state)
        .args(["5", "/bin/sh", "-c", &format!("sleep {mark} & sleep {mark}")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let spawner = line.trim().strip_prefix("ready ").unwrap().parse().unwrap();
    (server, spawner)
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// No group, no mount, no directory but the gate.
fn assert_nothing_left(state: &Path) {
    let names: Vec<_> = std::fs::read_dir(state).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, [".gate"], "{names:?}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(state.to_str().unwrap()), "{mounts}");
}

/// All control groups of boxes of the instances of `server` (its process id is part of their name).
fn groups_of(server: u32) -> Vec<std::path::PathBuf> {
    let prefix = format!("{server}-");
    let tops = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    tops.chain(["/sys/fs/cgroup".into()])
        .filter_map(|top| std::fs::read_dir(top.join("lamplighter")).ok())
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

#[tokio::test]
async fn a_killed_server_takes_everything_down() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut server, _) = held_server(dir.path(), "987661");
    assert!(find_process("987661").is_some());
    assert!(!groups_of(server.id()).is_empty());
    server.kill().unwrap();
    server.wait().unwrap();
    eventually("no process, no group", || {
        find_process("987661").is_none() && groups_of(server.id()).is_empty()
    })
    .await;
    eventually("no directory", || std::fs::read_dir(dir.path()).unwrap().count() == 1).await;
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn after_server_and_spawner_are_killed_the_next_start_sweeps() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut server, spawner) = held_server(dir.path(), "987671");
    // The spawner cannot clean up: stopped first, it does not even see the server die.
    let stopped = rustix::process::Pid::from_raw(i32::try_from(spawner).unwrap()).unwrap();
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    kill(spawner);
    assert!(!groups_of(server.id()).is_empty());
    let begin = Instant::now();
    let sandbox = start(dir.path()).await;
    eprintln!("swept and started in {:?}", begin.elapsed());
    assert_eq!(groups_of(server.id()), Vec::<std::path::PathBuf>::new());
    assert_eq!(find_process("987671"), None);
    sandbox.shutdown().await;
    assert_nothing_left(dir.path());
}

#[test]
fn a_careful_servers_umask_does_not_lock_the_box_out() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("/bin/sh")
        .args([
            "-c",
            "umask 077; exec \"$0\" run \"$1\" /bin/sh -c 'id -un; umask; ls /opt /usr > /dev/null'",
        ])
        .arg(helper())
        .arg(dir.path().join("state"))
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.starts_with("sbx_user1051\n0022\n") && output.contains("code: Some(0)"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_launches_and_cancels() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let launches: Vec<_> = (0..60_u32)
        .map(|number| {
            let sandbox = bench.sandbox.clone();
            tokio::spawn(async move {
                let mut spec = spec(["/usr/bin/sleep", "987695"]);
                spec.id = format!("burst-{number}");
                spec.listeners = vec!["127.0.0.1:9001".parse().unwrap()];
                let launch = sandbox.launch(spec);
                if number % 3 == 0 {
                    let limit = std::time::Duration::from_micros(u64::from(number) * 200);
                    let _ = tokio::time::timeout(limit, launch).await;
                    return;
                }
                let running = launch.await.unwrap();
                running.freeze().unwrap();
                running.thaw().unwrap();
                running.kill();
                running.exited().await;
            })
        })
        .collect();
    for launch in launches {
        launch.await.unwrap();
    }
    bench.sandbox.shutdown().await;
    assert_eq!(find_process("987695"), None);
    assert_nothing_left(&bench.dir.path().join("state"));
}

#[tokio::test]
async fn two_servers_share_a_state_directory() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (start(dir.path()).await, start(dir.path()).await);
    let running = one.launch(spec(["/usr/bin/sleep", "987681"])).await.unwrap();
    let three = start(dir.path()).await;
    assert!(find_process("987681").is_some() && running.try_exited().is_none());
    for sandbox in [one, two, three] {
        sandbox.shutdown().await;
    }
    assert_eq!(running.exited().await.signal, Some(libc::SIGKILL));
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn the_doctor_finds_boxes_that_work() {
    if !is_root() {
        return;
    }
    let report = lamplighter_sandbox::Sandbox::doctor_with(Some(helper())).await;
    assert!(report.can_run() && report.privileged && report.launch_us.is_some(), "{report}");
    assert!(report.to_string().contains("egress"), "{report}");
}

/// Numbers, not a judgement: `cargo test -p lamplighter-sandbox --test life -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn bench_launch() {
    let bench = Bench::new().await;
    let (mut launch, mut freeze, mut end) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..200 {
        let mut spec = spec(["/bin/sleep", "100"]);
        spec.id = format!("bench-{number}");
        let begin = Instant::now();
        let running = bench.sandbox.launch(spec).await.unwrap();
        launch.push(begin.elapsed());
        let begin = Instant::now();
        running.freeze().unwrap();
        running.thaw().unwrap();
        freeze.push(begin.elapsed());
        let begin = Instant::now();
        running.kill();
        running.exited().await;
        end.push(begin.elapsed());
    }
    for (name, times) in [("launch", &mut launch), ("freeze+thaw", &mut freeze), ("kill to gone", &mut end)] {
        times.sort_unstable();
        eprintln!("{name:>14}: min {:?}, p50 {:?}, p90 {:?}", times[0], times[100], times[180]);
    }
}
