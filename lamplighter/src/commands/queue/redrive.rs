//! `lamplighter queue redrive`: StartMessageMoveTask, and its progress until it is done.
//!
//! The task is the server's: it goes on when this command is interrupted.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::super::Ending;
use super::sqs::{QueueRef, name_of};
use crate::client::Client;
use crate::ui;

/// How often the task is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Move a dead-letter queue's messages back to where they came from, or to another queue.
#[derive(Args)]
pub(crate) struct Redrive {
    /// The dead-letter queue's name, URL or ARN
    queue: String,
    /// The queue they go to [default: each message's own]
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// So many messages a second at most, 1 to 500 [default: as fast as it goes]
    #[arg(long, value_name = "N")]
    max_rate: Option<u32>,
}

#[derive(Deserialize)]
struct Started {
    #[serde(rename = "TaskHandle")]
    _task_handle: String,
}

#[derive(Deserialize)]
struct Tasks {
    #[serde(rename = "Results", default)]
    results: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    status: String,
    #[serde(default)]
    approximate_number_of_messages_moved: u64,
    approximate_number_of_messages_to_move: Option<u64>,
    failure_reason: Option<String>,
}

impl Redrive {
    pub(crate) async fn run(self, client: &Client) -> Ending {
        let source = QueueRef::find(client, &self.queue).await?.arn(client);
        let mut input = json!({"SourceArn": source});
        if let Some(to) = &self.to {
            input["DestinationArn"] = json!(QueueRef::find(client, to).await?.arn(client));
        }
        if let Some(rate) = self.max_rate {
            input["MaxNumberOfMessagesPerSecond"] = json!(rate);
        }
        let _: Started = client.json("sqs", "AmazonSQS.StartMessageMoveTask", &input).await?;
        let mut shown = None;
        loop {
            let task = newest(client, &source).await?;
            let moved = task.approximate_number_of_messages_moved;
            match task.status.as_str() {
                "COMPLETED" => {
                    ui::line(&format!("{moved} moved from {}", name_of(&source)));
                    return Ok(ExitCode::SUCCESS);
                }
                "RUNNING" | "CANCELLING" => {
                    if shown != Some(moved) {
                        let all = task.approximate_number_of_messages_to_move;
                        let of = all.map(|all| format!(" of {all}")).unwrap_or_default();
                        ui::progress(&format!("{moved}{of} moved"));
                        shown = Some(moved);
                    }
                    tokio::time::sleep(POLL).await;
                }
                other => {
                    let why = task.failure_reason.map(|why| format!(": {why}")).unwrap_or_default();
                    return Err(format!("the move is {} after {moved} messages{why}", other.to_lowercase()));
                }
            }
        }
    }
}

/// The task that was started last.
async fn newest(client: &Client, source: &str) -> Result<Task, String> {
    let input = json!({"SourceArn": source, "MaxResults": 1});
    let mut tasks: Tasks = client.json("sqs", "AmazonSQS.ListMessageMoveTasks", &input).await?;
    if tasks.results.is_empty() {
        return Err("the server knows nothing of the move any more".to_owned());
    }
    Ok(tasks.results.swap_remove(0))
}
