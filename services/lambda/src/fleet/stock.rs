//! The stock of waiting workers: interpreters that were booted before anybody knew their function (see `worker`).
//!
//! How many of a kind wait follows from how many environments of that kind were started lately: none when the server
//! starts, one after the first start (or the first function that needs it), as many as were started within a minute, up
//! to a bound; none again after a quiet while. They are made one at a time, a moment after the last start, so that what is
//! running is not slowed down. The stock only ever makes a start faster: a start that finds none is a plain one.
//!
//! All is by the platform's clock but the moment before a worker is made.
//!
//! **Invariant:** a worker is given to one function, once.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::{Clock, Timestamp};
use runtimes::Language;
use sandbox::BoxSpec;
use serde::Serialize;
use tokio::sync::Notify;

use super::boxes::{EnvBox, Launcher, Waiting};
use super::overseer::Spare;
use super::worker::{Kind, Places};

/// The bounds of a stock.
#[derive(Clone, Copy, Debug)]
pub struct StockLimits {
    /// The most workers of one kind that wait. 0: none are made.
    pub max_of_kind: usize,
    /// The most workers of all kinds together.
    pub max: usize,
    /// The most memory that they may take together, by what one of its language usually takes. In bytes.
    pub memory_bytes: u64,
    /// After so long without a start of their kind none wait any more. By the platform's clock.
    pub idle_timeout: Duration,
}

impl StockLimits {
    /// No worker is ever made.
    pub const OFF: StockLimits =
        StockLimits { max_of_kind: 0, max: 0, memory_bytes: 0, idle_timeout: Duration::ZERO };

    /// For a host with so much memory.
    #[must_use]
    pub fn for_host(memory_bytes: u64) -> Self {
        StockLimits {
            max_of_kind: 4,
            max: 12,
            memory_bytes: memory_bytes / 20,
            idle_timeout: Duration::from_secs(10 * 60),
        }
    }
}

/// Starts within this time count for how many shall wait.
const RECENT: Duration = Duration::from_secs(60);
/// A worker that has waited for longer is replaced.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// How often the stock is looked through without a reason.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a start its function initialises: a worker is made when that is over, most likely. By real time.
const MOMENT: Duration = Duration::from_millis(150);
/// Starts that follow one another do not put it off for ever. By real time.
const MOMENTS: u32 = 5;
/// After a worker could not be made, or memory was short.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Memory of a waiting worker that it shares with nobody, as measured, rounded up. In bytes.
fn usual_bytes(language: Language) -> u64 {
    let mebibytes = match language {
        Language::Node => 16,
        Language::Ruby => 12,
        _ => 48,
    };
    mebibytes << 20
}

/// Workers that wait.
pub(crate) struct Stock {
    launcher: Arc<dyn Launcher>,
    clock: Clock,
    limits: StockLimits,
    places: Places,
    shelves: Mutex<HashMap<Arc<Kind>, Shelf>>,
    told: Arc<Notify>,
    next: AtomicU64,
    counts: Counts,
    closed: AtomicBool,
    /// Memory was short: none is made before.
    short_until: Mutex<Timestamp>,
}

/// How the stock stands, and what came of starts since the server began.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WorkersStatus {
    /// Workers that wait.
    pub waiting: usize,
    /// Starts from a waiting worker.
    pub bound: u64,
    /// Plain starts of functions that could have had a worker: none waited.
    pub missed: u64,
    /// Plain starts of functions that want their process started in a way of their own. The log tells which, and why.
    pub unusual: u64,
    /// Workers that turned out to be of no use.
    pub failed: u64,
}

/// How environments were started.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// From a waiting worker.
    pub(crate) bound: AtomicU64,
    /// Plainly, because none waited.
    pub(crate) missed: AtomicU64,
    /// Plainly, because the function is unusual.
    pub(crate) unusual: AtomicU64,
    /// Plainly, because a worker that waited was of no use.
    pub(crate) failed: AtomicU64,
}

/// What waits of one kind.
struct Shelf {
    /// The longest waiting first.
    waiting: VecDeque<Worker>,
    /// Of the starts lately.
    starts: VecDeque<Timestamp>,
    wanted_at: Timestamp,
    /// One could not be made: not again before.
    retry_at: Option<Timestamp>,
}

struct Worker {
    waiting: Box<dyn Waiting>,
    since: Timestamp,
}

impl Stock {
    /// An empty one; `None` if it shall stay empty. Needs a Tokio runtime. `dir` is a directory of its own.
    pub(crate) fn start(
        launcher: Arc<dyn Launcher>,
        clock: Clock,
        limits: StockLimits,
        dir: &std::path::Path,
    ) -> Option<Arc<Self>> {
        if limits.max_of_kind == 0 || limits.max == 0 {
            return None;
        }
        let stock = Arc::new(Stock {
            launcher,
            clock: clock.clone(),
            limits,
            places: Places::below(dir),
            shelves: Mutex::default(),
            told: Arc::default(),
            next: AtomicU64::new(1),
            counts: Counts::default(),
            closed: AtomicBool::new(false),
            short_until: Mutex::default(),
        });
        tokio::spawn(keep(Arc::downgrade(&stock), Arc::clone(&stock.told), clock));
        Some(stock)
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How it stands.
    pub(crate) fn status(&self) -> WorkersStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkersStatus {
            waiting: self.shelves().values().map(|shelf| shelf.waiting.len()).sum(),
            bound: count(&self.counts.bound),
            missed: count(&self.counts.missed),
            unusual: count(&self.counts.unusual),
            failed: count(&self.counts.failed),
        }
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<Arc<Kind>, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of all workers, and makes no more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let gone = std::mem::take(&mut *self.shelves());
        drop(gone);
    }

    /// A function of this kind may be started soon.
    pub(crate) fn expect(&self, kind: Kind) {
        let now = self.clock.now();
        let mut shelves = self.shelves();
        shelf_of(&mut shelves, Arc::new(kind), now).wanted_at = now;
        drop(shelves);
        self.told.notify_one();
    }

    /// The box that would otherwise be started from `spec`, made of a waiting worker; `None` if none waits.
    pub(crate) async fn bind(&self, kind: Kind, spec: &BoxSpec) -> Option<Box<dyn EnvBox>> {
        let Some(binding) = kind.binding(spec, &self.places) else {
            self.counts.unusual.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let kind = Arc::new(kind);
        let mut worker = self.take(&kind, true);
        while let Some(waiting) = worker {
            match waiting.bind(binding.clone()).await {
                Ok(bound) => {
                    self.counts.bound.fetch_add(1, Ordering::Relaxed);
                    return Some(bound);
                }
                Err(error) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(id = spec.id, %error, "a waiting worker was of no use");
                    worker = self.take(&kind, false);
                }
            }
        }
        self.counts.missed.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(id = spec.id, language = ?kind.language, "a plain start: no worker waits");
        None
    }

    /// One that waits. With `is_start` it counts as a start of its kind.
    fn take(&self, kind: &Arc<Kind>, is_start: bool) -> Option<Box<dyn Waiting>> {
        let now = self.clock.now();
        let mut shelves = self.shelves();
        let shelf = shelf_of(&mut shelves, Arc::clone(kind), now);
        if is_start {
            shelf.wanted_at = now;
            shelf.starts.push_back(now);
            if shelf.starts.len() > self.limits.max_of_kind {
                shelf.starts.pop_front();
            }
        }
        // The dead ones are dropped after the lock, with what is left of the iterator.
        let mut dead = Vec::new();
        let found = loop {
            match shelf.waiting.pop_front() {
                Some(worker) if worker.waiting.is_alive() => break Some(worker.waiting),
                Some(worker) => dead.push(worker),
                None => break None,
            }
        };
        drop(shelves);
        self.told.notify_one();
        found
    }

    /// Lets go of what is dead, old, outdated or not wanted any more, and says which kind lacks a worker.
    fn tidy(&self) -> Option<Arc<Kind>> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let now = self.clock.now();
        let mut gone = Vec::new();
        let mut shelves = self.shelves();
        shelves.retain(|kind, shelf| {
            let is_wanted = now < shelf.wanted_at.after(self.limits.idle_timeout) && kind.is_current();
            let wanted = if is_wanted { shelf.wanted(now) } else { 0 };
            let is_good = |worker: &Worker| worker.waiting.is_alive() && now < worker.since.after(MAX_AGE);
            let (good, bad) = std::mem::take(&mut shelf.waiting).into_iter().partition(is_good);
            shelf.waiting = good;
            gone.push(bad);
            let surplus = shelf.waiting.len().saturating_sub(wanted);
            gone.push(shelf.waiting.drain(..surplus).collect());
            is_wanted
        });
        let lacking = { shelves.iter() }.filter(|(_, shelf)| shelf.lacks(now));
        let next = lacking.max_by_key(|(_, shelf)| shelf.wanted_at).map(|(kind, _)| Arc::clone(kind));
        let is_short = now < *self.short_until.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.filter(|kind| !is_short && self.make_room(&mut shelves, kind, &mut gone));
        drop(shelves);
        drop::<Vec<VecDeque<Worker>>>(gone);
        next
    }

    /// Whether there is room for one more worker, after those of kinds that were wanted longer ago have gone for it.
    fn make_room(
        &self,
        shelves: &mut HashMap<Arc<Kind>, Shelf>,
        kind: &Arc<Kind>,
        gone: &mut Vec<VecDeque<Worker>>,
    ) -> bool {
        let wanted_at = shelves.get(kind).map_or(Timestamp(0), |shelf| shelf.wanted_at);
        loop {
            let count: usize = shelves.values().map(|shelf| shelf.waiting.len()).sum();
            let bytes: u64 = { shelves.iter() }
                .map(|(kind, shelf)| usual_bytes(kind.language) * shelf.waiting.len() as u64)
                .sum();
            if count < self.limits.max && bytes + usual_bytes(kind.language) <= self.limits.memory_bytes {
                return true;
            }
            let others = { shelves.values_mut() }
                .filter(|shelf| !shelf.waiting.is_empty() && shelf.wanted_at < wanted_at);
            let Some(oldest) = others.min_by_key(|shelf| shelf.wanted_at) else { return false };
            gone.push(oldest.waiting.pop_front().into_iter().collect());
        }
    }

    /// Makes one worker.
    async fn make(&self, kind: Arc<Kind>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("worker-{number}");
        let (places, equipped) = (self.places.clone(), Arc::clone(&kind));
        let made = tokio::task::spawn_blocking(move || places.make().and_then(|()| equipped.equip())).await;
        let made = match made {
            Ok(Ok(())) => self.launcher.prepare(kind.spec(id, &self.places)).await.map_err(|e| e.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let now = self.clock.now();
        let mut shelves = self.shelves();
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let shelf = shelf_of(&mut shelves, Arc::clone(&kind), now);
        match made {
            Ok(waiting) => shelf.waiting.push_back(Worker { waiting, since: now }),
            Err(error) => {
                shelf.retry_at = Some(now.after(RETRY_AFTER));
                drop(shelves);
                tracing::warn!(language = ?kind.language, error, "a worker could not be made ahead");
            }
        }
    }
}

fn shelf_of(shelves: &mut HashMap<Arc<Kind>, Shelf>, kind: Arc<Kind>, now: Timestamp) -> &mut Shelf {
    let empty =
        || Shelf { waiting: VecDeque::new(), starts: VecDeque::new(), wanted_at: now, retry_at: None };
    shelves.entry(kind).or_insert_with(empty)
}

impl Shelf {
    /// How many shall wait.
    fn wanted(&mut self, now: Timestamp) -> usize {
        while self.starts.front().is_some_and(|start| start.after(RECENT) <= now) {
            self.starts.pop_front();
        }
        self.starts.len().max(1)
    }

    fn lacks(&self, now: Timestamp) -> bool {
        let may = self.retry_at.is_none_or(|retry_at| retry_at <= now);
        may && self.waiting.len() < self.starts.len().max(1)
    }
}

impl Spare for Stock {
    fn give_back(&self, bytes: u64) {
        let now = self.clock.now();
        *self.short_until.lock().unwrap_or_else(PoisonError::into_inner) = now.after(RETRY_AFTER);
        let (mut gone, mut freed) = (Vec::new(), 0);
        let mut shelves = self.shelves();
        while freed < bytes {
            let full = shelves.iter_mut().filter(|(_, shelf)| !shelf.waiting.is_empty());
            let Some((kind, shelf)) = full.min_by_key(|(_, shelf)| shelf.wanted_at) else { break };
            freed += usual_bytes(kind.language);
            gone.extend(shelf.waiting.pop_front());
        }
        drop(shelves);
        drop::<Vec<Worker>>(gone);
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.told.notify_one();
    }
}

/// Keeps the stock for as long as it is there.
async fn keep(stock: Weak<Stock>, told: Arc<Notify>, clock: Clock) {
    while let Some(mut lacking) = stock.upgrade().map(|stock| stock.tidy()) {
        while let Some(kind) = lacking {
            quiet(&told).await;
            let Some(stock) = stock.upgrade() else { return };
            stock.make(kind).await;
            lacking = stock.tidy();
        }
        tokio::select! {
            () = told.notified() => {}
            () = clock.sleep_until(clock.now().after(LOOK_EVERY)) => {}
        }
    }
}

/// Waits until nothing was started for a moment, but not for ever.
async fn quiet(told: &Notify) {
    for _ in 0..MOMENTS {
        if tokio::time::timeout(MOMENT, told.notified()).await.is_err() {
            return;
        }
    }
}
