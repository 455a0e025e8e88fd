//! The keeper of provisioned environments: it starts as many ahead as are wanted, and replaces those that die, or whose
//! credentials are about to expire. It looks whenever something changed, and every half minute by the platform's clock.
//!
//! What is wanted is told by [`Fleet::set_capacity`](super::Fleet::set_capacity); which invoke gets which environment
//! is the pool's business, and what was asked for, by whom, is stored by `capacity`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html>.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::{Clock, Timestamp};
use tokio::sync::{Notify, Semaphore};

use super::ledger::Share;
use super::pool::NoRoom;
use super::ticket::wish_of;
use super::{Inner, kill_all};
use crate::capacity::{Capacity, ProvisionedState, ProvisionedStatus};
use crate::function::FunctionConfig;
use crate::invoke;

/// How often it looks without being told.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long before its credentials are too old for new requests an environment is replaced.
pub(super) const REPLACE_AHEAD: Duration = Duration::from_secs(120);
/// How long after a failure it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// How many start side by side; more only take the processors from each other, and from requests.
const STARTS_AT_ONCE: usize = 8;

/// What is wanted, and how far it is.
pub(crate) struct Keeper {
    targets: Mutex<HashMap<Arc<str>, Target>>,
    told: Notify,
    starts: Semaphore,
}

/// One version.
struct Target {
    function: Arc<FunctionConfig>,
    wanted: u32,
    /// All were ready once.
    was_ready: bool,
    failure: Option<Failure>,
}

struct Failure {
    why: String,
    retry_at: Timestamp,
}

impl Keeper {
    pub(crate) fn new() -> Self {
        Keeper { targets: Mutex::default(), told: Notify::new(), starts: Semaphore::new(STARTS_AT_ONCE) }
    }

    /// Something changed: it looks soon.
    pub(crate) fn look(&self) {
        self.told.notify_one();
    }

    fn targets(&self) -> MutexGuard<'_, HashMap<Arc<str>, Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes over what is set apart for a function.
    pub(crate) fn set_capacity(&self, capacity: &Capacity) {
        let owner = super::admission::Owner {
            account: capacity.account,
            region: &capacity.region,
            arn: &capacity.function_arn,
        };
        let mut gone = Vec::new();
        let mut targets = self.keeper().targets();
        let mut pool = self.pool();
        pool.admission().reserve(owner, capacity.reserved);
        targets.retain(|key, target| {
            let stays = target.function.arn != capacity.function_arn
                || capacity.provisioned.iter().any(|(function, _)| function.key == *key);
            if !stays {
                gone.extend(pool.set_provisioned(&wish_of(&target.function), 0));
            }
            stays
        });
        for (function, wanted) in &capacity.provisioned {
            gone.extend(pool.set_provisioned(&wish_of(function), *wanted));
            let is_same = |target: &Target| target.wanted == *wanted && target.function == *function;
            if !targets.get(&function.key).is_some_and(is_same) {
                let function = Arc::clone(function);
                let target = Target { function, wanted: *wanted, was_ready: false, failure: None };
                targets.insert(Arc::clone(&target.function.key), target);
            }
        }
        drop(pool);
        drop(targets);
        kill_all(&gone);
        self.keeper().look();
    }

    /// How far a version's provisioned environments are.
    pub(crate) fn provisioned_state(&self, key: &str) -> ProvisionedState {
        let targets = self.keeper().targets();
        let ready = self.pool().provisioned(key, self.clock().now()).ready;
        let Some(target) = targets.get(key) else { return ProvisionedState::default() };
        let status = match &target.failure {
            _ if ready >= target.wanted => ProvisionedStatus::Ready,
            Some(failure) => ProvisionedStatus::Failed(failure.why.clone()),
            // What is replaced does not make the whole unready.
            None if target.was_ready => ProvisionedStatus::Ready,
            None => ProvisionedStatus::InProgress,
        };
        ProvisionedState { ready: ready.min(target.wanted), status }
    }

    /// Starts what is missing.
    fn look_after_provisioned(self: &Arc<Self>) {
        let now = self.clock().now();
        let mut targets = self.keeper().targets();
        for (key, target) in &mut *targets {
            if target.failure.as_ref().is_some_and(|failure| now < failure.retry_at) {
                continue;
            }
            let mut pool = self.pool();
            let there = pool.provisioned(key, now.after(REPLACE_AHEAD));
            target.was_ready |= there.ready >= target.wanted;
            let good = there.ready.saturating_sub(there.stale) + there.starting;
            for _ in good..target.wanted {
                let share = match pool.provision(&wish_of(&target.function)) {
                    Ok(share) => share,
                    Err(NoRoom::Soon(_)) => {
                        pool.want_room();
                        break;
                    }
                    Err(NoRoom::Busy(shortage) | NoRoom::Never(shortage)) => {
                        let why = shortage.to_string();
                        target.failure = Some(Failure { why, retry_at: now.after(RETRY_AFTER) });
                        break;
                    }
                    // A pace for invokes; it is not asked for here.
                    Err(NoRoom::Throttled(_)) => break,
                };
                tokio::spawn(Arc::clone(self).start_ahead(Arc::clone(&target.function), share));
            }
            let evicted = pool.take_evicted();
            drop(pool);
            kill_all(&evicted);
        }
    }

    /// Starts one environment, for which the pool has made room.
    async fn start_ahead(self: Arc<Self>, function: Arc<FunctionConfig>, share: Arc<Share>) {
        // The semaphore is never closed; if it were, a start more would do no harm.
        let _permit = self.keeper().starts.acquire().await.ok();
        match invoke::start_ahead(&self, &function, share).await {
            Ok(environment) => {
                // Before the pool has it: from then on an invoke may be waking it.
                environment.rest();
                let gone = self.pool().provisioned_ready(Arc::clone(&environment));
                if environment.session.has_departed() {
                    // Its end was told before the pool knew it.
                    drop(self.pool().remove(&environment));
                }
                kill_all(&gone);
                if let Some(target) = self.keeper().targets().get_mut(&function.key) {
                    target.failure = None;
                }
            }
            Err(why) => {
                self.pool().provisioned_failed(&wish_of(&function));
                tracing::warn!(function = &*function.key, why, "a provisioned environment did not start");
                let retry_at = self.clock().now().after(RETRY_AFTER);
                if let Some(target) = self.keeper().targets().get_mut(&function.key) {
                    target.failure = Some(Failure { why, retry_at });
                }
            }
        }
        self.keeper().look();
    }
}

/// Looks, for as long as there is a fleet.
pub(super) async fn keep(fleet: Weak<Inner>, clock: Clock) {
    loop {
        let Some(inner) = fleet.upgrade() else { return };
        let keeper = Arc::clone(inner.keeper());
        inner.look_after_provisioned();
        drop(inner);
        tokio::select! {
            () = keeper.told.notified() => {}
            () = clock.sleep_until(clock.now().after(LOOK_EVERY)) => {}
        }
    }
}
