//! The failures that the platform itself reports for a function, with AWS's types, texts and bodies.
//!
//! What a function or its runtime reports is passed on as it is; this is for what it can no longer report.
//! <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>.

use std::time::Duration;

use base::RequestId;
use bytes::Bytes;
use serde::Serialize;

use crate::runtime_api::extensions::{Fault, FaultKind};
use crate::runtime_api::{Departure, MAX_RESPONSE_BYTES, MAX_STREAM_BYTES};

/// How a request ended badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The function's time was up.
    Timeout { limit: Duration },
    /// The process ended.
    Exit(Departure),
    /// The answer was beyond 6 MiB.
    TooLarge,
    /// The streamed answer was beyond 200 MiB.
    StreamTooLarge,
    /// The streamed answer broke off, though its process went on.
    Truncated,
    /// There is nothing to start.
    Entrypoint(String),
    /// An extension failed.
    Extension(Fault),
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "errorType")]
    error_type: &'a str,
    #[serde(rename = "errorMessage")]
    message: &'a str,
}

impl Failure {
    /// AWS's error type.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Failure::Timeout { .. } => "Sandbox.Timedout",
            Failure::Exit(departure) if departure.oom_killed => "Runtime.OutOfMemory",
            Failure::Exit(_) => "Runtime.ExitError",
            Failure::TooLarge | Failure::StreamTooLarge => "Function.ResponseSizeTooLarge",
            Failure::Truncated => "Runtime.TruncatedResponse",
            Failure::Entrypoint(_) => "Runtime.InvalidEntrypoint",
            Failure::Extension(fault) => match fault.kind {
                FaultKind::Launch(_) => "Extension.LaunchError",
                FaultKind::Crash(_) => "Extension.Crash",
                FaultKind::Init(_) => "Extension.InitError",
                FaultKind::Exit(_) => "Extension.ExitError",
            },
        }
    }

    /// The answer that the caller of the function gets.
    pub(crate) fn body(&self, request_id: &RequestId) -> Bytes {
        let message = match self {
            Failure::TooLarge => too_large(MAX_RESPONSE_BYTES as u64),
            Failure::StreamTooLarge => too_large(MAX_STREAM_BYTES),
            other => format!("RequestId: {request_id} Error: {}", other.cause()),
        };
        let body = Body { error_type: self.error_type(), message: &message };
        Bytes::from(serde_json::to_vec(&body).unwrap_or_default())
    }

    /// What the log says about it, before END; `now` as in log lines.
    pub(crate) fn log_text(&self, request_id: &RequestId, now: &str) -> Option<String> {
        match self {
            Failure::Timeout { .. } => Some(format!("{now} {request_id} {}\n\n", self.cause())),
            Failure::Exit(_) | Failure::Entrypoint(_) | Failure::Extension(_) => {
                Some(format!("RequestId: {request_id} Error: {}\n{}\n", self.cause(), self.error_type()))
            }
            Failure::TooLarge | Failure::StreamTooLarge | Failure::Truncated => None,
        }
    }

    /// What it was, in one line without a request.
    pub(crate) fn reason(&self) -> String {
        format!("{}: {}", self.error_type(), self.cause())
    }

    fn cause(&self) -> String {
        match self {
            Failure::Timeout { limit } => format!("Task timed out after {:.2} seconds", limit.as_secs_f64()),
            Failure::Exit(departure) => exit_text(departure),
            Failure::TooLarge | Failure::StreamTooLarge => "Response payload size exceeded".to_owned(),
            Failure::Truncated => "The response was truncated".to_owned(),
            Failure::Entrypoint(why) => why.clone(),
            Failure::Extension(fault) => match &fault.kind {
                FaultKind::Launch(why) | FaultKind::Crash(why) => why.clone(),
                FaultKind::Init(error_type) | FaultKind::Exit(error_type) => {
                    format!("extension {} reported {error_type}", fault.extension)
                }
            },
        }
    }
}

fn too_large(limit_bytes: u64) -> String {
    format!("Response payload size exceeded maximum allowed payload size ({limit_bytes} bytes).")
}

fn exit_text(departure: &Departure) -> String {
    match (departure.signal, departure.code) {
        _ if departure.oom_killed => "Runtime exited with error: signal: killed".to_owned(),
        (None, Some(0) | None) => "Runtime exited without providing a reason".to_owned(),
        (signal, code) => format!("Runtime exited with error: {}", exit_words(code, signal)),
    }
}

/// How a process ended, in Go's words.
pub(crate) fn exit_words(code: Option<i32>, signal: Option<i32>) -> String {
    match (signal, code) {
        (Some(signal), _) => format!("signal: {}", signal_name(signal)),
        (None, code) => format!("exit status {}", code.unwrap_or_default()),
    }
}

/// The names that Go's `syscall.Signal` has, in which AWS's messages speak.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        31 => "bad system call",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RequestId {
        serde_json::from_str("\"11111111-2222-3333-4444-555555555555\"").unwrap()
    }

    fn body(failure: &Failure) -> String {
        String::from_utf8(failure.body(&id()).to_vec()).unwrap()
    }

    #[test]
    fn bodies_are_aws_s() {
        let timeout = Failure::Timeout { limit: Duration::from_secs(3) };
        assert_eq!(
            body(&timeout),
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 11111111-2222-3333-4444-555555555555 Error: Task timed out after 3.00 seconds"}"#
        );
        let exit = |code, signal, oom_killed| {
            Failure::Exit(Departure { code, signal, oom_killed, peak_memory_bytes: 0 })
        };
        assert!(
            body(&exit(Some(1), None, false)).contains("Error: Runtime exited with error: exit status 1\"")
        );
        assert!(
            body(&exit(Some(0), None, false)).contains("Error: Runtime exited without providing a reason\"")
        );
        assert!(body(&exit(None, Some(11), false)).contains("signal: segmentation fault"));
        assert_eq!(
            body(&exit(None, Some(9), true)),
            r#"{"errorType":"Runtime.OutOfMemory","errorMessage":"RequestId: 11111111-2222-3333-4444-555555555555 Error: Runtime exited with error: signal: killed"}"#
        );
        assert_eq!(
            body(&Failure::TooLarge),
            r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#
        );
        assert_eq!(
            body(&Failure::StreamTooLarge),
            r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (209715200 bytes)."}"#
        );
    }

    #[test]
    fn the_log_says_it_as_aws_does() {
        let timeout = Failure::Timeout { limit: Duration::from_millis(2500) };
        assert_eq!(
            timeout.log_text(&id(), "2026-11-23T08:00:00.000Z").unwrap(),
            "2026-11-23T08:00:00.000Z 11111111-2222-3333-4444-555555555555 Task timed out after 2.50 seconds\n\n"
        );
        let entry = Failure::Entrypoint("Couldn't find valid bootstrap(s)".to_owned());
        assert_eq!(
            entry.log_text(&id(), "").unwrap(),
            "RequestId: 11111111-2222-3333-4444-555555555555 Error: Couldn't find valid bootstrap(s)\nRuntime.InvalidEntrypoint\n"
        );
    }
}
