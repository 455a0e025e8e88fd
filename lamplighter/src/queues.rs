//! `GET /_lamplighter/queues/messages`: the messages of a queue as they stand, for the command line and for tests; looking
//! changes nothing.
//!
//! `queue=NAME`; `account` and `region` of the queue, the platform's own without them; `limit=N` gives at most so many, 10
//! without it; `after=POSITION` begins behind one.

use std::sync::Arc;

use base::{AccountId, Region};
use gateway::{AdminAnswer, AdminRequest, Gateway};
use http::{Method, StatusCode};
use serde::Serialize;
use service_sqs::{Peeked, Sqs};

/// The most messages in one answer.
const MOST: usize = 1000;
/// So many without a limit.
const USUAL: usize = 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    messages: Vec<Peeked>,
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Question {
    queue: String,
    account: AccountId,
    region: Region,
    limit: usize,
    after: Option<u64>,
}

/// Offers the look into queues.
pub(crate) fn offer(gateway: &Gateway, sqs: &Arc<Sqs>, region: &Region) {
    let (sqs, region) = (Arc::clone(sqs), region.clone());
    gateway.admin_route("queues/messages", move |request| {
        let (sqs, region) = (Arc::clone(&sqs), region.clone());
        async move { answer(&sqs, region, &request).await }
    });
}

async fn answer(sqs: &Sqs, region: Region, request: &AdminRequest) -> AdminAnswer {
    if request.method != Method::GET {
        return AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET looks into a queue");
    }
    let question = match Question::read(&request.query, region) {
        Ok(question) => question,
        Err(why) => return AdminAnswer::error(StatusCode::BAD_REQUEST, &why),
    };
    let Question { queue, account, region, limit, after } = question;
    match sqs.peek(account, region, &queue, limit, after).await {
        Ok(messages) => AdminAnswer::ok(&Answer { messages }),
        Err(error) => {
            let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
            AdminAnswer::error(status, &error.message)
        }
    }
}

impl Question {
    fn read(query: &str, region: Region) -> Result<Self, String> {
        let mut question =
            Question { queue: String::new(), account: AccountId::DEFAULT, region, limit: USUAL, after: None };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let wrong = || format!("'{name}={value}': there are queue, account, region, limit and after");
            match name {
                // Queue names need no percent-encoding.
                "queue" => value.clone_into(&mut question.queue),
                "account" => question.account = value.parse().map_err(|_| wrong())?,
                "region" => question.region = value.parse().map_err(|_| wrong())?,
                "limit" => question.limit = value.parse::<usize>().map_err(|_| wrong())?.min(MOST),
                "after" => question.after = Some(value.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        if question.queue.is_empty() { Err("queue=NAME is missing".to_owned()) } else { Ok(question) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_queue() {
        let read = |query: &str| Question::read(query, Region::default());
        let question = read("queue=a&account=000000000001&limit=5000&after=7").unwrap();
        assert_eq!((question.queue.as_str(), question.limit, question.after), ("a", MOST, Some(7)));
        assert!(read("limit=3").unwrap_err().contains("queue=NAME"));
        for wrong in ["queue=a&limit=x", "queue=a&account=1", "queue=a&colour=red"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
