//! How long the wire takes, for whoever changes it: `cargo test --release -p lamplighter-wire -- --ignored --nocapture`.
//!
//! Not a check: the numbers depend on the machine. The promise is a few microseconds for an Invoke.

use std::time::Instant;

use base::RequestId;
use bytes::Bytes;
use http::request::Parts;
use model::Catalog;

use crate::{Doc, decode, encode_output, route, validate};

const ROUNDS: u32 = 50_000;

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = http::Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn measure() {
    let invoke = parts(
        "POST",
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Ahello/invocations?Qualifier=PROD",
        &[("x-amz-log-type", "Tail")],
    );
    let put = parts("POST", "/", &[("x-amz-target", "Logs_20140328.PutLogEvents")]);
    let role = parts("POST", "/", &[("content-type", "application/x-www-form-urlencoded")]);
    let cases: [(&str, Parts, &str); 3] = [
        ("lambda", invoke, r#"{"key": "value"}"#),
        (
            "logs",
            put,
            r#"{"logGroupName":"/aws/lambda/a","logStreamName":"s","logEvents":[{"timestamp":1,"message":"m"}]}"#,
        ),
        (
            "iam",
            role,
            "Action=CreateRole&Version=2010-05-08&RoleName=r&AssumeRolePolicyDocument=%7B%7D&Tags.member.1.Key=a&Tags.member.1.Value=b",
        ),
    ];
    for (name, parts, body) in &cases {
        let body = Bytes::from_static(body.as_bytes());
        let first = Instant::now();
        let run = || {
            let route = route(Catalog::embedded(), parts, &body, Some(name)).unwrap();
            let input = decode(&route, parts, body.clone()).unwrap();
            validate(route.operation, &input).unwrap();
            route
        };
        let route = run();
        println!("{name}: first use {:?}", first.elapsed());
        let start = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(run());
        }
        println!("{name} {}: route, decode, validate {:?}", route.operation.name, start.elapsed() / ROUNDS);
    }
    let (_, parts, _) = &cases[0];
    let route = route(Catalog::embedded(), parts, &Bytes::new(), Some("lambda")).unwrap();
    let output = Doc::Map(vec![
        ("StatusCode".into(), Doc::Int(200)),
        ("ExecutedVersion".into(), Doc::Str("$LATEST".into())),
        ("Payload".into(), Doc::Blob(Bytes::from_static(b"{}"))),
    ]);
    let id = RequestId::fresh();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(encode_output(&route, &output, &id));
    }
    println!("Invoke: encode {:?}", start.elapsed() / ROUNDS);
}
