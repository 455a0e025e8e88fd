//! Processes beside the command: their start, their output, their ends, and sockets of the box's network.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::ffi::OsString;
use std::io::{Read, Write};

use common::{Bench, is_root, python, read_all, read_line};
use lamplighter_sandbox::{BoxSpec, ProcessEnd, SandboxError};

fn shell(script: &str) -> Vec<OsString> {
    ["/bin/sh", "-c", script].map(OsString::from).to_vec()
}

fn with_companions(command: &str, companions: &[&str]) -> BoxSpec {
    BoxSpec {
        command: shell(command),
        companions: companions.iter().map(|script| shell(script)).collect(),
        companion_env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("WHO".into(), "companion".into())],
        ..common::spec(["/bin/true"])
    }
}

const fn exit(code: i32) -> ProcessEnd {
    ProcessEnd { code: Some(code), signal: None }
}

#[tokio::test]
async fn companions_come_first_and_have_an_output_of_their_own() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let spec = with_companions("cat /tmp/told", &["echo $WHO in $PWD > /tmp/told; echo up; sleep 100000"]);
    let running = common::hold(&bench, spec).await;
    let (line, companions) = read_line(running.take_companion_output().unwrap()).await;
    assert_eq!(line, "up");
    let output = read_all(running.take_output());
    running.start_command().unwrap();
    assert_eq!(output.await.unwrap(), "companion in /\n");
    let mut ended = running.ended();
    let ended = ended.wait_for(|ended| ended.command.is_some()).await.unwrap().clone();
    assert_eq!((ended.command, ended.companions.len()), (Some(exit(0)), 0));
    assert_eq!(running.try_exited(), None, "the companion lives, and so does the box");
    running.kill();
    assert_eq!(running.exited().await.code, Some(0), "the command's end is the box's");
    drop(companions);
}

#[tokio::test]
async fn the_ends_of_companions_are_told_by_their_place() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let spec = with_companions("exit 3", &["sleep 100000", "exit 7"]);
    let running = common::hold(&bench, spec).await;
    let mut ended = running.ended();
    let first = ended.wait_for(|ended| !ended.companions.is_empty()).await.unwrap().clone();
    assert_eq!((first.command, first.companions), (None, vec![(1, exit(7))]));
    running.start_command().unwrap();
    ended.wait_for(|ended| ended.command == Some(exit(3))).await.unwrap();
    running.kill();
    running.exited().await;
}

#[tokio::test]
async fn the_box_ends_with_its_last_process() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program = "import signal, sys\n\
                   signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n\
                   print('ready', flush=True)\n\
                   signal.pause()\n";
    let mut spec = python(program);
    spec.companions = vec![shell("while [ ! -e /tmp/go ]; do sleep 0.01; done")];
    let running = common::hold(&bench, spec).await;
    running.start_command().unwrap();
    let (line, _output) = read_line(running.take_output()).await;
    assert_eq!(line, "ready");
    running.terminate_command().unwrap();
    let mut ended = running.ended();
    ended.wait_for(|ended| ended.command == Some(exit(5))).await.unwrap();
    running.terminate_command().unwrap();
    assert_eq!(running.try_exited(), None);
    drop(running);

    let spec = with_companions("exit 4", &["exit 0"]);
    let running = common::hold(&bench, spec).await;
    running.start_command().unwrap();
    assert_eq!(running.exited().await.code, Some(4));
}

#[tokio::test]
async fn what_cannot_start_is_named() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let mut spec = with_companions("exit 0", &[]);
    spec.companions = vec![vec!["/opt/extensions/none".into()]];
    match bench.sandbox.launch(spec).await {
        Err(SandboxError::Launch { step, source, .. }) => {
            assert_eq!(
                (step.as_str(), source.raw_os_error()),
                ("run /opt/extensions/none", Some(libc::ENOENT))
            );
        }
        other => panic!("{other:?}"),
    }
    let mut spec = with_companions("", &["sleep 100000"]);
    spec.command = vec!["/var/task/bootstrap".into()];
    let running = common::hold(&bench, spec).await;
    match running.start_command() {
        Err(SandboxError::Launch { step, source, .. }) => {
            assert_eq!(
                (step.as_str(), source.raw_os_error()),
                ("run /var/task/bootstrap", Some(libc::ENOENT))
            );
        }
        other => panic!("{other:?}"),
    }
    let mut spec = with_companions("exit 0", &[]);
    spec.companions = vec![shell("exit 0"); 17];
    assert!(matches!(bench.sandbox.launch(spec).await, Err(SandboxError::InvalidSpec(_))));
}

#[tokio::test]
async fn a_socket_reaches_what_listens_inside() {
    if !is_root() {
        return;
    }
    let bench = Bench::new().await;
    let program = "import socket\n\
                   server = socket.create_server(('sandbox.localdomain', 8080))\n\
                   print('ready', flush=True)\n\
                   peer, _ = server.accept()\n\
                   peer.sendall(peer.recv(100).upper())\n";
    let running = common::hold(&bench, python(program)).await;
    let (line, _output) = read_line(running.take_output()).await;
    assert_eq!(line, "ready");
    let socket = running.socket().unwrap();
    let socket = tokio::net::TcpSocket::from_std_stream(socket);
    let stream = socket.connect("127.0.0.1:8080".parse().unwrap()).await.unwrap();
    let mut stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HELLO");
}
