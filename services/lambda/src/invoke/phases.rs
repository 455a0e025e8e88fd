//! The phases of an environment with extensions: when INIT ends, when INVOKE ends, and what is told of both.
//!
//! A function without extensions does not come here but for the end of its initialisation.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-extensions-api-lifecycle>.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::events::Event;
use super::failure::Failure;
use super::report::{InitPhase, Status};
use crate::fleet::{Environment, NoBox};
use crate::runtime_api::extensions::Fault;
use crate::runtime_api::{self, Departure, InitResult};

/// Why an initialisation failed.
pub(super) enum WhyInit {
    Reported { body: Bytes, error_type: Option<String> },
    Gone(Departure),
    Timeout,
    Extension(Fault),
}

impl WhyInit {
    /// What the platform has to say about it; what the runtime reported speaks for itself.
    pub(super) fn failure(&self, limit: Duration) -> Option<Failure> {
        match self {
            WhyInit::Reported { .. } => None,
            WhyInit::Gone(departure) => Some(Failure::Exit(*departure)),
            WhyInit::Timeout => Some(Failure::Timeout { limit }),
            WhyInit::Extension(fault) => Some(Failure::Extension(fault.clone())),
        }
    }
}

/// Waits for the end of INIT: external extensions register, the runtime starts, and each has asked for its first event.
pub(super) async fn initialise(
    environment: &Arc<Environment>,
    init: oneshot::Receiver<InitResult>,
    phase: InitPhase,
    limit: Duration,
) -> Result<Result<(), WhyInit>, NoBox> {
    let result = timeout(limit, parts(environment, init, phase)).await;
    let result = result.unwrap_or(Ok(Err(WhyInit::Timeout)));
    environment.session.extensions.close();
    let standings = environment.session.extensions.standings();
    // What the initialisation wrote comes before what is told of it.
    environment.log.drain(true);
    environment.log.tell(standings.iter().map(Event::Extension));
    result
}

async fn parts(
    environment: &Arc<Environment>,
    init: oneshot::Receiver<InitResult>,
    phase: InitPhase,
) -> Result<Result<(), WhyInit>, NoBox> {
    let extensions = &environment.session.extensions;
    if extensions.external() > 0 {
        if let Err(fault) = extensions.registered().await {
            return Ok(Err(WhyInit::Extension(fault)));
        }
        environment.start_runtime().await?;
    }
    let result = tokio::select! {
        biased;
        result = init => result.unwrap_or(InitResult::Gone(Departure::default())),
        fault = extensions.fault() => return Ok(Err(WhyInit::Extension(fault))),
    };
    let status = match &result {
        InitResult::Ready => Status::Success,
        InitResult::Failed { error_type, .. } => Status::Error { error_type: named(error_type.as_ref()) },
        InitResult::Gone(departure) => {
            let error_type = Failure::Exit(*departure).error_type().to_owned();
            Status::Error { error_type }
        }
    };
    environment.log.drain(true);
    environment.log.tell([Event::InitRuntimeDone { phase, status: &status }]);
    Ok(match result {
        InitResult::Ready => extensions.ready().await.map_err(WhyInit::Extension),
        InitResult::Failed { body, error_type } => Err(WhyInit::Reported { body, error_type }),
        InitResult::Gone(departure) => Err(WhyInit::Gone(departure)),
    })
}

/// An error's type, or that of an error that has none.
pub(super) fn named(error_type: Option<&String>) -> String {
    error_type.cloned().unwrap_or_else(|| "Runtime.Unknown".to_owned())
}

/// How the INVOKE phase went on after the runtime's answer.
pub(super) enum Rest {
    Done,
    Failed(Failure),
}

/// Waits for the end of the INVOKE phase: the runtime and the extensions that heard of the invoke ask for the next event.
pub(super) async fn rest(environment: &Environment, began: Instant, limit: Duration) -> Rest {
    let all = async {
        environment.session.parked().await;
        environment.session.extensions.done().await
    };
    match timeout(limit.saturating_sub(began.elapsed()), all).await {
        Ok(Ok(())) => Rest::Done,
        Ok(Err(fault)) => Rest::Failed(Failure::Extension(fault)),
        Err(_) => Rest::Failed(Failure::Timeout { limit }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invoke<'a> {
    event_type: &'static str,
    deadline_ms: i64,
    request_id: &'a str,
    invoked_function_arn: &'a str,
    tracing: Tracing<'a>,
}

#[derive(Serialize)]
struct Tracing<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

/// What extensions are told of an event.
pub(super) fn invoke_event(event: &runtime_api::Event) -> Bytes {
    let invoke = Invoke {
        event_type: "INVOKE",
        deadline_ms: event.deadline_ms,
        request_id: event.request_id.as_str(),
        invoked_function_arn: &event.function_arn,
        tracing: Tracing { kind: "X-Amzn-Trace-Id", value: &event.trace_id },
    };
    Bytes::from(serde_json::to_vec(&invoke).unwrap_or_default())
}
