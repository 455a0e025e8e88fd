//! The topics that are published to, remembered with their subscriptions: a publish reads nothing from the store.
//!
//! Whoever changes a topic or its subscriptions forgets it here after the commit and before the answer, so a publish that
//! begins after an answered change sees it. What is remembered is bounded; nothing here is the truth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pattern::FilterPolicy;
use store::{Snapshot, value};

use crate::Sns;
use crate::address::TopicAddress;
use crate::errors::SnsError;
use crate::keys::{self, VERSION};
use crate::outside::Target;
use crate::subscription::Subscription;
use crate::topic::Topic;

/// Topics that are remembered at most.
const MAX_TOPICS: usize = 10_000;
/// Subscriptions that are remembered at most, over all topics but the one that was used last.
const MAX_SUBSCRIPTIONS: usize = 200_000;
/// Subscriptions that are read at once.
const PAGE: usize = 1000;

/// A topic and who is to be told of what it gets.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) topic: Topic,
    pub(crate) arn: String,
    /// The confirmed ones.
    pub(crate) subscriptions: Vec<Live>,
}

/// A confirmed subscription, read for deliveries.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: String,
    pub(crate) target: Arc<Target>,
    pub(crate) filter: Option<FilterPolicy>,
}

impl Known {
    fn read(snapshot: &Snapshot, topic: Topic) -> Result<Self, SnsError> {
        let (mut subscriptions, mut after) = (Vec::new(), None::<String>);
        loop {
            let range = keys::subscriptions(topic.uid, after.as_deref()).limit(PAGE);
            let rows = snapshot.range(range)?;
            let count = rows.len();
            for (_, row) in rows {
                let subscription: Subscription = value::decode(VERSION, &row)?;
                if subscription.is_confirmed() {
                    subscriptions.push(Live {
                        target: Arc::new(subscription.target(&topic)),
                        filter: subscription.filter(),
                        id: subscription.id.clone(),
                    });
                }
                after = Some(subscription.id);
            }
            if count < PAGE {
                return Ok(Known { arn: topic.arn(), topic, subscriptions });
            }
        }
    }
}

/// What is remembered.
#[derive(Default)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    topics: HashMap<TopicAddress, Arc<Known>>,
    subscriptions: usize,
    /// Counts what was forgotten: what was read before such a moment is not remembered after it.
    epoch: u64,
}

impl Cache {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a topic: it or its subscriptions were changed.
    pub(crate) fn forget(&self, address: &TopicAddress) {
        let mut inner = self.inner();
        inner.epoch += 1;
        if let Some(known) = inner.topics.remove(address) {
            inner.subscriptions -= known.subscriptions.len();
        }
    }

    fn get(&self, address: &TopicAddress) -> Result<Arc<Known>, u64> {
        let inner = self.inner();
        inner.topics.get(address).cloned().ok_or(inner.epoch)
    }

    fn remember(&self, address: &TopicAddress, known: &Arc<Known>, epoch: u64) {
        let mut inner = self.inner();
        if inner.epoch != epoch {
            return;
        }
        if inner.topics.len() >= MAX_TOPICS || inner.subscriptions >= MAX_SUBSCRIPTIONS {
            inner.topics.clear();
            inner.subscriptions = 0;
        }
        inner.subscriptions += known.subscriptions.len();
        if let Some(before) = inner.topics.insert(address.clone(), Arc::clone(known)) {
            inner.subscriptions -= before.subscriptions.len();
        }
    }
}

impl Sns {
    /// A topic and its subscriptions as they are now.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn known(&self, address: &TopicAddress) -> Result<Arc<Known>, SnsError> {
        let epoch = match self.cache.get(address) {
            Ok(known) => return Ok(known),
            Err(epoch) => epoch,
        };
        let snapshot = self.store.snapshot()?;
        let row = snapshot.get(&keys::topic(&address.scope, &address.name))?.ok_or(SnsError::NoTopic)?;
        let known = Arc::new(Known::read(&snapshot, value::decode(VERSION, &row)?)?);
        self.cache.remember(address, &known, epoch);
        Ok(known)
    }
}
