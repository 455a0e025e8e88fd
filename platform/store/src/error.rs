//! The store's errors: what a closure can meet ([`TxError`]), what a caller can meet ([`StoreError`]).
//!
//! This layer knows no HTTP. [`StoreError`] turns into an [`base::ApiError`] at a service's edge as a fault of ours:
//! the cause goes to the log, the client learns only that it failed.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use crate::key::KeyError;
use crate::limits;
use crate::value::ValueError;

/// What an engine says when it cannot read or write. The text is the engine's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl EngineError {
    pub(crate) fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        EngineError(cause.into())
    }
}

/// Why a transaction's closure failed. Whatever it is, nothing of the transaction is kept.
#[derive(Debug, thiserror::Error)]
pub enum TxError {
    /// The closure gave up by itself, with a value for its caller.
    #[error("the transaction was given up by its own closure")]
    Abort(Box<dyn Any + Send + Sync>),
    /// A key is empty or too long.
    #[error("a key has {length} bytes; it must have 1 to {max}", max = limits::KEY_BYTES)]
    KeyLength {
        /// The key's length in bytes.
        length: usize,
    },
    /// A key begins with the byte 0xFF, which the store keeps for itself.
    #[error("a key begins with the byte 0xFF, which is reserved for the store itself")]
    ReservedKey,
    /// A value is too long to be stored inline.
    #[error("a value has {length} bytes; it must have at most {max}: keep larger ones in the blob store", max = limits::VALUE_BYTES)]
    ValueLength {
        /// The value's length in bytes.
        length: usize,
    },
    /// The transaction writes too much.
    #[error("the transaction writes more than {max} bytes (keys and values)", max = limits::TRANSACTION_BYTES)]
    TooLarge,
    /// The transaction runs for too long.
    #[error("the transaction ran for {limit_ms} ms, its time limit")]
    TooSlow {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// `add` met a value that is not 8 bytes long.
    #[error("the value is no counter: it has {length} bytes, a counter has 8")]
    NotACounter {
        /// The value's length in bytes.
        length: usize,
    },
    /// `add` would leave the range of an `i64`.
    #[error("the counter {current} cannot be changed by {delta}: it would leave 64 bits")]
    CounterOverflow {
        /// The counter's value.
        current: i64,
        /// What was to be added.
        delta: i64,
    },
    /// A claim is no longer held: its lease ran out and another owner has the key, or it was released.
    #[error("the claim is no longer held")]
    ClaimLost,
    /// A stored value could not be read back, or a value could not be written.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A stored key does not have the form its reader expects.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine could not read.
    #[error("the store could not be read: {0}")]
    Engine(#[from] EngineError),
}

impl TxError {
    /// Gives the transaction up with a value that the caller finds in [`TxError::Abort`].
    pub fn abort(reason: impl Any + Send + Sync) -> Self {
        TxError::Abort(Box::new(reason))
    }
}

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server uses the same data directory.
    #[error("the data directory {} is in use by another server: stop it, or choose another directory", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file or directory cannot be read or written.
    #[error("{} cannot be used: {cause}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// The data was written by a newer version of the store.
    #[error(
        "the data directory {} has store format {found}, this version reads up to {supported}: use a newer Lamplighter",
        dir.display()
    )]
    NewerFormat {
        /// The data directory.
        dir: PathBuf,
        /// The format found there.
        found: u32,
        /// The newest format this version reads.
        supported: u32,
    },
    /// The file that tells the store's format makes no sense.
    #[error("{} is damaged: it should tell the store's format and engine", path.display())]
    DamagedFormat {
        /// The format file.
        path: PathBuf,
    },
    /// The data directory belongs to another engine than the one asked for.
    #[error(
        "the data directory {} was made by the engine {found}, not {asked}: start with that engine, or choose \
         another directory",
        dir.display()
    )]
    OtherEngine {
        /// The data directory.
        dir: PathBuf,
        /// The engine that made it.
        found: String,
        /// The engine asked for.
        asked: &'static str,
    },
    /// The engine could not open or read its data.
    #[error("the store's engine failed: {0}")]
    Engine(#[from] EngineError),
    /// An earlier commit could not be brought to disk. The store answers reads only, until it is opened again.
    #[error(
        "the store is read-only since a commit could not be brought to disk ({cause}): mend the cause and restart"
    )]
    Poisoned {
        /// What the engine said.
        cause: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A transaction's closure panicked. Nothing of it is kept; other transactions are not touched.
    #[error("a transaction panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A transaction's closure failed.
    #[error(transparent)]
    Tx(#[from] TxError),
    /// An export could not be written, or what is imported could not be read.
    #[error("the export cannot be read or written: {0}")]
    ExportIo(#[source] std::io::Error),
    /// What is imported is not an export, or is damaged.
    #[error("the export is not usable: {reason}")]
    BadExport {
        /// What is wrong with it.
        reason: String,
    },
    /// An import needs an empty store.
    #[error("the store is not empty: import into a new data directory")]
    NotEmpty,
    /// What a blob is to be made of could not be read.
    #[error("what is to be stored cannot be read: {0}")]
    Source(#[source] std::io::Error),
    /// A blob is not there.
    #[error("the blob {id} is not in the store")]
    NoBlob {
        /// The blob's hash in hexadecimal.
        id: String,
    },
}

impl StoreError {
    pub(crate) fn unreadable(path: impl Into<PathBuf>, cause: std::io::Error) -> Self {
        StoreError::Unreadable { path: path.into(), cause }
    }
}

impl From<ValueError> for StoreError {
    fn from(error: ValueError) -> Self {
        StoreError::Tx(TxError::Value(error))
    }
}

impl From<KeyError> for StoreError {
    fn from(error: KeyError) -> Self {
        StoreError::Tx(TxError::Key(error))
    }
}

impl From<StoreError> for base::ApiError {
    fn from(error: StoreError) -> Self {
        base::ApiError::internal(error)
    }
}
