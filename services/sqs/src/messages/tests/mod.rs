//! The messages of queues over a store in memory and a clock that stands still.
//!
//! A crash is a new [`Messages`] over the same store: what was only in memory is lost.

mod crashes;
mod fifo;
mod moving;
mod standard;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, Clock, Principal, Region, Timestamp};
use frontdoor::{Call, FrontDoor};
use store::{Store, value};

use super::manage::Counts;
use super::receive::{Received, Wanted};
use super::send::{NewMessage, Sent};
use super::{Grave, Messages};
use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::queue::{Fifo, Queue};

/// A server's part that has to do with messages.
struct House {
    store: Store,
    clock: Clock,
    messages: Arc<Messages>,
    door: FrontDoor,
}

fn queue(name: &str, uid: u64) -> Queue {
    let scope = Scope { account: AccountId::DEFAULT, region: Region::default() };
    let mut queue = Queue::new(&scope, name, uid, Timestamp(0));
    queue.attributes.fifo =
        name.ends_with(".fifo").then_some(Fifo { content_based_deduplication: true, ..Fifo::default() });
    queue
}

fn text(body: &str) -> NewMessage {
    NewMessage { body: body.to_owned(), sender: "me".to_owned(), ..NewMessage::default() }
}

fn in_group(group: &str, body: &str) -> NewMessage {
    NewMessage { group: Some(group.to_owned()), ..text(body) }
}

impl House {
    fn new() -> House {
        let clock = Clock::frozen(Timestamp(1_800_000_000_000));
        let store = Store::in_memory().unwrap();
        let messages = Messages::new(store.clone(), clock.clone());
        let door = FrontDoor::builder(clock.clone()).build();
        House { store, clock, messages, door }
    }

    /// Forgets everything that is not in the store.
    async fn crash(&mut self) {
        self.messages.stop();
        super::locked(&self.messages.pictures).clear();
        super::locked(&self.messages.pending).clear();
        // A process that died writes nothing any more: what this one has begun comes to its end first.
        self.at_rest("writing goes on after a crash").await;
        self.messages = Messages::new(self.store.clone(), self.clock.clone());
    }

    /// Waits until nothing is on its way to the store.
    async fn at_rest(&self, otherwise: &str) {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while super::locked(&self.messages.behind).is_running()
            || super::locked(&self.messages.pending).is_running()
        {
            assert!(std::time::Instant::now() < deadline, "{otherwise}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Writes a queue's record, for what looks queues up by name.
    async fn make(&self, queue: &Queue) {
        let key = keys::queue(&queue.scope(), &queue.name);
        let row = value::encode(VERSION, queue);
        self.store.transact(move |tx| tx.put(key.clone(), row.clone())).await.unwrap();
    }

    fn call(&self) -> Call {
        let root = Principal::Root { account: AccountId::DEFAULT };
        self.door.call(root, AccountId::DEFAULT, Region::default())
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn send_all(&self, queue: &Queue, messages: Vec<NewMessage>) -> Vec<Sent> {
        let sent = self.messages.send(queue, messages).await.unwrap();
        sent.into_iter().map(Result::unwrap).collect()
    }

    async fn send(&self, queue: &Queue, message: NewMessage) -> Sent {
        self.send_all(queue, vec![message]).await.remove(0)
    }

    fn wanted(max: usize) -> Wanted {
        Wanted { max, visibility_s: 30, wait: Duration::ZERO, attempt: None, grave: None }
    }

    async fn receive_as(&self, queue: &Queue, wanted: Wanted) -> Vec<Received> {
        self.messages.receive(&self.call(), queue, wanted).await.unwrap()
    }

    async fn receive(&self, queue: &Queue, max: usize) -> Vec<Received> {
        self.receive_as(queue, Self::wanted(max)).await
    }

    /// The bodies of what a receive gives.
    async fn bodies(&self, queue: &Queue, max: usize) -> Vec<String> {
        self.receive(queue, max).await.iter().map(body).collect()
    }

    async fn delete(&self, queue: &Queue, received: &Received) -> Result<(), SqsError> {
        self.messages.delete(queue, std::slice::from_ref(&received.handle)).await.unwrap().remove(0)
    }

    async fn hide(&self, queue: &Queue, received: &Received, seconds: i64) -> Result<(), SqsError> {
        let wishes = [(received.handle.clone(), seconds)];
        self.messages.change_visibility(queue, &wishes).await.unwrap().remove(0)
    }

    async fn counts(&self, queue: &Queue) -> (u64, u64, u64) {
        let Counts { visible, in_flight, delayed } = self.messages.counts(queue).await.unwrap();
        (visible, in_flight, delayed)
    }

    /// Waits until the leases of all receives are written.
    async fn leases_written(&self) {
        self.at_rest("leases are not written").await;
    }

    /// How many rows the store has in a table of messages.
    fn rows(&self, table: &str) -> usize {
        self.store.range(store::Key::new("sqs").str(table).range()).unwrap().len()
    }
}

fn body(received: &Received) -> String {
    received.message.content.body.clone()
}

fn grave(queue: &Queue, max_receive_count: u32) -> Grave {
    Grave { queue: queue.uid, is_fifo: queue.is_fifo(), max_receive_count, source_arn: "arn:source".into() }
}
