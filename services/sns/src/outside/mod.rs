//! Out of the house: what leaves the platform for a subscriber's web server, mailbox, telephone or app, and every
//! delivery that could not be made at once.
//!
//! Web servers are really called ([`http`]), with AWS's signatures ([`signature`]) and retries ([`policy`],
//! [`worker`]). E-mail, text messages and mobile push are never sent: each is a record that developers look at
//! ([`outbox`]). Queues and functions are reached by the publish path; only what failed there, and may pass, waits here.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>.

pub(crate) mod apps;
mod certificate;
mod confirmation;
pub(crate) mod envelope;
mod house;
pub(crate) mod jobs;
mod lanes;
pub(crate) mod outbox;
pub(crate) mod phones;
pub(crate) mod policy;
mod policy_json;
mod post_office;
pub(crate) mod signature;
#[cfg(test)]
mod testing;
mod web;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};

use base::{AccountId, Clock};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::errors::SnsError;
use crate::message::{Kind, Protocol, Published};

pub use certificate::Certificates;
pub(crate) use confirmation::{About, confirmation, farewell};
pub(crate) use jobs::{Enqueued, MAX_TARGETS, enqueue};
use policy::DeliveryPolicy;
pub(crate) use signature::Signed;
pub(crate) use worker::House;

/// A subscription as deliveries need it, as it was when the message was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The subscription's ARN; `PendingConfirmation` counts as none, so a pending one gives the ARN it will have.
    pub(crate) subscription_arn: String,
    /// The account that subscribed.
    pub(crate) owner: AccountId,
    pub(crate) protocol: Protocol,
    /// The URL, address, telephone number or ARN.
    pub(crate) endpoint: String,
    /// Whether the message goes without its envelope.
    pub(crate) raw: bool,
    /// How a web server's failures are met: what topic and subscription say together.
    pub(crate) policy: DeliveryPolicy,
    /// The ARN of the queue for what cannot be delivered.
    pub(crate) dead_letter: Option<String>,
}

impl Target {
    /// Whether this message goes to it without an envelope.
    pub(crate) fn is_raw(&self, published: &Published) -> bool {
        self.raw && published.kind == Kind::Notification
    }
}

/// Why a delivery failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{why}")]
pub(crate) struct Failed {
    /// Whether another try can have another outcome.
    pub(crate) may_pass: bool,
    /// For people: what happened. Holds neither the message nor credentials.
    pub(crate) why: String,
}

/// What works in the background. One per service.
pub(crate) struct Outside {
    store: Store,
    clock: Clock,
    pub(crate) signer: signature::Signer,
    web: web::Web,
    woken: mpsc::UnboundedSender<Vec<String>>,
    /// Taken by the worker when it starts.
    to_wake: Mutex<Option<mpsc::UnboundedReceiver<Vec<String>>>>,
    stop: watch::Sender<bool>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Outside {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        let (woken, to_wake) = mpsc::unbounded_channel();
        let signer = signature::Signer::new(store.clone(), clock.clone());
        Outside {
            store,
            clock,
            signer,
            web: web::Web::default(),
            woken,
            to_wake: Mutex::new(Some(to_wake)),
            stop: watch::Sender::new(false),
            worker: Mutex::new(None),
        }
    }

    /// Starts the worker, once.
    pub(crate) fn start<H: House>(&self, house: Arc<H>) {
        let to_wake = self.to_wake.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(to_wake) = to_wake {
            let worker = tokio::spawn(worker::run(house, to_wake, self.stop.subscribe()));
            *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
        }
    }

    /// Ends the worker: what it delivers may end, within some seconds.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            let _ = worker.await; // a panic was reported when it happened
        }
    }

    /// Tells the worker what a transaction that is committed has added.
    pub(crate) fn wake(&self, added: Enqueued) {
        if !added.lanes.is_empty() {
            // Nobody listens any more when the server stops; the rows wait for the next start.
            let _ = self.woken.send(added.lanes);
        }
    }

    /// Signs what subscribers of this protocol get; `None` for notifications of FIFO topics.
    ///
    /// # Errors
    /// When the store fails, or the key is damaged.
    pub(crate) async fn signature(
        &self,
        published: &Published,
        protocol: Protocol,
    ) -> Result<Option<Signed>, SnsError> {
        self.signer.sign(published, protocol).await
    }

    /// Takes a message for any number of subscriptions: durable when this returns.
    ///
    /// # Errors
    /// When the store fails: then some of them may have it.
    pub(crate) async fn accept(
        &self,
        published: &Arc<Published>,
        targets: Vec<Target>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        for some in targets.chunks(MAX_TARGETS) {
            let (published, some) = (Arc::clone(published), some.to_vec());
            let added = self.store.transact(move |tx| enqueue(tx, now, &published, &some)).await?;
            self.wake(added);
        }
        Ok(())
    }
}
