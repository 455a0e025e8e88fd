//! Small made-up services over real models: what enters, what is refused, what a handler sees.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use base::{AccountId, ApiError, Clock, Principal, Region, RequestId, Timestamp};
use futures_core::Stream;
use serde::{Deserialize, Serialize};
use wire::Doc;

use crate::{
    Answer, Authorise, BodyLimit, Call, Caller, FrontDoor, FrontDoorHandle, Service, Source, Streamed,
};

#[derive(Default)]
struct Logs {
    created: AtomicU32,
}

#[derive(Deserialize)]
struct CreateLogGroup {
    #[serde(rename = "logGroupName")]
    name: String,
    #[serde(rename = "tags")]
    tags: Option<BTreeMap<String, String>>,
}

async fn create_log_group(state: Arc<Logs>, _call: Call, input: CreateLogGroup) -> Result<(), ApiError> {
    match input.name.as_str() {
        "taken" => {
            Err(ApiError::new("ResourceAlreadyExistsException", "The specified log group already exists"))
        }
        "panic" => panic!("no paper"),
        _ => {
            let many = input.tags.map_or(0, |tags| u32::try_from(tags.len()).unwrap());
            state.created.fetch_add(1 + many, Ordering::SeqCst);
            Ok(())
        }
    }
}

#[derive(Deserialize)]
struct Empty {}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Identity {
    #[serde(rename = "Account")]
    account: String,
    #[serde(rename = "Arn")]
    arn: String,
    #[serde(rename = "UserId")]
    user_id: String,
}

/// Tells what it sees of the call.
async fn get_caller_identity(_: Arc<()>, call: Call, _: Empty) -> Result<Identity, ApiError> {
    Ok(Identity {
        account: call.account().to_string(),
        arn: call.principal().arn(),
        user_id: format!("{:?} {} {}", call.source(), call.region(), call.request_id()),
    })
}

#[derive(Deserialize)]
struct OneArn {
    #[serde(rename = "Resource")]
    resource: String,
}

#[derive(Serialize)]
struct Tags {
    #[serde(rename = "Tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct JustArn {
    #[serde(rename = "Arn")]
    arn: String,
}

/// Asks another service who it is, in its caller's name and in its own.
async fn list_tags(_: Arc<()>, call: Call, input: OneArn) -> Result<Tags, ApiError> {
    let full: Identity = call.service("sts").invoke("GetCallerIdentity", &()).await?;
    let own: JustArn =
        call.as_service("lambda.amazonaws.com").service("sts").invoke("GetCallerIdentity", &()).await?;
    let tags = [("arn", full.arn), ("seen", full.user_id), ("own", own.arn), ("resource", input.resource)];
    Ok(Tags { tags: tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() })
}

#[derive(Serialize)]
struct WrongAnswer {
    #[serde(rename = "DecodedMessage")]
    message: u32,
}

async fn wrong_answer(_: Arc<()>, _: Call, _: DecodeMessage) -> Result<WrongAnswer, ApiError> {
    Ok(WrongAnswer { message: 7 })
}

#[derive(Deserialize)]
struct DecodeMessage {
    #[serde(rename = "EncodedMessage")]
    _message: String,
}

#[derive(Serialize)]
struct Head {
    #[serde(rename = "ExecutedVersion")]
    version: &'static str,
}

#[derive(Serialize)]
enum Event {
    PayloadChunk {
        #[serde(rename = "Payload")]
        payload: wire::Blob,
    },
    InvokeComplete {
        #[serde(rename = "ErrorCode")]
        code: Option<String>,
    },
    Unheard {},
}

/// Counts down; what comes at last is the function's name.
struct Countdown {
    left: u8,
    last: String,
}

impl Stream for Countdown {
    type Item = Result<Event, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left > 0 {
            self.left -= 1;
            let payload = wire::Blob(vec![self.left].into());
            return Poll::Ready(Some(Ok(Event::PayloadChunk { payload })));
        }
        Poll::Ready(match std::mem::take(&mut self.last).as_str() {
            "" => None,
            "panic" => panic!("no paper"),
            "fail" => Some(Err(ApiError::new("ServiceException", "no luck"))),
            "unheard" => Some(Ok(Event::Unheard {})),
            other => Some(Ok(Event::InvokeComplete { code: Some(other.to_owned()) })),
        })
    }
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "FunctionName")]
    name: String,
}

async fn count_down(_: Arc<()>, _: Call, input: Named) -> Result<Streamed<Head>, ApiError> {
    Ok(Streamed::new(Head { version: "7" }, Countdown { left: 2, last: input.name }))
}

struct House {
    door: FrontDoor,
    logs: Arc<Logs>,
}

fn house() -> House {
    let logs = Arc::new(Logs::default());
    let door = FrontDoor::builder(Clock::frozen(Timestamp(0)))
        .add(
            Service::new("logs", Arc::clone(&logs))
                .on("CreateLogGroup", create_log_group)
                .body_limit("CreateLogGroup", 100, "too long")
                .build(),
        )
        .add(
            Service::new("sts", Arc::new(()))
                .on("GetCallerIdentity", get_caller_identity)
                .on("DecodeAuthorizationMessage", wrong_answer)
                .build(),
        )
        .add(
            Service::new("lambda", Arc::new(()))
                .on("ListTags", list_tags)
                .on_stream("InvokeWithResponseStream", count_down)
                .build(),
        )
        .build();
    House { door, logs }
}

fn root() -> Principal {
    Principal::Root { account: AccountId::DEFAULT }
}

fn text(value: &str) -> Doc {
    Doc::Str(value.to_owned())
}

fn members<const N: usize>(members: [(&'static str, Doc); N]) -> Doc {
    Doc::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

impl House {
    async fn enter(&self, service: &str, operation: &str, input: Doc) -> Result<Doc, ApiError> {
        let call = self.door.call(root(), AccountId::DEFAULT, Region::default());
        self.door.enter(call, service, operation, input).await
    }

    async fn create(&self, name: &str) -> Result<Doc, ApiError> {
        self.enter("logs", "CreateLogGroup", members([("logGroupName", text(name))])).await
    }
}

#[tokio::test]
async fn a_handler_gets_its_struct_and_its_state() {
    let house = house();
    assert_eq!(house.create("hello").await, Ok(Doc::empty()));
    let tags = members([("a", text("1")), ("b", text("2"))]);
    let input = members([("logGroupName", text("x")), ("tags", tags)]);
    house.enter("logs", "CreateLogGroup", input).await.unwrap();
    assert_eq!(house.logs.created.load(Ordering::SeqCst), 1 + 3);
}

#[tokio::test]
async fn an_error_of_a_handler_reaches_the_caller() {
    let error = house().create("taken").await.unwrap_err();
    assert_eq!(error.code, "ResourceAlreadyExistsException");
}

#[tokio::test]
async fn bad_input_never_reaches_a_handler() {
    let house = house();
    let error = house.create("no spaces").await.unwrap_err();
    assert!(error.message.contains("validation error detected"), "{error}");
    let error = house.enter("logs", "CreateLogGroup", Doc::empty()).await.unwrap_err();
    assert!(error.message.contains("logGroupName"), "{error}");
    assert_eq!(house.logs.created.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_struct_lacks_is_refused_by_name() {
    let input = members([("logGroupName", text("x")), ("kmsKeyId", text("key"))]);
    let error = house().enter("logs", "CreateLogGroup", input).await.unwrap_err();
    assert_eq!(error.message, "parameter kmsKeyId of operation CreateLogGroup is not supported");
    assert_eq!(error.http_status(), 400);
}

#[tokio::test]
async fn what_has_no_handler_is_refused_by_name() {
    let house = house();
    let error = house.enter("logs", "DeleteLogGroup", Doc::empty()).await.unwrap_err();
    assert_eq!(error.message, "operation DeleteLogGroup of service logs is not supported yet");
    assert_eq!(error.http_status(), 400);
    let error = house.enter("iam", "GetUser", Doc::empty()).await.unwrap_err();
    assert_eq!(error.message, "operation GetUser of service iam is not supported yet");
}

#[tokio::test]
async fn a_panic_is_the_failure_of_one_call() {
    let house = house();
    let error = house.create("panic").await.unwrap_err();
    assert_eq!((error.code.as_ref(), error.http_status()), ("InternalFailure", 500));
    assert_eq!(error.detail.as_deref(), Some("panic: no paper"));
    assert!(!error.message.contains("paper"));
    assert!(house.create("next").await.is_ok());
}

#[tokio::test]
#[cfg(debug_assertions)]
async fn an_answer_that_the_model_does_not_know_is_a_failure() {
    let input = members([("EncodedMessage", text("x"))]);
    let error = house().enter("sts", "DecodeAuthorizationMessage", input).await.unwrap_err();
    assert_eq!(error.code, "InternalFailure");
    assert!(error.detail.unwrap().contains("does not fit the model"));
}

#[tokio::test]
async fn a_service_calls_another_through_the_same_door() {
    let house = house();
    let caller = Caller {
        principal: root(),
        account: AccountId::DEFAULT,
        region: "eu-west-1".parse().unwrap(),
        request_id: RequestId::fresh(),
        source: Source::Http { peer: IpAddr::V4(Ipv4Addr::LOCALHOST) },
        trace_header: None,
        on_behalf_of: None,
        host: None,
    };
    let arn = "arn:aws:lambda:eu-west-1:000000000000:function:f";
    let call = house.door.call_from(caller.clone());
    let input = members([("Resource", text(arn))]);
    let answer = house.door.enter(call, "lambda", "ListTags", input).await.unwrap();
    let tag = |name| answer.get("Tags").and_then(|tags| tags.get(name)).and_then(Doc::as_str);
    assert_eq!(tag("arn"), Some("arn:aws:iam::000000000000:root"));
    assert_eq!(tag("own"), Some("lambda.amazonaws.com"));
    assert_eq!(tag("resource"), Some(arn));
    let seen = format!("Service(\"lambda\") eu-west-1 {}", caller.request_id);
    assert_eq!(tag("seen"), Some(seen.as_str()));
}

#[tokio::test]
async fn the_authoriser_is_asked_before_the_handler() {
    struct Nobody;
    impl Authorise for Nobody {
        fn authorise(&self, _: &Call, service: &str, operation: &str, _: &Doc) -> Result<(), ApiError> {
            Err(ApiError::new("AccessDeniedException", format!("{service}:{operation}")).status(403))
        }
    }
    let logs = Arc::new(Logs::default());
    let service = Service::new("logs", Arc::clone(&logs)).on("CreateLogGroup", create_log_group).build();
    let door =
        FrontDoor::builder(Clock::frozen(Timestamp(0))).add(service).authorise(Arc::new(Nobody)).build();
    let error = House { door, logs: Arc::clone(&logs) }.create("x").await.unwrap_err();
    assert_eq!(error.message, "logs:CreateLogGroup");
    assert_eq!(logs.created.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_handle_leads_to_the_door_while_it_stands() {
    let handle = FrontDoorHandle::new();
    assert!(handle.try_get().is_none());
    let service = Service::new("sts", Arc::new(())).on("GetCallerIdentity", get_caller_identity).build();
    let door = FrontDoor::builder(Clock::frozen(Timestamp(0))).handle(&handle).add(service).build();
    let call =
        handle.get().call(Principal::Service("x.amazonaws.com"), AccountId::DEFAULT, Region::default());
    let identity: Identity = call.service("sts").invoke("GetCallerIdentity", &()).await.unwrap();
    assert_eq!(identity.arn, "x.amazonaws.com");
    drop((call, door));
    assert!(handle.try_get().is_none());
}

#[test]
fn limits_and_support_can_be_asked() {
    let house = house();
    let limit = BodyLimit { bytes: 100, message: "too long" };
    assert_eq!(house.door.body_limit("logs", "CreateLogGroup"), Some(limit));
    assert_eq!(house.door.body_limit("logs", "DeleteLogGroup"), None);
    let support = house.door.supported();
    let ids: Vec<_> = support.iter().map(|service| service.id).collect();
    assert_eq!(ids, ["lambda", "logs", "sts"]);
    let create = support[1].operations.iter().find(|operation| operation.name == "CreateLogGroup").unwrap();
    assert!(create.handled);
    assert_eq!(create.members, ["logGroupName", "tags"]);
    assert!(create.missing.contains(&"kmsKeyId".to_owned()));
    assert!(!create.missing.contains(&"tags".to_owned()));
    assert!(support[1].operations.iter().any(|operation| !operation.handled));
}

/// All events of a countdown that ends so.
async fn events(name: &str) -> Vec<Result<Doc, ApiError>> {
    let house = house();
    let call = house.door.call(root(), AccountId::DEFAULT, Region::default());
    let input = members([("FunctionName", text(name))]);
    let answer = house.door.open(call, "lambda", "InvokeWithResponseStream", input).await.unwrap();
    let Answer::Stream { head, mut events } = answer else { panic!("no stream") };
    assert_eq!(head, members([("ExecutedVersion", text("7"))]));
    let mut all = Vec::new();
    while let Some(event) = poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await {
        all.push(event);
    }
    all
}

#[tokio::test]
async fn a_stream_of_events_follows_its_head() {
    let all = events("done").await;
    let chunk = |byte: u8| members([("PayloadChunk", members([("Payload", Doc::Blob(vec![byte].into()))]))]);
    let last = members([("InvokeComplete", members([("ErrorCode", text("done"))]))]);
    assert_eq!(all, [Ok(chunk(1)), Ok(chunk(0)), Ok(last)]);
}

#[tokio::test]
async fn a_stream_that_goes_wrong_ends_with_the_error() {
    for (name, code) in
        [("panic", "InternalFailure"), ("fail", "ServiceException"), ("unheard", "InternalFailure")]
    {
        let all = events(name).await;
        assert_eq!(all.len(), 3, "{name}");
        assert_eq!(all[2].as_ref().unwrap_err().code, code, "{name}");
    }
}

#[tokio::test]
async fn whoever_wants_a_whole_answer_gets_no_stream() {
    let input = members([("FunctionName", text("x"))]);
    let error = house().enter("lambda", "InvokeWithResponseStream", input).await.unwrap_err();
    assert_eq!(error.code, "InternalFailure");
}
