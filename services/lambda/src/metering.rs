//! The record of every invocation: what ran, how long, for how much memory, and how it ended. Throttled, timed out, cut
//! off: each yields exactly one, written when its ticket is dropped.
//!
//! The last ones are kept in memory for who looks afterwards; listeners get them as they come, and miss some if they
//! are slower than the functions. It is the base for metrics and cost, which are not made here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base::{RequestId, Timestamp};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Origin, Throttle};

/// How many records are kept.
const KEPT: usize = 4096;
/// How many a listener may be behind.
const LISTENER_BACKLOG: usize = 1024;

/// What is known of an invocation when it comes in.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    key: Arc<str>,
    invoked_arn: Arc<str>,
    request_id: RequestId,
    origin: Origin,
    pub(crate) tenant: Option<Arc<str>>,
    started_at: Timestamp,
    queue_age_ms: Option<u64>,
    memory_mib: u32,
}

impl Beginning {
    pub(crate) fn of(function: &FunctionConfig, invocation: &Invocation, now: Timestamp) -> Self {
        Beginning {
            key: Arc::clone(&function.key),
            invoked_arn: Arc::clone(&invocation.invoked_arn),
            request_id: invocation.request_id.clone(),
            origin: invocation.origin,
            tenant: invocation.tenant_id.clone(),
            started_at: now,
            queue_age_ms: invocation.queue_age_ms,
            memory_mib: function.memory_mib,
        }
    }
}

/// What is known of an invocation when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Ended {
    /// Whether a new environment was started for it.
    pub cold: bool,
    /// The initialisation, when this invocation had one that succeeded.
    pub init_ms: Option<f64>,
    /// The restoring from a snapshot, when this invocation had one.
    pub restore_ms: Option<f64>,
    /// Time in the handler.
    pub duration_ms: f64,
    /// Billed time, rounded up.
    pub billed_ms: u64,
    /// The environment's peak.
    pub max_memory_mib: u32,
    /// How it failed, if it did.
    pub error: Option<ErrorKind>,
    /// Which limit it was beyond, if nothing was run for that.
    pub throttle: Option<Throttle>,
    /// How long it waited for room on the host, in milliseconds.
    pub waited_ms: u64,
}

impl Ended {
    /// Nothing was run.
    pub(crate) fn refused(error: &InvokeError) -> Self {
        let throttle = match error {
            InvokeError::Throttled(throttle) => Some(*throttle),
            InvokeError::HostFull(_) => Some(Throttle::ConcurrentInvocationLimitExceeded),
            _ => return Ended::not_run(),
        };
        Ended { throttle, ..Ended::default() }
    }

    fn not_run() -> Self {
        Ended { error: Some(ErrorKind::NotRun), ..Ended::default() }
    }
}

/// How an invocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The handler said so.
    Handler,
    /// The function's time was up.
    Timeout,
    /// The runtime failed: it ended, ran out of memory, did not initialise, answered too much.
    Runtime,
    /// The platform did not run it to an end: no environment could be started, or nobody waited any more.
    NotRun,
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct InvocationRecord {
    beginning: Beginning,
    /// How it ended.
    pub ended: Ended,
    /// Counts from 1 since the server started, without gaps.
    pub sequence: u64,
}

impl InvocationRecord {
    /// The function's ARN without a qualifier, and the version that ran.
    #[must_use]
    pub fn function(&self) -> (&str, &str) {
        self.beginning.key.rsplit_once(':').unwrap_or((&self.beginning.key, ""))
    }

    /// The alias that the caller named, if it was one.
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        let (arn, version) = self.function();
        let qualifier = self.beginning.invoked_arn.strip_prefix(arn)?.strip_prefix(':')?;
        (qualifier != version && !qualifier.is_empty()).then_some(qualifier)
    }

    /// When it came in.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.beginning.started_at
    }

    /// How it came in.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.beginning.origin
    }

    /// How long it had waited in the queue.
    #[must_use]
    pub fn queue_age_ms(&self) -> Option<u64> {
        self.beginning.queue_age_ms
    }

    /// The function's memory size.
    #[must_use]
    pub fn memory_mib(&self) -> u32 {
        self.beginning.memory_mib
    }

    /// Its request id.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.beginning.request_id
    }
}

impl Serialize for InvocationRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            sequence: u64,
            started_at: String,
            function_arn: &'a str,
            version: &'a str,
            alias: Option<&'a str>,
            request_id: &'a str,
            origin: Origin,
            tenant_id: Option<&'a str>,
            queue_age_ms: Option<u64>,
            memory_mib: u32,
            #[serde(flatten)]
            ended: Ended,
        }
        let (function_arn, version) = self.function();
        let shown = Shown {
            sequence: self.sequence,
            started_at: self.beginning.started_at.iso8601(),
            function_arn,
            version,
            alias: self.alias(),
            request_id: self.beginning.request_id.as_str(),
            origin: self.beginning.origin,
            tenant_id: self.beginning.tenant.as_deref(),
            queue_age_ms: self.beginning.queue_age_ms,
            memory_mib: self.beginning.memory_mib,
            ended: self.ended,
        };
        shown.serialize(serializer)
    }
}

/// Where the records go.
pub struct Meter {
    recent: Mutex<Recent>,
    listeners: broadcast::Sender<Arc<InvocationRecord>>,
}

#[derive(Default)]
struct Recent {
    last_sequence: u64,
    records: VecDeque<Arc<InvocationRecord>>,
}

impl Default for Meter {
    fn default() -> Self {
        Meter { recent: Mutex::default(), listeners: broadcast::Sender::new(LISTENER_BACKLOG) }
    }
}

impl Meter {
    pub(crate) fn record(&self, beginning: &Beginning, ended: Option<Ended>) {
        let ended = ended.unwrap_or_else(Ended::not_run);
        let record = InvocationRecord { beginning: beginning.clone(), ended, sequence: 0 };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.last_sequence += 1;
        let record = Arc::new(InvocationRecord { sequence: recent.last_sequence, ..record });
        let dropped = if recent.records.len() >= KEPT { recent.records.pop_front() } else { None };
        recent.records.push_back(Arc::clone(&record));
        // Under the lock, so that listeners get them in order. Without any, this is a look at a number.
        if self.listeners.receiver_count() > 0 {
            let _ = self.listeners.send(record);
        }
        drop(recent);
        drop(dropped);
    }

    /// Up to `limit` of the records kept with a sequence above `since`, the oldest first.
    #[must_use]
    pub fn since(&self, since: u64, limit: usize) -> Vec<Arc<InvocationRecord>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let from = recent.records.partition_point(|record| record.sequence <= since);
        recent.records.range(from..).take(limit).cloned().collect()
    }

    /// Every record from now on, as long as the listener keeps up.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<InvocationRecord>> {
        self.listeners.subscribe()
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("listeners", &self.listeners.receiver_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(invoked: &str) -> Beginning {
        Beginning {
            key: Arc::from("arn:aws:lambda:us-east-1:000000000000:function:f:7"),
            invoked_arn: Arc::from(invoked),
            request_id: RequestId::fresh(),
            origin: Origin::Request,
            tenant: None,
            started_at: Timestamp(0),
            queue_age_ms: None,
            memory_mib: 128,
        }
    }

    #[test]
    fn a_record_names_version_and_alias() {
        let meter = Meter::default();
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        for qualifier in ["", ":7", ":live"] {
            meter.record(&beginning(&format!("{arn}{qualifier}")), Some(Ended::default()));
        }
        let all = meter.since(0, 10);
        assert!(all.iter().all(|record| record.function() == (arn, "7")));
        assert_eq!(all.iter().map(|record| record.alias()).collect::<Vec<_>>(), [None, None, Some("live")]);
        let json = serde_json::to_value(&*all[2]).unwrap();
        assert_eq!(
            (&json["alias"], &json["sequence"], &json["cold"]),
            (&"live".into(), &3.into(), &false.into())
        );
    }

    #[tokio::test]
    async fn the_last_are_kept_and_listeners_get_them_in_order() {
        let meter = Meter::default();
        meter.record(&beginning(""), None);
        let mut listener = meter.listen();
        for _ in 0..KEPT + 9 {
            meter.record(&beginning(""), Some(Ended::default()));
        }
        let kept = meter.since(0, usize::MAX);
        assert_eq!((kept.len(), kept[0].sequence), (KEPT, 11));
        assert_eq!(meter.since(12, 2).iter().map(|record| record.sequence).collect::<Vec<_>>(), [13, 14]);
        assert!(meter.since(u64::MAX, 1).is_empty());
        assert!(matches!(listener.recv().await, Err(broadcast::error::RecvError::Lagged(_))));
        let first = listener.recv().await.unwrap().sequence;
        assert_eq!(listener.recv().await.unwrap().sequence, first + 1);
    }
}
