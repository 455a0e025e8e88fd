//! The facts: `models/services.json` and one file per service in botocore's own form, without prose.
//!
//! Form of the files: <https://github.com/boto/botocore> (`data/*/*/service-2.json`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use model::Bound;

/// `models/services.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceList {
    /// The version of botocore that the facts come from.
    pub(super) botocore: String,
    /// The services, sorted by id.
    pub(super) services: Vec<ServiceLine>,
}

/// A service and what we know beyond botocore's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ServiceLine {
    /// botocore's folder name.
    pub(super) id: String,
    /// The code of the error that lists violated constraints, where it is not the protocol's usual one.
    pub(super) validation_code: Option<String>,
    /// What stands before `#` in `__type`.
    pub(super) error_namespace: Option<String>,
    /// Code and beginning of the message for a body that is not JSON.
    pub(super) malformed_body: Option<(String, String)>,
    /// XML errors have `<Error>` as their root.
    #[serde(default)]
    pub(super) bare_xml_errors: bool,
    /// Codes of the days when the service spoke `query`, by the names of error shapes.
    #[serde(default)]
    pub(super) query_codes: BTreeMap<String, String>,
    /// Statuses of errors in the `query` protocol, by the names of their shapes, where the model tells none.
    #[serde(default)]
    pub(super) query_statuses: BTreeMap<String, u16>,
    /// What `__type` says for errors that the model does not list, by their codes.
    #[serde(default)]
    pub(super) json_codes: BTreeMap<String, String>,
    /// Code and beginning of the message for a request without a member that must be there.
    pub(super) missing_member: Option<(String, String)>,
    /// The service also takes the `query` protocol, of which its model does not tell any more.
    pub(super) query: Option<QueryFacts>,
    /// Operations that are taken without a signature, where the model does not tell.
    #[serde(default)]
    pub(super) unsigned: BTreeSet<String>,
    /// Corrections of the facts.
    #[serde(default)]
    pub(super) patches: Vec<Patch>,
}

/// What a service that now has a JSON model was in its `query` days, and still is for old clients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct QueryFacts {
    /// The namespace of its XML answers.
    pub(super) xml_namespace: String,
    /// The member that is the request's own URL when the request does not tell it and goes to a path of its own.
    pub(super) url_member: Option<String>,
    /// Names in forms and in XML: by shape, then by member (`member` of a list, `key` and `value` of a map).
    pub(super) names: BTreeMap<String, BTreeMap<String, String>>,
}

/// A correction: facts of a shape that the service itself does not go by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    /// The shape.
    pub(super) shape: String,
    /// The facts to drop: `enum`, `pattern`, `min`, `max`, `required`.
    pub(super) remove: Vec<String>,
    /// Why, for the reader.
    #[allow(dead_code)]
    pub(super) why: String,
}

/// An object whose order matters.
pub(super) struct Ordered<V>(pub(super) Vec<(String, V)>);

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Ordered(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Ordered<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Ordered<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<V>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A service's file.
#[derive(Deserialize)]
pub(super) struct Facts {
    pub(super) metadata: Metadata,
    pub(super) operations: BTreeMap<String, OperationFacts>,
    pub(super) shapes: BTreeMap<String, ShapeFacts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) api_version: String,
    pub(super) endpoint_prefix: String,
    pub(super) signing_name: Option<String>,
    pub(super) service_id: String,
    pub(super) protocols: Vec<String>,
    pub(super) json_version: Option<String>,
    pub(super) target_prefix: Option<String>,
    pub(super) xml_namespace: Option<String>,
    pub(super) aws_query_compatible: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperationFacts {
    pub(super) http: Http,
    pub(super) input: Option<BodyFacts>,
    pub(super) output: Option<BodyFacts>,
    #[serde(default)]
    pub(super) errors: Vec<ErrorRef>,
    pub(super) endpoint: Option<Endpoint>,
    #[serde(default)]
    pub(super) http_checksum_required: bool,
    pub(super) http_checksum: Option<HttpChecksum>,
    pub(super) authtype: Option<String>,
    #[serde(default)]
    pub(super) deprecated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Http {
    pub(super) method: String,
    pub(super) request_uri: String,
    pub(super) response_code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BodyFacts {
    pub(super) shape: String,
    pub(super) result_wrapper: Option<String>,
    pub(super) location_name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ErrorRef {
    pub(super) shape: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    pub(super) host_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpChecksum {
    #[serde(default)]
    pub(super) request_checksum_required: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShapeFacts {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) members: Ordered<MemberFacts>,
    #[serde(default)]
    pub(super) required: Vec<String>,
    pub(super) member: Option<MemberFacts>,
    pub(super) key: Option<MemberFacts>,
    pub(super) value: Option<MemberFacts>,
    pub(super) payload: Option<String>,
    #[serde(default, deserialize_with = "bound")]
    pub(super) min: Option<Bound>,
    #[serde(default, deserialize_with = "bound")]
    pub(super) max: Option<Bound>,
    pub(super) pattern: Option<String>,
    #[serde(default, rename = "enum")]
    pub(super) values: Vec<String>,
    pub(super) error: Option<ErrorTrait>,
    #[serde(default)]
    pub(super) exception: bool,
    #[serde(default)]
    pub(super) fault: bool,
    #[serde(default)]
    pub(super) sensitive: bool,
    #[serde(default)]
    pub(super) flattened: bool,
    #[serde(default)]
    pub(super) streaming: bool,
    #[serde(default)]
    pub(super) eventstream: bool,
    #[serde(default)]
    pub(super) union: bool,
    #[serde(default)]
    pub(super) document: bool,
    pub(super) timestamp_format: Option<String>,
    pub(super) location_name: Option<String>,
    pub(super) xml_namespace: Option<Namespace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberFacts {
    pub(super) shape: String,
    pub(super) location: Option<String>,
    pub(super) location_name: Option<String>,
    #[serde(default)]
    pub(super) flattened: bool,
    #[serde(default)]
    pub(super) xml_attribute: bool,
    #[serde(default)]
    pub(super) streaming: bool,
    #[serde(default)]
    pub(super) host_label: bool,
    #[serde(default)]
    pub(super) idempotency_token: bool,
    #[serde(default, rename = "eventpayload")]
    pub(super) event_payload: bool,
    #[serde(default, rename = "eventheader")]
    pub(super) event_header: bool,
    pub(super) timestamp_format: Option<String>,
    pub(super) xml_namespace: Option<Namespace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorTrait {
    pub(super) code: Option<String>,
    pub(super) http_status_code: Option<u16>,
}

/// botocore writes a namespace as text or as an object.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Namespace {
    Uri(String),
    Full { prefix: Option<String>, uri: String },
}

fn bound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bound>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Int(i64),
        Float(f64),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => None,
        Some(Number::Int(number)) => Some(Bound::Int(number)),
        Some(Number::Float(number)) => Some(Bound::Float(number)),
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

impl ServiceList {
    /// Reads `services.json`.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let list: ServiceList = read_json(&folder.join("services.json"))?;
        if !list.services.is_sorted_by(|a, b| a.id < b.id) {
            return Err("models/services.json: the services must be sorted by id, each once".to_owned());
        }
        Ok(list)
    }
}

impl Facts {
    /// Reads a service's file.
    pub(super) fn read(folder: &Path, id: &str) -> Result<Self, String> {
        read_json(&folder.join(format!("{id}.json")))
    }
}
