//! Filter criteria: which messages a function is to see. Those that it is not to see are deleted.
//!
//! A message is meant when one of the patterns matches its record. The body is text on the wire, so what a pattern says of
//! it decides how it is looked at:
//!
//! | the pattern says of `body` | the body is | then |
//! | --- | --- | --- |
//! | nothing | anything | the rest decides |
//! | an object: it is JSON | a JSON object | it is matched as JSON |
//! | an object | other text | it does not match |
//! | a list: it is text | text | it is matched as text |
//! | a list | a JSON object | it does not match |
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html>.

use pattern::EventPattern;
use serde_json::Value;

use crate::error::LambdaError;

/// The patterns of a mapping, read. None: every message is meant.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    filters: Vec<Filter>,
}

#[derive(Debug)]
struct Filter {
    pattern: EventPattern,
    body: Body,
}

/// What a pattern takes the body for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    NotNamed,
    Json,
    Text,
}

impl Filters {
    /// Reads patterns.
    ///
    /// # Errors
    /// `InvalidParameterValueException`.
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, LambdaError> {
        let invalid = || LambdaError::InvalidParameter("Invalid filter pattern definition.".to_owned());
        let read = |text: &String| {
            let pattern = EventPattern::parse(text).map_err(|_| invalid())?;
            let shape: Value = serde_json::from_str(text).map_err(|_| invalid())?;
            let body = match shape.get("body") {
                None => Body::NotNamed,
                Some(Value::Object(_)) => Body::Json,
                Some(_) => Body::Text,
            };
            Ok(Filter { pattern, body })
        };
        Ok(Filters { filters: patterns.iter().map(read).collect::<Result<_, LambdaError>>()? })
    }

    /// Whether a message is meant: `record` is what the event would hold of it.
    pub(super) fn mean(&self, record: &[u8], body: &str) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        // It was written by us, so it can be read.
        let Ok(mut record) = serde_json::from_slice::<Value>(record) else { return true };
        let parsed = serde_json::from_str::<Value>(body).ok().filter(Value::is_object);
        let fits = |filter: &&Filter| match filter.body {
            Body::NotNamed => true,
            Body::Json => parsed.is_some(),
            Body::Text => parsed.is_none(),
        };
        let (json, text): (Vec<&Filter>, Vec<&Filter>) =
            self.filters.iter().filter(fits).partition(|filter| filter.body == Body::Json);
        if text.iter().any(|filter| filter.pattern.matches(&record)) {
            return true;
        }
        if let (Some(parsed), Some(members)) = (parsed.as_ref(), record.as_object_mut()) {
            members.insert("body".to_owned(), parsed.clone());
            return json.iter().any(|filter| filter.pattern.matches(&record));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meant(patterns: &[Value], body: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(Value::to_string).collect();
        let record = json!({
            "messageId": "m",
            "body": body,
            "attributes": {"SenderId": "me"},
            "messageAttributes": {"kind": {"stringValue": "order", "dataType": "String"}},
        });
        Filters::parse(&patterns).unwrap().mean(record.to_string().as_bytes(), body)
    }

    #[test]
    fn every_case_of_a_body() {
        let json = json!({"body": {"price": [{"numeric": [">", 10]}]}});
        let text = json!({"body": [{"prefix": "order"}]});
        let other = json!({"messageAttributes": {"kind": {"stringValue": ["order"]}}});
        assert!(meant(std::slice::from_ref(&json), "{\"price\": 11}"));
        assert!(!meant(std::slice::from_ref(&json), "{\"price\": 10}"));
        assert!(!meant(std::slice::from_ref(&json), "order 11"));
        assert!(!meant(std::slice::from_ref(&json), "[11]"));
        assert!(meant(std::slice::from_ref(&text), "order 11"));
        assert!(!meant(std::slice::from_ref(&text), "no order"));
        assert!(!meant(&[json!({"body": [{"exists": true}]})], "{\"price\": 11}"));
        for body in ["order", "{\"price\": 1}", ""] {
            assert!(meant(std::slice::from_ref(&other), body));
            assert!(!meant(&[json!({"messageAttributes": {"kind": {"stringValue": ["x"]}}})], body));
            assert!(meant(&[], body));
        }
        assert!(meant(&[json.clone(), text.clone()], "order 11"));
        assert!(meant(&[json.clone(), text.clone()], "{\"price\": 11}"));
        assert!(!meant(&[json, text], "{\"price\": 1}"));
    }

    #[test]
    fn a_wrong_pattern_is_refused() {
        for bad in ["", "{", "[]", "{\"body\": 7}", "{\"body\": [{\"prefix\": 1}]}"] {
            assert_eq!(
                Filters::parse(&[bad.to_owned()]).unwrap_err().to_string(),
                "Invalid filter pattern definition.",
                "{bad}"
            );
        }
    }
}
