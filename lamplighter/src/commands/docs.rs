//! `lamplighter support-table`: prints `docs/support.md` from the tables of handlers and the AWS models, so that the
//! page cannot say more than the code does. `cargo xtask docs` writes the file and checks it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use model::Catalog;

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
    let Some(model) = Catalog::embedded().service(service.id) else { return Ok(()) };
    writeln!(page, "\n## {}\n", service.id)?;
    writeln!(page, "{} of {} operations.\n", service.operations.len(), model.operations.len())?;
    writeln!(page, "| operation | parameters not supported yet |\n| --- | --- |")?;
    for operation in &service.operations {
        let known: BTreeSet<&str> =
            operation.members.iter().map(|path| path.split('.').next().unwrap_or(path)).collect();
        let members = model.operation(&operation.name).and_then(model::Operation::input_shape);
        let missing: Vec<String> = members
            .map_or(&[][..], |shape| &shape.members)
            .iter()
            .filter(|member| !known.contains(member.name))
            .map(|member| format!("`{}`", member.name))
            .collect();
        let missing = if missing.is_empty() { "-".to_owned() } else { missing.join(", ") };
        writeln!(page, "| {} | {missing} |", operation.name)?;
    }
    let supported: BTreeSet<&str> =
        service.operations.iter().map(|operation| operation.name.as_str()).collect();
    let rest: Vec<&str> = model
        .operations
        .iter()
        .map(|operation| operation.name)
        .filter(|name| !supported.contains(name))
        .collect();
    if !rest.is_empty() {
        writeln!(page, "\nNot supported yet: {}.", rest.join(", "))?;
    }
    Ok(())
}
