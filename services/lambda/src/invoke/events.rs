//! The platform's events: what the log says of them as text or as JSON, and the records that extensions subscribe to.
//!
//! One event has up to three forms: a line of text, a JSON line that passes the function's system log level, and a
//! record of the Telemetry API or of the older Logs API. It decides nothing about where they go.
//!
//! Records: <https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html#runtimes-logs-api-msg>.
//! Levels: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>.

use std::fmt::Write as _;

use base::{RequestId, Timestamp};
use serde::Serialize;

use super::report::{InitPhase, Numbers, Status};
use super::trace::Segment;
use crate::function::{FunctionConfig, LogFormat};
use crate::runtime_api::SubscriptionApi;
use crate::runtime_api::extensions::Standing;
use crate::settings::runtime_version_arn;

/// The form of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    Telemetry,
    Logs { with_runtime_done: bool },
}

/// Something that the platform tells of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    InitStart {
        function: &'a FunctionConfig,
        phase: InitPhase,
    },
    /// The runtime's part of the initialisation is over.
    InitRuntimeDone {
        phase: InitPhase,
        status: &'a Status,
    },
    InitReport {
        phase: InitPhase,
        status: &'a Status,
        duration_ms: f64,
    },
    Start {
        function: &'a FunctionConfig,
        id: &'a RequestId,
        trace: Option<TraceContext<'a>>,
    },
    RuntimeDone {
        id: &'a RequestId,
        status: &'a Status,
        duration_ms: f64,
        produced_bytes: u64,
    },
    /// What went wrong, as text.
    Fault {
        text: &'a str,
    },
    End {
        id: &'a RequestId,
    },
    Report {
        function: &'a FunctionConfig,
        id: &'a RequestId,
        numbers: &'a Numbers,
    },
    Extension(&'a Standing),
    Subscription {
        api: SubscriptionApi,
        name: &'a str,
        state: &'static str,
        streams: &'a [&'static str],
    },
    LogsDropped {
        reason: &'a str,
        records: u64,
        bytes: u64,
    },
}

/// A sampled trace, with the function's segment of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceContext<'a> {
    pub(crate) header: &'a str,
    pub(crate) segment: &'a Segment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Debug,
    Info,
    Warn,
}

impl Event<'_> {
    /// What the function's log says of it, if anything.
    pub(crate) fn line(&self, function: &FunctionConfig, now: Timestamp) -> Option<String> {
        match function.log_format {
            LogFormat::Text => self.text(),
            LogFormat::Json if self.level() >= lowest(function) => {
                let mut line = match self {
                    // JSON has both in the report.
                    Event::Fault { .. } | Event::End { .. } => None,
                    other => other.record(now, Schema::Telemetry),
                }?;
                line.push('\n');
                Some(line)
            }
            LogFormat::Json => None,
        }
    }

    fn level(&self) -> Level {
        let unless_well = |status: &Status, level| match status {
            Status::Success | Status::HandlerError { .. } => level,
            Status::Error { .. } | Status::Timeout => Level::Warn,
        };
        match self {
            Event::InitStart { function, .. } if function.runtime.is_none() => Level::Debug,
            Event::InitRuntimeDone { status, .. } | Event::RuntimeDone { status, .. } => {
                unless_well(status, Level::Debug)
            }
            Event::InitReport { phase, status, .. } => {
                let is_on_demand = matches!(phase, InitPhase::Init | InitPhase::Invoke);
                unless_well(status, if is_on_demand { Level::Debug } else { Level::Info })
            }
            Event::Report { numbers, .. } => unless_well(&numbers.status, Level::Info),
            Event::Extension(standing) if !is_well(standing) => Level::Warn,
            Event::LogsDropped { .. } | Event::Fault { .. } => Level::Warn,
            _ => Level::Info,
        }
    }

    /// As the log has it in text form.
    fn text(&self) -> Option<String> {
        let line = match self {
            // A second initialisation, within a request, has no such line.
            Event::InitStart { phase: InitPhase::Invoke, .. } => return None,
            Event::InitStart { function, phase } => {
                let (version, arn) = runtime_version(function)?;
                let word = if *phase == InitPhase::Restore { "RESTORE_START" } else { "INIT_START" };
                format!("{word} Runtime Version: {version}\tRuntime Version ARN: {arn}\n")
            }
            Event::InitReport { phase: InitPhase::Snapshot, status: Status::Success, duration_ms } => {
                format!("INIT_REPORT Init Duration: {duration_ms:.2} ms\n")
            }
            Event::InitReport { phase: InitPhase::Restore, status, duration_ms } => {
                let status = match status {
                    Status::Success | Status::HandlerError { .. } => String::new(),
                    Status::Timeout => "\tStatus: timeout".to_owned(),
                    Status::Error { error_type } => format!("\tStatus: error\tError Type: {error_type}"),
                };
                format!("RESTORE_REPORT Restore Duration: {duration_ms:.2} ms{status}\n")
            }
            // Only a failed one is told in text.
            Event::InitReport { status: Status::Success, .. }
            | Event::InitRuntimeDone { .. }
            | Event::RuntimeDone { .. }
            | Event::LogsDropped { .. } => return None,
            Event::InitReport { phase, status, duration_ms } => {
                let status = match status {
                    Status::Timeout => "timeout".to_owned(),
                    Status::Error { error_type } => format!("error\tError Type: {error_type}"),
                    Status::Success | Status::HandlerError { .. } => "success".to_owned(),
                };
                let phase = phase.name();
                format!("INIT_REPORT Init Duration: {duration_ms:.2} ms\tPhase: {phase}\tStatus: {status}\n")
            }
            Event::Start { function, id, .. } => {
                ["START RequestId: ", id.as_str(), " Version: ", &function.version, "\n"].concat()
            }
            Event::Fault { text } => (*text).to_owned(),
            Event::End { id } => ["END RequestId: ", id.as_str(), "\n"].concat(),
            Event::Report { function, id, numbers } => report_text(function, id, numbers),
            Event::Extension(standing) => {
                let error = standing.error_type.as_ref().map(|kind| format!("\tError Type: {kind}"));
                format!(
                    "EXTENSION\tName: {}\tState: {}\tEvents: [{}]{}\n",
                    standing.name,
                    standing.state,
                    standing.events.join(", "),
                    error.unwrap_or_default()
                )
            }
            Event::Subscription { api, name, state, streams } => {
                let streams: Vec<String> = streams.iter().map(|stream| capitalised(stream)).collect();
                let api = match api {
                    SubscriptionApi::Telemetry => "TELEMETRY",
                    SubscriptionApi::Logs => "LOGS",
                };
                format!("{api}\tName: {name}\tState: {state}\tTypes: [{}]\n", streams.join(", "))
            }
        };
        Some(line)
    }

    /// The record that a subscriber gets, if its schema has such.
    pub(crate) fn record(&self, now: Timestamp, schema: Schema) -> Option<String> {
        let logs = match schema {
            Schema::Telemetry => false,
            Schema::Logs { with_runtime_done } => {
                let is_new = match self {
                    Event::InitStart { .. } | Event::InitRuntimeDone { .. } | Event::InitReport { .. } => {
                        true
                    }
                    Event::RuntimeDone { .. } => !with_runtime_done,
                    _ => false,
                };
                if is_new {
                    return None;
                }
                true
            }
        };
        Some(match self {
            Event::InitStart { phase: InitPhase::Restore, .. }
            | Event::InitRuntimeDone { phase: InitPhase::Restore, .. }
            | Event::InitReport { phase: InitPhase::Restore, .. } => self.restore_record(now)?,
            Event::InitStart { function, phase } => {
                let version = runtime_version(function);
                let (runtime_version, runtime_version_arn) = version.unzip();
                let record = InitStart {
                    initialization_type: phase.initialization_type(),
                    phase: phase.name(),
                    runtime_version,
                    runtime_version_arn,
                    function_name: &function.name,
                    function_version: &function.version,
                };
                wrap(now, "platform.initStart", &record)
            }
            Event::InitRuntimeDone { phase, status } => {
                wrap(now, "platform.initRuntimeDone", &InitDone::of(*phase, status, None))
            }
            Event::InitReport { phase, status, duration_ms } => {
                wrap(now, "platform.initReport", &InitDone::of(*phase, status, Some(*duration_ms)))
            }
            Event::Start { function, id, trace } => {
                let tracing = trace.map(Tracing::of).filter(|_| !logs);
                let record = Start { request_id: id.as_str(), version: &function.version, tracing };
                wrap(now, "platform.start", &record)
            }
            Event::RuntimeDone { id, status, duration_ms, produced_bytes } => {
                let (words, error_type) = status_words(status);
                let status = if logs && words == "error" { "failure" } else { words };
                let metrics =
                    RuntimeMetrics { duration_ms: round(*duration_ms), produced_bytes: *produced_bytes };
                let record = RuntimeDone {
                    request_id: id.as_str(),
                    status,
                    error_type: error_type.filter(|_| !logs),
                    metrics: (!logs).then_some(metrics),
                };
                wrap(now, "platform.runtimeDone", &record)
            }
            Event::Fault { text } if logs => wrap(now, "platform.fault", &text.trim_end()),
            Event::End { id } if logs => {
                wrap(now, "platform.end", &Start { request_id: id.as_str(), version: "", tracing: None })
            }
            Event::Fault { .. } | Event::End { .. } => return None,
            Event::Report { function, id, numbers } => {
                let (status, error_type) = status_words(&numbers.status);
                let record = Report {
                    request_id: id.as_str(),
                    metrics: Metrics {
                        duration_ms: round(numbers.duration_ms),
                        billed_duration_ms: Some(numbers.billed_ms()),
                        memory_size_mb: Some(function.memory_mib),
                        max_memory_used_mb: Some(numbers.max_memory_mib),
                        init_duration_ms: numbers.init_ms.map(round),
                        restore_duration_ms: numbers.restore_ms.map(round),
                        billed_restore_duration_ms: numbers.billed_restore_ms(),
                    },
                    status: (!logs).then_some(status),
                    error_type: error_type.filter(|_| !logs),
                    tracing: numbers.segment.as_ref().map(Tracing::of_segment),
                };
                wrap(now, "platform.report", &record)
            }
            Event::Extension(standing) => {
                let record = Extension {
                    name: &standing.name,
                    state: standing.state,
                    events: &standing.events,
                    error_type: standing.error_type.as_deref(),
                };
                wrap(now, "platform.extension", &record)
            }
            Event::Subscription { api, name, state, streams } => {
                let kind = match api {
                    SubscriptionApi::Telemetry => "platform.telemetrySubscription",
                    SubscriptionApi::Logs => "platform.logsSubscription",
                };
                wrap(now, kind, &Subscription { name, state, types: streams })
            }
            Event::LogsDropped { reason, records, bytes } => {
                let record = LogsDropped { reason, dropped_records: *records, dropped_bytes: *bytes };
                wrap(now, "platform.logsDropped", &record)
            }
        })
    }
}

impl Event<'_> {
    /// The record of an event of an environment's restoring.
    fn restore_record(&self, now: Timestamp) -> Option<String> {
        Some(match self {
            Event::InitStart { function, .. } => {
                let (runtime_version, runtime_version_arn) = runtime_version(function).unzip();
                let record = RestoreStart {
                    runtime_version,
                    runtime_version_arn,
                    function_name: &function.name,
                    function_version: &function.version,
                };
                wrap(now, "platform.restoreStart", &record)
            }
            Event::InitRuntimeDone { status, .. } => {
                wrap(now, "platform.restoreRuntimeDone", &RestoreDone::of(status, None))
            }
            Event::InitReport { status, duration_ms, .. } => {
                wrap(now, "platform.restoreReport", &RestoreDone::of(status, Some(*duration_ms)))
            }
            _ => return None,
        })
    }
}

fn is_well(standing: &Standing) -> bool {
    standing.error_type.is_none() && matches!(standing.state, "Ready" | "Registered")
}

/// The version of the runtime in AWS's form, and its ARN. Ours has one version of each.
fn runtime_version(function: &FunctionConfig) -> Option<(String, String)> {
    let runtime = function.runtime.as_deref()?;
    let at = runtime.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(runtime.len());
    let (language, version) = runtime.split_at(at);
    let version = version.trim_start_matches('.').trim_end_matches(".x");
    Some((format!("{language}:{version}.v1"), runtime_version_arn(runtime, &function.region)))
}

fn report_text(function: &FunctionConfig, id: &RequestId, numbers: &Numbers) -> String {
    let mut line = String::with_capacity(256);
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "REPORT RequestId: {id}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
        numbers.duration_ms,
        numbers.billed_ms(),
        function.memory_mib,
        numbers.max_memory_mib,
    );
    if let Some(init_ms) = numbers.init_ms {
        let _ = write!(line, "Init Duration: {init_ms:.2} ms\t");
    }
    if let Some((restore_ms, billed_ms)) = numbers.restore_ms.zip(numbers.billed_restore_ms()) {
        let _ =
            write!(line, "Restore Duration: {restore_ms:.2} ms\tBilled Restore Duration: {billed_ms} ms\t");
    }
    let _ = match &numbers.status {
        Status::Success | Status::HandlerError { .. } => write!(line, ""),
        Status::Timeout => write!(line, "Status: timeout"),
        Status::Error { error_type } => write!(line, "Status: error\tError Type: {error_type}"),
    };
    line.push('\n');
    if let Some(Segment { trace_id, segment_id }) = &numbers.segment {
        let _ = writeln!(line, "XRAY TraceId: {trace_id}\tSegmentId: {segment_id}\tSampled: true\t");
    }
    line
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(1.min(word.len()));
    first.to_ascii_uppercase() + rest
}

/// The lowest level that the function's log takes of the platform.
fn lowest(function: &FunctionConfig) -> Level {
    match function.system_log_level.as_deref() {
        Some("WARN") => Level::Warn,
        Some("DEBUG") => Level::Debug,
        _ => Level::Info,
    }
}

fn status_words(status: &Status) -> (&'static str, Option<&str>) {
    match status {
        Status::Success => ("success", None),
        Status::HandlerError { error_type } => ("error", error_type.as_deref()),
        Status::Timeout => ("timeout", None),
        Status::Error { error_type } => ("error", Some(error_type)),
    }
}

fn round(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

fn wrap<T: Serialize + ?Sized>(now: Timestamp, kind: &str, record: &T) -> String {
    #[derive(Serialize)]
    struct Wrapped<'a, T: ?Sized> {
        time: String,
        #[serde(rename = "type")]
        kind: &'a str,
        record: &'a T,
    }
    // These structs hold only strings and numbers: they always serialise.
    serde_json::to_string(&Wrapped { time: now.iso8601(), kind, record }).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitStart<'a> {
    initialization_type: &'static str,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_version_arn: Option<String>,
    function_name: &'a str,
    function_version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitDone<'a> {
    initialization_type: &'static str,
    phase: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Metrics>,
}

impl<'a> InitDone<'a> {
    fn of(phase: InitPhase, status: &'a Status, duration_ms: Option<f64>) -> Self {
        let (words, error_type) = status_words(status);
        let metrics = duration_ms.map(|ms| Metrics { duration_ms: round(ms), ..Metrics::default() });
        InitDone {
            initialization_type: phase.initialization_type(),
            phase: phase.name(),
            status: words,
            error_type,
            metrics,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Tracing<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tracing<'a> {
    span_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
}

impl<'a> Tracing<'a> {
    fn of(trace: TraceContext<'a>) -> Self {
        let (span_id, value) = (trace.segment.segment_id.as_str(), trace.header.to_owned());
        Tracing { span_id, kind: "X-Amzn-Trace-Id", value }
    }

    fn of_segment(segment: &'a Segment) -> Self {
        let Segment { trace_id, segment_id } = segment;
        let value = format!("Root={trace_id};Parent={segment_id};Sampled=1");
        Tracing { span_id: segment_id, kind: "X-Amzn-Trace-Id", value }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeDone<'a> {
    request_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<RuntimeMetrics>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeMetrics {
    duration_ms: f64,
    produced_bytes: u64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    billed_duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "memorySizeMB")]
    memory_size_mb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "maxMemoryUsedMB")]
    max_memory_used_mb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billed_restore_duration_ms: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreStart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_version_arn: Option<String>,
    function_name: &'a str,
    function_version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreDone<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Metrics>,
}

impl<'a> RestoreDone<'a> {
    fn of(status: &'a Status, duration_ms: Option<f64>) -> Self {
        let (status, error_type) = status_words(status);
        let metrics =
            duration_ms.map(|duration_ms| Metrics { duration_ms: round(duration_ms), ..Metrics::default() });
        RestoreDone { status, error_type, metrics }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    request_id: &'a str,
    metrics: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Tracing<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extension<'a> {
    name: &'a str,
    state: &'a str,
    events: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
}

#[derive(Serialize)]
struct Subscription<'a> {
    name: &'a str,
    state: &'a str,
    types: &'a [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogsDropped<'a> {
    reason: &'a str,
    dropped_records: u64,
    dropped_bytes: u64,
}
