//! The couriers of FIFO topics: one task for each subscription that has messages to get.
//!
//! A courier delivers from the topic's log in order, message groups beside one another, and notes how far it has come; a
//! crash before the note repeats deliveries, which FIFO queues recognise. It ends when there is nothing more, and is
//! started again by the next publish.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Timestamp;
use store::value;
use tokio_util::sync::CancellationToken;

use crate::Sns;
use crate::address::TopicAddress;
use crate::errors::SnsError;
use crate::fifo::{self, Cursor, Entry, ReplayStatus};
use crate::keys::{self, VERSION};
use crate::known::{Known, Live};
use crate::message::Published;
use crate::outside::Target;
use crate::outside::policy::DeliveryPolicy;
use crate::publish::Seen;
use crate::together;
use crate::topics::write;

/// Messages that a courier takes at once,
const WINDOW: usize = 64;
/// and how much they may say together, in bytes.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;
/// How long a courier waits when the store fails.
const TROUBLE: Duration = Duration::from_secs(1);

type Key = (u64, String);

/// Which couriers are on their way.
#[derive(Default)]
pub(crate) struct Couriers {
    /// Whether there is more since the courier last looked.
    running: Mutex<HashMap<Key, bool>>,
    stopped: CancellationToken,
}

/// What a courier does next.
enum Next {
    /// Goes on at once.
    More,
    /// There is nothing now.
    Nothing,
    /// Tries again then.
    Wait(Timestamp),
    /// There is no such subscription any more.
    Gone,
}

/// What came of one message.
struct Outcome {
    number: u64,
    /// `None`: it is settled.
    failed: Option<String>,
}

impl Couriers {
    fn running(&self) -> MutexGuard<'_, HashMap<Key, bool>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was published to a topic, or a subscription of it was set back.
    pub(crate) fn wake(&self, sns: &Arc<Sns>, topic: &TopicAddress) {
        match sns.known(topic) {
            Ok(known) => {
                for live in &known.subscriptions {
                    self.send(sns, topic, (known.topic.uid, live.id.clone()));
                }
                if known.subscriptions.is_empty() {
                    self.tidy(sns, topic, known.topic.uid);
                }
            }
            Err(SnsError::Store(error)) => tracing::error!(%error, "couriers are not sent"),
            Err(_) => {}
        }
    }

    /// Nobody gets what was published; the log is looked after all the same.
    fn tidy(&self, sns: &Arc<Sns>, topic: &TopicAddress, uid: u64) {
        let (sns, topic) = (Arc::clone(sns), topic.clone());
        tokio::spawn(async move {
            if let Err(error) = fifo::trim(&sns.store, uid, &topic, sns.clock.now()).await {
                tracing::warn!(%error, "a topic's log is not tidied");
            }
        });
    }

    fn send(&self, sns: &Arc<Sns>, topic: &TopicAddress, key: Key) {
        if self.stopped.is_cancelled() {
            return;
        }
        if let Some(more) = self.running().get_mut(&key) {
            *more = true;
            return;
        }
        self.running().insert(key.clone(), false);
        let (sns, topic, stopped) = (Arc::clone(sns), topic.clone(), self.stopped.clone());
        tokio::spawn(async move {
            stopped.run_until_cancelled(courier(&sns, &topic, &key)).await;
        });
    }

    /// Whether a courier with nothing to do may go home.
    fn may_end(&self, key: &Key) -> bool {
        let mut running = self.running();
        match running.get_mut(key) {
            Some(more) if *more => {
                *more = false;
                false
            }
            _ => {
                running.remove(key);
                true
            }
        }
    }

    /// Sends the couriers that a stopped server left without work done.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn resume(&self, sns: &Arc<Sns>) -> Result<(), SnsError> {
        for (key, row) in sns.store.range(keys::all_cursors())? {
            let mut reader = store::KeyReader::new(&key);
            let parts = (|| {
                let _ = (reader.str()?, reader.str()?);
                Ok::<_, store::KeyError>((reader.u64()?, reader.str()?))
            })();
            let Ok((uid, id)) = parts else { continue };
            let cursor: Cursor = value::decode(VERSION, &row)?;
            if cursor.next <= fifo::newest(&sns.store, uid)? {
                self.send(sns, &cursor.topic, (uid, id));
            }
        }
        Ok(())
    }

    /// Ends all of them; what they have not noted is delivered again.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
    }
}

async fn courier(sns: &Arc<Sns>, topic: &TopicAddress, key: &Key) {
    loop {
        match sns.courier_step(topic, key).await {
            Ok(Next::More) => {}
            Ok(Next::Nothing | Next::Gone) => {
                if sns.couriers.may_end(key) {
                    return;
                }
            }
            Ok(Next::Wait(until)) => sns.clock.sleep_until(until).await,
            Err(error) => {
                tracing::error!(%error, topic = topic.name, "a courier is held up");
                sns.clock.sleep_until(sns.clock.now().after(TROUBLE)).await;
            }
        }
    }
}

impl Sns {
    async fn courier_step(&self, topic: &TopicAddress, (uid, id): &Key) -> Result<Next, SnsError> {
        let known = match self.known(topic) {
            Ok(known) if known.topic.uid == *uid => known,
            Ok(_) | Err(SnsError::NoTopic) => return Ok(Next::Gone),
            Err(error) => return Err(error),
        };
        let Some(live) = known.subscriptions.iter().find(|live| live.id == *id) else {
            return Ok(Next::Gone);
        };
        let Some(cursor) = self.cursor(*uid, id)? else { return Ok(Next::Gone) };
        if let Some(until) = cursor.retry_at.filter(|until| *until > self.clock.now()) {
            return Ok(Next::Wait(until));
        }
        let messages = self.next_messages(*uid, &cursor)?;
        if messages.is_empty() && !is_replaying(&cursor) {
            return Ok(Next::Nothing);
        }
        let outcomes = self.deliver_in_order(&known, live, &cursor, messages).await;
        let failed = outcomes.iter().any(|outcome| outcome.failed.is_some());
        let next = self.note(*uid, id, &cursor, outcomes).await?;
        if !failed {
            fifo::trim(&self.store, *uid, topic, self.clock.now()).await?;
        }
        Ok(next)
    }

    /// The next messages of a subscription that are not delivered yet.
    fn next_messages(&self, uid: u64, cursor: &Cursor) -> Result<Vec<(u64, Published)>, SnsError> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let end = match &cursor.replay {
            Some(replay) if replay.status != ReplayStatus::Completed => replay.end,
            _ => u64::MAX,
        };
        for (key, row) in self.store.range(keys::log_from(uid, cursor.next).limit(WINDOW))? {
            let Some(number) = fifo::number_of(&key).filter(|number| *number < end) else { break };
            let _: Entry = value::decode(VERSION, &row)?;
            if cursor.done.contains(&number) {
                continue;
            }
            let Some(published) = self.said(uid, number)? else { continue };
            bytes += published.text.default.len();
            messages.push((number, published));
            if bytes >= WINDOW_BYTES {
                break;
            }
        }
        Ok(messages)
    }

    /// Delivers messages: those of a group one after another, up to the first that must wait.
    async fn deliver_in_order(
        &self,
        known: &Known,
        live: &Live,
        cursor: &Cursor,
        messages: Vec<(u64, Published)>,
    ) -> Vec<Outcome> {
        let mut groups: BTreeMap<String, Vec<(u64, Published)>> = BTreeMap::new();
        for (number, mut published) in messages {
            if cursor.is_replayed(number) {
                as_replayed(&mut published, cursor.epoch);
            }
            groups
                .entry(published.group_id.clone().unwrap_or_default())
                .or_default()
                .push((number, published));
        }
        let exhausted = DeliveryPolicy::of_managed_endpoints().delay(cursor.failures + 1).is_none();
        let deliveries = groups.into_values().map(|group| self.deliver_group(known, live, group, exhausted));
        together::all(deliveries.collect(), self.store.gather()).await.into_iter().flatten().collect()
    }

    async fn deliver_group(
        &self,
        known: &Known,
        live: &Live,
        group: Vec<(u64, Published)>,
        exhausted: bool,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(group.len());
        for (number, published) in group {
            if !Seen::new(&published).is_wanted_by(live) {
                self.metrics.of(&known.arn).filtered_out(1);
                outcomes.push(Outcome { number, failed: None });
                continue;
            }
            let failed = self.deliver_or_give_up(&live.target, &published, exhausted).await.err();
            let waits = failed.is_some();
            outcomes.push(Outcome { number, failed });
            if waits {
                break;
            }
        }
        outcomes
    }

    /// One delivery. What will never arrive is settled by handing it to the dead-letter queue.
    async fn deliver_or_give_up(
        &self,
        target: &Target,
        published: &Published,
        exhausted: bool,
    ) -> Result<(), String> {
        let Err(failed) = self.deliver_once(target, published).await else { return Ok(()) };
        if failed.may_pass && !exhausted {
            return Err(failed.why);
        }
        self.dead_letter(target, published, &failed.why).await.map_err(|failed| failed.why)
    }

    /// Notes how far the courier has come, unless somebody moved its cursor meanwhile.
    async fn note(
        &self,
        uid: u64,
        id: &str,
        before: &Cursor,
        outcomes: Vec<Outcome>,
    ) -> Result<Next, SnsError> {
        let mut cursor = before.clone();
        let (settled, waiting): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|outcome| outcome.failed.is_none());
        let any_settled = !settled.is_empty();
        cursor.done.extend(settled.iter().map(|outcome| outcome.number));
        if let Some(replay) = &mut cursor.replay
            && replay.status == ReplayStatus::Pending
        {
            replay.status = ReplayStatus::InProgress;
        }
        let next = match waiting.first().and_then(|outcome| outcome.failed.as_deref()) {
            None => {
                (cursor.failures, cursor.retry_at) = (0, None);
                Next::More
            }
            Some(why) => {
                cursor.failures = if any_settled { 1 } else { cursor.failures + 1 };
                let delay = DeliveryPolicy::of_managed_endpoints().delay(cursor.failures).unwrap_or_default();
                let until = self.clock.now().after(delay);
                cursor.retry_at = Some(until);
                tracing::debug!(topic = cursor.topic.name, subscription = id, why, "a FIFO delivery waits");
                Next::Wait(until)
            }
        };
        cursor.settle();
        let (id, epoch) = (id.to_owned(), before.epoch);
        self.store
            .transact(move |tx| {
                let stored = fifo::stored_cursor(tx, uid, &id)?;
                if stored.is_some_and(|stored| stored.epoch == epoch) {
                    write(tx, keys::cursor(uid, &id), &cursor)?;
                }
                Ok(())
            })
            .await?;
        Ok(next)
    }
}

fn is_replaying(cursor: &Cursor) -> bool {
    cursor.replay.as_ref().is_some_and(|replay| replay.status != ReplayStatus::Completed)
}

/// A replayed message says so. It is another delivery than the first one, so queues must not take it for a repetition.
fn as_replayed(published: &mut Published, epoch: u64) {
    published.replayed = true;
    if let Some(id) = &published.deduplication_id {
        published.deduplication_id = Some(fifo::content_id(&format!("replay {epoch} of {id}")));
    }
}
