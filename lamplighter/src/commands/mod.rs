//! The commands, one file each. A command returns its exit code, or one line that says what failed and what to do.

mod clock;
mod docs;
mod doctor;
mod invocations;
mod invoke;
mod logs;
mod outbox;
mod queue;
mod run;
mod start;

use std::process::ExitCode;

use clap::Subcommand;

/// What a command ends with: its exit code, or the line to print.
pub(crate) type Ending = Result<ExitCode, String>;

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start the platform and serve until stopped
    Start(start::Start),
    /// Start the platform, deploy a folder's SAM application, invoke its functions, keep serving
    Run(run::Run),
    /// Invoke a function of a running server
    Invoke(invoke::Invoke),
    /// Show what ran on a running server
    Invocations(invocations::Invocations),
    /// Show a function's logs
    Logs(logs::Logs),
    /// Look at queues, and bring failed messages back
    Queue(queue::Queue),
    /// Show what SNS would have sent as e-mail, text message or push
    Outbox(outbox::Outbox),
    /// Tell which protections and runtimes are in force on this host
    Doctor(doctor::Doctor),
    /// Show or move a running server's clock
    Clock(clock::ClockCommand),
    /// Print docs/support.md, made from the handlers' own tables
    #[command(hide = true)]
    SupportTable(docs::SupportTable),
}

impl Command {
    /// Runs the command on its own runtime.
    pub(crate) fn run(self) -> Ending {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("lamplighter")
            .build()
            .map_err(|error| format!("the asynchronous runtime could not be started: {error}"))?;
        let ending = runtime.block_on(async {
            match self {
                Command::Start(command) => Box::pin(command.run()).await,
                Command::Run(command) => Box::pin(command.run()).await,
                Command::Invoke(command) => command.run().await,
                Command::Invocations(command) => command.run().await,
                Command::Logs(command) => command.run().await,
                Command::Queue(command) => Box::pin(command.run()).await,
                Command::Outbox(command) => command.run().await,
                Command::Doctor(command) => command.run().await,
                Command::Clock(command) => command.run().await,
                Command::SupportTable(command) => Box::pin(command.run()).await,
            }
        });
        // A blocking task that still runs (a build, a file) shall not hold the exit.
        runtime.shutdown_background();
        ending
    }
}
