//! What a queue's service is asked, by a stand-in for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Timestamp};
use frontdoor::{Call, FrontDoor, FrontDoorHandle, Service};
use serde::{Deserialize, Serialize};

use crate::sqs::Queue;
use crate::{Reader, Source, SourceError, Sources, Wish};

const ARN: &str = "arn:aws:sqs:eu-west-1:111122223333:orders";

#[derive(Default)]
struct Asked {
    lines: Mutex<Vec<String>>,
    gone: bool,
}

impl Asked {
    fn note(&self, call: &Call, line: String) {
        let place = format!("{} {} {}", call.account(), call.region(), call.principal().arn());
        self.lines.lock().unwrap().push(format!("{place}: {line}"));
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Receive {
    queue_url: String,
    max_number_of_messages: i32,
    wait_time_seconds: i32,
    visibility_timeout: Option<i32>,
    message_system_attribute_names: Vec<String>,
    message_attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Messages {
    messages: Vec<Message>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(rename = "MD5OfBody")]
    md5: String,
}

async fn receive(asked: Arc<Asked>, call: Call, request: Receive) -> Result<Messages, ApiError> {
    assert_eq!(
        (request.message_system_attribute_names[0].as_str(), request.message_attribute_names[0].as_str()),
        ("All", "All")
    );
    asked.note(
        &call,
        format!(
            "{} {} {} {:?}",
            request.queue_url,
            request.max_number_of_messages,
            request.wait_time_seconds,
            request.visibility_timeout
        ),
    );
    if asked.gone {
        return Err(ApiError::new("QueueDoesNotExist", "The specified queue does not exist."));
    }
    let message = |n: i32| Message {
        message_id: format!("m{n}"),
        receipt_handle: format!("r{n}"),
        body: "hello".to_owned(),
        md5: String::new(),
    };
    Ok(Messages { messages: (0..request.max_number_of_messages).map(message).collect() })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    #[allow(dead_code)]
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    successful: Vec<Id>,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Id {
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    sender_fault: bool,
    code: String,
}

/// Refuses the handle `r3`.
async fn delete(asked: Arc<Asked>, call: Call, request: Delete) -> Result<Deleted, ApiError> {
    asked.note(&call, format!("delete {}", request.entries.len()));
    let (bad, good): (Vec<_>, Vec<_>) = request.entries.into_iter().partition(|e| e.receipt_handle == "r3");
    let failed =
        |entry: Entry| Failed { id: entry.id, sender_fault: true, code: "ReceiptHandleIsInvalid".to_owned() };
    Ok(Deleted {
        successful: good.into_iter().map(|entry| Id { id: entry.id }).collect(),
        failed: bad.into_iter().map(failed).collect(),
    })
}

fn queue(asked: &Arc<Asked>) -> (FrontDoor, Queue) {
    let handle = FrontDoorHandle::new();
    let service = Service::new("sqs", Arc::clone(asked))
        .on("ReceiveMessage", receive)
        .on("DeleteMessageBatch", delete)
        .build();
    let door =
        FrontDoor::builder(Clock::frozen(Timestamp(1_795_420_000_000))).add(service).handle(&handle).build();
    let reader = Reader {
        account: AccountId::DEFAULT,
        role_arn: "arn:aws:iam::000000000000:role/service/worker".to_owned(),
        session: "intake".to_owned(),
    };
    (door, Sources::new(handle).queue(ARN, reader).unwrap())
}

fn wish(most: usize) -> Wish {
    Wish { most, wait: Duration::from_millis(1500), lease: None }
}

#[tokio::test]
async fn it_receives_as_the_role_in_the_place_of_the_queue() {
    let asked = Arc::<Asked>::default();
    let (_door, queue) = queue(&asked);
    let messages = queue.read(wish(3)).await.unwrap();
    assert_eq!(messages.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["m0", "m1", "m2"]);
    assert_eq!((messages[0].body.as_str(), messages[0].receive_count()), ("hello", 1));
    let lease = Wish { most: 100, wait: Duration::from_secs(60), lease: Some(Duration::from_secs(50_000)) };
    assert_eq!(queue.read(lease).await.unwrap().len(), 10);
    let who = "111122223333 eu-west-1 arn:aws:sts::000000000000:assumed-role/worker/intake";
    let url = "http://localhost/111122223333/orders";
    assert_eq!(
        *asked.lines.lock().unwrap(),
        [format!("{who}: {url} 3 2 None"), format!("{who}: {url} 10 20 Some(43200)")]
    );
}

#[tokio::test]
async fn what_is_settled_goes_in_tens_and_refusals_are_told() {
    let asked = Arc::<Asked>::default();
    let (_door, queue) = queue(&asked);
    let mut messages = queue.read(wish(10)).await.unwrap();
    for _ in 0..2 {
        messages.extend(queue.read(wish(3)).await.unwrap());
    }
    let errors = queue.settle(&messages).await;
    assert_eq!(errors.len(), 1);
    let sizes = |lines: &[String]| {
        let mut sizes: Vec<_> =
            lines.iter().filter_map(|l| l.split("delete ").nth(1)).map(str::to_owned).collect();
        sizes.sort();
        sizes
    };
    assert_eq!(sizes(&asked.lines.lock().unwrap()), ["10", "6"]);
    assert!(queue.settle(&[]).await.is_empty());
}

#[tokio::test]
async fn a_queue_that_is_gone_says_so() {
    let asked = Arc::new(Asked { gone: true, ..Asked::default() });
    let (door, queue) = queue(&asked);
    assert!(matches!(queue.read(wish(1)).await, Err(SourceError::Gone(_))));
    drop(door);
    assert!(matches!(queue.read(wish(1)).await, Err(SourceError::Closed)));
}

#[test]
fn only_queues_are_queues() {
    let sources = Sources::new(FrontDoorHandle::new());
    let reader = Reader { account: AccountId::DEFAULT, role_arn: String::new(), session: String::new() };
    for arn in ["", "arn:aws:sns:eu-west-1:111122223333:orders", "arn:aws:sqs:eu-west-1:1:orders"] {
        assert!(sources.queue(arn, reader.clone()).is_none(), "{arn}");
    }
}
