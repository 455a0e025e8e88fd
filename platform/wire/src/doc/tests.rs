//! Documents against structs: round trips, strictness, sharing of bytes, the probe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    function_name: String,
    code: Code,
    memory_size: Option<u32>,
    ratio: Option<f64>,
    publish: Option<bool>,
    tags: Option<BTreeMap<String, String>>,
    layers: Option<Vec<Layer>>,
    modified: Option<Time>,
    created: Option<Timestamp>,
    source: Option<Source>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Code {
    zip_file: Option<Blob>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    arn: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Source {
    Plain,
    Queue { url: String },
    Text(String),
}

fn example() -> Create {
    Create {
        function_name: "hello".into(),
        code: Code { zip_file: Some(Blob(Bytes::from_static(b"PK"))) },
        memory_size: Some(128),
        ratio: Some(0.5),
        publish: Some(true),
        tags: Some(BTreeMap::from([("a".into(), "b".into())])),
        layers: Some(vec![Layer { arn: "x".into() }]),
        modified: Some(Time(Timestamp(5))),
        created: Some(Timestamp(6)),
        source: Some(Source::Queue { url: "q".into() }),
    }
}

#[test]
fn a_struct_survives_the_round_trip() {
    for source in [Source::Plain, Source::Text("t".into()), Source::Queue { url: "q".into() }] {
        let before = Create { source: Some(source), ..example() };
        let doc = to_doc(&before).unwrap();
        assert_eq!(doc.get("Modified"), Some(&Doc::Time(Timestamp(5))));
        assert_eq!(doc.get("Created"), Some(&Doc::Time(Timestamp(6))));
        assert_eq!(from_doc::<Create>(doc).unwrap(), before);
    }
}

#[test]
fn bytes_are_shared_not_copied() {
    let bytes = Bytes::from(vec![7u8; 1000]);
    let doc = to_doc(&Code { zip_file: Some(Blob(bytes.clone())) }).unwrap();
    assert_eq!(doc.get("ZipFile").unwrap().as_blob().unwrap().as_ptr(), bytes.as_ptr());
    let code: Code = from_doc(doc).unwrap();
    assert_eq!(code.zip_file.unwrap().0.as_ptr(), bytes.as_ptr());
}

#[test]
fn a_blob_is_an_ordinary_byte_string_elsewhere() {
    let text = serde_json::to_string(&Code { zip_file: Some(Blob(Bytes::from_static(b"PK"))) }).unwrap();
    assert_eq!(text, r#"{"ZipFile":[80,75]}"#);
    let code: Code = serde_json::from_str(&text).unwrap();
    assert_eq!(code.zip_file.unwrap().0, "PK");
}

#[test]
fn a_member_the_struct_lacks_is_named_with_its_path() {
    let mut doc = to_doc(&example()).unwrap();
    let Doc::Map(entries) = &mut doc else { panic!() };
    entries.push(("VpcConfig".into(), Doc::Null));
    assert!(from_doc::<Create>(doc.clone()).is_ok(), "an explicit null counts as absent");

    let Doc::Map(entries) = &mut doc else { panic!() };
    let code = entries.iter_mut().find(|(key, _)| key == "Code").unwrap();
    code.1 = Doc::Map(vec![("S3Bucket".into(), Doc::Str("b".into()))]);
    let error = from_doc::<Create>(doc).unwrap_err();
    assert_eq!(error, DocError::UnsupportedMember { path: "Code.S3Bucket".into() });

    let layer = Doc::Map(vec![("Arn".into(), Doc::Str("x".into())), ("Size".into(), Doc::Int(1))]);
    let doc = Doc::Map(vec![("Layers".into(), Doc::List(vec![layer]))]);
    assert_eq!(from_doc::<Create>(doc).unwrap_err().path(), "Layers.0.Size");
}

#[test]
fn a_missing_member_and_a_wrong_type_are_named() {
    let error = from_doc::<Create>(Doc::empty()).unwrap_err();
    assert_eq!(error, DocError::MissingMember { path: "FunctionName".into() });
    let doc = Doc::Map(vec![("MemorySize".into(), Doc::Str("128".into()))]);
    let error = from_doc::<Create>(doc).unwrap_err();
    assert_eq!(error.path(), "MemorySize");
    let doc = Doc::Map(vec![("Modified".into(), Doc::Int(3))]);
    assert_eq!(
        from_doc::<Create>(doc).unwrap_err().to_string(),
        "member 'Modified': an integer where a timestamp is expected"
    );
}

#[test]
fn an_empty_input_takes_no_member() {
    assert!(from_doc::<()>(Doc::empty()).is_ok());
    let doc = Doc::Map(vec![("A".into(), Doc::Int(1))]);
    assert_eq!(from_doc::<()>(doc).unwrap_err().path(), "A");
}

#[test]
fn the_probe_sees_every_member_and_variant() {
    let members = members_of::<Create>();
    let expected = [
        "Code",
        "Code.ZipFile",
        "Created",
        "FunctionName",
        "Layers",
        "Layers.Arn",
        "MemorySize",
        "Modified",
        "Publish",
        "Ratio",
        "Source",
        "Source.Queue",
        "Source.Queue.url",
        "Source.Text",
        "Tags",
    ];
    assert_eq!(members, expected);
}

#[test]
fn the_probe_goes_round_a_value_that_is_refused() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Picky {
        first: Option<std::net::IpAddr>,
        second: Option<Nested>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Nested {
        third: Option<Box<Picky>>,
    }
    let members = members_of::<Picky>();
    assert!(members.starts_with(&["first".into(), "second".into(), "second.third".into()]), "{members:?}");
}
