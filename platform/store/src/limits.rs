//! The limits of the interface. They are the same for every engine, so that a service never learns which one it has.

use std::time::Duration;

/// Longest key, in bytes. Hash what may be longer.
pub const KEY_BYTES: usize = 1536;
/// Longest value, in bytes. Keep larger ones in the blob store.
pub const VALUE_BYTES: usize = 64 * 1024;
/// The most a transaction may write: keys and values together, in bytes. Twice the largest message of the services, so that
/// such a message is one transaction.
pub const TRANSACTION_BYTES: usize = 2 * 1024 * 1024;
/// The longest a transaction's closure may run.
pub const TRANSACTION_TIME: Duration = Duration::from_secs(5);

/// Transactions that may wait for the committer; a caller beyond that waits for room.
pub(crate) const QUEUE_LENGTH: usize = 1024;
/// Transactions that share one sync.
pub(crate) const BATCH_JOBS: usize = 1024;
/// Bytes that share one sync; a batch that reaches it takes no further transaction.
pub(crate) const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long closures are gathered for one sync.
pub(crate) const BATCH_TIME: Duration = Duration::from_millis(10);
/// How long a batch waits for what somebody gathers.
pub(crate) const GATHER_TIME: Duration = Duration::from_millis(50);
/// How often it looks meanwhile.
pub(crate) const GATHER_STEP: Duration = Duration::from_micros(20);
