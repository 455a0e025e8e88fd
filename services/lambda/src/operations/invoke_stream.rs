//! InvokeWithResponseStream: as Invoke, but the answer is a stream of events that begins when the function's does.
//!
//! What is wrong with the request, or keeps the function from being run, is an error of the API, as with Invoke. What the
//! function itself does wrong is told by the last event, also when it had sent nothing yet: the status is 200 then too.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use frontdoor::{Call, Streamed};
use futures_core::Stream;
use serde::Serialize;

use super::invoke::{InvocationRequest, read_client_context, sound_payload, tenant_of};
use super::target_to_run;
use crate::Lambda;
use crate::error::LambdaError;
use crate::invoke::{Invocation, Origin, Outcome, Streaming};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InvokeWithResponseStreamResponse {
    status_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_version: Option<String>,
}

#[derive(Debug, Serialize)]
enum Event {
    #[serde(rename_all = "PascalCase")]
    PayloadChunk { payload: wire::Blob },
    #[serde(rename_all = "PascalCase")]
    InvokeComplete {
        #[serde(skip_serializing_if = "Option::is_none")]
        error_code: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_details: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        log_result: Option<String>,
    },
}

/// Runs a function and passes its answer on as it comes.
pub(crate) async fn invoke_with_response_stream(
    lambda: Arc<Lambda>,
    call: Call,
    request: InvocationRequest,
) -> Result<Streamed<InvokeWithResponseStreamResponse>, LambdaError> {
    let target = target_to_run(&lambda, &call, &request.function_name, request.qualifier.as_deref())?;
    let resolved = lambda.resolve(&target).await?;
    lambda.check_ready(&resolved.function).await?;
    let payload = sound_payload(request.payload).await?;
    let client_context = request.client_context.as_deref().map(read_client_context).transpose()?;
    // The model has two types; the other one is the usual.
    if request.invocation_type.as_deref() == Some("DryRun") {
        let head = InvokeWithResponseStreamResponse { status_code: 204, executed_version: None };
        return Ok(Streamed::empty(head));
    }
    let invocation = Invocation {
        client_context,
        want_tail: request.log_type.as_deref() == Some("Tail"),
        tenant_id: tenant_of(&resolved.function, request.tenant_id)?,
        ..Invocation::of_call(&call, resolved.invoked_arn, payload, Origin::Stream)
    };
    lambda.check_loop(&resolved.function, invocation.trace_header.as_deref())?;
    let executed_version = Some(resolved.function.version.clone());
    let streaming = lambda.invoker.invoke_streaming(resolved.function, invocation).await?;
    let head = InvokeWithResponseStreamResponse { status_code: 200, executed_version };
    Ok(Streamed::new(head, Events { streaming: Some(streaming) }))
}

/// An answer as events: its bytes, then how it ended.
struct Events {
    /// `None` after the end.
    streaming: Option<Streaming>,
}

impl Stream for Events {
    type Item = Result<Event, LambdaError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(streaming) = self.streaming.as_mut() else { return Poll::Ready(None) };
        if let Some(chunk) = ready!(streaming.chunks.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(Event::PayloadChunk { payload: wire::Blob(chunk) })));
        }
        let outcome = ready!(Pin::new(&mut streaming.done).poll(cx));
        self.streaming = None;
        Poll::Ready(Some(match outcome {
            Ok(outcome) => Ok(complete(outcome)),
            Err(_) => Err(LambdaError::Internal("the end of an invoke was never told".to_owned())),
        }))
    }
}

fn complete(outcome: Outcome) -> Event {
    let details = || String::from_utf8_lossy(&outcome.payload).into_owned();
    Event::InvokeComplete {
        error_code: outcome.function_error,
        error_details: outcome.function_error.map(|_| details()),
        log_result: outcome.log_tail_base64,
    }
}
