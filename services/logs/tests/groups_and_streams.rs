//! Groups, streams, tags and retention settings through the front door.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{House, NOW, names, pair};
use serde_json::json;

const NO_GROUP: (&str, &str) = ("ResourceNotFoundException", "The specified log group does not exist.");
const NO_STREAM: (&str, &str) = ("ResourceNotFoundException", "The specified log stream does not exist.");

#[tokio::test]
async fn a_group_is_made_described_and_deleted() {
    let house = House::new();
    let request =
        json!({"logGroupName": "/aws/lambda/hello", "tags": {"stage": "dev"}, "logGroupClass": "STANDARD"});
    house.done("CreateLogGroup", request.clone()).await;
    assert_eq!(
        house.fails("CreateLogGroup", request).await,
        pair("ResourceAlreadyExistsException", "The specified log group already exists")
    );
    let groups = house.done("DescribeLogGroups", json!({})).await;
    assert_eq!(
        groups["logGroups"],
        json!([{
            "logGroupName": "/aws/lambda/hello",
            "creationTime": NOW,
            "metricFilterCount": 0,
            "arn": "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/hello:*",
            "storedBytes": 0,
            "logGroupClass": "STANDARD",
            "logGroupArn": "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/hello",
        }])
    );
    let elsewhere = house.ask_in("eu-west-1", "DescribeLogGroups", json!({})).await.unwrap();
    assert_eq!(elsewhere["logGroups"], json!([]));
    house.done("DeleteLogGroup", json!({"logGroupName": "/aws/lambda/hello"})).await;
    assert_eq!(
        house.fails("DeleteLogGroup", json!({"logGroupName": "/aws/lambda/hello"})).await,
        pair(NO_GROUP.0, NO_GROUP.1)
    );
}

#[tokio::test]
async fn bad_groups_are_refused() {
    let house = House::new();
    for name in ["", "with space", &"x".repeat(513)] {
        let (code, message) = house.fails("CreateLogGroup", json!({"logGroupName": name})).await;
        assert_eq!(code, "InvalidParameterException");
        assert!(message.contains("logGroupName"), "{message}");
    }
    assert_eq!(
        house.fails("CreateLogGroup", json!({"logGroupName": "aws/mine"})).await.0,
        "InvalidParameterException"
    );
    let (_, message) = house.fails("CreateLogGroup", json!({"logGroupName": "a", "kmsKeyId": "k"})).await;
    assert!(message.contains("kmsKeyId"), "{message}");
    let request = json!({"logGroupName": "a", "logGroupClass": "INFREQUENT_ACCESS"});
    assert!(house.fails("CreateLogGroup", request).await.1.contains("INFREQUENT_ACCESS"));
    assert_eq!(house.keys(), 0);
}

#[tokio::test]
async fn groups_are_found_by_prefix_pattern_and_page() {
    let house = House::new();
    for name in ["/aws/lambda/a", "/aws/lambda/b", "/aws/lambda/Bee", "other"] {
        house.group(name).await;
    }
    let found = |answer| names(&answer, "logGroups", "logGroupName");
    let all = house.done("DescribeLogGroups", json!({"logGroupNamePrefix": "/aws/lambda/"})).await;
    assert_eq!(found(all), ["/aws/lambda/Bee", "/aws/lambda/a", "/aws/lambda/b"]);
    let with = house.done("DescribeLogGroups", json!({"logGroupNamePattern": "da/b"})).await;
    assert_eq!(found(with), ["/aws/lambda/b"]);

    let (mut seen, mut token) = (Vec::new(), json!(null));
    loop {
        let mut request = json!({"limit": 3});
        if !token.is_null() {
            request["nextToken"] = token;
        }
        let page = house.done("DescribeLogGroups", request).await;
        token = page["nextToken"].clone();
        seen.extend(found(page));
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["/aws/lambda/Bee", "/aws/lambda/a", "/aws/lambda/b", "other"]);
    let both = json!({"logGroupNamePrefix": "a", "logGroupNamePattern": "abc"});
    assert_eq!(house.fails("DescribeLogGroups", both).await.0, "InvalidParameterException");
    assert_eq!(
        house.fails("DescribeLogGroups", json!({"nextToken": "*"})).await.0,
        "InvalidParameterException"
    );
}

#[tokio::test]
async fn streams_are_made_described_and_deleted() {
    let house = House::new();
    let named = json!({"logGroupName": "g", "logStreamName": "s"});
    for operation in ["CreateLogStream", "DeleteLogStream"] {
        assert_eq!(house.fails(operation, named.clone()).await, pair(NO_GROUP.0, NO_GROUP.1));
    }
    house.group("g").await;
    assert_eq!(house.fails("DeleteLogStream", named.clone()).await, pair(NO_STREAM.0, NO_STREAM.1));
    house.done("CreateLogStream", named.clone()).await;
    assert_eq!(
        house.fails("CreateLogStream", named.clone()).await,
        pair("ResourceAlreadyExistsException", "The specified log stream already exists")
    );
    let stream =
        house.done("DescribeLogStreams", json!({"logGroupName": "g"})).await["logStreams"][0].clone();
    assert_eq!(stream["arn"], "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:s");
    assert_eq!((&stream["creationTime"], &stream["storedBytes"]), (&json!(NOW), &json!(0)));
    assert!(stream.get("firstEventTimestamp").is_none());

    house.put("g", "s", &[(NOW - 5, "a"), (NOW + 5, "bc")]).await;
    let stream =
        house.done("DescribeLogStreams", json!({"logGroupName": "g"})).await["logStreams"][0].clone();
    assert_eq!(stream["firstEventTimestamp"], NOW - 5);
    assert_eq!(stream["lastEventTimestamp"], NOW + 5);
    assert_eq!(stream["lastIngestionTime"], NOW);
    let group = house.done("DescribeLogGroups", json!({})).await["logGroups"][0].clone();
    assert_eq!(group["storedBytes"], 3 + 2 * 26);

    house.done("DeleteLogStream", named.clone()).await;
    let group = house.done("DescribeLogGroups", json!({})).await["logGroups"][0].clone();
    assert_eq!(group["storedBytes"], 0);
    let (code, _) =
        house.fails("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "a:b"})).await;
    assert_eq!(code, "InvalidParameterException");
}

#[tokio::test]
async fn streams_are_ordered_by_name_or_last_event() {
    let house = House::new();
    house.group("g").await;
    for (name, time) in [("a1", 30), ("a2", 10), ("b1", 20), ("b2", 20)] {
        house.stream("g", name).await;
        house.put("g", name, &[(NOW + time, "x")]).await;
    }
    house.stream("g", "empty").await;
    for (by, descending, expected) in [
        ("LogStreamName", false, ["a1", "a2", "b1", "b2", "empty"]),
        ("LogStreamName", true, ["empty", "b2", "b1", "a2", "a1"]),
        ("LastEventTime", false, ["empty", "a2", "b1", "b2", "a1"]),
        ("LastEventTime", true, ["a1", "b2", "b1", "a2", "empty"]),
    ] {
        for limit in [1, 2, 50] {
            let (mut seen, mut token) = (Vec::new(), json!(null));
            loop {
                let mut request = json!({"logGroupIdentifier": "g", "orderBy": by, "descending": descending, "limit": limit});
                if !token.is_null() {
                    request["nextToken"] = token;
                }
                let page = house.done("DescribeLogStreams", request).await;
                token = page["nextToken"].clone();
                seen.extend(names(&page, "logStreams", "logStreamName"));
                if token.is_null() {
                    break;
                }
            }
            assert_eq!(seen, expected, "{by} {descending} {limit}");
        }
    }
    for (descending, expected) in [(false, ["a1", "a2"]), (true, ["a2", "a1"])] {
        let request = json!({"logGroupName": "g", "logStreamNamePrefix": "a", "descending": descending});
        let page = house.done("DescribeLogStreams", request).await;
        assert_eq!(names(&page, "logStreams", "logStreamName"), expected);
    }
    let request = json!({"logGroupName": "g", "logStreamNamePrefix": "a", "orderBy": "LastEventTime"});
    assert_eq!(
        house.fails("DescribeLogStreams", request).await,
        pair("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
    );
    assert_eq!(
        house.fails("DescribeLogStreams", json!({"logGroupName": "nobody"})).await,
        pair(NO_GROUP.0, NO_GROUP.1)
    );
}

#[tokio::test]
async fn tags_are_set_by_arn_and_by_name() {
    let house = House::new();
    house.group("g").await;
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g";
    house.done("TagResource", json!({"resourceArn": arn, "tags": {"a": "1", "b": "2"}})).await;
    house.done("TagLogGroup", json!({"logGroupName": "g", "tags": {"b": "3"}})).await;
    let tags = house.done("ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(tags["tags"], json!({"a": "1", "b": "3"}));
    house.done("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a"]})).await;
    house.done("UntagLogGroup", json!({"logGroupName": "g", "tags": ["nobody"]})).await;
    let tags = house.done("ListTagsLogGroup", json!({"logGroupName": "g"})).await;
    assert_eq!(tags["tags"], json!({"b": "3"}));
    let (code, _) = house.fails("ListTagsForResource", json!({"resourceArn": format!("{arn}x")})).await;
    assert_eq!(code, "ResourceNotFoundException");
    let many: serde_json::Map<_, _> = (0..50).map(|n| (format!("k{n}"), json!("v"))).collect();
    let (code, _) = house.fails("TagResource", json!({"resourceArn": arn, "tags": many})).await;
    assert_eq!(code, "TooManyTagsException");
}

#[tokio::test]
async fn only_retentions_that_aws_offers_are_taken() {
    let house = House::new();
    house.group("g").await;
    house.done("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 7})).await;
    let group = house.done("DescribeLogGroups", json!({})).await["logGroups"][0].clone();
    assert_eq!(group["retentionInDays"], 7);
    let (code, message) =
        house.fails("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 2})).await;
    assert_eq!(code, "InvalidParameterException");
    assert!(message.contains("Value '2' at 'retentionInDays'"), "{message}");
    house.done("DeleteRetentionPolicy", json!({"logGroupName": "g"})).await;
    let group = house.done("DescribeLogGroups", json!({})).await["logGroups"][0].clone();
    assert!(group.get("retentionInDays").is_none());
    let (code, _) =
        house.fails("PutRetentionPolicy", json!({"logGroupName": "x", "retentionInDays": 7})).await;
    assert_eq!(code, "ResourceNotFoundException");
}
