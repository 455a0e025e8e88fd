//! The Runtime API as a runtime meets it: paths, states, bodies, over real sockets.

use std::sync::Arc;

use base::RequestId;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::restore::{Snap, SnapRole, Vend};
use super::{
    About, Answer, Departure, Event, InitResult, MAX_STREAM_BYTES, Session, StreamEnd, StreamedAnswer, accept,
};

struct Api {
    session: Arc<Session>,
    init: oneshot::Receiver<InitResult>,
    stream: TcpStream,
    address: std::net::SocketAddr,
}

async fn api() -> Api {
    api_with(Snap::default()).await
}

async fn api_with(snap: Snap) -> Api {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (session, init) = Session::with(About::default(), &[], None, snap);
    tokio::spawn(accept(listener, Arc::clone(&session)));
    Api { session, init, stream: TcpStream::connect(address).await.unwrap(), address }
}

fn event(payload: &[u8]) -> Event {
    Event {
        request_id: RequestId::fresh(),
        deadline_ms: 1,
        function_arn: Arc::from("arn"),
        trace_id: "Root=1".to_owned(),
        client_context: None,
        tenant_id: None,
        payload: Bytes::copy_from_slice(payload),
    }
}

async fn read(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return (head[9..12].parse().unwrap(), body.to_owned());
        }
    }
}

impl Api {
    async fn send(&mut self, request: &str) -> (u16, String) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        read(&mut self.stream).await
    }

    async fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.send(&format!(
            "POST /2018-06-01/runtime/{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await
    }
}

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn an_event_waits_for_the_runtime_and_the_runtime_for_an_event() {
    let mut api = api().await;
    let (first, second) = (event(b"1"), event(b"2"));
    let (first_id, second_id) = (first.request_id.clone(), second.request_id.clone());
    let answer = api.session.offer(first);
    assert_eq!(api.send(NEXT).await, (200, "1".to_owned()));
    assert!(matches!((&mut api.init).await, Ok(InitResult::Ready)));
    assert_eq!(api.post(&format!("invocation/{first_id}/response"), "one").await.0, 202);
    assert!(matches!(answer.await, Ok(Answer::Response(body)) if body == "one"));

    api.stream.write_all(NEXT.as_bytes()).await.unwrap();
    api.session.parked().await;
    let answer = api.session.offer(second);
    assert_eq!(read(&mut api.stream).await, (200, "2".to_owned()));
    assert_eq!(api.post(&format!("invocation/{second_id}/error"), "{}").await.0, 202);
    assert!(matches!(answer.await, Ok(Answer::Error { body, .. }) if body == "{}"));
}

fn refused(from: &str, to: &str) -> (u16, String) {
    let message = format!(
        "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
    );
    (403, format!(r#"{{"errorMessage":"{message}","errorType":"InvalidStateTransition"}}"#))
}

#[tokio::test]
async fn who_asks_for_more_at_once_is_told_of_both_at_once() {
    let mut api = api().await;
    let (first, second) = (event(b"1"), event(b"2"));
    let id = first.request_id.clone();
    let answer = api.session.offer(first);
    assert_eq!(api.send(NEXT).await, (200, "1".to_owned()));
    let post = |id: &RequestId| {
        format!("POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nContent-Length: 3\r\n\r\none")
    };
    api.stream.write_all(format!("{}{NEXT}", post(&id)).as_bytes()).await.unwrap();
    assert!(matches!(answer.await, Ok(Answer::Response(body)) if body == "one"));
    api.session.parked().await;
    let second_id = second.request_id.clone();
    let _answer = api.session.offer(second);
    let mut bytes = vec![0; 4096];
    let count = api.stream.read(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    assert!(text.starts_with("HTTP/1.1 202 "), "{text}");
    assert!(text.contains("HTTP/1.1 200 OK") && text.ends_with("\r\n\r\n2"), "{text}");

    // A refused question is answered after the answer, and half a question is none yet.
    let (half, rest) = NEXT.split_at(10);
    api.stream.write_all(format!("{}{half}", post(&second_id)).as_bytes()).await.unwrap();
    assert_eq!(read(&mut api.stream).await.0, 202);
    let third = event(b"3");
    let _answer = api.session.offer(third);
    assert_eq!(api.send(rest).await, (200, "3".to_owned()));
}

#[tokio::test]
async fn requests_out_of_turn_are_refused_as_aws_does() {
    let mut api = api().await;
    assert_eq!(api.post("invocation/x/response", "1").await, refused("RuntimeStarted", "InvocationResponse"));
    let event = event(b"{}");
    let id = event.request_id.clone();
    let _answer = api.session.offer(event);
    api.send(NEXT).await;
    assert_eq!(
        api.post("invocation/other/response", "1").await,
        (400, r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#.to_owned())
    );
    assert_eq!(api.send(NEXT).await, refused("RuntimeRunning", "RuntimeReady"));
    assert_eq!(api.post("init/error", "{}").await, refused("RuntimeRunning", "RuntimeInitError"));
    assert_eq!(api.post(&format!("invocation/{id}/response"), "1").await.0, 202);
    assert_eq!(
        api.post(&format!("invocation/{id}/response"), "1").await,
        refused("RuntimeResponseSent", "InvocationResponse")
    );
}

#[tokio::test]
async fn what_is_not_supported_says_so() {
    let mut api = api().await;
    assert_eq!(api.send(RESTORE_NEXT).await, refused("RuntimeStarted", "RuntimeRestoreReady"));
    assert_eq!(api.post("restore/error", "{}").await, refused("RuntimeStarted", "RuntimeRestoreError"));
    let (status, body) = api.send("GET /2021-04-23/credentials HTTP/1.1\r\n\r\n").await;
    assert!(status == 404 && body.contains("SnapStart"), "{status} {body}");
    assert_eq!(api.send("GET /elsewhere HTTP/1.1\r\n\r\n").await.0, 404);
    assert_eq!(api.send("POST /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n").await.0, 405);
}

const RESTORE_NEXT: &str = "GET /2018-06-01/runtime/restore/next HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn a_template_is_initialised_when_it_asks_for_the_restore() {
    let mut api = api_with(Snap { role: SnapRole::Template, vendor: None }).await;
    assert_eq!(api.send(RESTORE_NEXT).await.0, 200);
    assert!(matches!((&mut api.init).await, Ok(InitResult::Ready)));
    assert_eq!(api.send(NEXT).await, refused("RuntimeRestoreReady", "RuntimeReady"));
    assert_eq!(api.send(RESTORE_NEXT).await, refused("RuntimeRestoreReady", "RuntimeRestoreReady"));
    assert!(api.session.why_no_image().is_none());
    assert_eq!(api.post("restore/error", "threads").await.0, 202);
    assert_eq!(api.session.why_no_image().unwrap(), "threads");
}

#[tokio::test]
async fn what_is_not_a_template_goes_on_after_the_restore_or_says_why_not() {
    let instance = || Snap { role: SnapRole::Instance, vendor: None };
    let mut api = api_with(instance()).await;
    assert_eq!(api.send(RESTORE_NEXT).await.0, 200);
    assert_eq!(api.post("restore/error", "{\"errorType\":\"E\"}").await.0, 202);
    assert!(matches!((&mut api.init).await, Ok(InitResult::Failed { .. })));
    assert_eq!(api.send(NEXT).await, refused("RuntimeRestoreError", "RuntimeReady"));
    let mut api = api_with(instance()).await;
    let _answer = api.session.offer(event(b"{}"));
    assert_eq!(api.send(RESTORE_NEXT).await.0, 200);
    assert_eq!(api.send(NEXT).await.0, 200);
    assert!(matches!((&mut api.init).await, Ok(InitResult::Ready)));
    assert_eq!(api.post("restore/error", "{}").await, refused("RuntimeRunning", "RuntimeRestoreError"));
}

struct OneKey;

impl Vend for OneKey {
    fn token(&self) -> &str {
        "secret"
    }

    fn credentials(&self) -> crate::fleet::Later<Result<Bytes, String>> {
        Box::pin(async { Ok(Bytes::from_static(b"{\"AccessKeyId\":\"A\"}")) })
    }
}

#[tokio::test]
async fn credentials_are_for_who_knows_the_token() {
    let mut api = api_with(Snap { role: SnapRole::Instance, vendor: Some(Arc::new(OneKey)) }).await;
    let ask = |header: &str| format!("GET /2021-04-23/credentials HTTP/1.1\r\n{header}\r\n");
    assert_eq!(api.send(&ask("")).await.0, 403);
    assert_eq!(api.send(&ask("Authorization: other\r\n")).await.0, 403);
    let given = api.send(&ask("Authorization: secret\r\n")).await;
    assert_eq!(given, (200, "{\"AccessKeyId\":\"A\"}".to_owned()));
    assert_eq!(api.send("POST /2021-04-23/credentials HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await.0, 405);
}

#[tokio::test]
async fn bodies_come_whole_in_chunks_after_100_continue_and_byte_by_byte() {
    let mut api = api().await;
    for style in 0..3 {
        let event = event(b"{}");
        let id = event.request_id.clone();
        let answer = api.session.offer(event);
        api.send(NEXT).await;
        let head = format!("POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\n");
        match style {
            0 => {
                let request = format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n"
                );
                assert_eq!(api.send(&request).await.0, 202);
            }
            1 => {
                let request = format!("{head}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
                assert_eq!(api.send(&request).await.0, 100);
                assert_eq!(api.send("abcde").await.0, 202);
            }
            _ => {
                for byte in format!("{head}Content-Length: 5\r\n\r\nabcde").bytes() {
                    api.stream.write_all(&[byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                assert_eq!(read(&mut api.stream).await.0, 202);
            }
        }
        assert!(matches!(answer.await, Ok(Answer::Response(body)) if body == "abcde"), "style {style}");
    }
}

#[tokio::test]
async fn a_large_event_arrives_whole() {
    let mut api = api().await;
    let payload = "x".repeat(6 * 1024 * 1024);
    let _answer = api.session.offer(event(payload.as_bytes()));
    let (status, body) = api.send(NEXT).await;
    assert_eq!((status, body.len()), (200, payload.len()));
}

#[tokio::test]
async fn an_initialisation_error_is_passed_on() {
    let mut api = api().await;
    assert_eq!(api.post("init/error", r#"{"errorType":"X"}"#).await.0, 202);
    assert!(
        matches!((&mut api.init).await, Ok(InitResult::Failed { body, .. }) if body == r#"{"errorType":"X"}"#)
    );
    assert_eq!(api.post("init/error", "{}").await.0, 403);
}

#[tokio::test]
async fn the_end_of_the_process_answers_for_it() {
    let mut api = api().await;
    let gone = Departure { code: Some(3), ..Departure::default() };
    let answer = api.session.offer(event(b"{}"));
    api.send(NEXT).await;
    api.session.depart(gone);
    api.session.settle();
    assert!(matches!(answer.await, Ok(Answer::Gone { departure, delivered: true }) if departure == gone));
    let answer = api.session.offer(event(b"{}"));
    assert!(matches!(answer.await, Ok(Answer::Gone { delivered: false, .. })));
}

#[tokio::test]
async fn a_runtime_that_reconnects_gets_the_event() {
    let mut api = api().await;
    api.stream.write_all(NEXT.as_bytes()).await.unwrap();
    api.session.parked().await;
    api.stream = TcpStream::connect(api.address).await.unwrap();
    while api.session.is_parked() {
        tokio::task::yield_now().await;
    }
    let _answer = api.session.offer(event(b"7"));
    assert_eq!(api.send(NEXT).await, (200, "7".to_owned()));
}

#[tokio::test]
async fn garbage_is_refused() {
    let mut api = api().await;
    let (status, body) = api.send("\u{1}\u{2}\u{3}\r\n\r\n").await;
    assert!(status == 400 && body.contains("InvalidRequestFormat"), "{status} {body}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_others_end() {
    let api = api().await;
    let mut others = Vec::new();
    for _ in 1..super::connection::MAX_CONNECTIONS {
        others.push(TcpStream::connect(api.address).await.unwrap());
    }
    for stream in &mut others {
        stream.write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(read(stream).await.0, 404);
    }
    let mut late = TcpStream::connect(api.address).await.unwrap();
    late.write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
    // Those that are served are served on meanwhile, and the late one is not.
    others[0].write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut others[0]).await.0, 404);
    assert_eq!(late.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(others.pop());
    assert_eq!(read(&mut late).await.0, 404);
}

impl Api {
    /// Delivers an event, and begins to answer it with a stream.
    async fn begin_stream(&mut self, headers: &str) -> StreamedAnswer {
        let event = event(b"{}");
        let id = event.request_id.clone();
        let answer = self.session.offer(event);
        self.send(NEXT).await;
        let head = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\n\
             Lambda-Runtime-Function-Response-Mode: streaming\r\n{headers}\r\n"
        );
        self.write(&head).await;
        match answer.await {
            Ok(Answer::Stream(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }
}

const CHUNKED: &str = "Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n";

async fn rest(chunks: &mut tokio::sync::mpsc::Receiver<Bytes>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        all.extend_from_slice(&chunk);
    }
    all
}

#[tokio::test]
async fn a_streamed_answer_is_passed_on_as_it_comes() {
    let mut api = api().await;
    let mut answer = api.begin_stream(CHUNKED).await;
    assert_eq!(answer.content_type.as_deref(), Some("text/html"));
    api.write("3\r\nabc\r\n").await;
    assert_eq!(answer.chunks.recv().await.unwrap(), "abc");
    // A part of a chunk does not wait for the rest of it.
    api.write("6\r\nde").await;
    assert_eq!(answer.chunks.recv().await.unwrap(), "de");
    // There is no error after the beginning.
    let mut other = TcpStream::connect(api.address).await.unwrap();
    other
        .write_all(b"POST /2018-06-01/runtime/invocation/x/error HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(read(&mut other).await.0, 403);
    api.write("fghi\r\n0\r\n\r\n").await;
    assert_eq!(rest(&mut answer.chunks).await, b"fghi");
    assert_eq!(answer.end.await, Ok(StreamEnd::Complete));
    assert_eq!(read(&mut api.stream).await.0, 202);
    api.write(NEXT).await;
    api.session.parked().await;
}

#[tokio::test]
async fn a_streamed_answer_may_have_a_length() {
    let mut api = api().await;
    let mut answer = api.begin_stream("Content-Length: 5\r\n").await;
    api.write("abcde").await;
    assert_eq!(rest(&mut answer.chunks).await, b"abcde");
    assert_eq!((answer.content_type, answer.end.await), (None, Ok(StreamEnd::Complete)));
}

#[tokio::test]
async fn trailers_tell_of_an_error_on_the_way() {
    for (trailers, expected) in [
        (
            "Lambda-Runtime-Function-Error-Type: Oh\r\nlambda-runtime-function-error-body: e30=\r\n",
            StreamEnd::Error { body: Bytes::from_static(b"{}"), error_type: Some("Oh".to_owned()) },
        ),
        (
            "X: y\r\nLambda-Runtime-Function-Error-Type: Oh\r\n",
            StreamEnd::Error { body: Bytes::new(), error_type: Some("Oh".to_owned()) },
        ),
        ("X: y\r\n", StreamEnd::Complete),
    ] {
        let mut api = api().await;
        let mut answer = api.begin_stream(CHUNKED).await;
        api.write(&format!("1\r\na\r\n0\r\n{trailers}\r\n")).await;
        assert_eq!(rest(&mut answer.chunks).await, b"a");
        assert_eq!(answer.end.await, Ok(expected));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_whole() {
    let mut api = api().await;
    let mut answer = api.begin_stream(CHUNKED).await;
    api.write("5\r\nab").await;
    drop(api.stream);
    assert_eq!(rest(&mut answer.chunks).await, b"ab");
    assert_eq!(answer.end.await, Ok(StreamEnd::Truncated));
}

#[tokio::test]
async fn a_slow_reader_slows_the_runtime_and_none_lets_it_go_on() {
    let mut api = api().await;
    let mut answer = api.begin_stream(CHUNKED).await;
    let mut written: usize = 0;
    let chunk = vec![b'x'; 1 << 20];
    // The sockets hold some, the way to the reader one mebibyte; then the runtime must wait.
    let writing = async {
        loop {
            api.stream.write_all(b"100000\r\n").await.unwrap();
            api.stream.write_all(&chunk).await.unwrap();
            api.stream.write_all(b"\r\n").await.unwrap();
            written += chunk.len();
        }
    };
    let stuck = tokio::time::timeout(std::time::Duration::from_millis(500), writing).await;
    assert!(stuck.is_err() && written < 32 << 20, "{written}");
    assert!(answer.chunks.len() <= 16);
    answer.chunks.close();
    // What is in a chunk half written is unknown here: end the connection.
    api.stream.shutdown().await.unwrap();
    assert_eq!(answer.end.await, Ok(StreamEnd::Truncated));
}

#[tokio::test]
async fn a_streamed_answer_has_two_hundred_mebibytes() {
    for (beyond, expected) in [(0, StreamEnd::Complete), (1, StreamEnd::TooLarge)] {
        let mut api = api().await;
        let length = MAX_STREAM_BYTES + beyond;
        let mut answer = api.begin_stream(&format!("Content-Length: {length}\r\n")).await;
        let reading = async {
            let mut seen = 0;
            while let Some(chunk) = answer.chunks.recv().await {
                seen += chunk.len() as u64;
            }
            seen
        };
        let writing = async {
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..MAX_STREAM_BYTES >> 20 {
                api.stream.write_all(&piece).await.unwrap();
            }
            api.stream.write_all(&piece[..usize::try_from(beyond).unwrap()]).await.unwrap();
        };
        assert_eq!(tokio::join!(reading, writing).0, MAX_STREAM_BYTES);
        assert_eq!(answer.end.await, Ok(expected));
        assert_eq!(read(&mut api.stream).await.0, if beyond == 0 { 202 } else { 413 });
    }
}

impl Api {
    async fn extension(&mut self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.send(&format!(
            "{method} /2020-01-01/extension/{path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }
}

#[tokio::test]
async fn extensions_register_and_are_refused_as_aws_does() {
    let mut api = api().await;
    let refused =
        |kind: &str, message: &str| (403, format!(r#"{{"errorMessage":"{message}","errorType":"{kind}"}}"#));
    let name = "Lambda-Extension-Name: in\r\n";
    assert_eq!(
        api.extension("POST", "register", "", "{}").await,
        refused("Extension.InvalidExtensionName", "Empty extension name")
    );
    assert_eq!(
        api.extension("POST", "register", name, r#"{"events":["SHUTDOWN"]}"#).await,
        refused("Extension.InvalidEventType", "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension")
    );
    assert_eq!(
        api.extension("POST", "register", name, r#"{"events":["NOPE"]}"#).await,
        refused("Extension.InvalidEventType", "NOPE: ErrorInvalidEventType")
    );
    assert_eq!(api.extension("POST", "register", name, "[").await.0, 403);
    let features = format!("{name}Lambda-Extension-Accept-Feature: accountId\r\n");
    assert_eq!(
        api.extension("POST", "register", &features, r#"{"events":["INVOKE"]}"#).await,
        (200, r#"{"functionName":"","functionVersion":"","handler":"","accountId":""}"#.to_owned())
    );
    assert_eq!(
        api.extension("GET", "event/next", "", "").await,
        refused("Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
    );
    assert_eq!(
        api.extension("GET", "event/next", "Lambda-Extension-Identifier: x\r\n", "").await,
        refused("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
    );
    let unknown = "Lambda-Extension-Identifier: 11111111-2222-3333-4444-555555555555\r\n";
    assert_eq!(
        api.extension("GET", "event/next", unknown, "").await,
        refused(
            "Extension.UnknownExtensionIdentifier",
            "Unknown extension 11111111-2222-3333-4444-555555555555"
        )
    );
    assert_eq!(
        api.extension("POST", "exit/error", unknown, "").await,
        refused("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
    );
    assert_eq!(api.extension("POST", "event/next", unknown, "").await.0, 405);
    api.session.extensions.close();
    assert_eq!(
        api.extension("POST", "register", "Lambda-Extension-Name: late\r\n", "{}").await,
        refused("Extension.RegistrationClosed", "Extension registration closed already")
    );
}

#[tokio::test]
async fn who_asks_for_the_next_event_before_its_stream_is_read_waits() {
    let mut api = api().await;
    let mut answer = api.begin_stream(CHUNKED).await;
    api.write("1\r\na\r\n").await;
    let mut other = TcpStream::connect(api.address).await.unwrap();
    other.write_all(NEXT.as_bytes()).await.unwrap();
    // The runtime is ready when both are there, in whichever order they are seen.
    assert!(!api.session.is_parked());
    api.write("0\r\n\r\n").await;
    assert_eq!(rest(&mut answer.chunks).await, b"a");
    assert_eq!(answer.end.await, Ok(StreamEnd::Complete));
    api.session.parked().await;
    let _answer = api.session.offer(event(b"7"));
    assert_eq!(read(&mut other).await, (200, "7".to_owned()));
}

#[tokio::test]
async fn an_event_that_a_killed_process_never_read_was_never_delivered() {
    for (reads, by_signal, delivered) in [(false, true, false), (true, true, true), (false, false, true)] {
        let mut api = api().await;
        api.stream.write_all(NEXT.as_bytes()).await.unwrap();
        api.session.parked().await;
        let answer = api.session.offer(event(b"1"));
        // It lies in the socket before the process ends; a close with something unread resets the connection.
        assert_eq!(api.stream.peek(&mut [0; 1]).await.unwrap(), 1);
        if reads {
            assert_eq!(read(&mut api.stream).await, (200, "1".to_owned()));
        }
        drop(api.stream);
        let (signal, code) = if by_signal { (Some(9), None) } else { (None, Some(1)) };
        api.session.depart(Departure { signal, code, ..Departure::default() });
        match answer.await.unwrap() {
            Answer::Gone { delivered: told, .. } => assert_eq!(told, delivered, "{reads} {by_signal}"),
            other => panic!("{other:?}"),
        }
    }
}
