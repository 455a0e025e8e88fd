//! What can only be tested from inside: an engine that fails, stalls and counts.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use crate::engine::memory::Memory;
use crate::engine::{Engine, View, Writes};
use crate::{EngineError, Range, Store, StoreError, TxError, export, limits, tx};

/// The memory engine with a tap: commits can be counted, held up and made to fail.
#[derive(Default)]
struct Tapped {
    memory: Memory,
    commits: AtomicUsize,
    fails: AtomicBool,
    panics: AtomicBool,
    /// Told when a commit begins, and waited for until it may go on.
    gate: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
}

impl Engine for Tapped {
    fn view(&self) -> Result<Arc<dyn View>, EngineError> {
        self.memory.view()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.memory.get(key)
    }

    fn commit(&self, writes: &Writes) -> Result<(), EngineError> {
        if let Some((begun, go_on)) = self.gate.lock().unwrap().take() {
            begun.send(()).unwrap();
            go_on.recv().unwrap();
        }
        assert!(!self.panics.load(Ordering::SeqCst), "engine on fire");
        if self.fails.load(Ordering::SeqCst) {
            return Err(EngineError::new("no space left on device"));
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.memory.commit(writes)
    }
}

fn store(engine: &Arc<Tapped>) -> Store {
    Store::start(Arc::clone(engine) as Arc<dyn Engine>, limits::TRANSACTION_TIME).unwrap()
}

async fn put(store: Store, key: u32) -> Result<(), StoreError> {
    store.transact(move |tx| tx.put(key.to_be_bytes().to_vec(), vec![1])).await
}

/// Holds up the next commit: (it has begun, let it go on).
fn hold(engine: &Tapped) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begun, wait_begun) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    *engine.gate.lock().unwrap() = Some((begun, go_on));
    (wait_begun, let_go)
}

/// Polls once.
fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn what_waits_during_a_sync_shares_the_next_one() {
    let engine = Arc::<Tapped>::default();
    let store = store(&engine);
    let (begun, let_go) = hold(&engine);
    let mut waiting: Vec<_> = (0..100).map(|key| Box::pin(put(store.clone(), key))).collect();
    assert!(poll(waiting[0].as_mut()).is_pending());
    begun.recv().unwrap();
    for transaction in &mut waiting[1..] {
        assert!(poll(transaction.as_mut()).is_pending());
    }
    // Nothing that is not committed is answered or seen.
    assert!(poll(waiting[0].as_mut()).is_pending());
    assert_eq!(store.range(Range::between([0], [])).unwrap(), []);
    let_go.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for transaction in waiting {
        runtime.block_on(transaction).unwrap();
    }
    assert_eq!(engine.commits.load(Ordering::SeqCst), 2);
}

#[test]
fn a_full_queue_makes_callers_wait() {
    let engine = Arc::<Tapped>::default();
    let store = store(&engine);
    let (begun, let_go) = hold(&engine);
    let extra = 3;
    let count = u32::try_from(limits::QUEUE_LENGTH).unwrap() + 1 + extra;
    let mut waiting: Vec<_> = (0..count).map(|key| Box::pin(put(store.clone(), key))).collect();
    assert!(poll(waiting[0].as_mut()).is_pending());
    begun.recv().unwrap();
    for transaction in &mut waiting[1..] {
        assert!(poll(transaction.as_mut()).is_pending());
    }
    assert_eq!(store.inner.committer.room(), 0);
    // Given up before there was room: never run.
    waiting.truncate(waiting.len() - 1);
    let_go.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for transaction in waiting {
        runtime.block_on(transaction).unwrap();
    }
    assert_eq!(store.range(Range::between([0], [])).unwrap().len(), count as usize - 1);
}

#[test]
fn a_failed_commit_makes_the_store_read_only() {
    for panics in [false, true] {
        let engine = Arc::<Tapped>::default();
        let store = store(&engine);
        store.transact_blocking(|tx| tx.put(b"a".to_vec(), b"1".to_vec())).unwrap();
        engine.fails.store(true, Ordering::SeqCst);
        engine.panics.store(panics, Ordering::SeqCst);
        let poisoned = |result: Result<(), StoreError>| match result {
            Err(StoreError::Poisoned { cause }) => cause,
            other => panic!("{other:?}"),
        };
        let cause = poisoned(store.transact_blocking(|tx| tx.put(b"a".to_vec(), b"2".to_vec())));
        assert_eq!(&*cause, if panics { "engine on fire" } else { "no space left on device" });
        // It stays so, even if the engine were well again: what is on disk is not known.
        engine.fails.store(false, Ordering::SeqCst);
        engine.panics.store(false, Ordering::SeqCst);
        poisoned(store.transact_blocking(|tx| tx.put(b"b".to_vec(), vec![])));
        poisoned(store.transact_blocking(|_| Ok(())));
        assert_eq!(store.get(b"a").unwrap().unwrap(), "1");
        assert_eq!(store.range(Range::between("a", "")).unwrap().len(), 1);
    }
}

#[test]
fn a_slow_transaction_fails_alone() {
    let engine = Arc::<Tapped>::default();
    let store = Store::start(engine, Duration::ZERO).unwrap();
    let late = |result: Result<(), StoreError>| match result {
        Err(StoreError::Tx(error @ TxError::TooSlow { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        late(store.transact_blocking(|tx| tx.put(b"a".to_vec(), vec![]))),
        "the transaction ran for 0 ms, its time limit"
    );
    // Also when the closure does not look.
    late(store.transact_blocking(|tx| {
        let _ = tx.put(b"a".to_vec(), vec![]);
        Ok(())
    }));
    assert_eq!(store.get(b"a").unwrap(), None);
}

#[test]
fn an_import_that_was_cut_off_is_thrown_away_at_the_next_start() {
    let engine = Arc::<Tapped>::default();
    let mut entries: Writes =
        (0..2_000_u32).map(|n| (n.to_be_bytes().to_vec(), Some(Bytes::from("x")))).collect();
    entries.insert(export::IMPORT_KEY.to_vec(), Some(Bytes::new()));
    entries.insert(tx::STAMP_KEY.to_vec(), Some(Bytes::copy_from_slice(&7_u64.to_be_bytes())));
    engine.commit(&entries).unwrap();
    let store = store(&engine);
    assert_eq!(store.range(Range::between([0], [])).unwrap(), []);
    let mut out = Vec::new();
    assert_eq!(store.export(&mut out).unwrap().entries, 0);
    assert_eq!(engine.get(export::IMPORT_KEY).unwrap(), None);
}

#[tokio::test]
async fn what_is_gathered_is_one_commit() {
    let engine = Arc::new(Tapped::default());
    let store = Store::start(Arc::clone(&engine) as Arc<dyn Engine>, limits::TRANSACTION_TIME).unwrap();
    let gather = store.gather();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50_u8 {
        let store = store.clone();
        tasks.spawn(async move { store.transact(move |tx| tx.put(vec![b'k', number], vec![])).await });
        tokio::task::yield_now().await;
    }
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.gathered().await }
    });
    drop(gather);
    waiting.await.unwrap();
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(engine.commits.load(Ordering::SeqCst), 1);
}
