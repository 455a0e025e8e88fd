//! A native function for the benchmarks: the least that the Runtime API asks for, so that what is measured is the
//! platform. Compiled alone by `rustc`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

fn main() -> io::Result<()> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
    let stream = TcpStream::connect(&api)?;
    stream.set_nodelay(true)?;
    let mut connection = BufReader::new(stream);
    let base = "/2018-06-01/runtime/invocation";
    let mut request = format!("GET {base}/next HTTP/1.1\r\nHost: {api}\r\n\r\n");
    loop {
        connection.get_mut().write_all(request.as_bytes())?;
        let (id, event) = answer(&mut connection)?;
        if id.is_empty() {
            continue_with(&mut request, base, &api);
            continue;
        }
        let name = event.split("\"name\"").nth(1).and_then(|rest| rest.split('"').nth(1)).unwrap_or("world");
        let body = format!("{{\"message\":\"Hello, {name}!\"}}");
        request = format!(
            "POST {base}/{id}/response HTTP/1.1\r\nHost: {api}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
}

/// After the answer to an answer, the next question.
fn continue_with(request: &mut String, base: &str, api: &str) {
    *request = format!("GET {base}/next HTTP/1.1\r\nHost: {api}\r\n\r\n");
}

/// The request id (empty when the message is not an event) and the body.
fn answer(connection: &mut BufReader<TcpStream>) -> io::Result<(String, String)> {
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "lambda-runtime-aws-request-id" => id = value.trim().to_owned(),
                "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((id, String::from_utf8_lossy(&body).into_owned()))
}
