//! `lamplighter support-table`: prints `docs/support.md` from the tables of handlers and the AWS models, so that the
//! page cannot say more than the code does. `cargo xtask docs` writes the file and checks it.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::Ending;
use crate::{server, ui};

/// Print docs/support.md.
#[derive(Args)]
pub(crate) struct SupportTable {}

const HEAD: &str = "# What is supported

This page is generated from the code by `cargo xtask docs`: an operation stands here when it has a handler, a
parameter when the handler takes it. What is missing is answered with an error that names it.
";

impl SupportTable {
    pub(crate) async fn run(self) -> Ending {
        let front_door = server::for_documentation().await.map_err(|error| error.to_string())?;
        let mut page = HEAD.to_owned();
        for service in front_door.supported() {
            write_service(&mut page, &service).map_err(|_| "the page could not be written".to_owned())?;
        }
        ui::raw(page.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

fn write_service(page: &mut String, service: &frontdoor::ServiceSupport) -> std::fmt::Result {
    let (handled, rest): (Vec<_>, Vec<_>) =
        service.operations.iter().partition(|operation| operation.handled);
    writeln!(page, "\n## {}\n", service.id)?;
    writeln!(page, "{} of {} operations.\n", handled.len(), service.operations.len())?;
    writeln!(page, "| operation | parameters not supported yet | taken in part |\n| --- | --- | --- |")?;
    for operation in handled {
        let missing: Vec<String> = operation.missing.iter().map(|member| format!("`{member}`")).collect();
        let partly: Vec<String> =
            operation.partly.iter().map(|(member, taken)| format!("`{member}`: {taken}")).collect();
        let or_none = |cell: Vec<String>| if cell.is_empty() { "-".to_owned() } else { cell.join(", ") };
        writeln!(page, "| {} | {} | {} |", operation.name, or_none(missing), or_none(partly))?;
    }
    let rest: Vec<&str> = rest.iter().map(|operation| operation.name.as_str()).collect();
    if !rest.is_empty() {
        writeln!(page, "\nNot supported yet: {}.", rest.join(", "))?;
    }
    Ok(())
}
