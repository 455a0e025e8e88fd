//! Subscribe, ConfirmSubscription, Unsubscribe, the attributes of subscriptions, and their lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Arn, Principal};
use frontdoor::Call;
use policy::account_of;
use serde::{Deserialize, Serialize};
use store::value;

use super::page::{self, PAGE};
use super::topics::Attributes;
use crate::Sns;
use crate::access;
use crate::address::{SubscriptionAddress, TopicAddress};
use crate::errors::SnsError;
use crate::keys::{self, Scope, VERSION};
use crate::message::Protocol;
use crate::subscription::{Owned, Subscription};
use crate::subscription_attributes;
use crate::subscriptions::NewSubscription;
use crate::topic::Topic;
use crate::topic_attributes::boolean;

/// What a subscription that is not confirmed is called in answers and lists.
const PENDING_IN_ANSWERS: &str = "pending confirmation";
const PENDING_IN_LISTS: &str = "PendingConfirmation";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Subscribe {
    topic_arn: String,
    protocol: String,
    endpoint: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    return_subscription_arn: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SubscriptionArn {
    subscription_arn: String,
}

pub(crate) async fn subscribe(
    sns: Arc<Sns>,
    call: Call,
    request: Subscribe,
) -> Result<SubscriptionArn, SnsError> {
    let (address, topic) = sns.named(&call, "TopicArn", &request.topic_arn)?;
    access::permit_subscribe(&call, &topic, &request.protocol, request.endpoint.as_deref())?;
    let protocol: Protocol = request.protocol.parse().map_err(|_| {
        SnsError::invalid(format!("Amazon SNS does not support this protocol string: {}", request.protocol))
    })?;
    let endpoint = request.endpoint.unwrap_or_default();
    check_endpoint(&topic, protocol, &endpoint)?;
    let owner = account_of(call.principal()).unwrap_or(call.account());
    let needs_confirmation = match protocol {
        Protocol::Http | Protocol::Https | Protocol::Email | Protocol::EmailJson => true,
        Protocol::Sms => false,
        // Whoever owns the endpoint agrees by subscribing it.
        _ => endpoint.split(':').nth(4) != Some(owner.to_string().as_str()),
    };
    let new = NewSubscription {
        protocol,
        endpoint,
        attributes: request.attributes.unwrap_or_default(),
        owner,
        principal: call.principal().arn(),
        needs_confirmation,
        base_url: sns.base_url(&call),
    };
    let subscribed = sns.subscribe(&address, new).await?;
    let show = subscribed.is_confirmed || request.return_subscription_arn == Some(true);
    let arn = if show { subscribed.arn } else { PENDING_IN_ANSWERS.to_owned() };
    Ok(SubscriptionArn { subscription_arn: arn })
}

/// Whether such an endpoint can be subscribed to the topic.
fn check_endpoint(topic: &Topic, protocol: Protocol, endpoint: &str) -> Result<(), SnsError> {
    if protocol == Protocol::Firehose {
        return Err(SnsError::invalid(
            "protocol firehose is not supported: there is no Amazon Data Firehose here",
        ));
    }
    if endpoint.is_empty() {
        return Err(SnsError::invalid("Endpoint"));
    }
    if topic.is_fifo() && protocol != Protocol::Sqs {
        return Err(SnsError::invalid(format!(
            "Invalid protocol type: {protocol}. FIFO topics deliver to Amazon SQS queues only"
        )));
    }
    let resource = |service: &str, shape: fn(&str) -> bool| {
        endpoint.parse::<Arn>().is_ok_and(|arn| {
            arn.service == service
                && arn.account.len() == 12
                && !arn.region.is_empty()
                && shape(&arn.resource)
        })
    };
    let fits = match protocol {
        Protocol::Http | Protocol::Https => {
            if !endpoint.starts_with(&format!("{protocol}://")) {
                return Err(SnsError::invalid("Endpoint must match the specified protocol"));
            }
            true
        }
        Protocol::Email | Protocol::EmailJson => {
            let at = endpoint.split_once('@');
            at.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !endpoint.contains(' '))
        }
        Protocol::Sms => is_phone_number(endpoint),
        Protocol::Sqs => resource("sqs", |resource| !resource.contains([':', '/'])),
        Protocol::Lambda => resource("lambda", |resource| resource.starts_with("function:")),
        Protocol::Application => resource("sns", |resource| resource.starts_with("endpoint/")),
        Protocol::Firehose => false,
    };
    if !fits {
        return Err(SnsError::invalid(match protocol {
            Protocol::Sqs => "SQS endpoint ARN".to_owned(),
            Protocol::Lambda => "Lambda endpoint ARN".to_owned(),
            Protocol::Application => "ApplicationEndpoint ARN".to_owned(),
            Protocol::Sms => format!("Invalid SMS endpoint: {endpoint}"),
            _ => "Email address".to_owned(),
        }));
    }
    if protocol == Protocol::Sqs && endpoint.ends_with(".fifo") && !topic.is_fifo() {
        return Err(SnsError::invalid(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
        ));
    }
    Ok(())
}

/// E.164: a plus (which may be left out), then up to fifteen digits, none of them a zero at the start.
pub(crate) fn is_phone_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (2..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConfirmSubscription {
    topic_arn: String,
    token: String,
    authenticate_on_unsubscribe: Option<String>,
}

pub(crate) async fn confirm_subscription(
    sns: Arc<Sns>,
    call: Call,
    request: ConfirmSubscription,
) -> Result<SubscriptionArn, SnsError> {
    let address = TopicAddress::parse("TopicArn", &request.topic_arn)?;
    let authenticate = match request.authenticate_on_unsubscribe.as_deref() {
        None | Some("") => false,
        Some(text) => boolean(text).ok_or_else(|| SnsError::invalid("AuthenticateOnUnsubscribe"))?,
    };
    // The link in a message comes unsigned.
    let authenticated = *call.principal() != Principal::Anonymous;
    let subscription_arn = sns.confirm(&address, request.token, authenticated, authenticate).await?;
    Ok(SubscriptionArn { subscription_arn })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SubscriptionRequest {
    subscription_arn: String,
}

pub(crate) async fn unsubscribe(
    sns: Arc<Sns>,
    call: Call,
    request: SubscriptionRequest,
) -> Result<(), SnsError> {
    let address = SubscriptionAddress::parse(&request.subscription_arn)?;
    if uuid::Uuid::parse_str(&address.id).is_err() {
        return Err(SnsError::invalid(
            "SubscriptionArn Reason: An ARN must have a subscription's id at its end",
        ));
    }
    let (topic, subscription) = match sns.find_subscription(&address) {
        Ok(found) => found,
        Err(SnsError::Other { code: "NotFoundException", .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_own = may_manage(&call, &topic, &subscription);
    let by_link = *call.principal() == Principal::Anonymous && !subscription.authenticate_on_unsubscribe;
    if !is_own && !by_link {
        return Err(not_authorized(&call, "SNS:Unsubscribe", &request.subscription_arn));
    }
    let farewell = (!is_own && subscription.is_confirmed()).then(|| sns.base_url(&call));
    sns.unsubscribe(&address, farewell).await
}

/// Whether the caller's account owns the subscription or its topic.
fn may_manage(call: &Call, topic: &Topic, subscription: &Subscription) -> bool {
    account_of(call.principal())
        .is_some_and(|account| account == topic.account || account == subscription.owner)
}

fn not_authorized(call: &Call, action: &str, arn: &str) -> SnsError {
    SnsError::NotAuthorized(format!(
        "User: {} is not authorized to perform: {action} on resource: {arn}",
        call.principal().arn()
    ))
}

/// The subscription of a request, for those whose it is.
fn own(
    sns: &Sns,
    call: &Call,
    arn: &str,
    action: &str,
) -> Result<(SubscriptionAddress, Topic, Subscription), SnsError> {
    let address = SubscriptionAddress::parse(arn)?;
    let (topic, subscription) = sns.find_subscription(&address)?;
    if !may_manage(call, &topic, &subscription) {
        return Err(not_authorized(call, action, arn));
    }
    Ok((address, topic, subscription))
}

pub(crate) async fn get_subscription_attributes(
    sns: Arc<Sns>,
    call: Call,
    request: SubscriptionRequest,
) -> Result<Attributes, SnsError> {
    let (_, topic, subscription) =
        own(&sns, &call, &request.subscription_arn, "SNS:GetSubscriptionAttributes")?;
    let mut attributes = subscription_attributes::shown(&subscription);
    if subscription.protocol.is_http() {
        attributes.insert("EffectiveDeliveryPolicy", subscription.effective_policy(&topic).to_json());
    }
    if let Some(cursor) = sns.cursor(topic.uid, &subscription.id)?
        && let Some(replay) = cursor.replay
        && subscription.settings.replay.is_some()
    {
        attributes.insert("ReplayStatus", replay.status.as_str().to_owned());
    }
    Ok(Attributes { attributes })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SetSubscriptionAttributes {
    subscription_arn: String,
    attribute_name: String,
    attribute_value: Option<String>,
}

pub(crate) async fn set_subscription_attributes(
    sns: Arc<Sns>,
    call: Call,
    request: SetSubscriptionAttributes,
) -> Result<(), SnsError> {
    let SetSubscriptionAttributes { subscription_arn, attribute_name, attribute_value } = request;
    let (address, _, _) = own(&sns, &call, &subscription_arn, "SNS:SetSubscriptionAttributes")?;
    sns.change_subscription(&address, attribute_name, attribute_value.unwrap_or_default()).await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListSubscriptions {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Subscriptions {
    subscriptions: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    subscription_arn: String,
    owner: String,
    protocol: &'static str,
    endpoint: String,
    topic_arn: String,
}

impl From<Subscription> for Listed {
    fn from(subscription: Subscription) -> Self {
        let confirmed = subscription.is_confirmed();
        Listed {
            subscription_arn: if confirmed { subscription.arn() } else { PENDING_IN_LISTS.to_owned() },
            owner: subscription.owner.to_string(),
            protocol: subscription.protocol.as_str(),
            endpoint: subscription.endpoint,
            topic_arn: subscription.topic_arn,
        }
    }
}

pub(crate) async fn list_subscriptions(
    sns: Arc<Sns>,
    call: Call,
    request: ListSubscriptions,
) -> Result<Subscriptions, SnsError> {
    let scope = Scope { account: call.account(), region: call.region().clone() };
    let after = page::read(request.next_token.as_deref())?;
    let after = after.as_deref().map(|after| after.split_once(' ').unwrap_or((after, "")));
    let snapshot = sns.store.snapshot()?;
    let mut rows = snapshot.range(keys::all_owned(&scope, after).limit(PAGE + 1))?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let (mut subscriptions, mut last) = (Vec::with_capacity(rows.len()), None);
    for (_, row) in rows {
        let owned: Owned = value::decode(VERSION, &row)?;
        if let Some(row) = snapshot.get(&keys::subscription(owned.topic_uid, &owned.id))? {
            let subscription: Subscription = value::decode(VERSION, &row)?;
            subscriptions.push(Listed::from(subscription));
        }
        last = Some(format!("{} {}", owned.topic_arn, owned.id));
    }
    Ok(Subscriptions { subscriptions, next_token: last.filter(|_| more).map(|last| page::token(&last)) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListSubscriptionsByTopic {
    topic_arn: String,
    next_token: Option<String>,
}

pub(crate) async fn list_subscriptions_by_topic(
    sns: Arc<Sns>,
    call: Call,
    request: ListSubscriptionsByTopic,
) -> Result<Subscriptions, SnsError> {
    let address = TopicAddress::parse("TopicArn", &request.topic_arn)?;
    let topic = sns.find(&address)?;
    access::permit(&call, &topic, "SNS:ListSubscriptionsByTopic")?;
    let after = page::read(request.next_token.as_deref())?;
    let mut rows = sns.store.range(keys::subscriptions(topic.uid, after.as_deref()).limit(PAGE + 1))?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let (mut subscriptions, mut last) = (Vec::with_capacity(rows.len()), None);
    for (_, row) in rows {
        let subscription: Subscription = value::decode(VERSION, &row)?;
        last = Some(subscription.id.clone());
        subscriptions.push(Listed::from(subscription));
    }
    Ok(Subscriptions { subscriptions, next_token: last.filter(|_| more).map(|last| page::token(&last)) })
}
