//! The pool's bookkeeping.

use super::*;

struct Fake {
    arn: &'static str,
    generation: u64,
    bytes: u64,
}

impl Pooled for Fake {
    fn arn(&self) -> &str {
        self.arn
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn memory_bytes(&self) -> u64 {
        self.bytes
    }
}

const LIMITS: PoolLimits = PoolLimits { account_concurrency: 2, max_environments: 3, idle_memory_bytes: 250 };

fn fake(arn: &'static str, generation: u64) -> Arc<Fake> {
    Arc::new(Fake { arn, generation, bytes: 100 })
}

fn warm(pool: &mut Pool<Fake>, arn: &str, generation: u64) -> Option<Arc<Fake>> {
    match pool.take(arn, generation) {
        Ok(Place::Warm(environment)) => Some(environment),
        _ => None,
    }
}

fn add(pool: &mut Pool<Fake>, environment: &Arc<Fake>, now: i64) {
    assert!(warm(pool, environment.arn, environment.generation).is_none());
    assert!(pool.put_back(Arc::clone(environment), Timestamp(now)).is_none());
}

#[test]
fn the_most_recently_used_comes_first() {
    let mut pool = Pool::new(LIMITS);
    let (a, b) = (fake("f", 1), fake("f", 1));
    assert!(warm(&mut pool, "f", 1).is_none() && warm(&mut pool, "f", 1).is_none());
    assert!(pool.put_back(a.clone(), Timestamp(1)).is_none());
    assert!(pool.put_back(b.clone(), Timestamp(2)).is_none());
    assert!(Arc::ptr_eq(&warm(&mut pool, "f", 1).unwrap(), &b));
    assert!(pool.put_back(b.clone(), Timestamp(3)).is_none());
    assert!(Arc::ptr_eq(&warm(&mut pool, "f", 1).unwrap(), &b));
    assert!(Arc::ptr_eq(&warm(&mut pool, "f", 1).unwrap(), &a));
    assert_eq!(pool.count(), (2, 0));
}

#[test]
fn another_generation_is_never_given() {
    let mut pool = Pool::new(LIMITS);
    add(&mut pool, &fake("f", 1), 0);
    assert!(warm(&mut pool, "f", 2).is_none());
    let newer = fake("f", 2);
    assert!(pool.put_back(newer.clone(), Timestamp(0)).is_none());
    assert_eq!(pool.retire("f", 2).len(), 1);
    assert!(warm(&mut pool, "f", 1).is_none());
    assert!(pool.put_back(fake("f", 1), Timestamp(0)).is_some(), "what is retired is not taken back");
    assert!(Arc::ptr_eq(&warm(&mut pool, "f", 2).unwrap(), &newer));
    pool.lost("f");
    assert_eq!(pool.count(), (0, 0));
}

#[test]
fn a_full_host_evicts_the_longest_idle_and_otherwise_refuses() {
    let mut pool = Pool::new(LIMITS);
    let old = fake("a", 1);
    add(&mut pool, &old, 1);
    add(&mut pool, &fake("b", 1), 2);
    add(&mut pool, &fake("c", 1), 3);
    let Ok(Place::New { evicted: Some(evicted) }) = pool.take("d", 1) else { panic!("no room was made") };
    assert!(Arc::ptr_eq(&evicted, &old));
    assert!(warm(&mut pool, "b", 1).is_some() && warm(&mut pool, "c", 1).is_some());
    assert!(matches!(pool.take("e", 1), Err(Full::Host)));
    pool.lost("d");
    assert!(matches!(pool.take("e", 1), Ok(Place::New { evicted: None })));
}

#[test]
fn an_account_has_its_own_limit() {
    let mut pool: Pool<Fake> = Pool::new(LIMITS);
    let (account, region) = (AccountId::DEFAULT, Region::default());
    let elsewhere: Region = "eu-central-1".parse().unwrap();
    assert!(pool.enter(account, &region).is_ok() && pool.enter(account, &region).is_ok());
    assert_eq!(pool.enter(account, &region), Err(Full::Account));
    assert!(pool.enter(account, &elsewhere).is_ok());
    pool.leave(account, &region);
    assert!(pool.enter(account, &region).is_ok());
}

#[test]
fn the_idle_keep_to_their_time_and_memory() {
    let mut pool = Pool::new(LIMITS);
    add(&mut pool, &fake("a", 1), 10);
    add(&mut pool, &fake("b", 1), 20);
    add(&mut pool, &fake("c", 1), 30);
    let gone = pool.shrink_to_budget();
    assert_eq!(gone.iter().map(|gone| gone.arn).collect::<Vec<_>>(), ["a"]);
    let gone = pool.expire(Timestamp(20));
    assert_eq!(gone.iter().map(|gone| gone.arn).collect::<Vec<_>>(), ["b"]);
    assert_eq!(pool.close().len(), 1);
    assert_eq!(pool.count(), (0, 0));
}
