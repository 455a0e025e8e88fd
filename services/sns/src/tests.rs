//! Against a queue service that fails when it is told to: what is retried, in which order, and what is given up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Principal, Region, Timestamp};
use frontdoor::{Call, FrontDoor, FrontDoorHandle, Service};
use serde::{Deserialize, Serialize};
use service_delivery::Delivery;
use store::{Store, value};

use crate::address::TopicAddress;
use crate::fifo::Cursor;
use crate::keys::{self, VERSION};
use crate::{Sns, SnsDeps};

/// What the queues hold, and how they are.
#[derive(Default)]
struct Queues {
    bodies: Mutex<HashMap<String, Vec<String>>>,
    /// The queues that are out of order, with the status that they answer.
    troubled: Mutex<HashMap<String, u16>>,
    /// Deduplication ids, each after its queue's name.
    seen: Mutex<HashSet<String>>,
    tries: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: String,
    message_body: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
    #[serde(rename = "MessageGroupId")]
    _group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    #[serde(rename = "DataType")]
    _data_type: String,
    #[serde(rename = "StringValue")]
    _string_value: Option<String>,
}

#[derive(Serialize)]
struct Nothing {}

async fn send(queues: Arc<Queues>, _call: Call, request: SendMessage) -> Result<Nothing, ApiError> {
    let name = request.queue_url.rsplit('/').next().unwrap_or_default().to_owned();
    queues.tries.fetch_add(1, Ordering::SeqCst);
    let now = queues.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    queues.most_at_once.fetch_max(now, Ordering::SeqCst);
    tokio::task::yield_now().await;
    queues.at_once.fetch_sub(1, Ordering::SeqCst);
    match queues.troubled.lock().unwrap().get(&name) {
        Some(status) if *status >= 500 => return Err(ApiError::internal("out of order").status(*status)),
        Some(status) => return Err(ApiError::new("QueueDoesNotExist", "gone").status(*status)),
        None => {}
    }
    // As FIFO queues do.
    if let Some(id) = request.message_deduplication_id
        && !queues.seen.lock().unwrap().insert(format!("{name} {id}"))
    {
        return Ok(Nothing {});
    }
    let told = if request.message_attributes.contains_key("ErrorMessage") { "dead: " } else { "" };
    let body = format!("{told}{}", request.message_body);
    queues.bodies.lock().unwrap().entry(name).or_default().push(body);
    Ok(Nothing {})
}

struct House {
    sns: Arc<Sns>,
    queues: Arc<Queues>,
    door: FrontDoor,
    clock: Clock,
    store: Store,
}

impl House {
    fn new() -> Self {
        Self::over(Store::in_memory().unwrap(), Arc::default())
    }

    fn over(store: Store, queues: Arc<Queues>) -> Self {
        let clock = Clock::frozen(Timestamp(1_795_420_000_000));
        let handle = FrontDoorHandle::new();
        let sns = Sns::new(SnsDeps {
            store: store.clone(),
            clock: clock.clone(),
            delivery: Delivery::new(handle.clone()),
            endpoint: "http://localhost:4566".to_owned(),
        });
        let sqs = Service::new("sqs", Arc::clone(&queues)).on("SendMessage", send).build();
        let door = FrontDoor::builder(clock.clone())
            .add(sqs)
            .add(crate::service(Arc::clone(&sns)))
            .handle(&handle)
            .build();
        sns.start().unwrap();
        House { sns, queues, door, clock, store }
    }

    async fn ask(&self, operation: &str, request: serde_json::Value) -> BTreeMap<String, String> {
        let principal = Principal::Root { account: AccountId::DEFAULT };
        let call = self.door.call(principal, AccountId::DEFAULT, Region::default());
        let Answer { topic_arn, subscription_arn } =
            call.service("sns").invoke(operation, &request).await.unwrap();
        [("topic", topic_arn), ("subscription", subscription_arn)]
            .into_iter()
            .filter_map(|(name, arn)| Some((name.to_owned(), arn?)))
            .collect()
    }

    async fn topic(&self, name: &str) -> String {
        let fifo = name.ends_with(".fifo");
        let attributes = match fifo {
            true => serde_json::json!({ "FifoTopic": "true", "ContentBasedDeduplication": "true" }),
            false => serde_json::json!({}),
        };
        let made =
            self.ask("CreateTopic", serde_json::json!({ "Name": name, "Attributes": attributes })).await;
        made["topic"].clone()
    }

    /// Subscribes a queue without envelope, with a dead-letter queue.
    async fn subscribe(&self, topic: &str, queue: &str, dead: &str) -> String {
        let arn = |name: &str| format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        let redrive = serde_json::json!({ "deadLetterTargetArn": arn(dead) }).to_string();
        let made = self
            .ask(
                "Subscribe",
                serde_json::json!({
                    "TopicArn": topic, "Protocol": "sqs", "Endpoint": arn(queue),
                    "Attributes": { "RawMessageDelivery": "true", "RedrivePolicy": redrive },
                }),
            )
            .await;
        made["subscription"].clone()
    }

    async fn publish(&self, topic: &str, message: &str) {
        let mut request = serde_json::json!({ "TopicArn": topic, "Message": message });
        if topic.ends_with(".fifo") {
            request["MessageGroupId"] = "g".into();
        }
        self.ask("Publish", request).await;
    }

    fn trouble(&self, queue: &str, status: Option<u16>) {
        let mut troubled = self.queues.troubled.lock().unwrap();
        match status {
            Some(status) => troubled.insert(queue.to_owned(), status),
            None => troubled.remove(queue),
        };
    }

    fn bodies(&self, queue: &str) -> Vec<String> {
        self.queues.bodies.lock().unwrap().get(queue).cloned().unwrap_or_default()
    }

    /// Waits until a queue holds so many messages, moving the clock by steps of a second.
    async fn wait_for(&self, queue: &str, count: usize) -> Vec<String> {
        for _ in 0..2000 {
            let bodies = self.bodies(queue);
            if bodies.len() >= count {
                return bodies;
            }
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{queue} holds {:?}", self.bodies(queue));
    }

    /// Waits until so many deliveries were tried.
    async fn wait_for_tries(&self, count: usize) {
        for _ in 0..2000 {
            if self.queues.tries.load(Ordering::SeqCst) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{} tries", self.queues.tries.load(Ordering::SeqCst));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    topic_arn: Option<String>,
    subscription_arn: Option<String>,
}

#[tokio::test]
async fn a_queue_in_trouble_gets_the_message_later() {
    let house = House::new();
    let topic = house.topic("t").await;
    house.subscribe(&topic, "well", "dead").await;
    house.subscribe(&topic, "ill", "dead").await;
    house.trouble("ill", Some(503));
    house.publish(&topic, "m").await;
    assert_eq!(house.bodies("well"), ["m"]);
    // The first try, and three at once after it.
    house.wait_for_tries(2 + 3).await;
    house.trouble("ill", None);
    assert_eq!(house.wait_for("ill", 1).await, ["m"]);
    assert!(house.bodies("dead").is_empty());
}

#[tokio::test]
async fn a_message_that_waits_survives_the_server() {
    let house = House::new();
    let topic = house.topic("t").await;
    house.subscribe(&topic, "ill", "dead").await;
    house.trouble("ill", Some(503));
    house.publish(&topic, "m").await;
    house.sns.stop().await;
    let after = House::over(house.store.clone(), Arc::clone(&house.queues));
    after.trouble("ill", None);
    assert_eq!(after.wait_for("ill", 1).await, ["m"]);
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_at_once_and_counted() {
    let house = House::new();
    let topic = house.topic("t").await;
    let subscription = house.subscribe(&topic, "gone", "dead").await;
    house.trouble("gone", Some(400));
    house.publish(&topic, "m").await;
    assert_eq!(house.bodies("dead"), ["dead: m"]);
    assert_eq!(house.queues.tries.load(Ordering::SeqCst), 2);
    let [(arn, metrics)] = house.sns.metrics().try_into().unwrap();
    assert_eq!(arn, topic);
    assert_eq!((metrics.published, metrics.delivered, metrics.failed, metrics.redriven), (1, 0, 1, 1));
    assert!(metrics.last_failure.unwrap().starts_with(&subscription));
}

#[tokio::test]
async fn dead_letters_that_find_no_queue_are_tried_again_or_dropped() {
    let house = House::new();
    let topic = house.topic("t").await;
    house.subscribe(&topic, "gone", "dead").await;
    house.trouble("gone", Some(400));
    house.trouble("dead", Some(503));
    house.publish(&topic, "m").await;
    house.trouble("dead", None);
    assert_eq!(house.wait_for("dead", 1).await, ["dead: m"]);
    house.trouble("dead", Some(400));
    house.publish(&topic, "n").await;
    let (_, metrics) = house.sns.metrics().pop().unwrap();
    assert_eq!(metrics.failed_to_redrive, 1);
    assert_eq!(house.bodies("dead"), ["dead: m"]);
}

#[tokio::test]
async fn a_fifo_subscription_that_fails_waits_and_the_others_go_on() {
    let house = House::new();
    let topic = house.topic("t.fifo").await;
    house.subscribe(&topic, "well.fifo", "dead.fifo").await;
    house.subscribe(&topic, "ill.fifo", "dead.fifo").await;
    house.trouble("ill.fifo", Some(503));
    let messages: Vec<String> = (0..20).map(|number| format!("m{number:02}")).collect();
    for message in &messages {
        house.publish(&topic, message).await;
    }
    assert_eq!(house.wait_for("well.fifo", 20).await, messages);
    assert!(house.bodies("ill.fifo").is_empty());
    house.trouble("ill.fifo", None);
    assert_eq!(house.wait_for("ill.fifo", 20).await, messages);
    assert!(house.bodies("dead.fifo").is_empty());
}

#[tokio::test]
async fn a_fifo_log_goes_on_after_the_server_and_empties() {
    let house = House::new();
    let topic = house.topic("t.fifo").await;
    house.subscribe(&topic, "q.fifo", "dead.fifo").await;
    house.trouble("q.fifo", Some(503));
    for number in 0..5 {
        house.publish(&topic, &format!("m{number}")).await;
    }
    house.sns.stop().await;
    let after = House::over(house.store.clone(), Arc::clone(&house.queues));
    after.trouble("q.fifo", None);
    assert_eq!(after.wait_for("q.fifo", 5).await, ["m0", "m1", "m2", "m3", "m4"]);
    let address = TopicAddress::parse("TopicArn", &topic).unwrap();
    let uid = after.sns.find(&address).unwrap().uid;
    for _ in 0..1000 {
        if after.store.range(keys::of_topic("said", uid)).unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the log still holds messages");
}

#[tokio::test]
async fn after_all_retries_a_fifo_message_is_a_dead_letter() {
    let house = House::new();
    let topic = house.topic("t.fifo").await;
    let subscription = house.subscribe(&topic, "ill.fifo", "dead.fifo").await;
    house.trouble("ill.fifo", Some(503));
    house.publish(&topic, "m").await;
    house.wait_for_tries(1).await;
    house.sns.stop().await;
    // All 100,015 retries but the last are over.
    let address = TopicAddress::parse("TopicArn", &topic).unwrap();
    let uid = house.sns.find(&address).unwrap().uid;
    let key = keys::cursor(uid, subscription.rsplit(':').next().unwrap());
    house
        .store
        .transact(move |tx| {
            let row = tx.get(&key)?.unwrap();
            let cursor: Cursor = value::decode(VERSION, &row)?;
            let cursor = Cursor { failures: 100_014, ..cursor };
            tx.put(key.clone(), value::encode(VERSION, &cursor))
        })
        .await
        .unwrap();
    let after = House::over(house.store.clone(), Arc::clone(&house.queues));
    assert_eq!(after.wait_for("dead.fifo", 1).await, ["dead: m"]);
}

#[tokio::test]
async fn a_publish_to_ten_thousand_keeps_few_deliveries_at_once() {
    let house = House::new();
    let topic = house.topic("t").await;
    let mut subscriptions = tokio::task::JoinSet::new();
    let house = Arc::new(house);
    for number in 0..10_000 {
        let (house, topic) = (Arc::clone(&house), topic.clone());
        subscriptions.spawn(async move {
            house.subscribe(&topic, &format!("q{number}"), "dead").await;
        });
    }
    while let Some(subscribed) = subscriptions.join_next().await {
        subscribed.unwrap();
    }
    house.publish(&topic, "m").await;
    assert_eq!(house.queues.bodies.lock().unwrap().len(), 10_000);
    assert!(house.queues.most_at_once.load(Ordering::SeqCst) <= 256);
}
