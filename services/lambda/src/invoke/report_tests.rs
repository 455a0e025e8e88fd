//! The form of the platform's log lines.

use base::{RequestId, Timestamp};

use super::report::{self, InitPhase, Numbers, Status};
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
    Numbers { duration_ms: 1.234, init_ms, max_memory_mib: 30, status, segment: None }
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
