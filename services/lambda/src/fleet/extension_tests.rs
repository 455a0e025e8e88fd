//! Environments with an extension: the end of INIT, the answer before the end of INVOKE, failures, SHUTDOWN.

use std::sync::Arc;

use base64::Engine as _;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::fake::{Peer, Reply, World, header, invocation, read_reply, script};

/// An internal extension: a second client of the API.
struct Extension {
    stream: TcpStream,
    id: String,
}

impl Extension {
    async fn register(peer: &Peer) -> Self {
        let mut stream = TcpStream::connect(peer.address).await.unwrap();
        let body = r#"{"events":["INVOKE"]}"#;
        let request = format!(
            "POST /2020-01-01/extension/register HTTP/1.1\r\nLambda-Extension-Name: in\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let reply = read_reply(&mut stream).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        Extension { stream, id: header(&reply.head, "Lambda-Extension-Identifier").unwrap() }
    }

    async fn call(&mut self, method: &str, path: &str) -> Reply {
        let request = format!(
            "{method} /2020-01-01/extension/{path} HTTP/1.1\r\nLambda-Extension-Identifier: {}\r\n\
             Lambda-Extension-Function-Error-Type: My.Error\r\nContent-Length: 0\r\n\r\n",
            self.id
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        read_reply(&mut self.stream).await
    }

    async fn next(&mut self) -> String {
        self.call("GET", "event/next").await.text()
    }
}

async fn serve(mut peer: Peer) -> ! {
    loop {
        let event = peer.next().await;
        let body = format!("\"{}\"", peer.number);
        peer.respond(&event.id, body.as_bytes()).await;
    }
}

fn text(outcome: &crate::invoke::Outcome) -> String {
    String::from_utf8_lossy(&outcome.payload).into_owned()
}

#[tokio::test]
async fn the_answer_does_not_wait_for_extensions_but_the_environment_does() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let world = World::new(script(move |peer| {
        let gate = Arc::clone(&held);
        async move {
            let mut extension = Extension::register(&peer).await;
            tokio::spawn(async move {
                loop {
                    let event = extension.next().await;
                    assert!(event.starts_with(r#"{"eventType":"INVOKE","deadlineMs":"#), "{event}");
                    gate.acquire().await.unwrap().forget();
                }
            });
            serve(peer).await
        }
    }));
    let function = Arc::new(world.function(1));
    let mut event = invocation("{}");
    event.want_tail = false;
    let run = |event| world.fleet.invoke(Arc::clone(&function), event);
    assert_eq!(text(&run(event.clone()).await.unwrap()), "\"1\"", "the extension still works");
    assert_eq!(text(&run(event.clone()).await.unwrap()), "\"2\"", "so its environment is busy");
    assert!(!world.logs.text().contains("REPORT"));
    gate.add_permits(2);
    while !format!("{:?}", world.fleet).contains("idle: 2") {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    let outcome = run(invocation("{}")).await.unwrap();
    let tail = outcome.log_tail_base64.clone().unwrap();
    let tail = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(tail).unwrap()).unwrap();
    assert!(tail.contains("REPORT RequestId"), "a tail that is wanted is whole: {tail}");
    world.sink.flush().await;
    assert_eq!(world.logs.text().matches("REPORT").count(), 3);
    assert!(world.logs.text().contains("EXTENSION\tName: in\tState: Ready\tEvents: [INVOKE]\n"));
}

#[tokio::test]
async fn an_extension_that_is_never_done_ends_with_the_functions_time() {
    let world = World::new(script(|peer| async move {
        let mut extension = Extension::register(&peer).await;
        tokio::spawn(async move {
            extension.next().await;
            std::future::pending::<()>().await;
        });
        serve(peer).await
    }));
    let mut function = world.function(1);
    function.timeout_s = 1;
    let outcome = world.fleet.invoke(Arc::new(function), invocation("{}")).await.unwrap();
    assert_eq!((outcome.function_error, text(&outcome).as_str()), (None, "\"1\""));
    world.sink.flush().await;
    let log = world.logs.text();
    assert!(log.contains("Task timed out after 1.00 seconds") && log.contains("Status: timeout"), "{log}");
    world.fleet.shutdown().await;
    assert_eq!(world.killed(), 1);
}

#[tokio::test]
async fn an_extension_that_fails_fails_the_function() {
    let world = World::new(script(|peer| async move {
        let mut extension = Extension::register(&peer).await;
        assert_eq!(extension.call("POST", "init/error").await.status, 202);
        serve(peer).await
    }));
    let outcome = world.fleet.invoke(Arc::new(world.function(1)), invocation("{}")).await.unwrap();
    assert_eq!(outcome.function_error, Some("Unhandled"));
    assert!(text(&outcome).contains(r#""errorType":"Extension.InitError""#), "{}", text(&outcome));
    world.sink.flush().await;
    let log = world.logs.text();
    assert_eq!(log.matches("State: InitError\tEvents: [INVOKE]\tError Type: My.Error\n").count(), 2, "{log}");
    assert!(log.contains("Error Type: Extension.InitError"), "{log}");
}

#[tokio::test]
async fn an_extension_that_fails_during_an_invoke_is_the_answer() {
    let world = World::new(script(|mut peer| async move {
        let mut extension = Extension::register(&peer).await;
        tokio::spawn(async move {
            extension.next().await;
            assert_eq!(extension.call("POST", "exit/error").await.status, 202);
            std::future::pending::<()>().await;
        });
        peer.next().await;
        std::future::pending().await
    }));
    let outcome = world.fleet.invoke(Arc::new(world.function(1)), invocation("{}")).await.unwrap();
    assert!(text(&outcome).contains(r#""errorType":"Extension.ExitError""#), "{}", text(&outcome));
    world.fleet.shutdown().await;
}

#[tokio::test]
async fn an_environment_with_an_extension_ends_in_the_background() {
    let world = World::new(script(|peer| async move {
        let mut extension = Extension::register(&peer).await;
        tokio::spawn(async move {
            loop {
                extension.next().await;
            }
        });
        serve(peer).await
    }));
    let function = Arc::new(world.function(1));
    world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap();
    world.fleet.retire(&function.key, 2);
    world.fleet.shutdown().await;
    assert_eq!(world.killed(), 1, "the shutdown waits for what is under way");
}
