//! Refreshes the facts from botocore's wheel: downloads it with pip, drops the prose, writes one file per service.
//!
//! A file has one line per operation and per shape, so that a new version's changes can be read in a diff.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::facts::{Ordered, ServiceList};

/// Keys whose values are prose or hints for client libraries only.
const DROPPED: [&str; 15] = [
    "documentation",
    "documentationUrl",
    "deprecatedMessage",
    "deprecatedSince",
    "clientContextParams",
    "staticContextParams",
    "operationContextParams",
    "contextParam",
    "endpointRuleSet",
    "endpointdiscovery",
    "auth",
    "uid",
    "serviceFullName",
    "examples",
    "retryable",
];

/// Downloads, strips, writes.
pub(super) fn run(folder: &Path, version: Option<&str>) -> Result<(), String> {
    let list = ServiceList::read(folder)?;
    let version = version.unwrap_or(&list.botocore).to_owned();
    let scratch = std::env::temp_dir().join(format!("botocore-{version}-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let outcome = fetch_into(&scratch, &version, &list).and_then(|()| {
        for service in &list.services {
            let raw = scratch.join(format!("{}.json", service.id));
            let text = fs::read_to_string(&raw).map_err(|error| format!("{}: {error}", raw.display()))?;
            let stripped = strip(&text).map_err(|error| format!("{}: {error}", service.id))?;
            let target = folder.join(format!("{}.json", service.id));
            fs::write(&target, stripped).map_err(|error| format!("{}: {error}", target.display()))?;
        }
        pin(folder, &list.botocore, &version)
    });
    // The scratch folder is of no use to anybody; failing to remove it must not hide the outcome.
    let _ = fs::remove_dir_all(&scratch);
    outcome
}

fn fetch_into(scratch: &Path, version: &str, list: &ServiceList) -> Result<(), String> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]).arg(scratch);
    succeed(pip.arg(format!("botocore=={version}")))?;
    const UNPACK: &str = "\
import glob, gzip, sys, zipfile
folder, services = sys.argv[1], sys.argv[2:]
wheel = zipfile.ZipFile(glob.glob(folder + '/*.whl')[0])
for service in services:
    prefix = 'botocore/data/' + service + '/'
    names = [n for n in wheel.namelist() if n.startswith(prefix) and n.endswith('/service-2.json.gz')]
    open(folder + '/' + service + '.json', 'wb').write(gzip.decompress(wheel.read(max(names))))
";
    let mut unpack = Command::new("python3");
    unpack.args(["-c", UNPACK]).arg(scratch);
    succeed(unpack.args(list.services.iter().map(|service| &service.id)))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("python3 cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed")) }
}

/// Notes the version in `services.json`.
fn pin(folder: &Path, old: &str, new: &str) -> Result<(), String> {
    let path = folder.join("services.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = text.replacen(&format!("\"botocore\": \"{old}\""), &format!("\"botocore\": \"{new}\""), 1);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A JSON value that keeps the order of its objects and the text of its numbers.
enum Json<'a> {
    Object(Vec<(String, Json<'a>)>),
    Array(Vec<Json<'a>>),
    Simple(&'a str),
}

fn parse<'a>(raw: &'a RawValue, keep_all_keys: bool) -> Result<Json<'a>, serde_json::Error> {
    let text = raw.get().trim();
    if text.starts_with('{') {
        let entries: Ordered<&RawValue> = serde_json::from_str(text)?;
        let mut kept = Vec::new();
        for (key, value) in entries.0 {
            if keep_all_keys || !DROPPED.contains(&key.as_str()) {
                // Below these three the keys are names of operations, shapes and members, not of facts.
                let names = matches!(key.as_str(), "operations" | "shapes" | "members") && !keep_all_keys;
                kept.push((key, parse(value, names)?));
            }
        }
        return Ok(Json::Object(kept));
    }
    if text.starts_with('[') {
        let items: Vec<&RawValue> = Vec::deserialize(&mut serde_json::Deserializer::from_str(text))?;
        return items.into_iter().map(|item| parse(item, false)).collect::<Result<_, _>>().map(Json::Array);
    }
    Ok(Json::Simple(text))
}

fn strip(text: &str) -> Result<String, serde_json::Error> {
    let raw: &RawValue = serde_json::from_str(text)?;
    let mut out = String::with_capacity(text.len() / 2);
    write(&parse(raw, false)?, 0, &mut out);
    out.push('\n');
    Ok(out)
}

/// Writes compactly, with a line per entry down to the entries of `operations` and `shapes`.
fn write(json: &Json<'_>, depth: usize, out: &mut String) {
    let new_line = |out: &mut String| {
        if depth < 2 {
            out.push('\n');
        }
    };
    match json {
        Json::Simple(text) => out.push_str(text),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, 2, out);
            }
            out.push(']');
        }
        Json::Object(entries) => {
            out.push('{');
            new_line(out);
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                    new_line(out);
                }
                out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, depth + 1, out);
            }
            new_line(out);
            out.push('}');
        }
    }
}
