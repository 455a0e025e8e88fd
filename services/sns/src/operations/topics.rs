//! CreateTopic.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::value;

use crate::Sns;
use crate::errors::SnsError;
use crate::keys::{self, Scope, VERSION};
use crate::topic::Topic;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateTopic {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TopicCreated {
    topic_arn: String,
}

pub(crate) async fn create_topic(
    sns: Arc<Sns>,
    call: Call,
    request: CreateTopic,
) -> Result<TopicCreated, SnsError> {
    let scope = Scope { account: call.account(), region: call.region().clone() };
    let topic = Topic {
        uid: uuid::Uuid::new_v4().as_u64_pair().0,
        account: scope.account,
        region: scope.region.clone(),
        name: request.name,
        created_at: sns.clock.now(),
        tags: BTreeMap::new(),
    };
    let (key, topic_arn) = (keys::topic(&scope, &topic.name), topic.arn());
    sns.store
        .transact(move |tx| {
            if tx.get(&key)?.is_none() {
                tx.put(key.clone(), value::encode(VERSION, &topic))?;
            }
            Ok(())
        })
        .await?;
    Ok(TopicCreated { topic_arn })
}
