//! `lamplighter clock`: show a running server's time, or move it forward so that schedules, retries and expiries
//! come due at once.

use std::process::ExitCode;
use std::time::Duration;

use base::Timestamp;
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::Ending;
use crate::client::{Client, ClientArgs};
use crate::ui;

/// Show or move a running server's clock.
#[derive(Args)]
pub(crate) struct ClockCommand {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Subcommand)]
enum Action {
    /// Show the server's time (the default)
    Show,
    /// Move it forward, such as 90s, 15m, 2h, 1d or 1h30m
    Advance {
        /// How far
        #[arg(value_parser = parse_duration)]
        by: Duration,
    },
}

#[derive(Deserialize)]
struct Shown {
    now_ms: i64,
    offset_ms: i64,
}

impl ClockCommand {
    pub(crate) async fn run(self) -> Ending {
        let client = Client::new(&self.client)?;
        let answer = match self.action {
            None | Some(Action::Show) => client.admin("GET", "clock", String::new()).await?,
            Some(Action::Advance { by }) => {
                client.admin("POST", "clock", format!("{{\"advance_ms\":{}}}", by.as_millis())).await?
            }
        };
        let shown: Shown = serde_json::from_slice(&answer)
            .map_err(|error| format!("the server's answer is not its clock: {error}"))?;
        let ahead = Duration::from_millis(u64::try_from(shown.offset_ms).unwrap_or(0));
        ui::line(&format!("{} ({ahead:?} ahead of this machine)", Timestamp(shown.now_ms).iso8601()));
        Ok(ExitCode::SUCCESS)
    }
}

/// `1h30m`: numbers with the units ms, s, m, h, d.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration such as 90s, 15m, 2h, 1d or 1h30m");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part_ms = number.checked_mul(unit_ms).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part_ms)).ok_or_else(wrong)?;
        rest = &rest[digits + letters..];
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        for wrong in ["", "2", "h", "2 h", "0s", "-1s", "99999999999999999999d", "2é"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
