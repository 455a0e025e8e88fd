//! The operations, one file per group, and their table of handlers.
//!
//! Handlers are thin: check what the model does not say, call the domain, shape the answer.

mod applications;
mod direct;
mod endpoints;
mod page;
mod paging;
mod permissions;
mod protection;
mod publish;
mod sandbox;
mod sms;
mod subscriptions;
mod tags;
mod topics;

use std::sync::Arc;

use frontdoor::{Service, ServiceBuilder};

use crate::Sns;

pub(crate) fn table(sns: Arc<Sns>) -> Service {
    let table = Service::new("sns", sns)
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
        .on("PublishBatch", publish::publish_batch);
    out_of_the_house(table).build()
}

/// Telephones and apps.
fn out_of_the_house(table: ServiceBuilder<Sns>) -> ServiceBuilder<Sns> {
    table
        .on("SetSMSAttributes", sms::set_sms_attributes)
        .on("GetSMSAttributes", sms::get_sms_attributes)
        .on("CheckIfPhoneNumberIsOptedOut", sms::check_if_phone_number_is_opted_out)
        .on("ListPhoneNumbersOptedOut", sms::list_phone_numbers_opted_out)
        .on("OptInPhoneNumber", sms::opt_in_phone_number)
        .on("ListOriginationNumbers", sms::list_origination_numbers)
        .on("CreateSMSSandboxPhoneNumber", sandbox::create_number)
        .on("VerifySMSSandboxPhoneNumber", sandbox::verify_number)
        .on("DeleteSMSSandboxPhoneNumber", sandbox::delete_number)
        .on("ListSMSSandboxPhoneNumbers", sandbox::list_numbers)
        .on("GetSMSSandboxAccountStatus", sandbox::account_status)
        .on("CreatePlatformApplication", applications::create)
        .on("GetPlatformApplicationAttributes", applications::get_attributes)
        .on("SetPlatformApplicationAttributes", applications::set_attributes)
        .on("ListPlatformApplications", applications::list)
        .on("DeletePlatformApplication", applications::delete)
        .on("CreatePlatformEndpoint", endpoints::create)
        .on("GetEndpointAttributes", endpoints::get_attributes)
        .on("SetEndpointAttributes", endpoints::set_attributes)
        .on("ListEndpointsByPlatformApplication", endpoints::list)
        .on("DeleteEndpoint", endpoints::delete)
}
