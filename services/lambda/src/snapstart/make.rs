//! Snapshots are made in the background after a version was published, again after it was inactive, and go when nobody
//! invoked the version for fourteen days.
//!
//! A killed process leaves rows that say `Making`: the next one makes those ([`Lambda::restore_snapshots`]).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use base::Timestamp;

use super::{Entry, SnapshotRecord, SnapshotState, not_now, place_of};
use crate::Lambda;
use crate::aspects::Aspect;
use crate::capacity::spaces;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::functions::{damaged, decode};
use crate::invoke::{InvokeError, RestoreFault};
use crate::invoker::SnapshotOutcome;
use crate::keys;
use crate::name::Target;
use crate::version::Version;

/// A version that nobody invokes for so long becomes inactive.
const IDLE_LIMIT: Duration = Duration::from_secs(14 * 24 * 3600);
/// How often idle versions are looked for, by the platform's clock.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 3600);
/// The use of a version is written down when it is so much later than what is written.
const WRITE_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Lambda {
    /// Whether a version may be invoked now. Notes the use. Costs nothing for functions without SnapStart.
    ///
    /// # Errors
    /// `ResourceConflictException` while the snapshot is being made and after that failed; `SnapStartNotReadyException`
    /// for an inactive version, whose snapshot is made from then on.
    pub(crate) async fn check_ready(self: &Arc<Self>, function: &FunctionConfig) -> Result<(), LambdaError> {
        if !function.snap_start {
            return Ok(());
        }
        let Some((target, number)) = place_of(function) else { return Ok(()) };
        let known = match self.snapshot_board.get(&function.key) {
            Some(entry) => Some(entry),
            None => self.read_snapshot(&target, number)?,
        };
        // Published before there were snapshots.
        let Some(entry) = known else { return Ok(()) };
        let refusal = {
            let state = entry.state.read().unwrap_or_else(PoisonError::into_inner);
            match &*state {
                SnapshotState::Ready | SnapshotState::Plain { .. } => None,
                SnapshotState::Inactive => Some(None),
                other => Some(Some(not_now(other))),
            }
        };
        match refusal {
            None => {
                entry.used_at_ms.store(self.clock.now().as_millis(), Ordering::Relaxed);
                Ok(())
            }
            Some(Some(error)) => Err(error),
            Some(None) => {
                self.wake_snapshot(&target, number).await?;
                Err(InvokeError::SnapStart(RestoreFault::NotReady).into())
            }
        }
    }

    /// Has the snapshot of a version made that was just published. To be called after the commit.
    pub(crate) fn order_snapshot(self: &Arc<Self>, target: &Target, number: u64) {
        let (lambda, target) = (Arc::clone(self), target.unqualified());
        tokio::spawn(async move { lambda.make_snapshot(&target, number).await });
    }

    /// Lets go of the snapshot of a version that is deleted.
    pub(crate) fn forget_snapshot(&self, key: &str) {
        self.snapshot_board.remove(key);
        self.invoker.forget_snapshot(key);
    }

    /// Goes on where the last process was: makes what was not made, and tells the fleet which snapshots are wanted. To
    /// be called once at the start.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn restore_snapshots(self: &Arc<Self>) -> Result<(), LambdaError> {
        let mut ready = Vec::new();
        for (target, number, record) in self.all_snapshots()? {
            let state = record.state.clone();
            self.snapshot_board.put(FunctionConfig::key_of(&target.arn(), &number.to_string()), record);
            match state {
                SnapshotState::Making { .. } => self.order_snapshot(&target, number),
                SnapshotState::Ready => match self.resolve(&target.at(Version::Number(number))).await {
                    Ok(resolved) => ready.push(resolved.function),
                    Err(error) => {
                        tracing::warn!(function = %target.arn(), number, %error, "a snapshot is not looked at");
                    }
                },
                _ => {}
            }
        }
        self.invoker.keep_snapshots(ready);
        tokio::spawn(look_for_idle(Arc::downgrade(self), self.clock.clone()));
        Ok(())
    }

    fn all_snapshots(&self) -> Result<Vec<(Target, u64, SnapshotRecord)>, LambdaError> {
        let mut all = Vec::new();
        for space in spaces(&|range| Ok::<_, LambdaError>(self.store.range(range)?))? {
            // Few functions have aspects, and a look at each is a look at its key.
            for (key, row) in self.store.range(space.all_aspects().range())? {
                if keys::aspect_kind_of(&key).as_deref() != Some(SnapshotRecord::KIND) {
                    continue;
                }
                let name = keys::aspect_owner_of(&key).ok_or_else(|| damaged("an aspect's key"))?;
                let number = keys::qualifier_of(&key).and_then(|at| at.parse().ok());
                let number = number.ok_or_else(|| damaged("a snapshot's key"))?;
                all.push((space.target(&name), number, decode(&row)?));
            }
        }
        Ok(all)
    }

    fn read_snapshot(&self, target: &Target, number: u64) -> Result<Option<Arc<Entry>>, LambdaError> {
        let at = number.to_string();
        let Some(record) = self.functions.aspect::<SnapshotRecord>(target, &at)? else { return Ok(None) };
        Ok(Some(self.snapshot_board.put(FunctionConfig::key_of(&target.arn(), &at), record)))
    }

    /// Stores a new state, unless the version is gone.
    async fn set_snapshot(
        &self,
        target: &Target,
        number: u64,
        state: SnapshotState,
    ) -> Result<bool, LambdaError> {
        let stored = self
            .functions
            .change_snapshot(target, number, move |record| record.state.clone_from(&state))
            .await?;
        let key = FunctionConfig::key_of(&target.arn(), &number.to_string());
        match stored {
            Some(record) => {
                self.snapshot_board.put(key, record);
                Ok(true)
            }
            None => {
                self.snapshot_board.remove(&key);
                Ok(false)
            }
        }
    }

    /// An inactive version is invoked: its snapshot is made again.
    async fn wake_snapshot(self: &Arc<Self>, target: &Target, number: u64) -> Result<(), LambdaError> {
        let now = self.clock.now();
        let stored = self
            .functions
            .change_snapshot(target, number, move |record| {
                if record.state == SnapshotState::Inactive {
                    *record = SnapshotRecord { state: SnapshotState::Making { again: true }, used_at: now };
                }
            })
            .await?;
        if let Some(record) = stored {
            let is_wanted = matches!(record.state, SnapshotState::Making { again: true });
            let key = FunctionConfig::key_of(&target.arn(), &number.to_string());
            let was_inactive = self.snapshot_board.get(&key).is_some_and(|entry| {
                *entry.state.read().unwrap_or_else(PoisonError::into_inner) == SnapshotState::Inactive
            });
            self.snapshot_board.put(key, record);
            // Of several invokes at once one finds it inactive; were it two, the snapshot would be made twice.
            if is_wanted && was_inactive {
                self.order_snapshot(target, number);
            }
        }
        Ok(())
    }

    async fn make_snapshot(self: &Arc<Self>, target: &Target, number: u64) {
        let arn = target.at(number).qualified_arn();
        let resolved = match self.resolve(&target.at(Version::Number(number))).await {
            Ok(resolved) => resolved,
            Err(LambdaError::NotFound(_)) => return,
            Err(error) => {
                tracing::error!(function = arn, %error, "no snapshot: the version cannot be read");
                return self.settle(target, number, failed("InternalError", &error.to_string())).await;
            }
        };
        let state = match self.invoker.make_snapshot(Arc::clone(&resolved.function)).await {
            SnapshotOutcome::Made { bytes, took_ms } => {
                tracing::info!(function = arn, bytes, took_ms, "snapshot made");
                SnapshotState::Ready
            }
            SnapshotOutcome::NotPossible(why) => {
                tracing::warn!(function = arn, why, "no snapshot: the version starts as others do");
                SnapshotState::Plain { why }
            }
            SnapshotOutcome::Failed { code, reason } => {
                tracing::warn!(function = arn, code, reason, "no snapshot: the version failed");
                failed(code, &reason)
            }
            // The next process goes on.
            SnapshotOutcome::Interrupted => return,
        };
        self.settle(target, number, state).await;
    }

    async fn settle(&self, target: &Target, number: u64, state: SnapshotState) {
        match self.set_snapshot(target, number, state).await {
            Ok(true) => {}
            // It was deleted meanwhile.
            Ok(false) => {
                self.forget_snapshot(&FunctionConfig::key_of(&target.arn(), &number.to_string()));
            }
            Err(error) => {
                tracing::error!(function = %target.arn(), number, %error, "a snapshot's state is not stored");
            }
        }
    }

    /// Writes down which versions were used, and makes those inactive that nobody used for long.
    async fn look_at_snapshots(&self) -> Result<(), LambdaError> {
        let now = self.clock.now();
        for (target, number, record) in self.all_snapshots()? {
            let key = FunctionConfig::key_of(&target.arn(), &number.to_string());
            let used_at = self
                .snapshot_board
                .get(&key)
                .map_or(record.used_at, |entry| entry.used_at().max(record.used_at));
            let is_idle = used_at.after(IDLE_LIMIT) <= now
                && matches!(record.state, SnapshotState::Ready | SnapshotState::Plain { .. });
            if !is_idle && used_at < record.used_at.after(WRITE_AFTER) {
                continue;
            }
            let change = move |record: &mut SnapshotRecord| {
                record.used_at = used_at.max(record.used_at);
                if is_idle && matches!(record.state, SnapshotState::Ready | SnapshotState::Plain { .. }) {
                    record.state = SnapshotState::Inactive;
                }
            };
            let Some(record) = self.functions.change_snapshot(&target, number, change).await? else {
                continue;
            };
            let is_inactive = record.state == SnapshotState::Inactive;
            self.snapshot_board.put(Arc::clone(&key), record);
            if is_inactive {
                tracing::info!(function = &*key, "a version with SnapStart was idle for long: inactive");
                self.invoker.forget_snapshot(&key);
            }
        }
        Ok(())
    }
}

fn failed(code: &str, reason: &str) -> SnapshotState {
    SnapshotState::Failed { code: code.to_owned(), reason: reason.to_owned() }
}

/// Looks, for as long as there is a service.
async fn look_for_idle(lambda: std::sync::Weak<Lambda>, clock: base::Clock) {
    let mut last = clock.now();
    loop {
        clock.sleep_until(last.after(LOOK_EVERY)).await;
        let Some(lambda) = lambda.upgrade() else { return };
        last = clock.now().max(Timestamp(0));
        if let Err(error) = lambda.look_at_snapshots().await {
            tracing::warn!(%error, "idle versions cannot be looked for");
        }
    }
}
