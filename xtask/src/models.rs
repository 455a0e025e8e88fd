//! `cargo xtask models`: from the facts in `models/` to the tables in `platform/model/tables/`.
//!
//! Without a flag it writes the tables; `--check` derives them and fails when they differ from what is there;
//! `--fetch [VERSION]` first refreshes the facts from botocore (the version pinned in `models/services.json`, or the one
//! given). To add a service, add a line to `models/services.json`, fetch, and run it. See `models/README.md`.

mod compile;
mod facts;
mod fetch;

use std::fs;
use std::path::{Path, PathBuf};

use model::ServiceEntry;

use facts::{Facts, ServiceList};

/// The facts' folder and the tables' folder.
struct Folders {
    facts: PathBuf,
    tables: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the tool lies outside the project")?;
    let folders = Folders { facts: root.join("models"), tables: root.join("platform/model/tables") };
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => write(&folders),
        ["--check"] => check(&folders),
        ["--fetch"] => fetch::run(&folders.facts, None).and_then(|()| write(&folders)),
        ["--fetch", version] => fetch::run(&folders.facts, Some(version)).and_then(|()| write(&folders)),
        _ => Err("usage: cargo xtask models [--check | --fetch [VERSION]]".to_owned()),
    }
}

/// Derives every file of the tables' folder: name and content.
fn derive(folders: &Folders) -> Result<Vec<(String, Vec<u8>)>, String> {
    let list = ServiceList::read(&folders.facts)?;
    let mut files = Vec::new();
    let mut entries: Vec<ServiceEntry> = Vec::new();
    for service in &list.services {
        let facts = Facts::read(&folders.facts, &service.id)?;
        let table = compile::service(service, facts).map_err(|error| format!("{}: {error}", service.id))?;
        entries.push(ServiceEntry {
            id: table.id,
            signing_name: table.signing_name,
            api_version: table.api_version,
            target_prefix: table.target_prefix,
            protocols: table.protocols.clone(),
            has_url_member: table.url_member.is_some(),
            has_unsigned: table.operations.iter().any(|operation| operation.unsigned),
        });
        files.push((format!("{}.bin", table.id), encode(&table)?));
    }
    files.push(("index.bin".to_owned(), encode(&entries)?));
    files.push(("embedded.rs".to_owned(), embedded(&entries).into_bytes()));
    Ok(files)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, String> {
    postcard::to_stdvec(value).map_err(|error| format!("a table cannot be encoded: {error}"))
}

/// The list of tables, as the crate `model` includes it.
fn embedded(entries: &[ServiceEntry]) -> String {
    let tables: String =
        entries.iter().map(|entry| format!("    include_bytes!(\"{}.bin\"),\n", entry.id)).collect();
    format!(
        "// Derived by `cargo xtask models`; do not edit.\n\
         pub(super) static INDEX: &[u8] = include_bytes!(\"index.bin\");\n\
         pub(super) static TABLES: [&[u8]; {}] = [\n{tables}];\n",
        entries.len()
    )
}

fn write(folders: &Folders) -> Result<(), String> {
    let files = derive(folders)?;
    fs::create_dir_all(&folders.tables).map_err(|error| format!("{}: {error}", folders.tables.display()))?;
    for stale in stale_files(folders, &files)? {
        fs::remove_file(&stale).map_err(|error| format!("{}: {error}", stale.display()))?;
    }
    for (name, content) in files {
        let path = folders.tables.join(name);
        // An unchanged file is left alone: its time stamp would make cargo build the crate again.
        if fs::read(&path).is_ok_and(|old| old == content) {
            continue;
        }
        fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn check(folders: &Folders) -> Result<(), String> {
    let files = derive(folders)?;
    let differs = |(name, content): &&(String, Vec<u8>)| {
        fs::read(folders.tables.join(name)).map_or(true, |old| old != *content)
    };
    let mut wrong: Vec<String> = files.iter().filter(differs).map(|(name, _)| name.clone()).collect();
    wrong.extend(stale_files(folders, &files)?.iter().map(|path| path.display().to_string()));
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("the model tables are not current ({}): run `cargo xtask models`", wrong.join(", ")))
}

/// Files in the tables' folder that nothing derives any more.
fn stale_files(folders: &Folders, files: &[(String, Vec<u8>)]) -> Result<Vec<PathBuf>, String> {
    let Ok(listing) = fs::read_dir(&folders.tables) else { return Ok(Vec::new()) };
    let mut stale = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|error| format!("{}: {error}", folders.tables.display()))?;
        let name = entry.file_name();
        if !files.iter().any(|(known, _)| name == known.as_str()) {
            stale.push(entry.path());
        }
    }
    Ok(stale)
}
