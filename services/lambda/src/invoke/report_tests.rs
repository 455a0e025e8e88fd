//! The form of the platform's log lines.

use base::{RequestId, Timestamp};

use super::events::Event;
use super::report::{InitPhase, Numbers, Status};
use crate::function::{FunctionConfig, LogFormat};

fn function(format: LogFormat, level: Option<&str>) -> FunctionConfig {
    FunctionConfig {
        arn: String::new(),
        name: String::new(),
        account: base::AccountId::DEFAULT,
        region: base::Region::default(),
        version: "$LATEST".to_owned(),
        key: FunctionConfig::key_of("", "$LATEST"),
        generation: 1,
        runtime: None,
        handler: None,
        role: String::new(),
        memory_mib: 128,
        timeout_s: 3,
        tmp_mib: 512,
        environment: std::collections::BTreeMap::new(),
        code: crate::function::CodeLocation {
            sha256_base64: String::new(),
            unpacked_dir: std::path::PathBuf::new(),
            size_bytes: 0,
        },
        architecture: crate::function::Architecture::host(),
        log_group: String::new(),
        log_format: format,
        application_log_level: None,
        system_log_level: level.map(str::to_owned),
        tenant_isolation: false,
        snap_start: false,
        tracing_mode: crate::function::TracingMode::PassThrough,
        layers: Vec::new(),
        opt_dir: None,
        file_systems: Vec::new(),
        dead_letter_arn: None,
    }
}

fn id() -> RequestId {
    serde_json::from_str("\"11111111-2222-3333-4444-555555555555\"").unwrap()
}

const NOW: Timestamp = Timestamp(1_795_420_000_123);

fn numbers(init_ms: Option<f64>, status: Status) -> Numbers {
    Numbers { duration_ms: 1.234, init_ms, restore_ms: None, max_memory_mib: 30, status, segment: None }
}

mod report {
    use super::*;

    pub(super) fn start(function: &FunctionConfig, id: &RequestId, now: Timestamp) -> Option<String> {
        Event::Start { function, id, trace: None }.line(function, now)
    }

    pub(super) fn end(function: &FunctionConfig, id: &RequestId) -> Option<String> {
        Event::End { id }.line(function, NOW)
    }

    pub(super) fn report(
        function: &FunctionConfig,
        id: &RequestId,
        numbers: &Numbers,
        now: Timestamp,
    ) -> Option<String> {
        Event::Report { function, id, numbers }.line(function, now)
    }

    pub(super) fn init_report(
        function: &FunctionConfig,
        duration_ms: f64,
        phase: InitPhase,
        status: &Status,
        now: Timestamp,
    ) -> Option<String> {
        Event::InitReport { phase, status, duration_ms }.line(function, now)
    }
}

#[test]
fn text_lines() {
    let function = function(LogFormat::Text, None);
    let report = |numbers: &Numbers| report::report(&function, &id(), numbers, NOW).unwrap();
    assert_eq!(
        report::start(&function, &id(), NOW).unwrap(),
        "START RequestId: 11111111-2222-3333-4444-555555555555 Version: $LATEST\n"
    );
    assert_eq!(
        report::end(&function, &id()).unwrap(),
        "END RequestId: 11111111-2222-3333-4444-555555555555\n"
    );
    assert_eq!(
        report(&numbers(None, Status::Success)),
        "REPORT RequestId: 11111111-2222-3333-4444-555555555555\tDuration: 1.23 ms\tBilled Duration: 2 ms\t\
         Memory Size: 128 MB\tMax Memory Used: 30 MB\t\n"
    );
    assert_eq!(
        report(&numbers(Some(118.511), Status::Success)),
        "REPORT RequestId: 11111111-2222-3333-4444-555555555555\tDuration: 1.23 ms\tBilled Duration: 120 ms\t\
         Memory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 118.51 ms\t\n"
    );
    let error = Status::Error { error_type: "Runtime.ExitError".to_owned() };
    assert!(
        report(&numbers(None, error.clone()))
            .ends_with("30 MB\tStatus: error\tError Type: Runtime.ExitError\n")
    );
    assert_eq!(
        report::init_report(&function, 10_008.49, InitPhase::Init, &Status::Timeout, NOW).unwrap(),
        "INIT_REPORT Init Duration: 10008.49 ms\tPhase: init\tStatus: timeout\n"
    );
    assert_eq!(
        report::init_report(&function, 5.0, InitPhase::Invoke, &error, NOW).unwrap(),
        "INIT_REPORT Init Duration: 5.00 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\n"
    );
}

#[test]
fn json_events() {
    let all = function(LogFormat::Json, None);
    assert_eq!(
        report::start(&all, &id(), NOW).unwrap(),
        "{\"time\":\"2026-11-23T07:46:40.123Z\",\"type\":\"platform.start\",\"record\":\
         {\"requestId\":\"11111111-2222-3333-4444-555555555555\",\"version\":\"$LATEST\"}}\n"
    );
    assert_eq!(report::end(&all, &id()), None);
    assert_eq!(
        report::report(&all, &id(), &numbers(Some(10.0), Status::Success), NOW).unwrap(),
        "{\"time\":\"2026-11-23T07:46:40.123Z\",\"type\":\"platform.report\",\"record\":\
         {\"requestId\":\"11111111-2222-3333-4444-555555555555\",\"metrics\":{\"durationMs\":1.234,\
         \"billedDurationMs\":12,\"memorySizeMB\":128,\"maxMemoryUsedMB\":30,\"initDurationMs\":10.0},\
         \"status\":\"success\"}}\n"
    );
    let warn = function(LogFormat::Json, Some("WARN"));
    assert_eq!(report::start(&warn, &id(), NOW), None);
    assert_eq!(report::report(&warn, &id(), &numbers(None, Status::Success), NOW), None);
    let report = report::report(&warn, &id(), &numbers(None, Status::Timeout), NOW).unwrap();
    assert!(report.contains("\"status\":\"timeout\""), "{report}");
}

#[test]
fn the_runtime_has_a_version() {
    let mut with = function(LogFormat::Text, None);
    with.runtime = Some("python3.12".to_owned());
    let line = Event::InitStart { function: &with, phase: InitPhase::Init }.line(&with, NOW).unwrap();
    let (version, arn) = line.split_once("\tRuntime Version ARN: ").unwrap();
    assert_eq!(version, "INIT_START Runtime Version: python:3.12.v1");
    assert!(arn.starts_with("arn:aws:lambda:us-east-1::runtime:"), "{arn}");
    for (runtime, version) in [("nodejs22.x", "nodejs:22.v1"), ("provided.al2023", "provided:al2023.v1")] {
        with.runtime = Some(runtime.to_owned());
        let line = Event::InitStart { function: &with, phase: InitPhase::Init }.line(&with, NOW).unwrap();
        assert!(line.contains(version), "{line}");
    }
}

#[test]
fn levels_are_aws_s() {
    let mut functions = ["DEBUG", "INFO", "WARN"].map(|level| function(LogFormat::Json, Some(level)));
    for function in &mut functions {
        function.runtime = Some("python3.12".to_owned());
    }
    let [debug, info, warn] = &functions;
    let error = Status::Error { error_type: "Runtime.ExitError".to_owned() };
    let id = id();
    let done = |status| Event::RuntimeDone { id: &id, status, duration_ms: 1.0, produced_bytes: 2 };
    let init = |status| Event::InitReport { phase: InitPhase::Init, status, duration_ms: 1.0 };
    let runtime = |status| Event::InitRuntimeDone { phase: InitPhase::Init, status };
    for event in [done(&Status::Success), init(&Status::Success), runtime(&Status::Success)] {
        assert!(event.line(debug, NOW).is_some() && event.line(info, NOW).is_none(), "{event:?}");
    }
    for event in [done(&error), init(&error), runtime(&Status::Timeout)] {
        assert!(event.line(warn, NOW).is_some(), "{event:?}");
    }
    let start = Event::InitStart { function: debug, phase: InitPhase::Init };
    assert!(start.line(info, NOW).is_some() && start.line(warn, NOW).is_none());
}

#[test]
fn records_of_the_two_schemas() {
    use super::events::Schema;
    let function = function(LogFormat::Text, None);
    let id = id();
    let done = Event::RuntimeDone { id: &id, status: &Status::Success, duration_ms: 1.5, produced_bytes: 7 };
    let (old, new) = (Schema::Logs { with_runtime_done: false }, Schema::Logs { with_runtime_done: true });
    let time = r#"{"time":"2026-11-23T07:46:40.123Z","type":"#;
    let request = r#""requestId":"11111111-2222-3333-4444-555555555555""#;
    assert_eq!(
        done.record(NOW, Schema::Telemetry).unwrap(),
        format!(
            r#"{time}"platform.runtimeDone","record":{{{request},"status":"success","metrics":{{"durationMs":1.5,"producedBytes":7}}}}}}"#
        )
    );
    assert_eq!(done.record(NOW, old), None);
    assert_eq!(
        done.record(NOW, new).unwrap(),
        format!(r#"{time}"platform.runtimeDone","record":{{{request},"status":"success"}}}}"#)
    );
    let end = Event::End { id: &id };
    assert_eq!(end.record(NOW, Schema::Telemetry), None);
    assert_eq!(end.record(NOW, old).unwrap(), format!(r#"{time}"platform.end","record":{{{request}}}}}"#));
    let numbers = numbers(None, Status::Success);
    let report = Event::Report { function: &function, id: &id, numbers: &numbers };
    assert!(report.record(NOW, Schema::Telemetry).unwrap().contains(r#""status":"success""#));
    assert!(!report.record(NOW, old).unwrap().contains("status"));
    let fault = Event::Fault { text: "RequestId: x Error: y\nZ\n" };
    assert_eq!(
        fault.record(NOW, old).unwrap(),
        format!(r#"{time}"platform.fault","record":"RequestId: x Error: y\nZ"}}"#)
    );
}
