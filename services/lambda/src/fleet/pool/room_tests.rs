//! Who gets room, who goes for it, and who waits for how long.

use std::collections::BTreeMap;

use super::super::tests::{Fake, LIMITS, NOW, fake_of, keys};
use super::super::{PoolLimits, Seat};
use super::*;
use crate::fleet::host_memory::MemoryReading;

const MIB: u64 = 1 << 20;

const ROOMY: PoolLimits = PoolLimits {
    account_concurrency: 1000,
    max_environments: 100,
    idle_memory_bytes: u64::MAX,
    max_waiting: 100,
};

/// A host with so much memory for environments.
struct Host {
    pool: Pool<Fake>,
    ledger: Arc<Ledger>,
}

/// An environment that runs for an invoke.
struct Running {
    environment: Arc<Fake>,
}

impl Host {
    fn new(limits: PoolLimits, budget_mib: u64) -> Self {
        let ledger = Ledger::new(Some(budget_mib * MIB));
        Host { pool: Pool::new(limits, Arc::clone(&ledger)), ledger }
    }

    /// What an environment of this version needs is known.
    fn learn(&mut self, key: &str, mib: u64) {
        self.pool.learned.learn(&Arc::from(key), 1, mib * MIB);
    }

    fn enter(&mut self, key: &str) -> Result<Place<Fake>, Full> {
        let like = fake_of(key, self.ledger.share(0));
        self.pool.enter(&like.wanted_by(), false, NOW)
    }

    /// An invoke that needs an environment and gets room at once.
    fn start(&mut self, key: &str) -> Running {
        match self.enter(key) {
            Ok(Place::New { share, seat }) => self.started(key, share, seat),
            Ok(Place::Later { .. }) => panic!("{key} has to wait"),
            Ok(Place::Warm { .. }) => panic!("{key} is warm"),
            Err(full) => panic!("{key}: {full:?}"),
        }
    }

    fn started(&mut self, key: &str, share: Arc<Share>, seat: Seat<Fake>) -> Running {
        assert!(self.pool.leave_seat(key, seat).is_none());
        Running { environment: fake_of(key, share) }
    }

    /// An invoke that has to wait.
    fn waits(&mut self, key: &str) -> Seat<Fake> {
        match self.enter(key) {
            Ok(Place::Later { seat }) => seat,
            Ok(_) => panic!("{key} does not have to wait"),
            Err(full) => panic!("{key}: {full:?}"),
        }
    }

    /// The invoke is over; its environment used so much, which is measured when it is frozen.
    fn end(&mut self, running: &Running, used_mib: u64) {
        let environment = Arc::clone(&running.environment);
        if environment.share().has_run() {
            self.pool.has_run(&environment, used_mib * MIB);
        }
        self.pool.leave(&environment.wanted_by(), Lane::OnDemand);
        if self.pool.put_back(Arc::clone(&environment), Lane::OnDemand, NOW).is_none() {
            self.pool.measured(&environment, used_mib * MIB, used_mib * MIB);
        }
    }

    /// The environment dies under its invoke.
    fn die(&mut self, running: Running) {
        self.pool.lost(&running.environment.wanted_by(), Lane::OnDemand);
        self.pool.leave(&running.environment.wanted_by(), Lane::OnDemand);
    }

    /// Evicted boxes are gone; those who wait are looked at.
    fn settle(&mut self) -> Vec<Arc<str>> {
        let gone: Vec<Arc<str>> = self.pool.take_evicted().iter().map(|gone| Arc::clone(&gone.key)).collect();
        self.pool.serve(NOW);
        gone
    }

    fn held_mib(&self) -> u64 {
        self.ledger.held_bytes() / MIB
    }
}

/// What a seat has brought.
fn brought(seat: &mut Seat<Fake>) -> Option<Result<Place<Fake>, Full>> {
    seat.brings.try_recv().ok()
}

#[test]
fn a_guess_is_promised_and_what_is_idle_counts_with_what_it_uses() {
    let mut host = Host::new(ROOMY, 100);
    let (a, b) = (host.start("a"), host.start("b"));
    assert_eq!(host.held_mib(), 2 * FIRST_GUESS_BYTES / MIB);
    host.end(&a, 10);
    assert_eq!(host.held_mib(), 34);
    host.end(&b, 11);
    assert_eq!(host.held_mib(), 21);
    // The next of the same kind is promised what the first needed.
    assert!(matches!(host.enter("a"), Ok(Place::Warm { .. })));
    let _another = host.start("a");
    assert_eq!(host.held_mib(), 31);
}

#[test]
fn nobody_is_let_in_beyond_the_budget() {
    let mut host = Host::new(ROOMY, 100);
    host.learn("f", 30);
    let running: Vec<Running> = (0..3).map(|_| host.start("f")).collect();
    let mut seat = host.waits("f");
    assert!(host.settle().is_empty() && brought(&mut seat).is_none());
    assert_eq!((host.held_mib(), host.pool.counts().waiting), (90, 1));
    // It gets the very environment that becomes idle.
    host.end(&running[0], 30);
    let Some(Ok(Place::Warm { environment, lane: Lane::OnDemand })) = brought(&mut seat) else {
        panic!("nothing")
    };
    assert!(Arc::ptr_eq(&environment, &running[0].environment));
    assert_eq!((host.held_mib(), host.pool.counts().waiting), (90, 0));
    let owner = environment.wanted_by().owner;
    assert_eq!(host.pool.admission().running(owner).0, 3);
}

#[test]
fn an_idle_environment_goes_and_its_memory_is_had_when_it_is_gone() {
    let mut host = Host::new(ROOMY, 100);
    host.learn("idle", 60);
    host.learn("f", 50);
    let idle = host.start("idle");
    host.end(&idle, 60);
    let mut seat = host.waits("f");
    let evicted = host.pool.take_evicted();
    assert_eq!(keys(&evicted), ["idle"]);
    host.pool.serve(NOW);
    assert!(brought(&mut seat).is_none(), "it is not gone yet");
    assert!(host.pool.take_evicted().is_empty(), "and nobody else goes for the same");
    drop((evicted, idle));
    host.pool.serve(NOW);
    let Some(Ok(Place::New { .. })) = brought(&mut seat) else { panic!("nothing") };
}

#[test]
fn nobody_goes_when_that_does_not_help() {
    let mut host = Host::new(ROOMY, 100);
    host.learn("busy", 80);
    host.learn("idle", 10);
    host.learn("f", 50);
    let busy = host.start("busy");
    let idle = host.start("idle");
    host.end(&idle, 10);
    let mut seat = host.waits("f");
    assert!(host.settle().is_empty());
    assert_eq!(host.pool.counts().idle, 1);
    // Now it does not have to go either.
    host.die(busy);
    assert!(host.settle().is_empty());
    assert!(matches!(brought(&mut seat), Some(Ok(Place::New { .. }))));
}

#[test]
fn among_the_idle_those_go_that_free_the_most_for_their_time() {
    let mut host = Host::new(ROOMY, 200);
    for (key, mib) in [("small", 5), ("large", 90), ("later", 90)] {
        host.learn(key, mib);
        let one = host.start(key);
        host.end(&one, mib);
    }
    host.learn("f", 60);
    let _seat = host.waits("f");
    assert_eq!(keys(&host.pool.take_evicted()), ["large"]);
}

#[test]
fn who_needs_more_than_there_is_does_not_wait_and_is_doubted() {
    let mut host = Host::new(ROOMY, 100);
    host.learn("f", 120);
    let Err(Full::Host(Shortage::Memory { needed_bytes, budget_bytes, .. })) = host.enter("f") else {
        panic!("let in")
    };
    assert_eq!((needed_bytes, budget_bytes), (120 * MIB, 100 * MIB));
    let _waits_for_nothing = host.enter("f").err().unwrap();
    host.start("f");
    // A function never needs more than its own limit.
    host.learn("g", 1000);
    let like = fake_of("g", host.ledger.share(0));
    assert_eq!(host.pool.needs(&like.wanted_by()), 128 * MIB);
}

#[test]
fn a_warm_one_that_will_grow_waits_for_the_memory() {
    let mut host = Host::new(ROOMY, 100);
    host.learn("f", 80);
    let f = host.start("f");
    f.environment.share().has_run();
    host.pool.leave(&f.environment.wanted_by(), Lane::OnDemand);
    assert!(host.pool.put_back(Arc::clone(&f.environment), Lane::OnDemand, NOW).is_none());
    host.pool.measured(&f.environment, 20 * MIB, 80 * MIB);
    host.learn("other", 40);
    let other = host.start("other");
    let mut seat = host.waits("f");
    assert!(host.settle().is_empty(), "least of all it goes itself");
    host.die(other);
    host.pool.serve(NOW);
    assert!(matches!(brought(&mut seat), Some(Ok(Place::Warm { .. }))));
    assert_eq!(host.held_mib(), 80);
}

#[test]
fn those_who_wait_take_turns_by_function() {
    let mut host = Host::new(PoolLimits { max_environments: 1, ..ROOMY }, 100);
    let mut running = host.start("busy");
    let mut seats = BTreeMap::new();
    for name in ["a1", "a2", "a3", "a4", "b1", "b2", "c1"] {
        seats.insert(name, host.waits(&name[..1]));
    }
    let mut order = Vec::new();
    while !seats.is_empty() {
        host.die(running);
        host.settle();
        let mut come = None;
        for (name, seat) in &mut seats {
            if let Some(Ok(Place::New { share, seat })) = brought(seat) {
                assert!(come.replace((*name, share, seat)).is_none(), "one place, one invoke");
            }
        }
        let (name, share, seat) = come.unwrap();
        seats.remove(name);
        order.push(name);
        running = host.started(&name[..1], share, seat);
    }
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
    host.die(running);
    assert_eq!(host.pool.counts(), PoolCount { environments: 0, idle: 0, waiting: 0 });
    assert!(host.pool.versions.is_empty());
}

#[test]
fn the_small_may_overtake_the_large_but_not_for_ever() {
    let mut host = Host::new(ROOMY, 100);
    host.learn("busy", 60);
    host.learn("large", 90);
    host.learn("small", 5);
    let busy = host.start("busy");
    let mut large = host.waits("large");
    let mut small: Vec<Seat<Fake>> = (0..20).map(|_| host.waits("small")).collect();
    let mut running = Vec::new();
    for _ in 0..20 {
        host.settle();
        for seat in &mut small {
            if let Some(Ok(Place::New { share, seat })) = brought(seat) {
                running.push(host.started("small", share, seat));
            }
        }
    }
    assert_eq!(running.len(), usize::try_from(MOST_OVERTAKEN).unwrap());
    host.die(busy);
    running.into_iter().for_each(|one| host.die(one));
    host.settle();
    assert!(matches!(brought(&mut large), Some(Ok(Place::New { .. }))));
}

#[test]
fn a_function_that_never_rests_does_not_starve_the_others() {
    let mut host = Host::new(PoolLimits { max_environments: 1, ..ROOMY }, 100);
    let greedy = host.start("greedy");
    let mut more: Vec<Seat<Fake>> = (0..20).map(|_| host.waits("greedy")).collect();
    let mut modest = host.waits("modest");
    for turn in 0.. {
        host.end(&greedy, 5);
        host.settle();
        if let Some(Ok(Place::New { .. })) = brought(&mut modest) {
            break;
        }
        assert!(turn < 20, "it starves");
    }
    let served = more.iter_mut().filter_map(brought).count();
    // Once in turn.
    assert_eq!(served, 1 + usize::try_from(MOST_OVERTAKEN).unwrap());
    assert_eq!(host.pool.counts().waiting, 20 - served);
}

#[test]
fn a_full_queue_is_shared_out() {
    let mut host = Host::new(PoolLimits { max_environments: 1, max_waiting: 4, ..ROOMY }, 100);
    let _busy = host.start("busy");
    let mut greedy: Vec<Seat<Fake>> = (0..4).map(|_| host.waits("greedy")).collect();
    assert_eq!(host.enter("greedy").err(), Some(Full::Host(Shortage::Environments)));
    let _modest = [host.waits("modest"), host.waits("modest")];
    assert_eq!(
        host.enter("modest").err(),
        Some(Full::Host(Shortage::Environments)),
        "now they have the same"
    );
    let refused = |seat: &mut Seat<Fake>| matches!(brought(seat), Some(Err(Full::Host(_))));
    assert_eq!(greedy.iter_mut().map(refused).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn who_does_not_wait_any_more_leaves_no_trace() {
    let mut host = Host::new(PoolLimits { max_environments: 1, ..ROOMY }, 100);
    let busy = host.start("busy");
    let (first, second) = (host.waits("f"), host.waits("f"));
    assert!(host.pool.leave_seat("f", first).is_none());
    assert_eq!(host.pool.counts().waiting, 1);
    host.die(busy);
    host.settle();
    // It was brought something at the last moment.
    let Some(Place::New { share, seat }) = host.pool.leave_seat("f", second) else { panic!("nothing") };
    let late = host.started("f", share, seat);
    host.die(late);
    assert_eq!(host.held_mib(), 0);
    let like = fake_of("f", host.ledger.share(0));
    // The test's invokes do not count themselves out; the environments have gone.
    host.pool.leave(&like.wanted_by(), Lane::OnDemand);
    assert_eq!(host.pool.admission().running(like.wanted_by().owner).0, 0);
    assert!(host.pool.versions.is_empty());
}

#[test]
fn an_invoke_takes_what_becomes_idle_while_its_own_environment_starts() {
    let mut host = Host::new(LIMITS, 1000);
    let first = host.start("f");
    let Ok(Place::New { share, mut seat }) = host.enter("f") else { panic!("no room") };
    let mut other_tenant = fake_of("f", host.ledger.share(0));
    Arc::get_mut(&mut other_tenant).unwrap().tenant = Some(Arc::from("blue"));
    let Ok(Place::New { .. }) = host.pool.enter(&other_tenant.wanted_by(), false, NOW) else {
        panic!("no room")
    };
    host.end(&first, 1);
    let Some(Ok(Place::Warm { environment, .. })) = brought(&mut seat) else { panic!("nothing") };
    assert!(Arc::ptr_eq(&environment, &first.environment));
    // Its own joins the idle ones when it is ready.
    let own = fake_of("f", share);
    assert!(host.pool.put_back(Arc::clone(&own), Lane::OnDemand, NOW).is_none());
    assert_eq!(host.pool.counts(), PoolCount { environments: 3, idle: 1, waiting: 0 });
    assert!(
        matches!(host.enter("f"), Ok(Place::Warm { environment, .. }) if Arc::ptr_eq(&environment, &own))
    );
}

#[test]
fn what_is_started_ahead_waits_for_what_comes_and_is_told_of_what_does_not() {
    let mut host = Host::new(ROOMY, 100);
    host.learn("busy", 50);
    host.learn("idle", 50);
    host.learn("f", 50);
    let (busy, idle) = (host.start("busy"), host.start("idle"));
    let like = fake_of("f", host.ledger.share(0));
    assert!(matches!(host.pool.provision(&like.wanted_by()), Err(NoRoom::Busy(Shortage::Memory { .. }))));
    host.end(&idle, 50);
    assert!(matches!(host.pool.provision(&like.wanted_by()), Err(NoRoom::Soon(Shortage::Memory { .. }))));
    host.pool.want_room();
    drop((host.pool.take_evicted(), idle));
    assert!(host.pool.serve(NOW) && !host.pool.serve(NOW));
    host.pool.provision(&like.wanted_by()).unwrap();
    host.learn("f", 200);
    host.die(busy);
    let huge = Wish { memory_mib: 10_240, ..like.wanted_by() };
    assert!(matches!(host.pool.provision(&huge), Err(NoRoom::Never(_))));
}

#[test]
fn of_a_function_that_nobody_knows_only_some_start_at_once() {
    let mut host = Host::new(ROOMY, 300);
    let running: Vec<Running> = (0..9).map(|_| host.start("f")).collect();
    // Their limit is 128 MiB, and ten times that is more than four times what there is.
    let mut seat = host.waits("f");
    let _known = {
        host.learn("known", 10);
        host.pool.queue.overtaken = 0;
        host.waits("known")
    };
    host.end(&running[0], 10);
    assert!(matches!(brought(&mut seat), Some(Ok(Place::Warm { .. }))));
    host.settle();
    let _next = host.start("f");
}

#[test]
fn a_host_that_is_short_lets_nobody_in_until_it_is_better() {
    let ledger = Ledger::new(None);
    let mut host = Host { pool: Pool::new(ROOMY, Arc::clone(&ledger)), ledger };
    let host_has =
        |available_bytes| Some(MemoryReading { total_bytes: 8 << 30, available_bytes, stalled_percent: 0.0 });
    host.ledger.take_reading(host_has(1 << 30));
    host.start("f");
    host.ledger.take_reading(host_has(1 << 20));
    let mut seat = host.waits("f");
    assert_eq!(host.ledger.budget_bytes(), 0);
    host.settle();
    assert!(brought(&mut seat).is_none());
    host.ledger.take_reading(host_has(1 << 30));
    host.settle();
    assert!(matches!(brought(&mut seat), Some(Ok(Place::New { .. }))));
}

#[test]
fn a_server_that_goes_sends_everybody_away() {
    let mut host = Host::new(PoolLimits { max_environments: 1, ..ROOMY }, 100);
    let _busy = host.start("busy");
    let mut seat = host.waits("f");
    host.pool.close();
    assert!(matches!(brought(&mut seat), Some(Err(Full::Closing))));
}
