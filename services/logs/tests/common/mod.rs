//! A front door with CloudWatch Logs behind it, and requests as JSON.
#![allow(dead_code)] // each test file uses its own part

use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Principal, Region, Timestamp};
use frontdoor::FrontDoor;
use lamplighter_service_logs::{Logs, LogsDeps};
use serde_json::{Value, json};
use store::{Range, Store};

/// Now, in every test's beginning.
pub(crate) const NOW: i64 = 1_700_000_000_000;
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct House {
    pub(crate) logs: Arc<Logs>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    front_door: FrontDoor,
}

impl House {
    pub(crate) fn new() -> House {
        let clock = Clock::frozen(Timestamp(NOW));
        let store = Store::in_memory().unwrap();
        let logs = Logs::new(LogsDeps { store: store.clone(), clock: clock.clone() });
        let front_door =
            FrontDoor::builder(clock.clone()).add(lamplighter_service_logs::service(logs.clone())).build();
        House { logs, clock, store, front_door }
    }

    pub(crate) async fn ask_in(
        &self,
        region: &str,
        operation: &str,
        request: Value,
    ) -> Result<Value, ApiError> {
        let account = AccountId::DEFAULT;
        let region: Region = region.parse().unwrap();
        let call = self.front_door.call(Principal::Root { account }, account, region);
        call.service("logs").invoke(operation, &request).await
    }

    pub(crate) async fn ask(&self, operation: &str, request: Value) -> Result<Value, ApiError> {
        self.ask_in("us-east-1", operation, request).await
    }

    pub(crate) async fn done(&self, operation: &str, request: Value) -> Value {
        self.ask(operation, request).await.unwrap_or_else(|error| panic!("{operation}: {error:?}"))
    }

    /// Code and message of the error that must come.
    pub(crate) async fn fails(&self, operation: &str, request: Value) -> (String, String) {
        let error = self.ask(operation, request).await.expect_err("it should fail");
        (error.code.into_owned(), error.message)
    }

    pub(crate) async fn group(&self, name: &str) {
        self.done("CreateLogGroup", json!({"logGroupName": name})).await;
    }

    pub(crate) async fn stream(&self, group: &str, name: &str) {
        self.done("CreateLogStream", json!({"logGroupName": group, "logStreamName": name})).await;
    }

    pub(crate) async fn put(&self, group: &str, stream: &str, events: &[(i64, &str)]) -> Value {
        let events: Vec<Value> =
            events.iter().map(|(time, text)| json!({"timestamp": time, "message": text})).collect();
        let request = json!({"logGroupName": group, "logStreamName": stream, "logEvents": events});
        self.done("PutLogEvents", request).await
    }

    /// How many keys the store holds in all.
    pub(crate) fn keys(&self) -> usize {
        self.store.range(Range::between(vec![0], vec![])).unwrap().len()
    }
}

pub(crate) fn pair(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

/// The messages of an answer.
pub(crate) fn messages(answer: &Value) -> Vec<String> {
    answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["message"].as_str().unwrap().into())
        .collect()
}

/// The values of one member in a list of an answer.
pub(crate) fn names(answer: &Value, list: &str, member: &str) -> Vec<String> {
    answer[list].as_array().unwrap().iter().map(|item| item[member].as_str().unwrap().into()).collect()
}
