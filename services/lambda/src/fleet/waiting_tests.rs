//! Requests that wait: for the host, for memory, or for whichever environment is ready first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::FleetLimits;
use super::fake::{FakeMemory, Options, Script, World, exit_code, invocation, script};
use super::host_memory::MemoryReading;
use crate::function::FunctionConfig;
use crate::invoke::{InvokeError, Outcome, Shortage};

const GIB: u64 = 1 << 30;

/// When boxes may go on.
#[derive(Clone)]
struct Gates {
    /// With their initialisation, from the second one on.
    start: Arc<Semaphore>,
    answer: Arc<Semaphore>,
}

impl Gates {
    fn new() -> Self {
        Gates { start: Arc::new(Semaphore::new(0)), answer: Arc::new(Semaphore::new(0)) }
    }

    /// Boxes that answer with their number.
    fn boxes(&self, second_fails: bool) -> Script {
        let gates = self.clone();
        script(move |mut peer| {
            let gates = gates.clone();
            async move {
                if peer.number > 1 {
                    gates.start.acquire().await.unwrap().forget();
                    if second_fails {
                        return exit_code(1);
                    }
                }
                loop {
                    let event = peer.next().await;
                    gates.answer.acquire().await.unwrap().forget();
                    let number = peer.number.to_string();
                    peer.respond(&event.id, number.as_bytes()).await;
                }
            }
        })
    }
}

fn spawn(world: &World, function: &Arc<FunctionConfig>) -> JoinHandle<Result<Outcome, InvokeError>> {
    let (fleet, function) = (world.fleet.clone(), Arc::clone(function));
    tokio::spawn(async move { fleet.invoke(function, invocation("{}")).await })
}

fn other(world: &World) -> Arc<FunctionConfig> {
    let mut other = world.function(1);
    other.arn.push_str("-other");
    other.key = FunctionConfig::key_of(&other.arn, &other.version);
    Arc::new(other)
}

async fn until(world: &World, is_so: impl Fn(&World) -> bool) {
    let began = Instant::now();
    while !is_so(world) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?} {:?}", world.fleet, world.fleet.status());
        tokio::task::yield_now().await;
    }
}

fn counts(world: &World) -> (usize, usize, usize) {
    let status = world.fleet.status();
    (status.environments, status.idle, status.waiting)
}

#[tokio::test]
async fn a_request_takes_what_is_idle_before_its_own_environment_is_ready() {
    let gates = Gates::new();
    let world = World::new(gates.boxes(false));
    let function = Arc::new(world.function(1));
    let first = spawn(&world, &function);
    until(&world, |world| world.launched() == 1).await;
    let second = spawn(&world, &function);
    until(&world, |world| world.launched() == 2).await;
    gates.answer.add_permits(2);
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!((&*first.payload, first.cold), (&b"1"[..], true));
    assert_eq!((&*second.payload, second.cold, second.init_ms), (&b"1"[..], false, None));
    assert_eq!(counts(&world), (2, 1, 0));
    // The one that it did not wait for is there for others.
    gates.start.add_permits(1);
    until(&world, |world| counts(world) == (2, 2, 0)).await;
    gates.answer.add_permits(2);
    let both = [spawn(&world, &function), spawn(&world, &function)];
    for one in both {
        assert!(!one.await.unwrap().unwrap().cold);
    }
    assert_eq!((world.launched(), world.killed()), (2, 0));
    let owner = super::ticket::wish_of(&function).owner;
    assert_eq!(world.fleet.inner.pool().admission().running(owner), (0, 0));
    let colds: Vec<bool> = world.fleet.meter().since(0, 9).iter().map(|record| record.ended.cold).collect();
    assert_eq!(colds, [true, false, false, false]);
}

#[tokio::test]
async fn an_environment_that_nobody_waited_for_and_that_fails_leaves_nothing() {
    let gates = Gates::new();
    let world = World::new(gates.boxes(true));
    let function = Arc::new(world.function(1));
    let first = spawn(&world, &function);
    until(&world, |world| world.launched() == 1).await;
    let second = spawn(&world, &function);
    until(&world, |world| world.launched() == 2).await;
    gates.answer.add_permits(2);
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap().function_error, None);
    gates.start.add_permits(1);
    until(&world, |world| counts(world) == (1, 1, 0)).await;
    assert_eq!(world.fleet.meter().since(0, 9).len(), 2);
}

#[tokio::test]
async fn a_request_that_is_cut_off_while_it_starts_or_waits_leaves_nothing() {
    let gates = Gates::new();
    let limits = FleetLimits { max_environments: 2, ..FleetLimits::default() };
    let world = World::with(gates.boxes(false), Options { limits, ..Options::default() });
    let function = Arc::new(world.function(1));
    let first = spawn(&world, &function);
    until(&world, |world| world.launched() == 1).await;
    let starting = spawn(&world, &function);
    until(&world, |world| world.launched() == 2).await;
    let waiting = spawn(&world, &function);
    until(&world, |world| counts(world) == (2, 0, 1)).await;
    for cut_off in [waiting, starting] {
        cut_off.abort();
        assert!(cut_off.await.unwrap_err().is_cancelled());
    }
    until(&world, |world| counts(world) == (1, 0, 0)).await;
    gates.answer.add_permits(1);
    first.await.unwrap().unwrap();
    assert_eq!(counts(&world), (1, 1, 0));
    let owner = super::ticket::wish_of(&function).owner;
    assert_eq!(world.fleet.inner.pool().admission().running(owner), (0, 0));
}

#[tokio::test]
async fn a_request_waits_for_a_full_host_and_not_for_ever() {
    let gates = Gates::new();
    let wait_limit = Duration::from_millis(30);
    let limits = FleetLimits { max_environments: 1, wait_limit, ..FleetLimits::default() };
    let world = World::with(gates.boxes(false), Options { limits, ..Options::default() });
    let (function, other) = (Arc::new(world.function(1)), other(&world));
    let first = spawn(&world, &function);
    until(&world, |world| world.launched() == 1).await;
    let error = spawn(&world, &other).await.unwrap().unwrap_err();
    assert!(matches!(error, InvokeError::HostFull(Shortage::Environments)), "{error:?}");
    let error = base::ApiError::from(error);
    assert_eq!((&*error.code, error.http_status()), ("TooManyRequestsException", 429));
    assert_eq!(error.message, "Rate Exceeded. Every environment that this host may run is in use.");
    assert_eq!(counts(&world), (1, 0, 0));
    let record = &world.fleet.meter().since(0, 9)[0];
    assert!(record.ended.throttle.is_some() && record.ended.waited_ms >= 30);
    gates.answer.add_permits(1);
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_waits_gets_the_room_of_what_becomes_idle() {
    let gates = Gates::new();
    let limits = FleetLimits { max_environments: 1, ..FleetLimits::default() };
    let world = World::with(gates.boxes(false), Options { limits, ..Options::default() });
    let (function, other) = (Arc::new(world.function(1)), other(&world));
    let first = spawn(&world, &function);
    until(&world, |world| world.launched() == 1).await;
    let second = spawn(&world, &other);
    until(&world, |world| counts(world) == (1, 0, 1)).await;
    gates.start.add_permits(1);
    gates.answer.add_permits(2);
    first.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!((&*second.payload, second.cold), (&b"2"[..], true));
    assert_eq!((world.launched(), world.killed()), (2, 1));
}

#[tokio::test]
async fn a_server_that_stops_keeps_nobody_waiting() {
    let gates = Gates::new();
    let limits = FleetLimits { max_environments: 1, ..FleetLimits::default() };
    let world = World::with(gates.boxes(false), Options { limits, ..Options::default() });
    let _first = spawn(&world, &Arc::new(world.function(1)));
    until(&world, |world| world.launched() == 1).await;
    let second = spawn(&world, &other(&world));
    until(&world, |world| counts(world).2 == 1).await;
    world.fleet.shutdown().await;
    assert!(matches!(second.await.unwrap().unwrap_err(), InvokeError::ShuttingDown));
}

#[tokio::test]
async fn memory_that_the_host_lacks_is_waited_for_and_idle_ones_go() {
    let memory = Arc::new(FakeMemory::default());
    let set = |available_bytes| {
        let reading = MemoryReading { total_bytes: 8 * GIB, available_bytes, stalled_percent: 0.0 };
        *memory.0.lock().unwrap() = Some(reading);
    };
    set(4 * GIB);
    let gates = Gates::new();
    gates.start.add_permits(9);
    gates.answer.add_permits(9);
    let world =
        World::with(gates.boxes(false), Options { memory: Arc::clone(&memory), ..Options::default() });
    let (function, other) = (Arc::new(world.function(1)), other(&world));
    world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap();
    // It is measured when it is frozen.
    until(&world, |world| world.fleet.status().memory_held_bytes == 10 << 20).await;
    // Something else takes all the memory: what is idle goes at once, and nobody is let in.
    set(GIB / 4);
    world.fleet.inner.look_at_memory();
    until(&world, |world| counts(world) == (0, 0, 0) && world.killed() == 1).await;
    until(&world, |world| world.fleet.status().memory_held_bytes == 0).await;
    let waiting = spawn(&world, &other);
    until(&world, |world| counts(world) == (0, 0, 1)).await;
    set(2 * GIB);
    world.fleet.inner.look_at_memory();
    assert!(waiting.await.unwrap().unwrap().cold);
}

#[tokio::test]
async fn when_memory_gets_short_the_idle_stay_for_a_shorter_time() {
    let memory = Arc::new(FakeMemory::default());
    let gates = Gates::new();
    gates.answer.add_permits(9);
    let world =
        World::with(gates.boxes(false), Options { memory: Arc::clone(&memory), ..Options::default() });
    let function = Arc::new(world.function(1));
    world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap();
    world.clock.advance(Duration::from_secs(59));
    let short = MemoryReading { total_bytes: 8 * GIB, available_bytes: GIB / 2, stalled_percent: 0.0 };
    *memory.0.lock().unwrap() = Some(short);
    world.fleet.inner.look_at_memory();
    assert_eq!(counts(&world), (1, 1, 0));
    world.clock.advance(Duration::from_secs(1));
    world.fleet.inner.look_at_memory();
    assert_eq!(counts(&world), (0, 0, 0));
}
