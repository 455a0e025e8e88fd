//! XML along the shapes of the model: the answers of `query`, both directions of `rest-xml`.
//!
//! Rules: <https://smithy.io/2.0/spec/protocol-traits.html#xml-bindings>.

use std::borrow::Cow;

use model::{Kind, Location, Member, ServiceModel, Shape, TimeFormat};

use crate::doc::Key;
use crate::{Doc, text};

/// Elements nest no deeper than this in any model.
const MAX_DEPTH: usize = 64;

/// Opens the root element, with the service's namespace.
pub(super) fn open_root(name: &str, namespace: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    if let Some(uri) = namespace {
        out.extend_from_slice(b" xmlns=\"");
        escape(uri, out);
        out.push(b'"');
    }
    out.push(b'>');
}

/// Closes an element.
pub(super) fn close(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

/// An element with nothing but text in it.
pub(super) fn write_text_element(name: &str, content: &str, out: &mut Vec<u8>) {
    open_root(name, None, out);
    escape(content, out);
    close(name, out);
}

/// A whole document: declaration and root.
pub(super) fn write_document(
    service: &'static ServiceModel,
    shape: &Shape,
    value: &Doc,
    name: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    open_root(name, service.xml_namespace, out);
    write_content(service, shape, None, value, out);
    close(name, out);
}

/// An element of a shape, under a name.
pub(super) fn write_element(
    service: &'static ServiceModel,
    shape: &Shape,
    value: &Doc,
    name: &str,
    out: &mut Vec<u8>,
) {
    open_root(name, None, out);
    write_content(service, shape, None, value, out);
    close(name, out);
}

/// A member's element, or its elements where it is flattened.
fn write_member(service: &'static ServiceModel, member: &Member, value: &Doc, out: &mut Vec<u8>) {
    let shape = service.shape(member.shape);
    let flat = member.flattened || shape.flattened;
    match value {
        Doc::Null => {}
        Doc::List(items) if flat => {
            let Some(element) = shape.element() else { return };
            let name = if element.renamed { element.form_name() } else { member.form_name() };
            for item in items {
                write_named(service, element, name, item, out);
            }
        }
        Doc::Map(entries) if flat && shape.kind == Kind::Map => {
            for (key, value) in entries {
                open_root(member.form_name(), None, out);
                write_entry(service, shape, key, value, out);
                close(member.form_name(), out);
            }
        }
        _ => write_named(service, member, member.form_name(), value, out),
    }
}

fn write_named(service: &'static ServiceModel, member: &Member, name: &str, value: &Doc, out: &mut Vec<u8>) {
    let shape = service.shape(member.shape);
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    if let Some((prefix, uri)) = member.xml_namespace.or(shape.xml_namespace) {
        out.extend_from_slice(b" xmlns");
        if let Some(prefix) = prefix {
            out.push(b':');
            out.extend_from_slice(prefix.as_bytes());
        }
        out.extend_from_slice(b"=\"");
        escape(uri, out);
        out.push(b'"');
    }
    for (key, value) in value.entries().unwrap_or_default() {
        let attribute = shape.has_named_members().then(|| shape.member(key)).flatten();
        if let Some(attribute) = attribute.filter(|attribute| attribute.xml_attribute) {
            let content = text::write(service.shape(attribute.shape), value, TimeFormat::DateTime);
            out.push(b' ');
            out.extend_from_slice(attribute.form_name().as_bytes());
            out.extend_from_slice(b"=\"");
            escape(&content.unwrap_or_default(), out);
            out.push(b'"');
        }
    }
    out.push(b'>');
    write_content(service, shape, member.time_format, value, out);
    close(name, out);
}

fn write_content(
    service: &'static ServiceModel,
    shape: &Shape,
    format: Option<TimeFormat>,
    value: &Doc,
    out: &mut Vec<u8>,
) {
    match value {
        Doc::List(items) => {
            let Some(element) = shape.element() else { return };
            let name = if element.renamed { element.form_name() } else { "member" };
            for item in items {
                write_named(service, element, name, item, out);
            }
        }
        Doc::Map(entries) if shape.has_named_members() => {
            for (key, value) in entries {
                // A member that the model lacks is found by `check_output`; it must not reach a client.
                let Some(member) = shape.member(key) else { continue };
                if member.location == Location::Body && !member.xml_attribute {
                    write_member(service, member, value, out);
                }
            }
        }
        Doc::Map(entries) => {
            for (key, value) in entries {
                out.extend_from_slice(b"<entry>");
                write_entry(service, shape, key, value, out);
                out.extend_from_slice(b"</entry>");
            }
        }
        simple => {
            let format = format.unwrap_or(TimeFormat::DateTime);
            escape(&text::write(shape, simple, format).unwrap_or_default(), out);
        }
    }
}

fn write_entry(service: &'static ServiceModel, shape: &Shape, key: &str, value: &Doc, out: &mut Vec<u8>) {
    if let (Some(key_member), Some(element)) = (shape.key(), shape.element()) {
        write_text_element(key_member.form_name(), key, out);
        write_named(service, element, element.form_name(), value, out);
    }
}

/// Text as XML may hold it. Control characters become references, as the services write them.
fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\t' | b'\n' => out.push(byte),
            0..=0x1F => out.extend_from_slice(format!("&#x{byte:X};").as_bytes()),
            _ => out.push(byte),
        }
    }
}

/// An element as it was read.
#[derive(Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

/// Reads a document of a shape; the root's name does not matter, as for the services.
pub(super) fn read(
    service: &'static ServiceModel,
    shape: &'static Shape,
    body: &[u8],
) -> Result<Doc, String> {
    let root = parse(body)?;
    read_content(service, shape, None, &root)
}

fn parse(body: &[u8]) -> Result<Element, String> {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    let body = std::str::from_utf8(body).map_err(|_| "the body is not valid UTF-8".to_owned())?;
    let mut reader = Reader::from_str(body);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) if open.len() < MAX_DEPTH => open.push(element(&start)?),
            Event::Start(_) => return Err("the elements nest too deeply".to_owned()),
            Event::Empty(start) => {
                let done = element(&start)?;
                place(done, &mut open, &mut root);
            }
            Event::End(_) => {
                let done = open.pop().ok_or("an element ends that was never opened")?;
                place(done, &mut open, &mut root);
            }
            Event::Text(content) => {
                let content = content.xml10_content();
                if let Some(current) = open.last_mut() {
                    current.text.push_str(&content);
                }
            }
            Event::CData(content) => {
                let content = content.xml10_content();
                if let Some(current) = open.last_mut() {
                    current.text.push_str(&content);
                }
            }
            Event::GeneralRef(reference) => {
                let character = resolve(&reference)?;
                if let Some(current) = open.last_mut() {
                    current.text.push_str(&character);
                }
            }
            Event::Eof => break,
            Event::DocType(_) => return Err("a document type is not allowed".to_owned()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
    if !open.is_empty() {
        return Err("an element is not closed".to_owned());
    }
    root.ok_or_else(|| "there is no element".to_owned())
}

fn place(done: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(done),
        None => *root = Some(done),
    }
}

/// `&amp;` and the like, `&#x41;`; nothing else, so no entity can be made to grow.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character.to_string());
    }
    let name: &str = reference;
    let known = quick_xml::escape::resolve_xml_entity(name);
    known.map(str::to_owned).ok_or_else(|| format!("the entity &{name}; is not known"))
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|error| error.to_string())?;
        // With its prefix: `xsi:type` is a name of the models.
        attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    let name = start.local_name().as_ref().to_owned();
    Ok(Element { name, attributes, ..Element::default() })
}

fn read_content(
    service: &'static ServiceModel,
    shape: &'static Shape,
    format: Option<TimeFormat>,
    element: &Element,
) -> Result<Doc, String> {
    match shape.kind {
        Kind::Structure | Kind::Union => read_structure(service, shape, element),
        Kind::List => {
            let Some(item) = shape.element() else { return Ok(Doc::List(Vec::new())) };
            let name = if item.renamed { item.form_name() } else { "member" };
            read_list(service, item, element.children.iter().filter(|child| child.name == name))
        }
        Kind::Map => read_map(service, shape, element.children.iter().filter(|child| child.name == "entry")),
        _ => {
            let format = format.unwrap_or(TimeFormat::DateTime);
            text::parse(shape, &element.text, format).map_err(|bad| format!("{}: {}", element.name, bad.0))
        }
    }
}

fn read_structure(
    service: &'static ServiceModel,
    shape: &'static Shape,
    element: &Element,
) -> Result<Doc, String> {
    let mut entries: Vec<(Key, Doc)> = Vec::new();
    for member in shape.members.iter().filter(|member| member.location == Location::Body) {
        let inner = service.shape(member.shape);
        if member.xml_attribute {
            if let Some((_, value)) = element.attributes.iter().find(|(name, _)| name == member.form_name()) {
                let value = text::parse(inner, value, TimeFormat::DateTime).map_err(|bad| bad.0)?;
                entries.push((Cow::Borrowed(member.name), value));
            }
            continue;
        }
        let flat = member.flattened || inner.flattened;
        let item = inner.element().filter(|item| flat && inner.kind == Kind::List && item.renamed);
        let name = item.map_or(member.form_name(), Member::form_name);
        let mut children = element.children.iter().filter(|child| child.name == name).peekable();
        let Some(first) = children.peek() else { continue };
        let value = match (inner.kind, inner.element()) {
            (Kind::List, Some(item)) if flat => read_list(service, item, children)?,
            (Kind::Map, _) if flat => read_map(service, inner, children)?,
            _ => read_content(service, inner, member.time_format, first)?,
        };
        entries.push((Cow::Borrowed(member.name), value));
    }
    Ok(Doc::Map(entries))
}

fn read_list<'a>(
    service: &'static ServiceModel,
    item: &'static Member,
    elements: impl Iterator<Item = &'a Element>,
) -> Result<Doc, String> {
    let shape = service.shape(item.shape);
    let items = elements.map(|element| read_content(service, shape, item.time_format, element));
    items.collect::<Result<_, _>>().map(Doc::List)
}

fn read_map<'a>(
    service: &'static ServiceModel,
    shape: &'static Shape,
    elements: impl Iterator<Item = &'a Element>,
) -> Result<Doc, String> {
    let (Some(key), Some(item)) = (shape.key(), shape.element()) else { return Ok(Doc::empty()) };
    let mut entries: Vec<(Key, Doc)> = Vec::new();
    for element in elements {
        let part = |name: &str| element.children.iter().find(|child| child.name == name);
        let name = part(key.form_name()).ok_or("a map's entry has no key")?;
        let value = match part(item.form_name()) {
            Some(value) => read_content(service, service.shape(item.shape), item.time_format, value)?,
            None => Doc::Null,
        };
        entries.push((Cow::Owned(name.text.clone()), value));
    }
    Ok(Doc::Map(entries))
}
