//! Whose turn it is: the order in which waiting deliveries are started.
//!
//! Each subscription is a lane. Lanes take turns, one delivery each, so that a long backlog is nobody else's delay. A lane
//! whose server fails is narrowed to one delivery at a time and widens again with each success; servers (hosts) have a
//! limit over all their lanes, too. So a server that never answers holds a few of the places and no more.
//!
//! Nothing is truth here: lanes are rebuilt from the store.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use base::Timestamp;
use store::{Range, Store, StoreError, TxError, value};

use super::jobs::Job;
use super::web;
use crate::keys::{self, VERSION};

/// The most deliveries at once.
const MAX_RUNNING: usize = 256;
/// The most deliveries at once to one server.
const MAX_PER_HOST: usize = 32;
/// The most deliveries at once of one subscription.
const MAX_WIDTH: usize = 16;
/// How many due rows of a lane are read at a time.
const READ_AHEAD: usize = 32;
/// How long a lane rests that could not be read or written.
const REST_MS: i64 = 5_000;

/// A delivery to be started.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) lane: String,
    pub(super) key: Vec<u8>,
    pub(super) job: Job,
    pub(super) host: String,
}

/// How a delivery ended, for the order of those that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Well, or there was nothing to do.
    Well,
    /// The target failed.
    Badly,
    /// It is not known in the store how it ended: try again after a rest.
    Unsettled,
}

#[derive(Default)]
struct Lane {
    /// The rows that are being delivered.
    running: HashSet<Vec<u8>>,
    /// Due rows that are not.
    next: VecDeque<(Vec<u8>, Job)>,
    /// How many may run at once.
    width: usize,
    /// Waits in the queue of turns.
    queued: bool,
    /// Waits for a place at its server.
    at_host: bool,
    /// When it looks at its rows again without being told.
    timer: Option<i64>,
    /// Not before: its policy limits the pace.
    not_before_ms: i64,
}

/// All lanes that have something to do.
pub(super) struct Lanes {
    store: Store,
    lanes: HashMap<String, Lane>,
    turns: VecDeque<String>,
    timers: BTreeSet<(i64, String)>,
    running: usize,
    hosts: HashMap<String, usize>,
    /// Lanes that wait for a place at their server.
    at_host: HashMap<String, VecDeque<String>>,
}

impl Lanes {
    pub(super) fn new(store: Store) -> Self {
        Lanes {
            store,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            timers: BTreeSet::new(),
            running: 0,
            hosts: HashMap::new(),
            at_host: HashMap::new(),
        }
    }

    /// Finds the lanes that have rows: after a start. One read per lane.
    pub(super) fn restore(&mut self) -> Result<(), StoreError> {
        let mut range: Range = keys::jobs().range().limit(1);
        while let Some((key, _)) = self.store.range(range.clone())?.into_iter().next() {
            let Some(found) = keys::read_job(&key) else {
                tracing::error!("a delivery's key cannot be read");
                return Ok(());
            };
            range.from = keys::lane(&found.lane).prefix_end();
            self.wake(found.lane);
        }
        Ok(())
    }

    /// Something was added to a lane, or it may go on.
    pub(super) fn wake(&mut self, id: String) {
        let lane = self.lanes.entry(id.clone()).or_insert_with(|| Lane { width: 1, ..Lane::default() });
        if !lane.queued {
            lane.queued = true;
            self.turns.push_back(id);
        }
    }

    /// The moment of the next timer.
    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| Timestamp(*due))
    }

    /// Wakes the lanes whose timers are over.
    pub(super) fn tick(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.timers.first().cloned() {
            if due > now.as_millis() {
                return;
            }
            self.timers.pop_first();
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.timer = None;
            }
            self.wake(id);
        }
    }

    fn set_timer(&mut self, id: &str, due: i64) {
        let Some(lane) = self.lanes.get_mut(id) else { return };
        if let Some(old) = lane.timer.replace(due) {
            self.timers.remove(&(old, id.to_owned()));
        }
        self.timers.insert((due, id.to_owned()));
    }

    /// A delivery ended.
    pub(super) fn ended(&mut self, start: &Start, how: Ended, now: Timestamp) {
        self.running -= 1;
        if let Some(busy) = self.hosts.get_mut(&start.host) {
            *busy -= 1;
            if *busy == 0 {
                self.hosts.remove(&start.host);
            }
        }
        if let Some(waiting) = self.at_host.get_mut(&start.host) {
            let first = waiting.pop_front();
            if waiting.is_empty() {
                self.at_host.remove(&start.host);
            }
            if let Some(id) = first {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.at_host = false;
                }
                self.wake(id);
            }
        }
        if let Some(lane) = self.lanes.get_mut(&start.lane) {
            lane.running.remove(&start.key);
            lane.width = match how {
                Ended::Well => (lane.width * 2).min(MAX_WIDTH),
                Ended::Badly | Ended::Unsettled => 1,
            };
        }
        match how {
            Ended::Unsettled => self.set_timer(&start.lane, now.as_millis() + REST_MS),
            Ended::Well | Ended::Badly => self.wake(start.lane.clone()),
        }
    }

    /// The next delivery, if there is one that may start now.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Start> {
        while self.running < MAX_RUNNING {
            let id = self.turns.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.queued = false;
            if lane.running.len() >= lane.width || lane.at_host {
                continue; // woken when one ends
            }
            if lane.not_before_ms > now.as_millis() {
                let due = lane.not_before_ms;
                self.set_timer(&id, due);
                continue;
            }
            let host = match self.look(&id, now) {
                Ok(Some(host)) => host,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, "waiting deliveries cannot be read");
                    self.set_timer(&id, now.as_millis() + REST_MS);
                    continue;
                }
            };
            if self.hosts.get(&host).is_some_and(|busy| *busy >= MAX_PER_HOST) {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.at_host = true;
                }
                self.at_host.entry(host).or_default().push_back(id);
                continue;
            }
            if let Some(start) = self.take(id, host, now) {
                return Some(start);
            }
        }
        None
    }

    /// Makes sure that a lane knows its next due row, and says which server that is for. `None`: nothing is due.
    fn look(&mut self, id: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        let Some(lane) = self.lanes.get_mut(id) else { return Ok(None) };
        let mut later = None;
        if lane.next.is_empty() {
            let limit = lane.running.len() + READ_AHEAD;
            for (key, bytes) in self.store.range(keys::lane(id).range().limit(limit))? {
                if lane.running.contains(key.as_ref()) {
                    continue;
                }
                let due = keys::read_job(&key).map_or(i64::MIN, |key| key.due_ms);
                if due > now.as_millis() {
                    later = Some(due);
                    break;
                }
                lane.next.push_back((key.to_vec(), value::decode(VERSION, &bytes).map_err(TxError::from)?));
            }
        }
        if let Some((_, job)) = lane.next.front() {
            return Ok(Some(host_of(job)));
        }
        match later {
            Some(due) => self.set_timer(id, due),
            None if lane.running.is_empty() => {
                if let Some(timer) = lane.timer {
                    self.timers.remove(&(timer, id.to_owned()));
                }
                self.lanes.remove(id);
            }
            None => {}
        }
        Ok(None)
    }

    /// Takes the row that [`Lanes::look`] saw.
    fn take(&mut self, id: String, host: String, now: Timestamp) -> Option<Start> {
        let lane = self.lanes.get_mut(&id)?;
        let (key, job) = lane.next.pop_front()?;
        lane.running.insert(key.clone());
        if let Some(rate) = job.target.policy.max_receives_per_second.filter(|_| job.given_up.is_none()) {
            lane.not_before_ms = now.as_millis() + 1000 / i64::from(rate.max(1));
        }
        self.running += 1;
        *self.hosts.entry(host.clone()).or_default() += 1;
        self.wake(id.clone()); // behind all others
        Some(Start { lane: id, key, job, host })
    }
}

/// What a delivery goes to: a server, or a service.
fn host_of(job: &Job) -> String {
    match job.target.protocol.is_http() && job.given_up.is_none() {
        true => web::host_of(&job.target.endpoint),
        false => job.target.protocol.as_str().to_owned(),
    }
}
