//! One suite for every engine: what the store promises, whichever engine keeps the data.

use std::path::Path;

use lamplighter_store::{EngineKind, Range, Store, StoreConfig};

fn open(kind: EngineKind, dir: &Path) -> Store {
    Store::open(StoreConfig { engine: kind, dir: dir.to_owned() }).unwrap()
}

/// One test per engine for each named function.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod fjall { $(#[test] fn $test() { super::with(super::EngineKind::Fjall, super::$test); })* }
        mod sqlite { $(#[test] fn $test() { super::with(super::EngineKind::Sqlite, super::$test); })* }
        mod memory { $(#[test] fn $test() { super::with(super::EngineKind::Memory, super::$test); })* }
    };
}

fn with<F: Future<Output = ()>>(kind: EngineKind, test: fn(EngineKind, Store) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(kind, open(kind, dir.path())));
}

suite! {
    entries_are_ordered,
}

async fn entries_are_ordered(_: EngineKind, store: Store) {
    let keys = ["a", "b", "b\0", "ba", "c"];
    store
        .transact(move |tx| {
            keys.iter().rev().try_for_each(|key| tx.put(key.as_bytes().to_vec(), key.as_bytes().to_vec()))
        })
        .await
        .unwrap();
    let up = store.range(Range::between("a", "")).unwrap();
    assert_eq!(up.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), keys.map(str::as_bytes));
}
