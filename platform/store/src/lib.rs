//! One ordered, transactional key-value space, and a store for blobs beside it.
//!
//! Every service is a layer on it: keys are typed tuples ([`Key`]), values have a schema version ([`value`]), and all
//! changes go through [`Store::transact`]. What a transaction reported as done is on disk.
//!
//! It is not a database server: one process opens a data directory, and knows nothing of services, accounts or
//! protocols. Blobs are not part of a transaction: put the blob first, then commit the key that names it.
//!
//! # Transactions
//! A closure gets a [`Tx`] and returns a value. Transactions are serialisable: the outcome is as if they had run one
//! after another, and each sees what all before it wrote. The closure may run again, so it must have no effect but
//! through its `Tx`; it must not wait for anything (all transactions share a thread), and must not call the [`Store`].
//! When it returns an error or panics, nothing of it is kept. When the future of a transaction is dropped, the
//! transaction may still be committed.
//!
//! Limits, the same for every engine, are in [`limits`].

mod blob;
pub mod claim;
mod committer;
mod engine;
mod error;
mod export;
pub mod key;
pub mod limits;
mod lock;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tx;
pub mod value;
mod watch;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;

pub use crate::blob::{BlobId, BlobStore, BlobWriter, Sweep};
pub use crate::claim::Claim;
pub use crate::committer::Gather;
pub use crate::error::{EngineError, StoreError, TxError};
pub use crate::export::ExportSummary;
pub use crate::key::{Key, KeyBuilder, KeyError, KeyReader};
pub use crate::tx::{Range, Tx, counter};
pub use crate::value::ValueError;
pub use crate::watch::Watch;

use crate::committer::{Committer, Job, Reply, Start};
use crate::engine::{Engine, View, cached::Cached, fjall::Fjall, memory::Memory, sqlite::Sqlite};
use crate::lock::{DirLock, Place};
use crate::tx::{Overlay, STAMP_KEY, TxState};
use crate::watch::Watches;

/// Which engine keeps the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// fjall: the default.
    #[default]
    Fjall,
    /// SQLite in WAL mode.
    Sqlite,
    /// Nothing is kept: for tests.
    Memory,
}

impl EngineKind {
    /// The engine's name, as in `--store`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Fjall => "fjall",
            EngineKind::Sqlite => "sqlite",
            EngineKind::Memory => "memory",
        }
    }
}

impl std::str::FromStr for EngineKind {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let all = [EngineKind::Fjall, EngineKind::Sqlite, EngineKind::Memory];
        let found = all.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("there is no store engine {name}: choose fjall, sqlite or memory"))
    }
}

/// Where a store is, and what keeps it.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The engine.
    pub engine: EngineKind,
    /// The data directory; made if it is not there. The memory engine does not use it.
    pub dir: PathBuf,
}

/// A store. Cheap to clone; all clones are the same store. It is closed when the last clone and the last
/// [`Snapshot`] are gone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    // The committer goes first: it finishes what is queued.
    committer: Committer,
    engine: Arc<dyn Engine>,
    watches: Arc<Watches>,
}

/// An engine, and the directory that it has for itself as long as anybody uses the engine.
struct Opened<E> {
    engine: E,
    _lock: DirLock,
}

impl<E: Engine> Engine for Opened<E> {
    fn view(&self) -> Result<Arc<dyn View>, EngineError> {
        self.engine.view()
    }
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(key)
    }
    fn commit(&self, writes: &engine::Writes) -> Result<(), EngineError> {
        self.engine.commit(writes)
    }
}

impl Store {
    /// Opens a store, and makes it if it is not there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another server has the directory, [`StoreError::Unreadable`] when it cannot be
    /// used, [`StoreError::NewerFormat`] and [`StoreError::OtherEngine`] when it is not ours to open,
    /// [`StoreError::Engine`] when the engine cannot make sense of its data.
    pub fn open(config: StoreConfig) -> Result<Store, StoreError> {
        Self::open_with(&config, limits::TRANSACTION_TIME)
    }

    /// A store in memory, for tests.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn in_memory() -> Result<Store, StoreError> {
        Self::open(StoreConfig { engine: EngineKind::Memory, dir: PathBuf::new() })
    }

    fn open_with(config: &StoreConfig, time_limit: Duration) -> Result<Store, StoreError> {
        Self::start(open_engine(config)?, time_limit)
    }

    fn start(engine: Arc<dyn Engine>, time_limit: Duration) -> Result<Store, StoreError> {
        let watches = Arc::<Watches>::default();
        export::clear_broken_import(&*engine)?;
        let overlay = first_overlay(&*engine)?;
        let start = Start { engine: Arc::clone(&engine), watches: Arc::clone(&watches), overlay, time_limit };
        let committer =
            Committer::start(start).map_err(|cause| StoreError::Engine(EngineError::new(cause)))?;
        Ok(Store { inner: Arc::new(Inner { committer, engine, watches }) })
    }

    /// Runs a transaction, and returns what its closure returned once that is on disk.
    ///
    /// # Errors
    /// [`StoreError::Tx`] with the closure's error, [`StoreError::Panicked`], [`StoreError::Poisoned`] when a commit
    /// failed: then the transaction may or may not be there after the next start.
    pub async fn transact<T, F>(&self, mut work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, TxError> + Send + 'static,
    {
        let (job, answer) = committer::job(move |tx: &mut TxState<'_>| work(tx).map(Ok::<T, Infallible>));
        flat(self.run(job, answer).await?)
    }

    /// As [`Store::transact`], for a closure with an error of its own: `Ok(Err(error))` rolls the transaction back and
    /// is handed to the caller. Typical use: `store.transact_with(..).await??`.
    ///
    /// # Errors
    /// As [`Store::transact`].
    pub async fn transact_with<T, E, F>(&self, mut work: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<Result<T, E>, TxError> + Send + 'static,
    {
        let (job, answer) = committer::job(move |tx: &mut TxState<'_>| work(tx));
        self.run(job, answer).await
    }

    /// As [`Store::transact`], for threads that are not part of an async runtime.
    ///
    /// # Errors
    /// As [`Store::transact`].
    ///
    /// # Panics
    /// When called from async code.
    pub fn transact_blocking<T, F>(&self, mut work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, TxError> + Send + 'static,
    {
        self.run_raw(move |tx| work(tx))
    }

    /// Runs a closure of the store's own, which may write reserved keys.
    fn run_raw<T, F>(&self, mut work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut TxState<'_>) -> Result<T, TxError> + Send + 'static,
    {
        let (job, answer) = committer::job(move |tx: &mut TxState<'_>| work(tx).map(Ok::<T, Infallible>));
        self.inner.committer.send_blocking(job)?;
        flat(answer.blocking_recv().map_err(|_| StoreError::Closed)??)
    }

    async fn run<T, E>(&self, job: Box<dyn Job>, answer: Reply<T, E>) -> Result<Result<T, E>, StoreError> {
        self.inner.committer.send(job).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Makes one durable commit of what is sent while the answer is there, or not much more than one: the committer
    /// waits for further transactions, for a bounded time, before it syncs. Hold it while sending, drop it before waiting
    /// for outcomes. Everybody's transactions wait along, so hold it for microseconds.
    pub fn gather(&self) -> Gather {
        self.inner.committer.gather()
    }

    /// Waits, for a bounded time, until nobody gathers: for those who put together transactions of many callers.
    pub async fn gathered(&self) {
        self.inner.committer.gathered().await;
    }

    /// The newest committed value of a key. Synchronous: a cached read takes microseconds.
    ///
    /// # Errors
    /// When the key breaks a limit, or the engine cannot read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        tx::check_read_key(key)?;
        Ok(self.inner.engine.get(key)?)
    }

    /// The newest committed entries of a range. For several reads of one moment, take a [`Store::snapshot`].
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn range(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.snapshot()?.range(range)
    }

    /// All committed data as it is now. Hold it for a short time: it keeps old data on disk.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot { view: self.inner.engine.view()?, _engine: Arc::clone(&self.inner.engine) })
    }

    /// Watches the keys that begin with the bytes `prefix`.
    #[must_use]
    pub fn watch(&self, prefix: impl Into<Vec<u8>>) -> Watch {
        self.inner.watches.watch(prefix.into())
    }

    /// [`Tx::claim`] as a transaction of its own.
    ///
    /// # Errors
    /// As [`Store::transact`].
    pub async fn claim(
        &self,
        range: Range,
        limit: usize,
        owner: impl Into<String>,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Claim>, StoreError> {
        let owner = owner.into();
        self.transact(move |tx| tx.claim(&range, limit, &owner, lease_until, now)).await
    }

    /// [`Tx::extend_claim`] as a transaction of its own.
    ///
    /// # Errors
    /// [`TxError::ClaimLost`], and as [`Store::transact`].
    pub async fn extend(&self, claim: Claim, lease_until: Timestamp) -> Result<(), StoreError> {
        self.transact(move |tx| tx.extend_claim(&claim, lease_until)).await
    }

    /// [`Tx::release_claim`] as a transaction of its own.
    ///
    /// # Errors
    /// [`TxError::ClaimLost`], and as [`Store::transact`].
    pub async fn release(&self, claim: Claim) -> Result<(), StoreError> {
        self.transact(move |tx| tx.release_claim(&claim)).await
    }

    /// [`Tx::acknowledge_claim`] as a transaction of its own.
    ///
    /// # Errors
    /// [`TxError::ClaimLost`], and as [`Store::transact`].
    pub async fn acknowledge(&self, claim: Claim) -> Result<(), StoreError> {
        self.transact(move |tx| tx.acknowledge_claim(&claim)).await
    }

    /// Removes any number of keys, in as many transactions as that takes: others may see a part of it done. Says how
    /// many there were.
    ///
    /// # Errors
    /// As [`Store::transact`].
    pub async fn clear_in_steps(&self, from: Vec<u8>, to: Vec<u8>) -> Result<u64, StoreError> {
        // Worst case: every key, and a claim on it, has the greatest length.
        const STEP: usize = limits::TRANSACTION_BYTES / (2 * limits::KEY_BYTES + 2);
        let mut cleared = 0;
        loop {
            let range = Range::between(from.clone(), to.clone()).limit(STEP);
            let step = self.transact(move |tx| {
                let keys = tx.range(range.clone())?;
                keys.iter().try_for_each(|(key, _)| tx.delete(key))?;
                Ok(keys.len())
            });
            let count = step.await?;
            cleared += count as u64;
            if count < STEP {
                return Ok(cleared);
            }
        }
    }
}

fn flat<T>(result: Result<T, Infallible>) -> Result<T, StoreError> {
    match result {
        Ok(value) => Ok(value),
        Err(never) => match never {},
    }
}

fn open_engine(config: &StoreConfig) -> Result<Arc<dyn Engine>, StoreError> {
    if config.engine == EngineKind::Memory {
        return Ok(Arc::new(Memory::default()));
    }
    let dir = &config.dir;
    let lock = DirLock::take(dir)?;
    let names = ["entries.fjall", "entries.sqlite", "entries.sqlite-wal", "entries.sqlite-shm"];
    let place = lock::prepare(dir, config.engine.name(), &names.map(|name| dir.join(name)))?;
    let engine: Arc<dyn Engine> = match config.engine {
        EngineKind::Sqlite => {
            let engine = Cached::new(Sqlite::open(&dir.join("entries.sqlite"))?);
            Arc::new(Opened { engine, _lock: lock })
        }
        _ => {
            let engine = Cached::new(Fjall::open(&dir.join("entries.fjall"))?);
            Arc::new(Opened { engine, _lock: lock })
        }
    };
    if place == Place::New {
        lock::finish(dir)?;
    }
    Ok(engine)
}

/// What the committer must know of the data before its first transaction.
fn first_overlay(engine: &dyn Engine) -> Result<Overlay, StoreError> {
    let mut overlay = Overlay::default();
    if let Some(stamp) = engine.get(STAMP_KEY)? {
        overlay.stamp = tx::counter(&stamp)?.cast_unsigned();
    }
    let (from, to) = claim::LOCKS;
    engine.view()?.scan(from, to, false, &mut |_, _| {
        overlay.claims = true;
        std::ops::ControlFlow::Break(())
    })?;
    Ok(overlay)
}

/// All data as it was at one moment.
pub struct Snapshot {
    // The view goes before the engine that it reads from.
    view: Arc<dyn View>,
    _engine: Arc<dyn Engine>,
}

impl Snapshot {
    /// The value of a key.
    ///
    /// # Errors
    /// When the key breaks a limit, or the engine cannot read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        tx::check_read_key(key)?;
        Ok(self.view.get(key)?)
    }

    /// The entries of a range.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn range(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Ok(tx::range_of_view(&*self.view, &range)?)
    }
}
