//! One invoke's place in the pool: counted in, an environment or the room for one, counted out. Nothing leaks, however
//! the invoke ends: dropping the ticket gives everything back.

use std::sync::Arc;

use super::pool::{Full, Place};
use super::{Environment, Inner};
use crate::function::FunctionConfig;
use crate::invoke::{InvokeError, Throttle};

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
    /// An environment, or the room for one, is counted as busy for this invoke.
    has_place: bool,
    settled: bool,
}

impl Ticket {
    /// Counts an invoke in and finds its place.
    pub(crate) fn enter(
        fleet: &Arc<Inner>,
        function: Arc<FunctionConfig>,
    ) -> Result<(Self, Turn), InvokeError> {
        let mut pool = fleet.pool();
        pool.enter(function.account, &function.region).map_err(throttled)?;
        let place = pool.take(&function.key, function.generation);
        if place.is_err() {
            pool.leave(function.account, &function.region);
        }
        drop(pool);
        let turn = turn(place.map_err(throttled)?);
        Ok((Ticket { fleet: Arc::clone(fleet), function, has_place: true, settled: false }, turn))
    }

    pub(crate) fn fleet(&self) -> &Arc<Inner> {
        &self.fleet
    }

    pub(crate) fn function(&self) -> &Arc<FunctionConfig> {
        &self.function
    }

    /// The environment is of no use: another place, please.
    pub(crate) fn try_elsewhere(&mut self) -> Result<Turn, InvokeError> {
        let mut pool = self.fleet.pool();
        pool.lost(&self.function.key);
        self.has_place = false;
        let place = pool.take(&self.function.key, self.function.generation);
        self.has_place = place.is_ok();
        drop(pool);
        place.map(turn).map_err(throttled)
    }

    /// The invoke is over and its environment good for the next.
    pub(crate) fn give_back(mut self, environment: Arc<Environment>) {
        // Before the pool has it: from then on the next invoke may be waking it.
        environment.rest();
        let now = self.fleet.clock().now();
        if !environment.is_fresh(now) {
            // Dropping the ticket counts it out.
            return environment.kill();
        }
        let mut pool = self.fleet.pool();
        let unwanted = pool.put_back(environment, now);
        pool.leave(self.function.account, &self.function.region);
        drop(pool);
        self.settled = true;
        if let Some(unwanted) = unwanted {
            unwanted.kill();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut pool = self.fleet.pool();
        if self.has_place {
            pool.lost(&self.function.key);
        }
        pool.leave(self.function.account, &self.function.region);
    }
}

fn turn(place: Place<Environment>) -> Turn {
    match place {
        Place::Warm(environment) => Turn::Warm(environment),
        Place::New { evicted } => {
            if let Some(evicted) = evicted {
                evicted.kill();
            }
            Turn::Cold
        }
    }
}

fn throttled(full: Full) -> InvokeError {
    match full {
        Full::Account => InvokeError::Throttled(Throttle::ConcurrentInvocationLimitExceeded),
        Full::Host => InvokeError::HostFull,
    }
}
