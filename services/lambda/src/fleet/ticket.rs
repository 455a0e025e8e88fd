//! One invoke's place in the pool: counted in, an environment or the room for one, counted out. Nothing leaks, however
//! the invoke ends: dropping the ticket gives everything back, and writes the invoke's record.

use std::sync::{Arc, OnceLock};

use super::admission::Owner;
use super::ending::Reason;
use super::keeper::REPLACE_AHEAD;
use super::pool::{Full, Lane, Place, Wish};
use super::{Environment, Inner};
use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Origin};
use crate::metering::{Beginning, Ended};

/// Where the invoke may run.
pub(crate) enum Turn {
    /// In this environment, which is warm.
    Warm(Arc<Environment>),
    /// In a new one.
    Cold,
}

/// One invoke's place.
pub(crate) struct Ticket {
    fleet: Arc<Inner>,
    function: Arc<FunctionConfig>,
    beginning: Beginning,
    lane: Lane,
    /// It counts, and an environment, or the room for one, is busy for it.
    has_place: bool,
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
        let place = fleet.pool().enter(&wish(&function, &beginning), has_rate, now);
        let mut ticket = Ticket {
            fleet: Arc::clone(fleet),
            function,
            beginning,
            lane: Lane::OnDemand,
            has_place: false,
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
        let place = self.fleet.pool().elsewhere(&wish, self.lane, now);
        self.refill();
        self.settle(place)
    }

    /// Takes what the pool said.
    fn settle(&mut self, place: Result<Place<Environment>, Full>) -> Result<Turn, InvokeError> {
        self.has_place = place.is_ok();
        match place {
            Ok(Place::Warm { environment, lane }) => {
                self.lane = lane;
                Ok(Turn::Warm(environment))
            }
            Ok(Place::New { evicted }) => {
                self.lane = Lane::OnDemand;
                if let Some(evicted) = evicted {
                    evicted.end(Reason::Spindown);
                }
                Ok(Turn::Cold)
            }
            Err(full) => {
                let error = match full {
                    Full::Throttled(throttle) => InvokeError::Throttled(throttle),
                    Full::Host => InvokeError::HostFull,
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
        let mut pool = self.fleet.pool();
        let unwanted = pool.put_back(environment, self.lane, now);
        pool.leave(&wish(&self.function, &self.beginning), self.lane);
        drop(pool);
        self.has_place = false;
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
        if self.has_place {
            let wish = wish(&self.function, &self.beginning);
            let mut pool = self.fleet.pool();
            pool.lost(&wish, self.lane);
            pool.leave(&wish, self.lane);
            drop(pool);
            self.refill();
        }
        self.fleet.meter().record(&self.beginning, self.ended.take());
    }
}

fn wish<'a>(function: &'a FunctionConfig, beginning: &'a Beginning) -> Wish<'a> {
    Wish { tenant: beginning.tenant.as_ref(), ..wish_of(function) }
}

/// An environment of the function that is nobody's in particular.
pub(super) fn wish_of(function: &FunctionConfig) -> Wish<'_> {
    let owner = Owner { account: function.account, region: &function.region, arn: &function.arn };
    Wish { owner, key: &function.key, generation: function.generation, tenant: None }
}
