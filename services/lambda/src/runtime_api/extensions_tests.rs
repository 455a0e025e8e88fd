//! The states of extensions.

use super::*;

fn names(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|name| Arc::from(*name)).collect()
}

const BOTH: [EventKind; 2] = [EventKind::Invoke, EventKind::Shutdown];

fn event(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn an_external_extension_registers_waits_and_is_told() {
    let extensions = Extensions::new(&names(&["a.sh"]));
    let id = extensions.register("a.sh", &BOTH).unwrap();
    extensions.registered().await.unwrap();
    let Ok(Next::Wait(waiting)) = extensions.next(&id) else { panic!("nothing to tell yet") };
    extensions.ready().await.unwrap();
    assert!(!extensions.hear_of_invokes());
    extensions.close();
    assert!(extensions.hear_of_invokes());
    extensions.offer(&event("one"));
    assert_eq!(waiting.await.unwrap(), "one");
    assert!(futures_are_pending(extensions.done()).await);
    let Ok(Next::Wait(waiting)) = extensions.next(&id) else { panic!("one event is one event") };
    extensions.done().await.unwrap();
    extensions.shut_down(&event("end"));
    assert_eq!(waiting.await.unwrap(), "end");
    extensions.ended(0, "exit status 1".to_owned());
    assert!(futures_are_pending(extensions.fault()).await, "an end that was asked for");
    assert_eq!(extensions.standings()[0].events, ["INVOKE", "SHUTDOWN"]);
}

#[tokio::test]
async fn an_event_waits_for_a_busy_extension_and_a_broken_connection() {
    let extensions = Extensions::new(&names(&["a"]));
    let id = extensions.register("a", &BOTH).unwrap();
    let Ok(Next::Wait(waiting)) = extensions.next(&id) else { panic!() };
    extensions.close();
    drop(waiting);
    extensions.offer(&event("one"));
    let Ok(Next::Event(one)) = extensions.next(&id) else { panic!("it asks again") };
    assert_eq!(one, "one");
    extensions.shut_down(&event("end"));
    let Ok(Next::Event(end)) = extensions.next(&id) else { panic!("it was busy") };
    assert_eq!(end, "end");
}

#[tokio::test]
async fn registration_has_its_rules() {
    let extensions = Extensions::new(&names(&["a"]));
    assert_eq!(extensions.register("in", &BOTH), Err(Refusal::NoShutdownForInternal));
    let id = extensions.register("a", &[]).unwrap();
    let again = Refusal::Transition { from: Stage::Registered, to: Stage::Registered, name: Arc::from("a") };
    assert_eq!(extensions.register("a", &[]), Err(again));
    for n in 1..MAX_EXTENSIONS {
        extensions.register(&format!("in{n}"), &[EventKind::Invoke]).unwrap();
    }
    assert_eq!(extensions.register("in10", &[]), Err(Refusal::TooMany));
    assert_eq!(extensions.register("in1", &[]), Err(Refusal::NameTaken));
    extensions.close();
    assert_eq!(extensions.register("in11", &[]), Err(Refusal::Closed));
    assert_eq!(extensions.next("nobody").err(), Some(Refusal::UnknownExtension));
    assert!(extensions.any_internal() && extensions.name_of(&id).as_deref() == Some("a"));
}

#[tokio::test]
async fn failures_reach_whoever_waits() {
    let extensions = Extensions::new(&names(&["a", "b"]));
    let a = extensions.register("a", &BOTH).unwrap();
    extensions.init_error(&a, "My.Reason".to_owned()).unwrap();
    let fault = Fault { extension: Arc::from("a"), kind: FaultKind::Init("My.Reason".to_owned()) };
    assert_eq!(extensions.registered().await, Err(fault.clone()));
    assert!(matches!(extensions.next(&a), Err(Refusal::Transition { from: Stage::InitError, .. })));
    extensions.ended(0, "exit status 1".to_owned());
    extensions.ended(1, "exit status 2".to_owned());
    assert_eq!(extensions.fault().await, fault, "the first counts");
    let states: Vec<_> = extensions.standings().iter().map(|standing| standing.state).collect();
    assert_eq!(states, ["InitError", "Exited"]);

    let extensions = Extensions::new(&names(&["a"]));
    let a = extensions.register("a", &BOTH).unwrap();
    let _ = extensions.next(&a);
    extensions.exit_error(&a, "X".to_owned()).unwrap();
    assert_eq!(extensions.done().await.unwrap_err().kind, FaultKind::Exit("X".to_owned()));
}

async fn futures_are_pending<T>(future: impl Future<Output = T>) -> bool {
    tokio::time::timeout(std::time::Duration::from_millis(20), future).await.is_err()
}
