//! `lamplighter run DIR`: start the platform, bring a folder's SAM application up, call each function once, serve on.
//!
//! With `--watch`, what is saved is deployed at once. It is the server of `start` and a client in one process; it
//! reaches Lambda through the front door as any client does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use base::{AccountId, Principal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use wire::Blob;

use super::Ending;
use super::start::until_stopped;
use crate::config::{ServerArgs, Settings};
use crate::sam::bring_up::{PlainSpec, Spec};
use crate::sam::build::Builder;
use crate::sam::deploy::{Deployed, deploy};
use crate::sam::function::Code;
use crate::sam::resource::Known;
use crate::sam::template::Setting;
use crate::sam::watch::{Changes, explain};
use crate::sam::{FunctionSpec, LayerSpec, SamError, Template, layer, package};
use crate::server::Server;
use crate::ui;

/// Start the platform, deploy a folder's SAM application, invoke its functions, keep serving.
#[derive(Args)]
pub(crate) struct Run {
    /// Folder with a SAM template (template.yaml, template.yml or template.json)
    folder: PathBuf,
    /// Invoke each function once and exit; exit code 2 if one of them failed
    #[arg(long, conflicts_with = "watch")]
    once: bool,
    /// Deploy again whenever a file is saved
    #[arg(long)]
    watch: bool,
    /// Value of a template parameter; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = parse_parameter)]
    parameters: Vec<(String, String)>,
    #[command(flatten)]
    server: ServerArgs,
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("'{text}' is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Run {
    pub(crate) async fn run(self) -> Ending {
        let settings = self.server.clone().resolve().map_err(|error| error.to_string())?;
        let application = Arc::new(Application::new(&self, &settings));
        // A template that cannot be read shall not start a server.
        application.template().map_err(|error| error.to_string())?;
        let server = Server::start(settings).await.map_err(|error| error.to_string())?;
        ui::line(&format!("lamplighter listens on {}", server.endpoint()));
        for warning in server.warnings() {
            ui::note(&format!("note: {warning}"));
        }
        let call = server.front_door().call(
            Principal::Root { account: AccountId::DEFAULT },
            AccountId::DEFAULT,
            application.setting.region.clone(),
        );
        let ending = self.serve(&application, &call).await;
        server.stop().await;
        ending
    }

    async fn serve(&self, application: &Arc<Application>, call: &Call) -> Ending {
        // Watch first: what is saved while the application is built and called must not be lost.
        let changes = if self.watch { Some(application.watch()?) } else { None };
        let mut known = Known::new();
        let brought = application.bring_up(call, None, &mut known).await?;
        for line in &brought.lines {
            ui::line(line);
        }
        let mut all_succeeded = true;
        for spec in &brought.functions {
            all_succeeded &= application.invoke(call, spec, brought.sources(&spec.name)).await?;
        }
        for (name, value) in &brought.outputs {
            ui::line(&format!("{name} = {value}"));
        }
        if self.once {
            return Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        if let Some(changes) = changes {
            ui::note("watching; press Ctrl-C to stop");
            tokio::select! {
                stopped = until_stopped() => stopped?,
                () = application.follow(call, changes, &mut known) => {}
            }
        } else {
            ui::note("serving; press Ctrl-C to stop");
            until_stopped().await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The folder that is run.
struct Application {
    folder: PathBuf,
    setting: Setting,
    runtime_map: runtimes::RuntimeMap,
}

impl Application {
    fn new(run: &Run, settings: &Settings) -> Self {
        Application {
            folder: run.folder.clone(),
            setting: Setting {
                account: AccountId::DEFAULT,
                region: settings.region.clone(),
                parameters: run.parameters.iter().cloned().collect::<BTreeMap<_, _>>(),
            },
            runtime_map: settings.runtime_map.clone(),
        }
    }

    fn template(&self) -> Result<Template, SamError> {
        Template::read(&self.folder, &self.setting)
    }

    /// Brings up all resources, each after those it needs; or only those that the changed paths belong to.
    async fn bring_up(
        self: &Arc<Self>,
        call: &Call,
        changed: Option<&BTreeSet<PathBuf>>,
        known: &mut Known,
    ) -> Result<BroughtUp, String> {
        let mut template = self.template().map_err(|error| error.to_string())?;
        let path = template.path.clone();
        let concerned =
            |content: Option<&Path>| changed.is_none_or(|changed| concerns(changed, &path, content));
        let is_about_template = concerned(None);
        let mut brought = BroughtUp::default();
        for resource in template.resources.clone() {
            let id = &resource.logical_id;
            template.learn(known);
            match template.spec(&resource).map_err(|error| error.to_string())? {
                Spec::Layer(spec) if concerned(Some(&spec.content)) => {
                    let arn = self.bring_up_layer(call, &spec, &mut brought).await?;
                    known.insert((id.clone(), None), arn);
                }
                Spec::Layer(_) => {}
                Spec::Function(spec) => {
                    let has_new_layer = spec.layers.iter().any(|arn| brought.fresh_layers.contains(arn));
                    if has_new_layer || concerned(spec.code.path()) {
                        self.bring_up_function(call, &spec).await?;
                    }
                    brought.functions.push(*spec);
                }
                Spec::Plain(spec) => {
                    if is_about_template {
                        self.bring_up_plain(call, id, &spec, known, changed.is_none()).await?;
                    }
                    brought.note(&spec, known.get(&(id.clone(), None)));
                }
            }
        }
        template.learn(known);
        brought.outputs = template.outputs().map_err(|error| error.to_string())?;
        Ok(brought)
    }

    /// Publishes a layer if its content changed; its ARN.
    async fn bring_up_layer(
        &self,
        call: &Call,
        spec: &LayerSpec,
        brought: &mut BroughtUp,
    ) -> Result<String, String> {
        let package = self.package_layer(spec).await?;
        let (arn, is_new) = layer::deploy(&anew(call), spec, package)
            .await
            .map_err(|error| format!("{}: {error}", spec.logical_id))?;
        ui::progress(&format!("{arn} {}", if is_new { "published" } else { "unchanged" }));
        if is_new {
            brought.fresh_layers.insert(arn.clone());
        }
        Ok(arn)
    }

    async fn bring_up_function(self: &Arc<Self>, call: &Call, spec: &FunctionSpec) -> Result<(), String> {
        let started = Instant::now();
        let package = self.package(spec).await?;
        let deployed = deploy(&anew(call), spec, package)
            .await
            .map_err(|error| format!("{}: {error}", spec.logical_id))?;
        ui::progress(&told(&spec.name, deployed, started));
        Ok(())
    }

    async fn bring_up_plain(
        &self,
        call: &Call,
        logical_id: &str,
        spec: &PlainSpec,
        known: &mut Known,
        is_first: bool,
    ) -> Result<(), String> {
        let started = Instant::now();
        let brought = spec.bring_up(&anew(call)).await.map_err(|error| format!("{logical_id}: {error}"))?;
        if let Some(label) = spec.label(logical_id)
            && (is_first || brought.deployed != Deployed::Unchanged)
        {
            ui::progress(&told(&label, brought.deployed, started));
        }
        for (attribute, value) in brought.values {
            if let (PlainSpec::Url(spec), Some("FunctionUrl")) = (spec, attribute) {
                ui::line(&format!("{} is at {value}", spec.function_name));
            }
            known.insert((logical_id.to_owned(), attribute), value);
        }
        Ok(())
    }

    async fn package_layer(&self, spec: &LayerSpec) -> Result<Bytes, String> {
        let content = spec.content.clone();
        let packaged = tokio::task::spawn_blocking(move || {
            if !content.exists() {
                let cause =
                    std::io::Error::new(std::io::ErrorKind::NotFound, "ContentUri names no file or folder");
                return Err(SamError::file(&content, cause));
            }
            package::package(&content)
        });
        let result = packaged.await.map_err(|error| format!("packaging ended early: {error}"))?;
        result.map_err(|error| error.to_string())
    }

    async fn package(self: &Arc<Self>, spec: &FunctionSpec) -> Result<Bytes, String> {
        let (this, spec) = (Arc::clone(self), spec.clone());
        let packaged = tokio::task::spawn_blocking(move || {
            let builder = Builder { application: &this.folder, runtime_map: &this.runtime_map };
            match (&spec.code, builder.build(&spec)?) {
                (Code::Inline(text), _) => {
                    let python = spec.runtime.as_deref().is_some_and(|runtime| runtime.starts_with("python"));
                    package::inline(if python { "index.py" } else { "index.js" }, text)
                }
                (_, Some(path)) => package::package(&path),
                (Code::Path(path), None) => package::package(path),
            }
        });
        let result = packaged.await.map_err(|error| format!("packaging ended early: {error}"))?;
        result.map_err(|error| error.to_string())
    }

    fn watch(&self) -> Result<Changes, String> {
        Changes::below(&self.folder)
            .map_err(|error| format!("{} cannot be watched: {}", self.folder.display(), explain(&error)))
    }

    /// Deploys what is saved, until watching ends. An error is told and the next save is waited for; what could not
    /// be deployed is tried again with it.
    async fn follow(self: &Arc<Self>, call: &Call, mut changes: Changes, known: &mut Known) {
        let mut pending = BTreeSet::new();
        while let Some(paths) = changes.next().await {
            pending.extend(paths);
            match self.bring_up(call, Some(&pending), known).await {
                Ok(_) => pending.clear(),
                Err(error) => ui::error(&error),
            }
        }
    }

    /// Calls one function with its event file and shows what came of it. Tells whether it succeeded. One that is fed from
    /// somewhere is called only if there is an event file for it by name.
    async fn invoke(&self, call: &Call, spec: &FunctionSpec, sources: &[String]) -> Result<bool, String> {
        if !sources.is_empty() && !self.own_event(&spec.logical_id).is_file() {
            ui::line("");
            ui::line(&format!("{}  {}", ui::bold(&spec.name), spec.runtime.as_deref().unwrap_or_default()));
            ui::line(&format!("  is fed by {}", sources.join(", ")));
            return Ok(true);
        }
        let event = self.event(&spec.logical_id)?;
        let request = InvokeRequest { function_name: &spec.name, log_type: "Tail", payload: Blob(event) };
        let answer: InvokeAnswer = anew(call)
            .service("lambda")
            .invoke("Invoke", &request)
            .await
            .map_err(|error| format!("{}: {error}", spec.logical_id))?;
        let tail = answer.log_result.and_then(|encoded| STANDARD.decode(encoded).ok()).unwrap_or_default();
        let tail = String::from_utf8_lossy(&tail);
        ui::line("");
        ui::line(&format!("{}  {}", ui::bold(&spec.name), spec.runtime.as_deref().unwrap_or_default()));
        let payload = answer.payload.map(|blob| blob.0).unwrap_or_default();
        let verdict = if answer.function_error.is_some() { "failed  " } else { "answer  " };
        ui::line(&format!("  {verdict} {}", String::from_utf8_lossy(&payload)));
        for line in tail.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix("REPORT ") {
                Some(report) => ui::line(&format!("  timing   {}", Report::parse(report))),
                None => ui::line(&format!("  log      {}", ui::dim(line))),
            }
        }
        Ok(answer.function_error.is_none())
    }

    fn own_event(&self, logical_id: &str) -> PathBuf {
        self.folder.join(format!("events/{logical_id}.json"))
    }

    /// `events/<LogicalId>.json`, else `events/event.json`, else `event.json`, else an empty object.
    fn event(&self, logical_id: &str) -> Result<Bytes, String> {
        let paths = [
            self.own_event(logical_id),
            self.folder.join("events/event.json"),
            self.folder.join("event.json"),
        ];
        match paths.iter().find(|path| path.is_file()) {
            Some(path) => {
                std::fs::read(path).map(Bytes::from).map_err(|error| format!("{}: {error}", path.display()))
            }
            None => Ok(Bytes::from_static(b"{}")),
        }
    }
}

/// What there is when all is brought up.
#[derive(Default)]
struct BroughtUp {
    functions: Vec<FunctionSpec>,
    outputs: Vec<(String, String)>,
    /// Layer versions that were published just now.
    fresh_layers: BTreeSet<String>,
    /// The queues and topics, for a person.
    lines: Vec<String>,
    /// What feeds a function, by the function's name.
    sources: BTreeMap<String, Vec<String>>,
}

impl BroughtUp {
    fn note(&mut self, spec: &PlainSpec, reference: Option<&String>) {
        match spec {
            PlainSpec::Queue(queue) => {
                let url = reference.map(String::as_str).unwrap_or_default();
                self.lines.push(format!("queue {} is at {url}", queue.name));
            }
            PlainSpec::Topic(topic) => self.lines.push(format!("topic {}", topic.name)),
            _ => {}
        }
        if let Some((function, source)) = spec.feeds() {
            self.sources.entry(function.to_owned()).or_default().push(source.to_owned());
        }
    }

    fn sources(&self, function: &str) -> &[String] {
        self.sources.get(function).map(Vec::as_slice).unwrap_or_default()
    }
}

/// What happened to something, in words.
fn told(what: &str, deployed: Deployed, since: Instant) -> String {
    format!("{what} {} in {} ms", deployed.verb(), since.elapsed().as_millis())
}

/// The same caller with a request id of its own.
fn anew(call: &Call) -> Call {
    call.front_door().call(call.principal().clone(), call.account(), call.region().clone())
}

/// Whether a change means that a function or layer with this content must be deployed again.
fn concerns(changed: &BTreeSet<PathBuf>, template: &Path, content: Option<&Path>) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let template = real(template);
    let code = content.map(real);
    changed.iter().any(|path| *path == template || code.as_ref().is_some_and(|code| path.starts_with(code)))
}

/// What a REPORT line tells, for a person.
struct Report<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Report<'a> {
    fn parse(line: &'a str) -> Self {
        Report(line.split('\t').filter_map(|field| field.trim().split_once(": ")).collect())
    }
}

impl std::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let get = |key: &str| self.0.get(key).copied().unwrap_or("?");
        match self.0.get("Init Duration") {
            Some(init) => write!(f, "cold start, init {init}, ")?,
            None => f.write_str("warm, ")?,
        }
        write!(
            f,
            "duration {}, billed {}, memory {} of {}",
            get("Duration"),
            get("Billed Duration"),
            get("Max Memory Used"),
            get("Memory Size")
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InvokeRequest<'a> {
    function_name: &'a str,
    log_type: &'a str,
    payload: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InvokeAnswer {
    function_error: Option<String>,
    log_result: Option<String>,
    payload: Option<Blob>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_in_words() {
        let line = "RequestId: a\tDuration: 1.25 ms\tBilled Duration: 40 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 38.10 ms\t";
        assert_eq!(
            Report::parse(line).to_string(),
            "cold start, init 38.10 ms, duration 1.25 ms, billed 40 ms, memory 30 MB of 128 MB"
        );
    }
}
