//! The `query` protocol: a form in, XML out.
//!
//! A form's flat names (`Tags.member.1.Key`) are first put into a tree, then read along the shapes. Names nest at most
//! [`MAX_DEPTH`] deep. Rules: <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>.

use std::borrow::Cow;

use base::{ApiError, RequestId};
use bytes::Bytes;
use http::request::Parts;
use model::{Kind, Member, ServiceModel, Shape, TimeFormat};

use super::xml;
use crate::doc::Key;
use crate::{Doc, Route, text};

/// Deeper names than this are in no model; they are refused rather than followed.
const MAX_DEPTH: usize = 40;
/// More members or elements than this at one place are refused: finding one among them takes a look at each.
const MAX_CHILDREN: usize = 4096;

/// Decodes the parameters of the query string and of the form.
pub(super) fn decode(
    service: &'static ServiceModel,
    shape: &'static Shape,
    parts: &Parts,
    body: &Bytes,
) -> Result<Doc, ApiError> {
    let form = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = form.is_none_or(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let body = if is_form {
        std::str::from_utf8(body).map_err(|_| malformed("the body is not valid UTF-8"))?
    } else {
        ""
    };
    let mut tree = Tree::default();
    for pair in text::pairs(parts.uri.query().unwrap_or("")).chain(text::pairs(body)) {
        let (name, value) = pair.ok_or_else(|| malformed("a parameter is not valid UTF-8"))?;
        tree.insert(&name, value)?;
    }
    let mut input = structure(service, shape, &tree)?;
    if let Some(member) = service.url_member.and_then(|name| shape.member(name))
        && parts.uri.path() != "/"
        && let Doc::Map(entries) = &mut input
        && !entries.iter().any(|(key, _)| key == member.name)
    {
        entries.push((Cow::Borrowed(member.name), Doc::Str(own_url(parts))));
    }
    Ok(input)
}

/// Where the request went, as far as it tells.
fn own_url(parts: &Parts) -> String {
    let header = parts.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or(header).unwrap_or("localhost");
    format!("http://{host}{}", parts.uri.path())
}

fn malformed(problem: &str) -> ApiError {
    ApiError::new("MalformedInput", format!("The request cannot be read: {problem}."))
}

/// Parameters by the parts of their names.
#[derive(Default)]
struct Tree {
    value: Option<String>,
    children: Vec<(String, Tree)>,
}

impl Tree {
    fn insert(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        let mut at = self;
        for (depth, part) in name.split('.').enumerate() {
            if depth >= MAX_DEPTH {
                return Err(malformed("a parameter's name has too many parts"));
            }
            // Elements come in order, so the part is nearly always the last child.
            let found = at.children.iter().rposition(|(known, _)| known == part);
            if found.is_none() && at.children.len() >= MAX_CHILDREN {
                return Err(malformed("it has too many parameters"));
            }
            let index = found.unwrap_or_else(|| {
                at.children.push((part.to_owned(), Tree::default()));
                at.children.len() - 1
            });
            at = &mut at.children[index].1;
        }
        at.value.get_or_insert(value);
        Ok(())
    }

    fn child(&self, name: &str) -> Option<&Tree> {
        self.children.iter().find(|(known, _)| known == name).map(|(_, tree)| tree)
    }

    /// The numbered children in the order of their numbers.
    fn numbered(&self) -> Vec<&Tree> {
        let mut order: Vec<(u32, &Tree)> =
            self.children.iter().filter_map(|(name, tree)| Some((name.parse().ok()?, tree))).collect();
        order.sort_by_key(|(number, _)| *number);
        order.into_iter().map(|(_, tree)| tree).collect()
    }
}

fn structure(service: &'static ServiceModel, shape: &'static Shape, tree: &Tree) -> Result<Doc, ApiError> {
    let mut entries: Vec<(Key, Doc)> = Vec::new();
    for member in &shape.members {
        let inner = service.shape(member.shape);
        let name = wire_name(member, inner);
        // SDKs of the past went by the one name, documentation by the other.
        if let Some(child) = tree.child(name).or_else(|| tree.child(member.wire_name))
            && let Some(value) = value(service, member, inner, child)?
        {
            entries.push((Cow::Borrowed(member.name), value));
        }
    }
    Ok(Doc::Map(entries))
}

/// A flattened list goes by its element's own name, where that has one.
fn wire_name(member: &'static Member, shape: &'static Shape) -> &'static str {
    if is_flat(member, shape)
        && shape.kind == Kind::List
        && let Some(element) = shape.element().filter(|element| element.renamed)
    {
        return element.form_name();
    }
    member.form_name()
}

fn is_flat(member: &Member, shape: &Shape) -> bool {
    member.flattened || shape.flattened
}

fn value(
    service: &'static ServiceModel,
    member: &'static Member,
    shape: &'static Shape,
    tree: &Tree,
) -> Result<Option<Doc>, ApiError> {
    match shape.kind {
        Kind::Structure | Kind::Union => structure(service, shape, tree).map(Some),
        Kind::List => list(service, shape, tree, is_flat(member, shape)),
        Kind::Map => map(service, shape, tree, is_flat(member, shape)),
        _ => {
            let Some(text) = &tree.value else {
                return Err(malformed(&format!("{} is a simple value", member.form_name())));
            };
            let format = member.time_format.unwrap_or(TimeFormat::DateTime);
            let read = text::parse(shape, text, format);
            read.map(Some).map_err(|bad| malformed(&format!("{}: {}", member.form_name(), bad.0)))
        }
    }
}

fn list(
    service: &'static ServiceModel,
    shape: &'static Shape,
    tree: &Tree,
    flat: bool,
) -> Result<Option<Doc>, ApiError> {
    let Some(element) = shape.element() else { return Ok(None) };
    let inner = service.shape(element.shape);
    let wrapper = if element.renamed { element.form_name() } else { "member" };
    let Some(items) = (if flat { Some(tree) } else { tree.child(wrapper) }) else {
        // `Tags=` is how clients send an empty list.
        return Ok(tree.value.as_deref().filter(|text| text.is_empty()).map(|_| Doc::List(Vec::new())));
    };
    let mut list = Vec::new();
    for item in items.numbered() {
        list.extend(value(service, element, inner, item)?);
    }
    Ok(Some(Doc::List(list)))
}

fn map(
    service: &'static ServiceModel,
    shape: &'static Shape,
    tree: &Tree,
    flat: bool,
) -> Result<Option<Doc>, ApiError> {
    let (Some(key), Some(element)) = (shape.key(), shape.element()) else { return Ok(None) };
    let inner = service.shape(element.shape);
    let Some(items) = (if flat { Some(tree) } else { tree.child("entry") }) else {
        return Ok(tree.value.as_deref().filter(|text| text.is_empty()).map(|_| Doc::empty()));
    };
    let mut entries: Vec<(Key, Doc)> = Vec::new();
    for item in items.numbered() {
        let Some(name) = item.child(key.form_name()).and_then(|tree| tree.value.clone()) else {
            return Err(malformed("a map's entry has no key"));
        };
        let entry = match item.child(element.form_name()) {
            Some(tree) => value(service, element, inner, tree)?,
            None => None,
        };
        entries.push((Cow::Owned(name), entry.unwrap_or(Doc::Null)));
    }
    Ok(Some(Doc::Map(entries)))
}

/// The XML of an answer.
pub(super) fn encode(route: &Route, output: &Doc, request_id: &RequestId) -> Vec<u8> {
    let name = route.operation.name;
    let mut out = Vec::with_capacity(512);
    xml::open_root(&format!("{name}Response"), route.service.xml_namespace, &mut out);
    if let Some(shape) = route.operation.output_shape() {
        let usual = format!("{name}Result");
        let wrapper = route.operation.result_wrapper.unwrap_or(&usual);
        xml::write_element(route.service, shape, output, wrapper, &mut out);
    }
    out.extend_from_slice(b"<ResponseMetadata>");
    xml::write_text_element("RequestId", request_id.as_str(), &mut out);
    out.extend_from_slice(b"</ResponseMetadata>");
    xml::close(&format!("{name}Response"), &mut out);
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Catalog;

    fn tags(body: &str) -> Result<Doc, ApiError> {
        let iam = Catalog::embedded().service("iam").unwrap();
        let shape = iam.operation("TagRole").unwrap().input_shape().unwrap();
        let parts = http::Request::new(()).into_parts().0;
        decode(iam, shape, &parts, &Bytes::from(body.to_owned()))
    }

    #[test]
    fn elements_come_in_the_order_of_their_numbers() {
        let doc = tags("Tags.member.10.Key=c&Tags.member.2.Key=b&Tags.member.1.Key=a").unwrap();
        let keys: Vec<_> = doc
            .get("Tags")
            .unwrap()
            .items()
            .unwrap()
            .iter()
            .map(|tag| tag.get("Key").unwrap().as_str())
            .collect();
        assert_eq!(keys, [Some("a"), Some("b"), Some("c")]);
        assert_eq!(tags("Tags=").unwrap().get("Tags"), Some(&Doc::List(Vec::new())));
    }

    #[test]
    fn a_request_to_a_resource_of_its_own_names_it() {
        let sqs = Catalog::embedded().service("sqs").unwrap();
        let shape = sqs.operation("SetQueueAttributes").unwrap().input_shape().unwrap();
        let url = |path: &str, body: &str| {
            let parts = http::Request::post(path).header("host", "h:1").body(()).unwrap().into_parts().0;
            let doc = decode(sqs, shape, &parts, &Bytes::from(body.to_owned())).unwrap();
            doc.get("QueueUrl").and_then(Doc::as_str).map(str::to_owned)
        };
        assert_eq!(url("/1/q", "Attribute.1.Name=a").as_deref(), Some("http://h:1/1/q"));
        assert_eq!(url("/1/q", "QueueUrl=x").as_deref(), Some("x"));
        assert_eq!(url("/", "Attribute.1.Name=a"), None);
    }

    #[test]
    fn names_that_are_made_to_hurt_are_refused() {
        assert!(tags(&format!("{}=1", "a.".repeat(100_000))).is_err());
        let many: String = (0..5000).map(|n| format!("p{n}=1&")).collect();
        assert!(tags(&many).is_err());
    }
}
