//! SQS's operations as the queue commands use them, in its JSON protocol.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Client;

/// A queue: its URL, with the account and the name that it ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueRef {
    pub(super) url: String,
    pub(super) account: String,
    pub(super) name: String,
}

impl QueueRef {
    /// From a URL.
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let mut parts = url.trim_end_matches('/').rsplit('/');
        let (name, account) = (parts.next()?, parts.next()?);
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        is_account.then(|| QueueRef {
            url: url.to_owned(),
            account: account.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The queue that a person means: a name, a URL or an ARN.
    pub(super) async fn find(client: &Client, text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return QueueRef::of_url(text).ok_or_else(|| format!("'{text}' is no queue's URL"));
        }
        let input = match text.strip_prefix("arn:").map(|arn| arn.split(':').collect::<Vec<_>>()) {
            None => json!({"QueueName": text}),
            Some(parts) => match parts[..] {
                [_, "sqs", _, account, name] => {
                    json!({"QueueName": name, "QueueOwnerAWSAccountId": account})
                }
                _ => return Err(format!("'{text}' is no queue's ARN")),
            },
        };
        let found: Result<QueueUrl, String> = client.json("sqs", "AmazonSQS.GetQueueUrl", &input).await;
        let found = found.map_err(|error| {
            let is_absent = ["NonExistentQueue", "QueueDoesNotExist"].iter().any(|code| error.contains(code));
            if is_absent {
                format!("there is no queue '{text}'; `lamplighter queue ls` lists them")
            } else {
                error
            }
        })?;
        QueueRef::of_url(&found.queue_url).ok_or_else(|| format!("'{}' is no queue's URL", found.queue_url))
    }

    /// All its attributes.
    pub(super) async fn attributes(&self, client: &Client) -> Result<BTreeMap<String, String>, String> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Attributes", default)]
            attributes: BTreeMap<String, String>,
        }
        let input = json!({"QueueUrl": self.url, "AttributeNames": ["All"]});
        let answer: Answer = client.json("sqs", "AmazonSQS.GetQueueAttributes", &input).await?;
        Ok(answer.attributes)
    }

    /// Its ARN.
    pub(super) fn arn(&self, client: &Client) -> String {
        format!("arn:aws:sqs:{}:{}:{}", client.region(), self.account, self.name)
    }

    /// Takes at most ten messages for a time.
    pub(super) async fn receive(
        &self,
        client: &Client,
        most: usize,
        lease_s: u32,
    ) -> Result<Vec<Message>, String> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Messages", default)]
            messages: Vec<Message>,
        }
        let input = json!({
            "QueueUrl": self.url, "MaxNumberOfMessages": most, "VisibilityTimeout": lease_s, "WaitTimeSeconds": 0,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let answer: Answer = client.json("sqs", "AmazonSQS.ReceiveMessage", &input).await?;
        Ok(answer.messages)
    }

    /// Deletes a message that was taken.
    pub(super) async fn delete(&self, client: &Client, message: &Message) -> Result<(), String> {
        let input = json!({"QueueUrl": self.url, "ReceiptHandle": message.receipt_handle});
        client.json("sqs", "AmazonSQS.DeleteMessage", &input).await.map(|_: Value| ())
    }

    /// Gives a message back at once.
    pub(super) async fn release(&self, client: &Client, message: &Message) -> Result<(), String> {
        let input =
            json!({"QueueUrl": self.url, "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": 0});
        client.json("sqs", "AmazonSQS.ChangeMessageVisibility", &input).await.map(|_: Value| ())
    }
}

/// An answer with a queue's URL.
#[derive(Deserialize)]
struct QueueUrl {
    #[serde(rename = "QueueUrl")]
    queue_url: String,
}

/// A received message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    pub(super) message_id: String,
    pub(super) receipt_handle: String,
    pub(super) body: String,
    #[serde(rename = "MD5OfBody", default)]
    pub(super) md5_of_body: String,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    /// As they came: they are handed on.
    #[serde(default)]
    pub(super) message_attributes: BTreeMap<String, Value>,
}

/// The last part of an ARN.
pub(super) fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_ends_with_account_and_name() {
        let queue = QueueRef::of_url("http://localhost:4566/000000000000/jobs").unwrap();
        assert_eq!((queue.account.as_str(), queue.name.as_str()), ("000000000000", "jobs"));
        assert_eq!(QueueRef::of_url("http://localhost:4566/jobs"), None);
    }
}
