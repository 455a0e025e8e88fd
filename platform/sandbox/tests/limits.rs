//! What a box may use: memory, processor, processes, descriptors, disk; and that frozen means frozen.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Bench, cpu_ticks, eventually, find_process, is_root, python, spec};

#[tokio::test]
async fn tmp_ends_at_its_size() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program = "n = 0\n\
        try:\n\twith open('/tmp/big', 'wb', buffering=0) as f:\n\t\twhile True: n += f.write(b'x' * 65536)\n\
        except OSError as e: print(e.errno, n)\n";
    let output = bench.python(program).await;
    let words: Vec<u64> = output.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let size: u64 = 16 << 20;
    assert!(words[0] == libc::ENOSPC as u64 && (size..size + size / 10).contains(&words[1]), "{output}");
}

#[tokio::test]
async fn tmp_is_empty_the_boxs_own_and_no_memory_where_it_is_a_disk() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program = "import os\n\
        s = os.stat('/tmp')\n\
        print(os.listdir('/tmp'), s.st_uid == os.getuid(), oct(s.st_mode & 0o7777))\n\
        kind = [l.split()[2] for l in open('/proc/mounts') if l.split()[1] == '/tmp'][0]\n\
        print(kind)\n\
        if kind == 'ext4':\n\
        \tf = open('/tmp/big', 'wb', buffering=0)\n\
        \tfor _ in range(400): f.write(b'x' * (1 << 20))\n";
    let mut spec = python(program);
    spec.tmp_mib = 512;
    let output = bench.run(spec).await;
    assert_eq!(output.1.code, Some(0), "{output:?}");
    let can = std::path::Path::new("/dev/loop-control").exists()
        && std::path::Path::new("/usr/sbin/mkfs.ext4").exists();
    let kind = if can { "ext4" } else { "tmpfs" };
    assert_eq!(output.0, format!("[] True 0o700\n{kind}\n"));
}

#[tokio::test]
async fn a_folder_is_shared_as_its_owner() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let folder = bench.dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    chown(&folder, Some(12345), Some(12346)).unwrap();
    let write = |inside: &str| {
        let program = format!(
            "import os\nf = '{inside}/file'\n\
             open(f, 'a').write('x')\nprint(os.stat(f).st_uid == os.getuid(), open(f).read())\n"
        );
        let shared = lamplighter_sandbox::SharedFolder { host: folder.clone(), inside: inside.into() };
        lamplighter_sandbox::BoxSpec { folders: vec![shared], ..python(&program) }
    };
    assert_eq!(bench.run(write("/mnt/a")).await.0, "True x\n");
    assert_eq!(bench.run(write("/mnt/b")).await.0, "True xx\n");
    let file = folder.join("file").metadata().unwrap();
    assert_eq!((file.uid(), file.gid()), (12345, 12346));
    // Root's folder is not entered as root: strangers' rights decide.
    chown(&folder, Some(0), Some(0)).unwrap();
    assert!(bench.run(write("/mnt/a")).await.0.contains("PermissionError"));
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::remove_file(folder.join("file")).unwrap();
    assert_eq!(bench.run(write("/mnt/a")).await.0, "True x\n");
    // All boxes are the same stranger there, so that each may go on with what another began.
    assert_eq!(folder.join("file").metadata().unwrap().uid(), 1_700_000);
    assert_eq!(bench.run(write("/mnt/b")).await.0, "True xx\n");
}

#[tokio::test]
async fn too_much_memory_kills_and_is_told() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let (_, exit) = bench.run(python("x = bytearray(400 << 20)\nprint('alive')")).await;
    assert!(exit.oom_killed, "{exit:?}");
    assert_eq!(exit.signal, Some(libc::SIGKILL));
    assert!(exit.peak_memory_bytes > 100 << 20 && exit.peak_memory_bytes <= 128 << 20, "{exit:?}");
    let (output, exit) = bench.run(python("x = bytearray(80 << 20)\nprint('alive')")).await;
    assert_eq!((output.as_str(), exit.code, exit.oom_killed), ("alive\n", Some(0), false));
}

#[tokio::test]
async fn memory_is_measured_and_the_peak_can_be_reset() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program = "x = bytearray(64 << 20)\ndel x\nprint('ready', flush=True)\nimport time\ntime.sleep(100)";
    let running = common::hold(&bench, python(program)).await;
    let _pipe = common::read_line(running.take_output()).await;
    let used = running.memory();
    assert!(used.peak_bytes > 64 << 20, "{used:?}");
    assert!(used.current_bytes > 0 && used.current_bytes < 40 << 20, "{used:?}");
    running.reset_peak_memory().unwrap();
    assert!(running.memory().peak_bytes < 50 << 20, "{:?}", running.memory());
}

#[tokio::test]
async fn a_fork_bomb_stays_inside() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program = "import os, time\nn = 0\n\
        try:\n\twhile True:\n\t\tif os.fork() == 0: time.sleep(100)\n\t\tn += 1\n\
        except OSError as e: print(e.errno, n)\n";
    let mut spec = python(program);
    spec.max_processes = 20;
    let (output, exit) = bench.run(spec).await;
    assert_eq!(exit.code, Some(0), "{output}");
    // The zombie of the process that held the user namespace may not be reaped yet.
    assert!(["11 19\n", "11 18\n"].contains(&output.as_str()), "{output}");
}

#[tokio::test]
async fn descriptors_end_at_their_limit() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program = "import resource\nl = []\n\
        try:\n\twhile True: l.append(open('/dev/null'))\n\
        except OSError as e: print(e.errno, l[-1].fileno())\n\
        del l\nprint(resource.getrlimit(resource.RLIMIT_CORE))";
    assert_eq!(bench.python(program).await, "24 127\n(0, 0)\n");
}

#[tokio::test]
async fn the_processor_share_holds() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program =
        "import time\nb = time.monotonic()\nwhile time.monotonic() - b < 1: pass\nprint(time.process_time())";
    let mut spec = python(program);
    spec.cpu_millis = 200;
    let (output, _) = bench.run(spec).await;
    let used: f64 = output.trim().parse().unwrap();
    assert!(used < 0.3, "{used}");
}

#[tokio::test]
async fn frozen_uses_no_processor_and_thawed_goes_on() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let mark = "987611";
    let running = common::hold(&bench, spec(["/bin/sh", "-c", "while :; do :; done", mark])).await;
    let pid = find_process(mark).unwrap();
    eventually("it runs", || cpu_ticks(pid) > 2).await;
    running.freeze().unwrap();
    // The kernel interrupts it at once, but this host may be busy.
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.freeze().unwrap();
    let before = cpu_ticks(pid);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(cpu_ticks(pid), before);
    running.thaw().unwrap();
    eventually("it goes on", || cpu_ticks(pid) > before + 2).await;
    running.freeze().unwrap();
    running.kill();
    assert_eq!(running.exited().await.signal, Some(libc::SIGKILL));
    assert!(matches!(running.freeze(), Err(lamplighter_sandbox::SandboxError::Gone { .. })));
}

/// The essentials, on a host that has only v1 hierarchies, and on one that gives no control groups at all.
#[tokio::test]
async fn other_hosts_freeze_and_limit_too() {
    use lamplighter_sandbox::{ControlGroups, Sandbox, SandboxConfig};
    if !is_root() {
        return;
    }
    for (control_groups, mark) in [(ControlGroups::OnlyV1, "987612"), (ControlGroups::Nothing, "987613")] {
        let dir = tempfile::tempdir().unwrap();
        let config = SandboxConfig {
            executable: Some(common::helper()),
            control_groups,
            ..SandboxConfig::new(dir.path())
        };
        let bench = Bench { sandbox: Sandbox::start(config).await.unwrap(), dir };
        let running = common::hold(&bench, spec(["/bin/sh", "-c", "while :; do :; done", mark])).await;
        let pid = find_process(mark).unwrap();
        eventually("it runs", || cpu_ticks(pid) > 2).await;
        running.freeze().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = cpu_ticks(pid);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(cpu_ticks(pid), before, "{control_groups:?}");
        running.thaw().unwrap();
        eventually("it goes on", || cpu_ticks(pid) > before + 2).await;
        assert!(running.memory().current_bytes > 0);
        running.freeze().unwrap();
        running.kill();
        assert_eq!(running.exited().await.signal, Some(libc::SIGKILL), "{control_groups:?}");
        let (_, exit) = bench.run(python("x = bytearray(300 << 20)\nimport time\ntime.sleep(20)")).await;
        assert!(exit.oom_killed && exit.signal == Some(libc::SIGKILL), "{control_groups:?} {exit:?}");
        bench.sandbox.shutdown().await;
        assert_eq!(std::fs::read_dir(bench.dir.path()).unwrap().count(), 1, "{control_groups:?}");
    }
}

/// The same with a killed server: frozen processes of the v1 freezer do not even die by themselves.
#[tokio::test]
async fn a_killed_server_takes_frozen_v1_boxes_down() {
    if !is_root() {
        return;
    }
    for groups in ["v1", "none"] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = std::process::Command::new(common::helper())
            .env("SANDBOX_HELPER_GROUPS", groups)
            .arg("hold")
            .arg(dir.path())
            .args(["2", "/usr/bin/sleep", "987614"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.as_mut().unwrap()), &mut line)
            .unwrap();
        let spawner: i32 = line.trim().strip_prefix("ready ").unwrap().parse().unwrap();
        // The spawner first, and so quickly that it cannot clean up.
        for pid in [spawner, i32::try_from(server.id()).unwrap()] {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        server.wait().unwrap();
        let sandbox = common::start(dir.path()).await;
        eventually("they are gone", || find_process("987614").is_none()).await;
        sandbox.shutdown().await;
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{groups}");
    }
}
