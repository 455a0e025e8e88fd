//! Who is let in, in each mode, and what the others are told.

use std::sync::Arc;
use std::time::Duration;

use base::ApiError;
use frontdoor::{Call, Service};
use gateway::{AuthMode, SourceKind};

use crate::house::{Answer, Ask, House};
use crate::sign::Signer;

const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";

fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let says = answer.header("x-amzn-errortype").is_some_and(|kind| kind == code)
        || answer.text().contains(&format!("<Code>{code}</Code>"))
        || answer.text().contains(&format!("{code}\""));
    assert!(says, "{code} expected: {answer:?} {}", answer.text());
}

#[tokio::test]
async fn a_wrong_secret_is_refused_in_each_protocols_words() {
    for mode in [AuthMode::Audit, AuthMode::Enforce] {
        let house = House::open(mode).await;
        let wrong = |signer: &mut Signer| signer.secret = "guess";
        let answer = house.ask(Ask::invoke("echo", b"{}").signed(wrong)).await;
        assert_refused(&answer, 403, "InvalidSignatureException");
        assert!(answer.text().contains("The request signature we calculated does not match"));
        let answer = house.ask(Ask::query(WHO).signed(wrong)).await;
        assert_refused(&answer, 403, "SignatureDoesNotMatch");
        let answer = house.ask(Ask::json("Logs_20140328.CreateLogGroup", "{}").signed(wrong)).await;
        assert_refused(&answer, 400, "InvalidSignatureException");
    }
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    let house = House::open(AuthMode::Audit).await;
    let unknown = |signer: &mut Signer| signer.key = "AKIANOBODY";
    assert_refused(
        &house.ask(Ask::invoke("echo", b"{}").signed(unknown)).await,
        403,
        "UnrecognizedClientException",
    );
    assert_refused(&house.ask(Ask::query(WHO).signed(unknown)).await, 403, "InvalidClientTokenId");
}

#[tokio::test]
async fn an_unsigned_request_is_refused() {
    let house = House::open(AuthMode::Audit).await;
    let answer = house.ask(Ask::invoke("echo", b"{}").unsigned()).await;
    assert_refused(&answer, 403, "MissingAuthenticationTokenException");
    let answer = house.ask(Ask::query(WHO).unsigned()).await;
    assert_refused(&answer, 403, "MissingAuthenticationToken");
}

#[tokio::test]
async fn what_needs_no_signature_is_taken_without_one_and_by_nobody_in_particular() {
    #[derive(serde::Deserialize)]
    struct Confirm {
        #[serde(rename = "TopicArn")]
        topic_arn: String,
        #[serde(rename = "Token")]
        _token: String,
    }
    #[derive(serde::Serialize)]
    struct Confirmed {
        #[serde(rename = "SubscriptionArn")]
        arn: String,
    }
    async fn confirm(_: Arc<()>, call: Call, input: Confirm) -> Result<Confirmed, ApiError> {
        Ok(Confirmed { arn: format!("{} {:?}", input.topic_arn, call.principal()) })
    }
    let service = || Service::new("sns", Arc::new(())).on("ConfirmSubscription", confirm).build();
    let house = House::serving(service(), AuthMode::Enforce, SourceKind::Outside, |_| {}).await;
    let link = "Action=ConfirmSubscription&TopicArn=t&Token=abc";
    let answer = house.ask(Ask::new("GET", &format!("/?{link}"))).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", answer.text());
    assert!(answer.text().contains("<SubscriptionArn>t Anonymous</SubscriptionArn>"), "{}", answer.text());
    let versioned = format!("{link}&Version=2010-03-31");
    for form in [link, versioned.as_str()] {
        let answer = house.ask(Ask::query(form).unsigned()).await;
        assert_eq!(answer.status, 200, "{answer:?} {}", answer.text());
    }
    // Neither another operation nor a long form gets any further.
    let answer = house.ask(Ask::query("Action=Publish&Version=2010-03-31&Message=x").unsigned()).await;
    assert_refused(&answer, 403, "MissingAuthenticationToken");
    let long = format!("{link}&Padding={}", "x".repeat(17 * 1024));
    assert_refused(&house.ask(Ask::query(&long).unsigned()).await, 403, "MissingAuthenticationToken");
}

#[tokio::test]
async fn a_malformed_signature_is_told_what_it_lacks() {
    let house = House::open(AuthMode::Audit).await;
    let ask = Ask::invoke("echo", b"{}").unsigned().header("authorization", "AWS4-HMAC-SHA256 Credential=x");
    let answer = house.ask(ask).await;
    assert_refused(&answer, 403, "IncompleteSignatureException");
    assert!(answer.text().contains("requires 'Signature' parameter"), "{}", answer.text());
}

#[tokio::test]
async fn old_and_early_signatures_are_refused() {
    let house = House::open(AuthMode::Audit).await;
    let old = |signer: &mut Signer| signer.date = "20261123T114459Z".to_owned();
    let answer = house.ask(Ask::invoke("echo", b"{}").signed(old)).await;
    assert_refused(&answer, 403, "InvalidSignatureException");
    assert!(
        answer.text().contains("Signature expired: 20261123T114459Z is now earlier than 20261123T114500Z")
    );
    let early = |signer: &mut Signer| signer.date = "20261123T121501Z".to_owned();
    let answer = house.ask(Ask::query(WHO).signed(early)).await;
    assert_refused(&answer, 403, "SignatureDoesNotMatch");
    assert!(answer.text().contains("Signature not yet current"), "{}", answer.text());
}

#[tokio::test]
async fn moving_the_platforms_clock_does_not_age_signatures() {
    let house = House::open(AuthMode::Audit).await;
    house.clock.advance(Duration::from_secs(7200));
    assert_eq!(house.ask(Ask::query(WHO)).await.status, 200);
}

#[tokio::test]
async fn a_session_key_needs_its_token_and_ends() {
    let house = House::open(AuthMode::Audit).await;
    let session = |signer: &mut Signer| {
        (signer.key, signer.secret, signer.token) = ("ASIASESSION", "session", Some("token"));
    };
    let answer = house.ask(Ask::query(WHO).signed(session)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("assumed-role/r/s"));
    let no_token = |signer: &mut Signer| {
        session(signer);
        signer.token = None;
    };
    assert_refused(&house.ask(Ask::query(WHO).signed(no_token)).await, 403, "InvalidClientTokenId");
    house.clock.advance(Duration::from_secs(61));
    assert_refused(&house.ask(Ask::query(WHO).signed(session)).await, 403, "ExpiredToken");
}

#[tokio::test]
async fn a_presigned_request_is_served_while_it_lives() {
    let house = House::open(AuthMode::Audit).await;
    // Signed 50 minutes ago.
    let signer = Signer { date: "20261123T111000Z".to_owned(), ..Signer::new("sts") };
    let target = signer.presigned(WHO, &house.host(), 3000);
    let answer = house.ask(Ask::new("GET", &target)).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", answer.text());
    assert_refused(&house.ask(Ask::new("GET", &(target + "0"))).await, 403, "SignatureDoesNotMatch");
    let over = signer.presigned(WHO, &house.host(), 2999);
    assert_refused(&house.ask(Ask::new("GET", &over)).await, 403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn without_authentication_the_key_id_may_be_the_account() {
    let house = House::open(AuthMode::Off).await;
    let account = |signer: &mut Signer| (signer.key, signer.secret) = ("111122223333", "anything");
    let answer = house.ask(Ask::query(WHO).signed(account)).await;
    assert!(answer.text().contains("<Account>111122223333</Account>"), "{}", answer.text());
    let answer = house.ask(Ask::query(WHO).unsigned()).await;
    assert!(answer.text().contains("<Account>000000000000</Account>"), "{}", answer.text());
    assert!(answer.text().contains("us-east-1"), "{}", answer.text());
    let answer = house.ask(Ask::invoke("echo", b"[]").unsigned().header("authorization", "nonsense")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_functions_calls_are_known_as_its_own() {
    let house = House::with(AuthMode::Audit, SourceKind::Box("arn:of:f".into()), |_| {}).await;
    let answer = house.ask(Ask::query(WHO)).await;
    assert!(answer.text().contains("Box { function_arn: "), "{}", answer.text());
    assert_refused(&house.ask(Ask::query(WHO).unsigned()).await, 403, "MissingAuthenticationToken");
}
