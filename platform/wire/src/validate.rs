//! Checks a document against the model's constraints, in AWS's own words.
//!
//! Every violated constraint is found, not only the first: "2 validation errors detected: Value '' at 'functionName'
//! failed to satisfy constraint: Member must have length greater than or equal to 1; ...". What the model cannot say
//! (that a role exists, that two members exclude each other) is the services' business.

use std::fmt::Write as _;

use base::ApiError;
use model::{Bound, Kind, Member, Operation, ServiceModel, Shape};

use crate::Doc;

/// More violations than this are not listed.
const MAX_LISTED: usize = 10;

/// Checks an input.
///
/// # Errors
/// The service's validation error, which lists the violated constraints; `SerializationException` for a value of
/// the wrong type, which only a call from another service can hold.
pub fn validate(operation: &Operation, input: &Doc) -> Result<(), ApiError> {
    let Some(shape) = operation.input_shape() else { return Ok(()) };
    let service = operation.service();
    if let Some((code, message)) = service.missing_member {
        let is_missing = |member: &&Member| {
            member.required && input.get(member.name).is_none_or(|value| *value == Doc::Null)
        };
        if let Some(member) = shape.members.iter().find(is_missing) {
            return Err(ApiError::new(code, format!("{message}{}.", member.name)));
        }
    }
    let mut walk = Walk { service, path: String::new(), found: Vec::new(), mistyped: None };
    walk.value(shape, input);
    if let Some(problem) = walk.mistyped {
        return Err(ApiError::new("SerializationException", problem));
    }
    if walk.found.is_empty() {
        return Ok(());
    }
    let count = walk.found.len();
    let errors = if count == 1 { "error" } else { "errors" };
    let message = format!("{count} validation {errors} detected: {}", walk.found.join("; "));
    Err(ApiError::new(service.validation_code, message))
}

struct Walk {
    service: &'static ServiceModel,
    /// Where the walk is: `tags.1.member.key`.
    path: String,
    /// The violations so far.
    found: Vec<String>,
    /// A value of the wrong type.
    mistyped: Option<String>,
}

impl Walk {
    /// Runs a check one level further down.
    fn below(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        check(self);
        self.path.truncate(length);
    }

    fn fail(&mut self, shape: &Shape, value: &Doc, constraint: &str) {
        if self.found.len() >= MAX_LISTED {
            return;
        }
        let path = &self.path;
        let shown =
            if is_sensitive(self.service, shape) { String::new() } else { format!(" '{}'", Shown(value)) };
        self.found.push(format!("Value{shown} at '{path}' failed to satisfy constraint: {constraint}"));
    }

    fn value(&mut self, shape: &Shape, value: &Doc) {
        if !has_type(shape, value) {
            let (path, found, wanted) = (&self.path, value.kind(), shape.kind);
            self.mistyped =
                Some(format!("Value at '{path}' is {found}, which can not be converted to {wanted:?}"));
            return;
        }
        match value {
            Doc::Map(entries) if shape.has_named_members() => {
                for member in &shape.members {
                    let value = entries.iter().find(|(key, _)| key == member.name).map(|(_, value)| value);
                    self.member(member, value.unwrap_or(&Doc::Null));
                }
            }
            Doc::Map(_) => self.map(shape, value),
            Doc::List(_) => self.list(shape, value),
            _ => {
                for constraint in violated(shape, value) {
                    self.fail(shape, value, &constraint);
                }
            }
        }
    }

    fn member(&mut self, member: &Member, value: &Doc) {
        if *value == Doc::Null {
            if member.required && self.found.len() < MAX_LISTED {
                self.below(&lower_first(member.name), |walk| {
                    let path = &walk.path;
                    walk.found.push(format!(
                        "Value null at '{path}' failed to satisfy constraint: Member must not be null"
                    ));
                });
            }
            return;
        }
        let shape = self.service.shape(member.shape);
        self.below(&lower_first(member.name), |walk| walk.value(shape, value));
    }

    fn list(&mut self, shape: &Shape, value: &Doc) {
        for constraint in violated(shape, value) {
            self.fail(shape, value, &constraint);
        }
        let (Some(element), items) = (shape.element(), value.items().unwrap_or_default()) else { return };
        let inner = self.service.shape(element.shape);
        if is_container(inner) {
            for (index, item) in (1usize..).zip(items).filter(|(_, item)| **item != Doc::Null) {
                self.below(&index.to_string(), |walk| walk.below("member", |walk| walk.value(inner, item)));
            }
            return;
        }
        self.elements(shape, value, inner, items.iter(), "Member must satisfy constraint");
    }

    fn map(&mut self, shape: &Shape, value: &Doc) {
        for constraint in violated(shape, value) {
            self.fail(shape, value, &constraint);
        }
        let entries = value.entries().unwrap_or_default();
        let (Some(key), Some(element)) = (shape.key(), shape.element()) else { return };
        let (key, inner) = (self.service.shape(key.shape), self.service.shape(element.shape));
        if entries.iter().any(|(name, _)| !violated_text(key, name).is_empty()) {
            self.fail(shape, value, &format!("Map keys must satisfy constraint: [{}]", all_constraints(key)));
        }
        if is_container(inner) {
            for (name, item) in entries.iter().filter(|(_, item)| *item != Doc::Null) {
                self.below(name, |walk| walk.below("member", |walk| walk.value(inner, item)));
            }
            return;
        }
        self.elements(
            shape,
            value,
            inner,
            entries.iter().map(|(_, item)| item),
            "Map value must satisfy constraint",
        );
    }

    /// Simple elements are complained about all together, with every constraint that they have.
    fn elements<'a>(
        &mut self,
        shape: &Shape,
        value: &Doc,
        inner: &Shape,
        items: impl Iterator<Item = &'a Doc>,
        what: &str,
    ) {
        let mut bad = false;
        for item in items {
            if *item != Doc::Null && !has_type(inner, item) {
                let (path, found, wanted) = (&self.path, item.kind(), inner.kind);
                self.mistyped = Some(format!(
                    "An element at '{path}' is {found}, which can not be converted to {wanted:?}"
                ));
                return;
            }
            bad |= *item == Doc::Null || !violated(inner, item).is_empty();
        }
        if bad {
            self.fail(shape, value, &format!("{what}: [{}]", all_constraints(inner)));
        }
    }
}

fn is_container(shape: &Shape) -> bool {
    matches!(shape.kind, Kind::Structure | Kind::Union | Kind::List | Kind::Map)
}

fn is_sensitive(service: &'static ServiceModel, shape: &Shape) -> bool {
    let inside = |shape: &Shape| shape.members.iter().any(|member| service.shape(member.shape).sensitive);
    shape.sensitive || (matches!(shape.kind, Kind::List | Kind::Map) && inside(shape))
}

/// The model's names have a capital first letter, AWS's messages a small one.
fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn has_type(shape: &Shape, value: &Doc) -> bool {
    match value {
        Doc::Null => true,
        Doc::Bool(_) => matches!(shape.kind, Kind::Boolean | Kind::Document),
        Doc::Int(number) => match shape.kind {
            Kind::Integer => i32::try_from(*number).is_ok(),
            Kind::Long | Kind::Float | Kind::Document => true,
            _ => false,
        },
        Doc::Float(_) => matches!(shape.kind, Kind::Float | Kind::Document),
        Doc::Str(_) => matches!(shape.kind, Kind::String | Kind::Document),
        Doc::Blob(_) => shape.kind == Kind::Blob,
        Doc::Time(_) => shape.kind == Kind::Timestamp,
        Doc::List(_) => matches!(shape.kind, Kind::List | Kind::Document),
        Doc::Map(_) => matches!(shape.kind, Kind::Structure | Kind::Union | Kind::Map | Kind::Document),
    }
}

/// The constraints that a value violates by itself, elements and members aside.
fn violated(shape: &Shape, value: &Doc) -> Vec<String> {
    match value {
        Doc::Str(text) => violated_text(shape, text),
        Doc::Blob(bytes) => violated_length(shape, bytes.len()),
        Doc::List(items) => violated_length(shape, items.len()),
        Doc::Map(entries) => violated_length(shape, entries.len()),
        #[allow(clippy::cast_precision_loss)] // bounds of numbers are small
        Doc::Int(number) => match (shape.min, shape.max) {
            (None, None) => Vec::new(),
            _ => violated_range(shape, *number as f64),
        },
        Doc::Float(number) => violated_range(shape, *number),
        Doc::Null | Doc::Bool(_) | Doc::Time(_) => Vec::new(),
    }
}

fn violated_text(shape: &Shape, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if shape.min.is_some() || shape.max.is_some() {
        found = violated_length(shape, text.chars().count());
    }
    if !shape.values.is_empty() && !shape.values.contains(&text) {
        found.push(must_be_in_set(shape));
    }
    // The length bounds the work of a pattern: a text that is too long is refused anyway.
    let too_long = found.iter().any(|constraint| constraint.contains("less than"));
    if let Some(pattern) = shape.pattern.as_ref().filter(|pattern| !too_long && !pattern.matches(text)) {
        found.push(must_match(pattern.text()));
    }
    found
}

fn violated_length(shape: &Shape, length: usize) -> Vec<String> {
    #[allow(clippy::cast_precision_loss)] // lengths are far below 2^53
    let length = length as f64;
    let mut found = Vec::new();
    if let Some(max) = shape.max.filter(|max| length > number(*max)) {
        found.push(format!("Member must have length less than or equal to {max}"));
    }
    if let Some(min) = shape.min.filter(|min| length < number(*min)) {
        found.push(format!("Member must have length greater than or equal to {min}"));
    }
    found
}

fn violated_range(shape: &Shape, value: f64) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(max) = shape.max.filter(|max| value > number(*max)) {
        found.push(format!("Member must have value less than or equal to {max}"));
    }
    if let Some(min) = shape.min.filter(|min| value < number(*min)) {
        found.push(format!("Member must have value greater than or equal to {min}"));
    }
    found
}

#[allow(clippy::cast_precision_loss)] // bounds beyond 2^53 mean "any"
fn number(bound: Bound) -> f64 {
    match bound {
        Bound::Int(number) => number as f64,
        Bound::Float(number) => number,
    }
}

fn must_be_in_set(shape: &Shape) -> String {
    format!("Member must satisfy enum value set: [{}]", shape.values.join(", "))
}

fn must_match(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

/// Every constraint of an element, as AWS lists them when one of them is violated.
fn all_constraints(shape: &Shape) -> String {
    let mut all = Vec::new();
    let what = match shape.kind {
        Kind::Integer | Kind::Long | Kind::Float => "value",
        _ => "length",
    };
    all.extend(shape.max.map(|max| format!("Member must have {what} less than or equal to {max}")));
    all.extend(shape.min.map(|min| format!("Member must have {what} greater than or equal to {min}")));
    if !shape.values.is_empty() {
        all.push(must_be_in_set(shape));
    }
    all.extend(shape.pattern.as_ref().map(|pattern| must_match(pattern.text())));
    if all.is_empty() || shape.max.is_some() || shape.min.is_some() {
        all.push("Member must not be null".to_owned());
    }
    all.join(", ")
}

/// A value as AWS's messages show it.
struct Shown<'a>(&'a Doc);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Doc::Null => f.write_str("null"),
            Doc::Bool(value) => write!(f, "{value}"),
            Doc::Int(value) => write!(f, "{value}"),
            Doc::Float(value) => f.write_str(&crate::text::float(*value)),
            Doc::Str(value) => f.write_str(value),
            Doc::Time(value) => f.write_str(&value.iso8601()),
            Doc::Blob(bytes) => write!(f, "java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", bytes.len()),
            Doc::List(items) => {
                f.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index > 0 { ", " } else { "" }, Shown(item))?;
                }
                f.write_char(']')
            }
            Doc::Map(entries) => {
                f.write_char('{')?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}={}", if index > 0 { ", " } else { "" }, Shown(value))?;
                }
                f.write_char('}')
            }
        }
    }
}

/// Checks an output: names, types, required members, enums, numbers and lengths. Debug builds and tests run it on
/// every answer. Patterns are left out: those of ARNs refuse regions that are good here and unknown to AWS.
///
/// # Errors
/// What is wrong and where.
pub fn check_output(operation: &Operation, output: &Doc) -> Result<(), String> {
    match operation.output_shape() {
        Some(shape) => check(operation.service(), shape, output, ""),
        None => match output.entries().unwrap_or_default().first() {
            Some((key, _)) => Err(format!("{} has no output, but the answer has {key}", operation.name)),
            None => Ok(()),
        },
    }
}

/// The same for one event of a streamed answer: a map of one entry, the event's name.
///
/// # Errors
/// What is wrong and where.
pub fn check_event(operation: &Operation, event: &Doc) -> Result<(), String> {
    let service = operation.service();
    let member = operation
        .output_shape()
        .and_then(|shape| shape.members.iter().find(|member| service.shape(member.shape).event_stream));
    match member {
        Some(member) => check(service, service.shape(member.shape), event, member.name),
        None => Err(format!("{} answers with no stream of events", operation.name)),
    }
}

fn check(service: &'static ServiceModel, shape: &Shape, value: &Doc, path: &str) -> Result<(), String> {
    if !has_type(shape, value) {
        return Err(format!("{path} is {}, the model says {:?} ({})", value.kind(), shape.kind, shape.name));
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Doc::Map(entries) if shape.has_named_members() => {
            for (key, value) in entries {
                let member =
                    shape.member(key).ok_or_else(|| format!("{} is not in the model", below(key)))?;
                check(service, service.shape(member.shape), value, &below(key))?;
            }
            let absent = |name: &str| entries.iter().all(|(key, value)| key != name || *value == Doc::Null);
            match shape.members.iter().find(|member| member.required && absent(member.name)) {
                Some(member) => Err(format!("{} is required and absent", below(member.name))),
                None => Ok(()),
            }
        }
        Doc::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            let element = shape.element().map(|element| service.shape(element.shape));
            element.map_or(Ok(()), |element| check(service, element, value, &below(key)))
        }),
        Doc::List(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            let element = shape.element().map(|element| service.shape(element.shape));
            element.map_or(Ok(()), |element| check(service, element, item, &below(&index.to_string())))
        }),
        Doc::Str(text) if !shape.values.is_empty() && !shape.values.contains(&text.as_str()) => {
            Err(format!("{path} is '{text}', which is not in the model's enum {}", shape.name))
        }
        Doc::Int(_) | Doc::Float(_) => match violated(shape, value).first() {
            Some(constraint) => Err(format!("{path}: {constraint}")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Timestamp;
    use bytes::Bytes;
    use model::Catalog;

    fn operation(service: &str, name: &str) -> &'static Operation {
        Catalog::embedded().service(service).unwrap().operation(name).unwrap()
    }

    fn map(entries: &[(&'static str, Doc)]) -> Doc {
        Doc::Map(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    fn text(text: &str) -> Doc {
        Doc::Str(text.to_owned())
    }

    fn function(more: &[(&'static str, Doc)]) -> Doc {
        let mut all = vec![
            ("FunctionName", text("hello")),
            ("Role", text("arn:aws:iam::000000000000:role/r")),
            ("Code", map(&[("ZipFile", Doc::Blob(Bytes::from_static(b"PK")))])),
        ];
        all.retain(|(key, _)| more.iter().all(|(other, _)| other != key));
        all.extend_from_slice(more);
        map(&all)
    }

    fn message(service: &str, name: &str, input: &Doc) -> String {
        validate(operation(service, name), input).unwrap_err().to_string()
    }

    #[test]
    fn a_good_input_passes() {
        assert_eq!(validate(operation("lambda", "CreateFunction"), &function(&[])), Ok(()));
    }

    #[test]
    fn ranges_and_required_members() {
        let input = function(&[("MemorySize", Doc::Int(40_000))]);
        assert_eq!(
            message("lambda", "CreateFunction", &input),
            "ValidationException: 1 validation error detected: Value '40000' at 'memorySize' failed to satisfy \
             constraint: Member must have value less than or equal to 32768"
        );
        assert_eq!(
            message("logs", "CreateLogStream", &Doc::empty()),
            "InvalidParameterException: 2 validation errors detected: Value null at 'logGroupName' failed to satisfy \
             constraint: Member must not be null; Value null at 'logStreamName' failed to satisfy constraint: Member \
             must not be null"
        );
    }

    #[test]
    fn text_lists_maps_and_paths() {
        let tags = Doc::List(vec![
            map(&[("Key", text("good")), ("Value", text("v"))]),
            map(&[("Key", text("")), ("Value", text("v"))]),
        ]);
        let input =
            map(&[("RoleName", text("a b")), ("AssumeRolePolicyDocument", text("{}")), ("Tags", tags)]);
        assert_eq!(
            message("iam", "CreateRole", &input),
            "ValidationError: 3 validation errors detected: Value 'a b' at 'roleName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [\\w+=,.@-]+; Value '' at 'tags.2.member.key' failed to \
             satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'tags.2.member.key' \
             failed to satisfy constraint: Member must satisfy regular expression pattern: \
             [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+"
        );
        let variables = map(&[("_X", text("secret"))]);
        let input = function(&[("Environment", map(&[("Variables", variables)]))]);
        assert_eq!(
            message("lambda", "CreateFunction", &input),
            "ValidationException: 1 validation error detected: Value at 'environment.variables' failed to satisfy \
             constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: \
             [a-zA-Z]([a-zA-Z0-9_])+]"
        );
        let input = function(&[("Architectures", Doc::List(vec![text("mips")]))]);
        assert_eq!(
            message("lambda", "CreateFunction", &input),
            "ValidationException: 1 validation error detected: Value '[mips]' at 'architectures' failed to satisfy \
             constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]"
        );
    }

    #[test]
    fn a_wrong_type_from_within_is_told() {
        let input = function(&[("MemorySize", text("128"))]);
        assert!(
            message("lambda", "CreateFunction", &input)
                .starts_with("SerializationException: Value at 'memorySize'")
        );
    }

    #[test]
    fn outputs_are_held_to_the_model() {
        let created = operation("iam", "DeleteRole");
        assert!(check_output(created, &Doc::empty()).is_ok());
        assert!(check_output(created, &map(&[("A", Doc::Int(1))])).is_err());
        let role = [
            ("Path", text("/")),
            ("RoleName", text("r")),
            ("RoleId", text("AROA")),
            ("Arn", text("arn:aws:iam::0:role/r")),
            ("CreateDate", Doc::Time(Timestamp(0))),
        ];
        let get = operation("iam", "GetRole");
        assert_eq!(check_output(get, &map(&[("Role", map(&role))])), Ok(()));
        let error = check_output(get, &map(&[("Role", map(&role[1..]))])).unwrap_err();
        assert_eq!(error, "Role.Path is required and absent");
        let mut wrong = role.to_vec();
        wrong[4].1 = text("today");
        assert!(
            check_output(get, &map(&[("Role", map(&wrong))]))
                .unwrap_err()
                .starts_with("Role.CreateDate is a string")
        );
    }
}
