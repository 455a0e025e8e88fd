//! `lamplighter invocations`: what ran on a server, one line each; with `--follow`, new ones as they come.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::Ending;
use crate::client::{Client, ClientArgs};
use crate::ui;

/// How often a followed server is asked.
const POLL: Duration = Duration::from_millis(300);

/// Show what ran: when, how long, how much memory, how it ended.
#[derive(Args)]
pub(crate) struct Invocations {
    /// Only this function's
    name: Option<String>,
    /// Keep showing new ones
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Deserialize)]
struct Answer {
    last: u64,
    invocations: Vec<Invocation>,
}

#[derive(Deserialize)]
struct Invocation {
    started_at: String,
    function_arn: String,
    version: String,
    alias: Option<String>,
    request_id: String,
    memory_mib: u32,
    cold: bool,
    init_ms: Option<f64>,
    duration_ms: f64,
    billed_ms: u64,
    max_memory_mib: u32,
    error: Option<String>,
    throttle: Option<String>,
}

impl Invocations {
    pub(crate) async fn run(self) -> Ending {
        let client = Client::new(&self.client)?;
        let mut since = 0;
        loop {
            let answer = client.admin("GET", &format!("invocations?since={since}"), String::new()).await?;
            let answer: Answer = serde_json::from_slice(&answer)
                .map_err(|error| format!("the server's answer is no list of invocations: {error}"))?;
            for invocation in &answer.invocations {
                if self.name.as_deref().is_none_or(|name| name == invocation.name()) {
                    ui::line(&invocation.line());
                }
            }
            let is_all = answer.invocations.is_empty();
            since = answer.last;
            match (is_all, self.follow) {
                (false, _) => {}
                (true, true) => tokio::time::sleep(POLL).await,
                (true, false) => return Ok(ExitCode::SUCCESS),
            }
        }
    }
}

impl Invocation {
    fn name(&self) -> &str {
        self.function_arn.rsplit(':').next().unwrap_or_default()
    }

    fn line(&self) -> String {
        let version = match &self.alias {
            Some(alias) => format!("{alias} ({})", self.version),
            None => self.version.clone(),
        };
        let ended = match (&self.throttle, &self.error) {
            (Some(throttle), _) => format!("throttled: {throttle}"),
            (None, Some(error)) => format!("failed: {error}"),
            (None, None) => "ok".to_owned(),
        };
        let start = match (self.cold, self.init_ms) {
            (true, Some(init_ms)) => format!(", cold start {init_ms:.0} ms"),
            (true, None) => ", cold start".to_owned(),
            (false, _) => String::new(),
        };
        format!(
            "{} {} {version}: {ended}, {:.1} ms, billed {} ms, {} of {} MB{start} {}",
            ui::dim(&self.started_at),
            ui::bold(self.name()),
            self.duration_ms,
            self.billed_ms,
            self.max_memory_mib,
            self.memory_mib,
            ui::dim(&self.request_id),
        )
    }
}
