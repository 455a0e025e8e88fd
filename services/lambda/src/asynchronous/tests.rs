//! Events from the API to a stand-in for the fleet, over a store in memory and a clock that stands still.

use std::collections::VecDeque;
use std::io::{Cursor, Write};

use base::{AccountId, ApiError, Clock, Principal, Region, RequestId};
use bytes::Bytes;
use frontdoor::{Caller, FrontDoor, FrontDoorHandle, Source};
use serde_json::{Value, json};
use service_delivery::Delivery;
use store::{BlobStore, Store};
use wire::Doc;

use super::index::Index;
use super::queue::Place;
use super::*;
use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Outcome, Streaming, Throttle};
use crate::invoker::{Invoker, Invoking, Opening};
use crate::{AccountLimits, LambdaDeps};

const ROLE: &str = "arn:aws:iam::000000000000:role/lambda";
const THROTTLE: Throttle = Throttle::ReservedFunctionConcurrentInvocationLimitExceeded;

/// What a function does with its next event.
#[derive(Clone, Copy)]
enum Step {
    Answer,
    Fail,
    Throttle,
    /// Never comes to an end.
    Hang,
}

/// Runs each function by its script; when that is at its end, functions answer.
#[derive(Default)]
struct Script {
    steps: Mutex<HashMap<String, VecDeque<Step>>>,
    runs: Mutex<Vec<(String, Invocation)>>,
}

impl Script {
    fn plan(&self, function: &str, steps: &[Step]) {
        self.steps.lock().unwrap().insert(function.to_owned(), steps.iter().copied().collect());
    }

    fn runs_of(&self, function: &str) -> Vec<Invocation> {
        let runs = self.runs.lock().unwrap();
        runs.iter().filter(|(name, _)| name == function).map(|(_, invocation)| invocation.clone()).collect()
    }
}

impl Invoker for Script {
    fn invoke(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Invoking<'_> {
        let step = {
            let mut steps = self.steps.lock().unwrap();
            steps.get_mut(&function.name).and_then(VecDeque::pop_front).unwrap_or(Step::Answer)
        };
        self.runs.lock().unwrap().push((function.name.clone(), invocation));
        Box::pin(async move {
            let outcome = |payload: &'static str, function_error| Outcome {
                payload: Bytes::from_static(payload.as_bytes()),
                function_error,
                log_tail_base64: None,
                executed_version: function.version.clone(),
                duration_ms: 1.0,
                billed_ms: 1,
                init_ms: None,
                cold: false,
                max_memory_mib: 1,
            };
            match step {
                Step::Answer => Ok(outcome("\"done\"", None)),
                Step::Fail => Ok(outcome("{\"errorMessage\":\"boom\"}", Some("Unhandled"))),
                Step::Throttle => Err(InvokeError::Throttled(THROTTLE)),
                Step::Hang => std::future::pending().await,
            }
        })
    }

    fn invoke_streaming(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Opening<'_> {
        Box::pin(async move { self.invoke(function, invocation).await.map(Streaming::whole) })
    }

    fn retire(&self, _: &str, _: u64) {}
}

struct House {
    door: FrontDoor,
    clock: Clock,
    script: Arc<Script>,
    lambda: Arc<Lambda>,
    store: Store,
    dir: tempfile::TempDir,
}

impl House {
    async fn new(functions: &[&str]) -> Self {
        let clock = Clock::frozen(Timestamp(1_795_420_000_000));
        let house = Self::over(Store::in_memory().unwrap(), clock, tempfile::tempdir().unwrap());
        for name in functions {
            house.create(name).await;
        }
        house
    }

    fn over(store: Store, clock: Clock, dir: tempfile::TempDir) -> Self {
        let script = Arc::<Script>::default();
        let handle = FrontDoorHandle::new();
        let lambda = Lambda::new(LambdaDeps {
            store: store.clone(),
            blobs: BlobStore::open(dir.path().join("blobs")).unwrap(),
            invoker: script.clone(),
            delivery: Delivery::new(handle.clone()),
            sources: service_sources::Sources::new(handle.clone()),
            clock: clock.clone(),
            gateway_port: 4566,
            data_dir: dir.path().to_owned(),
            runtimes: Arc::new(|_| Ok(())),
            limits: AccountLimits::default(),
            access_points: crate::AccessPoints::default(),
            code_url: None,
        })
        .unwrap();
        let service = crate::service(Arc::clone(&lambda));
        let door = FrontDoor::builder(clock.clone()).add(service).handle(&handle).build();
        House { door, clock, script, lambda, store, dir }
    }

    /// The same data, as the next process has it.
    async fn next_process(self) -> Self {
        let House { clock, store, dir, lambda, .. } = self;
        lambda.events.stop.send_replace(true);
        let house = Self::over(store, clock, dir);
        house.lambda.start_events().unwrap();
        house
    }

    async fn ask(&self, operation: &str, input: Value) -> Result<Doc, ApiError> {
        self.ask_doc(operation, wire::doc::to_doc(&input).unwrap(), None).await
    }

    async fn ask_doc(&self, operation: &str, input: Doc, trace: Option<&str>) -> Result<Doc, ApiError> {
        let call = self.door.call_from(Caller {
            principal: Principal::Root { account: AccountId::DEFAULT },
            account: AccountId::DEFAULT,
            region: Region::default(),
            request_id: RequestId::fresh(),
            source: Source::Service("test"),
            trace_header: trace.map(Arc::from),
            on_behalf_of: None,
            host: None,
        });
        self.door.enter(call, "lambda", operation, input).await
    }

    async fn create(&self, name: &str) {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("app.py", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"x").unwrap();
        let zip = Bytes::from(zip.finish().unwrap().into_inner());
        let members =
            json!({ "FunctionName": name, "Runtime": "python3.12", "Handler": "app.handler", "Role": ROLE });
        let mut input = wire::doc::to_doc(&members).unwrap();
        let Doc::Map(members) = &mut input else { panic!("not a structure") };
        members.push(("Code".into(), Doc::Map(vec![("ZipFile".into(), Doc::Blob(zip))])));
        self.ask_doc("CreateFunction", input, None).await.unwrap();
    }

    async fn send(&self, function: &str, payload: impl Into<Bytes>) -> Result<Doc, ApiError> {
        self.send_within(function, payload, None).await
    }

    async fn send_within(
        &self,
        function: &str,
        payload: impl Into<Bytes>,
        trace: Option<&str>,
    ) -> Result<Doc, ApiError> {
        let input = Doc::Map(vec![
            ("FunctionName".into(), Doc::Str(function.to_owned())),
            ("InvocationType".into(), Doc::Str("Event".to_owned())),
            ("Payload".into(), Doc::Blob(payload.into())),
        ]);
        self.ask_doc("Invoke", input, trace).await
    }

    async fn configure(&self, function: &str, mut settings: Value) {
        settings["FunctionName"] = function.into();
        self.ask("PutFunctionEventInvokeConfig", settings).await.unwrap();
    }

    /// All rows of all queues.
    fn rows(&self) -> usize {
        self.store.range(crate::keys::queues().range()).unwrap().len()
    }

    fn queue_target(&self, function: &str) -> Target {
        let (account, region) = (AccountId::DEFAULT, Region::default());
        Target { account, region, name: function.to_owned(), qualifier: None }
    }

    fn queue(&self, function: &str) -> Queue {
        let id = queue::all_of(&self.store, &self.queue_target(function)).unwrap().remove(0);
        Queue::new(self.store.clone(), id)
    }

    fn is_waiting(&self, function: &str) -> bool {
        self.queue(function).next_due(self.clock.now()).unwrap().is_some()
    }

    async fn runs(&self, function: &str, count: usize) -> Vec<Invocation> {
        until(&format!("{count} runs of {function}"), || self.script.runs_of(function).len() >= count).await;
        self.script.runs_of(function)
    }

    async fn is_empty(&self) {
        until("all events are handled", || self.rows() == 0).await;
    }

    /// The record that the function `audit` got.
    async fn record(&self) -> Value {
        serde_json::from_slice(&self.runs("audit", 1).await[0].payload).unwrap()
    }
}

/// Waits for what happens in another task; fails loudly when it never does.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:000000000000:function:{name}")
}

#[tokio::test]
async fn an_accepted_event_runs_once_and_is_gone() {
    let house = House::new(&["f"]).await;
    let answer = house.send("f", "{\"n\":1}").await.unwrap();
    assert_eq!(answer.get("StatusCode").unwrap().as_int(), Some(202));
    assert!(answer.get("Payload").is_none() && answer.get("ExecutedVersion").is_none());
    let runs = house.runs("f", 1).await;
    assert_eq!(runs[0].payload, "{\"n\":1}");
    assert_eq!((runs[0].origin, runs[0].queue_age_ms), (crate::invoke::Origin::Event, Some(0)));
    house.is_empty().await;
    assert_eq!(house.script.runs_of("f").len(), 1);
    let old = Doc::Map(vec![
        ("FunctionName".into(), Doc::Str("f".to_owned())),
        ("InvokeArgs".into(), Doc::Blob(Bytes::from_static(b"{\"n\":2}"))),
    ]);
    let answer = house.ask_doc("InvokeAsync", old, None).await.unwrap();
    assert_eq!(answer.get("Status").unwrap().as_int(), Some(202));
    assert_eq!(house.runs("f", 2).await[1].payload, "{\"n\":2}");
}

#[tokio::test]
async fn function_errors_are_retried_twice_and_then_told() {
    let house = House::new(&["f", "audit"]).await;
    house
        .configure("f", json!({ "DestinationConfig": { "OnFailure": { "Destination": arn("audit") } } }))
        .await;
    house.script.plan("f", &[Step::Fail; 3]);
    house.send("f", "{\"n\":1}").await.unwrap();
    house.runs("f", 1).await;
    until("it waits for the second attempt", || house.rows() == 1 && house.is_waiting("f")).await;
    house.clock.advance(Duration::from_secs(59));
    assert_eq!(house.script.runs_of("f").len(), 1);
    house.clock.advance(Duration::from_secs(8));
    house.runs("f", 2).await;
    until("it waits for the third attempt", || house.is_waiting("f")).await;
    house.clock.advance(Duration::from_secs(119));
    assert_eq!(house.script.runs_of("f").len(), 2);
    house.clock.advance(Duration::from_secs(14));
    let runs = house.runs("f", 3).await;
    assert!(runs.iter().all(|run| run.request_id == runs[0].request_id), "one id for all attempts");
    let record = house.record().await;
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["requestContext"]["functionArn"], format!("{}:$LATEST", arn("f")));
    assert_eq!(record["requestContext"]["requestId"], runs[0].request_id.as_str());
    assert_eq!(record["requestPayload"], json!({ "n": 1 }));
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!(record["responsePayload"]["errorMessage"], "boom");
    house.is_empty().await;
}

#[tokio::test]
async fn without_retries_a_failed_event_ends_at_once_and_a_good_one_is_told_of() {
    let house = House::new(&["f", "audit"]).await;
    let both = json!({
        "MaximumRetryAttempts": 0,
        "DestinationConfig": { "OnSuccess": { "Destination": arn("audit") } }
    });
    house.configure("f", both).await;
    house.script.plan("f", &[Step::Fail]);
    house.send("f", "{}").await.unwrap();
    house.runs("f", 1).await;
    house.is_empty().await;
    house.send("f", "{}").await.unwrap();
    let record = house.record().await;
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["responseContext"], json!({ "statusCode": 200, "executedVersion": "$LATEST" }));
    assert_eq!(record["responsePayload"], "done");
    let (first, last) = (house.runs("f", 2).await.remove(1), house.runs("audit", 1).await.remove(0));
    let root = |header: &Option<String>| header.clone().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(root(&first.trace_header), root(&last.trace_header), "one trace");
    assert!(last.trace_header.unwrap().contains(";Lineage=1:"));
    house.is_empty().await;
}

#[tokio::test]
async fn a_throttled_event_waits_and_is_no_attempt() {
    let house = House::new(&["f"]).await;
    house.configure("f", json!({ "MaximumRetryAttempts": 0 })).await;
    house.script.plan("f", &[Step::Throttle, Step::Throttle]);
    house.send("f", "{}").await.unwrap();
    house.runs("f", 1).await;
    // The clock stands still: nothing happens before it is moved on.
    for count in 2..=3 {
        let before = house.clock.now();
        until("the next try", || {
            house.clock.advance(Duration::from_millis(100));
            house.script.runs_of("f").len() >= count
        })
        .await;
        let waited_ms = house.clock.now().as_millis() - before.as_millis();
        assert!(waited_ms >= 1000, "{waited_ms}");
    }
    house.is_empty().await;
}

#[tokio::test]
async fn an_event_that_waits_for_too_long_is_given_up() {
    let house = House::new(&["f", "audit"]).await;
    let config = json!({
        "MaximumEventAgeInSeconds": 60,
        "DestinationConfig": { "OnFailure": { "Destination": arn("audit") } }
    });
    house.configure("f", config).await;
    house.script.plan("f", &[Step::Throttle; 1000]);
    house.send("f", "{}").await.unwrap();
    until("the event is given up", || {
        house.clock.advance(Duration::from_secs(1));
        !house.script.runs_of("audit").is_empty()
    })
    .await;
    let record = house.record().await;
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
    assert!(record.get("responsePayload").is_none());
    // An event that failed is given up when its time comes, not after its wait.
    house.script.plan("f", &[Step::Fail]);
    house.send("f", "{}").await.unwrap();
    until("it waits", || house.is_waiting("f")).await;
    house.clock.advance(Duration::from_secs(60));
    let second = house.runs("audit", 2).await.remove(1);
    let record: Value = serde_json::from_slice(&second.payload).unwrap();
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    house.is_empty().await;
}

#[tokio::test]
async fn what_a_process_leaves_the_next_one_runs() {
    let house = House::new(&["f", "g"]).await;
    house.script.plan("f", &[Step::Hang; 50]);
    house.script.plan("g", &[Step::Fail]);
    for n in 0..20 {
        house.send("f", format!("{{\"n\":{n}}}")).await.unwrap();
    }
    house.send("g", "{}").await.unwrap();
    house.runs("f", 10).await;
    until("g waits", || house.is_waiting("g")).await;
    let house = house.next_process().await;
    let mut payloads: Vec<Bytes> = house.runs("f", 20).await.into_iter().map(|run| run.payload).collect();
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads.len(), 20, "every event runs again");
    house.clock.advance(Duration::from_secs(70));
    house.runs("g", 1).await;
    house.is_empty().await;
}

#[tokio::test]
async fn an_event_has_one_mebibyte() {
    let house = House::new(&["f"]).await;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for bytes in [10, 48 * 1024, 48 * 1024 + 1, 64 * 1024, 921_600, 921_601, accept::MAX_EVENT_BYTES] {
        let before = house.script.runs_of("f").len();
        house.send("f", text(bytes)).await.unwrap();
        let run = house.runs("f", before + 1).await.remove(before);
        assert!(run.payload == text(bytes), "{bytes} bytes come as they were");
        house.is_empty().await;
    }
    let error = house.send("f", text(accept::MAX_EVENT_BYTES + 1)).await.unwrap_err();
    assert_eq!((error.code.as_ref(), error.http_status()), ("RequestEntityTooLargeException", 413));
    assert_eq!(
        error.message,
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    );
    // A large one survives a failed attempt, and its parts go with it.
    house.script.plan("f", &[Step::Fail]);
    let before = house.script.runs_of("f").len();
    house.send("f", text(1_000_000)).await.unwrap();
    until("it waits", || house.is_waiting("f")).await;
    house.clock.advance(Duration::from_secs(70));
    assert_eq!(house.runs("f", before + 2).await[before + 1].payload.len(), 1_000_000);
    house.is_empty().await;
}

#[tokio::test]
async fn what_a_killed_accept_left_is_removed() {
    let house = House::new(&["f"]).await;
    house.script.plan("f", &[Step::Hang]);
    house.send("f", "{}").await.unwrap();
    house.runs("f", 1).await;
    let id = house.queue("f").id().clone();
    let write = house.store.transact(move |tx| {
        tx.put(id.unfinished(7).build(), Vec::new())?;
        tx.put(id.chunk(7, 0).build(), vec![1; 1000])
    });
    write.await.unwrap();
    assert_eq!(house.rows(), 3);
    house.next_process().await.is_empty().await;
}

#[tokio::test]
async fn duplicates_and_delays_on_request() {
    let house = House::new(&["f"]).await;
    let tags = json!({ "lamplighter:async-duplicates": "1.0", "lamplighter:async-delay-ms": "5000" });
    house.ask("TagResource", json!({ "Resource": arn("f"), "Tags": tags })).await.unwrap();
    house.send("f", "{}").await.unwrap();
    assert_eq!(house.rows(), 2);
    house.clock.advance(Duration::from_millis(4999));
    assert!(house.script.runs_of("f").is_empty());
    house.clock.advance(Duration::from_millis(1));
    let runs = house.runs("f", 2).await;
    assert_eq!(runs[0].request_id, runs[1].request_id);
    assert_eq!(runs[0].queue_age_ms, Some(5000));
    house.is_empty().await;
}

#[tokio::test]
async fn a_deleted_function_takes_its_events_along() {
    let house = House::new(&["f"]).await;
    let tags = json!({ "lamplighter:async-delay-ms": "60000" });
    house.ask("TagResource", json!({ "Resource": arn("f"), "Tags": tags })).await.unwrap();
    for _ in 0..3 {
        house.send("f", "{}").await.unwrap();
    }
    assert_eq!(house.rows(), 3);
    house.ask("DeleteFunction", json!({ "FunctionName": "f" })).await.unwrap();
    house.create("f").await;
    house.is_empty().await;
    house.clock.advance(Duration::from_secs(61));
    house.send("f", "\"new\"").await.unwrap();
    assert_eq!(house.runs("f", 1).await[0].payload, "\"new\"");
    house.is_empty().await;
    assert_eq!(house.script.runs_of("f").len(), 1);
}

#[tokio::test]
async fn one_function_that_hangs_or_is_throttled_does_not_hold_up_another() {
    let house = House::new(&["slow", "full", "good"]).await;
    house.script.plan("slow", &[Step::Hang; 100]);
    house.script.plan("full", &[Step::Throttle; 100]);
    for _ in 0..30 {
        house.send("slow", "{}").await.unwrap();
        house.send("full", "{}").await.unwrap();
    }
    for _ in 0..30 {
        house.send("good", "{}").await.unwrap();
    }
    house.runs("good", 30).await;
    let tries = house.script.runs_of("full").len();
    assert!(tries <= 30, "what is throttled is left alone for a while: {tries} tries");
}

#[tokio::test]
async fn what_is_in_memory_is_bounded() {
    let house = House::new(&["f"]).await;
    house.script.plan("f", &[Step::Hang; 5000]);
    house.send("f", "{}").await.unwrap();
    let queue = house.queue("f");
    for batch in 0..10 {
        let id = queue.id().clone();
        let put = house.store.transact(move |tx| {
            (0..500).try_for_each(|n| {
                tx.put(id.event(Place::Ready(1_000_000 + batch * 500 + n)).build(), vec![0; 100])
            })
        });
        put.await.unwrap();
    }
    let mut index = Index::new();
    let now = house.clock.now();
    let mut seen = 0;
    loop {
        index.refill(&queue, now).unwrap();
        assert!(index.len() <= 320, "{}", index.len());
        if index.next(now).is_none() {
            break;
        }
        seen += 1;
    }
    assert_eq!(seen, 5001);
}

#[tokio::test]
async fn a_chain_that_goes_round_in_circles_ends() {
    let house = House::new(&["f", "audit"]).await;
    house
        .configure("f", json!({ "DestinationConfig": { "OnFailure": { "Destination": arn("audit") } } }))
        .await;
    let root = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
    let mut lineage = None;
    for _ in 0..16 {
        lineage = Some(crate::invoke::lineage::through(lineage.as_deref(), &arn("f")));
    }
    let trace = format!("{root};Lineage={}", lineage.unwrap());
    house.send_within("f", "{\"n\":1}", Some(&trace)).await.unwrap();
    let record = house.record().await;
    assert_eq!(record["requestContext"]["condition"], "RecursiveInvocation");
    assert_eq!(record["responseContext"]["statusCode"], 400);
    assert!(house.script.runs_of("f").is_empty());
    let sync =
        || house.ask_doc("Invoke", wire::doc::to_doc(&json!({ "FunctionName": "f" })).unwrap(), Some(&trace));
    let error = sync().await.unwrap_err();
    assert_eq!((error.code.as_ref(), error.http_status()), ("RecursiveInvocationException", 400));
    let put = json!({ "FunctionName": "f", "RecursiveLoop": "Allow" });
    house.ask("PutFunctionRecursionConfig", put).await.unwrap();
    sync().await.unwrap();
    house.send_within("f", "{\"n\":2}", Some(&trace)).await.unwrap();
    house.runs("f", 2).await;
    let shown = house.ask("GetFunctionRecursionConfig", json!({ "FunctionName": "f" })).await.unwrap();
    assert_eq!(shown.get("RecursiveLoop").unwrap().as_str(), Some("Allow"));
}

#[tokio::test]
async fn a_record_that_cannot_be_delivered_is_dropped() {
    let house = House::new(&["f", "audit"]).await;
    house
        .configure("f", json!({ "DestinationConfig": { "OnSuccess": { "Destination": arn("audit") } } }))
        .await;
    house.ask("DeleteFunction", json!({ "FunctionName": "audit" })).await.unwrap();
    house.send("f", "{}").await.unwrap();
    house.runs("f", 1).await;
    house.is_empty().await;
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_and_starts_nothing() {
    let house = House::new(&["f"]).await;
    house.send("f", "{}").await.unwrap();
    house.runs("f", 1).await;
    house.lambda.stop_events().await;
    assert_eq!(*house.lambda.events.count.borrow(), 0);
    house.send("f", "{}").await.unwrap();
    assert_eq!(house.rows(), 1, "accepted all the same, for the next process");
    let house = house.next_process().await;
    house.runs("f", 1).await;
    house.is_empty().await;
}

#[tokio::test]
async fn events_of_a_function_that_is_switched_off_are_told_of_at_once() {
    let house = House::new(&["f", "audit"]).await;
    house
        .configure("f", json!({ "DestinationConfig": { "OnFailure": { "Destination": arn("audit") } } }))
        .await;
    let target = house.lambda.resolve(&house.queue_target("f")).await.unwrap().function.target();
    let put = house.lambda.functions.change_aspect(&target, "", |_| Ok(Some(crate::capacity::Reserved(0))));
    put.await.unwrap();
    house.script.plan("f", &[Step::Throttle]);
    house.send("f", "{}").await.unwrap();
    let record = house.record().await;
    assert_eq!(record["requestContext"]["condition"], "ZeroReservedConcurrency");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
    house.is_empty().await;
}
