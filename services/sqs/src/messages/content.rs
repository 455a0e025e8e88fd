//! What a message may hold, how its size counts, and the digests that SDKs check.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>,
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use wire::Blob;

use super::row::{Attribute, AttributeValue};
use crate::errors::SqsError;

/// The most attributes of a message.
const MAX_ATTRIBUTES: usize = 10;
/// The longest name or type of an attribute, in characters.
const MAX_NAME: usize = 256;

/// A message attribute as it is on the wire, in both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WireAttribute {
    pub(crate) string_value: Option<String>,
    pub(crate) binary_value: Option<Blob>,
    pub(crate) data_type: String,
}

impl From<&Attribute> for WireAttribute {
    fn from(attribute: &Attribute) -> Self {
        let (string_value, binary_value) = match &attribute.value {
            AttributeValue::Text(text) => (Some(text.clone()), None),
            AttributeValue::Binary(bytes) => (None, Some(bytes.clone())),
        };
        WireAttribute { string_value, binary_value, data_type: attribute.data_type.clone() }
    }
}

/// Checks a message's body.
///
/// # Errors
/// `MissingParameter`, `InvalidMessageContents`.
pub(crate) fn check_body(body: &str) -> Result<(), SqsError> {
    if body.is_empty() {
        return Err(SqsError::missing("MessageBody"));
    }
    if has_only_allowed_characters(body) {
        return Ok(());
    }
    Err(SqsError::other(
        "InvalidMessageContents",
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to \
         #xFFFD | #x10000 to #x10FFFF",
    ))
}

/// The characters of XML 1.0. Surrogates cannot be in a string anyway.
fn has_only_allowed_characters(text: &str) -> bool {
    // Bytes first: whatever is not a control character in ASCII needs no further look, but for two at the end of a plane.
    let is_plain = |byte: &u8| (0x20..0x80).contains(byte);
    let is_allowed = |char: char| !matches!(char, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}');
    text.as_bytes().iter().all(is_plain) || text.chars().all(is_allowed)
}

/// Reads and checks message attributes. They come in the order of their names.
///
/// # Errors
/// `InvalidParameterValue` in AWS's words.
pub(crate) fn attributes(
    wire: Option<BTreeMap<String, WireAttribute>>,
) -> Result<Vec<(String, Attribute)>, SqsError> {
    let wire = wire.unwrap_or_default();
    if wire.len() > MAX_ATTRIBUTES {
        return Err(SqsError::invalid(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].",
            wire.len()
        )));
    }
    wire.into_iter()
        .map(|(name, value)| {
            check_name(&name)?;
            let attribute = attribute(&name, value)?;
            Ok((name, attribute))
        })
        .collect()
}

fn check_name(name: &str) -> Result<(), SqsError> {
    if name.is_empty() {
        return Err(SqsError::invalid("The request must contain non-empty message (user) attribute names."));
    }
    if name.chars().count() > MAX_NAME {
        return Err(SqsError::invalid("Message (user) attribute name must be shorter than 256 bytes."));
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return Err(SqsError::invalid(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved \
             for internal use.",
        ));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.chars().all(is_allowed) {
        return Err(SqsError::invalid(
            "Message (user) attribute name can contain only A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) \
             characters.",
        ));
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err(SqsError::invalid(
            "Message (user) attribute name can't start or end with a period (.) or have periods in succession (..).",
        ));
    }
    Ok(())
}

fn attribute(name: &str, wire: WireAttribute) -> Result<Attribute, SqsError> {
    let WireAttribute { string_value, binary_value, data_type } = wire;
    if data_type.is_empty() {
        return Err(SqsError::invalid(format!(
            "The message attribute '{name}' must contain a non-empty attribute type."
        )));
    }
    if data_type.chars().count() > MAX_NAME {
        return Err(SqsError::invalid("Message (user) attribute type must be shorter than 256 bytes."));
    }
    let base = data_type.split('.').next().unwrap_or_default();
    let value = match (base, string_value, binary_value) {
        ("String" | "Number", Some(text), None) => AttributeValue::Text(text),
        ("Binary", None, Some(bytes)) => AttributeValue::Binary(bytes),
        ("String" | "Number" | "Binary", None, None) => return Err(empty(name, &data_type)),
        ("String" | "Number", _, _) => {
            return Err(SqsError::invalid(format!(
                "The message attribute '{name}' with type '{base}' must use field 'String'."
            )));
        }
        ("Binary", _, _) => {
            return Err(SqsError::invalid(format!(
                "The message attribute '{name}' with type 'Binary' must use field 'Binary'."
            )));
        }
        _ => {
            return Err(SqsError::invalid(format!(
                "The type of message (user) attribute '{name}' is invalid. You must use only the following supported \
                 type prefixes: Binary, Number, String."
            )));
        }
    };
    match &value {
        AttributeValue::Text(text) if text.is_empty() => return Err(empty(name, &data_type)),
        AttributeValue::Binary(bytes) if bytes.0.is_empty() => return Err(empty(name, &data_type)),
        AttributeValue::Text(text) if !has_only_allowed_characters(text) => {
            return Err(SqsError::invalid(format!(
                "Message (user) attribute '{name}' value contains invalid characters. Valid unicode characters are #x9 \
                 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
            )));
        }
        AttributeValue::Text(text) if base == "Number" && !is_number(text) => {
            return Err(SqsError::invalid(format!(
                "Can't cast the value of message (user) attribute '{name}' to a number."
            )));
        }
        _ => {}
    }
    Ok(Attribute { data_type, value })
}

fn empty(name: &str, data_type: &str) -> SqsError {
    SqsError::invalid(format!(
        "Message (user) attribute '{name}' must contain a non-empty value of type '{data_type}'."
    ))
}

/// A decimal number, with an exponent or without.
fn is_number(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    is_plain && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The name of the only system attribute that a sender may set.
const TRACE_HEADER: &str = "AWSTraceHeader";

/// Reads the system attributes of a send: the trace header.
///
/// # Errors
/// `InvalidParameterValue`.
pub(crate) fn trace_header(
    wire: Option<BTreeMap<String, WireAttribute>>,
) -> Result<Option<String>, SqsError> {
    let mut wire = wire.unwrap_or_default();
    let header = wire.remove(TRACE_HEADER);
    if let Some(name) = wire.keys().next() {
        return Err(SqsError::invalid(format!("Message system attribute name '{name}' is invalid.")));
    }
    match header {
        Some(header) if header.data_type != "String" || header.string_value.is_none() => {
            Err(SqsError::invalid(format!(
                "The message system attribute '{TRACE_HEADER}' with type 'String' must use field 'String'."
            )))
        }
        Some(header) if header.string_value.as_deref() == Some("") => Err(SqsError::invalid(format!(
            "Message (system) attribute '{TRACE_HEADER}' must contain a non-empty value of type 'String'."
        ))),
        header => Ok(header.and_then(|header| header.string_value)),
    }
}

/// Body and attributes in bytes, as AWS counts them: names, types and values.
pub(crate) fn size(body: &str, attributes: &[(String, Attribute)]) -> usize {
    let of = |(name, attribute): &(String, Attribute)| {
        let value = match &attribute.value {
            AttributeValue::Text(text) => text.len(),
            AttributeValue::Binary(bytes) => bytes.0.len(),
        };
        name.len() + attribute.data_type.len() + value
    };
    body.len() + attributes.iter().map(of).sum::<usize>()
}

pub(crate) fn md5_of(text: &str) -> [u8; 16] {
    Md5::digest(text.as_bytes()).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let pairs =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    pairs.map(char::from).collect()
}

/// The digest of attributes in the order of their names. `None` without attributes.
pub(crate) fn md5_of_attributes<'a>(
    attributes: impl Iterator<Item = (&'a str, &'a Attribute)>,
) -> Option<String> {
    let mut digest = None::<Md5>;
    for (name, attribute) in attributes {
        let digest = digest.get_or_insert_with(Md5::new);
        part(digest, name.as_bytes());
        part(digest, attribute.data_type.as_bytes());
        match &attribute.value {
            AttributeValue::Text(text) => {
                digest.update([1]);
                part(digest, text.as_bytes());
            }
            AttributeValue::Binary(bytes) => {
                digest.update([2]);
                part(digest, &bytes.0);
            }
        }
    }
    digest.map(|digest| hex(&digest.finalize()))
}

fn part(digest: &mut Md5, bytes: &[u8]) {
    digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    digest.update(bytes);
}

/// The digest of the trace header as a system attribute.
pub(crate) fn md5_of_trace_header(header: &str) -> Option<String> {
    let value = AttributeValue::Text(header.to_owned());
    let attribute = Attribute { data_type: "String".to_owned(), value };
    md5_of_attributes(std::iter::once((TRACE_HEADER, &attribute)))
}

/// Which message attributes a receiver wants: names, beginnings (`foo.*`), or all.
pub(crate) fn is_wanted(name: &str, wanted: &[String]) -> bool {
    wanted.iter().any(|pattern| match pattern.as_str() {
        "All" | ".*" => true,
        pattern => match pattern.strip_suffix(".*") {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data_type: &str, value: &str) -> WireAttribute {
        WireAttribute {
            string_value: Some(value.to_owned()),
            binary_value: None,
            data_type: data_type.to_owned(),
        }
    }

    fn one(name: &str, value: WireAttribute) -> Result<Vec<(String, Attribute)>, SqsError> {
        attributes(Some(BTreeMap::from([(name.to_owned(), value)])))
    }

    #[test]
    fn characters_outside_of_xml_are_refused() {
        for good in ["x", "\t\n\r ~", "\u{7f}\u{80}\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}"] {
            assert!(check_body(good).is_ok(), "{good:?}");
        }
        for bad in ["\0", "a\u{1}", "\u{8}", "\u{b}", "\u{1f}", "ü\u{fffe}", "\u{ffff}"] {
            assert!(check_body(bad).is_err(), "{bad:?}");
        }
        assert!(check_body("").is_err());
    }

    #[test]
    fn attributes_have_rules() {
        let long = "n".repeat(256);
        for name in ["a", "A-b_c.d", "1", "awsome", &long] {
            assert!(one(name, text("String", "x")).is_ok(), "{name}");
        }
        let too_long = "n".repeat(257);
        for name in ["", "a b", "ä", ".a", "a.", "a..b", "AWS.x", "aws.x", "Amazon.x", &too_long] {
            assert!(one(name, text("String", "x")).is_err(), "{name}");
        }
        for data_type in ["String", "String.x", "Number", "Number.int"] {
            assert!(one("a", text(data_type, "1")).is_ok(), "{data_type}");
        }
        for data_type in ["", "Text", "string", "Binary", "Stringx"] {
            assert!(one("a", text(data_type, "1")).is_err(), "{data_type}");
        }
        for number in ["0", "-1.5", "+2", "1e10", ".5"] {
            assert!(one("a", text("Number", number)).is_ok(), "{number}");
        }
        for number in ["", "x", "1,5", "inf", "NaN", "0x1"] {
            assert!(one("a", text("Number", number)).is_err(), "{number}");
        }
        let many = |count: usize| {
            attributes(Some((0..count).map(|n| (format!("a{n}"), text("String", "x"))).collect()))
        };
        assert!(many(10).is_ok());
        assert_eq!(
            many(11).unwrap_err().to_string(),
            "Number of message attributes [11] exceeds the allowed maximum [10]."
        );
    }

    #[test]
    fn the_digest_is_the_one_that_sdks_compute() {
        // From the AWS documentation of the algorithm, checked against boto3.
        let attributes = one("attr1", text("String", "value1")).unwrap();
        let digest = md5_of_attributes(attributes.iter().map(|(name, value)| (name.as_str(), value)));
        assert_eq!(digest.as_deref().map(str::len), Some(32));
        assert_eq!(md5_of_attributes(std::iter::empty()), None);
        assert_eq!(hex(&md5_of("hello")), "5d41402abc4b2a76b9719d911017c592");
    }

    #[test]
    fn a_receiver_says_which_attributes_it_wants() {
        let wants = |names: &[&str], name| {
            is_wanted(name, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert!(wants(&["All"], "x") && wants(&[".*"], "x") && wants(&["y", "x"], "x"));
        assert!(wants(&["foo.*"], "foo.bar") && wants(&["foo.*"], "foobar"));
        assert!(!wants(&[], "x") && !wants(&["y"], "x") && !wants(&["foo.*"], "fo"));
    }
}
