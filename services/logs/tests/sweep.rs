//! What expires or is deleted: hidden at once, cleared by the worker.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::{DAY, House, NOW, messages};
use serde_json::{Value, json};
use store::Key;
use tokio::sync::watch;

/// Chunks of all streams.
fn chunks(house: &House) -> usize {
    house.store.range(Key::new("logs").str("event").range()).unwrap().len()
}

/// Runs the worker until `is_done`; it is woken by what the test does, never by waiting.
async fn work_until(house: &House, is_done: impl Fn(&House) -> bool) {
    let (stop, stopped) = watch::channel(false);
    let worker = tokio::spawn(Arc::clone(&house.logs).run_worker(stopped));
    let mut changed = house.store.watch(Key::new("logs").build());
    while !is_done(house) {
        changed.changed().await;
    }
    stop.send(true).unwrap();
    worker.await.unwrap();
}

async fn filled() -> House {
    let house = House::new();
    house.group("g").await;
    for name in ["s", "t"] {
        house.stream("g", name).await;
        house.put("g", name, &[(NOW, "first"), (NOW + 5, "second"), (NOW + 60_000, "third")]).await;
    }
    let long = "x".repeat(300_000);
    house.put("g", "t", &[(NOW + 1, &long)]).await;
    house
}

async fn stored_bytes(house: &House) -> Value {
    house.done("DescribeLogGroups", json!({})).await["logGroups"][0]["storedBytes"].clone()
}

#[tokio::test]
async fn expired_events_are_hidden_at_once_and_cleared_later() {
    let house = filled().await;
    house.done("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 1})).await;
    let tail = json!({"logGroupName": "g", "logStreamName": "s"});
    house.clock.advance(DAY);
    assert_eq!(messages(&house.done("GetLogEvents", tail.clone()).await).len(), 3);
    house.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(messages(&house.done("GetLogEvents", tail.clone()).await), ["second", "third"]);
    house.clock.advance(std::time::Duration::from_secs(30));
    assert_eq!(messages(&house.done("GetLogEvents", tail.clone()).await), ["third"]);
    let all = house.done("FilterLogEvents", json!({"logGroupName": "g"})).await;
    assert_eq!(messages(&all), ["third", "third"]);

    work_until(&house, |house| chunks(house) == 2).await;
    assert_eq!(stored_bytes(&house).await, 2 * (5 + 26));
    let streams = house.done("DescribeLogStreams", json!({"logGroupName": "g"})).await;
    assert_eq!(streams["logStreams"][0]["firstEventTimestamp"], NOW + 60_000);
    assert_eq!(messages(&house.done("GetLogEvents", tail.clone()).await), ["third"]);

    house.clock.advance(DAY);
    work_until(&house, |house| chunks(house) == 0).await;
    assert_eq!(stored_bytes(&house).await, 0);
    // The stream goes on as before.
    house.put("g", "s", &[(NOW + 2 * 86_400_000, "new")]).await;
    assert_eq!(messages(&house.done("GetLogEvents", tail).await), ["new"]);
}

#[tokio::test]
async fn deleted_groups_and_streams_leave_nothing_behind() {
    let house = filled().await;
    house.group("keep").await;
    house.stream("keep", "s").await;
    house.put("keep", "s", &[(NOW, "kept")]).await;
    house.done("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "t"})).await;
    work_until(&house, |house| chunks(house) == 3).await;
    house.done("DeleteLogGroup", json!({"logGroupName": "g"})).await;
    // The counter of uids, and what belongs to the group that stays: its record, bytes, stream and chunk.
    work_until(&house, |house| house.keys() == 5).await;
    let kept = house.done("FilterLogEvents", json!({"logGroupName": "keep"})).await;
    assert_eq!(messages(&kept), ["kept"]);
}

#[tokio::test]
async fn the_worker_wakes_when_something_is_deleted() {
    let house = filled().await;
    let (stop, stopped) = watch::channel(false);
    let worker = tokio::spawn(Arc::clone(&house.logs).run_worker(stopped));
    let mut changed = house.store.watch(Key::new("logs").build());
    house.done("DeleteLogGroup", json!({"logGroupName": "g"})).await;
    while house.keys() > 1 {
        changed.changed().await;
    }
    drop(stop);
    worker.await.unwrap();
}
