//! Against a front door whose services only write down what reaches them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base::{Clock, Timestamp};
use bytes::Bytes;
use frontdoor::{FrontDoor, Service};
use serde::{Deserialize, Serialize};

use super::*;
use crate::requests::object_key;

/// What a service was asked: who asked, where, and the members by name.
type Seen = Arc<Mutex<Vec<String>>>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: String,
    message_body: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, Value>,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, Value>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<wire::Blob>,
}

impl Value {
    fn line(name: &str, value: &Value) -> String {
        let bytes = value.binary_value.as_ref().map(|bytes| format!("{:?}", bytes.0));
        let text = value.string_value.clone().or(bytes).unwrap_or_default();
        format!(" {name}:{}={text}", value.data_type)
    }
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Invoke {
    function_name: String,
    invocation_type: String,
    payload: wire::Blob,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Invoked {
    status_code: i32,
}

async fn send(seen: Arc<Seen>, call: Call, request: SendMessage) -> Result<Nothing, ApiError> {
    if request.queue_url.ends_with("/none") {
        return Err(ApiError::new("QueueDoesNotExist", "The specified queue does not exist.").status(400));
    }
    let behalf = call.on_behalf().map(|on| format!("{} {}", on.source_arn, on.source_account));
    let who = format!("{} {} {:?}", call.principal().arn(), call.region(), call.source());
    let attributes = request.message_attributes.iter().chain(&request.message_system_attributes);
    let attributes: String = attributes.map(|(name, value)| Value::line(name, value)).collect();
    let ids: Vec<String> =
        request.message_group_id.into_iter().chain(request.message_deduplication_id).collect();
    let mut seen = seen.lock().unwrap();
    seen.push(who);
    seen.extend(behalf);
    seen.push(format!("{} {}{attributes} {}", request.queue_url, request.message_body, ids.join(" ")));
    Ok(Nothing {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: String,
    #[serde(rename = "AttributeNames")]
    _names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueueAttributes {
    attributes: BTreeMap<&'static str, String>,
}

/// Queues by name: one is not there, one cannot be looked at, one has the policy that its name says.
async fn attributes(
    _: Arc<Seen>,
    call: Call,
    request: GetQueueAttributes,
) -> Result<QueueAttributes, ApiError> {
    assert!(matches!(call.principal(), base::Principal::Root { account } if *account == call.account()));
    let name = request.queue_url.rsplit('/').next().unwrap_or_default();
    let effect = match name {
        "none" => return Err(ApiError::new("QueueDoesNotExist", "The specified queue does not exist.")),
        "broken" => return Err(ApiError::internal("no luck")),
        "open" => "Allow",
        "closed" => "Deny",
        _ => return Ok(QueueAttributes { attributes: BTreeMap::new() }),
    };
    let role = "arn:aws:iam::000000000000:role/service-role/worker";
    let policy = format!(
        r#"{{"Statement":{{"Effect":"{effect}","Principal":{{"AWS":"{role}"}},"Action":"sqs:SendMessage","Resource":"*"}}}}"#
    );
    Ok(QueueAttributes { attributes: BTreeMap::from([("Policy", policy)]) })
}

async fn invoke(seen: Arc<Seen>, call: Call, request: Invoke) -> Result<Invoked, ApiError> {
    let trace = call.trace_header().map(ToString::to_string).unwrap_or_default();
    let payload = String::from_utf8(request.payload.0.to_vec()).unwrap();
    let line = format!("{} {} {payload} {trace}", request.function_name, request.invocation_type);
    seen.lock().unwrap().push(line);
    Ok(Invoked { status_code: 202 })
}

struct House {
    delivery: Delivery,
    seen: Seen,
    _door: FrontDoor,
}

fn house() -> House {
    let seen = Seen::default();
    let handle = FrontDoorHandle::new();
    let state = Arc::new(Arc::clone(&seen));
    let sqs = Service::new("sqs", Arc::clone(&state))
        .on("SendMessage", send)
        .on("GetQueueAttributes", attributes)
        .build();
    let lambda = Service::new("lambda", state).on("Invoke", invoke).build();
    let door = FrontDoor::builder(Clock::frozen(Timestamp(0))).add(sqs).add(lambda).handle(&handle).build();
    House { delivery: Delivery::new(handle), seen, _door: door }
}

fn origin() -> Origin {
    Origin::Function(FunctionOrigin {
        account: AccountId::DEFAULT,
        region: Region::default(),
        function_name: "hello".to_owned(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/service-role/worker".to_owned(),
        trace_header: Some("Root=1-2-3".into()),
    })
}

fn destination(arn: &str) -> Destination {
    Destination::parse(arn).unwrap()
}

#[tokio::test]
async fn a_dead_letter_is_the_event_with_the_reason_beside_it() {
    let house = house();
    let body = Bytes::from_static(b"{\"order\":1}");
    let attributes = [
        ("RequestID".into(), Attribute::text("r-1")),
        ("ErrorCode".into(), Attribute::number(200_u16)),
        ("ErrorMessage".into(), Attribute::text("boom")),
    ];
    let message = Message::DeadLetter { body: &body, attributes: &attributes };
    let queue = destination("arn:aws:sqs:eu-west-1:000000000000:dead");
    house.delivery.deliver(&queue, &origin(), &message).await.unwrap();
    assert_eq!(
        *house.seen.lock().unwrap(),
        [
            "arn:aws:sts::000000000000:assumed-role/worker/hello eu-west-1 Service(\"lambda\")",
            "http://localhost/000000000000/dead {\"order\":1} ErrorCode:Number=200 ErrorMessage:String=boom \
             RequestID:String=r-1 AWSTraceHeader:String=Root=1-2-3 ",
        ]
    );
}

#[tokio::test]
async fn a_service_hands_over_on_behalf_of_a_resource() {
    let house = house();
    let topic = "arn:aws:sns:eu-west-1:111122223333:orders.fifo";
    let origin = Origin::service(
        "sns.amazonaws.com",
        topic,
        "111122223333".parse().unwrap(),
        "eu-west-1".parse().unwrap(),
    );
    let body = Bytes::from_static(b"hello");
    let attributes = [
        ("photo".into(), Attribute::binary(&b"\x01\x02"[..])),
        ("kinds".into(), Attribute { data_type: "String.Array".into(), ..Attribute::text("[1]") }),
    ];
    let trace = Arc::from("Root=1-4-5");
    let message = Message::Plain(Plain {
        body: &body,
        attributes: &attributes,
        group_id: Some("g"),
        dedup_id: Some("d"),
        trace_header: Some(&trace),
    });
    let queue = destination("arn:aws:sqs:eu-west-1:000000000000:in.fifo");
    house.delivery.deliver(&queue, &origin, &message).await.unwrap();
    let function = destination("arn:aws:lambda:us-east-1:000000000000:function:next");
    house.delivery.deliver(&function, &origin, &message).await.unwrap();
    assert_eq!(
        *house.seen.lock().unwrap(),
        [
            "sns.amazonaws.com eu-west-1 Service(\"sns\")".to_owned(),
            format!("{topic} 111122223333"),
            "http://localhost/000000000000/in.fifo hello kinds:String.Array=[1] photo:Binary=b\"\\x01\\x02\" \
             AWSTraceHeader:String=Root=1-4-5 g d"
                .to_owned(),
            format!("{function} Event hello Root=1-4-5"),
        ]
    );
}

#[tokio::test]
async fn a_function_is_invoked_asynchronously_within_the_trace() {
    let house = house();
    let body = Bytes::from_static(b"{}");
    let message = Message::Record { body: &body, success: true, at: Timestamp(0) };
    let function = destination("arn:aws:lambda:us-east-1:000000000000:function:next:live");
    house.delivery.deliver(&function, &origin(), &message).await.unwrap();
    assert_eq!(*house.seen.lock().unwrap(), [format!("{function} Event {{}} Root=1-2-3")]);
}

#[tokio::test]
async fn what_is_refused_is_not_worth_another_try() {
    let house = house();
    let body = Bytes::from_static(b"{}");
    let message = Message::DeadLetter { body: &body, attributes: &[] };
    let queue = destination("arn:aws:sqs:us-east-1:000000000000:none");
    let error = house.delivery.deliver(&queue, &origin(), &message).await.unwrap_err();
    assert!(!error.may_pass() && error.to_string().contains("does not exist"), "{error}");
    let topic = destination("arn:aws:sns:us-east-1:000000000000:t");
    assert!(!house.delivery.has(Kind::Topic) && house.delivery.has(Kind::Queue));
    let error = house.delivery.deliver(&topic, &origin(), &message).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no Amazon SNS here yet");
    assert!(!error.may_pass());
    let busy = DeliveryError::Refused(ApiError::new("ServiceException", "busy").status(503));
    assert!(busy.may_pass());
    let throttled = DeliveryError::Refused(ApiError::new("RequestThrottled", "slower"));
    assert!(throttled.may_pass());
}

#[tokio::test]
async fn how_an_origin_stands_with_a_target_is_known_before() {
    let house = house();
    for (queue, standing) in [
        ("000000000000:own", Standing::Open),
        ("000000000000:open", Standing::Open),
        ("000000000000:closed", Standing::Closed),
        ("000000000000:none", Standing::Missing),
        ("000000000000:broken", Standing::Open),
        ("111122223333:own", Standing::Closed),
        ("111122223333:open", Standing::Open),
        ("111122223333:closed", Standing::Closed),
    ] {
        let queue = destination(&format!("arn:aws:sqs:us-east-1:{queue}"));
        assert_eq!(house.delivery.standing(&queue, &origin()).await.unwrap(), standing, "{queue}");
    }
    let sns = Origin::service("sns.amazonaws.com", "arn:t", AccountId::DEFAULT, Region::default());
    let own = destination("arn:aws:sqs:us-east-1:000000000000:own");
    assert_eq!(
        house.delivery.standing(&own, &sns).await.unwrap(),
        Standing::Closed,
        "services need a policy"
    );
    let topic = destination("arn:aws:sns:us-east-1:000000000000:t");
    assert!(matches!(house.delivery.standing(&topic, &origin()).await, Err(DeliveryError::NoService(_))));
    assert!(house.seen.lock().unwrap().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn without_a_platform_nothing_is_delivered() {
    let delivery = Delivery::new(FrontDoorHandle::new());
    let body = Bytes::new();
    let message = Message::DeadLetter { body: &body, attributes: &[] };
    let queue = destination("arn:aws:sqs:us-east-1:000000000000:q");
    let error = delivery.deliver(&queue, &origin(), &message).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Closed));
}

#[test]
fn only_five_kinds_are_targets() {
    let kind = |arn: &str| Destination::parse(arn).map(|destination| destination.kind());
    assert_eq!(kind("arn:aws:lambda:us-east-1:000000000000:function:f"), Some(Kind::Function));
    assert_eq!(kind("arn:aws:sqs:us-east-1:000000000000:q"), Some(Kind::Queue));
    assert_eq!(kind("arn:aws:sns:us-east-1:000000000000:t"), Some(Kind::Topic));
    assert_eq!(kind("arn:aws:events:us-east-1:000000000000:event-bus/default"), Some(Kind::Bus));
    assert_eq!(kind("arn:aws:s3:::bucket"), Some(Kind::Bucket));
    for none in [
        "x",
        "arn:aws:lambda:us-east-1:000000000000:layer:l",
        "arn:aws:dynamodb:us-east-1:000000000000:table/t",
        "arn:aws:s3:::",
    ] {
        assert_eq!(kind(none), None, "{none}");
    }
}

#[test]
fn objects_are_named_by_function_and_moment() {
    assert_eq!(
        object_key("hello", Timestamp(1_795_420_000_123), "id"),
        "aws/lambda/async/hello/2026/11/23/2026-11-23T07.46.40-id"
    );
}
