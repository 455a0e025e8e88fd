//! A native function through AWS's own crate. It does what its event asks for; `tests/lambda/test_peers.py` asks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lambda_runtime::streaming::{Body, Response, channel};
use lambda_runtime::{Diagnostic, FunctionResponse, LambdaEvent, run, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Request {
    op: String,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    sleep_ms: u64,
}

#[derive(Serialize)]
struct Answer {
    value: Value,
    calls: u32,
    environment: String,
    request_id: String,
    function_arn: String,
    remaining_ms: u128,
}

static CALLS: AtomicU32 = AtomicU32::new(0);

async fn handler(event: LambdaEvent<Request>) -> Result<FunctionResponse<Answer, Body>, Diagnostic> {
    let (request, context) = event.into_parts();
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    println!("asked for {}, call {calls}", request.op);
    if request.op == "fail" {
        return Err(Diagnostic { error_type: "PeerError".to_owned(), error_message: "no luck".to_owned() });
    }
    if request.op == "stream" {
        return Ok(FunctionResponse::StreamingResponse(stream(request.value)));
    }
    tokio::time::sleep(Duration::from_millis(request.sleep_ms)).await;
    Ok(FunctionResponse::BufferedResponse(Answer {
        value: request.value,
        calls,
        environment: context.env_config.log_stream.clone(),
        request_id: context.request_id.clone(),
        function_arn: context.invoked_function_arn.clone(),
        remaining_ms: context
            .deadline()
            .duration_since(std::time::SystemTime::now())
            .map_or(0, |left| left.as_millis()),
    }))
}

/// Sends the items of a list one by one.
fn stream(items: Value) -> Response<Body> {
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for text in items.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if sender.send_data(text.to_owned().into()).await.is_err() {
                return; // nobody reads any more
            }
        }
    });
    Response::from(body)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    run(service_fn(handler)).await
}
