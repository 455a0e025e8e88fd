//! SnapStart: where the snapshot of a published version stands, and what that means for its invokes.
//!
//! A version of a function with SnapStart has a row beside its record (an aspect, `snapshot`), written in the
//! transaction that publishes it: so a snapshot that was promised is made, also by the next process. [`make`] has it
//! made, and lets it go when nobody used the version for long. How a snapshot is made and what it is, only the fleet
//! knows: this room asks for one and keeps what came of it.
//!
//! Where there can be no snapshot (another language than Python, a process that cannot be imaged) the version is
//! `Active` all the same, starts as any other does, and shows `OptimizationStatus: Off`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html>.

mod make;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::functions::{Functions, space_of};
use crate::keys::{Space, V1};
use crate::name::Target;

/// What is stored of a version's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotRecord {
    pub(crate) state: SnapshotState,
    /// When the version was last invoked, to the day; or published.
    pub(crate) used_at: Timestamp,
}

impl Aspect for SnapshotRecord {
    const KIND: &'static str = "snapshot";
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotState {
    /// It is being made.
    Making {
        /// Because the version was invoked after it had been inactive.
        again: bool,
    },
    /// It is there. Should its file be lost, it is made again while the version starts plainly.
    Ready,
    /// There is none, and the version starts plainly.
    Plain {
        /// Why there is none.
        why: String,
    },
    /// The function's initialisation failed.
    Failed {
        /// `StateReasonCode`.
        code: String,
        /// `StateReason`.
        reason: String,
    },
    /// Nobody used the version for long.
    Inactive,
}

impl SnapshotState {
    /// `State`, as the API shows it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            SnapshotState::Making { .. } => "Pending",
            SnapshotState::Ready | SnapshotState::Plain { .. } => "Active",
            SnapshotState::Failed { .. } => "Failed",
            SnapshotState::Inactive => "Inactive",
        }
    }

    /// `StateReason` and `StateReasonCode`.
    pub(crate) fn reason(&self) -> Option<(String, String)> {
        let own = |reason: &str, code: &str| Some((reason.to_owned(), code.to_owned()));
        match self {
            SnapshotState::Making { again: false } => own("The function is being created.", "Creating"),
            SnapshotState::Making { again: true } => own("The function is being restored.", "Restoring"),
            SnapshotState::Inactive => own("The function is idle.", "Idle"),
            SnapshotState::Failed { code, reason } => Some((reason.clone(), code.clone())),
            SnapshotState::Ready | SnapshotState::Plain { .. } => None,
        }
    }

    /// Whether `OptimizationStatus` is `On`.
    pub(crate) fn is_optimized(&self) -> bool {
        !matches!(self, SnapshotState::Plain { .. })
    }
}

/// Writes that a snapshot is to be made of a version that is being published.
pub(crate) fn order_in(
    tx: &mut dyn Tx,
    space: &Space,
    name: &str,
    number: u64,
    now: Timestamp,
) -> Result<(), TxError> {
    let record = SnapshotRecord { state: SnapshotState::Making { again: false }, used_at: now };
    let key = space.aspect(name, SnapshotRecord::KIND, &number.to_string());
    tx.put(key.build(), value::encode(V1, &record))
}

impl Functions {
    /// Where the snapshot of a version stands; `None` for a version without SnapStart.
    pub(crate) fn snapshot_state(
        &self,
        target: &Target,
        number: u64,
    ) -> Result<Option<SnapshotState>, LambdaError> {
        Ok(self.aspect::<SnapshotRecord>(target, &number.to_string())?.map(|record| record.state))
    }

    /// Changes what is stored of a snapshot, if the version is still there; gives what is stored then. `change` may run
    /// twice, and must do the same both times.
    pub(crate) async fn change_snapshot(
        &self,
        target: &Target,
        number: u64,
        change: impl Fn(&mut SnapshotRecord) + Send + 'static,
    ) -> Result<Option<SnapshotRecord>, LambdaError> {
        let (space, name) = (space_of(target), target.name.clone());
        self.run(move |tx| {
            let key = space.aspect(&name, SnapshotRecord::KIND, &number.to_string());
            if tx.get(&space.version(&name, number))?.is_none() {
                return Ok(Ok(None));
            }
            let Some(row) = tx.get(&key)? else { return Ok(Ok(None)) };
            let mut record: SnapshotRecord = value::decode(V1, &row)?;
            let before = record.clone();
            change(&mut record);
            if record != before {
                tx.put(key.build(), value::encode(V1, &record))?;
            }
            Ok(Ok(Some(record)))
        })
        .await
    }
}

/// What is known of snapshots, by [`FunctionConfig::key`], so that an invoke need not ask the store. Made from the rows.
pub(crate) struct Board {
    entries: RwLock<HashMap<Arc<str>, Arc<Entry>>>,
}

pub(crate) struct Entry {
    state: RwLock<SnapshotState>,
    used_at_ms: AtomicI64,
}

impl Entry {
    fn of(record: SnapshotRecord) -> Arc<Self> {
        let used_at_ms = AtomicI64::new(record.used_at.as_millis());
        Arc::new(Entry { state: RwLock::new(record.state), used_at_ms })
    }

    fn used_at(&self) -> Timestamp {
        Timestamp(self.used_at_ms.load(Ordering::Relaxed))
    }
}

impl Board {
    pub(crate) fn new() -> Self {
        Board { entries: RwLock::default() }
    }

    fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The entry as the store has it. What was noted of its use stays.
    fn put(&self, key: Arc<str>, record: SnapshotRecord) -> Arc<Entry> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = entries.get(&key) {
            known.used_at_ms.fetch_max(record.used_at.as_millis(), Ordering::Relaxed);
            *known.state.write().unwrap_or_else(PoisonError::into_inner) = record.state;
            return Arc::clone(known);
        }
        let entry = Entry::of(record);
        entries.insert(key, Arc::clone(&entry));
        entry
    }

    fn remove(&self, key: &str) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// What an invoke of a version that is not ready is told. AWS's words.
fn not_now(state: &SnapshotState) -> LambdaError {
    LambdaError::Conflict(format!(
        "The operation cannot be performed at this time. The function is currently in the following state: {}",
        state.name()
    ))
}

/// The target and the number of a version that is run.
fn place_of(function: &FunctionConfig) -> Option<(Target, u64)> {
    let number = function.version.parse().ok()?;
    let target = Target {
        account: function.account,
        region: function.region.clone(),
        name: function.name.clone(),
        qualifier: None,
    };
    Some((target, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_shown_as_aws_shows_it() {
        let shown = |state: SnapshotState| (state.name(), state.reason().map(|(_, code)| code));
        let some = |code: &str| Some(code.to_owned());
        assert_eq!(shown(SnapshotState::Making { again: false }), ("Pending", some("Creating")));
        assert_eq!(shown(SnapshotState::Making { again: true }), ("Pending", some("Restoring")));
        assert_eq!(shown(SnapshotState::Inactive), ("Inactive", some("Idle")));
        assert_eq!(shown(SnapshotState::Ready), ("Active", None));
        let plain = SnapshotState::Plain { why: "threads".to_owned() };
        assert!(!plain.is_optimized() && SnapshotState::Ready.is_optimized());
        assert_eq!(shown(plain), ("Active", None));
        assert_eq!(
            not_now(&SnapshotState::Making { again: false }).to_string(),
            "The operation cannot be performed at this time. The function is currently in the following state: Pending"
        );
    }

    #[test]
    fn what_is_noted_of_use_outlives_a_change_of_state() {
        let board = Board::new();
        let record = |state, used| SnapshotRecord { state, used_at: Timestamp(used) };
        let entry = board.put(Arc::from("k"), record(SnapshotState::Making { again: false }, 5));
        entry.used_at_ms.store(9, Ordering::Relaxed);
        let same = board.put(Arc::from("k"), record(SnapshotState::Ready, 5));
        assert_eq!((same.used_at(), Arc::ptr_eq(&entry, &same)), (Timestamp(9), true));
        board.remove("k");
        assert!(board.get("k").is_none());
    }
}
