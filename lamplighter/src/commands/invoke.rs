//! `lamplighter invoke NAME`: one synchronous invocation of a running server's function, as any client makes it.
//!
//! The answer goes to standard output and nothing else does, so that it can be piped; the log's tail goes to
//! standard error. Exit code 2: the function itself failed.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::{Method, Request};

use super::Ending;
use crate::client::{Client, ClientArgs, encode_segment};
use crate::ui;

/// Invoke a function of a running server.
#[derive(Args)]
pub(crate) struct Invoke {
    /// The function's name or ARN
    name: String,
    /// The event, as JSON text [default: {}]
    #[arg(long, short, conflicts_with = "event")]
    payload: Option<String>,
    /// File with the event; - for standard input
    #[arg(long, short, value_name = "FILE")]
    event: Option<PathBuf>,
    /// Do not show the log's tail
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl Invoke {
    pub(crate) async fn run(self) -> Ending {
        let payload = self.event_bytes()?;
        let client = Client::new(&self.client)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/2015-03-31/functions/{}/invocations", encode_segment(&self.name)))
            .header("x-amz-log-type", if self.quiet { "None" } else { "Tail" })
            .body(payload)
            .map_err(|error| error.to_string())?;
        let answer = client.signed("lambda", request).await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(tail) = header("x-amz-log-result").and_then(|encoded| STANDARD.decode(encoded).ok()) {
            for line in String::from_utf8_lossy(&tail).lines() {
                ui::note(&ui::dim(line));
            }
        }
        let failed = header("x-amz-function-error").is_some();
        ui::raw(answer.body());
        ui::raw(b"\n");
        Ok(if failed { ExitCode::from(2) } else { ExitCode::SUCCESS })
    }

    fn event_bytes(&self) -> Result<Bytes, String> {
        let Some(path) = &self.event else {
            return Ok(Bytes::from(self.payload.clone().unwrap_or_else(|| "{}".to_owned())));
        };
        let mut content = Vec::new();
        let read = if path.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut content)
        } else {
            std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut content))
        };
        read.map(|_| Bytes::from(content)).map_err(|error| format!("{}: {error}", path.display()))
    }
}
