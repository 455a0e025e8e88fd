//! GetQueueUrl, ListQueues, ListDeadLetterSourceQueues: queues by their names.

use std::sync::Arc;

use base::AccountId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{KeyReader, Range};

use crate::Sqs;
use crate::access;
use crate::errors::SqsError;
use crate::keys::{self, Scope};
use crate::operations::queues::QueueUrl;

/// The longest page, and the whole answer when no page is asked for.
const MAX_PAGE: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueUrl {
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

pub(crate) async fn get_queue_url(
    sqs: Arc<Sqs>,
    call: Call,
    request: GetQueueUrl,
) -> Result<QueueUrl, SqsError> {
    let account = match request.owner {
        Some(owner) => owner.parse::<AccountId>().map_err(|_| SqsError::NoQueue)?,
        None => call.account(),
    };
    let scope = Scope { account, region: call.region().clone() };
    let queue = sqs.find(&scope, &request.queue_name)?;
    access::permit(&call, &queue, "sqs:GetQueueUrl")?;
    Ok(QueueUrl { queue_url: sqs.url(&call, account, &queue.name) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListQueues {
    #[serde(default)]
    queue_name_prefix: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueUrls {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) async fn list_queues(
    sqs: Arc<Sqs>,
    call: Call,
    request: ListQueues,
) -> Result<QueueUrls, SqsError> {
    let scope = Scope { account: call.account(), region: call.region().clone() };
    let page = Page::of(request.max_results, request.next_token.as_deref())?;
    let (names, next_token) =
        sqs.page(keys::queues(&scope, &request.queue_name_prefix), &page, |name| keys::queue(&scope, name))?;
    let url = |name: &String| sqs.url(&call, scope.account, name);
    Ok(QueueUrls { queue_urls: names.iter().map(url).collect(), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListSources {
    queue_url: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
pub(crate) struct Sources {
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) async fn list_dead_letter_source_queues(
    sqs: Arc<Sqs>,
    call: Call,
    request: ListSources,
) -> Result<Sources, SqsError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:ListDeadLetterSourceQueues")?;
    let scope = queue.scope();
    let page = Page::of(request.max_results, request.next_token.as_deref())?;
    let (names, next_token) =
        sqs.page(keys::sources(&scope, &queue.name), &page, |name| keys::source(&scope, &queue.name, name))?;
    let url = |name: &String| sqs.url(&call, scope.account, name);
    Ok(Sources { queue_urls: names.iter().map(url).collect(), next_token })
}

/// Which part of a list is asked for.
struct Page {
    length: usize,
    /// Whether the answer tells where it goes on: only who asks for pages gets them.
    goes_on: bool,
    after: Option<String>,
}

impl Page {
    fn of(max_results: Option<i64>, token: Option<&str>) -> Result<Page, SqsError> {
        let length = match max_results {
            None => MAX_PAGE,
            Some(asked) => usize::try_from(asked)
                .ok()
                .filter(|asked| (1..=MAX_PAGE).contains(asked))
                .ok_or_else(|| {
                    SqsError::value("MaxResults", asked, "MaxResults must be an integer between 1 and 1000.")
                })?,
        };
        let read = |token: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok();
        let after = match token.filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(read(token).ok_or_else(|| {
                SqsError::value("NextToken", token, "It is not a token of an earlier answer.")
            })?),
        };
        Ok(Page { length, goes_on: max_results.is_some(), after })
    }
}

impl Sqs {
    /// The names at the ends of a range's keys, and the token of the page after them.
    fn page(
        &self,
        mut range: Range,
        page: &Page,
        key: impl Fn(&str) -> Vec<u8>,
    ) -> Result<(Vec<String>, Option<String>), SqsError> {
        if let Some(after) = &page.after {
            let mut from = key(after);
            from.push(0);
            range.from = range.from.max(from);
        }
        let rows = self.store.range(range.limit(page.length + 1))?;
        let mut names = rows.iter().map(|(key, _)| last_part(key)).collect::<Result<Vec<_>, _>>()?;
        let more = names.len() > page.length;
        names.truncate(page.length);
        let token = names.last().filter(|_| more && page.goes_on).map(|name| URL_SAFE_NO_PAD.encode(name));
        Ok((names, token))
    }
}

/// The last element of a key whose elements are texts.
fn last_part(key: &[u8]) -> Result<String, SqsError> {
    let mut reader = KeyReader::new(key);
    let mut last = String::new();
    while !reader.is_at_end() {
        last = reader.str().map_err(|error| SqsError::from(store::TxError::from(error)))?;
    }
    Ok(last)
}
