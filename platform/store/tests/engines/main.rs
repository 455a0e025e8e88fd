//! One suite for every engine: what the store promises, whichever engine keeps the data.
#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test a panic is the report

mod claims;
mod exports;
mod opening;
mod ranges;
mod transactions;
mod watches;

use std::path::{Path, PathBuf};

use lamplighter_store::{EngineKind, Store, StoreConfig, StoreError, TxError};

/// An engine under test, and a directory for it.
pub(crate) struct Lab {
    pub(crate) kind: EngineKind,
    dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new(kind: EngineKind) -> Self {
        Lab { kind, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self, dir: PathBuf) -> StoreConfig {
        StoreConfig { engine: self.kind, dir }
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.config(self.path().join("data"))).unwrap()
    }

    /// Whether the data outlives the store.
    pub(crate) fn keeps(&self) -> bool {
        self.kind != EngineKind::Memory
    }

    pub(crate) fn run<F: Future<Output = ()>>(kind: EngineKind, test: fn(Lab) -> F) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test(Lab::new(kind)));
    }
}

/// Makes a test for each engine out of each named function.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod fjall { $(#[test] fn $test() { crate::Lab::run(lamplighter_store::EngineKind::Fjall, super::$test); })* }
        mod sqlite { $(#[test] fn $test() { crate::Lab::run(lamplighter_store::EngineKind::Sqlite, super::$test); })* }
        mod memory { $(#[test] fn $test() { crate::Lab::run(lamplighter_store::EngineKind::Memory, super::$test); })* }
    };
}
pub(crate) use suite;

pub(crate) async fn put(store: &Store, key: &str, value: &str) {
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    store.transact(move |tx| tx.put(key.clone(), value.clone())).await.unwrap();
}

pub(crate) fn get(store: &Store, key: &str) -> Option<String> {
    store.get(key.as_bytes()).unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// The error of a transaction's closure.
pub(crate) fn tx_error<T: std::fmt::Debug>(result: Result<T, StoreError>) -> TxError {
    match result {
        Err(StoreError::Tx(error)) => error,
        other => panic!("no transaction error: {other:?}"),
    }
}

/// A small deterministic generator; the seed is printed and can be given as `STORE_TEST_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn printed(name: &str) -> Self {
        use std::hash::{BuildHasher, RandomState};
        let given = std::env::var("STORE_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(name));
        eprintln!("{name}: STORE_TEST_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
