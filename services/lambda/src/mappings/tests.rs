//! From the API to a stand-in for the fleet and a stand-in for SQS, over a store in memory and a clock that stands still.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{Cursor, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Principal, Region, Timestamp};
use bytes::Bytes;
use frontdoor::{Call, FrontDoor, FrontDoorHandle, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_delivery::Delivery;
use service_sources::Sources;
use store::{BlobStore, Store};
use tokio::sync::Notify;
use wire::Doc;

use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Outcome, Streaming, Throttle};
use crate::invoker::{Invoker, Invoking, Opening};
use crate::{AccountLimits, Lambda, LambdaDeps};

const THROTTLE: Throttle = Throttle::ReservedFunctionConcurrentInvocationLimitExceeded;

/// What the function does with its next batch.
#[derive(Clone)]
enum Step {
    Answer(String),
    Fail,
    Throttle,
    /// It is not over before it is told so.
    Wait(Arc<Notify>),
}

/// Runs the function by a script; at its end it answers.
#[derive(Default)]
struct Script {
    steps: Mutex<VecDeque<Step>>,
    events: Mutex<Vec<Invocation>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Script {
    fn plan(&self, steps: &[Step]) {
        self.steps.lock().unwrap().extend(steps.iter().cloned());
    }

    /// The bodies of each event so far.
    fn bodies(&self) -> Vec<Vec<String>> {
        let events = self.events.lock().unwrap();
        let bodies = |invocation: &Invocation| {
            let event: Value = serde_json::from_slice(&invocation.payload).unwrap();
            let records = event["Records"].as_array().unwrap().clone();
            records.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect()
        };
        events.iter().map(bodies).collect()
    }
}

impl Invoker for Script {
    fn invoke(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Invoking<'_> {
        let step = self.steps.lock().unwrap().pop_front().unwrap_or(Step::Answer("null".to_owned()));
        self.events.lock().unwrap().push(invocation);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        Box::pin(async move {
            let outcome = |payload: String, function_error| Outcome {
                payload: Bytes::from(payload),
                function_error,
                log_tail_base64: None,
                executed_version: function.version.clone(),
                duration_ms: 1.0,
                billed_ms: 1,
                init_ms: None,
                cold: false,
                max_memory_mib: 1,
            };
            let result = match step {
                Step::Answer(answer) => Ok(outcome(answer, None)),
                Step::Fail => {
                    let error = "{\"errorType\":\"ValueError\",\"errorMessage\":\"boom\"}".to_owned();
                    Ok(outcome(error, Some("Unhandled")))
                }
                Step::Throttle => Err(InvokeError::Throttled(THROTTLE)),
                Step::Wait(told) => {
                    told.notified().await;
                    Ok(outcome("null".to_owned(), None))
                }
            };
            self.running.fetch_sub(1, Ordering::SeqCst);
            result
        })
    }

    fn invoke_streaming(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Opening<'_> {
        Box::pin(async move { self.invoke(function, invocation).await.map(Streaming::whole) })
    }

    fn retire(&self, _: &str, _: u64) {}
}

/// Queues, as far as mappings need them.
struct Queues {
    clock: Clock,
    queues: Mutex<HashMap<String, Vec<Stored>>>,
    visibility_s: u32,
    arrived: Notify,
    polls: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Stored {
    id: String,
    body: String,
    group: Option<String>,
    visible_at: Timestamp,
    receives: u32,
}

impl Queues {
    fn send_to(&self, queue: &str, body: &str, group: Option<&str>) {
        let mut queues = self.queues.lock().unwrap();
        let messages = queues.get_mut(queue).unwrap();
        messages.push(Stored {
            id: format!("id-{body}"),
            body: body.to_owned(),
            group: group.map(str::to_owned),
            visible_at: self.clock.now(),
            receives: 0,
        });
        drop(queues);
        self.arrived.notify_waiters();
    }

    fn left(&self, queue: &str) -> Vec<Stored> {
        self.queues.lock().unwrap()[queue].clone()
    }

    fn take(&self, request: &Receive) -> Result<Vec<ReceivedMessage>, ApiError> {
        let name = name_of(&request.queue_url);
        let now = self.clock.now();
        let mut queues = self.queues.lock().unwrap();
        let Some(messages) = queues.get_mut(&name) else { return Err(no_queue()) };
        let lease_s = request.visibility_timeout.unwrap_or(i32::try_from(self.visibility_s).unwrap());
        let until = now.after(Duration::from_secs(u64::try_from(lease_s).unwrap()));
        let mut busy: Vec<String> =
            messages.iter().filter(|m| m.visible_at > now).filter_map(|m| m.group.clone()).collect();
        let mut taken = Vec::new();
        for message in messages.iter_mut() {
            let is_free =
                message.visible_at <= now && message.group.as_ref().is_none_or(|group| !busy.contains(group));
            if !is_free || taken.len() == usize::try_from(request.max_number_of_messages).unwrap() {
                // The group's order: none behind one that is not taken.
                busy.extend(message.group.clone());
                continue;
            }
            message.receives += 1;
            message.visible_at = until;
            let mut attributes =
                BTreeMap::from([("ApproximateReceiveCount".to_owned(), message.receives.to_string())]);
            if let Some(group) = &message.group {
                attributes.insert("MessageGroupId".to_owned(), group.clone());
            }
            taken.push(ReceivedMessage {
                message_id: message.id.clone(),
                receipt_handle: message.id.clone(),
                body: message.body.clone(),
                md5: "00".to_owned(),
                attributes,
            });
        }
        Ok(taken)
    }
}

fn name_of(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}

fn no_queue() -> ApiError {
    ApiError::new("QueueDoesNotExist", "The specified queue does not exist.")
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Receive {
    queue_url: String,
    max_number_of_messages: i32,
    wait_time_seconds: i32,
    visibility_timeout: Option<i32>,
    #[allow(dead_code)]
    message_system_attribute_names: Vec<String>,
    #[allow(dead_code)]
    message_attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Received {
    messages: Vec<ReceivedMessage>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReceivedMessage {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(rename = "MD5OfBody")]
    md5: String,
    attributes: BTreeMap<String, String>,
}

async fn receive(queues: Arc<Queues>, call: Call, request: Receive) -> Result<Received, ApiError> {
    queues.polls.fetch_add(1, Ordering::SeqCst);
    let wait = Duration::from_secs(u64::try_from(request.wait_time_seconds).unwrap());
    let until = queues.clock.now().after(wait);
    loop {
        let arrived = queues.arrived.notified();
        if call.is_abandoned() {
            return Ok(Received { messages: Vec::new() });
        }
        let messages = queues.take(&request)?;
        if !messages.is_empty() || queues.clock.now() >= until {
            return Ok(Received { messages });
        }
        // A message whose lease ends is found by the next poll, or when a test moves the clock.
        tokio::select! {
            () = arrived => {}
            () = queues.clock.sleep_until(until) => {}
            () = call.abandoned() => {}
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    successful: Vec<Id>,
    failed: Vec<Id>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Id {
    id: String,
}

fn done(entries: Vec<Entry>) -> Done {
    Done { successful: entries.into_iter().map(|entry| Id { id: entry.id }).collect(), failed: Vec::new() }
}

async fn delete(queues: Arc<Queues>, _: Call, request: Batch) -> Result<Done, ApiError> {
    let mut all = queues.queues.lock().unwrap();
    let messages = all.get_mut(&name_of(&request.queue_url)).ok_or_else(no_queue)?;
    messages.retain(|message| request.entries.iter().all(|entry| entry.receipt_handle != message.id));
    drop(all);
    queues.arrived.notify_waiters();
    Ok(done(request.entries))
}

async fn change_visibility(queues: Arc<Queues>, _: Call, request: Batch) -> Result<Done, ApiError> {
    let mut all = queues.queues.lock().unwrap();
    let messages = all.get_mut(&name_of(&request.queue_url)).ok_or_else(no_queue)?;
    for entry in &request.entries {
        let seconds = Duration::from_secs(u64::try_from(entry.visibility_timeout.unwrap()).unwrap());
        let message = messages.iter_mut().find(|message| message.id == entry.receipt_handle).unwrap();
        message.visible_at = queues.clock.now().after(seconds);
    }
    drop(all);
    queues.arrived.notify_waiters();
    Ok(done(request.entries))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AttributesRequest {
    queue_url: String,
    #[allow(dead_code)]
    attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    attributes: BTreeMap<&'static str, String>,
}

async fn attributes(
    queues: Arc<Queues>,
    _: Call,
    request: AttributesRequest,
) -> Result<Attributes, ApiError> {
    let name = name_of(&request.queue_url);
    if !queues.queues.lock().unwrap().contains_key(&name) {
        return Err(no_queue());
    }
    let mut attributes = BTreeMap::from([("VisibilityTimeout", queues.visibility_s.to_string())]);
    if name.ends_with(".fifo") {
        attributes.insert("FifoQueue", "true".to_owned());
    }
    Ok(Attributes { attributes })
}

struct House {
    door: FrontDoor,
    clock: Clock,
    script: Arc<Script>,
    queues: Arc<Queues>,
    lambda: Arc<Lambda>,
    store: Store,
    dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let clock = Clock::frozen(Timestamp(1_795_420_000_000));
        let names = ["orders", "other", "orders.fifo"];
        let queues = Arc::new(Queues {
            clock: clock.clone(),
            queues: Mutex::new(names.iter().map(|&name| (name.to_owned(), Vec::new())).collect()),
            visibility_s: 30,
            arrived: Notify::new(),
            polls: AtomicUsize::new(0),
        });
        let house = Self::over(Store::in_memory().unwrap(), clock, queues, tempfile::tempdir().unwrap());
        house.create("intake").await;
        house
    }

    fn over(store: Store, clock: Clock, queues: Arc<Queues>, dir: tempfile::TempDir) -> Self {
        let script = Arc::<Script>::default();
        let handle = FrontDoorHandle::new();
        let lambda = Lambda::new(LambdaDeps {
            store: store.clone(),
            blobs: BlobStore::open(dir.path().join("blobs")).unwrap(),
            invoker: script.clone(),
            delivery: Delivery::new(handle.clone()),
            sources: Sources::new(handle.clone()),
            clock: clock.clone(),
            gateway_port: 4566,
            data_dir: dir.path().to_owned(),
            runtimes: Arc::new(|_| Ok(())),
            limits: AccountLimits::default(),
            access_points: crate::AccessPoints::default(),
            code_url: None,
        })
        .unwrap();
        let sqs = Service::new("sqs", Arc::clone(&queues))
            .on("ReceiveMessage", receive)
            .on("DeleteMessageBatch", delete)
            .on("ChangeMessageVisibilityBatch", change_visibility)
            .on("GetQueueAttributes", attributes)
            .build();
        let door = FrontDoor::builder(clock.clone())
            .add(crate::service(Arc::clone(&lambda)))
            .add(sqs)
            .handle(&handle)
            .build();
        House { door, clock, script, queues, lambda, store, dir }
    }

    /// The same data, as the next process has it.
    async fn next_process(self) -> Self {
        self.lambda.stop_mappings().await;
        let House { clock, queues, store, dir, .. } = self;
        let house = Self::over(store, clock, queues, dir);
        house.lambda.start_events().unwrap();
        house
    }

    async fn ask(&self, operation: &str, input: Value) -> Result<Doc, ApiError> {
        self.ask_doc(operation, wire::doc::to_doc(&input).unwrap()).await
    }

    async fn ask_doc(&self, operation: &str, input: Doc) -> Result<Doc, ApiError> {
        let account = AccountId::DEFAULT;
        let call = self.door.call(Principal::Root { account }, account, Region::default());
        self.door.enter(call, "lambda", operation, input).await
    }

    async fn create(&self, name: &str) {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("app.py", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"x").unwrap();
        let zip = Bytes::from(zip.finish().unwrap().into_inner());
        let input = json!({
            "FunctionName": name, "Runtime": "python3.12", "Handler": "app.handler",
            "Role": "arn:aws:iam::000000000000:role/lambda",
        });
        let Doc::Map(mut members) = wire::doc::to_doc(&input).unwrap() else { unreachable!() };
        members.push(("Code".into(), Doc::Map(vec![("ZipFile".into(), Doc::Blob(zip))])));
        self.ask_doc("CreateFunction", Doc::Map(members)).await.unwrap();
    }

    /// Maps a queue to the function, with these members.
    async fn map(&self, queue: &str, members: Value) -> Result<Doc, ApiError> {
        let mut input = json!({ "FunctionName": "intake", "EventSourceArn": arn(queue) });
        input.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.ask("CreateEventSourceMapping", input).await
    }

    async fn mapped(&self, queue: &str, members: Value) -> String {
        text(&self.map(queue, members).await.unwrap(), "UUID")
    }

    async fn state(&self, uuid: &str) -> String {
        text(&self.ask("GetEventSourceMapping", json!({ "UUID": uuid })).await.unwrap(), "State")
    }

    async fn refusal(&self, queue: &str, members: Value) -> (String, String) {
        let error = self.map(queue, members).await.unwrap_err();
        (error.code.into_owned(), error.message)
    }
}

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{queue}")
}

fn text(answer: &Doc, member: &str) -> String {
    answer.get(member).and_then(Doc::as_str).unwrap().to_owned()
}

/// Waits for a condition, for so long that only a mistake takes longer.
async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it did not come about");
}

#[tokio::test]
async fn messages_come_as_events_and_are_deleted() {
    let house = House::new().await;
    let uuid = house.mapped("orders", json!({})).await;
    house.queues.send_to("orders", "one", None);
    until(|| house.queues.left("orders").is_empty()).await;
    assert_eq!(house.script.bodies(), [["one"]]);
    let counts = house.lambda.mapping_counts(&uuid).unwrap();
    until(|| house.lambda.mapping_counts(&uuid).unwrap().deleted == 1).await;
    assert_eq!((counts.polled, counts.invoked, counts.failed), (1, 1, 0));
    let mapping = house.ask("GetEventSourceMapping", json!({ "UUID": uuid })).await.unwrap();
    assert_eq!(
        (text(&mapping, "State"), text(&mapping, "StateTransitionReason")),
        ("Enabled".into(), "USER_INITIATED".into())
    );
    // Several that wait are one event.
    house.ask("UpdateEventSourceMapping", json!({ "UUID": uuid, "Enabled": false })).await.unwrap();
    for n in 0..12 {
        house.queues.send_to("orders", &n.to_string(), None);
    }
    house.ask("UpdateEventSourceMapping", json!({ "UUID": uuid, "Enabled": true })).await.unwrap();
    until(|| house.queues.left("orders").is_empty()).await;
    let sizes: Vec<usize> = house.script.bodies().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 10, 2]);
}

#[tokio::test]
async fn what_fails_comes_again_after_its_timeout_and_is_noted() {
    let house = House::new().await;
    house.script.plan(&[Step::Fail]);
    house.mapped("orders", json!({})).await;
    house.queues.send_to("orders", "one", None);
    let failure = || house.lambda.message_failures(&["id-one", "unknown"]).unwrap().into_iter().next();
    until(|| failure().is_some()).await;
    let why = failure().unwrap();
    assert_eq!(
        (why.error_type.as_str(), why.error_message.as_str(), why.attempts),
        ("ValueError", "boom", 1)
    );
    assert_eq!(why.request_ids.len(), 1);
    assert_eq!(
        (why.source_arn, why.function_arn),
        (arn("orders"), "arn:aws:lambda:us-east-1:000000000000:function:intake".into())
    );
    assert_eq!(house.queues.left("orders")[0].visible_at, house.clock.now().after(Duration::from_secs(30)));
    house.clock.advance(Duration::from_secs(30));
    until(|| house.queues.left("orders").is_empty()).await;
    assert_eq!(house.script.bodies(), [["one"], ["one"]]);
    until(|| failure().is_none()).await;
}

#[tokio::test]
async fn a_function_may_name_what_failed() {
    let house = House::new().await;
    let report = "{\"batchItemFailures\":[{\"itemIdentifier\":\"id-b\"}]}".to_owned();
    house.script.plan(&[Step::Answer(report)]);
    for body in ["a", "b", "c"] {
        house.queues.send_to("orders", body, None);
    }
    house.mapped("orders", json!({ "FunctionResponseTypes": ["ReportBatchItemFailures"] })).await;
    until(|| house.queues.left("orders").len() == 1).await;
    assert_eq!(house.queues.left("orders")[0].body, "b");
    until(|| house.lambda.message_failures(&["id-a", "id-b", "id-c"]).unwrap().len() == 1).await;
}

#[tokio::test]
async fn throttles_count_no_receive_however_long_they_last() {
    let house = House::new().await;
    house.script.plan(&[Step::Throttle, Step::Throttle, Step::Throttle]);
    house.mapped("orders", json!({})).await;
    house.queues.send_to("orders", "one", None);
    for n in 1..=3 {
        until(|| house.script.bodies().len() == n).await;
        // Past the visibility timeout in two steps.
        house.clock.advance(Duration::from_secs(20));
    }
    until(|| house.queues.left("orders").is_empty()).await;
    assert_eq!(house.script.bodies().len(), 4);
    assert!(house.lambda.message_failures(&["id-one"]).unwrap().is_empty());
    let events = house.script.events.lock().unwrap();
    let last: Value = serde_json::from_slice(&events[3].payload).unwrap();
    assert_eq!(last["Records"][0]["attributes"]["ApproximateReceiveCount"], "1");
}

#[tokio::test]
async fn a_window_gathers_until_it_is_over_or_the_batch_is_full() {
    let house = House::new().await;
    house.mapped("orders", json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 60 })).await;
    for n in 0..3 {
        house.queues.send_to("orders", &n.to_string(), None);
        until(|| house.queues.left("orders").iter().all(|message| message.receives == 1)).await;
        house.clock.advance(Duration::from_secs(10));
    }
    assert!(house.script.bodies().is_empty());
    // The lease lasts beyond the window.
    assert!(house.queues.left("orders")[0].visible_at >= house.clock.now().after(Duration::from_secs(60)));
    house.clock.advance(Duration::from_secs(30));
    until(|| house.queues.left("orders").is_empty()).await;
    assert_eq!(house.script.bodies(), [["0", "1", "2"]]);
    for n in 0..25 {
        house.queues.send_to("orders", &format!("n{n}"), None);
    }
    until(|| house.queues.left("orders").len() == 5).await;
    assert_eq!(house.script.bodies()[1].len(), 20);
    house.clock.advance(Duration::from_secs(60));
    until(|| house.queues.left("orders").is_empty()).await;
}

#[tokio::test]
async fn groups_keep_their_order_and_run_side_by_side() {
    let house = House::new().await;
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    house.script.plan(&[Step::Wait(Arc::clone(&first)), Step::Wait(Arc::clone(&second))]);
    house.mapped("orders.fifo", json!({ "BatchSize": 1 })).await;
    for (body, group) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        house.queues.send_to("orders.fifo", body, Some(group));
    }
    until(|| house.script.bodies().len() == 2).await;
    assert_eq!(house.script.bodies(), [["a1"], ["b1"]]);
    second.notify_one();
    until(|| house.queues.left("orders.fifo").len() == 2).await;
    first.notify_one();
    until(|| house.queues.left("orders.fifo").is_empty()).await;
    assert_eq!(house.script.bodies(), [["a1"], ["b1"], ["a2"]]);
}

#[tokio::test]
async fn no_more_run_at_a_time_than_the_mapping_allows() {
    let house = House::new().await;
    let told = Arc::new(Notify::new());
    house.script.plan(&vec![Step::Wait(Arc::clone(&told)); 7]);
    let members = json!({ "BatchSize": 1, "ScalingConfig": { "MaximumConcurrency": 2 } });
    house.mapped("orders", members).await;
    for n in 0..7 {
        house.queues.send_to("orders", &n.to_string(), None);
    }
    until(|| house.script.running.load(Ordering::SeqCst) == 2).await;
    let taken = house.queues.left("orders").iter().filter(|message| message.receives > 0).count();
    assert_eq!(taken, 2, "what cannot run stays in the queue");
    until(|| {
        told.notify_one();
        house.queues.left("orders").is_empty()
    })
    .await;
    assert_eq!(house.script.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_a_filter_does_not_mean_is_deleted() {
    let house = House::new().await;
    let pattern = json!({ "body": { "kind": ["order"] } }).to_string();
    let uuid =
        house.mapped("orders", json!({ "FilterCriteria": { "Filters": [{ "Pattern": pattern }] } })).await;
    house.queues.send_to("orders", "{\"kind\":\"note\"}", None);
    house.queues.send_to("orders", "{\"kind\":\"order\"}", None);
    until(|| house.queues.left("orders").is_empty()).await;
    assert_eq!(house.script.bodies(), [["{\"kind\":\"order\"}"]]);
    assert_eq!(house.lambda.mapping_counts(&uuid).unwrap().filtered_out, 1);
}

#[tokio::test]
async fn a_mapping_that_is_switched_off_lets_its_batches_end() {
    let house = House::new().await;
    let told = Arc::new(Notify::new());
    house.script.plan(&[Step::Wait(Arc::clone(&told))]);
    let uuid = house.mapped("orders", json!({})).await;
    house.queues.send_to("orders", "one", None);
    until(|| house.script.bodies().len() == 1).await;
    let answer =
        house.ask("UpdateEventSourceMapping", json!({ "UUID": uuid, "Enabled": false })).await.unwrap();
    assert_eq!(text(&answer, "State"), "Disabling");
    assert_eq!(house.state(&uuid).await, "Disabling");
    house.queues.send_to("orders", "two", None);
    told.notify_one();
    until(|| house.queues.left("orders").len() == 1).await;
    while house.state(&uuid).await != "Disabled" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(house.queues.left("orders")[0].receives, 0);
    let answer =
        house.ask("UpdateEventSourceMapping", json!({ "UUID": uuid, "Enabled": true })).await.unwrap();
    assert_eq!(text(&answer, "State"), "Enabling");
    until(|| house.queues.left("orders").is_empty()).await;
    let answer = house.ask("DeleteEventSourceMapping", json!({ "UUID": uuid })).await.unwrap();
    assert_eq!(text(&answer, "State"), "Deleting");
    until(|| house.lambda.mapping_counts(&uuid).is_none()).await;
    house.queues.send_to("orders", "three", None);
    assert!(house.ask("GetEventSourceMapping", json!({ "UUID": uuid })).await.is_err());
    assert_eq!(house.script.bodies(), [["one"], ["two"]]);
}

#[tokio::test]
async fn a_mapping_waits_for_its_function_and_its_queue() {
    let house = House::new().await;
    let uuid = house.mapped("orders", json!({})).await;
    until(|| house.queues.polls.load(Ordering::SeqCst) == 1).await;
    house.ask("DeleteFunction", json!({ "FunctionName": "intake" })).await.unwrap();
    house.queues.send_to("orders", "one", None);
    // The poll that waited brings the message; it is given back, because there is nobody to take it.
    until(|| house.queues.left("orders")[0].receives == 1).await;
    until(|| house.queues.left("orders")[0].visible_at <= house.clock.now()).await;
    assert_eq!(house.state(&uuid).await, "Enabled");
    house.create("intake").await;
    until(|| house.queues.left("orders").is_empty()).await;
    let messages = house.queues.queues.lock().unwrap().remove("orders").unwrap();
    house.queues.arrived.notify_waiters();
    let problem =
        |mapping: &Doc| text(mapping, "LastProcessingResult").starts_with("PROBLEM: The queue does not");
    while !problem(&house.ask("GetEventSourceMapping", json!({ "UUID": uuid })).await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    house.queues.queues.lock().unwrap().insert("orders".to_owned(), messages);
    house.queues.send_to("orders", "two", None);
    house.clock.advance(Duration::from_secs(15));
    until(|| house.queues.left("orders").is_empty()).await;
}

#[tokio::test]
async fn the_next_process_goes_on() {
    let house = House::new().await;
    house.script.plan(&[Step::Throttle]);
    house.mapped("orders", json!({})).await;
    house.queues.send_to("orders", "one", None);
    until(|| house.script.bodies().len() == 1).await;
    // It waits for the function, and is given back when the server stops.
    let house = house.next_process().await;
    until(|| house.queues.left("orders").is_empty()).await;
    assert_eq!(house.script.bodies(), [["one"]]);
}

#[tokio::test]
async fn mappings_are_refused_in_aws_s_words() {
    let house = House::new().await;
    let invalid = |text: &str| ("InvalidParameterValueException".to_owned(), text.to_owned());
    let uuid = house.mapped("orders", json!({})).await;
    let (code, message) = house.refusal("orders", json!({})).await;
    assert_eq!(code, "ResourceConflictException");
    assert!(message.ends_with(&format!("existing mapping with UUID {uuid}")), "{message}");
    assert_eq!(
        house.refusal("nope", json!({})).await,
        invalid(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
             Message: The specified queue does not exist."
        )
    );
    assert_eq!(
        house.refusal("other", json!({ "StartingPosition": "LATEST" })).await,
        invalid("Unsupported StartingPosition parameter for given event source mapping type.")
    );
    house
        .ask("UpdateFunctionConfiguration", json!({ "FunctionName": "intake", "Timeout": 31 }))
        .await
        .unwrap();
    assert_eq!(
        house.refusal("other", json!({})).await,
        invalid("Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds")
    );
    let pattern = json!({ "Filters": [{ "Pattern": "{" }] });
    assert_eq!(
        house.refusal("other", json!({ "FilterCriteria": pattern })).await,
        invalid("Invalid filter pattern definition.")
    );
    let missing = json!({ "FunctionName": "nobody" });
    assert_eq!(house.refusal("other", missing).await.0, "ResourceNotFoundException");
    let kinesis = json!({ "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s" });
    let (code, message) = house.refusal("other", kinesis).await;
    assert_eq!(code, "UnsupportedParameterException");
    assert!(message.contains("Amazon Kinesis"), "{message}");
    let listed = house.ask("ListEventSourceMappings", json!({})).await.unwrap();
    assert!(matches!(listed.get("EventSourceMappings"), Some(Doc::List(all)) if all.len() == 1));
}
