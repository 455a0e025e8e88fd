//! What memory knows of a queue's messages, and the rules of handing them out.
//!
//! It is a picture of the store that can be made anew from it: the messages that are out or delayed, a window of those
//! that may be received, and a cursor from which on the store was not looked at. Nothing here does I/O or waits; whoever
//! changes the picture holds the queue's lock for as long as it takes to do that.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use base::Timestamp;

use super::handle;
use super::ready::{Group, Ready};
use super::row::Lease;
pub(crate) use super::traffic::Grave;
pub(super) use super::traffic::{
    Arrival, Exit, Exits, Glimpse, Harvest, Held, Standing, Taken, Terms, Waiter,
};

/// The most messages of a standard queue that memory knows as ready.
const WINDOW: usize = 10_000;
/// The same for a FIFO queue: as far as AWS looks for groups that may go.
const FIFO_WINDOW: usize = 120_000;
/// The most lanes that get a place in the window ahead of their turn.
const LANES: usize = 1_000;
/// The most messages of a queue that may be out.
pub(crate) const MAX_IN_FLIGHT: usize = 120_000;
/// The largest content.
const MAX_BYTES: u32 = 1 << 20;
/// How long a receive can be repeated by its attempt id.
const ATTEMPT_MS: i64 = 5 * 60 * 1000;
/// The most attempts that a queue remembers.
const ATTEMPTS: usize = 10_000;

/// What is known of one message.
struct Entry {
    sent_at: Timestamp,
    place: Place,
    /// When it comes back, if it is out or delayed.
    until: Timestamp,
    count: u32,
    first_received_at: Timestamp,
    nonce: u64,
    /// Whether there is a row of its lease, or will be before anything that is written later.
    lease_is_written: bool,
    group: Group,
    held: Option<Held>,
    bytes: u32,
    pieces: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Delayed,
    Out,
    /// Its end is on the way to disk.
    Leaving {
        was_out: bool,
    },
}

/// What happened since a read of the store began: the reader sees things as they were then.
struct Reading {
    /// The highest number heard of when it began: whatever is there up to it, the reader sees.
    newest: u64,
    left: BTreeSet<u64>,
    purged: u64,
}

impl Reading {
    /// Whether a message left since.
    fn has_lost(&self, seq: u64) -> bool {
        seq < self.purged || self.left.contains(&seq)
    }
}

struct Attempt {
    until: Timestamp,
    receives: Vec<(u64, u64)>,
}

pub(super) struct State {
    known: BTreeMap<u64, Entry>,
    /// When messages that are out or delayed come back.
    timers: BTreeSet<(Timestamp, u64)>,
    ready: Ready,
    /// From this number on the store was not looked at. `None`: all is known.
    cursor: Option<u64>,
    /// The highest number heard of.
    newest: u64,
    pub(super) is_loaded: bool,
    out: usize,
    delayed: usize,
    /// Leases that are to be written, and those on their way to disk.
    unwritten: BTreeMap<u64, Lease>,
    writing: BTreeMap<u64, Lease>,
    reading: Option<Reading>,
    pub(super) waiters: VecDeque<Waiter>,
    attempts: HashMap<String, Attempt>,
    last_nonce: u64,
    /// Where the queue's alarm stands.
    pub(super) alarm: Option<Timestamp>,
    /// Messages in a page that is read from the store.
    page: usize,
}

impl State {
    pub(super) fn new(is_fifo: bool) -> Self {
        State {
            known: BTreeMap::new(),
            timers: BTreeSet::new(),
            ready: Ready::new(is_fifo),
            cursor: Some(0),
            newest: 0,
            is_loaded: false,
            out: 0,
            delayed: 0,
            unwritten: BTreeMap::new(),
            writing: BTreeMap::new(),
            reading: None,
            waiters: VecDeque::new(),
            attempts: HashMap::new(),
            last_nonce: 0,
            alarm: None,
            page: 64,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.out
    }

    pub(super) fn delayed(&self) -> usize {
        self.delayed
    }

    /// No message has a lower number.
    pub(super) fn low(&self) -> u64 {
        let unseen = self.cursor.unwrap_or(self.newest + 1);
        self.known.first_key_value().map_or(unseen, |(seq, _)| unseen.min(*seq))
    }

    /// Whether nothing here would be missed.
    pub(super) fn is_idle(&self) -> bool {
        self.waiters.is_empty()
            && self.unwritten.is_empty()
            && self.writing.is_empty()
            && self.reading.is_none()
            && self.attempts.is_empty()
            && self.known.values().all(|entry| !matches!(entry.place, Place::Leaving { .. }))
    }

    // --- What arrives, and what is read -----------------------------------------------------------------------------

    /// A message was committed.
    pub(super) fn arrive(&mut self, arrival: Arrival, now: Timestamp) {
        let (seq, group) = (arrival.seq, &arrival.group);
        // A reader that was ahead of this has it already.
        let is_seen = self.cursor.is_none_or(|cursor| seq < cursor) && seq <= self.newest;
        if is_seen || self.known.contains_key(&seq) {
            return;
        }
        self.newest = self.newest.max(seq);
        let is_hidden = arrival.lease.as_ref().is_some_and(|lease| lease.until > now);
        if let (false, Some(_)) = (is_hidden, self.cursor) {
            // It will be found when its turn comes; but a lane without a message in the window gets a place there, so
            // that a long lane does not hold it up.
            let is_quiet = !self.ready.is_fifo()
                && group.is_some()
                && !self.ready.has_lane(group)
                && self.ready.lanes() < LANES;
            if !is_quiet {
                return;
            }
        } else if !is_hidden && self.ready.len() >= self.window() {
            self.cursor = Some(seq);
            return;
        }
        self.admit(arrival, now);
    }

    /// Takes a message into the picture.
    fn admit(&mut self, arrival: Arrival, now: Timestamp) {
        let Arrival { seq, sent_at, group, held, lease, bytes, pieces } = arrival;
        let is_listed = self.cursor.is_none_or(|cursor| seq < cursor);
        let mut entry = Entry {
            sent_at,
            place: Place::Ready,
            until: now,
            count: 0,
            first_received_at: now,
            nonce: 0,
            lease_is_written: lease.is_some(),
            group,
            held,
            bytes,
            pieces,
        };
        if let Some(lease) = lease {
            entry.count = lease.count;
            entry.first_received_at = lease.first_received_at;
            entry.nonce = lease.nonce;
            entry.until = lease.until;
            if lease.until > now {
                entry.place = if lease.count == 0 { Place::Delayed } else { Place::Out };
            }
        }
        match entry.place {
            Place::Delayed => {
                self.delayed += 1;
                self.timers.insert((entry.until, seq));
                if is_listed {
                    self.ready.insert_delayed(seq, &entry.group);
                }
            }
            Place::Out => {
                self.out += 1;
                self.timers.insert((entry.until, seq));
                self.ready.note_out(&entry.group);
            }
            Place::Ready | Place::Leaving { .. } => self.ready.insert(seq, &entry.group),
        }
        self.known.insert(seq, entry);
    }

    /// Begins a read of the store: what leaves from now on is remembered until its end.
    pub(super) fn begin_reading(&mut self) {
        self.reading = Some(Reading { newest: self.newest, left: BTreeSet::new(), purged: 0 });
    }

    /// The end of the first read: the leases of messages that are out or delayed, and where messages begin.
    pub(super) fn load(&mut self, low: u64, leases: Vec<(u64, Lease)>, now: Timestamp) {
        let Some(reading) = self.reading.take() else { return };
        self.is_loaded = true;
        self.cursor = Some(self.cursor.unwrap_or(0).max(low));
        for (seq, lease) in leases {
            if !reading.has_lost(seq) && !self.known.contains_key(&seq) {
                self.last_nonce = self.last_nonce.max(lease.nonce);
                let group = lease.group.as_deref().map(Arc::from);
                // These are known when the message is read.
                let (sent_at, bytes, pieces) = (Timestamp(i64::MAX), MAX_BYTES, None);
                let lease = Some(lease);
                self.admit(Arrival { seq, sent_at, group, held: None, lease, bytes, pieces }, now);
            }
        }
    }

    /// From where on the store is to be read, and how many messages.
    pub(super) fn next_page(&self) -> Option<(u64, usize)> {
        self.cursor.map(|cursor| (cursor, self.page))
    }

    /// The end of a read: messages in order from the cursor on, with their leases, and whether there may be more.
    pub(super) fn read(&mut self, page: Vec<Arrival>, bytes: usize, is_full: bool, now: Timestamp) {
        let Some(reading) = self.reading.take() else { return };
        let last = page.last().map_or(0, |arrival| arrival.seq);
        // About a MiB at once.
        self.page = ((1 << 20) / (bytes / page.len().max(1)).max(1)).clamp(16, 256);
        let next = self.cursor.unwrap_or(0).max(last + 1);
        let has_more = is_full || self.newest > reading.newest.max(last);
        self.newest = self.newest.max(last);
        self.cursor = has_more.then_some(next);
        for mut arrival in page {
            let seq = arrival.seq;
            if reading.has_lost(seq) {
                continue;
            }
            if let Some(entry) = self.known.get_mut(&seq) {
                (entry.sent_at, entry.bytes, entry.pieces) = (arrival.sent_at, arrival.bytes, arrival.pieces);
                if entry.place == Place::Delayed {
                    self.ready.insert_delayed(seq, &entry.group);
                }
                continue;
            }
            let newer = self.unwritten.get(&seq).or_else(|| self.writing.get(&seq));
            if let Some(newer) = newer {
                arrival.lease = Some(newer.clone());
            }
            self.admit(arrival, now);
        }
    }

    /// Whether a read of the store may bring something to hand out.
    pub(super) fn wants_reading(&self) -> bool {
        self.cursor.is_some() && self.ready.len() < self.window()
    }

    fn window(&self) -> usize {
        if self.ready.is_fifo() { FIFO_WINDOW } else { WINDOW }
    }

    // --- Time -------------------------------------------------------------------------------------------------------

    /// Messages whose lease or delay is over come back.
    pub(super) fn release_due(&mut self, now: Timestamp) {
        while let Some(&(until, seq)) = self.timers.first() {
            if until > now {
                return;
            }
            self.timers.pop_first();
            self.come_back(seq);
        }
    }

    fn come_back(&mut self, seq: u64) {
        let Some(entry) = self.known.get_mut(&seq) else { return };
        let was_out = match entry.place {
            Place::Out => true,
            Place::Delayed => false,
            Place::Ready | Place::Leaving { .. } => return,
        };
        entry.place = Place::Ready;
        let group = entry.group.clone();
        // The order of a group is known only as far as the store was looked at. And the window has its limit.
        let is_beyond = self.ready.is_fifo() && self.cursor.is_some_and(|cursor| seq >= cursor);
        let has_no_room = !self.ready.is_fifo() && self.ready.len() >= WINDOW && entry.lease_is_written;
        if is_beyond || has_no_room {
            self.known.remove(&seq);
            self.cursor = Some(self.cursor.map_or(seq, |cursor| cursor.min(seq)));
            self.ready.remove(seq, &group);
        } else {
            self.ready.insert(seq, &group);
        }
        if was_out {
            self.out -= 1;
            self.ready.end_out(&group);
        } else {
            self.delayed -= 1;
        }
    }

    /// When somebody who waits should have another look.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        if self.waiters.is_empty() { None } else { self.timers.first().map(|(until, _)| *until) }
    }

    // --- Handing out ------------------------------------------------------------------------------------------------

    /// Hands out up to `max` messages.
    pub(super) fn take(&mut self, now: Timestamp, max: usize, terms: &Terms) -> Harvest {
        let mut harvest = Harvest::default();
        let mut last: Option<Group> = None;
        while harvest.taken.len() < max {
            let Some(seq) = self.ready.next(last.as_ref()) else { break };
            let Some(entry) = self.known.get(&seq) else {
                // It cannot be: what is ready is known.
                debug_assert!(false, "message {seq} is ready and not known");
                self.ready.remove(seq, last.as_ref().unwrap_or(&None));
                break;
            };
            if entry.sent_at.0.saturating_add(terms.retention_ms) <= now.0 {
                harvest.exits.expired.extend(self.see_off(seq));
                continue;
            }
            if let Some(grave) = &terms.grave
                && entry.count >= grave.max_receive_count
            {
                harvest.exits.buried.extend(self.see_off(seq).map(|exit| (exit, grave.clone())));
                continue;
            }
            if self.out >= MAX_IN_FLIGHT {
                harvest.is_over_limit = true;
                break;
            }
            let (group, taken) = self.hand_out(seq, now, terms.visibility_ms);
            harvest.taken.extend(taken);
            last = Some(group);
        }
        harvest
    }

    fn hand_out(&mut self, seq: u64, now: Timestamp, visibility_ms: i64) -> (Group, Option<Taken>) {
        let nonce = handle::next_nonce(self.last_nonce, now);
        let Some(entry) = self.known.get_mut(&seq) else { return (None, None) };
        self.last_nonce = nonce;
        let before = (entry.count, entry.first_received_at, entry.nonce);
        entry.place = Place::Out;
        entry.until = Timestamp(now.0.saturating_add(visibility_ms));
        if entry.count == 0 {
            entry.first_received_at = now;
        }
        entry.count += 1;
        entry.nonce = nonce;
        let message = entry.held.take().map(|held| Arc::clone(&held.message));
        let taken = Taken {
            seq,
            message,
            count: entry.count,
            first_received_at: entry.first_received_at,
            nonce,
            before,
        };
        let (group, until) = (entry.group.clone(), entry.until);
        self.out += 1;
        self.ready.hand_out(seq, &group);
        self.timers.insert((until, seq));
        self.note_lease(seq);
        (group, Some(taken))
    }

    /// Hands messages to those who wait, longest first.
    pub(super) fn serve_waiters(&mut self, now: Timestamp) -> Exits {
        let mut exits = Exits::default();
        if self.waiters.is_empty() || !self.is_loaded {
            return exits;
        }
        self.release_due(now);
        while let Some(waiter) = self.waiters.front() {
            if waiter.reply.is_closed() {
                self.waiters.pop_front();
                continue;
            }
            let (max, terms) = (waiter.max, Arc::clone(&waiter.terms));
            let harvest = self.take(now, max, &terms);
            exits.append(harvest.exits);
            if harvest.taken.is_empty() && !self.wants_reading() {
                break;
            }
            let Some(waiter) = self.waiters.pop_front() else { break };
            let is_asked_to_read = harvest.taken.is_empty();
            if let Err(taken) = waiter.reply.send(harvest.taken) {
                self.give_back(taken, now);
            } else if is_asked_to_read {
                // It reads, and then serves the others.
                break;
            }
        }
        exits
    }

    /// Undoes a hand-out: nobody got these messages.
    pub(super) fn give_back(&mut self, taken: Vec<Taken>, now: Timestamp) {
        for Taken { seq, nonce, before, message, .. } in taken {
            let Some(entry) = self.known.get_mut(&seq) else { continue };
            if entry.nonce != nonce || entry.place != Place::Out {
                continue;
            }
            drop(message);
            self.timers.remove(&(entry.until, seq));
            (entry.count, entry.first_received_at, entry.nonce) = before;
            entry.until = now;
            if entry.count == 0 && !entry.lease_is_written {
                self.unwritten.remove(&seq);
            } else {
                self.note_lease(seq);
            }
            self.come_back(seq);
        }
    }

    // --- Leases -----------------------------------------------------------------------------------------------------

    fn lease_of(entry: &Entry) -> Lease {
        Lease {
            until: entry.until,
            count: entry.count,
            first_received_at: entry.first_received_at,
            nonce: entry.nonce,
            group: entry.group.as_deref().map(str::to_owned),
        }
    }

    /// Has the lease written with the next ones.
    fn note_lease(&mut self, seq: u64) {
        if let Some(entry) = self.known.get(&seq) {
            self.unwritten.insert(seq, Self::lease_of(entry));
        }
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Up to `limit` leases that are to be written now.
    pub(super) fn leases_to_write(&mut self, limit: usize) -> Vec<(u64, Lease)> {
        let mut leases = Vec::new();
        while leases.len() < limit
            && let Some((seq, lease)) = self.unwritten.pop_first()
        {
            if let Some(entry) = self.known.get_mut(&seq) {
                entry.lease_is_written = true;
            }
            self.writing.insert(seq, lease.clone());
            leases.push((seq, lease));
        }
        leases
    }

    /// A lease is on disk.
    pub(super) fn lease_written(&mut self, seq: u64, lease: &Lease) {
        if self.writing.get(&seq) == Some(lease) {
            self.writing.remove(&seq);
        }
    }

    /// What a handle means.
    pub(super) fn look_up(&self, seq: u64, nonce: u64) -> Standing {
        let Some(entry) = self.known.get(&seq) else { return Standing::Unknown };
        match entry.place {
            Place::Leaving { .. } => Standing::Leaving,
            _ if entry.nonce > nonce => Standing::Stale,
            Place::Out if entry.nonce == nonce => Standing::Current,
            // The receive of this handle was lost in a crash: it is the last one all the same.
            _ if entry.nonce < nonce => Standing::Unknown,
            _ => Standing::RunOut,
        }
    }

    /// Hides a message that is out for `timeout_ms` from now on. Gives the lease, which is to be written.
    pub(super) fn change_visibility(&mut self, seq: u64, now: Timestamp, timeout_ms: i64) -> Option<Lease> {
        let entry = self.known.get_mut(&seq)?;
        self.timers.remove(&(entry.until, seq));
        entry.until = Timestamp(now.0.saturating_add(timeout_ms));
        entry.lease_is_written = true;
        let lease = Self::lease_of(entry);
        self.unwritten.remove(&seq);
        self.writing.insert(seq, lease.clone());
        if timeout_ms == 0 {
            self.come_back(seq);
        } else {
            self.timers.insert((entry.until, seq));
        }
        Some(lease)
    }

    /// Remembers what a receive with this attempt id got.
    pub(super) fn remember_attempt(&mut self, id: String, receives: Vec<(u64, u64)>, now: Timestamp) {
        if self.attempts.len() >= ATTEMPTS {
            self.attempts.retain(|_, attempt| attempt.until > now);
        }
        if self.attempts.len() < ATTEMPTS {
            let until = Timestamp(now.0 + ATTEMPT_MS);
            self.attempts.insert(id, Attempt { until, receives });
        }
    }

    /// The messages that a receive with this attempt id got, as long as they are out by that receive; their visibility
    /// begins anew.
    pub(super) fn repeat_attempt(&mut self, id: &str, now: Timestamp, terms: &Terms) -> Vec<Taken> {
        self.attempts.retain(|_, attempt| attempt.until > now);
        let Some(attempt) = self.attempts.get(id) else { return Vec::new() };
        let receives = attempt.receives.clone();
        let mut repeated = Vec::new();
        for (seq, nonce) in receives {
            if self.look_up(seq, nonce) != Standing::Current {
                continue;
            }
            let Some(entry) = self.known.get_mut(&seq) else { continue };
            self.timers.remove(&(entry.until, seq));
            entry.until = Timestamp(now.0.saturating_add(terms.visibility_ms));
            self.timers.insert((entry.until, seq));
            repeated.push(Taken {
                seq,
                message: None,
                count: entry.count,
                first_received_at: entry.first_received_at,
                nonce,
                before: (entry.count, entry.first_received_at, entry.nonce),
            });
            self.note_lease(seq);
        }
        if repeated.is_empty() {
            self.attempts.remove(id);
        }
        repeated
    }

    // --- Leaving ----------------------------------------------------------------------------------------------------

    /// Holds a message back because its end is on the way to disk. `None`: it is on its way already, or unknown.
    pub(super) fn see_off(&mut self, seq: u64) -> Option<Exit> {
        let entry = self.known.get_mut(&seq)?;
        let was_out = match entry.place {
            Place::Leaving { .. } => return None,
            Place::Out => true,
            Place::Ready | Place::Delayed => false,
        };
        let was_delayed = entry.place == Place::Delayed;
        entry.place = Place::Leaving { was_out };
        entry.held = None;
        let exit = Exit {
            seq,
            has_lease_row: entry.lease_is_written,
            count: entry.count,
            bytes: entry.bytes,
            pieces: entry.pieces,
        };
        self.timers.remove(&(entry.until, seq));
        self.unwritten.remove(&seq);
        if !was_out {
            let group = entry.group.clone();
            self.ready.hand_out(seq, &group);
        }
        self.delayed -= usize::from(was_delayed);
        Some(exit)
    }

    /// A message that was to leave stays after all.
    pub(super) fn call_back(&mut self, seq: u64) {
        let Some(entry) = self.known.get_mut(&seq) else { return };
        if let Place::Leaving { was_out } = entry.place {
            entry.place = Place::Ready;
            let group = entry.group.clone();
            self.out -= usize::from(was_out);
            self.ready.insert(seq, &group);
            self.ready.end_out(&group);
        }
    }

    /// A message is gone.
    pub(super) fn leave(&mut self, seq: u64) {
        if let Some(reading) = &mut self.reading {
            reading.left.insert(seq);
        }
        self.unwritten.remove(&seq);
        self.writing.remove(&seq);
        let Some(entry) = self.known.remove(&seq) else { return };
        self.timers.remove(&(entry.until, seq));
        match entry.place {
            Place::Ready => self.ready.remove(seq, &entry.group),
            Place::Delayed => {
                self.delayed -= 1;
                self.ready.remove(seq, &entry.group);
            }
            Place::Out | Place::Leaving { was_out: true } => {
                self.out -= 1;
                self.ready.end_out(&entry.group);
            }
            Place::Leaving { was_out: false } => self.ready.end_out(&entry.group),
        }
    }

    /// Everything below `seq` is gone.
    pub(super) fn purge(&mut self, below: u64) {
        let known: Vec<u64> = self.known.range(..below).map(|(seq, _)| *seq).collect();
        known.into_iter().for_each(|seq| self.leave(seq));
        if let Some(cursor) = self.cursor {
            self.cursor = Some(cursor.max(below));
        }
        self.unwritten = self.unwritten.split_off(&below);
        self.writing = self.writing.split_off(&below);
        self.attempts.clear();
        if let Some(reading) = &mut self.reading {
            reading.purged = below;
        }
    }

    /// Up to `limit` messages that may be received leave for another queue.
    pub(super) fn send_away(&mut self, limit: usize) -> Vec<Exit> {
        let mut exits = Vec::new();
        let mut last: Option<Group> = None;
        while exits.len() < limit
            && let Some(seq) = self.ready.next(last.as_ref())
        {
            last = self.known.get(&seq).map(|entry| entry.group.clone());
            match self.see_off(seq) {
                Some(exit) => exits.push(exit),
                None => break,
            }
        }
        exits
    }

    /// Whether and since when a message that is known is hidden: until when, receives, first receive, whether delayed.
    pub(super) fn glimpse(&self, seq: u64) -> Option<Glimpse> {
        let entry = self.known.get(&seq)?;
        Some(Glimpse {
            is_delayed: entry.place == Place::Delayed,
            is_out: matches!(entry.place, Place::Out | Place::Leaving { was_out: true }),
            until: entry.until,
            count: entry.count,
            first_received_at: entry.first_received_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(seq: u64) -> Arrival {
        let sent_at = Timestamp(0);
        Arrival { seq, sent_at, group: None, held: None, lease: None, bytes: 1, pieces: Some(0) }
    }

    #[test]
    fn only_so_many_messages_are_out() {
        let mut state = State::new(false);
        state.begin_reading();
        state.load(0, Vec::new(), Timestamp(0));
        state.begin_reading();
        state.read(Vec::new(), 0, false, Timestamp(0));
        let terms = Terms { queue: 1, visibility_ms: 60_000, retention_ms: 600_000, grave: None };
        let mut next = 0..;
        while state.in_flight() < MAX_IN_FLIGHT {
            next.by_ref().take(10).for_each(|seq| state.arrive(arrival(seq + 1), Timestamp(0)));
            let harvest = state.take(Timestamp(0), 10, &terms);
            assert!(harvest.taken.len() == 10 && !harvest.is_over_limit);
        }
        state.arrive(arrival(u64::MAX - 1), Timestamp(0));
        let harvest = state.take(Timestamp(0), 10, &terms);
        assert!(harvest.taken.is_empty() && harvest.is_over_limit);
        state.leave(1);
        let harvest = state.take(Timestamp(0), 10, &terms);
        assert_eq!((harvest.taken.len(), harvest.is_over_limit), (1, false));
    }
}
