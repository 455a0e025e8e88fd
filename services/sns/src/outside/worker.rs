//! The worker: delivers what waits, and settles in the store how it went.
//!
//! One task hands out turns ([`super::lanes`]); each delivery is a task as long as it runs, and there are at most so many.
//! A delivery that is cut off by the server's end is made again by the next one: at least once, never lost.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, Clock, Timestamp};
use bytes::Bytes;
use store::{StoreError, Tx, TxError, value};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::jobs::{self, Job};
use super::lanes::{Ended, Lanes, Start};
use super::outbox::OutboxRecord;
use super::policy::DeliveryPolicy;
use super::{Failed, Target, envelope, outbox, post_office};
use crate::keys::{self, VERSION};
use crate::message::{Kind, Protocol, Published};

/// How long deliveries may go on when the server stops.
const FINISH: Duration = Duration::from_secs(3);

/// What the worker needs of the rest of the service.
pub(crate) trait House: Send + Sync + 'static {
    /// Delivers to a queue, a function or a stream, once.
    fn deliver_once(
        &self,
        target: &Target,
        published: &Published,
    ) -> impl Future<Output = Result<(), Failed>> + Send;

    /// Counts a message that reached a server, or the outbox.
    fn delivered(&self, published: &Published);

    /// Hands what cannot be delivered to the subscription's dead-letter queue; without one it is dropped.
    fn dead_letter(
        &self,
        target: &Target,
        published: &Published,
        why: &str,
    ) -> impl Future<Output = Result<(), Failed>> + Send;

    /// The target as its subscription is now; `None`: there is no such subscription any more.
    fn target_now(&self, target: &Target) -> Result<Option<Target>, StoreError>;

    /// The rest of this folder.
    fn outside(&self) -> &super::Outside;
}

/// Runs until told to stop.
pub(super) async fn run<H: House>(
    house: Arc<H>,
    mut woken: mpsc::UnboundedReceiver<Vec<String>>,
    mut stop: watch::Receiver<bool>,
) {
    let (store, clock) = (house.outside().store.clone(), house.outside().clock.clone());
    let mut lanes = Lanes::new(store);
    if let Err(error) = lanes.restore() {
        tracing::error!(%error, "waiting deliveries cannot be found");
    }
    let mut running = JoinSet::new();
    loop {
        lanes.tick(clock.now());
        while let Some(start) = lanes.next(clock.now()) {
            running.spawn(deliver(Arc::clone(&house), start));
        }
        tokio::select! {
            added = woken.recv() => match added {
                Some(added) => added.into_iter().for_each(|lane| lanes.wake(lane)),
                None => break,
            },
            Some(ended) = running.join_next() => match ended {
                Ok((start, how)) => lanes.ended(&start, how, clock.now()),
                // Its place stays taken; the row is delivered after the next start.
                Err(error) => tracing::error!(%error, "a delivery panicked"),
            },
            () = until(&clock, lanes.next_timer()) => {}
            _ = stop.changed() => break,
        }
    }
    let finish = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH, finish).await.is_err() {
        tracing::debug!(left = running.len(), "deliveries are cut off; the next start makes them again");
    }
}

async fn until(clock: &Clock, moment: Option<Timestamp>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// One turn of one delivery, with what must be written about it.
async fn deliver<H: House>(house: Arc<H>, start: Start) -> (Start, Ended) {
    let outside = house.outside();
    let tried = attempt(&*house, &start.job).await;
    let (settlement, how) = match tried {
        Ok(tried) => tried,
        Err(error) => {
            tracing::error!(%error, subscription = %start.lane, "a delivery cannot be read");
            return (start, Ended::Unsettled);
        }
    };
    let (key, message, lane, now) =
        (start.key.clone(), start.job.message, start.lane.clone(), outside.clock.now());
    let written = outside.store.transact(move |tx| settle(tx, &key, message, &lane, now, &settlement)).await;
    match written {
        Ok(()) => (start, how),
        Err(error) => {
            tracing::error!(%error, subscription = %start.lane, "a delivery cannot be settled");
            (start, Ended::Unsettled)
        }
    }
}

/// What is to be written after an attempt.
#[derive(Clone, Debug)]
enum Settlement {
    /// The row goes.
    Done,
    /// The row goes, and a record is kept.
    Recorded(AccountId, Box<OutboxRecord>),
    /// The row is due again later.
    Again(Duration, Box<Job>),
}

fn settle(
    tx: &mut dyn Tx,
    key: &[u8],
    message: u64,
    lane: &str,
    now: Timestamp,
    settlement: &Settlement,
) -> Result<(), TxError> {
    if tx.get(key)?.is_none() {
        return Ok(()); // settled before, by somebody else's word
    }
    tx.delete(key)?;
    match settlement {
        Settlement::Done => jobs::release(tx, message),
        Settlement::Recorded(account, record) => {
            outbox::record(tx, *account, (**record).clone())?;
            jobs::release(tx, message)
        }
        Settlement::Again(delay, job) => {
            let number = keys::read_job(key).map_or(0, |key| key.number);
            let key = keys::job(lane, now.after(*delay), message, number);
            tx.put(key, value::encode(VERSION, &**job))
        }
    }
}

/// Tries a delivery, and says what follows.
async fn attempt<H: House>(house: &H, job: &Job) -> Result<(Settlement, Ended), StoreError> {
    let outside = house.outside();
    let Some(published) = jobs::read_message(&outside.store, job.message)? else {
        // Nothing is left that could be delivered.
        return Ok((Settlement::Done, Ended::Well));
    };
    if let Some(why) = &job.given_up {
        return Ok(give_up(house, job, &published, why).await);
    }
    let mut job = job.clone();
    if published.kind == Kind::Notification {
        match house.target_now(&job.target)? {
            Some(target) => job.target = target,
            None => return Ok((Settlement::Done, Ended::Well)),
        }
    }
    let outcome = once(house, &job.target, &published).await;
    // What `deliver_once` delivers it counts itself.
    let is_ours = !matches!(job.target.protocol, Protocol::Sqs | Protocol::Lambda | Protocol::Firehose);
    if outcome.is_ok() && is_ours && published.kind == Kind::Notification {
        house.delivered(&published);
    }
    let failed = match outcome {
        Ok(None) => return Ok((Settlement::Done, Ended::Well)),
        Ok(Some(record)) => {
            return Ok((Settlement::Recorded(job.target.owner, Box::new(record)), Ended::Well));
        }
        Err(failed) => failed,
    };
    job.attempts += 1;
    tracing::debug!(
        subscription = %job.target.subscription_arn,
        message_id = %published.message_id,
        attempts = job.attempts,
        may_pass = failed.may_pass,
        why = %failed.why,
        "a delivery failed"
    );
    let delay = match job.target.protocol.is_http() {
        true => job.target.policy.delay_for_web_server(job.attempts),
        false => DeliveryPolicy::of_managed_endpoints().delay(job.attempts),
    };
    match delay.filter(|_| failed.may_pass) {
        Some(delay) => Ok((Settlement::Again(delay, Box::new(job)), Ended::Badly)),
        None => Ok(give_up(house, &Job { attempts: 0, ..job }, &published, &failed.why).await),
    }
}

/// Hands a message on that cannot be delivered.
async fn give_up<H: House>(house: &H, job: &Job, published: &Published, why: &str) -> (Settlement, Ended) {
    let Err(failed) = house.dead_letter(&job.target, published, why).await else {
        return (Settlement::Done, Ended::Badly);
    };
    let attempts = job.attempts + 1;
    match DeliveryPolicy::of_managed_endpoints().delay(attempts).filter(|_| failed.may_pass) {
        Some(delay) => {
            let job = Job { attempts, given_up: Some(why.to_owned()), ..job.clone() };
            (Settlement::Again(delay, Box::new(job)), Ended::Badly)
        }
        // Refused there too; it was reported.
        None => (Settlement::Done, Ended::Badly),
    }
}

/// Delivers once; with the record of what is kept instead of sent.
async fn once<H: House>(
    house: &H,
    target: &Target,
    published: &Published,
) -> Result<Option<OutboxRecord>, Failed> {
    let outside = house.outside();
    match target.protocol {
        Protocol::Sqs | Protocol::Lambda | Protocol::Firehose => {
            house.deliver_once(target, published).await.map(|()| None)
        }
        Protocol::Http | Protocol::Https => {
            let body = match target.is_raw(published) {
                true => published.text_for(target.protocol).to_owned(),
                false => enveloped(outside, target, published).await?,
            };
            outside.web.post(target, published, Bytes::from(body)).await.map(|()| None)
        }
        Protocol::EmailJson => {
            let text = enveloped(outside, target, published).await?;
            Ok(Some(post_office::email(target, published, text)))
        }
        Protocol::Email => {
            Ok(Some(post_office::email(target, published, post_office::letter(target, published))))
        }
        Protocol::Sms => post_office::sms(outside, target, published).map(Some),
        Protocol::Application => post_office::push(outside, target, published).map(Some),
    }
}

/// The message in its envelope, signed.
async fn enveloped(
    outside: &super::Outside,
    target: &Target,
    published: &Published,
) -> Result<String, Failed> {
    let signed = outside.signature(published, target.protocol).await;
    let signed = signed.map_err(|error| Failed { may_pass: true, why: error.to_string() })?;
    Ok(envelope::json(published, target.protocol, &target.subscription_arn, signed.as_ref()))
}

#[cfg(test)]
mod tests;
