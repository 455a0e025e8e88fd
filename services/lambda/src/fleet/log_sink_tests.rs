//! The log queue: order, batches, dropping, retries.

use std::sync::Arc;

use base::{AccountId, ApiError, Clock, Region, Timestamp};

use super::super::fake::MemoryLogs;
use super::*;

fn name(stream: &str) -> StreamName {
    StreamName {
        account: AccountId::DEFAULT,
        region: Region::default(),
        group: "/aws/lambda/hello".to_owned(),
        stream: stream.to_owned(),
    }
}

fn event(timestamp_ms: i64, message: impl Into<String>) -> LogEvent {
    LogEvent::new(timestamp_ms, message.into())
}

fn sink(logs: &Arc<MemoryLogs>, max_bytes: usize) -> LogSink {
    LogSink::with_store(logs.clone(), Clock::frozen(Timestamp(1_000)), max_bytes)
}

#[tokio::test]
async fn each_stream_keeps_its_order() {
    let logs = Arc::new(MemoryLogs::default());
    let sink = sink(&logs, QUEUE_BYTES);
    let (one, two) = (sink.stream(name("one")), sink.stream(name("two")));
    for n in 0..100 {
        one.push(&mut vec![event(n, format!("1-{n};"))]);
        two.push(&mut vec![event(n, format!("2-{n};")), event(n, "again;")]);
        if n % 10 == 0 {
            sink.flush().await;
        }
    }
    sink.flush().await;
    let expected: String = (0..100).map(|n| format!("1-{n};")).collect();
    let streams = logs.streams.lock().unwrap();
    assert_eq!(streams["one"].iter().map(|event| event.message.as_str()).collect::<String>(), expected);
    assert_eq!(streams["two"].len(), 200);
    assert_eq!(logs.created.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn batches_keep_to_aws_s_limits() {
    let many = (0..MAX_BATCH_EVENTS as i64 + 5).map(|n| event(n, "x")).collect();
    assert_eq!(batches(many).iter().map(Vec::len).collect::<Vec<_>>(), [MAX_BATCH_EVENTS, 5]);
    let large = (0..5).map(|n| event(n, "x".repeat(256 * 1024))).collect();
    assert_eq!(batches(large).iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    let long = vec![event(0, "a"), event(MAX_BATCH_SPAN_MS - 1, "b"), event(MAX_BATCH_SPAN_MS, "c")];
    assert_eq!(batches(long).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_change_the_order() {
    let logs = Arc::new(MemoryLogs::default());
    let sink = sink(&logs, QUEUE_BYTES);
    sink.stream(name("one")).push(&mut vec![event(1, "a"), event(10, "b"), event(5, "c")]);
    sink.flush().await;
    assert_eq!(logs.streams.lock().unwrap()["one"], [event(1, "a"), event(10, "b"), event(10, "c")]);
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_says_how_many() {
    let logs = Arc::new(MemoryLogs { gate: Some(tokio::sync::Semaphore::new(0)), ..MemoryLogs::default() });
    let sink = sink(&logs, 10 * (10 + EVENT_OVERHEAD_BYTES));
    let stream = sink.stream(name("one"));
    stream.push(&mut (0..25).map(|n| event(n, format!("event {n:04}"))).collect());
    logs.gate.as_ref().unwrap().add_permits(10);
    sink.flush().await;
    let streams = logs.streams.lock().unwrap();
    let messages: Vec<_> = streams["one"].iter().map(|event| event.message.as_str()).collect();
    assert_eq!(
        messages[0],
        "[lamplighter] 15 log events were dropped here: they came faster than the log store took them\n"
    );
    assert_eq!((messages.len(), messages[1], messages[10]), (11, "event 0015", "event 0024"));
    assert!(streams["one"][0].timestamp_ms <= streams["one"][1].timestamp_ms);
}

#[tokio::test]
async fn a_deleted_stream_comes_back_and_a_hopeless_batch_is_given_up() {
    let gone = ApiError::new("ResourceNotFoundException", "The specified log stream does not exist.");
    let logs = Arc::new(MemoryLogs::default());
    logs.failures.lock().unwrap().push(gone);
    let sink = sink(&logs, QUEUE_BYTES);
    let stream = sink.stream(name("one"));
    stream.push(&mut vec![event(1, "kept")]);
    sink.flush().await;
    assert_eq!((logs.text().as_str(), logs.created.lock().unwrap().len()), ("kept", 2));

    logs.failures.lock().unwrap().push(ApiError::new("InvalidParameterException", "no"));
    stream.push(&mut vec![event(2, "lost")]);
    sink.flush().await;
    stream.push(&mut vec![event(3, ", kept too")]);
    sink.flush().await;
    assert_eq!(logs.text(), "kept, kept too");
}

#[tokio::test]
async fn a_stream_that_floods_costs_the_others_nothing() {
    let logs = Arc::new(MemoryLogs::default());
    let sink = sink(&logs, 100 * (10 + EVENT_OVERHEAD_BYTES));
    let (quiet, loud) = (sink.stream(name("quiet")), sink.stream(name("loud")));
    quiet.push(&mut vec![event(1, "the oldest")]);
    loud.push(&mut (0..1000).map(|n| event(n, format!("event {n:04}"))).collect());
    sink.flush().await;
    let streams = logs.streams.lock().unwrap();
    assert_eq!(streams["quiet"].len(), 1);
    assert_eq!(streams["quiet"][0].message, "the oldest");
    assert_eq!(streams["loud"].len(), 1 + 99);
    assert!(streams["loud"][0].message.starts_with("[lamplighter] 901 log events were dropped"));
}
