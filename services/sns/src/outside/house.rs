//! What the worker needs of topics and subscriptions.

use store::StoreError;

use super::worker::House;
use super::{Failed, Outside, Target};
use crate::Sns;
use crate::message::Published;

impl House for Sns {
    async fn deliver_once(&self, _target: &Target, _published: &Published) -> Result<(), Failed> {
        // Queues and functions are topics' part.
        Err(Failed { may_pass: true, why: "nothing delivers to this yet".to_owned() })
    }

    async fn dead_letter(&self, _target: &Target, _published: &Published, _why: &str) -> Result<(), Failed> {
        Err(Failed { may_pass: true, why: "there are no dead-letter queues yet".to_owned() })
    }

    fn target_now(&self, target: &Target) -> Result<Option<Target>, StoreError> {
        Ok(Some(target.clone()))
    }

    fn outside(&self) -> &Outside {
        &self.outside
    }
}
