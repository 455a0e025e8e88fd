//! `lamplighter queue ls`: one line for each queue: how many messages wait, are being handled, are delayed, and which
//! queue is whose dead-letter queue.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::super::Ending;
use super::sqs::{QueueRef, name_of};
use crate::client::Client;
use crate::ui;

/// List the queues and how many messages they have.
#[derive(Args)]
pub(crate) struct Ls {
    /// Only queues whose names begin so
    prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    queue_urls: Vec<String>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
}

/// A queue's line.
struct Row {
    name: String,
    attributes: BTreeMap<String, String>,
}

impl Ls {
    pub(crate) async fn run(self, client: &Client) -> Ending {
        let mut rows = Vec::new();
        let mut next_token: Option<String> = None;
        loop {
            let mut input = json!({"MaxResults": 1000});
            if let Some(prefix) = &self.prefix {
                input["QueueNamePrefix"] = json!(prefix);
            }
            if let Some(token) = &next_token {
                input["NextToken"] = json!(token);
            }
            let page: Listed = client.json("sqs", "AmazonSQS.ListQueues", &input).await?;
            for queue in page.queue_urls.iter().filter_map(|url| QueueRef::of_url(url)) {
                let attributes = queue.attributes(client).await?;
                rows.push(Row { name: queue.name, attributes });
            }
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
        if rows.is_empty() {
            ui::note("there are no queues");
            return Ok(ExitCode::SUCCESS);
        }
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max("QUEUE".len());
        ui::line(&ui::dim(&format!(
            "{:width$}  {:>9}  {:>9}  {:>9}",
            "QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED"
        )));
        for row in &rows {
            let count = |what: &str| row.attributes.get(what).map_or("?", String::as_str);
            let line = format!(
                "{:width$}  {:>9}  {:>9}  {:>9}  {}",
                row.name,
                count("ApproximateNumberOfMessages"),
                count("ApproximateNumberOfMessagesNotVisible"),
                count("ApproximateNumberOfMessagesDelayed"),
                ui::dim(&row.ties(&rows)),
            );
            ui::line(line.trim_end());
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Row {
    fn dead_letters(&self) -> Option<String> {
        let policy: RedrivePolicy = serde_json::from_str(self.attributes.get("RedrivePolicy")?).ok()?;
        Some(name_of(&policy.dead_letter_target_arn).to_owned())
    }

    /// Where its failed messages go, and whose failed messages it has.
    fn ties(&self, all: &[Row]) -> String {
        let of: Vec<&str> = all
            .iter()
            .filter(|other| other.dead_letters().as_deref() == Some(&self.name))
            .map(|other| other.name.as_str())
            .collect();
        let mut ties = Vec::new();
        if let Some(target) = self.dead_letters() {
            ties.push(format!("failures go to {target}"));
        }
        if !of.is_empty() {
            ties.push(format!("failures of {}", of.join(", ")));
        }
        ties.join("; ")
    }
}
