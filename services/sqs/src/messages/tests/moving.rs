//! Dead letters, moves, purges, deleted queues, looks.

use super::*;
use crate::messages::manage::{Moved, PeekedState};

fn with_grave(queue: &Queue, max_receive_count: u32) -> Wanted {
    Wanted { grave: Some(grave(queue, max_receive_count)), ..House::wanted(10) }
}

#[tokio::test]
async fn a_message_that_was_received_too_often_goes_to_its_grave() {
    let (house, source, target) = (House::new(), queue("q", 1), queue("dead", 2));
    let large = "x".repeat(100_000);
    let sent = house.send(&source, text(&large)).await;
    let sent_at = house.clock.now();
    for n in 1..=2 {
        assert_eq!(house.receive_as(&source, with_grave(&target, 2)).await[0].count, n);
        house.advance(30);
    }
    assert!(house.receive_as(&source, with_grave(&target, 2)).await.is_empty());
    assert_eq!(house.counts(&source).await, (0, 0, 0));
    assert_eq!(house.counts(&target).await, (1, 0, 0));
    let dead = house.receive(&target, 1).await.remove(0);
    let head = &dead.message.head;
    assert_eq!((body(&dead), dead.message.id(), head.sent_at), (large, sent.id, sent_at));
    assert_eq!((head.source_arn.as_deref(), dead.count), (Some("arn:source"), 3));
    house.leases_written().await;
    assert_eq!((house.rows("m"), house.rows("l"), house.rows("b")), (1, 1, 2));
}

#[tokio::test]
async fn a_fifo_group_goes_on_after_its_dead_letter() {
    let (house, source, target) = (House::new(), queue("q.fifo", 1), queue("dead.fifo", 2));
    let first = house.send(&source, in_group("a", "1")).await;
    house.send(&source, in_group("a", "2")).await;
    let one = || Wanted { max: 1, ..with_grave(&target, 1) };
    assert_eq!(house.receive_as(&source, one()).await.iter().map(body).collect::<Vec<_>>(), ["1"]);
    house.advance(30);
    assert_eq!(house.receive_as(&source, one()).await.iter().map(body).collect::<Vec<_>>(), ["2"]);
    let dead = house.receive(&target, 1).await.remove(0);
    let head = &dead.message.head;
    assert_eq!((body(&dead).as_str(), head.group.as_deref()), ("1", Some("a")));
    assert_eq!(head.deduplication_id.as_deref(), Some(first.id.as_str()));
    assert_eq!(head.sent_at, house.clock.now());
}

#[tokio::test]
async fn messages_move_to_where_they_came_from() {
    let (house, source, target) = (House::new(), queue("q", 1), queue("dead", 2));
    house.make(&source).await;
    let buried = Grave { source_arn: source.arn().into(), ..grave(&target, 1) };
    let wanted = || Wanted { grave: Some(buried.clone()), visibility_s: 0, ..House::wanted(10) };
    let sent = house.send_all(&source, (0..5).map(|n| text(&n.to_string())).collect()).await;
    house.receive_as(&source, wanted()).await;
    assert!(house.receive_as(&source, wanted()).await.is_empty());
    assert_eq!(house.counts(&target).await, (5, 0, 0));
    let moved = house.messages.move_messages(&target, None, 3).await.unwrap();
    assert_eq!(moved, Moved { moved: 3, left: 2 });
    let moved = house.messages.move_messages(&target, None, 3).await.unwrap();
    assert_eq!(moved, Moved { moved: 2, left: 0 });
    assert_eq!(house.messages.move_messages(&target, None, 3).await.unwrap(), Moved::default());
    let back = house.receive(&source, 10).await;
    assert_eq!(back.iter().map(body).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    assert!(back.iter().all(|one| one.count == 1 && one.message.head.source_arn.is_none()));
    assert!(back.iter().all(|one| sent.iter().all(|sent| sent.id != one.message.id())));
}

#[tokio::test]
async fn a_message_without_a_source_stays() {
    let (house, queue, other) = (House::new(), queue("q", 1), queue("other", 2));
    house.send(&queue, text("x")).await;
    let stuck = house.messages.move_messages(&queue, None, 10).await.unwrap();
    assert_eq!(stuck, Moved { moved: 0, left: 1 });
    assert_eq!(
        house.messages.move_messages(&queue, Some(&other), 10).await.unwrap(),
        Moved { moved: 1, left: 0 }
    );
    assert_eq!(house.bodies(&other, 10).await, ["x"]);
}

#[tokio::test]
async fn a_purge_takes_everything_that_is_there() {
    let (mut house, queue) = (House::new(), queue("q", 1));
    for n in 0..50 {
        house.send(&queue, text(&n.to_string())).await;
    }
    house.send(&queue, NewMessage { delay_s: Some(100), ..text("later") }).await;
    let received = house.receive(&queue, 10).await;
    house.messages.purge(&queue).await.unwrap();
    assert_eq!(house.counts(&queue).await, (0, 0, 0));
    house.delete(&queue, &received[0]).await.unwrap();
    house.send(&queue, text("new")).await;
    assert_eq!(house.counts(&queue).await, (1, 0, 0));
    house.advance(1_000);
    assert_eq!(house.bodies(&queue, 10).await, ["new"]);
    house.leases_written().await;
    house.crash().await;
    house.messages.start();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while house.rows("m") > 1 || house.rows("l") > 1 || house.rows("c") > 0 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(house.counts(&queue).await, (0, 1, 0));
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_queue() {
    let (mut house, queue) = (House::new(), queue("q", 1));
    for n in 0..50 {
        house.send(&queue, text(&n.to_string())).await;
    }
    house.receive(&queue, 10).await;
    house.leases_written().await;
    // The server ends right after the queue's record is gone.
    let gone = queue.clone();
    house.store.transact(move |tx| Messages::note_forgotten(tx, &gone)).await.unwrap();
    let refused = house.messages.send(&queue, vec![text("x")]).await.unwrap().remove(0);
    assert!(matches!(refused, Err(SqsError::NoQueue)));
    house.crash().await;
    house.messages.start();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while ["m", "l", "b", "n", "c"].iter().any(|table| house.rows(table) > 0) {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let (house, queue) = (House::new(), queue("q", 1));
    for body in ["a", "b", "c"] {
        house.send(&queue, text(body)).await;
    }
    house.send(&queue, NewMessage { delay_s: Some(10), ..text("d") }).await;
    house.receive(&queue, 1).await;
    let seen = house.messages.peek(&queue, 10, None).await.unwrap();
    let states: Vec<_> = seen.iter().map(|one| (one.body.as_str(), one.state, one.receive_count)).collect();
    assert_eq!(
        states,
        [
            ("a", PeekedState::InFlight, 1),
            ("b", PeekedState::Visible, 0),
            ("c", PeekedState::Visible, 0),
            ("d", PeekedState::Delayed, 0)
        ]
    );
    let rest = house.messages.peek(&queue, 2, Some(seen[1].position)).await.unwrap();
    assert_eq!(rest.iter().map(|one| one.body.as_str()).collect::<Vec<_>>(), ["c", "d"]);
    assert_eq!(house.counts(&queue).await, (2, 1, 1));
    assert_eq!(house.bodies(&queue, 10).await, ["b", "c"]);
}
