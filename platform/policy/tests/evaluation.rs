//! What policies mean, after AWS's pages on evaluation, condition operators and keys with several values.
#![allow(clippy::unwrap_used)]

use base::{Principal, Timestamp};
use lamplighter_policy::{Context, Decision, Document, Request, resource_permits};

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:orders";

fn ann() -> Principal {
    Principal::User { account: "111122223333".parse().unwrap(), name: "ann".into() }
}

fn document(statements: &str) -> Document {
    Document::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)).unwrap()
}

fn statement(effect: &str, rest: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Principal":"*",{rest}}}"#)
}

fn decide(statements: &str, action: &str, resource: &str) -> Decision {
    document(statements).decide(&Request::new(action, &ann(), resource))
}

/// Whether a condition holds in a context of a few keys.
fn holds(condition: &str) -> bool {
    let context = Context::new()
        .with("aws:SourceArn", "arn:aws:sns:us-east-1:111122223333:topic")
        .with("aws:SourceAccount", "111122223333")
        .with("aws:SourceIp", "203.0.113.20")
        .with("aws:SecureTransport", "true")
        .with("s3:max-keys", "10")
        .with("x:key", "QmluYXJ5")
        .with("x:Name", "Johannes")
        .with_all("aws:TagKeys", ["cost", "team"])
        .with_all("x:none", Vec::<&str>::new())
        .at(Timestamp(1_795_420_000_123));
    let rest = format!(r#""Action":"*","Resource":"*","Condition":{condition}"#);
    let principal = ann();
    let request = Request::new("sqs:SendMessage", &principal, QUEUE).within(context);
    document(&statement("Allow", &rest)).decide(&request) == Decision::Allowed
}

#[test]
fn a_denial_wins_over_a_permission_and_that_over_silence() {
    let allow = statement("Allow", r#""Action":"sqs:*","Resource":"*""#);
    let deny = statement("Deny", r#""Action":"sqs:DeleteQueue","Resource":"*""#);
    let both = format!("{allow},{deny}");
    assert_eq!(decide(&both, "sqs:SendMessage", QUEUE), Decision::Allowed);
    assert_eq!(decide(&both, "sqs:DeleteQueue", QUEUE), Decision::Denied);
    assert_eq!(decide(&format!("{deny},{allow}"), "sqs:DeleteQueue", QUEUE), Decision::Denied);
    assert_eq!(decide(&both, "sns:Publish", QUEUE), Decision::Silent);
    assert_eq!(Decision::Denied.and(Decision::Allowed), Decision::Denied);
    assert_eq!(Decision::Silent.and(Decision::Allowed), Decision::Allowed);
    assert_eq!(Decision::Silent.and(Decision::Silent), Decision::Silent);
}

#[test]
fn the_statement_that_decided_is_named() {
    let text = r#"{"Statement":[
        {"Sid":"first","Effect":"Allow","Principal":"*","Action":"sqs:Send*","Resource":"*"},
        {"Sid":"second","Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"},
        {"Sid":"third","Effect":"Deny","Principal":"*","Action":"sqs:PurgeQueue","Resource":"*"}]}"#;
    let document = Document::parse(text).unwrap();
    let principal = ann();
    let by = |action: &str| {
        let request = Request::new(action, &principal, QUEUE);
        document.judge(&request).statement.and_then(|statement| statement.sid.as_deref())
    };
    assert_eq!(by("sqs:SendMessage"), Some("first"));
    assert_eq!(by("sqs:GetQueueUrl"), Some("second"));
    assert_eq!(by("sqs:PurgeQueue"), Some("third"));
    assert_eq!(by("sns:Publish"), None);
}

#[test]
fn actions_and_resources_have_wildcards_and_opposites() {
    let allows = |rest: &str, action: &str, resource: &str| {
        decide(&statement("Allow", rest), action, resource) == Decision::Allowed
    };
    assert!(allows(r#""Action":"SQS:sendmessage","Resource":"*""#, "sqs:SendMessage", QUEUE));
    assert!(allows(r#""Action":["sns:*","sqs:Se?dMess*"],"Resource":"*""#, "sqs:SendMessage", QUEUE));
    assert!(!allows(r#""Action":"sqs:Send","Resource":"*""#, "sqs:SendMessage", QUEUE));
    assert!(allows(r#""NotAction":"sqs:DeleteQueue","Resource":"*""#, "sqs:SendMessage", QUEUE));
    assert!(!allows(r#""NotAction":["sqs:Send*","a:B"],"Resource":"*""#, "sqs:SendMessage", QUEUE));
    let on =
        |resource: &str| allows(&format!(r#""Action":"*","Resource":{resource}"#), "sqs:SendMessage", QUEUE);
    assert!(on(r#""arn:aws:sqs:*:111122223333:ord*""#) && on(r#"["x","arn:aws:sqs:us-east-?:*:orders"]"#));
    assert!(on(r#""arn:aws:sqs:us-east-1""#), "missing fields are any");
    assert!(!on(r#""arn:aws:sqs:us-east-1:111122223333:order""#));
    let not_on = |resource: &str| {
        allows(&format!(r#""Action":"*","NotResource":{resource}"#), "sqs:SendMessage", QUEUE)
    };
    assert!(not_on(r#""arn:aws:sqs:*:*:other""#) && !not_on(r#"["arn:aws:sqs:*:*:other","*:orders"]"#));
}

#[test]
fn everyone_but_some_may_be_denied() {
    let text = r#"{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user/ann"},"Action":"*","Resource":"*"}"#;
    let document = document(text);
    let denied = |principal: &Principal| {
        document.decide(&Request::new("sqs:SendMessage", principal, QUEUE)) == Decision::Denied
    };
    assert!(!denied(&ann()));
    assert!(denied(&Principal::Anonymous) && denied(&Principal::Service("sns.amazonaws.com")));
}

#[test]
fn a_resources_policy_lets_in_its_account_and_whom_it_names() {
    let owner = "111122223333".parse().unwrap();
    let other = Principal::Root { account: "444455556666".parse().unwrap() };
    let sns = Principal::Service("sns.amazonaws.com");
    for (principal, decision, permitted) in [
        (&ann(), Decision::Silent, true),
        (&ann(), Decision::Denied, false),
        (&other, Decision::Silent, false),
        (&other, Decision::Allowed, true),
        (&other, Decision::Denied, false),
        (&sns, Decision::Silent, false),
        (&sns, Decision::Allowed, true),
        (&Principal::Anonymous, Decision::Silent, false),
        (&Principal::Anonymous, Decision::Allowed, true),
    ] {
        assert_eq!(resource_permits(owner, principal, decision), permitted, "{principal:?} {decision:?}");
    }
}

#[test]
fn texts_and_arns() {
    assert!(holds(r#"{"StringEquals":{"AWS:sourceaccount":["1","111122223333"]}}"#), "any value will do");
    assert!(!holds(r#"{"StringEquals":{"aws:SourceAccount":"1"}}"#));
    assert!(
        !holds(r#"{"StringEquals":{"x:Name":"johannes"}}"#)
            && holds(r#"{"StringEqualsIgnoreCase":{"x:Name":"JOHANNES"}}"#)
    );
    assert!(!holds(r#"{"StringNotEqualsIgnoreCase":{"x:Name":"JOHANNES"}}"#));
    assert!(holds(r#"{"StringLike":{"x:Name":"Jo?an*"}}"#) && !holds(r#"{"StringEquals":{"x:Name":"Jo*"}}"#));
    assert!(!holds(r#"{"StringNotLike":{"x:Name":["A*","J*"]}}"#), "none may match");
    assert!(holds(r#"{"StringNotLike":{"x:Name":["A*","B*"]}}"#));
    for operator in ["ArnEquals", "ArnLike"] {
        assert!(holds(&format!(r#"{{"{operator}":{{"aws:SourceArn":"arn:aws:sns:*:*:top?c"}}}}"#)));
        assert!(!holds(&format!(r#"{{"{operator}":{{"aws:SourceArn":"arn:aws:*:topic"}}}}"#)));
    }
    assert!(holds(r#"{"ArnNotLike":{"aws:SourceArn":"arn:aws:sqs:*:*:*"}}"#));
    assert!(!holds(r#"{"ArnNotEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:111122223333:topic"}}"#));
}

#[test]
fn numbers_dates_truths_and_bytes() {
    for (operator, value, expected) in [
        ("NumericEquals", "\"10\"", true),
        ("NumericEquals", "10.0", true),
        ("NumericNotEquals", "10", false),
        ("NumericLessThan", "10", false),
        ("NumericLessThanEquals", "\"10\"", true),
        ("NumericGreaterThan", "9.5", true),
        ("NumericGreaterThanEquals", "11", false),
    ] {
        assert_eq!(holds(&format!(r#"{{"{operator}":{{"s3:max-keys":{value}}}}}"#)), expected, "{operator}");
    }
    assert!(!holds(r#"{"NumericEquals":{"x:Name":"10"}}"#), "what is no number is equal to none");
    for (operator, value, expected) in [
        ("DateGreaterThan", "\"2026-11-23T00:00:00Z\"", true),
        ("DateLessThan", "\"2026-11-24T01:00:00+02:00\"", true),
        ("DateLessThan", "\"2026-11-23\"", false),
        ("DateEquals", "\"2026-11-23T07:46:40.123Z\"", true),
        ("DateNotEquals", "\"2026-11-23T07:46:40.123Z\"", false),
        ("DateGreaterThanEquals", "1795420001", false),
        ("DateLessThanEquals", "1795420001", true),
    ] {
        assert_eq!(
            holds(&format!(r#"{{"{operator}":{{"aws:CurrentTime":{value}}}}}"#)),
            expected,
            "{operator}"
        );
    }
    assert!(holds(r#"{"DateLessThan":{"aws:EpochTime":"2026-12-01T00:00:00Z"}}"#));
    assert!(holds(r#"{"NumericGreaterThan":{"aws:EpochTime":1795419999}}"#));
    assert!(
        holds(r#"{"Bool":{"aws:SecureTransport":"True"}}"#)
            && holds(r#"{"Bool":{"aws:SecureTransport":true}}"#)
    );
    assert!(!holds(r#"{"Bool":{"aws:SecureTransport":false}}"#));
    assert!(!holds(r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#), "absent is neither");
    assert!(holds(r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}"#));
    assert!(
        holds(r#"{"BinaryEquals":{"x:key":"QmluYXJ5"}}"#) && !holds(r#"{"BinaryEquals":{"x:key":"QUFB"}}"#)
    );
}

#[test]
fn addresses() {
    assert!(holds(r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#));
    assert!(holds(r#"{"IpAddress":{"aws:SourceIp":["2001:db8::/32","203.0.113.20"]}}"#));
    assert!(!holds(r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/28"}}"#));
    assert!(holds(r#"{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.0/24"]}}"#));
    assert!(!holds(r#"{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#));
    assert!(!holds(r#"{"IpAddress":{"x:Name":"0.0.0.0/0"}}"#));
}

#[test]
fn a_key_that_is_not_there() {
    for operator in [
        "StringEquals",
        "StringEqualsIgnoreCase",
        "StringLike",
        "ArnLike",
        "ArnEquals",
        "ForAnyValue:StringEquals",
        "ForAnyValue:StringNotEquals",
        "ForAnyValue:StringLike",
    ] {
        assert!(!holds(&format!(r#"{{"{operator}":{{"aws:PrincipalOrgID":"o-1"}}}}"#)), "{operator}");
    }
    for operator in [
        "StringNotEquals",
        "StringNotEqualsIgnoreCase",
        "StringNotLike",
        "ArnNotLike",
        "ArnNotEquals",
        "StringEqualsIfExists",
        "StringLikeIfExists",
        "ArnLikeIfExists",
        "StringNotEqualsIfExists",
        "ForAllValues:StringEquals",
        "ForAllValues:StringNotEquals",
        "ForAnyValue:StringEqualsIfExists",
    ] {
        assert!(holds(&format!(r#"{{"{operator}":{{"aws:PrincipalOrgID":"o-1"}}}}"#)), "{operator}");
    }
    assert!(!holds(r#"{"NumericLessThan":{"x:no":"1"}}"#) && holds(r#"{"NumericNotEquals":{"x:no":"1"}}"#));
    assert!(
        holds(r#"{"NumericLessThanIfExists":{"x:no":"1"}}"#) && holds(r#"{"DateNotEquals":{"x:no":"2026"}}"#)
    );
    assert!(
        !holds(r#"{"IpAddress":{"x:no":"0.0.0.0/0"}}"#) && holds(r#"{"NotIpAddress":{"x:no":"0.0.0.0/0"}}"#)
    );
    assert!(holds(r#"{"Null":{"x:no":"true","aws:SourceArn":false}}"#));
    assert!(!holds(r#"{"Null":{"x:no":"false"}}"#) && !holds(r#"{"Null":{"aws:SourceArn":"true"}}"#));
    assert!(holds(r#"{"Null":{"x:none":"true"}}"#), "no values are no key");
    assert!(!holds(r#"{"StringEqualsIfExists":{"aws:SourceAccount":"1"}}"#), "it is there, and another");
}

/// The table of AWS's page on set operators.
#[test]
fn keys_with_several_values() {
    assert!(holds(r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["cost","team","stage"]}}"#));
    assert!(!holds(r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["cost"]}}"#));
    assert!(holds(r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":["cost"]}}"#));
    assert!(!holds(r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":["stage"]}}"#));
    assert!(holds(r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["stage"]}}"#));
    assert!(!holds(r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["cost"]}}"#));
    assert!(holds(r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["cost"]}}"#), "team is another");
    assert!(!holds(r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["cost","team"]}}"#));
    assert!(holds(r#"{"ForAllValues:StringLike":{"aws:TagKeys":["c*","t*"]}}"#));
    assert!(
        holds(r#"{"ForAllValues:StringEquals":{"x:none":"a"}}"#)
            && !holds(r#"{"ForAnyValue:StringEquals":{"x:none":"a"}}"#)
    );
    assert!(
        holds(r#"{"ForAnyValue:StringEquals":{"aws:SourceAccount":"111122223333"}}"#),
        "also with one value"
    );
}

#[test]
fn every_condition_must_hold() {
    assert!(holds(
        r#"{"StringEquals":{"aws:SourceAccount":"111122223333","x:Name":"Johannes"},"Bool":{"aws:SecureTransport":"true"}}"#
    ));
    assert!(!holds(r#"{"StringEquals":{"aws:SourceAccount":"111122223333","x:Name":"Ann"}}"#));
    assert!(!holds(
        r#"{"StringEquals":{"aws:SourceAccount":"111122223333"},"Bool":{"aws:SecureTransport":"false"}}"#
    ));
    assert!(holds("{}"));
}

#[test]
fn variables_are_filled_in_where_the_version_has_them() {
    assert!(holds(r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:${aws:PrincipalAccount}:*"}}"#));
    assert!(holds(r#"{"StringEquals":{"aws:SourceAccount":"${aws:PrincipalAccount}"}}"#));
    assert!(!holds(r#"{"StringEquals":{"aws:SourceAccount":"${aws:PrincipalTag/account}"}}"#));
    assert!(holds(r#"{"StringEquals":{"aws:SourceAccount":"${aws:PrincipalTag/account, '111122223333'}"}}"#));
    assert!(
        holds(r#"{"StringNotEquals":{"aws:SourceAccount":"${aws:PrincipalTag/account}"}}"#),
        "like nothing"
    );
    let principal = ann();
    let rest = r#""Action":"*","Resource":"arn:aws:sqs:*:*:${aws:username}-*""#;
    let own = "arn:aws:sqs:us-east-1:111122223333:ann-queue";
    let on = |document: &Document, resource: &str| {
        document.decide(&Request::new("sqs:SendMessage", &principal, resource))
    };
    let new = document(&statement("Allow", rest));
    assert_eq!(on(&new, own), Decision::Allowed);
    assert_eq!(on(&new, QUEUE), Decision::Silent);
    for version in ["", r#""Version":"2008-10-17","#] {
        let text = format!(r#"{{{version}"Statement":{}}}"#, statement("Allow", rest));
        assert_eq!(on(&Document::parse(&text).unwrap(), own), Decision::Silent);
    }
    let role = Principal::AssumedRole {
        account: "111122223333".parse().unwrap(),
        role: "r".into(),
        session: "s".into(),
    };
    assert_eq!(
        new.decide(&Request::new("sqs:SendMessage", &role, own)),
        Decision::Silent,
        "roles have no user name"
    );
}
