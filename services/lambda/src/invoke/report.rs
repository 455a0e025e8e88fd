//! The platform's own log lines around a request: START, END, REPORT, INIT_REPORT, as text or as JSON events.
//!
//! Text: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html>.
//! JSON: <https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html>.

use base::{RequestId, Timestamp};
use serde::Serialize;

use super::trace::Segment;
use crate::function::{FunctionConfig, LogFormat};
use crate::runtime_api::extensions::Standing;

/// How a phase ended, for REPORT and INIT_REPORT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    Success,
    /// The handler failed in an orderly way. Only JSON tells.
    HandlerError {
        error_type: Option<String>,
    },
    Error {
        error_type: String,
    },
    Timeout,
}

/// What REPORT tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) duration_ms: f64,
    /// Initialisation that succeeded.
    pub(crate) init_ms: Option<f64>,
    pub(crate) max_memory_mib: u32,
    pub(crate) status: Status,
    /// The function's segment of a sampled trace.
    pub(crate) segment: Option<Segment>,
}

impl Numbers {
    /// Billed time: whole milliseconds, rounded up. Since August 2025 AWS bills the initialisation too.
    pub(crate) fn billed_ms(&self) -> u64 {
        let total_ms = self.duration_ms + self.init_ms.unwrap_or(0.0);
        // Durations are finite, not negative, and far below 2^53.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let billed = total_ms.max(0.0).ceil() as u64;
        billed
    }
}

/// In which phase an initialisation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitPhase {
    /// The first one.
    Init,
    /// The second one, within the first request.
    Invoke,
    /// That of a provisioned environment, before any request.
    Ahead,
}

impl InitPhase {
    fn name(self) -> &'static str {
        match self {
            InitPhase::Init | InitPhase::Ahead => "init",
            InitPhase::Invoke => "invoke",
        }
    }

    fn initialization_type(self) -> &'static str {
        match self {
            InitPhase::Init | InitPhase::Invoke => "on-demand",
            InitPhase::Ahead => "provisioned-concurrency",
        }
    }
}

/// START.
pub(crate) fn start(function: &FunctionConfig, id: &RequestId, now: Timestamp) -> Option<String> {
    match function.log_format {
        LogFormat::Text => Some(format!("START RequestId: {id} Version: {}\n", function.version)),
        LogFormat::Json if wants(function, Level::Info) => {
            #[derive(Serialize)]
            struct Start<'a> {
                #[serde(rename = "requestId")]
                request_id: &'a str,
                version: &'a str,
            }
            let record = Start { request_id: id.as_str(), version: &function.version };
            Some(event(now, "platform.start", &record))
        }
        LogFormat::Json => None,
    }
}

/// END. JSON has no such event.
pub(crate) fn end(function: &FunctionConfig, id: &RequestId) -> Option<String> {
    (function.log_format == LogFormat::Text).then(|| format!("END RequestId: {id}\n"))
}

/// A failure's text. JSON has it in the report.
pub(crate) fn failure_text(function: &FunctionConfig, text: Option<String>) -> Option<String> {
    text.filter(|_| function.log_format == LogFormat::Text)
}

#[derive(Serialize)]
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
}

/// REPORT.
pub(crate) fn report(
    function: &FunctionConfig,
    id: &RequestId,
    numbers: &Numbers,
    now: Timestamp,
) -> Option<String> {
    match function.log_format {
        LogFormat::Text => Some(report_text(function, id, numbers)),
        LogFormat::Json if wants(function, level_of(&numbers.status)) => {
            #[derive(Serialize)]
            #[serde(rename_all = "camelCase")]
            struct Report<'a> {
                request_id: &'a str,
                metrics: Metrics,
                status: &'static str,
                #[serde(skip_serializing_if = "Option::is_none")]
                error_type: Option<&'a str>,
            }
            let metrics = Metrics {
                duration_ms: round(numbers.duration_ms),
                billed_duration_ms: Some(numbers.billed_ms()),
                memory_size_mb: Some(function.memory_mib),
                max_memory_used_mb: Some(numbers.max_memory_mib),
                init_duration_ms: numbers.init_ms.map(round),
            };
            let (status, error_type) = status_words(&numbers.status);
            let record = Report { request_id: id.as_str(), metrics, status, error_type };
            Some(event(now, "platform.report", &record))
        }
        LogFormat::Json => None,
    }
}

fn report_text(function: &FunctionConfig, id: &RequestId, numbers: &Numbers) -> String {
    use std::fmt::Write as _;
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

/// INIT_REPORT: an initialisation that failed.
pub(crate) fn init_report(
    function: &FunctionConfig,
    init_ms: f64,
    phase: InitPhase,
    status: &Status,
    now: Timestamp,
) -> Option<String> {
    match function.log_format {
        LogFormat::Text => {
            let status = match status {
                Status::Timeout => "timeout".to_owned(),
                Status::Error { error_type } => format!("error\tError Type: {error_type}"),
                Status::Success | Status::HandlerError { .. } => "success".to_owned(),
            };
            let phase = phase.name();
            Some(format!("INIT_REPORT Init Duration: {init_ms:.2} ms\tPhase: {phase}\tStatus: {status}\n"))
        }
        LogFormat::Json if wants(function, level_of(status)) => {
            #[derive(Serialize)]
            #[serde(rename_all = "camelCase")]
            struct InitReport<'a> {
                initialization_type: &'static str,
                phase: &'static str,
                status: &'static str,
                #[serde(skip_serializing_if = "Option::is_none")]
                error_type: Option<&'a str>,
                metrics: Metrics,
            }
            let metrics = Metrics {
                duration_ms: round(init_ms),
                billed_duration_ms: None,
                memory_size_mb: None,
                max_memory_used_mb: None,
                init_duration_ms: None,
            };
            let (status, error_type) = status_words(status);
            let record = InitReport {
                initialization_type: phase.initialization_type(),
                phase: phase.name(),
                status,
                error_type,
                metrics,
            };
            Some(event(now, "platform.initReport", &record))
        }
        LogFormat::Json => None,
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

fn event<T: Serialize>(now: Timestamp, kind: &str, record: &T) -> String {
    #[derive(Serialize)]
    struct Event<'a, T> {
        time: String,
        #[serde(rename = "type")]
        kind: &'a str,
        record: &'a T,
    }
    // These structs hold only strings and numbers: they always serialise.
    let mut line = serde_json::to_string(&Event { time: now.iso8601(), kind, record }).unwrap_or_default();
    line.push('\n');
    line
}

fn round(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Debug,
    Info,
    Warn,
}

fn level_of(status: &Status) -> Level {
    match status {
        Status::Success | Status::HandlerError { .. } => Level::Info,
        Status::Error { .. } | Status::Timeout => Level::Warn,
    }
}

/// EXTENSION: how an extension stands when INIT is over.
pub(crate) fn extension(function: &FunctionConfig, standing: &Standing, now: Timestamp) -> Option<String> {
    let is_well = standing.error_type.is_none() && matches!(standing.state, "Ready" | "Registered");
    match function.log_format {
        LogFormat::Text => {
            let error = standing.error_type.as_ref().map(|kind| format!("\tError Type: {kind}"));
            Some(format!(
                "EXTENSION\tName: {}\tState: {}\tEvents: [{}]{}\n",
                standing.name,
                standing.state,
                standing.events.join(", "),
                error.unwrap_or_default()
            ))
        }
        LogFormat::Json if wants(function, if is_well { Level::Info } else { Level::Warn }) => {
            #[derive(Serialize)]
            #[serde(rename_all = "camelCase")]
            struct Extension<'a> {
                name: &'a str,
                state: &'a str,
                events: &'a [&'static str],
                #[serde(skip_serializing_if = "Option::is_none")]
                error_type: Option<&'a str>,
            }
            let record = Extension {
                name: &standing.name,
                state: standing.state,
                events: &standing.events,
                error_type: standing.error_type.as_deref(),
            };
            Some(event(now, "platform.extension", &record))
        }
        LogFormat::Json => None,
    }
}

/// Whether the function's system log level lets an event of `level` through.
fn wants(function: &FunctionConfig, level: Level) -> bool {
    let lowest = match function.system_log_level.as_deref() {
        Some("WARN") => Level::Warn,
        Some("DEBUG") => Level::Debug,
        _ => Level::Info,
    };
    level >= lowest
}
