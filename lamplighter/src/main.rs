//! `lamplighter`: the one binary. It reads the command line and hands over to `commands/`.
//!
//! It holds no logic of its own: assembly is `server.rs`, settings are `config.rs`, printing is `ui.rs`.

mod client;
mod commands;
mod config;
mod outbox;
mod queues;
mod records;
mod sam;
mod server;
mod topics;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;

/// A serverless platform you own: the AWS Lambda API and the services around it, in one binary.
#[derive(Parser)]
#[command(name = "lamplighter", version, about, long_about = None)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // The sandbox runs this same executable for its own small processes; they must branch off before anything else.
    sandbox::child_entry();
    match CommandLine::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            ui::error(&error);
            ExitCode::FAILURE
        }
    }
}
