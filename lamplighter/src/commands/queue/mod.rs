//! `lamplighter queue`: the queues of a running server, what is in them, and a way back for what failed.
//!
//! All but `peek` is done with SQS's own operations, as any client would; `peek` looks without receiving, for which SQS
//! has no operation.

mod ls;
mod peek;
mod redrive;
mod replay;
mod sqs;

use clap::{Args, Subcommand};

use super::Ending;
use crate::client::{Client, ClientArgs};

/// Look at queues, and bring failed messages back.
#[derive(Args)]
pub(crate) struct Queue {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Subcommand)]
enum Action {
    /// List the queues and how many messages they have
    Ls(ls::Ls),
    /// Look at a queue's messages without receiving them; in a dead-letter queue, see why they failed
    Peek(peek::Peek),
    /// Move a dead-letter queue's messages back to where they came from, or to another queue
    Redrive(redrive::Redrive),
    /// Send chosen messages of a dead-letter queue back, or hand them to a function
    Replay(replay::Replay),
}

impl Queue {
    pub(crate) async fn run(self) -> Ending {
        let client = Client::new(&self.client)?;
        match self.action {
            Action::Ls(command) => command.run(&client).await,
            Action::Peek(command) => command.run(&client).await,
            Action::Redrive(command) => command.run(&client).await,
            Action::Replay(command) => command.run(&client).await,
        }
    }
}
