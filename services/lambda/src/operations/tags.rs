//! TagResource, UntagResource and ListTags, for functions and event source mappings.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::functions::{MAX_TAGS, Tags, too_many_tags};
use crate::keys::Space;
use crate::name::{LATEST, Target};
use crate::settings::OwnSettings;

const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagResourceRequest {
    resource: String,
    tags: Tags,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagResourceRequest {
    resource: String,
    tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsRequest {
    resource: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsResponse {
    tags: Tags,
}

/// An answer without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// Adds tags to a function.
pub(crate) async fn tag_resource(
    lambda: Arc<Lambda>,
    call: Call,
    request: TagResourceRequest,
) -> Result<Nothing, LambdaError> {
    if request.tags.is_empty() {
        return Err(LambdaError::InvalidParameter(
            "An error occurred and the request cannot be processed: the request has no tags.".to_owned(),
        ));
    }
    check_tags(&request.tags)?;
    if let Some((space, id)) = mapping(&call, &request.resource) {
        lambda.mappings.rows.change_tags(&space, &id, request.tags, Vec::new()).await?;
        return Ok(Nothing {});
    }
    let target = tagged(&call, "TagResource", &request.resource)?;
    if let Some(record) = lambda.functions.tag(&target, request.tags).await? {
        lambda.invoker.retire(&FunctionConfig::key_of(&target.arn(), LATEST), record.generation);
    }
    Ok(Nothing {})
}

/// Removes tags from a function.
pub(crate) async fn untag_resource(
    lambda: Arc<Lambda>,
    call: Call,
    request: UntagResourceRequest,
) -> Result<Nothing, LambdaError> {
    if request.tag_keys.iter().any(|key| key.chars().count() > MAX_KEY_CHARS) {
        return Err(too_long("key", MAX_KEY_CHARS));
    }
    if let Some((space, id)) = mapping(&call, &request.resource) {
        lambda.mappings.rows.change_tags(&space, &id, Tags::new(), request.tag_keys).await?;
        return Ok(Nothing {});
    }
    let target = tagged(&call, "UntagResource", &request.resource)?;
    lambda.functions.untag(&target, request.tag_keys).await?;
    Ok(Nothing {})
}

/// A function's tags.
pub(crate) async fn list_tags(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListTagsRequest,
) -> Result<ListTagsResponse, LambdaError> {
    if let Some((space, id)) = mapping(&call, &request.resource) {
        return Ok(ListTagsResponse { tags: lambda.mappings.rows.tags(&space, &id)? });
    }
    let target = tagged(&call, "ListTags", &request.resource)?;
    lambda.functions.row(&target)?;
    Ok(ListTagsResponse { tags: lambda.functions.tags(&target)? })
}

/// The event source mapping that an ARN of this account and region names.
fn mapping(call: &Call, resource: &str) -> Option<(Space, String)> {
    let place = format!("arn:aws:lambda:{}:{}:event-source-mapping:", call.region(), call.account());
    let id = resource.strip_prefix(&place)?;
    Some((Space::new(call.account(), call.region()), id.to_owned()))
}

/// The function that an ARN names. Other resources of Lambda have tags too, but do not exist here yet.
fn tagged(call: &Call, operation: &'static str, resource: &str) -> Result<Target, LambdaError> {
    let kind = resource.split(':').nth(5).unwrap_or_default();
    if !resource.starts_with("arn:") || kind != "function" {
        return Err(LambdaError::Unsupported {
            parameter: "Resource",
            operation,
            why: format!("only functions and event source mappings have tags, by their ARN; got {resource}"),
        });
    }
    let target = target(call, operation, resource, None)?;
    if target.qualifier.is_some() {
        return Err(LambdaError::InvalidParameter(
            "Tags on function aliases and versions are not supported. Please specify either a function ARN."
                .to_owned(),
        ));
    }
    Ok(target)
}

/// Checks tags as such; how many a function then has is checked with its own.
pub(crate) fn check_tags(tags: &Tags) -> Result<(), LambdaError> {
    if tags.len() > MAX_TAGS {
        return Err(too_many_tags());
    }
    for (key, value) in tags {
        if key.is_empty() {
            return Err(LambdaError::InvalidParameter(
                "A tag key must have at least 1 character.".to_owned(),
            ));
        }
        if key.chars().count() > MAX_KEY_CHARS {
            return Err(too_long("key", MAX_KEY_CHARS));
        }
        if value.chars().count() > MAX_VALUE_CHARS {
            return Err(too_long("value", MAX_VALUE_CHARS));
        }
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(LambdaError::InvalidParameter(
                "aws: prefixed tag key names are not allowed for external use.".to_owned(),
            ));
        }
    }
    OwnSettings::of(tags).map(|_| ())
}

fn too_long(what: &str, limit: usize) -> LambdaError {
    LambdaError::InvalidParameter(format!("A tag {what} must have at most {limit} characters."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_limits() {
        let refusal = |key: &str, value: &str| {
            check_tags(&Tags::from([(key.to_owned(), value.to_owned())])).err().map(|error| error.to_string())
        };
        assert_eq!(refusal("team", "a"), None);
        assert_eq!(refusal(&"k".repeat(128), &"v".repeat(256)), None);
        assert!(refusal(&"k".repeat(129), "").unwrap().contains("128"));
        assert!(refusal("k", &"v".repeat(257)).unwrap().contains("256"));
        assert!(refusal("", "").is_some());
        assert!(refusal("AWS:x", "").unwrap().starts_with("aws: prefixed"));
        let many = (0..51).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(check_tags(&many).unwrap_err().to_string(), "Number of tags exceeds function tag limit.");
    }
}
