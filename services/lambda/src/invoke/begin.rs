//! The beginning of an environment: started or restored, for a request, ahead of any, or as a template for a snapshot;
//! its initialisation awaited, and told in its log.
//!
//! Not here: what becomes of the request that waits for it (`run`), and how long each phase may wait (`phases`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::events::Event;
use super::phases::{self, WhyInit};
use super::report::{InitPhase, Status};
use super::run::{millis, status_of};
use super::{InvokeError, RestoreFault};
use crate::fleet::{
    Environment, ImageFile, ImagePipe, Inner, LogStream, NoBox, Prepared, Reason, Share, Start, Whose,
};
use crate::function::FunctionConfig;

/// How long the initialisation of a provisioned environment may take, unless the function's own limit is longer.
const INIT_AHEAD_LIMIT: Duration = Duration::from_secs(130);
/// How long restoring from a snapshot may take, after-restore hooks included.
const RESTORE_LIMIT: Duration = Duration::from_secs(10);

/// An initialisation that failed. The environment is dead; its log is still open.
pub(super) struct FailedInit {
    pub(super) environment: Arc<Environment>,
    pub(super) why: WhyInit,
}

/// How a new environment came to be.
pub(super) enum Begun {
    Started(Result<(Arc<Environment>, Duration), FailedInit>),
    Restored((Arc<Environment>, Duration)),
}

/// Restores an environment from the function's snapshot; `None` when there is none to restore from.
pub(super) async fn restore(
    order: &Order<'_>,
    share: &Arc<Share>,
) -> Result<Option<(Arc<Environment>, Duration)>, NoBox> {
    let Some(image) = order.fleet.snapshot_of(order.function, order.prepared) else { return Ok(None) };
    let order = Order { phase: InitPhase::Restore, limit: RESTORE_LIMIT, image: Some(&image), ..*order };
    let why = match start(&order, Arc::clone(share)).await? {
        Ok(restored) => return Ok(Some(restored)),
        Err(FailedInit { why, .. }) => why,
    };
    let fault = match why {
        WhyInit::Gone(end) if order.fleet.blame_snapshot(order.function, &image, &end) => return Ok(None),
        WhyInit::Timeout => RestoreFault::Timeout,
        _ => RestoreFault::Hook,
    };
    Err(InvokeError::SnapStart(fault).into())
}

/// Starts the environment from which a snapshot is taken, and waits until it writes its image. The inner error is
/// `StateReasonCode` and `StateReason`.
pub(crate) async fn start_template(
    fleet: &Arc<Inner>,
    function: &Arc<FunctionConfig>,
    prepared: &Prepared,
    pipe: ImagePipe,
    share: Arc<Share>,
) -> Result<Result<Arc<Environment>, (&'static str, String)>, NoBox> {
    let log = fleet.new_log_stream(function);
    let limit = INIT_AHEAD_LIMIT.max(Duration::from_secs(u64::from(function.timeout_s)));
    let order = Order {
        fleet,
        function,
        prepared,
        log: &log,
        whose: Whose::Invoke { tenant: None },
        want_tail: false,
        phase: InitPhase::Snapshot,
        limit,
        image: None,
    };
    let failed = match start_since(&order, Some(pipe), share, Instant::now()).await? {
        Ok((environment, _)) => return Ok(Ok(environment)),
        Err(failed) => failed,
    };
    let code = match &failed.why {
        WhyInit::Timeout => "FunctionError.InitTimeout",
        WhyInit::Gone(end) if end.oom_killed => "FunctionError.InitResourceExhausted",
        WhyInit::Extension(_) => "FunctionError.ExtensionInitError",
        WhyInit::Reported { .. } | WhyInit::Gone(_) => "FunctionError.RuntimeInitError",
    };
    let reason = match failed.why {
        WhyInit::Reported { body, error_type } => reported(&body, error_type),
        other => other.failure(limit).map(|failure| failure.reason()).unwrap_or_default(),
    };
    Ok(Err((code, reason)))
}

/// What a runtime reported of a failed initialisation, in one line.
fn reported(body: &Bytes, error_type: Option<String>) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        error_message: Option<String>,
        error_type: Option<String>,
    }
    const MAX_CHARS: usize = 500;
    let report = serde_json::from_slice::<Report>(body).ok();
    let (message, own) = report.map_or((None, None), |report| (report.error_message, report.error_type));
    let kind = own.or(error_type).unwrap_or_else(|| "Runtime.Unknown".to_owned());
    let line = format!("{kind}: {}", message.unwrap_or_default());
    line.chars().filter(|letter| !letter.is_control()).take(MAX_CHARS).collect()
}

/// An environment that is to be started.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) fleet: &'a Arc<Inner>,
    pub(super) function: &'a Arc<FunctionConfig>,
    pub(super) prepared: &'a Prepared,
    pub(super) log: &'a (String, LogStream),
    pub(super) whose: Whose<'a>,
    pub(super) want_tail: bool,
    pub(super) phase: InitPhase,
    /// How long its initialisation may take.
    pub(super) limit: Duration,
    /// What it is restored from.
    pub(super) image: Option<&'a ImageFile>,
}

/// Starts a provisioned environment. The error is what `StatusReason` says.
pub(crate) async fn start_ahead(
    fleet: &Arc<Inner>,
    function: &Arc<FunctionConfig>,
    share: Arc<Share>,
) -> Result<Arc<Environment>, String> {
    let log = fleet.new_log_stream(function);
    let started = async {
        let prepared = fleet.prepare(function).await?;
        let order = Order {
            fleet,
            function,
            prepared: &prepared,
            log: &log,
            whose: Whose::Nobody,
            want_tail: false,
            phase: InitPhase::Ahead,
            limit: INIT_AHEAD_LIMIT.max(Duration::from_secs(u64::from(function.timeout_s))),
            image: None,
        };
        start(&order, share).await
    };
    match started.await {
        Ok(Ok((environment, _))) => Ok(environment),
        Ok(Err(FailedInit { .. })) | Err(NoBox::Entrypoint(_) | NoBox::Extension(_)) => {
            Err("FUNCTION_ERROR_INIT_FAILURE".to_owned())
        }
        Err(NoBox::Invoke(error)) => Err(error.to_string()),
    }
}

/// Starts an environment and waits for the end of its initialisation, of which a failed one is logged.
pub(super) async fn start(
    order: &Order<'_>,
    share: Arc<Share>,
) -> Result<Result<(Arc<Environment>, Duration), FailedInit>, NoBox> {
    start_since(order, None, share, Instant::now()).await
}

/// As [`start`]; with a pipe it is a template, whose image comes out there.
async fn start_since(
    order: &Order<'_>,
    image_pipe: Option<ImagePipe>,
    share: Arc<Share>,
    began: Instant,
) -> Result<Result<(Arc<Environment>, Duration), FailedInit>, NoBox> {
    let Order { fleet, function, phase, limit, .. } = *order;
    let how = Start { phase, image: order.image, image_pipe };
    let launched = fleet.launch(function, order.prepared, order.log, order.whose, how, Arc::clone(&share));
    let (environment, init) = launched.await?;
    if !order.want_tail {
        environment.log.begin_tail(false);
    }
    let result = phases::initialise(&environment, init, phase, limit.saturating_sub(began.elapsed())).await;
    let took = began.elapsed();
    let why = match result? {
        Ok(()) => {
            // A template has its image to write, of which the function shall not feel its own small share.
            if phase != InitPhase::Snapshot {
                environment.end_of_init();
            }
            // What the initialisation wrote comes before START.
            environment.log.drain(true);
            let duration_ms = millis(took);
            environment.log.tell([Event::InitReport { phase, status: &Status::Success, duration_ms }]);
            environment.log.telemetry().close();
            return Ok(Ok((environment, took)));
        }
        Err(why) => why,
    };
    environment.end(Reason::Failure);
    environment.log.drain(true);
    // A template and what is restored from a snapshot do not start from another image.
    if let (WhyInit::Gone(end), InitPhase::Init | InitPhase::Invoke | InitPhase::Ahead) = (&why, phase)
        && fleet.blame(order.prepared, function, end)
    {
        // Most likely not the function's fault: it has not failed yet.
        return Box::pin(start_since(order, None, share, began)).await;
    }
    let status = match (&why, why.failure(limit)) {
        (_, Some(failure)) => status_of(&failure),
        (WhyInit::Reported { error_type: Some(error_type), .. }, None) => {
            Status::Error { error_type: error_type.clone() }
        }
        (_, None) => Status::Error { error_type: phases::named(None) },
    };
    let duration_ms = millis(took);
    environment.log.tell([Event::InitReport { phase, status: &status, duration_ms }]);
    Ok(Err(FailedInit { environment, why }))
}
