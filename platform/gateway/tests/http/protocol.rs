//! HTTP itself: versions, keep-alive, bodies of every kind, what is malformed, panics, the end.

use std::time::Duration;

use bytes::Bytes;
use gateway::{AuthMode, SourceKind};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::house::{Ask, House};
use crate::sign::Signer;

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let house = House::open(AuthMode::Audit).await;
    let mut client = house.connect().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let body = format!("{{\"n\": {n}}}");
        client.send(&Ask::invoke("echo", body.as_bytes())).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, body));
        ids.push(answer.header("x-amzn-requestid").unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn each_protocol_gets_its_answer() {
    let house = House::open(AuthMode::Audit).await;
    let answer = house.ask(Ask::json("Logs_20140328.CreateLogGroup", "{\"logGroupName\":\"x\"}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = house.ask(Ask::query("Action=GetCallerIdentity&Version=2011-06-15")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("<Arn>arn:aws:iam::000000000000:root</Arn>"), "{}", answer.text());
    assert!(answer.text().contains("127.0.0.1 } eu-west-1"), "{}", answer.text());
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let house = House::open(AuthMode::Audit).await;
    let stream = TcpStream::connect(house.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let path = "/2015-03-31/functions/echo/invocations";
    for body in ["{}", "[1]"] {
        let mut request = http::Request::post(format!("http://{}{path}", house.host()));
        for (name, value) in Signer::new("lambda").headers("POST", path, &house.host(), body.as_bytes()) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("x-amzn-requestid"));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
    }
    let large = Full::new(Bytes::from(vec![b'1'; 1_000_000]));
    let mut request = http::Request::post(format!("http://{}{path}", house.host()));
    for (name, value) in Signer::new("lambda").headers("POST", path, &house.host(), b"") {
        request = request.header(name, value);
    }
    let answer = sender.send_request(request.body(large).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn a_body_beyond_its_limit_gets_an_answer_and_no_hang() {
    let house = House::open(AuthMode::Audit).await;
    let answer = house.ask(Ask::invoke("echo", &[b'1'; 1000])).await;
    assert_eq!(answer.status, 200);
    for length in [1001, 10_000_000] {
        let answer = house.ask(Ask::invoke("echo", &vec![b'1'; length])).await;
        assert_eq!(answer.status, 413);
        assert_eq!(answer.header("x-amzn-errortype"), Some("RequestEntityTooLargeException"));
        assert!(answer.text().contains("Request must be smaller than 1000 bytes"), "{}", answer.text());
    }
    let answer = house.ask(Ask::query(&format!("Action=GetCallerIdentity&x={}", "y".repeat(3000)))).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("Request must be smaller than 2000 bytes"), "{}", answer.text());
}

#[tokio::test]
async fn a_refused_client_gets_its_answer_whatever_it_sends() {
    let house = House::open(AuthMode::Audit).await;
    let large = vec![b'1'; 5_000_000];
    let stranger = Ask::invoke("echo", &large).signed(|signer| signer.key = "AKIANOBODY");
    assert_eq!(house.ask(stranger).await.status, 403);
    let mut nowhere = Ask::invoke("echo", &large);
    nowhere.target = "/nowhere".to_owned();
    assert!((400..500).contains(&house.ask(nowhere).await.status));
    let page = Ask::invoke("echo", &large).header("origin", "https://evil.example");
    assert_eq!(house.ask(page).await.status, 403);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let house = House::open(AuthMode::Audit).await;
    let mut client = house.connect().await;
    let ask = Ask::invoke("echo", b"{}").header("expect", "100-continue");
    let head = client.head(&ask) + "content-length: 2\r\n\r\n";
    client.write(head.as_bytes()).await;
    assert_eq!(client.answer().await.status, 100);
    client.write(b"{}").await;
    assert_eq!(client.answer().await.text(), "{}");

    let ask = Ask::invoke("echo", b"").header("expect", "100-continue");
    let head = client.head(&ask) + "content-length: 5000\r\n\r\n";
    client.write(head.as_bytes()).await;
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn a_chunked_body_is_one_body() {
    let house = House::open(AuthMode::Audit).await;
    let mut client = house.connect().await;
    let head = client.head(&Ask::invoke("echo", b"[1,2]")) + "transfer-encoding: chunked\r\n\r\n";
    client.write(head.as_bytes()).await;
    client.write(b"2\r\n[1\r\n").await;
    client.write(b"3\r\n,2]\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "[1,2]".to_owned()));

    let head = client.head(&Ask::invoke("echo", b"")) + "transfer-encoding: chunked\r\n\r\n";
    client.write(head.as_bytes()).await;
    client.write(format!("7d0\r\n{}\r\n0\r\n\r\n", "1".repeat(2000)).as_bytes()).await;
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let house = House::open(AuthMode::Audit).await;
    let mut client = house.connect().await;
    client.write(b"NONSENSE\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 400);
    assert!(client.is_closed().await);
    let mut client = house.connect().await;
    client.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 400);
}

#[tokio::test]
async fn a_client_that_stops_sending_is_let_go() {
    let short = Duration::from_millis(50);
    let house = House::with(AuthMode::Audit, SourceKind::Outside, |c| c.read_timeout = short).await;
    let mut silent = house.connect().await;
    assert!(silent.is_closed().await);
    let mut half = house.connect().await;
    half.write(b"POST / HTTP/1.1\r\nhost: lo").await;
    assert!(half.is_closed().await || half.is_closed().await);
    let mut client = house.connect().await;
    let head = client.head(&Ask::invoke("echo", b"{}")) + "content-length: 2\r\n\r\n{";
    client.write(head.as_bytes()).await;
    assert_eq!(client.answer().await.status, 408);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn unknown_operations_are_named() {
    let house = House::open(AuthMode::Audit).await;
    let answer = house.ask(Ask::json("Logs_20140328.DeleteLogGroup", "{\"logGroupName\":\"x\"}")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("operation DeleteLogGroup of service logs is not supported yet"));
    let answer = house.ask(Ask::json("Logs_20140328.Dance", "{}")).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let answer = house.ask(Ask::json("Nobody.Knows", "{}")).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let mut nowhere = Ask::invoke("x", b"");
    nowhere.target = "/nowhere".to_owned();
    let answer = house.ask(nowhere).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn errors_carry_their_code_and_id() {
    let house = House::open(AuthMode::Audit).await;
    let answer = house.ask(Ask::invoke("missing", b"{}")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-amzn-errortype"), Some("ResourceNotFoundException"));
    assert!(answer.header("x-amzn-requestid").is_some());
    assert!(answer.text().contains("Function not found: missing"));
}

#[tokio::test]
async fn a_panic_fails_its_request_and_not_its_connection() {
    let house = House::open(AuthMode::Audit).await;
    let mut client = house.connect().await;
    client.send(&Ask::invoke("panic", b"{}")).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("paper"));
    client.send(&Ask::invoke("echo", b"{}")).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn the_bare_address_says_what_it_is() {
    let house = House::open(AuthMode::Audit).await;
    let answer = house.ask(Ask::new("GET", "/")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with("{\"name\":\"lamplighter\",\"version\":\""));
    let mut client = house.connect().await;
    client.send(&Ask::new("HEAD", "/")).await;
    assert_eq!(client.answer_without_body().await.status, 200);
}

#[tokio::test]
async fn a_shut_down_gateway_ends_idle_connections() {
    let house = House::open(AuthMode::Audit).await;
    let mut used = house.connect().await;
    used.send(&Ask::invoke("echo", b"{}")).await;
    assert_eq!(used.answer().await.status, 200);
    house.gateway.shutdown().await;
    assert!(used.is_closed().await);
    assert!(TcpStream::connect(house.address).await.is_err());
}
