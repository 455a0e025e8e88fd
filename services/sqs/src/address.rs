//! Queue URLs: how they are made, and in which forms clients send them back.
//!
//! The last two segments of the path are the owner's account and the queue's name. Host and port do not matter, but a
//! region that the URL names must be the one that the call is for: a queue of another region is reached at that region's
//! endpoint only, as at AWS. These name one: `sqs.REGION.amazonaws.com`, `REGION.queue.amazonaws.com`,
//! `sqs.REGION.localhost.localstack.cloud`, and a path `/queue/REGION/ACCOUNT/NAME`.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html>.

use base::AccountId;
use frontdoor::Call;

use crate::Sqs;
use crate::errors::SqsError;
use crate::keys::Scope;

/// Which queue a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scope: Scope,
    pub(crate) name: String,
}

impl Address {
    /// Reads `QueueUrl`.
    ///
    /// # Errors
    /// `InvalidAddress` for what is no queue URL, or one of another region.
    pub(crate) fn parse(call: &Call, url: &str) -> Result<Self, SqsError> {
        let read =
            read(url).filter(|(region, ..)| region.is_none_or(|region| region == call.region().as_str()));
        let (_, account, name) = read.ok_or_else(|| {
            SqsError::other("InvalidAddress", format!("The address {url} is not valid for this endpoint."))
        })?;
        let scope = Scope { account, region: call.region().clone() };
        Ok(Address { scope, name: name.to_owned() })
    }
}

/// The region, if the URL names one, the account and the queue's name.
fn read(url: &str) -> Option<(Option<&str>, AccountId, &str)> {
    let url = url.split(['?', '#']).next()?;
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => ("", url),
    };
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let (name, account) = (segments.next()?, segments.next()?);
    let region_of_path = match (segments.next(), segments.next()) {
        (Some(region), Some("queue")) => Some(region),
        _ => None,
    };
    if name.is_empty() {
        return None;
    }
    Some((region_of_path.or_else(|| region_of_host(host)), account.parse().ok()?, name))
}

fn region_of_host(host: &str) -> Option<&str> {
    let name = host.split(':').next()?;
    let domain =
        name.strip_suffix(".amazonaws.com").or_else(|| name.strip_suffix(".localhost.localstack.cloud"))?;
    match domain.split_once('.') {
        Some(("sqs", region)) => Some(region),
        Some((region, "queue")) => Some(region),
        // What `queue.amazonaws.com` always was.
        None if domain == "queue" => Some("us-east-1"),
        _ => None,
    }
}

impl Sqs {
    /// The URL of a queue for whoever made this call: it begins with the host that the call came to.
    pub(crate) fn url(&self, call: &Call, account: AccountId, name: &str) -> String {
        match call.host() {
            Some(host) => format!("http://{host}/{account}/{name}"),
            None => format!("{}/{account}/{name}", self.endpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_that_clients_send() {
        let account: AccountId = "123456789012".parse().unwrap();
        for (url, region) in [
            ("https://sqs.us-east-1.amazonaws.com/123456789012/q", Some("us-east-1")),
            ("https://us-west-2.queue.amazonaws.com/123456789012/q", Some("us-west-2")),
            ("https://queue.amazonaws.com/123456789012/q", Some("us-east-1")),
            ("http://localhost:4566/123456789012/q", None),
            ("http://localhost:4566/123456789012/q/", None),
            ("http://[::1]:4566/123456789012/q", None),
            ("http://sqs.eu-west-1.localhost.localstack.cloud:4566/123456789012/q", Some("eu-west-1")),
            ("http://localhost.localstack.cloud:4566/123456789012/q", None),
            ("http://localhost:4566/queue/eu-west-1/123456789012/q", Some("eu-west-1")),
            ("http://localhost:4566/queue/123456789012/q", None),
            ("/123456789012/q", None),
            ("123456789012/q", None),
        ] {
            assert_eq!(read(url), Some((region, account, "q")), "{url}");
        }
        for url in [
            "",
            "q",
            "http://localhost:4566/q",
            "http://localhost:4566",
            "http://localhost/12/q",
            "arn:aws:sqs:q",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }
}
