//! Limits, provisioned environments, tenants and records, with fake boxes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fake::{Options, Script, World, echo_box, exit_code, invocation, script};
use super::keeper::REPLACE_AHEAD;
use super::pool::ProvisionedCount;
use super::{Fleet, FleetLimits};
use crate::capacity::{Capacity, ProvisionedState, ProvisionedStatus};
use crate::function::{FunctionConfig, LogFormat};
use crate::invoke::{Invocation, InvokeError, Origin, Outcome, Throttle};
use crate::invoker::Invoker;
use crate::metering::ErrorKind;

/// Version `7` of the function.
fn version(world: &World) -> Arc<FunctionConfig> {
    let mut function = world.function(1);
    function.version = "7".to_owned();
    function.key = FunctionConfig::key_of(&function.arn, "7");
    Arc::new(function)
}

fn set(fleet: &Fleet, function: &Arc<FunctionConfig>, reserved: Option<u32>, provisioned: u32) {
    let wanted = (provisioned > 0).then(|| (Arc::clone(function), provisioned));
    fleet.set_capacity(Capacity {
        account: function.account,
        region: function.region.clone(),
        function_arn: function.arn.clone(),
        reserved,
        provisioned: wanted.into_iter().collect(),
    });
}

async fn until(world: &World, function: &FunctionConfig, state: &ProvisionedState) {
    wait(
        || world.fleet.provisioned_state(&function.key) == *state,
        || format!("{:?} instead of {state:?}", world.fleet.provisioned_state(&function.key)),
    )
    .await;
}

/// Lets everything else run until the condition holds: however long that takes on a busy machine, within reason.
async fn wait(is_so: impl Fn() -> bool, why: impl Fn() -> String) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", why());
        tokio::task::yield_now().await;
    }
}

/// Waits until as many are ready, none is starting, and none is due to be replaced by the present time.
async fn up_to_date(world: &World, function: &FunctionConfig, ready: u32) {
    let wanted = ProvisionedCount { ready, ..ProvisionedCount::default() };
    let due = world.clock.now().after(REPLACE_AHEAD);
    let count = || world.fleet.inner.pool().provisioned(&function.key, due);
    wait(|| count() == wanted, || format!("{:?} instead of {wanted:?}", count())).await;
}

fn ready(ready: u32) -> ProvisionedState {
    ProvisionedState { ready, status: ProvisionedStatus::Ready }
}

async fn burst(world: &World, function: &Arc<FunctionConfig>, count: usize) -> Vec<Outcome> {
    let all: Vec<_> = (0..count)
        .map(|_| {
            let (fleet, function) = (world.fleet.clone(), Arc::clone(function));
            tokio::spawn(async move { fleet.invoke(function, invocation("{}")).await.unwrap() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for one in all {
        outcomes.push(one.await.unwrap());
    }
    outcomes
}

/// Boxes that answer once so many requests are under way.
fn all_at_once(count: usize) -> Script {
    let gathered = Arc::new(tokio::sync::Barrier::new(count));
    script(move |mut peer| {
        let gathered = Arc::clone(&gathered);
        async move {
            loop {
                let event = peer.next().await;
                gathered.wait().await;
                peer.respond(&event.id, b"1").await;
            }
        }
    })
}

/// A fleet in which nothing runs: whatever happened, nothing is counted any more.
fn assert_nothing_counts(world: &World, function: &FunctionConfig) {
    let owner = super::ticket::wish_of(function).owner;
    assert_eq!(world.fleet.inner.pool().admission().running(owner), (0, 0));
}

#[tokio::test]
async fn a_burst_as_large_as_what_is_provisioned_has_no_cold_start() {
    let world = World::new(all_at_once(20));
    let function = version(&world);
    set(&world.fleet, &function, None, 20);
    assert_eq!(world.fleet.provisioned_state(&function.key).status, ProvisionedStatus::InProgress);
    until(&world, &function, &ready(20)).await;
    assert_eq!(world.launched(), 20);
    let outcomes = burst(&world, &function, 20).await;
    assert!(outcomes.iter().all(|outcome| !outcome.cold && outcome.init_ms.is_none()));
    assert_eq!((world.launched(), world.killed()), (20, 0));
    assert!(!world.log_text().await.contains("Init Duration"));
    let specs = world.record.specs.lock().unwrap();
    let kind = |spec: &sandbox::BoxSpec| {
        spec.env.iter().find(|(name, _)| name == "AWS_LAMBDA_INITIALIZATION_TYPE").unwrap().1.clone()
    };
    assert!(specs.iter().all(|spec| kind(spec) == "provisioned-concurrency"));
}

#[tokio::test]
async fn beyond_what_is_provisioned_environments_start_on_demand() {
    let world = World::new(all_at_once(3));
    let function = version(&world);
    set(&world.fleet, &function, None, 2);
    until(&world, &function, &ready(2)).await;
    let outcomes = burst(&world, &function, 3).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.cold).count(), 1);
    let last = &world.record.specs.lock().unwrap()[2];
    assert!(last.env.iter().any(|(_, value)| value == "on-demand"));
    assert_nothing_counts(&world, &function);
}

#[tokio::test]
async fn provisioned_environments_outlive_idleness_and_their_credentials() {
    let limits = FleetLimits { idle_memory_bytes: 0, ..FleetLimits::default() };
    let world = World::with(echo_box(), Options { limits, ..Options::default() });
    let function = version(&world);
    set(&world.fleet, &function, None, 2);
    until(&world, &function, &ready(2)).await;
    // Their credentials are good for 55 minutes; two minutes before, they are replaced.
    for minute in 0..120 {
        for _ in 0..2 {
            world.clock.advance(Duration::from_secs(30));
            up_to_date(&world, &function, 2).await;
        }
        let outcome = world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap();
        assert!(!outcome.cold, "cold in minute {minute}");
        until(&world, &function, &ready(2)).await;
    }
    assert_eq!((world.launched(), world.killed()), (6, 4), "replaced twice, and never for another reason");
}

#[tokio::test]
async fn provisioned_environments_that_die_are_replaced() {
    let world = World::new(script(|mut peer| async move {
        let event = peer.next().await;
        peer.respond(&event.id, b"1").await;
        exit_code(1)
    }));
    let function = version(&world);
    set(&world.fleet, &function, None, 3);
    until(&world, &function, &ready(3)).await;
    for round in 1..=10 {
        let outcome = world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap();
        assert_eq!((outcome.cold, outcome.function_error), (false, None));
        while world.launched() < 3 + round {
            tokio::task::yield_now().await;
        }
        until(&world, &function, &ready(3)).await;
    }
}

#[tokio::test]
async fn fewer_or_none_kill_what_is_too_many() {
    let world = World::new(echo_box());
    let function = version(&world);
    set(&world.fleet, &function, None, 4);
    until(&world, &function, &ready(4)).await;
    set(&world.fleet, &function, None, 1);
    assert_eq!((world.killed(), world.fleet.provisioned_state(&function.key)), (3, ready(1)));
    set(&world.fleet, &function, None, 0);
    assert_eq!(world.killed(), 4);
    assert!(format!("{:?}", world.fleet).contains("environments: 0"));
    assert!(world.fleet.invoke(function, invocation("{}")).await.unwrap().cold);
}

#[tokio::test]
async fn an_initialisation_that_fails_is_told_and_tried_again_later() {
    let starts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&starts);
    let world = World::new(script(move |mut peer| {
        let fails = count.fetch_add(1, Ordering::SeqCst) < 1;
        async move {
            if fails {
                return exit_code(1);
            }
            peer.next().await;
            std::future::pending().await
        }
    }));
    let mut function = version(&world);
    Arc::make_mut(&mut function).log_format = LogFormat::Json;
    set(&world.fleet, &function, None, 1);
    let failed = ProvisionedStatus::Failed("FUNCTION_ERROR_INIT_FAILURE".to_owned());
    until(&world, &function, &ProvisionedState { ready: 0, status: failed }).await;
    let log = world.log_text().await;
    assert!(log.contains("platform.initReport"), "{log}");
    assert!(
        log.contains(r#""initializationType":"provisioned-concurrency","phase":"init","status":"error""#),
        "{log}"
    );
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(30));
        tokio::task::yield_now().await;
    }
    until(&world, &function, &ready(1)).await;
    assert_eq!(starts.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_the_host_cannot_provision_is_said() {
    let limits = FleetLimits { max_environments: 2, ..FleetLimits::default() };
    let world = World::with(echo_box(), Options { limits, ..Options::default() });
    let function = version(&world);
    set(&world.fleet, &function, None, 3);
    let why = "Every environment that this host may run is in use.".to_owned();
    until(&world, &function, &ProvisionedState { ready: 2, status: ProvisionedStatus::Failed(why) }).await;
}

#[tokio::test]
async fn all_of_a_reservation_provisioned_throttles_the_rest() {
    let world = World::new(echo_box());
    let (function, latest) = (version(&world), Arc::new(world.function(1)));
    set(&world.fleet, &function, Some(2), 2);
    until(&world, &function, &ready(2)).await;
    let error = world.fleet.invoke(Arc::clone(&latest), invocation("{}")).await.unwrap_err();
    let reserved = Throttle::ReservedFunctionConcurrentInvocationLimitExceeded;
    assert!(matches!(error, InvokeError::Throttled(throttle) if throttle == reserved), "{error:?}");
    assert!(!world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap().cold);
    set(&world.fleet, &function, Some(3), 2);
    world.fleet.invoke(latest, invocation("{}")).await.unwrap();
}

#[tokio::test]
async fn tenants_have_environments_of_their_own_and_are_named() {
    let world = World::new(script(|mut peer| async move {
        loop {
            let event = peer.next().await;
            let tenant = super::fake::header(&event.head, "Lambda-Runtime-Aws-Tenant-Id").unwrap_or_default();
            let answer = format!("{} {tenant}", peer.number);
            peer.respond(&event.id, answer.as_bytes()).await;
        }
    }));
    let function = Arc::new(world.function(1));
    let call = async |tenant: &str| {
        let event = Invocation { tenant_id: Some(Arc::from(tenant)), ..invocation("{}") };
        let outcome = world.fleet.invoke(Arc::clone(&function), event).await.unwrap();
        String::from_utf8(outcome.payload.to_vec()).unwrap()
    };
    for _ in 0..3 {
        assert_eq!(call("blue").await, "1 blue");
        assert_eq!(call("green").await, "2 green");
        assert_eq!(call("a b/c@d").await, "3 a b/c@d");
    }
    assert_eq!(world.launched(), 3);
}

#[tokio::test]
async fn environments_that_die_while_idle_cost_no_request_under_load() {
    // Boxes end at odd moments: at once after the answer, or a little later.
    let world = World::new(script(|mut peer| async move {
        for turn in 0..=peer.number % 5 {
            let event = peer.next().await;
            peer.respond(&event.id, format!("\"{} {turn}\"", peer.number).as_bytes()).await;
        }
        for _ in 0..peer.number % 7 {
            tokio::task::yield_now().await;
        }
        exit_code(1)
    }));
    let function = Arc::new(world.function(1));
    let mut answers = BTreeSet::new();
    for _ in 0..25 {
        for outcome in burst(&world, &function, 16).await {
            assert_eq!(outcome.function_error, None, "{:?}", outcome.payload);
            assert!(answers.insert(outcome.payload), "no answer twice");
        }
    }
    assert_eq!(answers.len(), 400);
    assert_nothing_counts(&world, &function);
}

#[tokio::test]
async fn however_an_invoke_ends_it_is_counted_out_and_recorded_once() {
    let limits = FleetLimits { init_timeout: Duration::from_millis(50), ..FleetLimits::default() };
    let world = World::with(
        script(|mut peer| async move {
            if peer.number > 100 {
                return exit_code(3);
            }
            loop {
                let event = peer.next().await;
                match &*event.payload {
                    b"\"ok\"" => peer.respond(&event.id, b"1").await,
                    b"\"error\"" => {
                        peer.post(&format!("invocation/{}/error", event.id), "", b"{}").await;
                    }
                    b"\"exit\"" => return exit_code(1),
                    _ => std::future::pending().await,
                }
            }
        }),
        Options { limits, ..Options::default() },
    );
    let mut function = Arc::new(world.function(1));
    Arc::make_mut(&mut function).timeout_s = 1;
    set(&world.fleet, &function, Some(1), 0);
    let call = |payload: &'static str| world.fleet.invoke(Arc::clone(&function), invocation(payload));
    for payload in ["\"ok\"", "\"error\"", "\"exit\"", "\"hang\""] {
        call(payload).await.unwrap();
    }
    // Cut off in the middle.
    let (fleet, held) = (world.fleet.clone(), Arc::clone(&function));
    let running = tokio::spawn(async move { fleet.invoke(held, invocation("\"hang\"")).await });
    while world.launched() < 3 {
        tokio::task::yield_now().await;
    }
    let throttled = call("\"ok\"").await.unwrap_err();
    assert!(throttled.is_throttle());
    running.abort();
    let _ = running.await;
    // No environment at all.
    let mut refused = Arc::clone(&function);
    Arc::make_mut(&mut refused).role = "arn:aws:iam::000000000000:role/refused".to_owned();
    Arc::make_mut(&mut refused).generation = 2;
    world.fleet.invoke(refused, invocation("{}")).await.unwrap_err();
    world.record.launched.store(100, Ordering::SeqCst);
    call("\"ok\"").await.unwrap();
    assert_nothing_counts(&world, &function);
    set(&world.fleet, &function, None, 0);
    let queued = Invocation { origin: Origin::Event, queue_age_ms: Some(7), ..invocation("\"ok\"") };
    world.fleet.invoke(Arc::clone(&function), queued).await.unwrap();
    assert_nothing_counts(&world, &function);

    let records = world.fleet.meter().since(0, 100);
    let errors: Vec<_> = records.iter().map(|record| record.ended.error).collect();
    let (handler, runtime, timeout) = (ErrorKind::Handler, ErrorKind::Runtime, ErrorKind::Timeout);
    let not_run = Some(ErrorKind::NotRun);
    assert_eq!(
        errors,
        [
            None,
            Some(handler),
            Some(runtime),
            Some(timeout),
            None,
            not_run,
            not_run,
            Some(runtime),
            Some(runtime)
        ]
    );
    let throttle = Throttle::ReservedFunctionConcurrentInvocationLimitExceeded;
    assert_eq!(records[4].ended.throttle, Some(throttle));
    assert!(records[0].ended.cold && records[0].ended.init_ms.is_some() && records[0].ended.billed_ms > 0);
    assert!(!records[1].ended.cold);
    assert_eq!((records[8].origin(), records[8].queue_age_ms()), (Origin::Event, Some(7)));
    assert_eq!(records[0].function().1, "$LATEST");
}
