//! Where an invoke may run: the environments of each version, idle ones by tenant, provisioned ones apart. Pure
//! bookkeeping under one short lock: it starts nothing, stops nothing and waits for nothing. How many may run is
//! [`Admission`]'s, which is under the same lock; `room` knows the limits of the host, and who waits for what.
//!
//! An invoke that finds nothing idle gets room for a new environment, and a [`Seat`]: if another environment of its kind
//! becomes idle before the new one is ready, it gets that.
//!
//! What must die is handed back to the caller, who drops it after the lock.
//!
//! **Invariant:** an environment is in at most one place: idle in here, in the hands of one invoke, or on its way to one
//! that has a seat.
//! **Invariant:** who takes gets an environment of exactly the version, generation and tenant asked for.
//! **Invariant:** a provisioned environment is never evicted, whatever the host is short of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base::Timestamp;

use self::room::Queue;
use self::room::Seeker;
pub(crate) use self::room::{Full, NoRoom, Seat};
use super::admission::{Admission, Owner};
use super::ledger::{Learned, Ledger, Share};

/// What the pool keeps: an environment, or a number in tests.
pub(crate) trait Pooled {
    /// What it runs, and for whom.
    fn wanted_by(&self) -> Wish<'_>;
    /// Its part of the host's memory.
    fn share(&self) -> &Share;
    /// Until when it may get new requests.
    fn fresh_until(&self) -> Timestamp;
}

/// Which environment is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) owner: Owner<'a>,
    /// The version: `FunctionConfig::key`.
    pub(crate) key: &'a Arc<str>,
    /// The generation of code and configuration.
    pub(crate) generation: u64,
    /// Only with tenant isolation.
    pub(crate) tenant: Option<&'a Arc<str>>,
    /// Its limit: the most that an environment can use.
    pub(crate) memory_mib: u32,
}

/// The limits that the pool enforces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) account_concurrency: u32,
    pub(crate) max_environments: usize,
    pub(crate) idle_memory_bytes: u64,
    /// The most invokes that wait for the host.
    pub(crate) max_waiting: usize,
}

/// Of which kind an environment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Started for an invoke, counted against concurrency while it runs.
    OnDemand,
    /// Started ahead.
    Provisioned,
}

/// Where an invoke may run.
pub(crate) enum Place<E> {
    /// In this environment, which is warm.
    Warm { environment: Arc<E>, lane: Lane },
    /// In a new one, on demand; or in the one that its seat brings, if that comes first.
    New { share: Arc<Share>, seat: Seat<E> },
    /// Nowhere yet: the host is full. It counts, and its seat will bring it a place.
    Later { seat: Seat<E> },
}

/// All functions' environments.
pub(crate) struct Pool<E> {
    limits: PoolLimits,
    admission: Admission,
    ledger: Arc<Ledger>,
    learned: Learned,
    versions: HashMap<Arc<str>, Version<E>>,
    /// Environments that exist or are being started.
    environments: usize,
    /// Idle environments on demand by the order in which they became idle: to their version and tenant.
    by_age: BTreeMap<u64, (Arc<str>, Option<Arc<str>>)>,
    next_age: u64,
    /// What those use.
    idle_bytes: u64,
    next_seat: u64,
    queue: Queue,
    /// Something that is started ahead waits for room.
    wants_room: bool,
    /// Taken out to make room; see [`Pool::take_evicted`].
    evicted: Vec<Arc<E>>,
}

struct Version<E> {
    /// Environments below it are not wanted back.
    oldest_wanted: u64,
    /// On demand, the most recently used last. Without tenant isolation there is one list.
    idle: HashMap<Option<Arc<str>>, Vec<Idle<E>>>,
    /// In the hands of invokes, of either kind.
    busy: usize,
    /// Invokes that would take an environment that becomes idle, the longest waiting first.
    seekers: BTreeMap<u64, Seeker<E>>,
    provisioned: Provisioned<E>,
}

/// A version's environments that are started ahead.
struct Provisioned<E> {
    wanted: u32,
    starting: u32,
    /// Idle or busy.
    ready: u32,
    idle: Vec<Arc<E>>,
}

impl<E> Provisioned<E> {
    fn surplus(&self) -> u32 {
        self.ready.saturating_sub(self.wanted)
    }
}

struct Idle<E> {
    environment: Arc<E>,
    since: Timestamp,
    age: u64,
}

/// How many environments of a version are provisioned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProvisionedCount {
    pub(crate) starting: u32,
    pub(crate) ready: u32,
    /// Of those that are ready and idle, how many are good for new requests at a certain time.
    pub(crate) stale: u32,
}

impl<E> Version<E> {
    fn new(oldest_wanted: u64) -> Self {
        let provisioned = Provisioned { wanted: 0, starting: 0, ready: 0, idle: Vec::new() };
        Version { oldest_wanted, idle: HashMap::new(), busy: 0, seekers: BTreeMap::new(), provisioned }
    }

    fn is_unused(&self) -> bool {
        let provisioned = &self.provisioned;
        self.busy == 0
            && self.idle.is_empty()
            && self.seekers.is_empty()
            && provisioned.wanted == 0
            && provisioned.starting == 0
            && provisioned.ready == 0
    }
}

impl<E: Pooled> Pool<E> {
    pub(crate) fn new(limits: PoolLimits, ledger: Arc<Ledger>) -> Self {
        Pool {
            limits,
            admission: Admission::new(limits.account_concurrency),
            ledger,
            learned: Learned::default(),
            versions: HashMap::new(),
            environments: 0,
            by_age: BTreeMap::new(),
            next_age: 0,
            idle_bytes: 0,
            next_seat: 0,
            queue: Queue::default(),
            wants_room: false,
            evicted: Vec::new(),
        }
    }

    pub(crate) fn admission(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// Counts an invoke in and finds its place: a provisioned environment, the most recently used idle one, room for a
    /// new one, or else a seat among those who wait for the host. Until [`Pool::put_back`] or [`Pool::lost`] the place is
    /// taken, until [`Pool::leave`] the invoke counts.
    pub(crate) fn enter(
        &mut self,
        wish: &Wish<'_>,
        has_rate: bool,
        now: Timestamp,
    ) -> Result<Place<E>, Full> {
        self.admission.request(wish.owner, has_rate, now)?;
        if let Some(place) = self.take_provisioned(wish) {
            return Ok(place);
        }
        self.admission.enter(wish.owner)?;
        let place = self.take(wish, now);
        if place.is_err() {
            self.admission.leave(wish.owner);
        }
        place
    }

    /// The environment of this invoke is of no use: another place. When there is none the invoke does not count any
    /// more.
    pub(crate) fn elsewhere(
        &mut self,
        wish: &Wish<'_>,
        lane: Lane,
        now: Timestamp,
    ) -> Result<Place<E>, Full> {
        self.lost(wish, lane);
        if let Some(place) = self.take_provisioned(wish) {
            self.leave(wish, lane);
            return Ok(place);
        }
        if lane == Lane::Provisioned {
            // What the lost one was is free for it.
            self.admission.enter(wish.owner)?;
        }
        let place = self.take(wish, now);
        if place.is_err() {
            self.admission.leave(wish.owner);
        }
        place
    }

    /// Counts an invoke out.
    pub(crate) fn leave(&mut self, wish: &Wish<'_>, lane: Lane) {
        if lane == Lane::OnDemand {
            self.admission.leave(wish.owner);
        }
    }

    fn take_provisioned(&mut self, wish: &Wish<'_>) -> Option<Place<E>> {
        let version = self.versions.get_mut(&**wish.key)?;
        let idle = &mut version.provisioned.idle;
        let at = idle.iter().rposition(|idle| idle.wanted_by().generation == wish.generation)?;
        let environment = idle.remove(at);
        version.busy += 1;
        environment.share().count_provisioned_idle(false);
        environment.share().grow();
        Some(Place::Warm { environment, lane: Lane::Provisioned })
    }

    /// Takes an idle one out, unless it would have to ask for memory and may not.
    fn take_idle(&mut self, wish: &Wish<'_>, may_grow: bool) -> Option<Arc<E>> {
        let version = self.versions.get_mut(&**wish.key)?;
        let tenant = wish.tenant.cloned();
        let list = version.idle.get_mut(&tenant)?;
        let at = list.iter().rposition(|idle| idle.environment.wanted_by().generation == wish.generation)?;
        if !may_grow && list[at].environment.share().growth_bytes() > 0 {
            return None;
        }
        let idle = list.remove(at);
        if list.is_empty() && tenant.is_some() {
            version.idle.remove(&tenant);
        }
        version.busy += 1;
        self.by_age.remove(&idle.age);
        idle.environment.share().count_idle(&mut self.idle_bytes, false);
        idle.environment.share().grow();
        Some(idle.environment)
    }

    /// An environment is idle again, or goes on to an invoke that has a seat. What is given back must go: it, when it is
    /// not wanted any more.
    pub(crate) fn put_back(&mut self, environment: Arc<E>, lane: Lane, now: Timestamp) -> Option<Arc<E>> {
        let wish = environment.wanted_by();
        let version = self.versions.get_mut(&**wish.key);
        let version = version.filter(|version| wish.generation >= version.oldest_wanted);
        let Some(version) = version else {
            self.lost(&environment.wanted_by(), lane);
            return Some(environment);
        };
        // One environment too many is not to be used again.
        let may_go_on = lane == Lane::OnDemand || version.provisioned.surplus() == 0;
        if may_go_on && !version.seekers.is_empty() {
            let environment = self.hand_on(environment, lane)?;
            return self.rest(environment, lane, now);
        }
        self.rest(environment, lane, now)
    }

    /// Nobody waits for it.
    fn rest(&mut self, environment: Arc<E>, lane: Lane, now: Timestamp) -> Option<Arc<E>> {
        let wish = environment.wanted_by();
        let (key, tenant) = (Arc::clone(wish.key), wish.tenant.cloned());
        let version = self.versions.get_mut(&key)?;
        version.busy = version.busy.saturating_sub(1);
        if lane == Lane::Provisioned {
            environment.share().count_provisioned_idle(true);
            version.provisioned.idle.push(environment);
            let is_surplus = version.provisioned.surplus() > 0;
            return if is_surplus { self.drop_stalest(&key, None) } else { None };
        }
        let age = self.next_age;
        self.next_age += 1;
        environment.share().count_idle(&mut self.idle_bytes, true);
        self.queue.tell_of_idle(&self.ledger);
        version.idle.entry(tenant.clone()).or_default().push(Idle { environment, since: now, age });
        self.by_age.insert(age, (key, tenant));
        None
    }

    /// A busy environment is gone, or was never started.
    pub(crate) fn lost(&mut self, wish: &Wish<'_>, lane: Lane) {
        if let Some(version) = self.versions.get_mut(&**wish.key) {
            version.busy = version.busy.saturating_sub(1);
            if lane == Lane::Provisioned {
                version.provisioned.ready = version.provisioned.ready.saturating_sub(1);
            }
        }
        self.uncount(wish, lane);
        self.forget_if_unused(wish.key);
    }

    /// Sets how many environments of a version are to be provisioned. Gives the idle ones that are too many.
    pub(crate) fn set_provisioned(&mut self, wish: &Wish<'_>, wanted: u32) -> Vec<Arc<E>> {
        self.version(wish).provisioned.wanted = wanted;
        let gone = self.drop_surplus(wish.key);
        self.forget_if_unused(wish.key);
        gone
    }

    /// A provisioned environment waits for its first event. Gives what must go: one that it replaces, or itself.
    pub(crate) fn provisioned_ready(&mut self, environment: Arc<E>) -> Vec<Arc<E>> {
        let wish = environment.wanted_by();
        let key = Arc::clone(wish.key);
        self.admission.provision(wish.owner, 1);
        let version = self.version(&wish);
        version.provisioned.starting = version.provisioned.starting.saturating_sub(1);
        version.provisioned.ready += 1;
        version.provisioned.idle.push(Arc::clone(&environment));
        environment.share().count_provisioned_idle(true);
        self.ledger.tell();
        let mut gone = self.drop_old(&key);
        // Those that it replaces may be busy: they go when they are given back. It goes itself if none is wanted.
        let spared = self.versions.get(&key).filter(|version| version.provisioned.wanted > 0);
        let spared = spared.map(|_| &environment);
        while self.versions.get(&key).is_some_and(|version| version.provisioned.surplus() > 0)
            && let Some(one) = self.drop_stalest(&key, spared)
        {
            gone.push(one);
        }
        self.forget_if_unused(&key);
        gone
    }

    /// A provisioned environment did not start.
    pub(crate) fn provisioned_failed(&mut self, wish: &Wish<'_>) {
        self.environments = self.environments.saturating_sub(1);
        self.ledger.tell();
        let provisioned = &mut self.version(wish).provisioned;
        provisioned.starting = provisioned.starting.saturating_sub(1);
        self.forget_if_unused(wish.key);
    }

    /// The provisioned environments of a version; those whose time is up by `then` are stale.
    pub(crate) fn provisioned(&self, key: &str, then: Timestamp) -> ProvisionedCount {
        let Some(version) = self.versions.get(key) else { return ProvisionedCount::default() };
        let provisioned = &version.provisioned;
        let stale = provisioned.idle.iter().filter(|idle| idle.fresh_until() <= then).count();
        ProvisionedCount {
            starting: provisioned.starting,
            ready: provisioned.ready,
            stale: u32::try_from(stale).unwrap_or(u32::MAX),
        }
    }

    /// Takes out provisioned idle ones beyond the number wanted, those first whose time is up first.
    fn drop_surplus(&mut self, key: &str) -> Vec<Arc<E>> {
        let mut gone = Vec::new();
        while self.versions.get(key).is_some_and(|version| version.provisioned.surplus() > 0)
            && let Some(one) = self.drop_stalest(key, None)
        {
            gone.push(one);
        }
        gone
    }

    /// Takes out the provisioned idle one whose time is up first, but not this one.
    fn drop_stalest(&mut self, key: &str, spared: Option<&Arc<E>>) -> Option<Arc<E>> {
        let provisioned = &mut self.versions.get_mut(key)?.provisioned;
        let idle = provisioned.idle.iter().enumerate();
        let others = idle.filter(|(_, idle)| spared.is_none_or(|spared| !Arc::ptr_eq(idle, spared)));
        let (at, _) = others.min_by_key(|(_, idle)| idle.fresh_until())?;
        let gone = provisioned.idle.remove(at);
        provisioned.ready = provisioned.ready.saturating_sub(1);
        self.uncount(&gone.wanted_by(), Lane::Provisioned);
        Some(gone)
    }

    /// Takes out provisioned idle ones of generations that are not wanted any more.
    fn drop_old(&mut self, key: &str) -> Vec<Arc<E>> {
        let Some(version) = self.versions.get_mut(key) else { return Vec::new() };
        let oldest_wanted = version.oldest_wanted;
        let is_old = |idle: &mut Arc<E>| idle.wanted_by().generation < oldest_wanted;
        let gone: Vec<Arc<E>> = version.provisioned.idle.extract_if(.., is_old).collect();
        let count = u32::try_from(gone.len()).unwrap_or(u32::MAX);
        version.provisioned.ready = version.provisioned.ready.saturating_sub(count);
        self.uncount_all(&gone, Lane::Provisioned);
        gone
    }

    /// From now on nothing older than `before` is wanted. Gives the idle ones that must go.
    pub(crate) fn retire(&mut self, key: &str, before: u64) -> Vec<Arc<E>> {
        let Some(version) = self.versions.get_mut(key) else { return Vec::new() };
        version.oldest_wanted = version.oldest_wanted.max(before);
        let mut gone = self.remove_idle(key, |idle| idle.environment.wanted_by().generation < before);
        gone.extend(self.drop_old(key));
        self.forget_if_unused(key);
        gone
    }

    /// Takes out what has been idle since `limit` or longer.
    pub(crate) fn expire(&mut self, limit: Timestamp, now: Timestamp) -> Vec<Arc<E>> {
        let mut gone = Vec::new();
        while self.oldest_since().is_some_and(|since| since <= limit)
            && let Some(environment) = self.evict_oldest()
        {
            gone.push(environment);
        }
        self.admission.tidy(now);
        gone
    }

    /// Since when the longest idle one is idle.
    fn oldest_since(&self) -> Option<Timestamp> {
        let (age, (key, tenant)) = self.by_age.first_key_value()?;
        let list = self.versions.get(key)?.idle.get(tenant)?;
        let at = list.binary_search_by_key(age, |idle| idle.age).ok()?;
        Some(list[at].since)
    }

    /// Takes out the longest idle until the idle ones fit into their memory budget.
    pub(crate) fn shrink_to_budget(&mut self) -> Vec<Arc<E>> {
        let mut gone = Vec::new();
        while self.idle_bytes > self.limits.idle_memory_bytes
            && let Some(environment) = self.evict_oldest()
        {
            gone.push(environment);
        }
        gone
    }

    /// Takes one environment out of the idle ones, if it is there: it has died.
    pub(crate) fn remove(&mut self, environment: &Arc<E>) -> Option<Arc<E>> {
        let wish = environment.wanted_by();
        let mut gone = self.remove_idle(wish.key, |idle| Arc::ptr_eq(&idle.environment, environment));
        if gone.is_empty()
            && let Some(version) = self.versions.get_mut(&**wish.key)
        {
            let provisioned = &mut version.provisioned;
            gone = provisioned.idle.extract_if(.., |idle| Arc::ptr_eq(idle, environment)).collect();
            provisioned.ready = provisioned.ready.saturating_sub(u32::from(!gone.is_empty()));
            self.uncount_all(&gone, Lane::Provisioned);
        }
        self.forget_if_unused(wish.key);
        gone.pop()
    }

    /// Takes out everything idle; nothing that is busy is wanted back.
    pub(crate) fn close(&mut self) -> Vec<Arc<E>> {
        self.send_away_all();
        let keys: Vec<Arc<str>> = self.versions.keys().cloned().collect();
        for key in &keys {
            if let Some(version) = self.versions.get_mut(key) {
                version.provisioned.wanted = 0;
            }
        }
        keys.iter().flat_map(|key| self.retire(key, u64::MAX)).collect()
    }

    /// How many environments exist or are being started, and how many of them are idle.
    pub(crate) fn count(&self) -> (usize, usize) {
        let provisioned: usize = self.versions.values().map(|version| version.provisioned.idle.len()).sum();
        (self.environments, self.by_age.len() + provisioned)
    }

    fn version(&mut self, wish: &Wish<'_>) -> &mut Version<E> {
        self.versions.entry(Arc::clone(wish.key)).or_insert_with(|| Version::new(wish.generation))
    }

    fn evict_oldest(&mut self) -> Option<Arc<E>> {
        let (&age, _) = self.by_age.first_key_value()?;
        self.evict(age)
    }

    /// Takes an idle one out by its age.
    fn evict(&mut self, age: u64) -> Option<Arc<E>> {
        let (key, tenant) = self.by_age.remove(&age)?;
        let version = self.versions.get_mut(&key)?;
        let list = version.idle.get_mut(&tenant)?;
        // What became idle later has a higher age, and stands behind.
        let at = list.binary_search_by_key(&age, |idle| idle.age).ok()?;
        let gone = list.remove(at).environment;
        if list.is_empty() {
            version.idle.remove(&tenant);
        }
        gone.share().count_idle(&mut self.idle_bytes, false);
        self.uncount(&gone.wanted_by(), Lane::OnDemand);
        self.forget_if_unused(&key);
        Some(gone)
    }

    fn remove_idle(&mut self, key: &str, goes: impl Fn(&Idle<E>) -> bool) -> Vec<Arc<E>> {
        let Some(version) = self.versions.get_mut(key) else { return Vec::new() };
        let mut gone = Vec::new();
        for list in version.idle.values_mut() {
            gone.extend(list.extract_if(.., |idle| goes(idle)));
        }
        if !gone.is_empty() {
            version.idle.retain(|_, list| !list.is_empty());
        }
        for idle in &gone {
            self.by_age.remove(&idle.age);
            idle.environment.share().count_idle(&mut self.idle_bytes, false);
        }
        let gone: Vec<Arc<E>> = gone.into_iter().map(|idle| idle.environment).collect();
        self.uncount_all(&gone, Lane::OnDemand);
        gone
    }

    fn uncount_all(&mut self, gone: &[Arc<E>], lane: Lane) {
        for environment in gone {
            self.uncount(&environment.wanted_by(), lane);
        }
    }

    /// One environment less.
    fn uncount(&mut self, wish: &Wish<'_>, lane: Lane) {
        self.environments = self.environments.saturating_sub(1);
        self.ledger.tell();
        if lane == Lane::Provisioned {
            self.admission.provision(wish.owner, -1);
        }
        if wish.tenant.is_some() {
            self.admission.tenant_gone(wish.owner);
        }
    }

    /// A version without environments needs no entry: nothing of it can come back.
    fn forget_if_unused(&mut self, key: &str) {
        // A list stays empty while requests come and go; it is no environment.
        if let Some(version) = self.versions.get_mut(key)
            && version.busy == 0
        {
            version.idle.retain(|_, list| !list.is_empty());
            if version.is_unused() {
                self.versions.remove(key);
            }
        }
    }
}

mod room;

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
