//! Who may run now, and where: the account's concurrency, idle environments per function and generation, and the
//! limits of the host. Pure bookkeeping under one short lock: it starts nothing, stops nothing and waits for nothing.
//!
//! What must die is handed back to the caller, who drops it after the lock.
//!
//! **Invariant:** an environment is in at most one place: idle in here, or in the hands of one invoke.
//! **Invariant:** [`Pool::take`] gives environments of exactly the generation asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base::{AccountId, Region, Timestamp};

/// What the pool keeps: an environment, or a number in tests.
pub(crate) trait Pooled {
    /// What the pool knows its version by: `FunctionConfig::key`.
    fn arn(&self) -> &str;
    /// The generation of code and configuration that it runs.
    fn generation(&self) -> u64;
    /// Memory in use when it was last measured, in bytes.
    fn memory_bytes(&self) -> u64;
}

/// The limits that the pool enforces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) account_concurrency: u32,
    pub(crate) max_environments: usize,
    pub(crate) idle_memory_bytes: u64,
}

/// Where an invoke may run.
pub(crate) enum Place<E> {
    /// In this environment, which is warm.
    Warm(Arc<E>),
    /// In a new one, after this idle one (of another function, or an older one) has gone to make room.
    New { evicted: Option<Arc<E>> },
}

/// Why an invoke may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The account runs as many invokes as it may.
    Account,
    /// The host has as many environments as it may, and all are busy.
    Host,
}

/// All functions' environments.
pub(crate) struct Pool<E> {
    limits: PoolLimits,
    functions: HashMap<String, Function<E>>,
    running: HashMap<(AccountId, Region), u32>,
    /// Environments that exist or are being started.
    environments: usize,
    /// Idle environments by the order in which they became idle: key to function and back.
    by_age: BTreeMap<u64, String>,
    next_age: u64,
}

struct Function<E> {
    /// Environments below it are not wanted back.
    oldest_wanted: u64,
    /// The most recently used last.
    idle: Vec<Idle<E>>,
    busy: usize,
}

struct Idle<E> {
    environment: Arc<E>,
    since: Timestamp,
    age: u64,
}

impl<E: Pooled> Pool<E> {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Pool {
            limits,
            functions: HashMap::new(),
            running: HashMap::new(),
            environments: 0,
            by_age: BTreeMap::new(),
            next_age: 0,
        }
    }

    /// Counts an invoke in, if the account may run one more. [`Pool::leave`] counts it out.
    pub(crate) fn enter(&mut self, account: AccountId, region: &Region) -> Result<(), Full> {
        let running = self.running.entry((account, region.clone())).or_default();
        if *running >= self.limits.account_concurrency {
            return Err(Full::Account);
        }
        *running += 1;
        Ok(())
    }

    /// Counts an invoke out.
    pub(crate) fn leave(&mut self, account: AccountId, region: &Region) {
        let key = (account, region.clone());
        if let Some(running) = self.running.get_mut(&key) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(&key);
            }
        }
    }

    /// Finds the most recently used idle environment of exactly this generation, or room for a new one. Either way
    /// one environment of the function is busy until [`Pool::put_back`] or [`Pool::lost`].
    pub(crate) fn take(&mut self, arn: &str, generation: u64) -> Result<Place<E>, Full> {
        if let Some(function) = self.functions.get_mut(arn)
            && let Some(at) =
                function.idle.iter().rposition(|idle| idle.environment.generation() == generation)
        {
            let idle = function.idle.remove(at);
            function.busy += 1;
            self.by_age.remove(&idle.age);
            return Ok(Place::Warm(idle.environment));
        }
        let evicted = if self.environments >= self.limits.max_environments {
            Some(self.evict_oldest().ok_or(Full::Host)?)
        } else {
            None
        };
        self.environments += 1;
        match self.functions.get_mut(arn) {
            Some(function) => function.busy += 1,
            None => {
                let function = Function { oldest_wanted: generation, idle: Vec::new(), busy: 1 };
                self.functions.insert(arn.to_owned(), function);
            }
        }
        Ok(Place::New { evicted })
    }

    /// An environment is idle again. What is given back must go: it, when it is not wanted any more.
    pub(crate) fn put_back(&mut self, environment: Arc<E>, now: Timestamp) -> Option<Arc<E>> {
        let function = self.functions.get_mut(environment.arn());
        let Some(function) = function.filter(|known| environment.generation() >= known.oldest_wanted) else {
            self.lost(environment.arn());
            return Some(environment);
        };
        function.busy = function.busy.saturating_sub(1);
        let age = self.next_age;
        self.next_age += 1;
        self.by_age.insert(age, environment.arn().to_owned());
        function.idle.push(Idle { environment, since: now, age });
        None
    }

    /// A busy environment of the function is gone, or was never started.
    pub(crate) fn lost(&mut self, arn: &str) {
        self.environments = self.environments.saturating_sub(1);
        if let Some(function) = self.functions.get_mut(arn) {
            function.busy = function.busy.saturating_sub(1);
        }
        self.forget_if_unused(arn);
    }

    /// From now on nothing older than `before` is wanted. Gives the idle ones that must go.
    pub(crate) fn retire(&mut self, arn: &str, before: u64) -> Vec<Arc<E>> {
        let Some(function) = self.functions.get_mut(arn) else { return Vec::new() };
        function.oldest_wanted = function.oldest_wanted.max(before);
        let gone = self.remove_idle(arn, |idle| idle.environment.generation() < before);
        self.forget_if_unused(arn);
        gone
    }

    /// Takes out what has been idle since `limit` or longer.
    pub(crate) fn expire(&mut self, limit: Timestamp) -> Vec<Arc<E>> {
        let arns: Vec<String> = self.functions.keys().cloned().collect();
        let mut gone = Vec::new();
        for arn in arns {
            gone.extend(self.remove_idle(&arn, |idle| idle.since <= limit));
            self.forget_if_unused(&arn);
        }
        gone
    }

    /// Takes out the longest idle until the idle ones fit into their memory budget.
    pub(crate) fn shrink_to_budget(&mut self) -> Vec<Arc<E>> {
        let idle = || self.functions.values().flat_map(|function| &function.idle);
        let mut bytes: u64 = idle().map(|idle| idle.environment.memory_bytes()).sum();
        let mut gone = Vec::new();
        while bytes > self.limits.idle_memory_bytes
            && let Some(environment) = self.evict_oldest()
        {
            bytes = bytes.saturating_sub(environment.memory_bytes());
            gone.push(environment);
        }
        gone
    }

    /// Takes one environment out of the idle ones, if it is there: it has died.
    pub(crate) fn remove(&mut self, environment: &Arc<E>) -> Option<Arc<E>> {
        let arn = environment.arn().to_owned();
        let gone = self.remove_idle(&arn, |idle| Arc::ptr_eq(&idle.environment, environment));
        self.forget_if_unused(&arn);
        gone.into_iter().next()
    }

    /// Takes out everything idle; nothing that is busy is wanted back.
    pub(crate) fn close(&mut self) -> Vec<Arc<E>> {
        let arns: Vec<String> = self.functions.keys().cloned().collect();
        arns.iter().flat_map(|arn| self.retire(arn, u64::MAX)).collect()
    }

    /// How many environments exist or are being started, and how many of them are idle.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.environments, self.by_age.len())
    }

    fn evict_oldest(&mut self) -> Option<Arc<E>> {
        let (&age, arn) = self.by_age.first_key_value()?;
        let arn = arn.clone();
        let gone = self.remove_idle(&arn, |idle| idle.age == age).pop();
        self.forget_if_unused(&arn);
        gone
    }

    fn remove_idle(&mut self, arn: &str, goes: impl Fn(&Idle<E>) -> bool) -> Vec<Arc<E>> {
        let Some(function) = self.functions.get_mut(arn) else { return Vec::new() };
        let gone: Vec<Idle<E>> = function.idle.extract_if(.., |idle| goes(idle)).collect();
        self.environments = self.environments.saturating_sub(gone.len());
        for idle in &gone {
            self.by_age.remove(&idle.age);
        }
        gone.into_iter().map(|idle| idle.environment).collect()
    }

    /// A function without environments needs no entry: nothing of it can come back.
    fn forget_if_unused(&mut self, arn: &str) {
        if self.functions.get(arn).is_some_and(|function| function.busy == 0 && function.idle.is_empty()) {
            self.functions.remove(arn);
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
