//! Room on the host: how many environments there may be, how much memory they may have, who goes to make room, and who
//! waits for it.
//!
//! Who finds no room waits, first come first served among the invokes of a version and in turn between versions. The
//! first may be overtaken by who fits already, or takes over an environment of its own kind, but only
//! [`MOST_OVERTAKEN`] times: then whatever becomes idle goes until the first has its room. Nobody
//! waits here: a seat is a channel, and whoever frees something has the queue looked at ([`Pool::serve`]).
//!
//! Memory is free when a box is gone, which is a moment after it was evicted. So who needs another's memory waits too.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use base::{AccountId, Region, Timestamp};
use tokio::sync::oneshot;

use super::super::admission::Owner;
use super::super::ledger::{FIRST_GUESS_BYTES, Ledger, Share};
use super::{Lane, Place, Pool, Pooled, Version, Wish};
use crate::invoke::{Shortage, Throttle};

/// How often the first in turn may be overtaken.
const MOST_OVERTAKEN: u32 = 4;
/// Among so many of the longest idle those are evicted first that free the most for the time they were idle.
const EVICTION_CHOICE: usize = 64;

/// Why an invoke may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// One of AWS's limits.
    Throttled(Throttle),
    /// The host is full.
    Host(Shortage),
    /// The server is going.
    Closing,
}

impl From<Throttle> for Full {
    fn from(throttle: Throttle) -> Self {
        Full::Throttled(throttle)
    }
}

/// Why there is no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// It has been made, and will be free in a moment.
    Soon(Shortage),
    /// Somebody has to end first.
    Busy(Shortage),
    /// There will never be.
    Never(Shortage),
    /// It would be there, but AWS has a limit, too.
    Throttled(Throttle),
}

impl From<NoRoom> for Full {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Soon(shortage) | NoRoom::Busy(shortage) | NoRoom::Never(shortage) => Full::Host(shortage),
            NoRoom::Throttled(throttle) => Full::Throttled(throttle),
        }
    }
}

/// What an invoke waits on. It must be given back with [`Pool::leave_seat`] unless it brought something.
pub(crate) struct Seat<E> {
    number: u64,
    brings: oneshot::Receiver<Result<Place<E>, Full>>,
}

impl<E> Seat<E> {
    /// Waits for what it brings. Nothing is lost by not waiting to the end.
    pub(crate) async fn brought(&mut self) -> Result<Place<E>, Full> {
        // The sender is dropped with the pool only.
        (&mut self.brings).await.unwrap_or(Err(Full::Closing))
    }
}

/// The pool's end of a seat.
pub(super) struct Seeker<E> {
    generation: u64,
    tenant: Option<Arc<str>>,
    place: oneshot::Sender<Result<Place<E>, Full>>,
    /// It has no room of its own yet.
    room: Option<RoomWish>,
}

/// For whom room is wanted; with the seeker, what a [`Wish`] is.
struct RoomWish {
    account: AccountId,
    region: Region,
    arn: String,
    memory_mib: u32,
}

/// Who waits for room.
#[derive(Default)]
pub(super) struct Queue {
    /// The versions, in turn, and the seats of each.
    turns: VecDeque<(Arc<str>, BTreeSet<u64>)>,
    waiting: usize,
    /// How often the first in turn was overtaken.
    overtaken: u32,
}

impl Queue {
    /// An environment is idle, which may go.
    pub(super) fn tell_of_idle(&self, ledger: &Ledger) {
        if self.waiting > 0 {
            ledger.tell();
        }
    }

    fn push(&mut self, key: &Arc<str>, number: u64) {
        self.waiting += 1;
        match self.turns.iter_mut().find(|(of, _)| of == key) {
            Some((_, seats)) => _ = seats.insert(number),
            None => self.turns.push_back((Arc::clone(key), BTreeSet::from([number]))),
        }
    }

    fn remove(&mut self, key: &str, number: u64) {
        let Some(at) = self.turns.iter().position(|(of, _)| **of == *key) else { return };
        let seats = &mut self.turns[at].1;
        self.waiting -= usize::from(seats.remove(&number));
        if seats.is_empty() {
            self.turns.remove(at);
        }
        if at == 0 {
            self.overtaken = 0;
        }
    }

    /// Whether others are in turn before this version.
    fn is_behind(&self, key: &str) -> bool {
        self.turns.front().is_some_and(|(first, _)| **first != *key)
    }

    /// The first in turn has got something: the others' turn.
    fn pass_turn(&mut self, key: &str) {
        if self.turns.len() > 1 && !self.is_behind(key) {
            self.turns.rotate_left(1);
        }
    }

    fn was_overtaken(&self) -> bool {
        self.overtaken >= MOST_OVERTAKEN
    }

    /// The version with the most that wait, and the last of these.
    fn longest(&self) -> Option<(Arc<str>, usize, u64)> {
        let (key, seats) = self.turns.iter().max_by_key(|(_, seats)| seats.len())?;
        Some((Arc::clone(key), seats.len(), *seats.last()?))
    }

    fn of(&self, key: &str) -> usize {
        self.turns.iter().find(|(of, _)| **of == *key).map_or(0, |(_, seats)| seats.len())
    }
}

/// What the fleet shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolCount {
    pub(crate) environments: usize,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
}

impl<E: Pooled> Pool<E> {
    /// A place for an invoke that counts: an idle environment, room for a new one, or a seat.
    pub(super) fn take(&mut self, wish: &Wish<'_>, now: Timestamp) -> Result<Place<E>, Full> {
        // An idle one that needs no more than it has takes nothing from those who wait, unless that was said too often.
        if (self.queue.waiting == 0 || !self.queue.is_behind(wish.key) || !self.queue.was_overtaken())
            && let Some(environment) = self.take_idle(wish, false)
        {
            return Ok(Place::Warm { environment, lane: Lane::OnDemand });
        }
        let shortage = match self.place_or_seat(wish, now) {
            Ok(place) => return Ok(place),
            Err(NoRoom::Soon(shortage) | NoRoom::Busy(shortage)) => shortage,
            Err(no_room) => return Err(no_room.into()),
        };
        self.line_up(wish, shortage)
    }

    fn place_or_seat(&mut self, wish: &Wish<'_>, now: Timestamp) -> Result<Place<E>, NoRoom> {
        if self.queue.waiting == 0 {
            return self.place(wish, now, 0);
        }
        // Those who wait come first.
        let need = self.needs(wish);
        if need > self.ledger.most_bytes() {
            return Err(self.never(wish, need));
        }
        Err(NoRoom::Busy(self.shortage(wish)))
    }

    /// A place where there is room without waiting. So much memory is promised to others already.
    fn place(&mut self, wish: &Wish<'_>, now: Timestamp, promised_bytes: u64) -> Result<Place<E>, NoRoom> {
        if let Some((age, growth)) = self.peek_idle(wish) {
            if growth > 0 {
                self.make_memory(growth, Some(age), promised_bytes)?;
            }
            if let Some(environment) = self.take_idle(wish, true) {
                return Ok(Place::Warm { environment, lane: Lane::OnDemand });
            }
        }
        // The host's room first: it costs nothing if the pace then says no.
        let must_evict = self.environments >= self.limits.max_environments;
        if must_evict && self.by_age.is_empty() {
            return Err(NoRoom::Busy(Shortage::Environments));
        }
        let need = self.needs(wish);
        if need > self.ledger.most_bytes() {
            return Err(self.never(wish, need));
        }
        if self.is_unknown(wish) && !self.ledger.dares(limit_bytes(wish)) {
            return Err(NoRoom::Busy(self.too_little_memory(need)));
        }
        self.make_memory(need, None, promised_bytes)?;
        self.admission.launch(wish.owner, wish.tenant.is_some(), now).map_err(NoRoom::Throttled)?;
        if self.environments >= self.limits.max_environments {
            let oldest = self.evict_oldest();
            self.send_off(oldest);
        }
        self.environments += 1;
        self.version(wish).busy += 1;
        let share = self.share(wish, need);
        let seat = self.seat(wish, None);
        Ok(Place::New { share, seat })
    }

    /// Makes room for an environment that is to be provisioned; [`Pool::provisioned_ready`] or
    /// [`Pool::provisioned_failed`] says what became of it.
    pub(crate) fn provision(&mut self, wish: &Wish<'_>) -> Result<Arc<Share>, NoRoom> {
        let must_evict = self.environments >= self.limits.max_environments;
        if must_evict && self.by_age.is_empty() {
            return Err(NoRoom::Busy(Shortage::Environments));
        }
        let need = self.needs(wish);
        if need > self.ledger.most_bytes() {
            return Err(self.never(wish, need));
        }
        self.make_memory(need, None, 0)?;
        if self.environments >= self.limits.max_environments {
            let oldest = self.evict_oldest();
            self.send_off(oldest);
        }
        self.environments += 1;
        self.version(wish).provisioned.starting += 1;
        Ok(self.ledger.share(need))
    }

    fn share(&self, wish: &Wish<'_>, need: u64) -> Arc<Share> {
        match self.is_unknown(wish) {
            true => self.ledger.share_of_unknown(need, limit_bytes(wish)),
            false => self.ledger.share(need),
        }
    }

    /// No environment of it has run a request yet.
    fn is_unknown(&self, wish: &Wish<'_>) -> bool {
        self.learned.needs(wish.key).is_none()
    }

    /// What an environment will use.
    pub(crate) fn needs(&self, wish: &Wish<'_>) -> u64 {
        self.learned.needs(wish.key).unwrap_or(FIRST_GUESS_BYTES).min(limit_bytes(wish))
    }

    /// More than all there is.
    fn never(&mut self, wish: &Wish<'_>, need: u64) -> NoRoom {
        self.learned.doubt(wish.key);
        NoRoom::Never(self.too_little_memory(need))
    }

    /// What there is too little of for such an environment.
    pub(crate) fn shortage(&self, wish: &Wish<'_>) -> Shortage {
        if self.environments >= self.limits.max_environments {
            return Shortage::Environments;
        }
        self.too_little_memory(self.needs(wish))
    }

    fn too_little_memory(&self, needed_bytes: u64) -> Shortage {
        Shortage::Memory {
            needed_bytes,
            left_bytes: self.ledger.headroom_bytes(),
            budget_bytes: self.ledger.budget_bytes(),
        }
    }

    /// The idle environment that would be taken: its age, and how much more memory it needs.
    fn peek_idle(&self, wish: &Wish<'_>) -> Option<(u64, u64)> {
        let version = self.versions.get(&**wish.key)?;
        // No tenant, no copy of its name.
        let list = match wish.tenant {
            None => version.idle.get(&None),
            Some(_) => version.idle.get(&wish.tenant.cloned()),
        };
        let mut idle = list?.iter().rev();
        let found = idle.find(|idle| idle.environment.wanted_by().generation == wish.generation)?;
        Some((found.age, found.environment.share().growth_bytes()))
    }

    /// Makes sure of memory. What is evicted for it comes later.
    fn make_memory(&mut self, need: u64, spared_age: Option<u64>, promised_bytes: u64) -> Result<(), NoRoom> {
        if need <= self.ledger.headroom_bytes() {
            return Ok(());
        }
        let coming = self.ledger.headroom_bytes().saturating_add(self.ledger.leaving_bytes());
        let short = need.saturating_add(promised_bytes).saturating_sub(coming);
        let shortage = self.too_little_memory(need);
        if short > 0 {
            // Nobody goes if that does not help.
            if short > self.idle_bytes || self.evict_worth(short, spared_age) < short {
                return Err(NoRoom::Busy(shortage));
            }
        }
        Err(NoRoom::Soon(shortage))
    }

    /// Evicts idle environments that use so much, if they do. Among the longest idle those go first that free the most
    /// for the time they were idle. Gives what they hold.
    pub(crate) fn evict_worth(&mut self, bytes: u64, spared_age: Option<u64>) -> u64 {
        let mut freed = 0;
        while freed < bytes {
            let newest = self.next_age;
            let oldest = self.by_age.keys().filter(|age| Some(**age) != spared_age).take(EVICTION_CHOICE);
            let best = oldest.max_by_key(|age| {
                let used = self.idle_at(**age).map_or(0, |idle| idle.share().used_bytes());
                // The age in turns, not in time: it orders alike, and needs no clock.
                (used / 1024).saturating_mul(newest - **age)
            });
            let Some(environment) = best.copied().and_then(|age| self.evict(age)) else { return freed };
            freed = freed.saturating_add(environment.share().used_bytes());
            self.send_off(Some(environment));
        }
        freed
    }

    fn idle_at(&self, age: u64) -> Option<&Arc<E>> {
        let (key, tenant) = self.by_age.get(&age)?;
        let list = self.versions.get(key)?.idle.get(tenant)?;
        let at = list.binary_search_by_key(&age, |idle| idle.age).ok()?;
        Some(&list[at].environment)
    }

    fn send_off(&mut self, environment: Option<Arc<E>>) {
        if let Some(environment) = environment {
            environment.share().leave();
            self.evicted.push(environment);
        }
    }

    /// What was evicted since it was asked last. It must die.
    pub(crate) fn take_evicted(&mut self) -> Vec<Arc<E>> {
        std::mem::take(&mut self.evicted)
    }

    /// An environment was measured. If it is idle it counts with that from now on.
    pub(crate) fn measured(&mut self, environment: &Arc<E>, used_bytes: u64, peak_bytes: u64) {
        let (share, wish) = (environment.share(), environment.wanted_by());
        if share.has_served() {
            self.learned.learn(wish.key, wish.generation, peak_bytes.max(used_bytes));
        }
        if share.is_idle() {
            share.settle(used_bytes, peak_bytes);
            if share.is_counted() {
                share.count_idle(&mut self.idle_bytes, true);
            }
        }
    }

    /// An environment has run its first request: from now on it is known what its kind needs.
    pub(crate) fn has_run(&mut self, environment: &Arc<E>, peak_bytes: u64) {
        let wish = environment.wanted_by();
        self.learned.learn(wish.key, wish.generation, peak_bytes);
        self.queue.tell_of_idle(&self.ledger);
    }

    /// A busy environment uses so much. The next one of its kind will need that, too.
    pub(crate) fn grew(&mut self, environment: &Arc<E>) {
        let (wish, used_bytes) = (environment.wanted_by(), environment.share().used_bytes());
        if used_bytes > self.needs(&wish) {
            self.learned.learn(wish.key, wish.generation, used_bytes);
        }
    }

    // Seats.

    fn seat(&mut self, wish: &Wish<'_>, room: Option<RoomWish>) -> Seat<E> {
        let number = self.next_seat;
        self.next_seat += 1;
        let (place, brings) = oneshot::channel();
        let seeker = Seeker { generation: wish.generation, tenant: wish.tenant.cloned(), place, room };
        self.version(wish).seekers.insert(number, seeker);
        Seat { number, brings }
    }

    /// A seat among those who wait for room, if not too many do. The last of the version that waits most gives way to
    /// one of a version that waits less.
    fn line_up(&mut self, wish: &Wish<'_>, shortage: Shortage) -> Result<Place<E>, Full> {
        if self.queue.waiting >= self.limits.max_waiting {
            let Some((longest, count, last)) = self.queue.longest() else { return Err(Full::Host(shortage)) };
            if count <= self.queue.of(wish.key) + 1 {
                return Err(Full::Host(shortage));
            }
            self.answer(&longest, last, Err(Full::Host(shortage)));
        }
        let room = RoomWish {
            account: wish.owner.account,
            region: wish.owner.region.clone(),
            arn: wish.owner.arn.to_owned(),
            memory_mib: wish.memory_mib,
        };
        let seat = self.seat(wish, Some(room));
        self.queue.push(wish.key, seat.number);
        self.ledger.set_awaited(true);
        // What was freed meanwhile was told to nobody.
        self.ledger.tell();
        Ok(Place::Later { seat })
    }

    /// Who had this seat does not wait any more. Gives what it brought at the last moment.
    pub(crate) fn leave_seat(&mut self, key: &str, seat: Seat<E>) -> Option<Place<E>> {
        let Seat { number, mut brings } = seat;
        if self.remove_seeker(key, number).is_some() {
            self.forget_if_unused(key);
            return None;
        }
        brings.try_recv().ok()?.ok()
    }

    fn remove_seeker(&mut self, key: &str, number: u64) -> Option<Seeker<E>> {
        let seeker = self.versions.get_mut(key)?.seekers.remove(&number)?;
        if seeker.room.is_some() {
            self.queue.remove(key, number);
            // Who stood behind may have room.
            self.ledger.tell();
            self.stop_listening();
        }
        Some(seeker)
    }

    fn answer(&mut self, key: &str, number: u64, answer: Result<Place<E>, Full>) {
        if let Some(seeker) = self.remove_seeker(key, number) {
            // Who waits gives its seat back under the same lock before it goes: nothing is ever sent to nobody.
            let _ = seeker.place.send(answer);
            self.forget_if_unused(key);
        }
    }

    fn stop_listening(&mut self) {
        if self.queue.waiting == 0 && !self.wants_room {
            self.ledger.set_awaited(false);
        }
    }

    /// Something that is started ahead waits for room; see [`Pool::serve`].
    pub(crate) fn want_room(&mut self) {
        self.wants_room = true;
        self.ledger.set_awaited(true);
        self.ledger.tell();
    }

    /// Hands an environment that was busy on to who seeks one like it. Gives it back if nobody does.
    pub(super) fn hand_on(&mut self, environment: Arc<E>, lane: Lane) -> Option<Arc<E>> {
        let wish = environment.wanted_by();
        let overtakes = self.queue.is_behind(wish.key);
        // Who has room of its own takes nothing from those who wait.
        let with_room_only = overtakes && self.queue.was_overtaken();
        loop {
            let version = self.versions.get(&**wish.key);
            let first = version.and_then(|version| first_like(version, &wish, with_room_only));
            let seeker = first.and_then(|number| self.remove_seeker(wish.key, number));
            let Some(seeker) = seeker else { break };
            let waited_for_room = seeker.room.is_some();
            let place = Place::Warm { environment: Arc::clone(&environment), lane };
            if seeker.place.send(Ok(place)).is_ok() {
                if lane == Lane::Provisioned {
                    // On a provisioned environment it does not count.
                    self.admission.leave(wish.owner);
                }
                if waited_for_room && overtakes {
                    self.queue.overtaken += 1;
                } else if waited_for_room {
                    self.queue.pass_turn(wish.key);
                }
                environment.share().grow();
                return None;
            }
        }
        Some(environment)
    }

    /// Gives those who wait what there is. True when something that is started ahead may have room.
    pub(crate) fn serve(&mut self, now: Timestamp) -> bool {
        let (mut at, mut promised_bytes) = (0, 0u64);
        while let Some((key, seats)) = self.queue.turns.get(at) {
            if at > 0 && self.queue.was_overtaken() {
                break;
            }
            let (key, first) = (Arc::clone(key), seats.first().copied());
            let Some(number) = first else { break };
            match self.place_seat(&key, number, now, promised_bytes) {
                Err(NoRoom::Soon(shortage) | NoRoom::Busy(shortage)) => {
                    if let Shortage::Memory { needed_bytes, .. } = shortage {
                        promised_bytes = promised_bytes.saturating_add(needed_bytes);
                    }
                    at += 1;
                }
                answer => {
                    let overtaken = self.queue.overtaken + u32::from(at > 0);
                    let was_placed = answer.is_ok();
                    self.answer(&key, number, answer.map_err(Full::from));
                    if at > 0 {
                        self.queue.overtaken = overtaken;
                    }
                    // The others' turn.
                    if was_placed
                        && self.queue.turns.get(at).is_some_and(|(of, _)| *of == key)
                        && let Some(turn) = self.queue.turns.remove(at)
                    {
                        self.queue.turns.push_back(turn);
                    }
                }
            }
        }
        let wants_room = std::mem::take(&mut self.wants_room);
        self.stop_listening();
        wants_room
    }

    /// A place for who has this seat and waits for room.
    fn place_seat(
        &mut self,
        key: &Arc<str>,
        number: u64,
        now: Timestamp,
        promised_bytes: u64,
    ) -> Result<Place<E>, NoRoom> {
        let seeker = self.versions.get_mut(key).and_then(|version| version.seekers.get_mut(&number));
        let seeker = seeker.and_then(|seeker| {
            let room = seeker.room.take()?;
            Some((seeker.generation, seeker.tenant.clone(), room))
        });
        let Some((generation, tenant, room)) = seeker else {
            // Whatever stands in the queue has a seeker with a wish.
            self.queue.remove(key, number);
            return Err(NoRoom::Never(Shortage::Environments));
        };
        let owner = Owner { account: room.account, region: &room.region, arn: &room.arn };
        let wish = Wish { owner, key, generation, tenant: tenant.as_ref(), memory_mib: room.memory_mib };
        let place = if let Some(place) = self.take_provisioned(&wish) {
            self.admission.leave(wish.owner);
            Ok(place)
        } else {
            self.place(&wish, now, promised_bytes)
        };
        let seeker = self.versions.get_mut(key).and_then(|version| version.seekers.get_mut(&number));
        if let Some(seeker) = seeker {
            seeker.room = Some(room);
        }
        place
    }

    /// Tells everybody who waits for room that the server is going.
    pub(super) fn send_away_all(&mut self) {
        while let Some((key, _, last)) = self.queue.longest() {
            self.answer(&key, last, Err(Full::Closing));
        }
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> PoolCount {
        let (environments, idle) = self.count();
        PoolCount { environments, idle, waiting: self.queue.waiting }
    }
}

fn limit_bytes(wish: &Wish<'_>) -> u64 {
    u64::from(wish.memory_mib) << 20
}

/// The longest waiting who seeks such an environment.
fn first_like<E>(version: &Version<E>, wish: &Wish<'_>, with_room_only: bool) -> Option<u64> {
    let mut seekers = version.seekers.iter().filter(|(_, seeker)| !with_room_only || seeker.room.is_none());
    let like =
        |seeker: &Seeker<E>| seeker.generation == wish.generation && seeker.tenant.as_ref() == wish.tenant;
    seekers.find(|(_, seeker)| like(seeker)).map(|(number, _)| *number)
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
