//! A native function: any program that speaks the Runtime API, here through AWS's own crate.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Request {
    #[serde(default = "world")]
    name: String,
}

fn world() -> String {
    "world".to_owned()
}

#[derive(Serialize)]
struct Answer {
    message: String,
    function: String,
    request_id: String,
}

async fn handler(event: LambdaEvent<Request>) -> Result<Answer, Error> {
    println!("a native call");
    let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
    Ok(Answer {
        message: format!("{greeting}, {}!", event.payload.name),
        function: event.context.env_config.function_name.clone(),
        request_id: event.context.request_id,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handler)).await
}
