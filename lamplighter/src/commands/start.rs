//! `lamplighter start`: serve until SIGINT or SIGTERM.

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::Ending;
use crate::config::ServerArgs;
use crate::server::Server;
use crate::ui;

/// Start the platform and serve until stopped.
#[derive(Args)]
pub(crate) struct Start {
    #[command(flatten)]
    server: ServerArgs,
}

impl Start {
    pub(crate) async fn run(self) -> Ending {
        let settings = self.server.resolve().map_err(|error| error.to_string())?;
        let server = Server::start(settings).await.map_err(|error| error.to_string())?;
        ui::line(&format!("lamplighter listens on {}", server.endpoint()));
        for warning in server.warnings() {
            ui::note(&format!("note: {warning}"));
        }
        until_stopped().await?;
        server.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits for the signal that ends the server.
pub(crate) async fn until_stopped() -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
