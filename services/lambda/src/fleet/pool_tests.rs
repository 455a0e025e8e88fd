//! The pool's bookkeeping.

use base::{AccountId, Region};

use super::*;
use crate::invoke::Shortage;

pub(super) struct Fake {
    pub(super) key: Arc<str>,
    region: Region,
    generation: u64,
    pub(super) tenant: Option<Arc<str>>,
    share: Arc<Share>,
    fresh_until: Timestamp,
}

impl Pooled for Fake {
    fn wanted_by(&self) -> Wish<'_> {
        let owner = Owner { account: AccountId::DEFAULT, region: &self.region, arn: &self.key };
        Wish {
            owner,
            key: &self.key,
            generation: self.generation,
            tenant: self.tenant.as_ref(),
            memory_mib: 128,
        }
    }

    fn share(&self) -> &Share {
        &self.share
    }

    fn fresh_until(&self) -> Timestamp {
        self.fresh_until
    }
}

pub(super) const LIMITS: PoolLimits =
    PoolLimits { account_concurrency: 9, max_environments: 3, idle_memory_bytes: 250, max_waiting: 0 };
pub(super) const NOW: Timestamp = Timestamp(0);

fn pool(limits: PoolLimits) -> Pool<Fake> {
    Pool::new(limits, Ledger::new(None))
}

fn fake(key: &str, generation: u64) -> Arc<Fake> {
    Arc::new(Fake {
        key: Arc::from(key),
        region: Region::default(),
        generation,
        tenant: None,
        share: Ledger::new(None).share(100),
        fresh_until: Timestamp(1000),
    })
}

/// An environment with this part of the memory.
pub(super) fn fake_of(key: &str, share: Arc<Share>) -> Arc<Fake> {
    Arc::new(Fake { share, ..Arc::into_inner(fake(key, 1)).unwrap() })
}

fn of_tenant(key: &str, tenant: &str) -> Arc<Fake> {
    Arc::new(Fake { tenant: Some(Arc::from(tenant)), ..Arc::into_inner(fake(key, 1)).unwrap() })
}

/// Enters for an environment like this one; a warm one, if it gets it.
fn warm(pool: &mut Pool<Fake>, like: &Arc<Fake>) -> Option<Arc<Fake>> {
    match pool.enter(&like.wanted_by(), false, NOW) {
        Ok(Place::Warm { environment, lane: Lane::OnDemand }) => Some(environment),
        Ok(Place::New { seat, .. }) => {
            assert!(pool.leave_seat(&like.key, seat).is_none());
            None
        }
        _ => None,
    }
}

fn leave(pool: &mut Pool<Fake>, environment: &Arc<Fake>, now: i64) -> Option<Arc<Fake>> {
    pool.leave(&environment.wanted_by(), Lane::OnDemand);
    pool.put_back(Arc::clone(environment), Lane::OnDemand, Timestamp(now))
}

fn add(pool: &mut Pool<Fake>, environment: &Arc<Fake>, now: i64) {
    assert!(warm(pool, environment).is_none());
    assert!(leave(pool, environment, now).is_none());
}

pub(super) fn keys(gone: &[Arc<Fake>]) -> Vec<&str> {
    gone.iter().map(|gone| &*gone.key).collect()
}

/// Nothing runs and nothing is kept: whatever happened, no count leaked.
fn assert_empty(pool: &mut Pool<Fake>, like: &Arc<Fake>) {
    assert_eq!(pool.count(), (0, 0));
    assert_eq!(pool.admission().running(like.wanted_by().owner), (0, 0));
    assert!(pool.versions.is_empty() && pool.by_age.is_empty());
}

#[test]
fn the_most_recently_used_comes_first() {
    let mut pool = pool(LIMITS);
    let (a, b) = (fake("f", 1), fake("f", 1));
    assert!(warm(&mut pool, &a).is_none() && warm(&mut pool, &b).is_none());
    assert!(leave(&mut pool, &a, 1).is_none());
    assert!(leave(&mut pool, &b, 2).is_none());
    assert!(Arc::ptr_eq(&warm(&mut pool, &a).unwrap(), &b));
    assert!(leave(&mut pool, &b, 3).is_none());
    assert!(Arc::ptr_eq(&warm(&mut pool, &a).unwrap(), &b));
    assert!(Arc::ptr_eq(&warm(&mut pool, &a).unwrap(), &a));
    assert_eq!(pool.count(), (2, 0));
}

#[test]
fn another_generation_is_never_given() {
    let mut pool = pool(LIMITS);
    let (older, newer) = (fake("f", 1), fake("f", 2));
    add(&mut pool, &older, 0);
    add(&mut pool, &newer, 0);
    assert_eq!(pool.retire("f", 2).len(), 1);
    assert!(warm(&mut pool, &older).is_none());
    assert!(leave(&mut pool, &older, 0).is_some(), "what is retired is not taken back");
    assert!(Arc::ptr_eq(&warm(&mut pool, &newer).unwrap(), &newer));
    pool.lost(&newer.wanted_by(), Lane::OnDemand);
    pool.leave(&newer.wanted_by(), Lane::OnDemand);
    assert_empty(&mut pool, &newer);
}

#[test]
fn a_full_host_evicts_the_longest_idle_and_otherwise_refuses() {
    let mut pool = pool(LIMITS);
    let (a, b, c, d, e) = (fake("a", 1), fake("b", 1), fake("c", 1), fake("d", 1), fake("e", 1));
    add(&mut pool, &a, 1);
    add(&mut pool, &b, 2);
    add(&mut pool, &c, 3);
    assert!(matches!(pool.enter(&d.wanted_by(), false, NOW), Ok(Place::New { .. })));
    assert!(Arc::ptr_eq(&pool.take_evicted()[0], &a));
    assert!(warm(&mut pool, &b).is_some() && warm(&mut pool, &c).is_some());
    assert!(matches!(pool.enter(&e.wanted_by(), false, NOW), Err(Full::Host(Shortage::Environments))));
    assert_eq!(pool.admission().running(e.wanted_by().owner).0, 0, "who is refused does not count");
    pool.lost(&d.wanted_by(), Lane::OnDemand);
    assert!(matches!(pool.enter(&e.wanted_by(), false, NOW), Ok(Place::New { .. })));
}

#[test]
fn the_idle_keep_to_their_time_and_memory() {
    let mut pool = pool(LIMITS);
    add(&mut pool, &fake("a", 1), 10);
    add(&mut pool, &fake("b", 1), 20);
    add(&mut pool, &fake("c", 1), 30);
    assert_eq!(keys(&pool.shrink_to_budget()), ["a"]);
    assert_eq!(keys(&pool.expire(Timestamp(20), NOW)), ["b"]);
    assert_eq!(pool.close().len(), 1);
    assert_empty(&mut pool, &fake("c", 1));
}

#[test]
fn tenants_never_share() {
    let mut pool = pool(LIMITS);
    let (blue, green, plain) = (of_tenant("f", "blue"), of_tenant("f", "green"), fake("f", 1));
    add(&mut pool, &blue, 1);
    add(&mut pool, &green, 2);
    assert!(warm(&mut pool, &plain).is_none());
    assert!(leave(&mut pool, &plain, 3).is_none());
    assert!(Arc::ptr_eq(&warm(&mut pool, &green).unwrap(), &green));
    assert!(Arc::ptr_eq(&warm(&mut pool, &blue).unwrap(), &blue));
    assert!(leave(&mut pool, &blue, 4).is_none() && leave(&mut pool, &green, 5).is_none());
    assert_eq!(pool.retire("f", 2).len(), 3);
    assert_empty(&mut pool, &blue);
}

#[test]
fn many_tenants_push_each_other_out() {
    let mut pool = pool(LIMITS);
    for tenant in 0..100 {
        add(&mut pool, &of_tenant("f", &tenant.to_string()), tenant);
        assert!(pool.count().0 <= 3);
    }
    assert!(warm(&mut pool, &of_tenant("f", "99")).is_some());
    assert!(warm(&mut pool, &of_tenant("f", "0")).is_none());
}

/// Provisions so many environments of `f`.
fn provisioned(pool: &mut Pool<Fake>, count: u32) -> Vec<Arc<Fake>> {
    let one = fake("f", 1);
    assert!(pool.set_provisioned(&one.wanted_by(), count).is_empty());
    let all: Vec<Arc<Fake>> = (0..count).map(|_| fake("f", 1)).collect();
    for environment in &all {
        pool.provision(&environment.wanted_by()).unwrap();
        assert!(pool.take_evicted().is_empty());
        assert!(pool.provisioned_ready(Arc::clone(environment)).is_empty());
    }
    all
}

fn take(pool: &mut Pool<Fake>, like: &Arc<Fake>) -> Option<Lane> {
    match pool.enter(&like.wanted_by(), false, NOW) {
        Ok(Place::Warm { lane, .. }) => Some(lane),
        Ok(Place::New { seat, .. }) => {
            assert!(pool.leave_seat(&like.key, seat).is_none());
            None
        }
        Ok(Place::Later { .. }) => panic!("no room"),
        Err(full) => panic!("{full:?}"),
    }
}

#[test]
fn provisioned_environments_come_first_and_then_those_on_demand() {
    let mut pool = pool(LIMITS);
    let all = provisioned(&mut pool, 2);
    assert_eq!(take(&mut pool, &all[0]), Some(Lane::Provisioned));
    assert_eq!(take(&mut pool, &all[0]), Some(Lane::Provisioned));
    assert_eq!(take(&mut pool, &all[0]), None);
    assert_eq!(pool.admission().running(all[0].wanted_by().owner), (1, 1), "only the last one counts");
    let on_demand = fake("f", 1);
    assert!(leave(&mut pool, &on_demand, 1).is_none());
    assert_eq!(take(&mut pool, &on_demand), Some(Lane::OnDemand));
    assert!(pool.put_back(Arc::clone(&all[0]), Lane::Provisioned, NOW).is_none());
    assert_eq!(take(&mut pool, &on_demand), Some(Lane::Provisioned));
}

#[test]
fn what_is_provisioned_stays_whatever_the_host_is_short_of() {
    let mut pool = pool(PoolLimits { idle_memory_bytes: 0, ..LIMITS });
    let all = provisioned(&mut pool, 3);
    assert!(pool.shrink_to_budget().is_empty() && pool.expire(Timestamp(i64::MAX), NOW).is_empty());
    assert!(matches!(
        pool.enter(&fake("g", 1).wanted_by(), false, NOW),
        Err(Full::Host(Shortage::Environments))
    ));
    assert!(matches!(pool.provision(&all[0].wanted_by()), Err(NoRoom::Busy(Shortage::Environments))));
    assert_eq!(pool.set_provisioned(&all[0].wanted_by(), 1).len(), 2);
    assert_eq!(pool.provisioned("f", NOW), ProvisionedCount { starting: 0, ready: 1, stale: 0 });
    assert_eq!(pool.retire("f", 2).len(), 1, "but not what is retired");
    assert_eq!(pool.provisioned("f", NOW).ready, 0);
    pool.set_provisioned(&all[0].wanted_by(), 0);
    assert_empty(&mut pool, &all[0]);
}

#[test]
fn a_provisioned_environment_that_dies_is_missed() {
    let mut pool = pool(LIMITS);
    let all = provisioned(&mut pool, 2);
    assert!(pool.remove(&all[0]).is_some() && pool.remove(&all[0]).is_none());
    assert_eq!(pool.provisioned("f", NOW).ready, 1);
    // The other one dies under an invoke, which goes on elsewhere and counts from then on.
    assert_eq!(take(&mut pool, &all[1]), Some(Lane::Provisioned));
    let place = pool.elsewhere(&all[1].wanted_by(), Lane::Provisioned, NOW);
    let Ok(Place::New { seat, .. }) = place else { panic!("no room") };
    assert!(pool.leave_seat("f", seat).is_none());
    assert_eq!(pool.admission().running(all[1].wanted_by().owner), (1, 1));
    pool.lost(&all[1].wanted_by(), Lane::OnDemand);
    pool.leave(&all[1].wanted_by(), Lane::OnDemand);
    assert_eq!(pool.provisioned("f", NOW), ProvisionedCount::default());
    pool.set_provisioned(&all[1].wanted_by(), 0);
    assert_empty(&mut pool, &all[0]);
}

#[test]
fn who_finds_nothing_elsewhere_does_not_count() {
    let mut pool = pool(PoolLimits { max_environments: 1, ..LIMITS });
    let all = provisioned(&mut pool, 1);
    assert_eq!(take(&mut pool, &all[0]), Some(Lane::Provisioned));
    // Its room went to a replacement at once.
    let lost_to = fake("f", 1);
    pool.lost(&all[0].wanted_by(), Lane::Provisioned);
    pool.provision(&lost_to.wanted_by()).unwrap();
    pool.version(&lost_to.wanted_by()).busy += 1;
    pool.environments += 1;
    assert!(pool.elsewhere(&all[0].wanted_by(), Lane::Provisioned, NOW).is_err());
    assert_eq!(pool.admission().running(all[0].wanted_by().owner), (0, 0));
}

#[test]
fn a_replacement_drives_out_the_stale() {
    let mut pool = pool(LIMITS);
    let stale = fake("f", 1);
    let fresh = Arc::new(Fake { fresh_until: Timestamp(2000), ..Arc::into_inner(fake("f", 1)).unwrap() });
    pool.set_provisioned(&stale.wanted_by(), 1);
    pool.provision(&stale.wanted_by()).unwrap();
    assert!(pool.provisioned_ready(Arc::clone(&stale)).is_empty());
    assert_eq!(pool.provisioned("f", Timestamp(1000)).stale, 1);
    pool.provision(&fresh.wanted_by()).unwrap();
    let gone = pool.provisioned_ready(Arc::clone(&fresh));
    assert!(gone.len() == 1 && Arc::ptr_eq(&gone[0], &stale));
    assert_eq!(pool.provisioned("f", Timestamp(1000)), ProvisionedCount { starting: 0, ready: 1, stale: 0 });
    pool.provision(&fresh.wanted_by()).unwrap();
    pool.provisioned_failed(&fresh.wanted_by());
    assert_eq!(pool.count(), (1, 1));
}

#[test]
fn a_replacement_stays_while_what_it_replaces_is_busy() {
    let mut pool = pool(LIMITS);
    let stale = provisioned(&mut pool, 1).remove(0);
    let fresh = Arc::new(Fake { fresh_until: Timestamp(2000), ..Arc::into_inner(fake("f", 1)).unwrap() });
    assert_eq!(take(&mut pool, &stale), Some(Lane::Provisioned));
    pool.provision(&fresh.wanted_by()).unwrap();
    assert!(pool.provisioned_ready(Arc::clone(&fresh)).is_empty());
    let gone = pool.put_back(Arc::clone(&stale), Lane::Provisioned, NOW).unwrap();
    assert!(Arc::ptr_eq(&gone, &stale));
    assert_eq!(pool.provisioned("f", Timestamp(1000)), ProvisionedCount { starting: 0, ready: 1, stale: 0 });
    // One that comes when none is wanted any more goes at once.
    pool.provision(&fresh.wanted_by()).unwrap();
    assert_eq!(pool.set_provisioned(&fresh.wanted_by(), 0).len(), 1);
    assert_eq!(pool.provisioned_ready(Arc::clone(&stale)).len(), 1);
    assert_empty(&mut pool, &stale);
}
