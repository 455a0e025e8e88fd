//! An event as it is stored: what the function gets, and what happened to it so far.
//!
//! Values are written with schema version 1; a change of these structs is a new version.

use std::sync::Arc;

use base::{RequestId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// One accepted event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventRecord {
    /// The id that the 202 carried: the same for every attempt.
    pub(super) request_id: RequestId,
    /// The version or alias, as the caller named it.
    pub(super) qualifier: Option<String>,
    pub(super) client_context: Option<String>,
    pub(super) trace_header: Option<String>,
    pub(super) tenant_id: Option<Arc<str>>,
    pub(super) accepted_at: Timestamp,
    /// Attempts that the function had and failed.
    pub(super) attempts: u32,
    /// What the last of them came to.
    pub(super) last: Option<LastAnswer>,
    pub(super) payload: PayloadRecord,
}

/// An answer to an attempt, without its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastAnswer {
    pub(super) status_code: u16,
    pub(super) executed_version: Option<String>,
    pub(super) function_error: Option<String>,
}

/// Where the event's payload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PayloadRecord {
    /// Here.
    Inline(ByteBuf),
    /// In rows of its own, because it is larger than a value may be.
    Chunks {
        /// Part of those rows' keys.
        id: u64,
        /// In all.
        bytes: u32,
    },
}

impl Default for PayloadRecord {
    fn default() -> Self {
        PayloadRecord::Inline(ByteBuf::new())
    }
}

impl PayloadRecord {
    pub(super) fn inline(payload: &Bytes) -> Self {
        PayloadRecord::Inline(ByteBuf::from(payload.to_vec()))
    }

    /// The id of its rows, if it has any.
    pub(super) fn chunks(&self) -> Option<u64> {
        match self {
            PayloadRecord::Inline(_) => None,
            PayloadRecord::Chunks { id, .. } => Some(*id),
        }
    }
}
