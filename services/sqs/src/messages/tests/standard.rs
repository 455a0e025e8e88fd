//! Standard queues: in and out, leases, delays, retention, lanes, large windows.

use super::*;

#[tokio::test]
async fn a_message_is_received_once_until_its_lease_runs_out() {
    let (house, queue) = (House::new(), queue("q", 1));
    let sent = house.send(&queue, text("hello")).await;
    assert_eq!(house.counts(&queue).await, (1, 0, 0));
    let first = house.receive(&queue, 10).await.remove(0);
    assert_eq!((body(&first).as_str(), first.message.id(), first.count), ("hello", sent.id, 1));
    assert_eq!(house.counts(&queue).await, (0, 1, 0));
    house.advance(29);
    assert!(house.bodies(&queue, 10).await.is_empty());
    house.advance(1);
    assert_eq!(house.counts(&queue).await, (1, 0, 0));
    let second = house.receive(&queue, 10).await.remove(0);
    assert_eq!((second.count, second.first_received_at), (2, first.first_received_at));
    assert_ne!(first.handle, second.handle);

    // The older handle deletes nothing, and nobody complains.
    house.delete(&queue, &first).await.unwrap();
    assert_eq!(house.counts(&queue).await, (0, 1, 0));
    house.delete(&queue, &second).await.unwrap();
    house.delete(&queue, &second).await.unwrap();
    assert_eq!(house.counts(&queue).await, (0, 0, 0));
    house.leases_written().await;
    assert_eq!((house.rows("m"), house.rows("l")), (0, 0));
}

#[tokio::test]
async fn the_last_handle_deletes_also_when_its_lease_has_run_out() {
    let (house, queue) = (House::new(), queue("q", 1));
    house.send(&queue, text("x")).await;
    let received = house.receive(&queue, 1).await.remove(0);
    house.leases_written().await;
    house.advance(100);
    house.delete(&queue, &received).await.unwrap();
    assert_eq!(house.counts(&queue).await, (0, 0, 0));
    assert!(house.bodies(&queue, 1).await.is_empty());
    assert_eq!((house.rows("m"), house.rows("l")), (0, 0));
}

#[tokio::test]
async fn visibility_can_be_changed_while_the_message_is_out() {
    let (house, queue) = (House::new(), queue("q", 1));
    house.send(&queue, text("x")).await;
    let received = house.receive(&queue, 1).await.remove(0);
    house.hide(&queue, &received, 100).await.unwrap();
    house.advance(99);
    assert!(house.bodies(&queue, 1).await.is_empty());
    house.hide(&queue, &received, 43_200 - 99).await.unwrap();
    let error = house.hide(&queue, &received, 43_200 - 98).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Value 43102 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is \
         beyond the limit [43200 seconds]"
    );
    house.hide(&queue, &received, 0).await.unwrap();
    let again = house.receive(&queue, 1).await.remove(0);
    let error = house.hide(&queue, &received, 5).await.unwrap_err();
    assert!(error.to_string().contains("Message does not exist or is not available"), "{error}");
    house.advance(30);
    let error = house.hide(&queue, &again, 5).await.unwrap_err();
    assert!(matches!(error, SqsError::Other { code: "MessageNotInflight", .. }), "{error}");
    house.delete(&queue, &again).await.unwrap();
    let error = house.hide(&queue, &again, 5).await.unwrap_err();
    assert!(error.to_string().contains("Message does not exist or is not available"), "{error}");
    for bad in [-1, 43_201] {
        assert!(house.hide(&queue, &again, bad).await.is_err());
    }
}

#[tokio::test]
async fn a_handle_of_another_queue_is_none() {
    let (house, one, other) = (House::new(), queue("q", 1), queue("q", 2));
    house.send(&one, text("x")).await;
    let received = house.receive(&one, 1).await.remove(0);
    let error = house.delete(&other, &received).await.unwrap_err();
    assert!(matches!(error, SqsError::Other { code: "ReceiptHandleIsInvalid", .. }), "{error}");
    house.delete(&one, &received).await.unwrap();
}

#[tokio::test]
async fn delayed_messages_appear_in_time() {
    let (house, mut queue) = (House::new(), queue("q", 1));
    queue.attributes.delay_s = 10;
    house.send(&queue, text("queue's delay")).await;
    house.send(&queue, NewMessage { delay_s: Some(20), ..text("own delay") }).await;
    house.send(&queue, NewMessage { delay_s: Some(0), ..text("none") }).await;
    assert_eq!(house.counts(&queue).await, (1, 0, 2));
    assert_eq!(house.bodies(&queue, 10).await, ["none"]);
    house.advance(10);
    assert_eq!(house.bodies(&queue, 10).await, ["queue's delay"]);
    house.advance(10);
    let last = house.receive(&queue, 10).await.remove(0);
    assert_eq!((body(&last).as_str(), last.count), ("own delay", 1));
    for bad in [-1, 901] {
        let sent = house.messages.send(&queue, vec![NewMessage { delay_s: Some(bad), ..text("x") }]).await;
        assert!(sent.unwrap()[0].is_err());
    }
}

#[tokio::test]
async fn messages_leave_when_they_are_too_old() {
    let (house, mut queue) = (House::new(), queue("q", 1));
    queue.attributes.retention_s = 60;
    for n in 0..300 {
        house.send(&queue, text(&n.to_string())).await;
    }
    house.receive(&queue, 1).await;
    house.advance(59);
    house.send(&queue, text("young")).await;
    assert_eq!(house.counts(&queue).await, (301, 0, 0));
    house.advance(1);
    assert_eq!(house.bodies(&queue, 10).await, ["young"]);
    assert_eq!(house.counts(&queue).await, (0, 1, 0));
    assert_eq!(house.rows("m"), 1);
}

#[tokio::test]
async fn a_backlog_is_worked_off_in_its_order() {
    let (mut house, queue) = (House::new(), queue("q", 1));
    let count = 12_500;
    for start in (0..count).step_by(10) {
        house.send_all(&queue, (start..start + 10).map(|n| text(&n.to_string())).collect()).await;
    }
    let mut got = Vec::new();
    while got.len() < count {
        if got.len() == 500 {
            house.leases_written().await;
            house.crash().await;
        }
        let received = house.receive(&queue, 10).await;
        assert_eq!(received.len(), 10, "after {}", got.len());
        for one in &received {
            got.push(body(one).parse::<usize>().unwrap());
        }
        if got.len() % 3 == 0 {
            let handles: Vec<String> = received.iter().map(|one| one.handle.clone()).collect();
            house.messages.delete(&queue, &handles).await.unwrap();
        }
    }
    assert_eq!(got, (0..count).collect::<Vec<_>>());
    assert!(house.bodies(&queue, 10).await.is_empty());
    let left = house.rows("m") as u64;
    assert_eq!(house.counts(&queue).await, (0, left, 0));
}

#[tokio::test]
async fn a_group_with_few_messages_does_not_wait_for_one_with_many() {
    let (house, queue) = (House::new(), queue("q", 1));
    for start in (0..10_500).step_by(10) {
        house
            .send_all(&queue, (start..start + 10).map(|n| in_group("noisy", &n.to_string())).collect())
            .await;
    }
    house.receive(&queue, 1).await;
    house.send(&queue, in_group("quiet", "quiet")).await;
    let got = house.bodies(&queue, 3).await;
    assert!(got.contains(&"quiet".to_owned()), "{got:?}");
    assert_eq!(house.counts(&queue).await.0, 10_501 - 4);
}

#[tokio::test]
async fn the_largest_content_comes_back() {
    let (mut house, queue) = (House::new(), queue("q", 1));
    let large = "ü".repeat(512 * 1024);
    house.send(&queue, text(&large)).await;
    house.crash().await;
    let received = house.receive(&queue, 1).await.remove(0);
    assert_eq!(body(&received), large);
    assert!(house.rows("b") > 10);
    house.delete(&queue, &received).await.unwrap();
    assert_eq!((house.rows("m"), house.rows("b")), (0, 0));
    let sent = house.messages.send(&queue, vec![text(&format!("{large}x"))]).await.unwrap();
    assert_eq!(
        sent[0].as_ref().unwrap_err().to_string(),
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."
    );
}

#[tokio::test]
async fn idle_queues_are_forgotten_and_found_again() {
    let (house, queue) = (House::new(), queue("q", 1));
    house.make(&queue).await;
    house.send(&queue, text("x")).await;
    house.receive_as(&queue, Wanted { visibility_s: 2_000, ..House::wanted(1) }).await;
    house.leases_written().await;
    house.messages.sweep().await.unwrap();
    assert!(super::super::locked(&house.messages.pictures).is_empty());
    assert_eq!(house.counts(&queue).await, (0, 1, 0));
    house.advance(2_000);
    assert_eq!(house.receive(&queue, 1).await[0].count, 2);
}

#[tokio::test]
async fn a_sweep_takes_what_is_too_old() {
    let (house, mut queue) = (House::new(), queue("q", 1));
    queue.attributes.retention_s = 60;
    house.make(&queue).await;
    for n in 0..500 {
        house.send(&queue, text(&n.to_string())).await;
    }
    house.messages.start();
    tokio::task::yield_now().await;
    house.advance(59);
    house.messages.sweep().await.unwrap();
    assert_eq!(house.rows("m"), 500);
    house.advance(900);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while house.rows("m") > 0 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.messages.stop();
}
