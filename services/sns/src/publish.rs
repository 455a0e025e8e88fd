//! Publishing to a standard topic: every subscription that wants the message is told of it.
//!
//! Queues and functions get it before the answer, all at once, so that their writes share one commit. What fails there
//! and may pass, and everything that leaves the platform, is kept by `outside` in the same moment and goes on in the
//! background. So an answered message is lost by no crash; one whose publisher got no answer may have reached some.
//! FIFO topics have a log instead (`fifo`).
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::Sns;
use crate::errors::SnsError;
use crate::known::{Known, Live};
use crate::message::{Protocol, Published, Value};
use crate::outside::{Failed, Signed, Target};
use crate::subscription::Scope;
use crate::together;

/// Deliveries that are made at once.
const WINDOW: usize = 256;

/// A published message as filter policies see it: the body is read once, if any of them looks at it.
pub(crate) struct Seen<'a> {
    published: &'a Published,
    body: Option<Option<Json>>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(published: &'a Published) -> Self {
        Seen { published, body: None }
    }

    /// Whether a subscription wants it.
    pub(crate) fn is_wanted_by(&mut self, live: &Live) -> bool {
        let Some(filter) = &live.filter else { return true };
        if filter.scope() == Scope::MessageBody.of_pattern() {
            let text = self.published.text_for(live.target.protocol);
            let body = self.body.get_or_insert_with(|| serde_json::from_str(text).ok());
            return body.as_ref().is_some_and(|body| filter.matches_body(body));
        }
        let attributes: Vec<_> = self
            .published
            .attributes
            .iter()
            .map(|(name, attribute)| (name.as_str(), pattern_value(&attribute.data_type, &attribute.value)))
            .collect();
        filter.matches_attributes(&attributes)
    }
}

fn pattern_value<'a>(data_type: &str, value: &'a Value) -> pattern::AttributeValue<'a> {
    match (value, data_type.split('.').next().unwrap_or_default()) {
        (Value::Text(text), "Number") => pattern::AttributeValue::Number(text),
        (Value::Text(text), _) if data_type == "String.Array" => pattern::AttributeValue::StringArray(text),
        (Value::Text(text), _) => pattern::AttributeValue::String(text),
        (Value::Binary(_), _) => pattern::AttributeValue::Binary,
    }
}

/// The signatures of one message, made once for each form that needs one.
#[derive(Default)]
struct Signatures {
    queue: Option<Signed>,
    function: Option<Signed>,
}

impl Sns {
    /// Delivers a message to the subscriptions of a standard topic that want it: durable when this returns.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn fan_out(&self, known: &Known, published: Arc<Published>) -> Result<(), SnsError> {
        let counters = self.metrics.of(&known.arn);
        let (mut seen, mut inside, mut outside) = (Seen::new(&published), Vec::new(), Vec::new());
        for live in &known.subscriptions {
            if !seen.is_wanted_by(live) {
                continue;
            }
            match live.target.protocol {
                Protocol::Sqs | Protocol::Lambda => inside.push(&live.target),
                _ => outside.push(&live.target),
            }
        }
        counters.filtered_out(known.subscriptions.len() - inside.len() - outside.len());
        let mut later: Vec<Target> = outside.into_iter().map(|target| Target::clone(target)).collect();
        if !inside.is_empty() {
            match self.signatures(&published, &inside).await {
                Ok(signatures) => {
                    for some in inside.chunks(WINDOW) {
                        later.extend(self.deliver_some(&published, some, &signatures).await);
                    }
                }
                // Nothing was tried, so nothing is lost.
                Err(_) => later.extend(inside.into_iter().map(|target| Target::clone(target))),
            }
        }
        if !later.is_empty() {
            self.outside.accept(&published, later).await?;
        }
        Ok(())
    }

    async fn signatures(
        &self,
        published: &Published,
        targets: &[&Arc<Target>],
    ) -> Result<Signatures, Failed> {
        let mut signatures = Signatures::default();
        let enveloped = |protocol| targets.iter().find(|target| target.protocol == protocol && !target.raw);
        if let Some(target) = enveloped(Protocol::Sqs) {
            signatures.queue = self.signed_for(target, published).await?;
        }
        if let Some(target) = enveloped(Protocol::Lambda) {
            signatures.function = self.signed_for(target, published).await?;
        }
        Ok(signatures)
    }

    /// Delivers to some at once; those that are worth another try come back.
    async fn deliver_some(
        &self,
        published: &Published,
        targets: &[&Arc<Target>],
        signatures: &Signatures,
    ) -> Vec<Target> {
        let deliveries = targets.iter().map(|target| {
            let signed = match target.protocol {
                Protocol::Lambda => signatures.function.as_ref(),
                _ => signatures.queue.as_ref(),
            };
            self.deliver_signed(target, published, signed)
        });
        let outcomes = together::all(deliveries.collect(), self.store.gather()).await;
        let mut later = Vec::new();
        for (target, outcome) in targets.iter().zip(outcomes) {
            let Err(failed) = outcome else { continue };
            if failed.may_pass || self.dead_letter(target, published, &failed.why).await.is_err() {
                later.push(Target::clone(target));
            }
        }
        later
    }
}
