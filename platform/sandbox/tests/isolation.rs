//! What a box cannot do: see, reach, change or become anything outside.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Read;

use common::{Bench, find_process, is_root, python, spec};
use lamplighter_sandbox::ReadOnlyMount;

#[tokio::test]
async fn host_files_are_invisible() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let secret = bench.dir.path().join("secret");
    std::fs::write(&secret, "host secret").unwrap();
    let paths = [
        secret.to_str().unwrap(),
        bench.dir.path().join("state").to_str().unwrap(),
        "/etc/shadow",
        "/etc/ssl/private",
        "/root",
        "/home",
        "/var/lib",
        "/var/log",
        "/sys",
        "/dev/shm",
        "/dev/sda",
        "/dev/vda",
        "/mnt",
        "/run",
        "/proc/1/root/etc",
        "/proc/1/environ",
    ]
    .map(|path| format!("{path:?}"))
    .join(",");
    let output = bench
        .python(&format!(
            "import os\n\
             for p in [{paths}]:\n\
             \ttry:\n\t\topen(p).read() if not os.path.isdir(p) else os.listdir(p)\n\t\tprint('SEEN', p)\n\
             \texcept OSError as e: print(p, e.errno)\n"
        ))
        .await;
    assert!(!output.contains("SEEN"), "{output}");
}

#[tokio::test]
async fn other_processes_are_invisible() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let mut other = spec(["/usr/bin/sleep", "987651"]);
    other.id = "other".to_owned();
    let _other = bench.sandbox.launch(other).await.unwrap();
    let program = "import os\n\
        for p in filter(str.isdigit, os.listdir('/proc')):\n\
        \ttry: print(p, repr(open(f'/proc/{p}/cmdline').read()))\n\
        \texcept OSError as e: print(p, e)\n";
    let output = bench.python(program).await;
    assert!(!output.contains("987651"), "{output}");
    // Init, the interpreter, and perhaps the end of the process that held the user namespace.
    assert!(output.lines().count() <= 3, "{output}");
}

#[tokio::test]
async fn nothing_but_tmp_is_writable() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let output = bench
        .python(
            "import os\n\
             wrote = []\n\
             for top, dirs, files in os.walk('/'):\n\
             \tif top.startswith('/proc') or top.count('/') > 3: dirs[:] = []; continue\n\
             \ttry:\n\t\tp = os.path.join(top, 'probe'); open(p, 'w').close(); wrote.append(p)\n\
             \texcept OSError: pass\n\
             for p in ['/proc/sys/kernel/hostname', '/proc/sys/net/ipv4/ip_forward', '/proc/sysrq-trigger', '/etc/passwd']:\n\
             \ttry: open(p, 'r+').write('1'); wrote.append(p)\n\
             \texcept OSError: pass\n\
             print(wrote)\n",
        )
        .await;
    assert_eq!(output.trim(), "['/tmp/probe']");
}

#[tokio::test]
async fn forbidden_system_calls_are_refused() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let calls = [
        ("mount", libc::SYS_mount, "b'x', b'/tmp', b'tmpfs', 0, 0"),
        ("umount2", libc::SYS_umount2, "b'/proc', 2"),
        ("unshare user", libc::SYS_unshare, "0x10000000"),
        ("unshare net", libc::SYS_unshare, "0x40000000"),
        ("clone user", libc::SYS_clone, "0x10000011, 0, 0, 0, 0"),
        ("setns", libc::SYS_setns, "0, 0"),
        ("ptrace", libc::SYS_ptrace, "16, 1, 0, 0"),
        ("process_vm_readv", libc::SYS_process_vm_readv, "1, 0, 0, 0, 0, 0"),
        ("bpf", libc::SYS_bpf, "0, 0, 0"),
        ("keyctl", libc::SYS_keyctl, "0, 0, 0"),
        ("io_uring_setup", libc::SYS_io_uring_setup, "1, 0"),
        ("userfaultfd", libc::SYS_userfaultfd, "0"),
        ("perf_event_open", libc::SYS_perf_event_open, "0, 0, 0, 0, 0"),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, "0, 0, 0"),
        ("reboot", libc::SYS_reboot, "0, 0, 0, 0"),
        ("init_module", libc::SYS_init_module, "0, 0, 0"),
        ("pivot_root", libc::SYS_pivot_root, "b'/', b'/'"),
        ("chroot", libc::SYS_chroot, "b'/'"),
        ("sethostname", libc::SYS_sethostname, "b'x', 1"),
    ];
    let list: String =
        calls.iter().map(|(name, number, arguments)| format!("('{name}',{number},{arguments}),")).collect();
    let program = format!(
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n\
         for name, number, *a in [{list}]:\n\
         \tr = c.syscall(number, *a)\n\tprint(name, '=', ctypes.get_errno() if r < 0 else 'DONE')\n\
         r = c.syscall(435, 0, 0)\nprint('clone3 =', ctypes.get_errno())\n"
    );
    let output = bench.python(&program).await;
    for (name, ..) in calls {
        assert!(output.contains(&format!("{name} = {}\n", libc::EPERM)), "{name}: {output}");
    }
    assert!(output.contains(&format!("clone3 = {}\n", libc::ENOSYS)), "{output}");
}

#[tokio::test]
async fn no_capability_no_new_privileges_and_a_filter() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let (output, _) = bench.run(spec(["/bin/cat", "/proc/self/status"])).await;
    let field =
        |name: &str| output.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("Uid:"), "993\t993\t993\t993");
    assert_eq!(field("Groups:"), "");
    let (output, _) = bench.run(spec(["/bin/cat", "/proc/self/oom_score_adj"])).await;
    assert_eq!(output, "500\n");
}

#[tokio::test]
async fn each_box_has_its_own_user_id_on_the_host() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let (mut uids, mut boxes) = (Vec::new(), Vec::new());
    for mark in ["987603", "987604", "987605"] {
        let mut spec = spec(["/usr/bin/sleep", mark]);
        spec.id = format!("own-{mark}");
        boxes.push(bench.sandbox.launch(spec).await.unwrap());
        let pid = find_process(mark).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        uids.push(line.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap());
        if mark == "987604" {
            // Gone, but its id is not given to the next one.
            boxes.pop();
        }
    }
    assert!(uids.iter().all(|uid| (700_000..1_700_000).contains(uid)), "{uids:?}");
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 3, "{uids:?}");
}

#[tokio::test]
async fn the_network_is_the_boxs_own() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let mut spec = python(&format!(
        "import socket\n\
         def probe(a):\n\
         \ttry:\n\t\ts = socket.create_connection(a, 2); s.sendall(b'hello'); return s.recv(10).decode()\n\
         \texcept OSError as e: return str(e.errno)\n\
         print(probe(('127.0.0.1', {port})), probe(('192.0.2.1', 80)), probe(('127.0.0.1', 9001)))\n\
         print([n for _, n in socket.if_nameindex()])\n"
    ));
    spec.listeners = vec!["127.0.0.1:9001".parse().unwrap(), "127.0.0.1:4566".parse().unwrap()];
    let running = bench.sandbox.launch(spec).await.unwrap();
    let output = common::read_all(running.take_output());
    let listeners = running.take_listeners();
    assert_eq!(listeners[1].local_addr().unwrap(), "127.0.0.1:4566".parse().unwrap());
    let answer = async {
        let listener = tokio::net::TcpListener::from_std(listeners.into_iter().next().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut word = [0; 5];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut word).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"welcome").await.unwrap();
        assert_eq!(&word, b"hello");
    };
    answer.await;
    assert_eq!(running.exited().await.code, Some(0));
    let output = output.await.unwrap();
    let (refused, unreachable) = (libc::ECONNREFUSED, libc::ENETUNREACH);
    assert!(output.starts_with(&format!("{refused} {unreachable} welcome\n")), "{output}");
    assert!(output.contains("['lo'"), "{output}");
}

#[tokio::test]
async fn mounts_are_seen_read_only_even_below_private_directories() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let private = bench.dir.path().join("private");
    let code = private.join("code");
    std::fs::create_dir_all(&code).unwrap();
    std::fs::write(code.join("app.py"), "print('hello from the mount')").unwrap();
    std::os::unix::fs::symlink("/etc/shadow", code.join("link")).unwrap();
    std::os::unix::fs::chown(&private, Some(4242), None).unwrap();
    std::fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut spec = spec([
        "/bin/sh",
        "-c",
        "python3 app.py; ls /opt/deep/er; cat /etc/single; touch x; cat link; ls /opt/relative; ls -ld /opt/file.py",
    ]);
    let mount = |inside: &str, host| ReadOnlyMount { host, inside: inside.into() };
    spec.mounts = vec![mount("/var/task", code.clone()), mount("/opt/deep/er", code.clone())];
    spec.mounts.push(mount("/opt/file.py", code.join("app.py")));
    // From the server's working directory, here the crate's.
    spec.mounts.push(mount("/opt/relative", "src".into()));
    spec.cwd = "/var/task".into();
    let (output, _) = bench.run(spec).await;
    assert!(output.contains("hello from the mount\napp.py\nlink\n"), "{output}");
    assert!(output.contains("touch: cannot touch 'x': Read-only file system"), "{output}");
    assert!(output.contains("cat: link: No such file or directory"), "{output}");
    assert!(output.contains("lib.rs\n") && output.contains("\n-rw"), "{output}");
    assert!(!code.join("x").exists());
}

#[tokio::test]
async fn a_clean_environment_and_four_descriptors() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let mut spec = python(
        "import os\nprint(sorted(os.environ))\nos.write(3, b'telemetry')\n\
         print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:-1])\nprint(open(0).read() == '')\n\
         print(open('/dev/stdout', 'w').write('by name\\n'))\n",
    );
    spec.env = vec![("ONLY".into(), "this".into()), ("LC_CTYPE".into(), "C.UTF-8".into())];
    let running = bench.sandbox.launch(spec).await.unwrap();
    let output = common::read_all(running.take_output());
    let telemetry = common::read_all(running.take_telemetry());
    running.exited().await;
    let output = output.await.unwrap();
    assert!(output.contains("['LC_CTYPE', 'ONLY']\n[0, 1, 2, 3]\nTrue\n"), "{output}");
    assert!(output.contains("by name\n"), "{output}");
    assert_eq!(telemetry.await.unwrap(), "telemetry");
}

#[tokio::test]
async fn nothing_is_mounted_on_the_host() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let state = bench.dir.path().join("state");
    let running = bench.sandbox.launch(spec(["/usr/bin/sleep", "100"])).await.unwrap();
    let mut mounts = String::new();
    std::fs::File::open("/proc/self/mounts").unwrap().read_to_string(&mut mounts).unwrap();
    assert!(!mounts.contains(state.to_str().unwrap()), "{mounts}");
    drop(running);
}

#[tokio::test]
async fn common_runtimes_live_with_the_filter() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let programs: [(&str, &[&str]); 4] = [
        ("/usr/bin/node", &["-e", "console.log('alive', require('os').cpus().length > 0)"]),
        ("/usr/bin/perl", &["-e", "print 'alive true'"]),
        ("/usr/bin/java", &["-Xshare:auto", "-version"]),
        (
            "/usr/bin/python3",
            &[
                "-c",
                "import threading, subprocess, ssl, ctypes, sqlite3, tempfile, socket\n\
              t = threading.Thread(target=lambda: None); t.start(); t.join()\n\
              print('alive', subprocess.run(['/bin/true']).returncode == 0, socket.gethostbyname('localhost'))",
            ],
        ),
    ];
    for (program, arguments) in programs {
        if !std::path::Path::new(program).exists() {
            eprintln!("skipped: no {program} on this host");
            continue;
        }
        let mut spec = spec([program]);
        spec.memory_mib = 1024;
        spec.command.extend(arguments.iter().map(std::ffi::OsString::from));
        let (output, exit) = bench.run(spec).await;
        assert_eq!(exit.code, Some(0), "{program}: {output} {exit:?}");
        assert!(output.contains("alive") || output.contains("openjdk"), "{program}: {output}");
    }
}
