//! `GET /_lamplighter/outbox`: what SNS would have sent as e-mail, text message or mobile push, for the command line and
//! for tests; and `POST /_lamplighter/outbox/stop`: a telephone's owner answers STOP.
//!
//! `kind=email|email-json|sms|push`, `account=`, `after=N` (only newer than sequence N), `limit=N` (the newest N, 100
//! without it, 1000 at most). The oldest come first.

use std::sync::Arc;

use base::{AccountId, Region};
use gateway::{AdminAnswer, AdminRequest, Gateway};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use service_sns::{OutboxEntry, OutboxQuery, Sns};

/// The most records in one answer.
const MOST: usize = 1000;
/// How many there are without `limit`.
const USUAL: usize = 100;

#[derive(Serialize)]
struct Answer {
    messages: Vec<OutboxEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    phone_number: String,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    region: Option<String>,
}

/// Offers the outbox.
pub(crate) fn offer(gateway: &Gateway, sns: &Arc<Sns>, default_region: Region) {
    let reader = Arc::clone(sns);
    gateway.admin_route("outbox", move |request| {
        let answer = read(&reader, &request);
        async move { answer }
    });
    let sns = Arc::clone(sns);
    gateway.admin_route("outbox/stop", move |request| {
        let (sns, region) = (Arc::clone(&sns), default_region.clone());
        async move { stop(&sns, &request, region).await }
    });
}

fn wrong(why: &str) -> AdminAnswer {
    AdminAnswer::error(StatusCode::BAD_REQUEST, why)
}

fn failed(error: &dyn std::fmt::Display) -> AdminAnswer {
    AdminAnswer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

fn read(sns: &Sns, request: &AdminRequest) -> AdminAnswer {
    if request.method != Method::GET {
        return AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET reads the outbox");
    }
    match query(&request.query) {
        Ok(query) => match sns.outbox(&query) {
            Ok(messages) => AdminAnswer::ok(&Answer { messages }),
            Err(error) => failed(&error),
        },
        Err(why) => wrong(&why),
    }
}

fn query(text: &str) -> Result<OutboxQuery, String> {
    let mut query = OutboxQuery { account: AccountId::DEFAULT, kind: None, after: 0, limit: USUAL };
    for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        let no_number = || format!("'{name}={value}': {value} is no number");
        match name {
            "kind" => query.kind = Some(value.parse()?),
            "account" => query.account = value.parse().map_err(|error| format!("{error}"))?,
            "after" => query.after = value.parse().map_err(|_| no_number())?,
            "limit" => query.limit = value.parse::<usize>().map_err(|_| no_number())?.min(MOST),
            _ => return Err(format!("'{name}': there are kind, account, after and limit")),
        }
    }
    Ok(query)
}

async fn stop(sns: &Sns, request: &AdminRequest, default_region: Region) -> AdminAnswer {
    if request.method != Method::POST {
        return AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "POST answers STOP");
    }
    let stop: Stop = match serde_json::from_slice(&request.body) {
        Ok(stop) => stop,
        Err(error) => return wrong(&format!("the body must be {{\"phone_number\": \"+..\"}}: {error}")),
    };
    let account = stop.account.map_or(Ok(AccountId::DEFAULT), |account| account.parse());
    let region = stop.region.map_or(Ok(default_region), |region| region.parse());
    let (Ok(account), Ok(region)) = (account, region) else {
        return wrong("account and region are no such");
    };
    match sns.answer_stop(account, region, stop.phone_number).await {
        Ok(true) => AdminAnswer::ok(&Stopped { stopped: true }),
        Ok(false) => wrong("the phone number must be as +15550100"),
        Err(error) => failed(&error),
    }
}

#[derive(Serialize)]
struct Stopped {
    stopped: bool,
}
