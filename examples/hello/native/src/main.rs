//! A native function with nothing between it and the Runtime API: ask for the next event, answer, again.
//!
//! Real applications take AWS's `lambda_runtime` crate, which works here too; this one shows that any program will
//! do, and builds in a second. API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

fn main() -> io::Result<()> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
    let greeting = env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
    let function = env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let mut connection = BufReader::new(TcpStream::connect(&api)?);
    loop {
        let next = exchange(&mut connection, &api, "GET", "next", "")?;
        println!("a native call");
        let name = name_of(&next.body).unwrap_or("world");
        let answer = format!(
            r#"{{"message": "{greeting}, {name}!", "function": "{function}", "request_id": "{}"}}"#,
            next.request_id
        );
        exchange(&mut connection, &api, "POST", &format!("{}/response", next.request_id), &answer)?;
    }
}

struct Message {
    request_id: String,
    body: String,
}

/// One request and its answer, on a connection that stays open.
fn exchange(
    connection: &mut BufReader<TcpStream>,
    api: &str,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<Message> {
    let request = format!(
        "{method} /2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nHost: {api}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.get_mut().write_all(request.as_bytes())?;
    let (mut request_id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "lambda-runtime-aws-request-id" => request_id = value.to_owned(),
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                _ => {}
            }
        }
    }
    let mut content = vec![0; length];
    connection.read_exact(&mut content)?;
    Ok(Message { request_id, body: String::from_utf8_lossy(&content).into_owned() })
}

/// The value of "name" in a flat JSON object. A real function takes a JSON library.
fn name_of(event: &str) -> Option<&str> {
    let after = event.split_once("\"name\"")?.1.split_once('"')?.1;
    after.split_once('"').map(|(name, _)| name)
}
