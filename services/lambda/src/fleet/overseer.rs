//! The overseer of the host's memory: it reads how much there is, measures who grows, lets idle environments go when it
//! is short, and has those let in who wait for room.
//!
//! What is promised to whom is the `ledger`'s, who waits and who goes is the `pool`'s.
//!
//! It reads once a second while there are environments, more often when memory is short, and seldom otherwise.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use base::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;

use super::host_memory::MemorySource;
use super::ledger::{Ledger, Pressure};
use super::{Environment, Fleet, Inner, kill_all};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_WHEN_EMPTY: Duration = Duration::from_secs(10);
const LOOK_WHEN_SHORT: Duration = Duration::from_millis(200);
/// How often the log says that requests wait.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// When memory is getting short, the idle stay for this part of their time only.
const SHORTER_IDLE: u32 = 10;

/// Things that hold memory only to be faster later: they give it back before a request has to wait for long.
pub(crate) trait Spare: Send + Sync {
    /// Gives back so many bytes, or what it has, soon. Must not block.
    fn give_back(&self, bytes: u64);
}

/// What the overseer knows.
pub(crate) struct Overseer {
    source: Arc<dyn MemorySource>,
    environments: Mutex<Vec<Weak<Environment>>>,
    spares: Mutex<Vec<Weak<dyn Spare>>>,
    /// There was no environment, and now there is.
    begins: Arc<Notify>,
    warned: Mutex<Option<Instant>>,
}

impl Overseer {
    pub(super) fn new(source: Arc<dyn MemorySource>) -> Self {
        Overseer {
            source,
            environments: Mutex::default(),
            spares: Mutex::default(),
            begins: Arc::default(),
            warned: Mutex::default(),
        }
    }

    /// An environment has begun to start.
    pub(super) fn has_come(&self, environment: &Arc<Environment>) {
        let mut environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
        if environments.is_empty() {
            self.begins.notify_one();
        }
        environments.push(Arc::downgrade(environment));
    }

    /// Those that live. Forgets the others.
    fn living(&self) -> Vec<Arc<Environment>> {
        let mut living = Vec::new();
        self.environments.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| match one.upgrade() {
            Some(environment) => {
                living.push(environment);
                true
            }
            None => false,
        });
        living
    }

    /// Whether it is time to say again that requests wait.
    fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let may = warned.is_none_or(|last| last.elapsed() >= WARN_EVERY);
        if may {
            *warned = Some(Instant::now());
        }
        may
    }

    fn ask_spares(&self, bytes: u64) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.retain(|spare| spare.strong_count() > 0);
        let asked: Vec<_> = spares.iter().filter_map(Weak::upgrade).collect();
        drop(spares);
        for spare in asked {
            spare.give_back(bytes);
        }
    }
}

/// How the fleet stands.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FleetStatus {
    /// Environments that exist or are being started.
    pub environments: usize,
    /// How many of them are idle.
    pub idle: usize,
    /// Invokes that wait for room on the host.
    pub waiting: usize,
    /// What environments may use together, in bytes; `None` if that is not limited.
    pub memory_budget_bytes: Option<u64>,
    /// What has been promised to them.
    pub memory_held_bytes: u64,
    /// What they used when they were measured last.
    pub memory_used_bytes: u64,
    /// The stock of waiting workers; `None` if there is none.
    pub workers: Option<super::WorkersStatus>,
    /// Starts of Python functions; `None` without images.
    pub images: Option<super::ImageStarts>,
}

impl Fleet {
    /// How the fleet stands now.
    #[must_use]
    pub fn status(&self) -> FleetStatus {
        let counts = self.inner.pool().counts();
        let ledger = &self.inner.ledger;
        FleetStatus {
            environments: counts.environments,
            idle: counts.idle,
            waiting: counts.waiting,
            memory_budget_bytes: Some(ledger.budget_bytes()).filter(|bytes| *bytes != u64::MAX),
            memory_held_bytes: ledger.held_bytes(),
            memory_used_bytes: ledger.used_bytes(),
            workers: self.inner.stock.as_ref().map(|stock| stock.status()),
            images: self.inner.workshop.image_starts(),
        }
    }
}

impl Inner {
    /// When memory is short, this is asked for its own after idle environments have gone.
    pub(crate) fn add_spare(&self, spare: Weak<dyn Spare>) {
        self.overseer.spares.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
    }

    /// Reads how much memory there is, and lets idle environments go if it is short. Says whether it is. Blocks for some
    /// microseconds, and as many for each environment that has been busy for long.
    pub(super) fn look_at_memory(&self) -> bool {
        for environment in self.overseer.living() {
            if environment.measure_if_busy() {
                self.pool().grew(&environment);
            }
        }
        let pressure = self.ledger.take_reading(self.overseer.source.read());
        let gone = match pressure {
            Pressure::None => return false,
            Pressure::Mild => {
                let now = self.clock.now();
                let idle_ms = (self.limits.idle_timeout / SHORTER_IDLE).as_millis();
                let idle_ms = i64::try_from(idle_ms).unwrap_or(i64::MAX);
                self.pool().expire(Timestamp(now.as_millis().saturating_sub(idle_ms)), now)
            }
            Pressure::Over(bytes) => {
                let short = bytes.saturating_sub(self.ledger.leaving_bytes());
                let mut pool = self.pool();
                let freed = pool.evict_worth(short, None);
                let gone = pool.take_evicted();
                drop(pool);
                if freed < short {
                    self.overseer.ask_spares(short - freed);
                }
                if !gone.is_empty() {
                    tracing::warn!(
                        over_mib = bytes >> 20,
                        gone = gone.len(),
                        "memory is short: idle environments go"
                    );
                }
                gone
            }
        };
        kill_all(&gone);
        true
    }
}

/// Looks at the memory for as long as there is a fleet.
pub(super) async fn watch_memory(fleet: Weak<Inner>) {
    loop {
        let Some(inner) = fleet.upgrade() else { return };
        let begins = Arc::clone(&inner.overseer.begins);
        let looked = tokio::task::spawn_blocking(move || {
            let is_short = inner.look_at_memory();
            let is_empty = inner.pool().count().0 == 0;
            (is_short, is_empty)
        });
        let pause = match looked.await {
            Ok((true, _)) => LOOK_WHEN_SHORT,
            Ok((false, true)) => LOOK_WHEN_EMPTY,
            _ => LOOK_EVERY,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = begins.notified() => {}
        }
    }
}

/// Lets those in who wait for room, whenever there is some, for as long as there is a fleet.
pub(super) async fn let_in(fleet: Weak<Inner>, ledger: Arc<Ledger>) {
    loop {
        ledger.freed().await;
        let Some(inner) = fleet.upgrade() else { return };
        let now = inner.clock.now();
        let mut pool = inner.pool();
        let wants_room = pool.serve(now);
        let (evicted, waiting) = (pool.take_evicted(), pool.counts().waiting);
        drop(pool);
        kill_all(&evicted);
        if wants_room {
            inner.keeper.look();
        }
        if waiting == 0 {
            continue;
        }
        if evicted.is_empty() && ledger.leaving_bytes() == 0 {
            inner.overseer.ask_spares(worth(waiting));
        }
        if inner.overseer.may_warn() {
            let (used_mib, budget_mib) = (ledger.used_bytes() >> 20, ledger.budget_bytes() >> 20);
            tracing::warn!(waiting, used_mib, budget_mib, "requests wait: the host is full");
        }
    }
}

/// What stocks are asked for when so many wait and nobody idle is left.
fn worth(waiting: usize) -> u64 {
    super::ledger::FIRST_GUESS_BYTES.saturating_mul(waiting as u64)
}
