//! Answers that are streams of events: each event leaves when it is there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::ApiError;
use frontdoor::{Call, Service, Streamed};
use futures_core::Stream;
use gateway::{AuthMode, SourceKind};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use wire::Blob;

use crate::house::{Ask, Client, House};

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "FunctionName")]
    _name: String,
    #[serde(rename = "Payload")]
    _payload: Option<Blob>,
}

#[derive(Serialize)]
struct Head {
    #[serde(rename = "StatusCode")]
    status: i32,
    #[serde(rename = "ExecutedVersion")]
    version: &'static str,
}

#[derive(Serialize)]
enum Event {
    PayloadChunk {
        #[serde(rename = "Payload")]
        payload: Blob,
    },
}

type Given = Result<Vec<u8>, ApiError>;

/// What the test sends, as events.
struct Events(mpsc::Receiver<Given>);

impl Stream for Events {
    type Item = Result<Event, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = |given: Given| given.map(|bytes| Event::PayloadChunk { payload: Blob(bytes.into()) });
        self.0.poll_recv(cx).map(|given| given.map(event))
    }
}

struct Sender {
    events: Mutex<Option<mpsc::Receiver<Given>>>,
}

async fn stream(state: Arc<Sender>, _: Call, _: Request) -> Result<Streamed<Head>, ApiError> {
    let events = state.events.lock().await.take().unwrap();
    Ok(Streamed::new(Head { status: 200, version: "7" }, Events(events)))
}

/// A house whose next streamed answer is what is sent here, and a client that has asked for it.
async fn open() -> (House, Client, mpsc::Sender<Given>) {
    let (sender, events) = mpsc::channel(1);
    let state = Arc::new(Sender { events: Mutex::new(Some(events)) });
    let service = Service::new("lambda", state).on_stream("InvokeWithResponseStream", stream).build();
    let house = House::serving(service, AuthMode::Audit, SourceKind::Outside, |_| {}).await;
    let mut client = house.connect().await;
    let ask = Ask::invoke("f", b"{}").to("/2021-11-15/functions/f/response-streaming-invocations");
    client.send(&ask).await;
    (house, client, sender)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn an_event_leaves_when_it_is_there() {
    let (_house, mut client, sender) = open().await;
    let head = text(&client.read_until(b"\r\n\r\n").await);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: application/vnd.amazon.eventstream\r\n"), "{head}");
    assert!(head.contains("x-amz-executed-version: 7\r\n"), "{head}");
    assert!(head.contains("x-amzn-requestid: "), "{head}");
    sender.send(Ok(b"first".to_vec())).await.unwrap();
    let first = text(&client.read_until(b"first").await);
    assert!(first.contains("PayloadChunk"), "{first}");
    // More than one piece is copied into.
    sender.send(Ok(vec![b'x'; 100_000])).await.unwrap();
    sender.send(Ok(b"last".to_vec())).await.unwrap();
    drop(sender);
    let rest = text(&client.read_until(b"\r\n0\r\n\r\n").await);
    assert!(rest.contains("last") && rest.len() > 100_000);
}

#[tokio::test]
async fn an_error_on_the_way_is_the_last_message() {
    let (_house, mut client, sender) = open().await;
    sender.send(Ok(b"first".to_vec())).await.unwrap();
    sender.send(Err(ApiError::new("ServiceException", "no luck"))).await.unwrap();
    let all = text(&client.read_until(b"\r\n0\r\n\r\n").await);
    let error = all.split_once("first").unwrap().1;
    assert!(error.contains(":error-code") && error.contains("ServiceException") && error.contains("no luck"));
}

#[tokio::test]
async fn a_client_that_goes_away_drops_the_stream() {
    let (_house, mut client, sender) = open().await;
    sender.send(Ok(b"first".to_vec())).await.unwrap();
    client.read_until(b"first").await;
    drop(client);
    sender.closed().await;
}
