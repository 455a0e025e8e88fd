//! What the store asks of an engine: a consistent view, and a durable, atomic commit.
//!
//! An engine knows no transactions, limits, claims or watches: [`crate::committer`] runs closures over a view and an
//! overlay, and hands the engine finished batches. Only the committer's thread commits, so an engine need not deal
//! with two commits at once. One suite of tests (`tests/engines.rs`) runs against every engine.

pub(crate) mod cached;
pub(crate) mod fjall;
pub(crate) mod memory;
pub(crate) mod sqlite;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::EngineError;

/// What one batch writes: a value, or none where the key goes.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Takes key and value of each entry of a scan.
pub(crate) type Visitor<'a> = &'a mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>;

pub(crate) trait Engine: Send + Sync {
    /// The newest committed state, unmoved by later commits.
    fn view(&self) -> Result<Arc<dyn View>, EngineError>;

    /// The newest committed value of one key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Writes all or nothing. It is on disk when this returns; after an error nobody knows, and the store must not
    /// commit again.
    fn commit(&self, writes: &Writes) -> Result<(), EngineError>;
}

pub(crate) trait View: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Visits the keys from `from` up to, without, `to`, upwards or downwards. `from < to` holds. Visitors do no I/O.
    fn scan(&self, from: &[u8], to: &[u8], reverse: bool, visit: Visitor<'_>) -> Result<(), EngineError>;
}
