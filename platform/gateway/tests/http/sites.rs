//! Sites: claimed before the AWS APIs, with rules of their own for origins, the same for hosts.

use std::sync::Arc;

use bytes::Bytes;
use frontdoor::Source;
use gateway::{AuthMode, Body, Refused, Serving, Site, Sites, SourceKind, Visit, host_of};
use http::request::Parts;
use http::{Method, Response};

use crate::house::{Ask, House};
use crate::sign::Signer;

/// Claims `*.shop.localhost`; `signed.shop.localhost` wants signatures.
#[derive(Debug)]
struct Shops;

impl Sites for Shops {
    fn claim(&self, head: &Parts) -> Option<Box<dyn Site>> {
        let host = host_of(head)?.split(':').next()?;
        let name = host.strip_suffix(".shop.localhost")?;
        Some(Box::new(Shop { signed: name == "signed" }))
    }
}

struct Shop {
    signed: bool,
}

fn text(status: u16, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = status.try_into().unwrap();
    response
}

impl Site for Shop {
    fn max_body_bytes(&self) -> usize {
        10
    }

    fn signing_name(&self) -> Option<&'static str> {
        self.signed.then_some("lambda")
    }

    fn answer_early(&self, head: &Parts) -> Option<Response<Body>> {
        (head.method == Method::OPTIONS).then(|| text(200, "ask away".to_owned()))
    }

    fn refuse(&self, _: &Parts, refused: &Refused) -> Response<Body> {
        match refused {
            Refused::Unsigned => text(403, "unsigned".to_owned()),
            Refused::Signature(error) => text(403, error.code.to_string()),
            Refused::TooLarge => text(413, "too large".to_owned()),
            Refused::Body(error) => text(error.http_status(), error.code.to_string()),
        }
    }

    fn serve(self: Box<Self>, visit: Visit) -> Serving {
        Box::pin(async move {
            assert_ne!(visit.body, "panic");
            assert!(matches!(visit.source, Source::Http { .. }));
            let visitor = visit.visitor.map_or("nobody".to_owned(), |visitor| visitor.principal.arn());
            text(201, format!("{} {} {visitor}", visit.head.uri, visit.body.len()))
        })
    }
}

async fn house() -> House {
    House::with(AuthMode::Audit, SourceKind::Outside, |config| config.sites = vec![Arc::new(Shops)]).await
}

fn request(host: &'static str, body: &str) -> Ask {
    Ask { body: body.as_bytes().to_vec(), ..Ask::new("POST", "/a?b=c") }.host(host)
}

#[tokio::test]
async fn a_site_answers_in_its_own_words() {
    let house = house().await;
    let answer = house.ask(request("x.shop.localhost:4566", "0123456789")).await;
    assert_eq!((answer.status, answer.text().as_str()), (201, "/a?b=c 10 nobody"));
    assert!(answer.header("x-amzn-requestid").is_some());
    let answer = house.ask(request("x.shop.localhost", "0123456789a")).await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
    // The AWS APIs are where they were.
    assert_eq!(house.ask(Ask::new("GET", "/")).await.status, 200);
}

#[tokio::test]
async fn origins_are_the_sites_business_and_hosts_are_not() {
    let house = house().await;
    let from_a_page = |ask: Ask| ask.header("origin", "https://example.com");
    assert_eq!(house.ask(from_a_page(request("x.shop.localhost", ""))).await.status, 201);
    assert_eq!(house.ask(from_a_page(request("localhost", ""))).await.status, 403);
    assert_eq!(house.ask(request("x.shop.localhost.evil.example", "")).await.status, 403);
    let preflight = from_a_page(Ask::new("OPTIONS", "/")).host("signed.shop.localhost");
    assert_eq!(house.ask(preflight).await.text(), "ask away");
}

#[tokio::test]
async fn a_site_that_wants_signatures_gets_sound_ones_only() {
    let house = house().await;
    let signed = |service: &'static str| Ask {
        signer: Some(Signer::new(service)),
        ..Ask::new("POST", "/").host("signed.shop.localhost")
    };
    assert_eq!(house.ask(signed("lambda")).await.text(), "/ 0 arn:aws:iam::000000000000:root");
    assert_eq!(house.ask(signed("lambda").unsigned()).await.text(), "unsigned");
    for bad in [signed("sqs"), signed("lambda").signed(|signer| signer.secret = "guess")] {
        let answer = house.ask(bad).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, "InvalidSignatureException"));
    }
}

#[tokio::test]
async fn a_panic_of_a_site_is_that_requests_alone() {
    let house = house().await;
    assert_eq!(house.ask(request("x.shop.localhost", "panic")).await.status, 500);
    assert_eq!(house.ask(request("x.shop.localhost", "")).await.status, 201);
}
