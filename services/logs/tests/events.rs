//! Putting, getting and filtering events through the front door.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{House, NOW, messages, pair};
use serde_json::{Value, json};

async fn house() -> House {
    let house = House::new();
    house.group("g").await;
    house.stream("g", "s").await;
    house
}

async fn get(house: &House, mut more: Value) -> Value {
    more["logGroupName"] = json!("g");
    more["logStreamName"] = json!("s");
    house.done("GetLogEvents", more).await
}

async fn filter(house: &House, mut more: Value) -> Value {
    more["logGroupName"] = json!("g");
    house.done("FilterLogEvents", more).await
}

/// All pages of a FilterLogEvents request.
async fn filter_all(house: &House, request: Value) -> Vec<String> {
    let (mut seen, mut token) = (Vec::new(), json!(null));
    loop {
        let mut request = request.clone();
        if !token.is_null() {
            request["nextToken"] = token;
        }
        let page = filter(house, request).await;
        seen.extend(messages(&page));
        token = page["nextToken"].clone();
        if token.is_null() {
            return seen;
        }
    }
}

#[tokio::test]
async fn events_come_back_as_they_were_put() {
    let house = house().await;
    let answer =
        house.put("g", "s", &[(NOW - 2, "one"), (NOW - 1, "two"), (NOW - 1, "zwei"), (NOW, "three\n")]).await;
    assert!(answer["nextSequenceToken"].is_string());
    assert!(answer.get("rejectedLogEventsInfo").is_none());
    // An earlier batch that comes later finds its place.
    house.put("g", "s", &[(NOW - 3, "zero"), (NOW - 1, "deux")]).await;
    let page = get(&house, json!({"startFromHead": true})).await;
    assert_eq!(messages(&page), ["zero", "one", "two", "zwei", "deux", "three\n"]);
    assert_eq!(page["events"][0], json!({"timestamp": NOW - 3, "message": "zero", "ingestionTime": NOW}));
}

#[tokio::test]
async fn forward_tokens_reach_the_end_and_stay_there() {
    let house = house().await;
    let empty = get(&house, json!({"startFromHead": true})).await;
    for n in 0..25_i64 {
        house.put("g", "s", &[(NOW + n, &format!("{n}"))]).await;
    }
    // A token taken before the first event still leads to it.
    let page = get(&house, json!({"nextToken": empty["nextForwardToken"], "limit": 3})).await;
    assert_eq!(messages(&page), ["0", "1", "2"]);
    let (mut seen, mut token) = (Vec::new(), empty["nextForwardToken"].clone());
    loop {
        let page = get(&house, json!({"nextToken": token, "limit": 4})).await;
        if page["nextForwardToken"] == token {
            assert_eq!(page["events"], json!([]));
            break;
        }
        seen.extend(messages(&page));
        token = page["nextForwardToken"].clone();
    }
    let expected: Vec<String> = (0..25).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
    // What is added later is behind the token that was the last.
    house.put("g", "s", &[(NOW + 24, "late"), (NOW + 30, "later")]).await;
    let page = get(&house, json!({"nextToken": token})).await;
    assert_eq!(messages(&page), ["late", "later"]);
}

#[tokio::test]
async fn backward_tokens_go_back_to_the_beginning_and_turn_around() {
    let house = house().await;
    let all: Vec<(i64, String)> = (0..25).map(|n| (NOW + n * 3_000, n.to_string())).collect();
    for batch in all.chunks(4) {
        let batch: Vec<(i64, &str)> = batch.iter().map(|(time, text)| (*time, text.as_str())).collect();
        house.put("g", "s", &batch).await;
    }
    let tail = get(&house, json!({"limit": 3})).await;
    assert_eq!(messages(&tail), ["22", "23", "24"]);
    let (mut seen, mut token) = (messages(&tail), tail["nextBackwardToken"].clone());
    loop {
        let page = get(&house, json!({"nextToken": token, "limit": 4})).await;
        if page["nextBackwardToken"] == token {
            assert_eq!(page["events"], json!([]));
            // Turning around at the beginning gives the first events.
            let first = get(&house, json!({"nextToken": page["nextForwardToken"], "limit": 2})).await;
            assert_eq!(messages(&first), ["0", "1"]);
            break;
        }
        let mut events = messages(&page);
        events.extend(seen);
        seen = events;
        token = page["nextBackwardToken"].clone();
    }
    let expected: Vec<String> = (0..25).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
    // From the end, forward is nothing; back is the last again.
    let end = get(&house, json!({"nextToken": tail["nextForwardToken"]})).await;
    assert_eq!(end["nextForwardToken"], tail["nextForwardToken"]);
    let back = get(&house, json!({"nextToken": end["nextBackwardToken"], "limit": 1})).await;
    assert_eq!(messages(&back), ["24"]);
}

#[tokio::test]
async fn times_bound_what_is_read() {
    let house = house().await;
    house.put("g", "s", &[(NOW, "a"), (NOW + 1, "b"), (NOW + 2, "c")]).await;
    for head in [true, false] {
        // GetLogEvents leaves the end out, FilterLogEvents takes it in.
        let request = json!({"startTime": NOW + 1, "endTime": NOW + 2, "startFromHead": head});
        assert_eq!(messages(&get(&house, request).await), ["b"]);
    }
    let page = filter(&house, json!({"startTime": NOW + 1, "endTime": NOW + 2})).await;
    assert_eq!(messages(&page), ["b", "c"]);
}

#[tokio::test]
async fn an_answer_has_one_megabyte_at_most() {
    let house = house().await;
    let text = "x".repeat(400_000);
    for n in 0..5 {
        house.put("g", "s", &[(NOW + n, &text)]).await;
    }
    let page = get(&house, json!({"startFromHead": true})).await;
    assert_eq!(messages(&page).len(), 2);
    let next = get(&house, json!({"nextToken": page["nextForwardToken"]})).await;
    assert_eq!(next["events"][0]["timestamp"], NOW + 2);
    let tail = get(&house, json!({})).await;
    assert_eq!(tail["events"][0]["timestamp"], NOW + 3);
    assert_eq!(filter_all(&house, json!({})).await.len(), 5);
}

#[tokio::test]
async fn the_largest_event_and_the_largest_batch_are_kept_whole() {
    let house = house().await;
    let largest = "é".repeat((1_048_576 - 26) / 2);
    house.put("g", "s", &[(NOW, &largest)]).await;
    let page = get(&house, json!({"startFromHead": true})).await;
    assert_eq!(messages(&page), [largest.as_str()]);
    assert_eq!(messages(&get(&house, json!({})).await), [largest]);

    let lines: Vec<(i64, String)> = (0..10_000).map(|n| (NOW + 1 + n, format!("{n:078}"))).collect();
    let lines: Vec<(i64, &str)> = lines.iter().map(|(time, text)| (*time, text.as_str())).collect();
    house.put("g", "s", &lines).await;
    let seen = filter_all(&house, json!({"startTime": NOW + 1, "limit": 3_000})).await;
    assert_eq!(seen.len(), 10_000);
    assert!(seen.iter().zip(&lines).all(|(seen, (_, text))| seen == text));
}

#[tokio::test]
async fn bad_batches_change_nothing() {
    let house = house().await;
    let put = |stream: &str, events: Value| json!({"logGroupName": "g", "logStreamName": stream, "logEvents": events});
    let event = |time: i64| json!({"timestamp": time, "message": "x"});
    assert_eq!(
        house.fails("PutLogEvents", put("s", json!([event(NOW), event(NOW - 1)]))).await,
        pair(
            "InvalidParameterException",
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    );
    assert_eq!(
        house.fails("PutLogEvents", put("s", json!([event(NOW - 86_400_001), event(NOW)]))).await,
        pair(
            "InvalidParameterException",
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )
    );
    assert_eq!(
        house.fails("PutLogEvents", put("t", json!([event(NOW)]))).await,
        pair("ResourceNotFoundException", "The specified log stream does not exist.")
    );
    // Even when there is nothing to store.
    assert_eq!(house.fails("PutLogEvents", put("t", json!([event(1)]))).await.0, "ResourceNotFoundException");
    assert_eq!(house.fails("PutLogEvents", put("s", json!([]))).await.0, "InvalidParameterException");
    let empty = json!([{"timestamp": NOW, "message": ""}]);
    assert_eq!(house.fails("PutLogEvents", put("s", empty)).await.0, "InvalidParameterException");
    assert_eq!(get(&house, json!({})).await["events"], json!([]));
}

#[tokio::test]
async fn events_too_old_or_too_new_are_left_out_and_counted() {
    let house = house().await;
    let hour = 3_600_000;
    let old =
        house.put("g", "s", &[(NOW - 15 * 24 * hour, "old"), (NOW - 14 * 24 * hour - hour, "old")]).await;
    assert_eq!(old["rejectedLogEventsInfo"], json!({"tooOldLogEventEndIndex": 2}));
    let new = house.put("g", "s", &[(NOW, "now"), (NOW + 2 * hour + 1, "new")]).await;
    assert_eq!(new["rejectedLogEventsInfo"], json!({"tooNewLogEventStartIndex": 1}));
    house.done("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 1})).await;
    let past = house.put("g", "s", &[(NOW - 24 * hour - 1, "past"), (NOW - hour, "good")]).await;
    assert_eq!(past["rejectedLogEventsInfo"], json!({"expiredLogEventEndIndex": 1}));
    assert_eq!(messages(&get(&house, json!({"startFromHead": true})).await), ["good", "now"]);
}

#[tokio::test]
async fn a_group_is_filtered_across_its_streams_in_order_of_time() {
    let house = house().await;
    for name in ["t", "u/1"] {
        house.stream("g", name).await;
    }
    for n in 0..30_i64 {
        let stream = ["s", "t", "u/1"][usize::try_from(n % 3).unwrap()];
        let text = format!("{} {n}", if n % 2 == 0 { "ERROR" } else { "fine" });
        house.put("g", stream, &[(NOW + n, &text)]).await;
    }
    let expected = |wanted: fn(i64) -> bool| -> Vec<String> {
        let text = |n: i64| format!("{} {n}", if n % 2 == 0 { "ERROR" } else { "fine" });
        (0..30).filter(|n| wanted(*n)).map(text).collect()
    };
    for limit in [1, 7, 10_000] {
        assert_eq!(filter_all(&house, json!({"limit": limit})).await, expected(|_| true), "{limit}");
        let errors = json!({"limit": limit, "filterPattern": "ERROR"});
        assert_eq!(filter_all(&house, errors).await, expected(|n| n % 2 == 0), "{limit}");
        let of_two = json!({"limit": limit, "logStreamNames": ["s", "u/1", "s"]});
        assert_eq!(filter_all(&house, of_two).await, expected(|n| n % 3 != 1), "{limit}");
        let below = json!({"limit": limit, "logStreamNamePrefix": "u/"});
        assert_eq!(filter_all(&house, below).await, expected(|n| n % 3 == 2), "{limit}");
    }
    let page = filter(&house, json!({"limit": 2})).await;
    assert_eq!(page["events"][1]["logStreamName"], "t");
    assert_ne!(page["events"][0]["eventId"], page["events"][1]["eventId"]);
    assert_eq!(page["searchedLogStreams"], json!([]));
}

#[tokio::test]
async fn bad_filters_are_refused() {
    let house = house().await;
    let fails = async |more: Value| {
        let mut request = more;
        request["logGroupName"] = json!("g");
        house.fails("FilterLogEvents", request).await
    };
    for (request, code) in [
        (json!({"logStreamNames": ["nobody"]}), "ResourceNotFoundException"),
        (json!({"logStreamNames": ["s"], "logStreamNamePrefix": "s"}), "InvalidParameterException"),
        (json!({"filterPattern": "{ broken"}), "InvalidParameterException"),
        (json!({"filterPattern": "[a, b]"}), "InvalidParameterException"),
        (json!({"nextToken": "nonsense"}), "InvalidParameterException"),
    ] {
        assert_eq!(fails(request.clone()).await.0, code, "{request}");
    }
    let request = json!({"logGroupName": "g", "logStreamName": "s", "nextToken": "nonsense"});
    assert_eq!(
        house.fails("GetLogEvents", request).await,
        pair("InvalidParameterException", "The specified nextToken is invalid.")
    );
    let request = json!({"logGroupName": "g", "logStreamName": "nobody"});
    assert_eq!(house.fails("GetLogEvents", request).await.0, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_stream_made_anew_has_no_memory() {
    let house = house().await;
    house.put("g", "s", &[(NOW, "before")]).await;
    house.done("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "s"})).await;
    house.stream("g", "s").await;
    house.put("g", "s", &[(NOW, "after")]).await;
    assert_eq!(messages(&get(&house, json!({})).await), ["after"]);
    house.done("DeleteLogGroup", json!({"logGroupName": "g"})).await;
    house.group("g").await;
    house.stream("g", "s").await;
    assert_eq!(messages(&filter(&house, json!({})).await), Vec::<String>::new());
}
