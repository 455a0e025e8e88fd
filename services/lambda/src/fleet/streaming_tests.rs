//! Answers that are streamed, from fake boxes to callers who listen, dawdle or go away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::fake::{Peer, Script, World, exit_code, invocation, script};
use crate::function::FunctionConfig;
use crate::invoke::{Outcome, Streaming};
use crate::metering::ErrorKind;

async fn stream(world: &World, function: &Arc<FunctionConfig>) -> Streaming {
    world.fleet.invoke_streaming(Arc::clone(function), invocation("{}")).await.unwrap()
}

/// The rest of an answer.
async fn rest(mut streaming: Streaming) -> (Vec<u8>, Outcome) {
    let mut body = Vec::new();
    while let Some(chunk) = streaming.chunks.recv().await {
        body.extend_from_slice(&chunk);
    }
    (body, streaming.done.await.unwrap())
}

fn error_type(outcome: &Outcome) -> String {
    assert_eq!(outcome.function_error, Some("Unhandled"));
    let body: serde_json::Value = serde_json::from_slice(&outcome.payload).unwrap();
    body["errorType"].as_str().unwrap().to_owned()
}

/// Begins to answer; gives the event's id.
async fn begin(peer: &mut Peer) -> String {
    let event = peer.next().await;
    peer.write(&format!(
        "POST /2018-06-01/runtime/invocation/{}/response HTTP/1.1\r\nContent-Type: text/x\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n",
        event.id
    ))
    .await;
    event.id
}

async fn chunk(peer: &mut Peer, text: &str) {
    peer.write(&format!("{:x}\r\n{text}\r\n", text.len())).await;
}

/// Answers every event with two chunks; the second waits for a permit.
fn two_chunks(gate: &Arc<Semaphore>) -> Script {
    let gate = Arc::clone(gate);
    script(move |mut peer| {
        let gate = Arc::clone(&gate);
        async move {
            loop {
                begin(&mut peer).await;
                chunk(&mut peer, "one ").await;
                gate.acquire().await.unwrap().forget();
                chunk(&mut peer, "two").await;
                assert_eq!(peer.send(b"0\r\n\r\n").await.status, 202);
            }
        }
    })
}

#[tokio::test]
async fn chunks_arrive_while_the_function_runs() {
    let gate = Arc::new(Semaphore::new(0));
    let world = World::new(two_chunks(&gate));
    let function = Arc::new(world.function(1));
    for cold in [true, false] {
        let mut streaming = stream(&world, &function).await;
        assert_eq!(streaming.content_type.as_deref(), Some("text/x"));
        assert_eq!(streaming.chunks.recv().await.unwrap(), "one ");
        assert!(streaming.done.try_recv().is_err());
        gate.add_permits(1);
        let (body, outcome) = rest(streaming).await;
        assert_eq!((body.as_slice(), outcome.function_error, outcome.cold), (&b"two"[..], None, cold));
        assert!(outcome.payload.is_empty() && outcome.log_tail_base64.is_some());
    }
    assert_eq!((world.launched(), world.killed()), (1, 0));
}

#[tokio::test]
async fn an_environment_is_given_back_when_its_runtime_asks_for_more() {
    let asks = Arc::new(Notify::new());
    let gate = Arc::clone(&asks);
    let world = World::new(script(move |mut peer| {
        let asks = Arc::clone(&gate);
        async move {
            loop {
                begin(&mut peer).await;
                assert_eq!(peer.send(b"0\r\n\r\n").await.status, 202);
                asks.notified().await;
            }
        }
    }));
    let function = Arc::new(world.function(1));
    let mut streaming = stream(&world, &function).await;
    assert_eq!(streaming.chunks.recv().await, None);
    // The answer is whole and the function still at work: another one runs elsewhere.
    assert!(streaming.done.try_recv().is_err());
    let other = stream(&world, &function).await;
    assert_eq!(world.launched(), 2);
    asks.notify_one();
    asks.notify_one();
    assert_eq!(rest(streaming).await.1.function_error, None);
    asks.notify_one();
    rest(other).await;
}

#[tokio::test]
async fn whole_answers_and_early_failures_are_streams_too() {
    let world = World::new(script(|mut peer| async move {
        let event = peer.next().await;
        peer.respond(&event.id, b"whole").await;
        let event = peer.next().await;
        peer.post(&format!("invocation/{}/error", event.id), "", b"{\"errorType\":\"Early\"}").await;
        peer.next().await;
        exit_code(1)
    }));
    let function = Arc::new(world.function(1));
    let (body, outcome) = rest(stream(&world, &function).await).await;
    assert_eq!((body.as_slice(), outcome.function_error), (&b"whole"[..], None));
    let (body, outcome) = rest(stream(&world, &function).await).await;
    assert_eq!((body.len(), error_type(&outcome).as_str()), (0, "Early"));
    let (body, outcome) = rest(stream(&world, &function).await).await;
    assert_eq!((body.len(), error_type(&outcome).as_str()), (0, "Runtime.ExitError"));
}

#[tokio::test]
async fn what_ends_a_stream_too_early_is_told_at_its_end() {
    for (ending, expected) in
        [("exit", "Runtime.ExitError"), ("cut", "Runtime.TruncatedResponse"), ("hang", "Sandbox.Timedout")]
    {
        let arrived = Arc::new(Notify::new());
        let may_end = Arc::clone(&arrived);
        let world = World::new(script(move |mut peer| {
            let may_end = Arc::clone(&may_end);
            async move {
                loop {
                    begin(&mut peer).await;
                    chunk(&mut peer, "one").await;
                    may_end.notified().await;
                    match ending {
                        "exit" => return exit_code(3),
                        "cut" => peer.disconnect(),
                        _ => std::future::pending().await,
                    }
                }
            }
        }));
        let function = Arc::new(FunctionConfig { timeout_s: 1, ..world.function(1) });
        let mut streaming = stream(&world, &function).await;
        assert_eq!(streaming.chunks.recv().await.unwrap(), "one");
        arrived.notify_one();
        let (body, outcome) = rest(streaming).await;
        assert_eq!((body.len(), error_type(&outcome).as_str()), (0, expected));
        let records = world.fleet.meter().since(0, 100);
        let kind = if ending == "hang" { ErrorKind::Timeout } else { ErrorKind::Runtime };
        assert_eq!(records.iter().map(|record| record.ended.error).collect::<Vec<_>>(), [Some(kind)]);
    }
}

/// Writes until it may not: much more than there is room for.
fn endless() -> Script {
    script(|mut peer| async move {
        begin(&mut peer).await;
        let text = "x".repeat(64 * 1024);
        loop {
            chunk(&mut peer, &text).await;
        }
    })
}

#[tokio::test]
async fn a_caller_who_does_not_read_cannot_hold_an_environment_beyond_its_time() {
    let world = World::new(endless());
    let function = Arc::new(FunctionConfig { timeout_s: 1, ..world.function(1) });
    let streaming = stream(&world, &function).await;
    while world.killed() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (body, outcome) = rest(streaming).await;
    assert!(!body.is_empty() && body.len() <= 2 << 20, "{}", body.len());
    assert_eq!(error_type(&outcome), "Sandbox.Timedout");
    assert!(format!("{:?}", world.fleet).contains("environments: 0"));
}

#[tokio::test]
async fn a_process_that_ends_does_not_wait_for_a_slow_caller() {
    let world = World::new(script(|mut peer| async move {
        begin(&mut peer).await;
        let text = "x".repeat(64 * 1024);
        let writing = async {
            loop {
                chunk(&mut peer, &text).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(200), writing).await;
        exit_code(1)
    }));
    let function = Arc::new(FunctionConfig { timeout_s: 600, ..world.function(1) });
    let streaming = stream(&world, &function).await;
    let outcome = streaming.done.await.unwrap();
    assert_eq!(error_type(&outcome), "Runtime.ExitError");
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_stop_the_function() {
    let gate = Arc::new(Semaphore::new(0));
    let world = World::new(two_chunks(&gate));
    let function = Arc::new(world.function(1));
    let mut streaming = stream(&world, &function).await;
    assert_eq!(streaming.chunks.recv().await.unwrap(), "one ");
    drop(streaming);
    gate.add_permits(1);
    let gone = Arc::clone(&function);
    while world.fleet.meter().since(0, 100).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.fleet.meter().since(0, 100)[0].ended.error, None);
    // One whose caller left before the answer began.
    let running = tokio::spawn({
        let (fleet, function) = (world.fleet.clone(), gone);
        async move { fleet.invoke_streaming(function, invocation("{}")).await.map(|_| ()) }
    });
    running.abort();
    gate.add_permits(2);
    let (body, outcome) = rest(stream(&world, &function).await).await;
    assert_eq!((body.as_slice(), outcome.function_error), (&b"one two"[..], None));
}

#[tokio::test]
async fn a_plain_invoke_gets_a_stream_as_a_whole() {
    let gate = Arc::new(Semaphore::new(10));
    let world = World::new(two_chunks(&gate));
    let function = Arc::new(world.function(1));
    let outcome = world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap();
    assert_eq!((outcome.payload, outcome.function_error), (Bytes::from_static(b"one two"), None));

    let world = World::new(endless());
    let function = Arc::new(FunctionConfig { timeout_s: 2, ..world.function(1) });
    let outcome = world.fleet.invoke(function, invocation("{}")).await.unwrap();
    assert_eq!(error_type(&outcome), "Sandbox.Timedout");
}

#[tokio::test]
async fn nothing_is_run_beyond_the_limits() {
    let world = World::new(endless());
    world.fleet.shutdown().await;
    assert!(world.fleet.invoke_streaming(Arc::new(world.function(1)), invocation("{}")).await.is_err());
}
