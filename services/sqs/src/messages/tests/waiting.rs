//! Long polls: who gets what, and when.

use tokio::task::JoinHandle;

use super::*;

/// Somebody who waits for one message; it is in line when this is done.
async fn waiter(house: &House, queue: &Queue, in_line: usize) -> JoinHandle<Vec<String>> {
    let (messages, call, own) = (Arc::clone(&house.messages), house.call(), queue.clone());
    let task = tokio::spawn(async move {
        let wanted = Wanted { wait: Duration::from_secs(20), ..House::wanted(1) };
        messages.receive(&call, &own, wanted).await.unwrap().iter().map(body).collect()
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while super::super::locked(&house.messages.picture(queue).state).waiters.len() < in_line {
        assert!(std::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    task
}

#[tokio::test]
async fn who_waits_longest_gets_what_arrives() {
    let (house, queue) = (House::new(), queue("q", 1));
    let first = waiter(&house, &queue, 1).await;
    let second = waiter(&house, &queue, 2).await;
    house.send(&queue, text("1")).await;
    assert_eq!(first.await.unwrap(), ["1"]);
    assert!(!second.is_finished());
    house.send(&queue, text("2")).await;
    assert_eq!(second.await.unwrap(), ["2"]);
}

#[tokio::test]
async fn who_has_gone_away_gets_nothing() {
    let (house, queue) = (House::new(), queue("q", 1));
    let first = waiter(&house, &queue, 1).await;
    let second = waiter(&house, &queue, 2).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    house.send(&queue, text("1")).await;
    assert_eq!(second.await.unwrap(), ["1"]);
    assert_eq!(house.counts(&queue).await, (0, 1, 0));
}

#[tokio::test]
async fn what_comes_back_goes_to_who_waits() {
    let (house, queue) = (House::new(), queue("q", 1));
    house.send(&queue, text("lease")).await;
    house.receive(&queue, 1).await;
    let poll = waiter(&house, &queue, 1).await;
    house.advance(29);
    tokio::task::yield_now().await;
    assert!(!poll.is_finished());
    house.advance(1);
    assert_eq!(poll.await.unwrap(), ["lease"]);

    house.send(&queue, NewMessage { delay_s: Some(5), ..text("delay") }).await;
    let poll = waiter(&house, &queue, 1).await;
    house.advance(5);
    assert_eq!(poll.await.unwrap(), ["delay"]);

    // A lease that begins while somebody waits already.
    let poll = waiter(&house, &queue, 1).await;
    house.send(&queue, text("given up")).await;
    assert_eq!(poll.await.unwrap(), ["given up"]);
    let poll = waiter(&house, &queue, 1).await;
    house.advance(30);
    assert_eq!(poll.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_that_is_free_again_goes_to_who_waits() {
    let (house, queue) = (House::new(), queue("q.fifo", 1));
    house.send(&queue, in_group("a", "1")).await;
    house.send(&queue, in_group("a", "2")).await;
    let out = house.receive(&queue, 1).await.remove(0);
    let poll = waiter(&house, &queue, 1).await;
    house.delete(&queue, &out).await.unwrap();
    assert_eq!(poll.await.unwrap(), ["2"]);
    let poll = waiter(&house, &queue, 1).await;
    house.send(&queue, in_group("b", "3")).await;
    assert_eq!(poll.await.unwrap(), ["3"]);
}

#[tokio::test]
async fn a_dead_letter_goes_to_who_waits_there() {
    let (house, source, target) = (House::new(), queue("q", 1), queue("dead", 2));
    house.send(&source, text("x")).await;
    let wanted = || Wanted { grave: Some(grave(&target, 1)), visibility_s: 0, ..House::wanted(1) };
    house.receive_as(&source, wanted()).await;
    let poll = waiter(&house, &target, 1).await;
    assert!(house.receive_as(&source, wanted()).await.is_empty());
    assert_eq!(poll.await.unwrap(), ["x"]);
}

#[tokio::test]
async fn stopping_ends_every_wait() {
    let (house, queue) = (House::new(), queue("q", 1));
    let poll = waiter(&house, &queue, 1).await;
    house.messages.stop();
    assert!(poll.await.unwrap().is_empty());
    let wanted = Wanted { wait: Duration::from_secs(20), ..House::wanted(1) };
    let late = house.messages.receive(&house.call(), &queue, wanted).await;
    assert!(matches!(late, Err(SqsError::Stopping)));
}

#[tokio::test]
async fn a_wait_ends_in_its_time() {
    let (house, queue) = (House::new(), queue("q", 1));
    let wanted = Wanted { wait: Duration::from_millis(20), ..House::wanted(1) };
    assert!(house.receive_as(&queue, wanted).await.is_empty());
    assert!(super::super::locked(&house.messages.picture(&queue).state).waiters.is_empty());
}
