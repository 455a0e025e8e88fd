//! FIFO queues: order within groups, deduplication, repeated receives.

use super::*;

#[tokio::test]
async fn a_group_goes_in_order_and_one_receiver_at_a_time() {
    let (house, queue) = (House::new(), queue("q.fifo", 1));
    for n in 0..4 {
        house.send(&queue, in_group("a", &format!("a{n}"))).await;
        house.send(&queue, in_group("b", &format!("b{n}"))).await;
    }
    let first = house.receive(&queue, 2).await;
    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["a0", "a1"]);
    assert_eq!(house.bodies(&queue, 10).await, ["b0", "b1", "b2", "b3"]);
    assert!(house.bodies(&queue, 10).await.is_empty());
    house.delete(&queue, &first[0]).await.unwrap();
    assert!(house.bodies(&queue, 10).await.is_empty());
    house.delete(&queue, &first[1]).await.unwrap();
    assert_eq!(house.bodies(&queue, 1).await, ["a2"]);
    house.advance(30);
    assert_eq!(house.bodies(&queue, 10).await, ["b0", "b1", "b2", "b3", "a2", "a3"]);
}

#[tokio::test]
async fn what_was_sent_before_is_answered_and_not_sent_again() {
    let (mut house, mut queue) = (House::new(), queue("q.fifo", 1));
    let first = house.send(&queue, in_group("a", "x")).await;
    let again = house.send(&queue, in_group("a", "x")).await;
    assert_eq!((&again.id, &again.sequence_number), (&first.id, &first.sequence_number));
    assert_eq!(first.sequence_number.as_ref().map(String::len), Some(20));
    // Another group, but the same queue.
    assert_eq!(house.send(&queue, in_group("b", "x")).await.id, first.id);
    let other = NewMessage { deduplication_id: Some("other".to_owned()), ..in_group("a", "x") };
    let other = house.send(&queue, other).await;
    assert!(other.sequence_number > first.sequence_number);
    assert_eq!(house.counts(&queue).await, (2, 0, 0));
    // Also when the message is gone, and after a crash.
    let received = house.receive(&queue, 10).await;
    for one in &received {
        house.delete(&queue, one).await.unwrap();
    }
    house.crash().await;
    house.advance(299);
    assert_eq!(house.send(&queue, in_group("a", "x")).await.id, first.id);
    house.advance(1);
    assert_ne!(house.send(&queue, in_group("a", "x")).await.id, first.id);
    assert_eq!(house.counts(&queue).await, (1, 0, 0));

    queue.attributes.fifo =
        Some(Fifo { content_based_deduplication: true, deduplicate_per_group: true, limit_per_group: true });
    house.send(&queue, in_group("c", "per group")).await;
    house.send(&queue, in_group("d", "per group")).await;
    assert_eq!(house.counts(&queue).await, (3, 0, 0));
}

#[tokio::test]
async fn ids_that_have_run_out_are_cleared() {
    let (house, queue) = (House::new(), queue("q.fifo", 1));
    for n in 0..20 {
        house.send(&queue, in_group("a", &n.to_string())).await;
    }
    assert_eq!(house.rows("d"), 20);
    house.advance(900);
    house.send(&queue, in_group("a", "new")).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while house.rows("d") > 1 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_its_duplicates_out() {
    let (house, queue) = (House::new(), queue("q.fifo", 1));
    let bodies = ["1", "2", "1", "3"];
    let sent = house.send_all(&queue, bodies.iter().map(|body| in_group("a", body)).collect()).await;
    assert_eq!(sent[0].id, sent[2].id);
    assert_eq!(house.bodies(&queue, 10).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn ids_have_rules() {
    let (house, fifo) = (House::new(), queue("q.fifo", 1));
    let standard = queue("q", 2);
    let refused = async |queue: &Queue, message: NewMessage| {
        house.messages.send(queue, vec![message]).await.unwrap().remove(0).map_err(|error| error.to_string())
    };
    let with_id = |id: &str| NewMessage { deduplication_id: Some(id.to_owned()), ..in_group("a", "x") };
    assert!(refused(&fifo, text("x")).await.unwrap_err().contains("MessageGroupId"));
    let (longest, too_long) = ("a".repeat(128), "a".repeat(129));
    for good in ["a", "~!", &longest] {
        assert!(refused(&fifo, with_id(good)).await.is_ok(), "{good}");
        assert!(refused(&fifo, in_group(good, "x")).await.is_ok(), "{good}");
    }
    for bad in ["", " ", "ä", &too_long] {
        assert!(refused(&fifo, with_id(bad)).await.is_err(), "{bad}");
        assert!(refused(&fifo, in_group(bad, "x")).await.is_err(), "{bad}");
    }
    assert!(refused(&standard, with_id("a")).await.unwrap_err().contains("not valid for this queue type"));
    assert!(refused(&standard, in_group("a", "x")).await.is_ok());
    let delayed = NewMessage { delay_s: Some(1), ..in_group("a", "x") };
    assert!(refused(&fifo, delayed).await.unwrap_err().contains("DelaySeconds"));
    let mut plain = fifo.clone();
    plain.attributes.fifo = Some(Fifo::default());
    assert!(refused(&plain, in_group("a", "x")).await.unwrap_err().contains("ContentBasedDeduplication"));
}

#[tokio::test]
async fn an_expired_handle_is_refused() {
    let (house, queue) = (House::new(), queue("q.fifo", 1));
    house.send(&queue, in_group("a", "x")).await;
    let received = house.receive(&queue, 1).await.remove(0);
    house.advance(30);
    let error = house.delete(&queue, &received).await.unwrap_err();
    assert!(error.to_string().ends_with("Reason: The receipt handle has expired."), "{error}");
    assert_eq!(house.counts(&queue).await, (1, 0, 0));
}

#[tokio::test]
async fn a_delayed_message_holds_its_group_back() {
    let (house, mut queue) = (House::new(), queue("q.fifo", 1));
    queue.attributes.delay_s = 10;
    house.send(&queue, in_group("a", "1")).await;
    queue.attributes.delay_s = 0;
    house.send(&queue, in_group("a", "2")).await;
    house.send(&queue, in_group("b", "3")).await;
    assert_eq!(house.bodies(&queue, 10).await, ["3"]);
    house.advance(10);
    assert_eq!(house.bodies(&queue, 10).await, ["1", "2"]);
}

#[tokio::test]
async fn a_receive_can_be_repeated_by_its_attempt() {
    let (house, queue) = (House::new(), queue("q.fifo", 1));
    for n in 0..3 {
        house.send(&queue, in_group(&format!("g{n}"), &n.to_string())).await;
    }
    let attempt = |id: &str| Wanted { attempt: Some(id.to_owned()), ..House::wanted(2) };
    let first = house.receive_as(&queue, attempt("one")).await;
    house.advance(20);
    let again = house.receive_as(&queue, attempt("one")).await;
    let handles = |received: &[Received]| received.iter().map(|one| one.handle.clone()).collect::<Vec<_>>();
    assert_eq!(handles(&first), handles(&again));
    assert_eq!(again.iter().map(|one| one.count).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(house.receive_as(&queue, attempt("two")).await.iter().map(body).collect::<Vec<_>>(), ["2"]);
    // Its visibility began anew.
    house.advance(20);
    assert!(house.bodies(&queue, 10).await.is_empty());
    for one in &again {
        house.delete(&queue, one).await.unwrap();
    }
    assert!(house.receive_as(&queue, attempt("one")).await.is_empty());
}
