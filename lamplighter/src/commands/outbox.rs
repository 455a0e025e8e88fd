//! `lamplighter outbox`: what SNS would have sent as e-mail, text message or mobile push; confirming a subscription by its
//! link; and a telephone's STOP.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

use super::Ending;
use crate::client::{Client, ClientArgs};
use crate::ui;

/// Show what would have left as e-mail, text message or push.
#[derive(Args)]
pub(crate) struct Outbox {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only this kind
    #[arg(long, global = true)]
    kind: Option<Kind>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 20, global = true)]
    limit: usize,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Subcommand)]
enum Action {
    /// Show it (the default)
    Show,
    /// Visit the link of a confirmation, by the number that `show` gives it
    Confirm {
        /// The number
        sequence: u64,
    },
    /// Answer STOP from a telephone: it gets no text messages any more
    Stop {
        /// The number, such as +15550100
        phone_number: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Email,
    EmailJson,
    Sms,
    Push,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Email => "email",
            Kind::EmailJson => "email-json",
            Kind::Sms => "sms",
            Kind::Push => "push",
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    sequence: u64,
    kind: String,
    to: String,
    at: String,
    subject: Option<String>,
    text: String,
    channel: Option<String>,
    link: Option<String>,
}

impl Outbox {
    pub(crate) async fn run(self) -> Ending {
        let client = Client::new(&self.client)?;
        match &self.action {
            None | Some(Action::Show) => self.show(&client).await,
            Some(Action::Confirm { sequence }) => self.confirm(&client, *sequence).await,
            Some(Action::Stop { phone_number }) => self.stop(&client, phone_number).await,
        }
    }

    async fn read(&self, client: &Client, after: u64, limit: usize) -> Result<Vec<Message>, String> {
        let mut path = format!("outbox?after={after}&limit={limit}");
        if let Some(account) = self.client.account() {
            path.push_str(&format!("&account={account}"));
        }
        if let Some(kind) = self.kind {
            path.push_str(&format!("&kind={}", kind.as_str()));
        }
        let answer = client.admin("GET", &path, String::new()).await?;
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| format!("the server's answer is no outbox: {error}"))?;
        Ok(answer.messages)
    }

    async fn show(&self, client: &Client) -> Ending {
        let messages = self.read(client, 0, self.limit).await?;
        if messages.is_empty() {
            ui::line("nothing would have been sent");
        }
        for message in &messages {
            message.show();
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn confirm(&self, client: &Client, sequence: u64) -> Ending {
        // The newest are given: all behind the one before it, of which it is the first.
        let found = self.read(client, sequence.saturating_sub(1), usize::MAX).await?;
        let message = found.iter().find(|message| message.sequence == sequence);
        let message = message.ok_or_else(|| format!("there is no message {sequence} in the outbox"))?;
        let link = message.link.as_deref().filter(|link| link.contains("Action=ConfirmSubscription"));
        let link = link.ok_or_else(|| format!("message {sequence} confirms nothing"))?;
        // On this server, whatever name the link has for it.
        let query = link.split_once("/?").map_or("", |(_, query)| query);
        client.visit(&format!("/?{query}")).await?;
        ui::line(&format!("{} is subscribed", message.to));
        Ok(ExitCode::SUCCESS)
    }

    async fn stop(&self, client: &Client, phone_number: &str) -> Ending {
        let body = serde_json::json!({
            "phone_number": phone_number,
            "account": self.client.account(),
            "region": self.client.region(),
        });
        client.admin("POST", "outbox/stop", body.to_string()).await?;
        ui::line(&format!("{phone_number} gets no text messages any more"));
        Ok(ExitCode::SUCCESS)
    }
}

impl Message {
    fn show(&self) {
        let channel = self.channel.as_deref().map(|channel| format!(" ({channel})")).unwrap_or_default();
        let subject = self.subject.as_deref().map(|subject| format!(": {subject}")).unwrap_or_default();
        ui::line(&format!(
            "{} {} {}{channel} to {}{subject}",
            ui::dim(&self.sequence.to_string()),
            ui::dim(&self.at),
            self.kind,
            ui::bold(&self.to),
        ));
        for line in self.text.lines() {
            ui::line(&format!("    {line}"));
        }
        if let Some(link) = self.link.as_deref().filter(|link| !self.text.contains(link)) {
            ui::line(&format!("    {}", ui::dim(link)));
        }
    }
}
