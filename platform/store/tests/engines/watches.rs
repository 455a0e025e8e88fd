//! Watches wake for what was committed below their prefix, miss nothing, and sleep otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lamplighter_store::{Key, Range, TxError};

use crate::{Lab, put, suite};

suite! {
    wakes_for_its_prefix_only,
    wakes_for_removals_and_not_for_failures,
    many_waiters_miss_nothing,
}

async fn wakes_for_its_prefix_only(lab: Lab) {
    let store = lab.open();
    let queue = Key::new("sqs").str("queue");
    let mut mine = store.watch(queue.clone());
    let mut also_mine = store.watch(&queue[..]);
    let all = store.watch([]);
    let other = store.watch(Key::new("sqs").str("queue2"));
    assert!(!mine.has_changed());
    put(&store, "elsewhere", "").await;
    assert!(all.has_changed());
    assert!(!mine.has_changed());
    store.transact(move |tx| tx.put(queue.clone().u64(1).build(), vec![])).await.unwrap();
    // Told before anybody waits: not missed.
    mine.changed().await;
    also_mine.changed().await;
    assert!(!mine.has_changed());
    assert!(!other.has_changed());
}

async fn wakes_for_removals_and_not_for_failures(lab: Lab) {
    let store = lab.open();
    put(&store, "q/1", "").await;
    let mut watch = store.watch("q/");
    let failed = store.transact(|tx| {
        tx.put(b"q/2".to_vec(), vec![])?;
        Err::<(), _>(TxError::abort(()))
    });
    failed.await.unwrap_err();
    assert!(!watch.has_changed());
    let waiter = tokio::spawn(async move { watch.changed().await });
    store.transact(|tx| tx.clear_range(b"q/", b"q0")).await.unwrap();
    waiter.await.unwrap();
}

/// Consumers that watch, read, and wait see every item in the end, however the two sides interleave.
async fn many_waiters_miss_nothing(lab: Lab) {
    const ITEMS: u64 = 200;
    let store = lab.open();
    let seen = Arc::new(AtomicU64::new(0));
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let (store, seen) = (store.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut watch = store.watch("item/");
                loop {
                    let count = store.range(Range::prefix(b"item/")).unwrap().len() as u64;
                    seen.fetch_max(count, Ordering::Relaxed);
                    if count == ITEMS {
                        return;
                    }
                    watch.changed().await;
                }
            })
        })
        .collect();
    for n in 0..ITEMS {
        put(&store, &format!("item/{n}"), "").await;
    }
    for consumer in consumers {
        consumer.await.unwrap();
    }
    assert_eq!(seen.load(Ordering::Relaxed), ITEMS);
}
