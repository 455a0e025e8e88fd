//! One invoke's place in the pool: counted in, an environment or the room for one, counted out. Nothing leaks, however
//! the invoke ends: dropping the ticket gives everything back, and writes the invoke's record.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::admission::Owner;
use super::ending::Reason;
use super::keeper::REPLACE_AHEAD;
use super::ledger::Share;
use super::pool::{Full, Lane, Place, Seat, Wish};
use super::{Environment, Inner, kill_all};
use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Origin};
use crate::metering::{Beginning, Ended};

/// The longest time that an asynchronous event waits for the host; it is tried again later, as after a throttle.
const EVENT_WAIT_LIMIT: Duration = Duration::from_secs(1);

/// Where the invoke may run.
pub(crate) enum Turn {
    /// In this environment, which is warm.
    Warm(Arc<Environment>),
    /// In a new one, with this part of the host's memory; or in one that becomes idle before that is ready.
    Cold(Arc<Share>),
    /// The host is full: [`Ticket::wait`].
    Later,
}

/// One invoke's place.
pub(crate) struct Ticket {
    fleet: Arc<Inner>,
    function: Arc<FunctionConfig>,
    beginning: Beginning,
    lane: Lane,
    /// It counts as running.
    counts: bool,
    /// An environment, or the room for one, is busy for it.
    has_place: bool,
    /// What may bring it an environment.
    seat: Option<Seat<Environment>>,
    waited: Duration,
    ended: OnceLock<Ended>,
}

impl Ticket {
    /// Counts an invoke in and finds its place.
    pub(crate) fn enter(
        fleet: &Arc<Inner>,
        function: Arc<FunctionConfig>,
        invocation: &Invocation,
    ) -> Result<(Self, Turn), InvokeError> {
        let now = fleet.clock().now();
        let beginning = Beginning::of(&function, invocation, now);
        let has_rate = invocation.origin != Origin::Event;
        let mut pool = fleet.pool();
        let place = pool.enter(&wish(&function, &beginning), has_rate, now);
        let evicted = pool.take_evicted();
        drop(pool);
        kill_all(&evicted);
        let mut ticket = Ticket {
            fleet: Arc::clone(fleet),
            function,
            beginning,
            lane: Lane::OnDemand,
            counts: false,
            has_place: false,
            seat: None,
            waited: Duration::ZERO,
            ended: OnceLock::new(),
        };
        let turn = ticket.settle(place)?;
        Ok((ticket, turn))
    }

    pub(crate) fn fleet(&self) -> &Arc<Inner> {
        &self.fleet
    }

    pub(crate) fn function(&self) -> &Arc<FunctionConfig> {
        &self.function
    }

    /// Whose environment it needs, with tenant isolation.
    pub(crate) fn tenant(&self) -> Option<&Arc<str>> {
        self.beginning.tenant.as_ref()
    }

    /// What became of the invoke, for its record. The first word counts.
    pub(crate) fn note(&self, ended: Ended) {
        let _ = self.ended.set(ended);
    }

    /// The environment is of no use: another place, please.
    pub(crate) fn try_elsewhere(&mut self) -> Result<Turn, InvokeError> {
        let now = self.fleet.clock().now();
        let wish = wish(&self.function, &self.beginning);
        let mut pool = self.fleet.pool();
        let place = pool.elsewhere(&wish, self.lane, now);
        let evicted = pool.take_evicted();
        drop(pool);
        kill_all(&evicted);
        self.refill();
        self.settle(place)
    }

    /// Waits for a place, for a while.
    pub(crate) async fn wait(&mut self, origin: Origin) -> Result<Turn, InvokeError> {
        let Some(seat) = self.seat.as_mut() else {
            return Err(InvokeError::Internal("an invoke waits for nothing".to_owned()));
        };
        let own_limit = Duration::from_secs(u64::from(self.function.timeout_s));
        let limit = self.fleet.limits().wait_limit.min(own_limit);
        // An event has a queue of its own to wait in.
        let limit = if matches!(origin, Origin::Event | Origin::Source) {
            limit.min(EVENT_WAIT_LIMIT)
        } else {
            limit
        };
        let began = Instant::now();
        let brought = tokio::time::timeout(limit, seat.brought()).await;
        self.waited += began.elapsed();
        let place = match brought {
            Ok(place) => {
                self.seat = None;
                place
            }
            Err(_elapsed) => {
                let place = self.leave_seat();
                let wish = wish(&self.function, &self.beginning);
                place.ok_or_else(|| Full::Host(self.fleet.pool().shortage(&wish)))
            }
        };
        if place.is_err() {
            self.fleet.pool().leave(&wish(&self.function, &self.beginning), self.lane);
        }
        self.settle(place)
    }

    /// Waits, while an environment starts for it, for one that becomes idle before. There may never be one.
    pub(crate) async fn overtaken(&mut self) -> Turn {
        let brought = match self.seat.as_mut() {
            Some(seat) => seat.brought().await,
            None => std::future::pending().await,
        };
        self.seat = None;
        match brought {
            Ok(Place::Warm { environment, lane }) => {
                self.lane = lane;
                // A provisioned one has counted it out already.
                Turn::Warm(environment)
            }
            // The pool is gone, and so is the server.
            _ => std::future::pending().await,
        }
    }

    /// The environment that starts for it is ready, or failed: it takes no other one.
    pub(crate) fn stop_seeking(&mut self) {
        let brought = self.leave_seat();
        self.undo(brought);
    }

    /// Memory for a second attempt at an environment in the same place.
    pub(crate) fn another_share(&self) -> Arc<Share> {
        let bytes = self.fleet.pool().needs(&wish(&self.function, &self.beginning));
        self.fleet.ledger.share(bytes)
    }

    /// Somebody else looks after the environment that starts for it.
    pub(crate) fn orphan(&self) -> Orphan {
        Orphan {
            fleet: Arc::clone(&self.fleet),
            function: Arc::clone(&self.function),
            tenant: self.beginning.tenant.clone(),
            is_settled: false,
        }
    }

    fn leave_seat(&mut self) -> Option<Place<Environment>> {
        let seat = self.seat.take()?;
        self.fleet.pool().leave_seat(&self.function.key, seat)
    }

    /// Gives back what the seat brought when it was not wanted any more.
    fn undo(&mut self, brought: Option<Place<Environment>>) {
        let now = self.fleet.clock().now();
        match brought {
            Some(Place::Warm { environment, lane }) => {
                let mut pool = self.fleet.pool();
                let unwanted = pool.put_back(environment, lane, now);
                if lane == Lane::Provisioned && self.counts {
                    // It was counted out for it, and counts again.
                    pool.admission().enter_again(wish_of(&self.function).owner);
                }
                drop(pool);
                kill_all(unwanted.as_slice());
            }
            Some(Place::New { share, seat }) => {
                let mut pool = self.fleet.pool();
                let nothing = pool.leave_seat(&self.function.key, seat);
                pool.lost(&wish(&self.function, &self.beginning), Lane::OnDemand);
                drop(pool);
                drop(share);
                self.undo(nothing);
            }
            Some(Place::Later { .. }) | None => {}
        }
    }

    /// Takes what the pool said.
    fn settle(&mut self, place: Result<Place<Environment>, Full>) -> Result<Turn, InvokeError> {
        self.counts = place.is_ok();
        self.has_place = false;
        match place {
            Ok(Place::Warm { environment, lane }) => {
                self.has_place = true;
                self.lane = lane;
                Ok(Turn::Warm(environment))
            }
            Ok(Place::New { share, seat }) => {
                self.has_place = true;
                self.lane = Lane::OnDemand;
                self.seat = Some(seat);
                Ok(Turn::Cold(share))
            }
            Ok(Place::Later { seat }) => {
                self.lane = Lane::OnDemand;
                self.seat = Some(seat);
                Ok(Turn::Later)
            }
            Err(full) => {
                let error = match full {
                    Full::Throttled(throttle) => InvokeError::Throttled(throttle),
                    Full::Host(shortage) => InvokeError::HostFull(shortage),
                    Full::Closing => InvokeError::ShuttingDown,
                };
                self.note(Ended::refused(&error));
                Err(error)
            }
        }
    }

    /// The invoke is over and its environment good for the next.
    pub(crate) fn give_back(mut self, environment: Arc<Environment>) {
        // Before the pool has it: from then on the next invoke may be waking it.
        environment.rest();
        let now = self.fleet.clock().now();
        if !environment.is_fresh(now) {
            // Dropping the ticket counts it out.
            return environment.end(Reason::Spindown);
        }
        if self.lane == Lane::Provisioned && !environment.is_fresh(now.after(REPLACE_AHEAD)) {
            // It is to be replaced, and may never be idle for long.
            self.refill();
        }
        let is_first = environment.has_run();
        let mut pool = self.fleet.pool();
        if is_first {
            let (used_bytes, peak_bytes) = environment.memory_bytes();
            pool.has_run(&environment, peak_bytes.max(used_bytes));
        }
        let unwanted = pool.put_back(environment, self.lane, now);
        pool.leave(&wish(&self.function, &self.beginning), self.lane);
        drop(pool);
        (self.counts, self.has_place) = (false, false);
        if let Some(unwanted) = unwanted {
            unwanted.end(Reason::Spindown);
        }
    }

    /// A provisioned environment that is gone is to be replaced.
    fn refill(&self) {
        if self.lane == Lane::Provisioned {
            self.fleet.keeper().look();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.seat.is_some() {
            let brought = self.leave_seat();
            self.undo(brought);
        }
        if self.has_place || self.counts {
            let wish = wish(&self.function, &self.beginning);
            let mut pool = self.fleet.pool();
            if self.has_place {
                pool.lost(&wish, self.lane);
            }
            pool.leave(&wish, self.lane);
            drop(pool);
            self.refill();
        }
        let mut ended = self.ended.take();
        if let Some(ended) = ended.as_mut() {
            ended.waited_ms = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        }
        self.fleet.meter().record(&self.beginning, ended);
    }
}

fn wish<'a>(function: &'a FunctionConfig, beginning: &'a Beginning) -> Wish<'a> {
    Wish { tenant: beginning.tenant.as_ref(), ..wish_of(function) }
}

/// An environment of the function that is nobody's in particular.
pub(super) fn wish_of(function: &FunctionConfig) -> Wish<'_> {
    let owner = Owner { account: function.account, region: &function.region, arn: &function.arn };
    Wish {
        owner,
        key: &function.key,
        generation: function.generation,
        tenant: None,
        memory_mib: function.memory_mib,
    }
}

/// The place of an environment that is starting, and whose invoke has found another one. It is given back if the
/// environment does not come to life.
pub(crate) struct Orphan {
    fleet: Arc<Inner>,
    function: Arc<FunctionConfig>,
    tenant: Option<Arc<str>>,
    is_settled: bool,
}

impl Orphan {
    /// It is ready for whoever comes.
    pub(crate) fn settle(mut self, environment: Arc<Environment>) {
        self.is_settled = true;
        // Before the pool has it: from then on the next invoke may be waking it.
        environment.rest();
        let now = self.fleet.clock().now();
        let mut gone: Vec<_> =
            self.fleet.pool().put_back(Arc::clone(&environment), Lane::OnDemand, now).into_iter().collect();
        if environment.session.has_departed() {
            // Its end was told before the pool knew it.
            gone.extend(self.fleet.pool().remove(&environment));
        }
        kill_all(&gone);
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if !self.is_settled {
            let wish = Wish { tenant: self.tenant.as_ref(), ..wish_of(&self.function) };
            self.fleet.pool().lost(&wish, Lane::OnDemand);
        }
    }
}
