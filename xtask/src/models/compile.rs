//! A service's facts, turned into the typed tables of `platform/model`.
//!
//! It leaks its strings: the tables' types borrow from the program for ever, and this tool ends soon.

use std::collections::BTreeMap;

use model::{
    Binding, ErrorFacts, Kind, Location, Member, Operation, PathTable, Pattern, Protocol, ServiceModel,
    Shape, ShapeId, TimeFormat,
};

use super::facts::{Facts, MemberFacts, Metadata, Namespace, OperationFacts, ServiceLine, ShapeFacts};

type Ids = BTreeMap<String, ShapeId>;

/// Compiles a service.
pub(super) fn service(line: &ServiceLine, mut facts: Facts) -> Result<ServiceModel, String> {
    for patch in &line.patches {
        apply(patch, &mut facts.shapes)?;
    }
    let ids = ids(&facts)?;
    let metadata = &facts.metadata;
    let mut protocols = protocols(metadata)?;
    if line.query.is_some() {
        protocols.push(Protocol::Query);
    }
    let past = Past::of(line, &ids)?;

    let mut shapes = Vec::with_capacity(facts.shapes.len());
    for (name, shape_facts) in &facts.shapes {
        let made = shape(name, shape_facts, &ids, &past);
        shapes.push(made.map_err(|error| format!("shape {name}: {error}"))?);
    }
    let mut operations = Vec::with_capacity(facts.operations.len());
    for (name, operation_facts) in &facts.operations {
        let made = operation(name, operation_facts, &ids);
        let mut made = made.map_err(|error| format!("operation {name}: {error}"))?;
        made.unsigned |= line.unsigned.contains(name);
        operations.push(made);
    }
    let rest = protocols.iter().any(|p| matches!(p, Protocol::RestJson | Protocol::RestXml));
    let bindings = operations.iter().map(|operation| binding(operation, &shapes)).collect();
    let usual_code =
        if protocols.first() == Some(&Protocol::Query) { "ValidationError" } else { "ValidationException" };
    let rpc_name = metadata.target_prefix.clone().unwrap_or_else(|| metadata.service_id.replace(' ', ""));
    Ok(ServiceModel {
        id: leak(&line.id),
        rpc_name: leak(&rpc_name),
        api_version: leak(&metadata.api_version),
        endpoint_prefix: leak(&metadata.endpoint_prefix),
        signing_name: leak(metadata.signing_name.as_ref().unwrap_or(&metadata.endpoint_prefix)),
        target_prefix: leak_some(&metadata.target_prefix),
        xml_namespace: line
            .query
            .as_ref()
            .map(|query| leak(&query.xml_namespace))
            .or_else(|| leak_some(&metadata.xml_namespace)),
        url_member: line.query.as_ref().and_then(|query| leak_some(&query.url_member)),
        protocols,
        query_compatible: metadata.aws_query_compatible.is_some(),
        validation_code: leak(line.validation_code.as_deref().unwrap_or(usual_code)),
        error_namespace: leak_some(&line.error_namespace),
        malformed_body: line.malformed_body.as_ref().map(|(code, message)| (leak(code), leak(message))),
        missing_member: line.missing_member.as_ref().map(|(code, message)| (leak(code), leak(message))),
        json_codes: line.json_codes.iter().map(|(code, kind)| (leak(code), leak(kind))).collect(),
        bare_xml_errors: line.bare_xml_errors,
        errors: errors(&shapes),
        paths: if rest { PathTable::build(bindings) } else { PathTable::default() },
        operations,
        shapes,
    })
}

/// What the service was in its `query` days, for the shapes.
struct Past<'a> {
    codes: &'a BTreeMap<String, String>,
    statuses: &'a BTreeMap<String, u16>,
    names: Option<&'a BTreeMap<String, BTreeMap<String, String>>>,
}

impl<'a> Past<'a> {
    fn of(line: &'a ServiceLine, ids: &Ids) -> Result<Self, String> {
        let names = line.query.as_ref().map(|query| &query.names);
        let (codes, statuses) = (&line.query_codes, &line.query_statuses);
        let mut shapes =
            codes.keys().chain(statuses.keys()).chain(names.iter().flat_map(|names| names.keys()));
        if let Some(name) = shapes.find(|name| !ids.contains_key(*name)) {
            return Err(format!("a fact of the query days names no shape: {name}"));
        }
        Ok(Past { codes, statuses, names })
    }

    fn name(&self, shape: &str, member: &str) -> Option<&'a String> {
        self.names?.get(shape)?.get(member)
    }
}

fn leak(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn leak_some(text: &Option<String>) -> Option<&'static str> {
    text.as_deref().map(leak)
}

fn apply(patch: &super::facts::Patch, shapes: &mut BTreeMap<String, ShapeFacts>) -> Result<(), String> {
    let shape =
        shapes.get_mut(&patch.shape).ok_or_else(|| format!("a patch names no shape: {}", patch.shape))?;
    for fact in &patch.remove {
        match fact.as_str() {
            "enum" => shape.values.clear(),
            "pattern" => shape.pattern = None,
            "min" => shape.min = None,
            "max" => shape.max = None,
            "required" => shape.required.clear(),
            other => return Err(format!("a patch of {} names no fact: {other}", patch.shape)),
        }
    }
    Ok(())
}

fn ids(facts: &Facts) -> Result<Ids, String> {
    let numbered = facts.shapes.keys().enumerate();
    numbered
        .map(|(index, name)| {
            let index = u16::try_from(index).map_err(|_| "more than 65,535 shapes".to_owned())?;
            Ok((name.clone(), ShapeId(index)))
        })
        .collect()
}

fn protocols(metadata: &Metadata) -> Result<Vec<Protocol>, String> {
    let one = |name: &String| {
        Ok(match (name.as_str(), metadata.json_version.as_deref()) {
            ("json", Some("1.1")) => Protocol::Json11,
            ("json", _) => Protocol::Json10,
            ("rest-json", _) => Protocol::RestJson,
            ("rest-xml", _) => Protocol::RestXml,
            ("query", _) => Protocol::Query,
            ("smithy-rpc-v2-cbor", _) => Protocol::RpcV2Cbor,
            (other, _) => return Err(format!("unknown protocol {other}")),
        })
    };
    metadata.protocols.iter().map(one).collect()
}

fn id_of(name: &str, ids: &Ids) -> Result<ShapeId, String> {
    ids.get(name).copied().ok_or_else(|| format!("there is no shape {name}"))
}

fn shape(name: &str, facts: &ShapeFacts, ids: &Ids, past: &Past<'_>) -> Result<Shape, String> {
    let kind = kind(facts)?;
    let mut members = members(facts, ids)?;
    for member in &mut members {
        if let Some(name) = past.name(name, member.name) {
            member.query_name = Some(leak(name));
            member.renamed = true;
        }
    }
    let mut by_wire_name: Vec<u16> =
        (0..u16::try_from(members.len()).map_err(|_| "too many members")?).collect();
    by_wire_name.sort_by_key(|index| members[usize::from(*index)].wire_name);
    let payload = match &facts.payload {
        None => None,
        Some(payload) => {
            let at = members.iter().position(|member| member.name == payload);
            at.and_then(|at| u16::try_from(at).ok()).map(Some).ok_or("the payload is no member")?
        }
    };
    Ok(Shape {
        name: leak(name),
        kind,
        members,
        by_wire_name,
        payload,
        min: facts.min,
        max: facts.max,
        pattern: facts.pattern.as_deref().map(|text| Pattern::new(leak(text))),
        values: facts.values.iter().map(|value| leak(value)).collect(),
        error: error(name, facts, past),
        sensitive: facts.sensitive,
        flattened: facts.flattened,
        streaming: facts.streaming,
        event_stream: facts.eventstream,
        time_format: time_format(&facts.timestamp_format)?,
        xml_name: leak_some(&facts.location_name),
        xml_namespace: namespace(&facts.xml_namespace),
    })
}

fn kind(facts: &ShapeFacts) -> Result<Kind, String> {
    Ok(match facts.kind.as_str() {
        "structure" if facts.document => Kind::Document,
        "structure" if facts.union || facts.eventstream => Kind::Union,
        "structure" => Kind::Structure,
        "list" => Kind::List,
        "map" => Kind::Map,
        "string" | "character" => Kind::String,
        "blob" => Kind::Blob,
        "boolean" => Kind::Boolean,
        "integer" | "short" | "byte" => Kind::Integer,
        "long" | "biginteger" => Kind::Long,
        "float" | "double" | "bigdecimal" => Kind::Float,
        "timestamp" => Kind::Timestamp,
        other => return Err(format!("unknown type {other}")),
    })
}

fn members(facts: &ShapeFacts, ids: &Ids) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    for (name, member_facts) in &facts.members.0 {
        members.push(member(name, member_facts, facts.required.contains(name), ids)?);
    }
    for (name, part) in [("key", &facts.key), ("value", &facts.value), ("member", &facts.member)] {
        if let Some(part) = part {
            members.push(member(name, part, false, ids)?);
        }
    }
    Ok(members)
}

fn member(name: &str, facts: &MemberFacts, required: bool, ids: &Ids) -> Result<Member, String> {
    let location = match facts.location.as_deref() {
        None if facts.event_payload => Location::EventPayload,
        None if facts.event_header => Location::EventHeader,
        None => Location::Body,
        Some("uri") => Location::Uri,
        Some("querystring") => Location::Query,
        Some("header") => Location::Header,
        Some("headers") => Location::Headers,
        Some("statusCode") => Location::StatusCode,
        Some(other) => return Err(format!("member {name}: unknown location {other}")),
    };
    // Header names are compared in lower case, as HTTP libraries hold them.
    let wire_name = facts.location_name.as_deref().unwrap_or(name);
    let wire_name = match location {
        Location::Header | Location::Headers => leak(&wire_name.to_ascii_lowercase()),
        _ => leak(wire_name),
    };
    Ok(Member {
        name: leak(name),
        wire_name,
        query_name: None,
        shape: id_of(&facts.shape, ids)?,
        required,
        location,
        flattened: facts.flattened,
        xml_attribute: facts.xml_attribute,
        streaming: facts.streaming,
        host_label: facts.host_label,
        idempotency_token: facts.idempotency_token,
        renamed: facts.location_name.is_some(),
        time_format: time_format(&facts.timestamp_format)?,
        xml_namespace: namespace(&facts.xml_namespace),
    })
}

fn time_format(name: &Option<String>) -> Result<Option<TimeFormat>, String> {
    Ok(Some(match name.as_deref() {
        None => return Ok(None),
        Some("unixTimestamp") => TimeFormat::EpochSeconds,
        Some("iso8601") => TimeFormat::DateTime,
        Some("rfc822") => TimeFormat::HttpDate,
        Some(other) => return Err(format!("unknown timestamp format {other}")),
    }))
}

fn namespace(facts: &Option<Namespace>) -> Option<(Option<&'static str>, &'static str)> {
    match facts.as_ref()? {
        Namespace::Uri(uri) => Some((None, leak(uri))),
        Namespace::Full { prefix, uri } => Some((leak_some(prefix), leak(uri))),
    }
}

fn error(name: &str, facts: &ShapeFacts, past: &Past<'_>) -> Option<ErrorFacts> {
    if !facts.exception && facts.error.is_none() {
        return None;
    }
    let details = facts.error.as_ref();
    let status =
        details.and_then(|error| error.http_status_code).or(if facts.fault { Some(500) } else { None });
    Some(ErrorFacts {
        code: leak(details.and_then(|error| error.code.as_deref()).unwrap_or(name)),
        status,
        sender: !facts.fault && status.is_none_or(|status| status < 500),
        query_code: past.codes.get(name).map(|code| leak(code)),
        query_status: past.statuses.get(name).copied(),
    })
}

fn errors(shapes: &[Shape]) -> Vec<(&'static str, ShapeId)> {
    let mut by_name = BTreeMap::new();
    for (index, shape) in (0u16..).zip(shapes) {
        if let Some(error) = &shape.error {
            by_name.insert(error.code, ShapeId(index));
        }
    }
    // A shape's own name gives way to another's code.
    for (index, shape) in (0u16..).zip(shapes) {
        if shape.error.is_some() {
            by_name.entry(shape.name).or_insert(ShapeId(index));
        }
    }
    by_name.into_iter().collect()
}

fn operation(name: &str, facts: &OperationFacts, ids: &Ids) -> Result<Operation, String> {
    let (input, output) = (facts.input.as_ref(), facts.output.as_ref());
    let status = facts.http.response_code.unwrap_or(200);
    let mut made =
        Operation::unbound(leak(name), leak(&facts.http.method), leak(&facts.http.request_uri), status);
    made.input = input.map(|body| id_of(&body.shape, ids)).transpose()?;
    made.output = output.map(|body| id_of(&body.shape, ids)).transpose()?;
    made.result_wrapper = output.and_then(|body| leak_some(&body.result_wrapper));
    made.input_name = input.and_then(|body| leak_some(&body.location_name));
    made.errors = facts.errors.iter().map(|error| id_of(&error.shape, ids)).collect::<Result<_, _>>()?;
    made.host_prefix = facts.endpoint.as_ref().and_then(|endpoint| leak_some(&endpoint.host_prefix));
    made.checksum_required = facts.http_checksum_required
        || facts.http_checksum.as_ref().is_some_and(|checksum| checksum.request_checksum_required);
    made.unsigned = facts.authtype.as_deref() == Some("none");
    made.deprecated = facts.deprecated;
    Ok(made)
}

fn binding(operation: &Operation, shapes: &[Shape]) -> Binding {
    let input = operation.input.and_then(|id| shapes.get(usize::from(id.0)));
    let members = input.map(|shape| shape.members.as_slice()).unwrap_or_default();
    let required = |location: Location| {
        let these = members.iter().filter(|member| member.required && member.location == location);
        these.map(|member| member.wire_name).collect()
    };
    Binding {
        method: operation.method,
        uri: operation.uri,
        required_query: required(Location::Query),
        required_headers: required(Location::Header),
    }
}
