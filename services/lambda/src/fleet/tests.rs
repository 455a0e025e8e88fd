//! The fleet and the life of a request, with fake boxes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::ApiError;
use base64::Engine as _;

use super::FleetLimits;
use super::fake::{Options, Script, World, echo_box, exit_code, header, invocation, script};
use crate::function::{FunctionConfig, LogFormat};
use crate::invoke::{InvokeError, Outcome, Shortage};
use crate::runtime_api::Departure;

fn body(outcome: &Outcome) -> String {
    String::from_utf8(outcome.payload.to_vec()).unwrap()
}

fn tail(outcome: &Outcome) -> String {
    let tail = outcome.log_tail_base64.as_deref().unwrap();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(tail).unwrap()).unwrap()
}

async fn invoke(world: &World, function: &Arc<FunctionConfig>) -> Outcome {
    world.fleet.invoke(Arc::clone(function), invocation("{}")).await.unwrap()
}

#[tokio::test]
async fn a_warm_environment_is_used_again_and_frozen_in_between() {
    let world = World::new(echo_box());
    let function = Arc::new(world.function(1));
    let first = invoke(&world, &function).await;
    assert_eq!((body(&first).as_str(), first.cold), ("\"box 1\"", true));
    assert!(first.init_ms.is_some() && first.function_error.is_none());
    world.record.freezes.subscribe().wait_for(|count| *count == 1).await.unwrap();
    let second = invoke(&world, &function).await;
    assert_eq!((body(&second).as_str(), second.cold, second.init_ms), ("\"box 1\"", false, None));
    assert_eq!(world.record.thaws.load(Ordering::SeqCst), 1);
    for _ in 0..50 {
        assert!(!invoke(&world, &function).await.cold);
    }
    assert_eq!((world.launched(), world.killed()), (1, 0));
    assert_eq!(world.assumed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn concurrent_invokes_launch_side_by_side() {
    // No launch ends before all twenty are under way, and no request before all have an environment: a queue of
    // launches would hang here.
    let gathered = Arc::new(tokio::sync::Barrier::new(20));
    let boxes = script(move |mut peer| {
        let gathered = Arc::clone(&gathered);
        async move {
            loop {
                let event = peer.next().await;
                gathered.wait().await;
                let answer = format!("\"box {}\"", peer.number);
                peer.respond(&event.id, answer.as_bytes()).await;
            }
        }
    });
    let world = World::with(boxes, Options { gather: Some(20), ..Options::default() });
    let function = Arc::new(world.function(1));
    let all: Vec<_> = (0..20)
        .map(|_| {
            let (fleet, function) = (world.fleet.clone(), Arc::clone(&function));
            tokio::spawn(async move { fleet.invoke(function, invocation("{}")).await.unwrap() })
        })
        .collect();
    let mut bodies = std::collections::BTreeSet::new();
    for one in all {
        bodies.insert(body(&one.await.unwrap()));
    }
    assert_eq!((bodies.len(), world.launched()), (20, 20));
}

#[tokio::test]
async fn an_invoke_that_is_cut_off_leaves_nothing_behind() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let world = World::with(gated(&gate), Options { account_concurrency: 1, ..Options::default() });
    let function = Arc::new(world.function(1));
    let (fleet, held) = (world.fleet.clone(), Arc::clone(&function));
    let running = tokio::spawn(async move { fleet.invoke(held, invocation("{}")).await });
    while world.launched() == 0 {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    while world.killed() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(format!("{:?}", world.fleet).contains("environments: 0"));
    gate.add_permits(1);
    assert_eq!(body(&invoke(&world, &function).await), "2");
}

/// Holds every event until the gate opens.
fn gated(gate: &Arc<tokio::sync::Semaphore>) -> Script {
    let gate = Arc::clone(gate);
    script(move |mut peer| {
        let gate = Arc::clone(&gate);
        async move {
            loop {
                let event = peer.next().await;
                gate.acquire().await.unwrap().forget();
                let number = peer.number;
                peer.respond(&event.id, format!("{number}").as_bytes()).await;
            }
        }
    })
}

#[tokio::test]
async fn beyond_the_account_s_concurrency_an_invoke_is_throttled() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let world = World::with(gated(&gate), Options { account_concurrency: 1, ..Options::default() });
    let function = Arc::new(world.function(1));
    let (fleet, held) = (world.fleet.clone(), Arc::clone(&function));
    let running = tokio::spawn(async move { fleet.invoke(held, invocation("{}")).await });
    while world.launched() == 0 {
        tokio::task::yield_now().await;
    }
    let error = world.fleet.invoke(Arc::clone(&function), invocation("{}")).await.unwrap_err();
    let error = ApiError::from(error);
    assert_eq!((&*error.code, error.http_status()), ("TooManyRequestsException", 429));
    assert_eq!(error.message, "Rate Exceeded.");
    assert_eq!(error.members, [("Reason", "ConcurrentInvocationLimitExceeded".to_owned())]);
    gate.add_permits(2);
    running.await.unwrap().unwrap();
    world.fleet.invoke(function, invocation("{}")).await.unwrap();
}

#[tokio::test]
async fn a_retired_generation_is_never_used_again() {
    let gate = Arc::new(tokio::sync::Semaphore::new(2));
    let world = World::with(gated(&gate), Options::default());
    let (old, new) = (Arc::new(world.function(1)), Arc::new(world.function(2)));
    invoke(&world, &old).await;
    assert_eq!(world.killed(), 0);
    world.fleet.retire(&old.key, 2);
    assert_eq!(world.killed(), 1, "the idle one goes at once");
    assert_eq!(body(&invoke(&world, &new).await), "2");

    // A busy one finishes its request, and goes.
    let (fleet, held) = (world.fleet.clone(), Arc::clone(&new));
    let running = tokio::spawn(async move { fleet.invoke(held, invocation("{}")).await });
    let newest = Arc::new(world.function(3));
    tokio::task::yield_now().await;
    while !format!("{:?}", world.fleet).contains("idle: 0") {
        tokio::task::yield_now().await;
    }
    world.fleet.retire(&new.key, 3);
    gate.add_permits(2);
    assert_eq!(body(&running.await.unwrap().unwrap()), "2");
    assert_eq!(body(&invoke(&world, &newest).await), "3");
    assert_eq!((world.launched(), world.killed()), (3, 2));
}

#[tokio::test]
async fn a_timeout_kills_the_environment() {
    let world = World::new(script(|mut peer| async move {
        peer.next().await;
        peer.print("working\nno line end");
        std::future::pending().await
    }));
    let mut function = world.function(1);
    function.timeout_s = 1;
    let function = Arc::new(function);
    let outcome = invoke(&world, &function).await;
    assert_eq!(outcome.function_error, Some("Unhandled"));
    let answer = body(&outcome);
    assert!(answer.starts_with(r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: "#), "{answer}");
    assert!(answer.ends_with(r#" Error: Task timed out after 1.00 seconds"}"#), "{answer}");
    let log = tail(&outcome);
    assert!(log.contains("working\nno line end\n"), "{log}");
    assert!(log.contains(" Task timed out after 1.00 seconds\n\nEND RequestId: "), "{log}");
    assert!(log.contains("\tDuration: 1000.00 ms\t"), "{log}");
    assert!(log.ends_with("Status: timeout\n"), "{log}");
    assert_eq!(world.killed(), 1);
    assert!(invoke(&world, &function).await.cold);
}

#[tokio::test]
async fn the_end_of_the_process_is_the_end_of_the_request() {
    let world = World::new(script(|mut peer| async move {
        peer.next().await;
        peer.print("bye\n");
        match peer.number {
            1 => exit_code(1),
            2 => exit_code(0),
            _ => Departure { signal: Some(9), oom_killed: true, ..Departure::default() },
        }
    }));
    let function = Arc::new(world.function(1));
    let first = invoke(&world, &function).await;
    assert!(body(&first).contains("Error: Runtime exited with error: exit status 1\""), "{}", body(&first));
    let log = tail(&first);
    assert!(
        log.contains("bye\nRequestId: ") && log.contains("exit status 1\nRuntime.ExitError\nEND"),
        "{log}"
    );
    assert!(log.ends_with("Status: error\tError Type: Runtime.ExitError\n"), "{log}");
    assert!(body(&invoke(&world, &function).await).contains("Runtime exited without providing a reason"));
    let oom = invoke(&world, &function).await;
    assert!(body(&oom).starts_with(r#"{"errorType":"Runtime.OutOfMemory""#), "{}", body(&oom));
    assert_eq!((oom.max_memory_mib, oom.cold), (128, true));
    assert!(tail(&oom).contains("Max Memory Used: 128 MB\t"));
}

#[tokio::test]
async fn an_environment_that_died_while_idle_is_replaced_unseen() {
    let world = World::new(script(|mut peer| async move {
        let event = peer.next().await;
        let number = peer.number;
        peer.respond(&event.id, format!("{number}").as_bytes()).await;
        exit_code(0)
    }));
    let function = Arc::new(world.function(1));
    for expected in 1..=5 {
        let outcome = invoke(&world, &function).await;
        assert_eq!((body(&outcome), outcome.function_error), (expected.to_string(), None));
    }
}

#[tokio::test]
async fn a_handler_s_error_keeps_the_environment() {
    let error = r#"{"errorMessage":"no","errorType":"ValueError","stackTrace":[]}"#;
    let world = World::new(script(move |mut peer| async move {
        loop {
            let event = peer.next().await;
            let type_header = "Lambda-Runtime-Function-Error-Type: ValueError\r\n";
            let path = format!("invocation/{}/error", event.id);
            assert_eq!(peer.post(&path, type_header, error.as_bytes()).await.status, 202);
        }
    }));
    let function = Arc::new(world.function(1));
    for _ in 0..2 {
        let outcome = invoke(&world, &function).await;
        assert_eq!((body(&outcome).as_str(), outcome.function_error), (error, Some("Unhandled")));
        assert!(!tail(&outcome).contains("Status:"));
    }
    assert_eq!(world.launched(), 1);
}

#[tokio::test]
async fn a_failed_initialisation_is_tried_once_more_within_the_request() {
    let error = r#"{"errorMessage":"Unable to import module 'app'","errorType":"Runtime.ImportModuleError"}"#;
    let world = World::new(script(move |mut peer| async move {
        peer.print("[ERROR] Runtime.ImportModuleError\n");
        let type_header = "Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError\r\n";
        assert_eq!(peer.post("init/error", type_header, error.as_bytes()).await.status, 202);
        exit_code(1)
    }));
    let function = Arc::new(world.function(1));
    let outcome = invoke(&world, &function).await;
    assert_eq!((body(&outcome).as_str(), outcome.function_error), (error, Some("Unhandled")));
    assert_eq!((world.launched(), outcome.init_ms), (2, None));
    let log = world.log_text().await;
    let init = log.find("\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n").unwrap();
    let again = log.find("\tPhase: invoke\tStatus: error\tError Type: Runtime.ImportModuleError\n").unwrap();
    let start = log.find("START RequestId: ").unwrap();
    assert!(init < again && again < start, "{log}");
    assert!(log.ends_with("Status: error\tError Type: Runtime.ImportModuleError\n"), "{log}");
    assert_eq!(world.logs.streams.lock().unwrap().len(), 1, "one environment, one stream");
}

#[tokio::test]
async fn an_initialisation_beyond_its_limit_goes_on_in_the_request_s_time() {
    let limits = FleetLimits { init_timeout: Duration::from_millis(50), ..FleetLimits::default() };
    let world = World::with(
        script(|mut peer| async move {
            if peer.number == 1 {
                return std::future::pending().await;
            }
            loop {
                let event = peer.next().await;
                peer.respond(&event.id, b"1").await;
            }
        }),
        Options { limits, ..Options::default() },
    );
    let outcome = invoke(&world, &Arc::new(world.function(1))).await;
    assert_eq!((body(&outcome).as_str(), outcome.init_ms), ("1", None));
    let log = world.log_text().await;
    assert!(log.contains("\tPhase: init\tStatus: timeout\nSTART RequestId"), "{log}");
    assert!(!log.contains("Init Duration: 0") && log.ends_with("Max Memory Used: 30 MB\t\n"), "{log}");
}

#[tokio::test]
async fn an_answer_beyond_six_mebibytes_fails_the_request() {
    let world = World::new(script(|mut peer| async move {
        loop {
            let event = peer.next().await;
            let size = if event.payload == b"\"big\"" { 6_291_557 } else { 6_291_556 };
            let reply = peer.post(&format!("invocation/{}/response", event.id), "", &vec![b'1'; size]).await;
            assert_eq!(reply.status, if size > 6_291_556 { 413 } else { 202 }, "{}", reply.text());
        }
    }));
    let function = Arc::new(world.function(1));
    let outcome = world.fleet.invoke(Arc::clone(&function), invocation("\"big\"")).await.unwrap();
    assert_eq!(
        body(&outcome),
        r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#
    );
    assert_eq!(outcome.function_error, Some("Unhandled"));
    let outcome = invoke(&world, &function).await;
    assert_eq!((outcome.payload.len(), outcome.function_error, outcome.cold), (6_291_556, None, false));
}

#[tokio::test]
async fn the_tail_holds_all_that_was_written_before_the_answer() {
    let world = World::new(script(|mut peer| async move {
        peer.print("starting\n");
        loop {
            let event = peer.next().await;
            peer.print("plain\n");
            peer.telemetry("framed\nwith two lines\n");
            peer.respond(&event.id, b"null").await;
        }
    }));
    let function = Arc::new(world.function(1));
    let first = tail(&invoke(&world, &function).await);
    assert!(first.starts_with("starting\nSTART RequestId: "), "{first}");
    for _ in 0..20 {
        let outcome = invoke(&world, &function).await;
        let log = tail(&outcome);
        assert!(log.starts_with("START RequestId: ") && log.contains(" Version: $LATEST\n"), "{log}");
        assert!(log.contains("plain\nframed\nwith two lines\nEND RequestId: "), "{log}");
        assert!(log.contains("\tMemory Size: 128 MB\tMax Memory Used: 30 MB\t\n"), "{log}");
    }
    let log = world.log_text().await;
    assert_eq!(log.matches("plain\nframed\nwith two lines\nEND").count(), 21);
    let created = world.logs.created.lock().unwrap();
    assert_eq!((created.len(), created[0].group.as_str()), (1, "/aws/lambda/hello"));
    assert!(created[0].stream.starts_with("2026/11/23/[$LATEST]"), "{}", created[0].stream);
}

#[tokio::test]
async fn the_event_carries_its_headers() {
    let world = World::new(script(|mut peer| async move {
        let event = peer.next().await;
        let get = |name: &str| header(&event.head, name).unwrap_or_default();
        assert!(event.head.contains("Content-Type: application/json\r\n"));
        let seen = format!(
            "{}|{}|{}|{}",
            get("Lambda-Runtime-Invoked-Function-Arn"),
            get("Lambda-Runtime-Deadline-Ms"),
            get("Lambda-Runtime-Client-Context"),
            get("Lambda-Runtime-Trace-Id")
        );
        peer.respond(&event.id, seen.as_bytes()).await;
        std::future::pending().await
    }));
    let mut event = invocation("{}");
    event.client_context = Some("{\"a\":\n1}".to_owned());
    event.trace_header = Some("Root=1-5759e988-bd862e3fe1be46a994272793".to_owned());
    let outcome = world.fleet.invoke(Arc::new(world.function(1)), event).await.unwrap();
    assert_eq!(
        body(&outcome),
        "arn:aws:lambda:us-east-1:000000000000:function:hello|1795420003000|{\"a\": 1}|\
         Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=1:90ee27fc:0"
    );
}

#[tokio::test]
async fn idle_environments_go_after_a_while_by_the_clock() {
    let world = World::new(echo_box());
    let function = Arc::new(world.function(1));
    invoke(&world, &function).await;
    // The reaper sleeps by the clock from its first poll on.
    for _ in 0..30 {
        tokio::task::yield_now().await;
        world.clock.advance(Duration::from_secs(30));
    }
    while world.killed() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(invoke(&world, &function).await.cold);
}

#[tokio::test]
async fn an_environment_is_replaced_before_its_credentials_expire() {
    let limits = FleetLimits { idle_timeout: Duration::from_secs(24 * 3600), ..FleetLimits::default() };
    let world = World::with(echo_box(), Options { limits, ..Options::default() });
    let function = Arc::new(world.function(1));
    invoke(&world, &function).await;
    world.clock.advance(Duration::from_secs(54 * 60));
    assert!(!invoke(&world, &function).await.cold);
    world.clock.advance(Duration::from_secs(2 * 60));
    assert_eq!(body(&invoke(&world, &function).await), "\"box 2\"");
    assert_eq!((world.assumed.load(Ordering::SeqCst), world.killed()), (2, 1));
}

#[tokio::test]
async fn a_package_without_bootstrap_is_the_function_s_error() {
    let world = World::new(echo_box());
    world.remove_bootstrap();
    let outcome = invoke(&world, &Arc::new(world.function(1))).await;
    let answer = body(&outcome);
    assert!(answer.starts_with(r#"{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: "#));
    assert!(answer.contains("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"));
    assert!(tail(&outcome).contains("Error Type: Runtime.InvalidEntrypoint\n"));
    assert_eq!(world.launched(), 0);
}

#[tokio::test]
async fn what_the_host_lacks_is_said_clearly() {
    let world = World::new(echo_box());
    let mut function = world.function(1);
    function.runtime = Some("dotnet8".to_owned());
    let error = world.fleet.invoke(Arc::new(function), invocation("{}")).await.unwrap_err();
    assert!(matches!(&error, InvokeError::RuntimeMissing(why) if why.contains("dotnet8")), "{error}");
    let error = ApiError::from(error);
    assert_eq!((&*error.code, error.http_status()), ("InvalidRuntimeException", 502));

    let mut function = world.function(1);
    function.role = "arn:aws:iam::000000000000:role/refused".to_owned();
    let error = ApiError::from(world.fleet.invoke(Arc::new(function), invocation("{}")).await.unwrap_err());
    assert!(error.message.starts_with("The role defined for the function cannot be assumed by Lambda"));
    assert!(format!("{:?}", world.fleet).contains("environments: 0"), "nothing is left behind");
}

#[tokio::test]
async fn the_environment_variables_are_aws_s() {
    let world = World::new(echo_box());
    let mut function = world.function(1);
    function.environment.insert("AWS_ENDPOINT_URL".to_owned(), "http://elsewhere".to_owned());
    function.environment.insert("TZ".to_owned(), "Europe/Berlin".to_owned());
    function.environment.insert("STAGE".to_owned(), "test".to_owned());
    function.log_format = LogFormat::Json;
    invoke(&world, &Arc::new(function)).await;
    let specs = world.record.specs.lock().unwrap();
    let get = |name: &str| {
        let found = specs[0].env.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(get("AWS_ENDPOINT_URL"), "http://elsewhere");
    assert_eq!((get("TZ").as_str(), get("STAGE").as_str()), ("Europe/Berlin", "test"));
    assert_eq!(get("AWS_LAMBDA_RUNTIME_API"), "127.0.0.1:9001");
    assert_eq!(get("AWS_SESSION_TOKEN"), "token of hello");
    assert_eq!(get("AWS_LAMBDA_LOG_GROUP_NAME"), "/aws/lambda/hello");
    assert!(get("AWS_LAMBDA_LOG_STREAM_NAME").starts_with("2026/11/23/[$LATEST]"));
    assert_eq!(
        (get("AWS_LAMBDA_LOG_FORMAT").as_str(), get("AWS_LAMBDA_LOG_LEVEL").as_str()),
        ("JSON", "INFO")
    );
    assert_eq!(get("AWS_EXECUTION_ENV"), "", "none for an OS-only runtime");
    assert_eq!(specs[0].listeners.iter().map(|at| at.port()).collect::<Vec<_>>(), [9001, 4566]);
    assert_eq!((specs[0].memory_mib, specs[0].tmp_mib), (128, 512));
}

#[tokio::test]
async fn a_full_host_makes_room_or_throttles() {
    let gate = Arc::new(tokio::sync::Semaphore::new(1));
    let limits = FleetLimits { max_environments: 1, max_waiting: 0, ..FleetLimits::default() };
    let world = World::with(gated(&gate), Options { limits, ..Options::default() });
    let function = Arc::new(world.function(1));
    invoke(&world, &function).await;
    let mut other = world.function(1);
    other.arn.push_str("-other");
    other.key = crate::function::FunctionConfig::key_of(&other.arn, &other.version);
    let other = Arc::new(other);
    let (fleet, held) = (world.fleet.clone(), Arc::clone(&other));
    let running = tokio::spawn(async move { fleet.invoke(held, invocation("{}")).await });
    while world.killed() == 0 {
        tokio::task::yield_now().await;
    }
    let error = world.fleet.invoke(function, invocation("{}")).await.unwrap_err();
    assert!(matches!(error, InvokeError::HostFull(Shortage::Environments)));
    gate.add_permits(1);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn after_shutdown_nothing_runs() {
    let world = World::new(echo_box());
    let function = Arc::new(world.function(1));
    invoke(&world, &function).await;
    world.fleet.shutdown().await;
    assert_eq!(world.killed(), 1);
    assert!(world.logs.text().contains("REPORT RequestId"));
    let error = world.fleet.invoke(function, invocation("{}")).await.unwrap_err();
    assert!(matches!(error, InvokeError::ShuttingDown));
}
