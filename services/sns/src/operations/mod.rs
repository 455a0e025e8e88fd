//! The operations, one file per group, and their table of handlers.
//!
//! Handlers are thin: check what the model does not say, call the domain, shape the answer.

mod direct;
mod page;
mod permissions;
mod protection;
mod publish;
mod subscriptions;
mod tags;
mod topics;

use std::sync::Arc;

use frontdoor::Service;

use crate::Sns;

pub(crate) fn table(sns: Arc<Sns>) -> Service {
    Service::new("sns", sns)
        .on("CreateTopic", topics::create_topic)
        .on("DeleteTopic", topics::delete_topic)
        .on("GetTopicAttributes", topics::get_topic_attributes)
        .on("SetTopicAttributes", topics::set_topic_attributes)
        .on("ListTopics", topics::list_topics)
        .on("TagResource", tags::tag_resource)
        .on("UntagResource", tags::untag_resource)
        .on("ListTagsForResource", tags::list_tags)
        .on("AddPermission", permissions::add_permission)
        .on("RemovePermission", permissions::remove_permission)
        .on("PutDataProtectionPolicy", protection::put_policy)
        .on("GetDataProtectionPolicy", protection::get_policy)
        .partly("PutDataProtectionPolicy", "DataProtectionPolicy", "without statements")
        .on("Subscribe", subscriptions::subscribe)
        .on("ConfirmSubscription", subscriptions::confirm_subscription)
        .on("Unsubscribe", subscriptions::unsubscribe)
        .on("GetSubscriptionAttributes", subscriptions::get_subscription_attributes)
        .on("SetSubscriptionAttributes", subscriptions::set_subscription_attributes)
        .on("ListSubscriptions", subscriptions::list_subscriptions)
        .on("ListSubscriptionsByTopic", subscriptions::list_subscriptions_by_topic)
        .on("Publish", publish::publish)
        .on("PublishBatch", publish::publish_batch)
        .build()
}
