//! Stands in for the real binary in this crate's own tests: the spawner, and a small server that can be killed.
//!
//! `run <state dir> <command>...`: one box, its output, its end.
//! `freeze <state dir>`: freezes and thaws a box that counts; prints how far it came each time.
//! `worker <state dir> <command>...`: one box whose command waits, and is then told its descriptor 4.
//! `hold <state dir> <count> <command>...`: boxes that live until this process dies; prints `ready`, then waits.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::ffi::OsString;
use std::io::Read;

use lamplighter_sandbox::{
    Binding, BoxSpec, ControlGroups, ReadOnlyMount, RunningBox, Sandbox, SandboxConfig,
};

fn main() {
    lamplighter_sandbox::child_entry();
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if verb == "doctor" {
        print!("{}", runtime.block_on(Sandbox::doctor()));
        return;
    }
    let state_dir = arguments.next().unwrap();
    runtime.block_on(async {
        let control_groups = match std::env::var("SANDBOX_HELPER_GROUPS").as_deref() {
            Ok("v1") => ControlGroups::OnlyV1,
            Ok("none") => ControlGroups::Nothing,
            _ => ControlGroups::Best,
        };
        let config = SandboxConfig { control_groups, ..SandboxConfig::new(state_dir) };
        let sandbox = Sandbox::start(config).await.unwrap();
        if verb == "freeze" {
            freeze(&sandbox).await;
        } else if verb == "worker" {
            worker(&sandbox, arguments.collect()).await;
        } else if verb == "hold" {
            let count: usize = arguments.next().unwrap().to_str().unwrap().parse().unwrap();
            hold(&sandbox, count, arguments.collect()).await;
        } else {
            run(&sandbox, arguments.collect()).await;
        }
        sandbox.shutdown().await;
    });
}

fn spec(id: String, command: Vec<OsString>) -> BoxSpec {
    BoxSpec {
        id,
        memory_mib: 128,
        cpu_millis: 1000,
        tmp_mib: 16,
        max_processes: 64,
        max_files: 256,
        mounts: vec![],
        folders: vec![],
        command,
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        cwd: "/".into(),
        listeners: vec![],
        companions: vec![],
        companion_env: vec![],
    }
}

async fn worker(sandbox: &Sandbox, command: Vec<OsString>) {
    let waiting = sandbox.prepare(spec("worker".to_owned(), command)).await.unwrap();
    let binding = Binding {
        id: "bound".to_owned(),
        memory_mib: 64,
        cpu_millis: 1000,
        tmp_mib: 16,
        mounts: vec![ReadOnlyMount { host: "/usr/share".into(), inside: "/opt/deep/share".into() }],
        env: vec![("NAME".into(), "value".into())],
        cwd: "/var/task".into(),
    };
    tell(waiting.bind(binding).await.unwrap()).await;
}

async fn run(sandbox: &Sandbox, command: Vec<OsString>) {
    tell(sandbox.launch(spec("run".to_owned(), command)).await.unwrap()).await;
}

/// Output and end of a box.
async fn tell(running: RunningBox) {
    let output = running.take_output();
    let exit = running.exited().await;
    let mut text = Vec::new();
    let _ = std::fs::File::from(output).read_to_end(&mut text);
    println!("{}\n{exit:?}", String::from_utf8_lossy(&text));
}

/// Prints the counter after 100 ms running, after the freeze, 200 ms later, and 100 ms after the thaw.
async fn freeze(sandbox: &Sandbox) {
    let wait = |ms| tokio::time::sleep(std::time::Duration::from_millis(ms));
    let program = "i=0; while :; do i=$((i+1)); echo $i; done";
    let command = ["/bin/sh", "-c", program].map(OsString::from).to_vec();
    let running = sandbox.launch(spec("counter".to_owned(), command)).await.unwrap();
    let output = running.take_output();
    let mut lines = 0;
    for frozen in [false, true, true, false] {
        match frozen {
            true => running.freeze().unwrap(),
            false => running.thaw().unwrap(),
        }
        // Room in the pipe first: what is counted is what was written since.
        let mut buffer = vec![0; 65536];
        if frozen {
            wait(50).await;
        }
        while rustix::io::read(&output, &mut buffer).is_ok_and(|length| length > 0) {}
        wait(200).await;
        lines = 0;
        while let Ok(length) = rustix::io::read(&output, &mut buffer) {
            lines += buffer[..length].iter().filter(|byte| **byte == b'\n').count();
            if length < buffer.len() {
                break;
            }
        }
        println!("{} {lines}", if frozen { "frozen" } else { "thawed" });
    }
    println!("memory {}", running.memory().current_bytes > 0 && lines > 0);
}

async fn hold(sandbox: &Sandbox, count: usize, command: Vec<OsString>) {
    let mut boxes = Vec::new();
    for number in 0..count {
        boxes.push(sandbox.launch(spec(format!("held-{number}"), command.clone())).await.unwrap());
    }
    // One of them frozen: it must die too.
    boxes[0].freeze().unwrap();
    println!("ready {}", sandbox.spawner_pid().await.unwrap());
    std::future::pending::<()>().await;
}
