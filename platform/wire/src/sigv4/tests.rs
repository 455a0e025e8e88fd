//! Signatures by others: AWS's published vectors, and requests that botocore signed (`recorded.txt`).

use base::Timestamp;
use bytes::Bytes;
use http::Request;
use http::request::Parts;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// When the requests of `recorded.txt` were signed: 2026-11-23T12:00:00Z.
const RECORDED_AT: Timestamp = Timestamp(1_795_435_200_000);

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The requests of AWS's test suite: all signed by the same key at 2015-08-30T12:36:00Z for `service`.
fn published(method: &str, target: &str, more: &[(&str, &str)], signed: &str, signature: &str) -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={signed}, Signature={signature}"
    );
    let mut headers = vec![("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
    headers.extend_from_slice(more);
    headers.push(("authorization", &authorization));
    parts(method, target, &headers)
}

fn verify(parts: &Parts, body: &'static [u8]) -> Result<(), AuthError> {
    let signature = Signature::find(parts)?.ok_or(AuthError::Missing)?;
    signature.verify(parts, &Bytes::from_static(body), SECRET, PathForm::EncodedTwice, &SigningKeys::new())
}

#[test]
fn the_published_vectors_verify() {
    let plain = "host;x-amz-date";
    let vectors: &[(&str, &str, &str)] = &[
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "/./", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "/./example", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        ("GET", "//example//", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        ("GET", "/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        (
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
    ];
    for (method, target, signature) in vectors {
        let request = published(method, target, &[], plain, signature);
        assert_eq!(verify(&request, b""), Ok(()), "{method} {target}");
    }
}

#[test]
fn the_published_vectors_with_more_headers_verify() {
    let trim = published(
        "GET",
        "/",
        &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    );
    assert_eq!(verify(&trim, b""), Ok(()));
    let form = published(
        "POST",
        "/",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    );
    assert_eq!(verify(&form, b"Param1=value1"), Ok(()));
}

/// Each recorded request with its title.
fn recorded() -> Vec<(&'static str, Parts, &'static [u8])> {
    let text = include_str!("recorded.txt");
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split("\n=====\n")
        .map(|one| {
            let (head, body) = one.split_once("\n\n").unwrap();
            let mut lines = head.lines();
            let title = lines.next().unwrap();
            let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
            let headers: Vec<_> = lines.map(|line| line.split_once(':').unwrap()).collect();
            (title, parts(method, target, &headers), body.as_bytes())
        })
        .collect()
}

#[test]
fn what_botocore_signs_verifies() {
    let requests = recorded();
    assert_eq!(requests.len(), 9);
    for (title, parts, body) in requests {
        assert_eq!(verify(&parts, body), Ok(()), "{title}");
        let signature = Signature::find(&parts).unwrap().unwrap();
        assert_eq!(signature.signed_at, RECORDED_AT, "{title}");
        assert_eq!(signature.check_time(RECORDED_AT), Ok(()), "{title}");
        assert_eq!(signature.session_token.is_some(), signature.access_key_id == "ASIAEXAMPLE", "{title}");
    }
}

#[test]
fn what_was_touched_does_not_verify() {
    for (title, parts, body) in recorded() {
        let mismatch = |parts: &Parts, body| {
            assert!(matches!(verify(parts, body), Err(AuthError::Mismatch { .. })), "{title}");
        };
        mismatch(&parts, b"other body");
        let mut other = parts.clone();
        other.method = http::Method::DELETE;
        mismatch(&other, body);
        let mut other = parts.clone();
        let join = if parts.uri.query().is_some() { '&' } else { '?' };
        other.uri = format!("{}{join}z=1", parts.uri).parse().unwrap();
        mismatch(&other, body);
        let mut other = parts.clone();
        other.headers.insert("host", "elsewhere:4566".parse().unwrap());
        mismatch(&other, body);
        let signature = Signature::find(&parts).unwrap().unwrap();
        let keys = SigningKeys::new();
        let wrong =
            signature.verify(&parts, &Bytes::from_static(body), "wrong", PathForm::EncodedTwice, &keys);
        assert!(matches!(wrong, Err(AuthError::Mismatch { .. })), "{title}");
    }
}

#[test]
fn http2_signs_its_authority_as_host() {
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let headers = [("x-amz-date", "20150830T123600Z"), ("authorization", authorization)];
    assert_eq!(verify(&parts("GET", "http://example.amazonaws.com/", &headers), b""), Ok(()));
}

fn at(signed_at: &str) -> Signature {
    let scope = &signed_at[..8];
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=k/{scope}/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"
    );
    let headers = [("host", "h"), ("x-amz-date", signed_at), ("authorization", &authorization)];
    Signature::find(&parts("GET", "/", &headers)).unwrap().unwrap()
}

#[test]
fn a_skew_of_fifteen_minutes_is_allowed_and_no_more() {
    let signature = at("20261123T120000Z");
    let minutes = |n: i64| Timestamp(RECORDED_AT.0 + n * 60_000);
    assert_eq!(signature.check_time(minutes(15)), Ok(()));
    assert_eq!(signature.check_time(minutes(-15)), Ok(()));
    assert_eq!(
        signature.check_time(minutes(16)),
        Err(AuthError::Expired(
            "Signature expired: 20261123T120000Z is now earlier than 20261123T120100Z \
             (20261123T121600Z - 15 min.)"
                .to_owned()
        ))
    );
    assert_eq!(
        signature.check_time(minutes(-16)),
        Err(AuthError::NotYetCurrent(
            "Signature not yet current: 20261123T120000Z is still later than 20261123T115900Z \
             (20261123T114400Z + 15 min.)"
                .to_owned()
        ))
    );
}

#[test]
fn a_presigned_request_lives_as_long_as_it_says() {
    let (_, presigned, _) = recorded().into_iter().find(|(title, ..)| *title == "# presigned").unwrap();
    let signature = Signature::find(&presigned).unwrap().unwrap();
    assert!(signature.is_presigned());
    assert_eq!(signature.check_time(Timestamp(RECORDED_AT.0 + 60_000)), Ok(()));
    assert!(matches!(
        signature.check_time(Timestamp(RECORDED_AT.0 + 60_001)),
        Err(AuthError::Expired(text)) if text.contains("60 sec.")
    ));
    let week = presigned.uri.to_string().replace("X-Amz-Expires=60", "X-Amz-Expires=604801");
    assert!(matches!(
        Signature::find(&parts("GET", &week, &[])),
        Err(AuthError::Incomplete(text)) if text.contains("604800")
    ));
}

#[test]
fn an_incomplete_signature_is_told_what_it_lacks() {
    let refuse = |authorization: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("host", "h"), ("authorization", authorization)];
        headers.extend_from_slice(more);
        match Signature::find(&parts("GET", "/", &headers)) {
            Err(AuthError::Incomplete(text)) => text,
            other => panic!("{authorization}: {other:?}"),
        }
    };
    let date = [("x-amz-date", "20261123T120000Z")];
    let credential = "Credential=k/20261123/us-east-1/lambda/aws4_request";
    assert_eq!(
        refuse(&format!("AWS4-HMAC-SHA256 {credential}"), &[]),
        format!(
            "Authorization header requires 'Signature' parameter. Authorization header requires \
             'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a \
             'Date' header. Authorization=AWS4-HMAC-SHA256 {credential}"
        )
    );
    let full = |credential: &str, signed: &str| {
        format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders={signed}, Signature=00")
    };
    assert!(refuse(&full(credential, "x-amz-date"), &date).contains("must be a 'SignedHeader'"));
    assert!(refuse(&full("Credential=k/us-east-1", "host"), &date).contains("5 slash-delimited elements"));
    assert!(
        refuse(&full("Credential=k/20261122/us-east-1/lambda/aws4_request", "host"), &date)
            .contains("'20261122' != '20261123', from '20261123T120000Z'")
    );
    assert!(
        refuse(&full("Credential=k/20261123/us-east-1/lambda/aws3_request", "host"), &date)
            .contains("valid terminator")
    );
    assert!(
        refuse(&full(credential, "host"), &[("x-amz-date", "2026-11-23")])
            .contains("ISO-8601 'basic format'")
    );
    assert!(refuse("Bearer abc", &date).contains("Unsupported AWS 'algorithm'"));
    assert!(refuse("AWS4-HMAC-SHA256 Credential", &date).contains("missing equal-sign"));
}

#[test]
fn a_request_without_a_signature_is_unsigned_and_not_an_error() {
    assert_eq!(Signature::find(&parts("GET", "/?a=b", &[("host", "h")])), Ok(None));
}

#[test]
fn the_codes_follow_the_protocol() {
    let mismatch = AuthError::Mismatch { detail: String::new() };
    let shape = |error: &AuthError, dialect| {
        let error = error.to_api(dialect);
        (error.code.to_string(), error.http_status())
    };
    assert_eq!(shape(&mismatch, Dialect::RestJson), ("InvalidSignatureException".to_owned(), 403));
    assert_eq!(shape(&mismatch, Dialect::Json), ("InvalidSignatureException".to_owned(), 400));
    assert_eq!(shape(&mismatch, Dialect::Xml), ("SignatureDoesNotMatch".to_owned(), 403));
    assert_eq!(shape(&AuthError::UnknownKey, Dialect::Xml), ("InvalidClientTokenId".to_owned(), 403));
    assert_eq!(shape(&AuthError::Missing, Dialect::RestJson).0, "MissingAuthenticationTokenException");
}
