//! The life of one request: INIT where needed, INVOKE, the limits of both, and what the log says about it.
//!
//! A failed initialisation is tried once more within the request's own time, as AWS does; only then the request fails
//! with what the second one said. After a timeout or the end of the process the environment is gone.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Clock, RequestId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::begin::{Begun, FailedInit, Order, restore, start};
use super::events::{Event, TraceContext};
use super::failure::Failure;
use super::phases::{self, Rest, WhyInit};
use super::report::{InitPhase, Numbers, Status};
use super::streaming::follow;
use super::trace::Segment;
use super::{Invocation, InvokeError, Outcome, Sink};
use crate::fleet::{
    Environment, Inner, LogStream, NoBox, Orphan, Prepared, Reason, Share, Ticket, Turn, Whose, mebibytes,
};
use crate::function::FunctionConfig;
use crate::metering::{Ended, ErrorKind};
use crate::runtime_api::{self, Answer, Departure};

/// Runs a request to its end. A streamed answer goes to `sink`.
pub(crate) async fn run(
    mut ticket: Ticket,
    mut turn: Turn,
    mut invocation: Invocation,
    sink: &mut Sink,
) -> Result<Outcome, InvokeError> {
    loop {
        let environment = match turn {
            Turn::Warm(environment) => environment,
            Turn::Cold(share) => match Box::pin(run_cold(ticket, share, invocation, sink)).await? {
                Started::Done(outcome) => return Ok(outcome),
                Started::Overtaken(overtaken) => {
                    (ticket, turn, invocation) = *overtaken;
                    continue;
                }
            },
            Turn::Later => {
                turn = Box::pin(ticket.wait(invocation.origin)).await?;
                continue;
            }
        };
        environment.wake();
        let is_fresh = environment.is_fresh(ticket.fleet().clock().now());
        if is_fresh && environment.is_well() {
            environment.log.begin_tail(invocation.want_tail);
            match invoke(&ticket, &environment, &invocation, Spent::default(), sink).await {
                Served::Done { outcome, ending } => {
                    finish(ticket, environment, ending);
                    return Ok(outcome);
                }
                Served::Answered(answered) => {
                    return Ok(answered.close(ticket, environment, invocation).await);
                }
                Served::NeverDelivered(_) => {}
            }
        }
        // It died or its credentials ran out while it was idle, and it never saw the event: the next one gets it.
        environment.end(Reason::Spindown);
        drop(environment);
        turn = ticket.try_elsewhere()?;
    }
}

/// The environment is good for the next request, or ends.
fn finish(ticket: Ticket, environment: Arc<Environment>, ending: Option<Reason>) {
    match ending {
        None => ticket.give_back(environment),
        Some(reason) => environment.end(reason),
    }
}

/// What of the request's story happened before the event is offered.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// An initialisation that succeeded in its own phase.
    init_ms: Option<f64>,
    /// The restoring from a snapshot.
    restore_ms: Option<f64>,
    /// When the INVOKE phase began, if it did: a repeated initialisation is part of it.
    invoke_began: Option<Instant>,
    cold: bool,
}

enum Served {
    /// The INVOKE phase is over; the environment is of no use any more when there is a reason for its end.
    Done {
        outcome: Outcome,
        ending: Option<Reason>,
    },
    /// The runtime has answered, and extensions go on.
    Answered(Box<Answered>),
    NeverDelivered(Departure),
}

/// A request whose answer is there and whose INVOKE phase lasts: extensions have work to do.
struct Answered {
    outcome: Outcome,
    began: Instant,
    status: Status,
    spent: Spent,
    segment: Option<Segment>,
}

impl Answered {
    /// The answer goes to the caller now, as on AWS, and the phase ends behind its back; but the end of the log, if it is
    /// wanted, is there only with the end of the phase.
    async fn close(
        self: Box<Self>,
        ticket: Ticket,
        environment: Arc<Environment>,
        invocation: Invocation,
    ) -> Outcome {
        let mut outcome = self.outcome.clone();
        if invocation.want_tail {
            outcome.log_tail_base64 = self.end(ticket, environment, &invocation).await;
        } else {
            let held = environment.hold();
            tokio::spawn(async move {
                self.end(ticket, environment, &invocation).await;
                drop(held);
            });
        }
        outcome
    }

    /// Waits for the end of the phase and reports it; gives the tail.
    async fn end(
        self: Box<Self>,
        ticket: Ticket,
        environment: Arc<Environment>,
        invocation: &Invocation,
    ) -> Option<String> {
        let function = ticket.function();
        let limit = Duration::from_secs(u64::from(function.timeout_s));
        let rest = phases::rest(&environment, self.began, limit).await;
        environment.log.drain(true);
        let failure = match rest {
            Rest::Done => None,
            Rest::Failed(failure) => Some(failure),
        };
        let ending = failure.as_ref().map(reason_of);
        let numbers = Numbers {
            duration_ms: millis(self.began.elapsed().min(limit)),
            init_ms: self.spent.init_ms,
            restore_ms: self.spent.restore_ms,
            max_memory_mib: environment.peak_memory_mib(self.began.elapsed()).min(function.memory_mib),
            status: failure.as_ref().map_or(self.status, status_of),
            segment: self.segment,
        };
        let now = ticket.fleet().clock().now();
        let fault =
            failure.as_ref().and_then(|failure| failure.log_text(&invocation.request_id, &now.iso8601()));
        environment.log.tell(closing(function, invocation, fault.as_deref(), &numbers));
        let tail = environment.log.take_tail();
        let outcome = outcome(&ticket, Bytes::new(), None, tail, &numbers, self.spent.cold);
        finish(ticket, environment, ending);
        outcome.log_tail_base64
    }
}

/// Offers the event to an environment that is ready, and waits for what becomes of it.
async fn invoke(
    ticket: &Ticket,
    environment: &Arc<Environment>,
    invocation: &Invocation,
    spent: Spent,
    sink: &mut Sink,
) -> Served {
    let function = ticket.function();
    let clock = ticket.fleet().clock();
    let limit = Duration::from_secs(u64::from(function.timeout_s));
    let began = spent.invoke_began.unwrap_or_else(Instant::now);
    let left = spent.invoke_began.map_or(limit, |began| limit.saturating_sub(began.elapsed()));
    let trace = ticket.fleet().trace_of(function, invocation.trace_header.as_deref());
    let id = &invocation.request_id;
    let context = trace.segment.as_ref().map(|segment| TraceContext { header: &trace.header, segment });
    environment.log.tell([Event::Start { function, id, trace: context }]);
    let event = event_for(clock, invocation, left, trace.header);
    let has_extensions = environment.has_extensions();
    if has_extensions {
        environment.session.extensions.offer(&phases::invoke_event(&event));
    }
    let answer = environment.session.offer(event);
    let answer = async {
        match wait_for_answer(answer, left).await {
            Some(Answer::Stream(answer)) => {
                let left = limit.saturating_sub(began.elapsed());
                timeout(left, Box::pin(follow(&environment.session, answer, sink))).await.ok()
            }
            answer => answer,
        }
    };
    let answer = if has_extensions {
        tokio::select! {
            biased;
            fault = environment.session.extensions.fault() => Err(fault),
            answer = answer => Ok(answer),
        }
    } else {
        Ok(answer.await)
    };
    let took = began.elapsed();
    environment.log.drain(true);
    let ending = match answer {
        Ok(Some(Answer::Gone { departure, delivered: false })) => return Served::NeverDelivered(departure),
        Ok(answer) => Ending::of(answer, function, &invocation.request_id),
        Err(fault) => Ending::failed(Failure::Extension(fault), &invocation.request_id, false, None),
    };
    if environment.log.tells_more_than_text() {
        let produced_bytes = if ending.failure.is_none() { ending.payload.len() as u64 } else { 0 };
        let status = &ending.status;
        let runtime_done = Event::RuntimeDone { id, status, duration_ms: millis(took), produced_bytes };
        environment.log.tell([runtime_done]);
    }
    if ending.reusable && ending.failure.is_none() && environment.session.extensions.hear_of_invokes() {
        let answered = Outcome {
            payload: ending.payload,
            function_error: ending.function_error,
            log_tail_base64: None,
            executed_version: function.version.clone(),
            duration_ms: millis(took),
            billed_ms: Numbers {
                duration_ms: millis(took),
                init_ms: spent.init_ms,
                restore_ms: spent.restore_ms,
                ..Numbers::default()
            }
            .billed_ms(),
            init_ms: spent.init_ms,
            cold: spent.cold,
            max_memory_mib: 0,
        };
        let status = ending.status;
        return Served::Answered(Box::new(Answered {
            outcome: answered,
            began,
            status,
            spent,
            segment: trace.segment,
        }));
    }
    let peak_mib = ending.peak_mib.unwrap_or_else(|| environment.peak_memory_mib(took));
    let end_of_it = (!ending.reusable).then(|| ending.failure.as_ref().map_or(Reason::Failure, reason_of));
    if let Some(reason) = end_of_it {
        // What it wrote until its last moment belongs before the report.
        environment.end(reason);
        environment.log.drain(true);
    }
    let took = if ending.status == Status::Timeout { limit } else { took };
    let numbers = Numbers {
        duration_ms: millis(took),
        init_ms: spent.init_ms,
        restore_ms: spent.restore_ms,
        max_memory_mib: peak_mib.min(function.memory_mib),
        status: ending.status,
        segment: trace.segment,
    };
    let fault = ending.failure.as_ref().and_then(|failure| failure.log_text(id, &clock.now().iso8601()));
    environment.log.tell(closing(function, invocation, fault.as_deref(), &numbers));
    let tail = environment.log.take_tail();
    let outcome = outcome(ticket, ending.payload, ending.function_error, tail, &numbers, spent.cold);
    Served::Done { outcome, ending: end_of_it }
}

fn event_for(clock: &Clock, invocation: &Invocation, left: Duration, trace_id: String) -> runtime_api::Event {
    let now = clock.now();
    // Functions compare the deadline with the host's clock, which the platform's may be ahead of.
    let offset_ms = i64::try_from(clock.offset().as_millis()).unwrap_or(0);
    runtime_api::Event {
        request_id: invocation.request_id.clone(),
        deadline_ms: now.after(left).as_millis() - offset_ms,
        function_arn: Arc::clone(&invocation.invoked_arn),
        trace_id,
        client_context: invocation.client_context.clone(),
        tenant_id: invocation.tenant_id.clone(),
        payload: invocation.payload.clone(),
    }
}

/// What an answer means for the caller, the log and the environment.
struct Ending {
    payload: Bytes,
    function_error: Option<&'static str>,
    /// What the platform has to say about it.
    failure: Option<Failure>,
    status: Status,
    reusable: bool,
    /// The peak, when the process can no longer be asked.
    peak_mib: Option<u32>,
}

impl Ending {
    fn of(answer: Option<Answer>, function: &FunctionConfig, request_id: &RequestId) -> Self {
        match answer {
            Some(Answer::Response(payload)) => Ending {
                payload,
                function_error: None,
                failure: None,
                status: Status::Success,
                reusable: true,
                peak_mib: None,
            },
            Some(Answer::Error { body, error_type }) => Ending {
                payload: body,
                function_error: Some("Unhandled"),
                failure: None,
                status: Status::HandlerError { error_type },
                reusable: true,
                peak_mib: None,
            },
            Some(Answer::TooLarge) => Self::failed(Failure::TooLarge, request_id, true, None),
            Some(Answer::StreamTooLarge) => Self::failed(Failure::StreamTooLarge, request_id, true, None),
            // A stream was taken to its end before.
            Some(Answer::Truncated | Answer::Stream(_)) => {
                Self::failed(Failure::Truncated, request_id, true, None)
            }
            Some(Answer::Gone { departure, .. }) => {
                let peak_mib = exit_peak_mib(function, &departure);
                Self::failed(Failure::Exit(departure), request_id, false, Some(peak_mib))
            }
            None => {
                let limit = Duration::from_secs(u64::from(function.timeout_s));
                Self::failed(Failure::Timeout { limit }, request_id, false, None)
            }
        }
    }

    fn failed(failure: Failure, request_id: &RequestId, reusable: bool, peak_mib: Option<u32>) -> Self {
        Ending {
            payload: failure.body(request_id),
            function_error: Some("Unhandled"),
            status: status_of(&failure),
            failure: Some(failure),
            reusable,
            peak_mib,
        }
    }
}

/// `None` when the time was up.
async fn wait_for_answer(answer: oneshot::Receiver<Answer>, limit: Duration) -> Option<Answer> {
    match timeout(limit, answer).await {
        Ok(Ok(answer)) => Some(answer),
        // The session is dropped only with its environment, which this request holds: like the end of the process.
        Ok(Err(_)) => Some(Answer::Gone { departure: Departure::default(), delivered: true }),
        Err(_) => None,
    }
}

/// What became of a request for which an environment was started.
enum Started {
    Done(Outcome),
    /// Another environment became idle before. It goes on there.
    Overtaken(Box<(Ticket, Turn, Invocation)>),
}

/// Starts an environment and runs the request in it, or in another one that becomes idle before that is ready.
async fn run_cold(
    mut ticket: Ticket,
    share: Arc<Share>,
    invocation: Invocation,
    sink: &mut Sink,
) -> Result<Started, InvokeError> {
    let fleet = Arc::clone(ticket.fleet());
    let function = Arc::clone(ticket.function());
    let log = fleet.new_log_stream(&function);
    let mut first = Box::pin(start_first(
        (Arc::clone(&fleet), Arc::clone(&function)),
        ticket.tenant().cloned(),
        invocation.want_tail,
        log.clone(),
        share,
    ));
    let first = tokio::select! {
        biased;
        first = &mut first => first,
        turn = ticket.overtaken() => {
            tokio::spawn(adopt(ticket.orphan(), first));
            return Ok(Started::Overtaken(Box::new((ticket, turn, invocation))));
        }
    };
    ticket.stop_seeking();
    let done = run_started(ticket, first, log, invocation, sink).await?;
    Ok(Started::Done(done))
}

type First = Result<(Prepared, Begun), NoBox>;

/// Starts a request's environment. It holds nothing of the request, which may not wait for it.
async fn start_first(
    (fleet, function): (Arc<Inner>, Arc<FunctionConfig>),
    tenant: Option<Arc<str>>,
    want_tail: bool,
    log: (String, LogStream),
    share: Arc<Share>,
) -> First {
    let prepared = fleet.prepare(&function).await?;
    let order = Order {
        fleet: &fleet,
        function: &function,
        prepared: &prepared,
        log: &log,
        whose: Whose::Invoke { tenant: tenant.as_ref() },
        want_tail,
        phase: InitPhase::Init,
        limit: fleet.limits().init_timeout,
        image: None,
    };
    if let Some(restored) = restore(&order, &share).await? {
        return Ok((prepared, Begun::Restored(restored)));
    }
    let first = start(&order, share).await?;
    Ok((prepared, Begun::Started(first)))
}

/// Looks after an environment whose request has found another one: it is for whoever comes.
async fn adopt(orphan: Orphan, first: impl Future<Output = First>) {
    match first.await {
        Ok((_, Begun::Started(Ok((environment, _))) | Begun::Restored((environment, _)))) => {
            let _ = environment.log.take_tail();
            orphan.settle(environment);
        }
        // Its log says why. The next request that needs one tries again.
        Ok((_, Begun::Started(Err(_)))) => {}
        Err(why) => tracing::debug!(?why, "an environment that nobody waits for did not start"),
    }
}

/// Goes on when the environment that was started for the request is ready, or has failed.
async fn run_started(
    ticket: Ticket,
    first: First,
    log: (String, LogStream),
    invocation: Invocation,
    sink: &mut Sink,
) -> Result<Outcome, InvokeError> {
    let fleet = Arc::clone(ticket.fleet());
    let function = Arc::clone(ticket.function());
    let (prepared, first) = match first {
        Ok((prepared, Begun::Started(first))) => (prepared, first),
        Ok((_, Begun::Restored((environment, took)))) => {
            let spent = Spent { restore_ms: Some(millis(took)), cold: true, ..Spent::default() };
            return Ok(serve_fresh(ticket, environment, invocation, spent, sink).await);
        }
        Err(NoBox::Invoke(error)) => return Err(error),
        Err(NoBox::Entrypoint(why)) => {
            return Ok(fail_without_box(&ticket, &invocation, &log.1, &Failure::Entrypoint(why)));
        }
        Err(NoBox::Extension(fault)) => {
            return Ok(fail_without_box(&ticket, &invocation, &log.1, &Failure::Extension(fault)));
        }
    };
    if let Ok((environment, init)) = first {
        let spent = Spent { init_ms: Some(millis(init)), cold: true, ..Spent::default() };
        return Ok(serve_fresh(ticket, environment, invocation, spent, sink).await);
    }
    // Once more, in the request's own time.
    let began = Instant::now();
    let limit = Duration::from_secs(u64::from(function.timeout_s));
    let order = Order {
        fleet: &fleet,
        function: &function,
        prepared: &prepared,
        log: &log,
        whose: Whose::Invoke { tenant: ticket.tenant() },
        want_tail: invocation.want_tail,
        phase: InitPhase::Invoke,
        limit,
        image: None,
    };
    // In the place of the first one, whose memory is free in a moment.
    let second = start(&order, ticket.another_share()).await;
    let second = second.map_err(|error| match error {
        NoBox::Invoke(error) => error,
        NoBox::Entrypoint(why) => InvokeError::LaunchFailed(why),
        NoBox::Extension(fault) => InvokeError::LaunchFailed(format!("{fault:?}")),
    });
    match second? {
        Ok((environment, _)) => {
            let spent = Spent { invoke_began: Some(began), cold: true, ..Spent::default() };
            Ok(serve_fresh(ticket, environment, invocation, spent, sink).await)
        }
        Err(failed) => Ok(fail_after_init(&ticket, &invocation, failed, began.elapsed(), limit)),
    }
}

/// Runs the request in an environment that nobody used before.
async fn serve_fresh(
    ticket: Ticket,
    environment: Arc<Environment>,
    invocation: Invocation,
    spent: Spent,
    sink: &mut Sink,
) -> Outcome {
    match invoke(&ticket, &environment, &invocation, spent, sink).await {
        Served::Done { outcome, ending } => {
            finish(ticket, environment, ending);
            outcome
        }
        Served::Answered(answered) => answered.close(ticket, environment, invocation).await,
        Served::NeverDelivered(departure) => {
            // It asked for an event and ended before it got one.
            let failed = FailedInit { environment, why: WhyInit::Gone(departure) };
            let limit = Duration::from_secs(u64::from(ticket.function().timeout_s));
            let began = spent.invoke_began.map_or(Duration::ZERO, |began| began.elapsed());
            fail_after_init(&ticket, &invocation, failed, began, limit)
        }
    }
}

/// The answer to a request whose initialisation failed twice.
fn fail_after_init(
    ticket: &Ticket,
    invocation: &Invocation,
    failed: FailedInit,
    took: Duration,
    limit: Duration,
) -> Outcome {
    let function = ticket.function();
    let FailedInit { environment, why } = failed;
    let mut peak_mib = environment.peak_memory_mib(took);
    let (payload, failure, status) = match why {
        WhyInit::Reported { body, error_type } => {
            let error_type = error_type.unwrap_or_else(|| "Runtime.Unknown".to_owned());
            (body, None, Status::Error { error_type })
        }
        other => {
            if let WhyInit::Gone(departure) = &other {
                peak_mib = exit_peak_mib(function, departure);
            }
            let failure = other.failure(limit).unwrap_or(Failure::Timeout { limit });
            let status = status_of(&failure);
            (failure.body(&invocation.request_id), Some(failure), status)
        }
    };
    let took = if status == Status::Timeout { limit } else { took };
    let max_memory_mib = peak_mib.min(function.memory_mib);
    let numbers = Numbers { duration_ms: millis(took), max_memory_mib, status, ..Numbers::default() };
    let now = ticket.fleet().clock().now();
    let id = &invocation.request_id;
    let fault = failure.as_ref().and_then(|failure| failure.log_text(id, &now.iso8601()));
    environment.log.tell([Event::Start { function, id, trace: None }]);
    environment.log.tell(closing(function, invocation, fault.as_deref(), &numbers));
    let tail = environment.log.take_tail();
    outcome(ticket, payload, Some("Unhandled"), tail, &numbers, true)
}

/// The answer to a request of a function that cannot even be started.
fn fail_without_box(
    ticket: &Ticket,
    invocation: &Invocation,
    stream: &LogStream,
    failure: &Failure,
) -> Outcome {
    let function = ticket.function();
    let now = ticket.fleet().clock().now();
    let status = status_of(failure);
    let numbers = Numbers { status: status.clone(), ..Numbers::default() };
    let id = &invocation.request_id;
    let fault = failure.log_text(id, &now.iso8601());
    let phase = InitPhase::Init;
    let before = [
        Event::InitStart { function, phase },
        Event::InitReport { phase, status: &status, duration_ms: 0.0 },
        Event::Start { function, id, trace: None },
    ];
    let all = before.into_iter().chain(closing(function, invocation, fault.as_deref(), &numbers));
    let lines: Vec<String> = all.filter_map(|event| event.line(function, now)).collect();
    let tail = invocation.want_tail.then(|| lines.concat().into_bytes());
    stream.write_lines(now, lines);
    outcome(ticket, failure.body(&invocation.request_id), Some("Unhandled"), tail, &numbers, true)
}

/// What went wrong, END and REPORT.
fn closing<'a>(
    function: &'a FunctionConfig,
    invocation: &'a Invocation,
    fault: Option<&'a str>,
    numbers: &'a Numbers,
) -> impl Iterator<Item = Event<'a>> {
    let id = &invocation.request_id;
    let fault = fault.map(|text| Event::Fault { text });
    fault.into_iter().chain([Event::End { id }, Event::Report { function, id, numbers }])
}

/// The outcome, noted for the record of the invocation.
fn outcome(
    ticket: &Ticket,
    payload: Bytes,
    function_error: Option<&'static str>,
    tail: Option<Vec<u8>>,
    numbers: &Numbers,
    cold: bool,
) -> Outcome {
    ticket.note(Ended {
        cold,
        init_ms: numbers.init_ms,
        restore_ms: numbers.restore_ms,
        duration_ms: numbers.duration_ms,
        billed_ms: numbers.billed_ms(),
        max_memory_mib: numbers.max_memory_mib,
        error: match numbers.status {
            Status::Success => None,
            Status::HandlerError { .. } => Some(ErrorKind::Handler),
            Status::Timeout => Some(ErrorKind::Timeout),
            Status::Error { .. } => Some(ErrorKind::Runtime),
        },
        ..Ended::default()
    });
    Outcome {
        payload,
        function_error,
        log_tail_base64: tail.map(|tail| STANDARD.encode(tail)),
        executed_version: ticket.function().version.clone(),
        duration_ms: numbers.duration_ms,
        billed_ms: numbers.billed_ms(),
        init_ms: numbers.init_ms,
        cold,
        max_memory_mib: numbers.max_memory_mib,
    }
}

/// What extensions are told of the end that a failure brings.
fn reason_of(failure: &Failure) -> Reason {
    match failure {
        Failure::Timeout { .. } => Reason::Timeout,
        _ => Reason::Failure,
    }
}

pub(super) fn status_of(failure: &Failure) -> Status {
    match failure {
        Failure::Timeout { .. } => Status::Timeout,
        other => Status::Error { error_type: other.error_type().to_owned() },
    }
}

/// A process that was killed for its memory used all it had.
fn exit_peak_mib(function: &FunctionConfig, departure: &Departure) -> u32 {
    if departure.oom_killed { function.memory_mib } else { mebibytes(departure.peak_memory_bytes) }
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
