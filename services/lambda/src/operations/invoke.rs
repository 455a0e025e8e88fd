//! Invoke: which function, is the request sound, then it is the fleet's.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::target_to_run;
use crate::Lambda;
use crate::asynchronous::check_size;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::invoke::{Invocation, Origin};

/// The largest payload of a synchronous invoke: 6 MiB.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 6_291_456;
/// What is said about a larger one.
pub(crate) const PAYLOAD_TOO_LARGE: &str =
    "Request must be smaller than 6291456 bytes for the InvokeFunction operation";
/// Looking through more than this takes so long that other requests would notice.
const MUCH_BYTES: usize = 256 * 1024;
/// The client context as it comes, in base64.
const MAX_CLIENT_CONTEXT_BYTES: usize = 3583;

/// The request of Invoke, and of InvokeWithResponseStream: the model names the same members.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InvocationRequest {
    pub(super) function_name: String,
    pub(super) invocation_type: Option<String>,
    pub(super) log_type: Option<String>,
    pub(super) client_context: Option<String>,
    pub(super) payload: Option<wire::Blob>,
    pub(super) qualifier: Option<String>,
    pub(super) tenant_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InvocationResponse {
    status_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<wire::Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_version: Option<String>,
}

/// Runs a function and waits for its answer.
pub(crate) async fn invoke(
    lambda: Arc<Lambda>,
    call: Call,
    request: InvocationRequest,
) -> Result<InvocationResponse, LambdaError> {
    let target = target_to_run(&lambda, &call, &request.function_name, request.qualifier.as_deref())?;
    let resolved = lambda.resolve(&target).await?;
    lambda.check_ready(&resolved.function).await?;
    let is_event = request.invocation_type.as_deref() == Some("Event");
    if let Some(payload) = request.payload.as_ref().filter(|_| is_event) {
        check_size(payload.0.len())?;
    }
    let tenant_id = tenant_of(&resolved.function, request.tenant_id)?;
    let payload = sound_payload(request.payload).await?;
    let client_context = request.client_context.as_deref().map(read_client_context).transpose()?;
    if request.invocation_type.as_deref() == Some("DryRun") {
        return Ok(nothing(204));
    }
    let origin = if is_event { Origin::Event } else { Origin::Request };
    let invocation = Invocation {
        client_context,
        want_tail: request.log_type.as_deref() == Some("Tail"),
        tenant_id,
        ..Invocation::of_call(&call, resolved.invoked_arn, payload, origin)
    };
    if is_event {
        lambda.accept_event(&target, invocation).await?;
        return Ok(nothing(202));
    }
    lambda.check_loop(&resolved.function, invocation.trace_header.as_deref())?;
    let outcome = lambda.invoker.invoke(resolved.function, invocation).await?;
    Ok(InvocationResponse {
        status_code: 200,
        function_error: outcome.function_error,
        log_result: outcome.log_tail_base64,
        payload: Some(wire::Blob(outcome.payload)),
        executed_version: Some(outcome.executed_version),
    })
}

/// The tenant that an invoke is for: a function that isolates tenants must be told, another must not.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn tenant_of(
    function: &FunctionConfig,
    tenant_id: Option<String>,
) -> Result<Option<Arc<str>>, LambdaError> {
    match (function.tenant_isolation, tenant_id) {
        (true, None) => Err(LambdaError::InvalidParameter(
            "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try \
             again."
                .to_owned(),
        )),
        (false, Some(_)) => Err(LambdaError::InvalidParameter(
            "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and \
             try again."
                .to_owned(),
        )),
        (_, tenant_id) => Ok(tenant_id.map(Arc::from)),
    }
}

fn nothing(status_code: i32) -> InvocationResponse {
    InvocationResponse {
        status_code,
        function_error: None,
        log_result: None,
        payload: None,
        executed_version: None,
    }
}

/// [`checked_payload`], on a thread that may be busy when there is much to look at.
pub(super) async fn sound_payload(payload: Option<wire::Blob>) -> Result<Bytes, LambdaError> {
    if payload.as_ref().is_none_or(|blob| blob.0.len() <= MUCH_BYTES) {
        return checked_payload(payload);
    }
    tokio::task::spawn_blocking(move || checked_payload(payload))
        .await
        .map_err(|error| LambdaError::Internal(error.to_string()))?
}

/// The event: JSON of at most 6 MiB. No payload is `{}`.
fn checked_payload(payload: Option<wire::Blob>) -> Result<Bytes, LambdaError> {
    let payload = payload.map(|blob| blob.0).unwrap_or_default();
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(LambdaError::TooLarge(PAYLOAD_TOO_LARGE.to_owned()));
    }
    // Looked at and not kept: a function gets the bytes as they came.
    match serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
        Ok(_) if std::str::from_utf8(&payload).is_ok() => Ok(payload),
        Ok(_) => Err(no_json("it is not UTF-8")),
        Err(error) => Err(no_json(&unknown_word(&payload).unwrap_or_else(|| error.to_string()))),
    }
}

/// AWS's words for the commonest mistake, a payload that begins with a bare word.
fn unknown_word(payload: &[u8]) -> Option<String> {
    const SHOWN_CHARS: usize = 500;
    let text = std::str::from_utf8(payload).ok()?;
    let rest = text.trim_ascii_start();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let word = rest.split(|c| !is_part(c)).next()?;
    let bare = word.starts_with(|c: char| is_part(c) && !c.is_ascii_digit());
    if !bare || matches!(word, "true" | "false" | "null") {
        return None;
    }
    let before = &text[..text.len() - rest.len()];
    let line = 1 + before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().len() + word.len() + 1;
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let hidden = match text.len() - shown.len() {
        0 => String::new(),
        bytes => format!("[truncated {bytes} bytes]"),
    };
    let word: String = word.chars().take(SHOWN_CHARS).collect();
    Some(format!(
        "Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or \
         'false')\n at [Source: (byte[])\"{shown}\"{hidden}; line: {line}, column: {column}]"
    ))
}

fn no_json(why: &str) -> LambdaError {
    LambdaError::InvalidContent(format!(
        "Could not parse request body into json: Could not parse payload into json: {why}"
    ))
}

/// The client context, decoded to JSON text.
pub(super) fn read_client_context(encoded: &str) -> Result<String, LambdaError> {
    if encoded.len() > MAX_CLIENT_CONTEXT_BYTES {
        return Err(LambdaError::InvalidParameter(format!(
            "ClientContext must have at most {MAX_CLIENT_CONTEXT_BYTES} bytes of base64, got {}.",
            encoded.len()
        )));
    }
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .filter(|text| {
            text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        })
        .ok_or_else(|| {
            LambdaError::InvalidContent(
                "Client context must be a valid Base64-encoded JSON object.".to_owned(),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: impl Into<Bytes>) -> Result<Bytes, String> {
        checked_payload(Some(wire::Blob(text.into()))).map_err(|error| error.to_string())
    }

    #[test]
    fn a_payload_is_json_or_nothing() {
        assert_eq!(checked_payload(None).unwrap(), "{}");
        assert_eq!(payload("").unwrap(), "{}");
        for json in ["{\"a\":1}", "[1,2]", "\"text\"", "null", " 7 "] {
            assert_eq!(payload(json).unwrap(), json);
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(payload(deep.clone()).unwrap(), deep);
        for bad in [&b"{a:1}"[..], b"abc", b"{} x", b"\"\xff\"", b"\xff"] {
            let message = payload(Bytes::from_static(bad)).unwrap_err();
            assert!(
                message.starts_with(
                    "Could not parse request body into json: Could not parse payload into json: "
                )
            );
        }
    }

    #[test]
    fn a_bare_word_is_refused_in_awss_words() {
        assert_eq!(
            payload("hello").unwrap_err(),
            "Could not parse request body into json: Could not parse payload into json: Unrecognized token 'hello': was \
             expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: \
             (byte[])\"hello\"; line: 1, column: 6]"
        );
        assert!(payload("\n ab c").unwrap_err().ends_with("\"\n ab c\"; line: 2, column: 4]"));
        assert!(
            payload("w".repeat(600)).unwrap_err().contains("[truncated 100 bytes]; line: 1, column: 601]")
        );
    }

    #[test]
    fn a_payload_has_six_megabytes() {
        let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
        assert!(payload(text(MAX_PAYLOAD_BYTES)).is_ok());
        assert_eq!(payload(text(MAX_PAYLOAD_BYTES + 1)).unwrap_err(), PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn a_client_context_is_a_json_object_in_base64() {
        assert_eq!(read_client_context(&STANDARD.encode("{\"custom\":{}}")).unwrap(), "{\"custom\":{}}");
        for bad in
            ["%%%".to_owned(), STANDARD.encode("no json"), STANDARD.encode("7"), STANDARD.encode([0xff])]
        {
            assert!(
                read_client_context(&bad).unwrap_err().to_string().contains("Base64-encoded JSON object"),
                "{bad}"
            );
        }
        assert!(read_client_context(&"A".repeat(3584)).unwrap_err().to_string().contains("3583"));
    }
}
