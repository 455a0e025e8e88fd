//! `GET /_lamplighter/invocations`: the records of the last invocations, for the command line and for tests; and
//! `GET /_lamplighter/fleet`: how many environments there are, who waits, and how much memory they have; and
//! `GET /_lamplighter/events`: what became of asynchronous events and their records, by function.
//!
//! `GET /_lamplighter/failures?id=MESSAGE_ID`: why messages failed, which a function was fed with from a queue; `id` up to
//! a hundred times. Messages of which nothing is known are left out.
//!
//! Of invocations, `since=N` leaves out those up to sequence N; `limit=N` gives at most so many, 1000 without it. The oldest come
//! first, and `last` is what to ask for as `since` the next time.

use std::sync::{Arc, Weak};

use gateway::{AdminAnswer, AdminRequest, Gateway};
use http::{Method, StatusCode};
use serde::Serialize;
use service_lambda::Lambda;
use service_lambda::fleet::Fleet;
use service_lambda::mappings::Failure;
use service_lambda::metering::{InvocationRecord, Meter};

/// The most records in one answer.
const MOST: usize = 1000;

#[derive(Serialize)]
struct Answer {
    last: u64,
    invocations: Vec<Arc<InvocationRecord>>,
}

#[derive(Serialize)]
struct Failures {
    failures: Vec<Failure>,
}

/// The most messages that one request asks about.
const MOST_IDS: usize = 100;

/// Offers the fleet's records and its state, the counts of events, and what is known of messages that failed.
pub(crate) fn offer(gateway: &Gateway, fleet: &Fleet, lambda: &Arc<Lambda>) {
    let kept = Arc::downgrade(lambda);
    gateway.admin_route("failures", move |request| {
        let answer = failures(&kept, &request);
        async move { answer }
    });
    let lambda = Arc::clone(lambda);
    gateway.admin_route("events", move |request| {
        let answer = match request.method {
            Method::GET => AdminAnswer::ok(&lambda.event_counts()),
            _ => AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET reads the counts of events"),
        };
        async move { answer }
    });
    let meter = Arc::clone(fleet.meter());
    gateway.admin_route("invocations", move |request| {
        let answer = answer(&meter, &request);
        async move { answer }
    });
    let fleet = fleet.clone();
    gateway.admin_route("fleet", move |request| {
        let answer = match request.method {
            Method::GET => AdminAnswer::ok(&fleet.status()),
            _ => AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET reads the state of the fleet"),
        };
        async move { answer }
    });
}

fn failures(lambda: &Weak<Lambda>, request: &AdminRequest) -> AdminAnswer {
    if request.method != Method::GET {
        return AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET reads why messages failed");
    }
    // Ids of messages need no escapes.
    let ids: Option<Vec<&str>> = request.query.split('&').map(|pair| pair.strip_prefix("id=")).collect();
    let Some(ids) = ids.filter(|ids| ids.len() <= MOST_IDS) else {
        let why = format!("id=MESSAGE_ID is what may be asked for, up to {MOST_IDS} times");
        return AdminAnswer::error(StatusCode::BAD_REQUEST, &why);
    };
    let found = lambda.upgrade().map(|lambda| lambda.message_failures(&ids));
    match found {
        Some(Ok(failures)) => AdminAnswer::ok(&Failures { failures }),
        Some(Err(error)) => AdminAnswer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        None => AdminAnswer::error(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"),
    }
}

fn answer(meter: &Meter, request: &AdminRequest) -> AdminAnswer {
    if request.method != Method::GET {
        return AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET reads the records");
    }
    let (mut since, mut limit) = (0, MOST);
    for (name, value) in request.query.split('&').filter_map(|pair| pair.split_once('=')) {
        let number = value.parse::<u64>().ok();
        match (name, number) {
            ("since", Some(number)) => since = number,
            ("limit", Some(number)) => limit = usize::try_from(number).unwrap_or(MOST).min(MOST),
            _ => {
                return AdminAnswer::error(
                    StatusCode::BAD_REQUEST,
                    &format!("'{name}={value}': there are since and limit, both numbers"),
                );
            }
        }
    }
    let invocations = meter.since(since, limit);
    let last = invocations.last().map_or(since, |record| record.sequence);
    AdminAnswer::ok(&Answer { last, invocations })
}
