//! What the worker needs of topics and subscriptions.

use store::StoreError;

use super::worker::House;
use super::{Failed, Outside, Target};
use crate::Sns;
use crate::message::Published;

impl House for Sns {
    async fn deliver_once(&self, target: &Target, published: &Published) -> Result<(), Failed> {
        Sns::deliver_once(self, target, published).await
    }

    fn delivered(&self, published: &Published) {
        self.metrics.of(&published.topic_arn).delivered();
    }

    async fn dead_letter(&self, target: &Target, published: &Published, why: &str) -> Result<(), Failed> {
        Sns::dead_letter(self, target, published, why).await
    }

    fn target_now(&self, target: &Target) -> Result<Option<Target>, StoreError> {
        Sns::target_now(self, target)
    }

    fn outside(&self) -> &Outside {
        &self.outside
    }
}
