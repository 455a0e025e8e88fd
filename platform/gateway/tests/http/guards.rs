//! Web pages, foreign host names, and the private API.

use gateway::{AdminAnswer, AuthMode, SourceKind};

use crate::house::{Ask, House, NOW};

#[tokio::test]
async fn a_local_page_may_ask_and_read() {
    let house = House::open(AuthMode::Audit).await;
    let ask = Ask::new("OPTIONS", "/2015-03-31/functions/echo/invocations")
        .header("origin", "http://localhost:3000")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-amz-date");
    let answer = house.ask(ask).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,x-amz-date"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));

    let answer = house.ask(Ask::invoke("echo", b"{}").header("origin", "http://localhost:3000")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:3000"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("x-amz-function-error"));
    let answer = house.ask(Ask::invoke("echo", b"{}").unsigned().header("origin", "http://localhost")).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost"));
}

#[tokio::test]
async fn a_foreign_page_may_neither_ask_nor_act() {
    for mode in [AuthMode::Off, AuthMode::Audit] {
        let house = House::open(mode).await;
        let preflight = Ask::new("OPTIONS", "/")
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST");
        for ask in [preflight, Ask::invoke("echo", b"{}").header("origin", "https://evil.example")] {
            let answer = house.ask(ask).await;
            assert_eq!(answer.status, 403);
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert!(answer.header("x-amzn-requestid").is_some());
        }
    }
}

#[tokio::test]
async fn a_name_that_can_be_rebound_is_no_host_of_ours() {
    let house = House::open(AuthMode::Off).await;
    for host in ["localhost:4566", "lambda.eu-west-1.amazonaws.com", "127.0.0.1"] {
        assert_eq!(house.ask(Ask::invoke("echo", b"{}").host(host)).await.status, 200, "{host}");
    }
    let answer = house.ask(Ask::invoke("echo", b"{}").host("evil.example")).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("evil.example"));
}

#[tokio::test]
async fn the_clock_is_read_and_moved() {
    let house = House::open(AuthMode::Enforce).await;
    let key = |ask: Ask| ask.header("x-lamplighter", "1");
    let answer = house.ask(key(Ask::new("GET", "/_lamplighter/health"))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\"status\":\"ok\""));
    let mut advance = key(Ask::new("POST", "/_lamplighter/clock"));
    advance.body = b"{\"advance_ms\": 7200000}".to_vec();
    let answer = house.ask(advance.clone()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\"offset_ms\":7200000"), "{}", answer.text());
    assert_eq!(house.clock.now().0, NOW.0 + 7_200_000);
    let answer = house.ask(key(Ask::new("GET", "/_lamplighter/clock"))).await;
    assert!(answer.text().contains("2026-11-23T14:00:00.000Z"), "{}", answer.text());
    for bad in ["", "{}", "{\"advance_ms\": -1}", "{\"advance_ms\": 1, \"x\": 2}", "{\"advance_ms\": 1e15}"] {
        advance.body = bad.as_bytes().to_vec();
        assert_eq!(house.ask(advance.clone()).await.status, 400, "{bad}");
    }
    assert_eq!(house.clock.now().0, NOW.0 + 7_200_000);
    assert_eq!(house.ask(key(Ask::new("DELETE", "/_lamplighter/clock"))).await.status, 405);
}

#[tokio::test]
async fn the_private_api_is_private() {
    let house = House::open(AuthMode::Off).await;
    let health = Ask::new("GET", "/_lamplighter/health");
    assert_eq!(house.ask(health.clone()).await.status, 403);
    let from_page = health.clone().header("x-lamplighter", "1").header("origin", "http://localhost:3000");
    assert_eq!(house.ask(from_page).await.status, 403);
    let rebound = health.clone().header("x-lamplighter", "1").host("evil.example");
    assert_eq!(house.ask(rebound).await.status, 403);
    let inside = House::with(AuthMode::Off, SourceKind::Box("arn:of:f".into()), |_| {}).await;
    assert_eq!(inside.ask(health.header("x-lamplighter", "1")).await.status, 403);
}

#[tokio::test]
async fn routes_can_be_added() {
    let house = House::open(AuthMode::Audit).await;
    house.gateway.admin_route("functions/list", |request| async move {
        AdminAnswer::ok(&format!("{} {}", request.method, request.query))
    });
    let ask = |path: &str| Ask::new("GET", path).header("x-lamplighter", "1");
    let answer = house.ask(ask("/_lamplighter/functions/list?a=b")).await;
    assert_eq!((answer.status, answer.text()), (200, "\"GET a=b\"".to_owned()));
    assert_eq!(house.ask(ask("/_lamplighter/nothing")).await.status, 404);
}

#[tokio::test]
async fn a_box_has_few_bytes_in_flight() {
    let house =
        House::with(AuthMode::Off, SourceKind::Box("arn".into()), |c| c.max_box_body_bytes = 100).await;
    for _ in 0..3 {
        let answer = house.ask(Ask::invoke("echo", &[b'1'; 90])).await;
        assert_eq!(answer.status, 200, "what was taken has come back");
        let answer = house.ask(Ask::invoke("echo", &[b'1'; 110])).await;
        assert_eq!(answer.status, 429);
        assert!(answer.text().contains("bytes of requests"));
    }
}
