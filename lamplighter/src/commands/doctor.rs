//! `lamplighter doctor`: which protections are in force on this host, which runtimes it has, and what is missing.
//!
//! It looks for itself and needs no running server. Its exit code is 1 when functions cannot run at all.

use std::process::ExitCode;

use clap::Args;
use runtimes::RuntimeMap;

use super::Ending;
use crate::ui;

/// Tell which protections and runtimes are in force on this host.
#[derive(Args)]
pub(crate) struct Doctor {
    /// Serve one runtime with another's interpreter, as for `start`
    #[arg(long, env = "LAMPLIGHTER_RUNTIME_MAP", value_name = "RUNTIME=RUNTIME", value_delimiter = ',')]
    runtime_map: Vec<String>,
}

/// Which versions with SnapStart start from snapshots here.
fn snapshots() -> &'static str {
    match sandbox::image::restore_program() {
        Some(_) => {
            "Python functions start from snapshots; Java and .NET functions start plainly, there is no engine for them"
        }
        None => "no snapshots on this architecture: versions with SnapStart start plainly",
    }
}

impl Doctor {
    pub(crate) async fn run(self) -> Ending {
        let map = RuntimeMap::parse(&self.runtime_map).map_err(|error| error.to_string())?;
        let report = sandbox::Sandbox::doctor().await;
        ui::line(&ui::bold("Sandbox"));
        ui::line(report.to_string().trim_end());
        ui::line("");
        ui::line(&ui::bold("Runtimes"));
        ui::line(runtimes::survey(&map).to_string().trim_end());
        ui::line("");
        ui::line(&ui::bold("SnapStart"));
        ui::line(snapshots());
        Ok(if report.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
