//! EventBridge's language, case by case: what matches, what does not, and what is refused in which words.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>

#![allow(clippy::unwrap_used)]

use lamplighter_pattern::EventPattern;
use serde_json::Value;

fn matches(pattern: &str, event: &str) -> bool {
    let event: Value = serde_json::from_str(event).unwrap();
    EventPattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(&event)
}

/// A pattern, events that it means, events that it does not.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    for (pattern, meant, others) in cases {
        for event in *meant {
            assert!(matches(pattern, event), "{pattern} should match {event}");
        }
        for event in *others {
            assert!(!matches(pattern, event), "{pattern} should not match {event}");
        }
    }
}

#[test]
fn values() {
    check(&[
        (
            r#"{"a":["x","y"]}"#,
            &[r#"{"a":"x"}"#, r#"{"a":"y","b":1}"#],
            &[r#"{"a":"X"}"#, r#"{"b":"x"}"#, "{}"],
        ),
        (r#"{"a":[""]}"#, &[r#"{"a":""}"#], &[r#"{"a":null}"#, r#"{"a":" "}"#]),
        (r#"{"a":[null]}"#, &[r#"{"a":null}"#], &[r#"{"a":"null"}"#, r#"{"a":""}"#, "{}"]),
        (r#"{"a":[true]}"#, &[r#"{"a":true}"#], &[r#"{"a":false}"#, r#"{"a":"true"}"#, r#"{"a":1}"#]),
        // The user guide says that spellings of a number differ; the service takes them as equal.
        (
            r#"{"a":[300]}"#,
            &[r#"{"a":300}"#, r#"{"a":300.0}"#, r#"{"a":3.0e2}"#],
            &[r#"{"a":"300"}"#, r#"{"a":301}"#],
        ),
        (r#"{"a":[123456789012]}"#, &[r#"{"a":123456789012}"#], &[r#"{"a":123456789013}"#]),
        (r#"{"a":["10.0.0.1"]}"#, &[r#"{"a":"10.0.0.1"}"#], &[r#"{"a":"10.0.0.10"}"#]),
        (r#"{"a":["::1"]}"#, &[r#"{"a":"0:0:0:0:0:0:0:1"}"#], &[r#"{"a":"::2"}"#]),
        (r#"{"a":{"b":{"c":[1]}}}"#, &[r#"{"a":{"b":{"c":1}}}"#], &[r#"{"a":{"b":1}}"#, r#"{"a":1}"#]),
        (r#"{"a":["x"],"b":["y"]}"#, &[r#"{"a":"x","b":"y"}"#], &[r#"{"a":"x"}"#, r#"{"a":"x","b":"x"}"#]),
        (r#"{"a.b":["x"]}"#, &[r#"{"a":{"b":"x"}}"#, r#"{"a.b":"x"}"#], &[r#"{"a":"x"}"#]),
        (r#"{"a":{"b":["x"],"c":["y"]}}"#, &[r#"{"a.b":"x","a":{"c":"y"}}"#], &[r#"{"a.b":"x"}"#]),
    ]);
    assert!(!EventPattern::parse(r#"{"a":["x"]}"#).unwrap().matches(&Value::from("x")));
}

#[test]
fn arrays() {
    check(&[
        (
            r#"{"a":["x","y"]}"#,
            &[r#"{"a":["z","y"]}"#, r#"{"a":[["x"]]}"#],
            &[r#"{"a":["z"]}"#, r#"{"a":[]}"#],
        ),
        (
            r#"{"a":{"b":[1],"c":[2]}}"#,
            &[r#"{"a":[{"b":1,"c":1},{"b":1,"c":2}]}"#],
            // Not from two elements of one array.
            &[r#"{"a":[{"b":1},{"c":2}]}"#],
        ),
        (r#"{"a":{"b":[1],"c":[2]}}"#, &[r#"{"a":{"b":[3,1],"c":[2,4]}}"#], &[]),
    ]);
}

#[test]
fn operators() {
    check(&[
        (
            r#"{"a":[{"prefix":"ab"}]}"#,
            &[r#"{"a":"abc"}"#, r#"{"a":"ab"}"#],
            &[r#"{"a":"aB"}"#, r#"{"a":"a"}"#],
        ),
        (
            r#"{"a":[{"prefix":{"equals-ignore-case":"EventB"}}]}"#,
            &[r#"{"a":"eVENTbridge"}"#],
            &[r#"{"a":"event"}"#],
        ),
        (r#"{"a":[{"suffix":".png"}]}"#, &[r#"{"a":"a.png"}"#], &[r#"{"a":"a.PNG"}"#, r#"{"a":12}"#]),
        (r#"{"a":[{"suffix":{"equals-ignore-case":".png"}}]}"#, &[r#"{"a":"a.PnG"}"#], &[r#"{"a":"png"}"#]),
        (r#"{"a":[{"equals-ignore-case":"alice"}]}"#, &[r#"{"a":"ALICE"}"#], &[r#"{"a":"ALICES"}"#]),
        (r#"{"a":[{"equals-ignore-case":"grün"}]}"#, &[r#"{"a":"GRÜN"}"#], &[r#"{"a":"GRUN"}"#]),
        (
            r#"{"a":[{"wildcard":"dir/*.png"}]}"#,
            &[r#"{"a":"dir/a/b.png"}"#, r#"{"a":"dir/.png"}"#],
            &[r#"{"a":"dir.png"}"#],
        ),
        (r#"{"a":[{"wildcard":"a\\*b"}]}"#, &[r#"{"a":"a*b"}"#], &[r#"{"a":"axb"}"#]),
        (
            r#"{"a":[{"exists":true}]}"#,
            &[r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":["x"]}"#],
            &["{}", r#"{"a":{"b":1}}"#, r#"{"a":[]}"#],
        ),
        (
            r#"{"a":[{"exists":false}]}"#,
            &["{}", r#"{"a":{"b":1}}"#, r#"{"a":[]}"#],
            &[r#"{"a":1}"#, r#"{"a":null}"#],
        ),
        (
            r#"{"a":{"b":[{"exists":false}]}}"#,
            &["{}", r#"{"a":1}"#, r#"{"a":{"c":1}}"#],
            &[r#"{"a":[{"b":1},{"c":2}]}"#],
        ),
        (r#"{"a":["x",{"exists":false}]}"#, &["{}", r#"{"a":"x"}"#], &[r#"{"a":"y"}"#]),
        (
            r#"{"a":[{"cidr":"10.0.0.0/24"}]}"#,
            &[r#"{"a":"10.0.0.255"}"#],
            &[r#"{"a":"10.0.1.0"}"#, r#"{"a":"x"}"#, r#"{"a":10}"#],
        ),
        (
            r#"{"a":[{"cidr":"2001:db8:1234:1a00::/64"}]}"#,
            &[r#"{"a":"2001:db8:1234:1a00::5"}"#],
            &[r#"{"a":"2001:db8:1234:1a01::5"}"#, r#"{"a":"10.0.0.1"}"#],
        ),
    ]);
}

#[test]
fn numeric() {
    check(&[
        (
            r#"{"a":[{"numeric":["=",301.8]}]}"#,
            &[r#"{"a":301.8}"#, r#"{"a":3.018e2}"#],
            &[r#"{"a":"301.8"}"#, r#"{"a":null}"#, r#"{"a":301.81}"#],
        ),
        (
            r#"{"a":[{"numeric":[">",0,"<=",5]}]}"#,
            &[r#"{"a":5}"#, r#"{"a":0.000001}"#],
            &[r#"{"a":0}"#, r#"{"a":5.000001}"#],
        ),
        (
            r#"{"a":[{"numeric":[">=",0,"<",5]}]}"#,
            &[r#"{"a":0}"#, r#"{"a":-0.0}"#],
            &[r#"{"a":5}"#, r#"{"a":-1}"#],
        ),
        (r#"{"a":[{"numeric":["<",10]}]}"#, &[r#"{"a":-4999999999}"#], &[r#"{"a":10}"#]),
        (r#"{"a":[{"numeric":["<=",-1.5]}]}"#, &[r#"{"a":-1.5}"#], &[r#"{"a":-1.4}"#]),
        (
            r#"{"a":[{"numeric":[">",-5e9]}]}"#,
            &[r#"{"a":5000000000}"#],
            &[r#"{"a":-5000000000}"#, r#"{"a":5000000001}"#],
        ),
        (r#"{"a":[{"numeric":["=",0.3]}]}"#, &[r#"{"a":0.30000000000000004}"#], &[]),
    ]);
}

#[test]
fn anything_but() {
    check(&[
        (
            r#"{"a":[{"anything-but":"x"}]}"#,
            &[r#"{"a":"y"}"#, r#"{"a":null}"#, r#"{"a":1}"#, r#"{"a":["x","y"]}"#],
            &[r#"{"a":"x"}"#, "{}", r#"{"a":["x"]}"#],
        ),
        (r#"{"a":[{"anything-but":["x","y"]}]}"#, &[r#"{"a":"z"}"#], &[r#"{"a":"y"}"#]),
        (r#"{"a":[{"anything-but":[100,200]}]}"#, &[r#"{"a":300}"#, r#"{"a":"100"}"#], &[r#"{"a":200.0}"#]),
        (r#"{"a":[{"anything-but":0}]}"#, &[r#"{"a":1}"#], &[r#"{"a":0}"#]),
        (
            r#"{"a":[{"anything-but":{"prefix":"init"}}]}"#,
            &[r#"{"a":"x"}"#, r#"{"a":12}"#, r#"{"a":null}"#],
            &[r#"{"a":"initx"}"#],
        ),
        (r#"{"a":[{"anything-but":{"prefix":["a","b"]}}]}"#, &[r#"{"a":"c"}"#], &[r#"{"a":"bc"}"#]),
        (r#"{"a":[{"anything-but":{"suffix":".png"}}]}"#, &[r#"{"a":"a.jpg"}"#], &[r#"{"a":"a.png"}"#]),
        (
            r#"{"a":[{"anything-but":{"wildcard":"*/lib/*"}}]}"#,
            &[r#"{"a":"/bin/x"}"#],
            &[r#"{"a":"/lib/x"}"#],
        ),
        (
            r#"{"a":[{"anything-but":{"wildcard":["*/lib/*","*/bin/*"]}}]}"#,
            &[r#"{"a":"/etc/x"}"#],
            &[r#"{"a":"/bin/x"}"#],
        ),
        (
            r#"{"a":[{"anything-but":{"equals-ignore-case":"Init"}}]}"#,
            &[r#"{"a":"x"}"#, r#"{"a":null}"#],
            &[r#"{"a":"iNIT"}"#],
        ),
        (
            r#"{"a":[{"anything-but":{"equals-ignore-case":["Init","stop"]}}]}"#,
            &[r#"{"a":"x"}"#],
            &[r#"{"a":"STOP"}"#],
        ),
    ]);
}

#[test]
fn or() {
    check(&[
        (
            r#"{"s":["w"],"$or":[{"m":["c","r"]},{"t":["T"],"n":["a"]},{"k":["S"]}]}"#,
            &[r#"{"s":"w","m":"r"}"#, r#"{"s":"w","t":"T","n":"a"}"#, r#"{"s":"w","k":"S"}"#],
            &[r#"{"s":"w","t":"T"}"#, r#"{"m":"r"}"#, r#"{"s":"w"}"#],
        ),
        (
            r#"{"d":{"$or":[{"c":[{"numeric":[">",0]}]},{"$or":[{"x":[1]},{"y":[1]}]}]}}"#,
            &[r#"{"d":{"c":1}}"#, r#"{"d":{"y":1}}"#],
            &[r#"{"d":{"c":0}}"#, r#"{"y":1}"#],
        ),
        (
            r#"{"$or":[{"a":[1]},{"b":[1]}],"d":{"$or":[{"a":[1]},{"b":[1]}]}}"#,
            &[r#"{"a":1,"d":{"b":1}}"#, r#"{"b":1,"d":{"a":1}}"#],
            &[r#"{"a":1}"#, r#"{"d":{"a":1}}"#],
        ),
        (
            r#"{"$or":[{"a":[{"exists":false}]},{"a":[{"anything-but":["x"]}]}]}"#,
            &["{}", r#"{"a":"y"}"#],
            &[r#"{"a":"x"}"#],
        ),
    ]);
}

#[test]
fn refusals() {
    let cases = [
        (r#"{"int": 42}"#, r#""int" must be an object or an array"#, 11),
        (r#"{"string": "my-value"}"#, r#""string" must be an object or an array"#, 13),
        (r#"{"resources": []}"#, "Empty arrays are not allowed", 17),
        (r#"{"a": {}}"#, "Empty objects are not allowed", 9),
        (r#"{}"#, "Empty objects are not allowed", 3),
        (r#"{"my_key": [{"EXISTS": true}]}"#, "Unrecognized match type EXISTS", 28),
        (r#"{"detail": {"equal": [{"NUMERIC": ["=", 5]}]}}"#, "Unrecognized match type NUMERIC", 36),
        (r#"{"detail": {"c-count": [{"numeric": [">", 0, ">", 0]}]}}"#, "Bad numeric range operator: >", 49),
        (r#"{"detail": {"c-count": [{"numeric": [">", 0, "<"]}]}}"#, "Value of < must be numeric", 50),
        (r#"{"a":[{"numeric":["=",5000000001]}]}"#, "Value must be between -5.0E9 and 5.0E9, inclusive", 34),
        (r#"{"a":[{"numeric":5}]}"#, "Value of numeric must be an array.", 19),
        (r#"{"EventBusArn": [{"wildcard": 123}]}"#, "wildcard match pattern must be a string", 34),
        (r#"{"a": [{"wildcard": "b**c"}]}"#, "Consecutive wildcard characters at pos 2", 27),
        (r#"{"time": [{"prefix": 123}]}"#, "prefix match pattern must be a string", 25),
        (r#"{"time": [{"prefix": ["2022-07-13"]}]}"#, "prefix match pattern must be a string", 23),
        (r#"{"FileName": [{"suffix": 123}]}"#, "suffix match pattern must be a string", 29),
        (
            r#"{"detail": {"sourceIPAddress": [{"cidr": ["bad-type"]}]}}"#,
            "prefix match pattern must be a string",
            43,
        ),
        (
            r#"{"detail-type": [{"equals-ignore-case": {"prefix": "ec2"}}]}"#,
            "equals-ignore-case match pattern must be a string",
            42,
        ),
        (
            r#"{"detail": {"state": [{"anything-but": {"prefix": 123}}]}}"#,
            "prefix/suffix match pattern must be a string",
            54,
        ),
        (
            r#"{"detail": {"FileName": [{"anything-but": {"prefix": {"equals-ignore-case": "file"}}}]}}"#,
            "Value of anything-but must be an array or single string/number value.",
            55,
        ),
        (
            r#"{"detail": {"state": [{"anything-but": {"equals-ignore-case": 123}}]}}"#,
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
            66,
        ),
        (r#"{"a":[{"anything-but":{"numeric":1}}]}"#, "Unsupported anything-but pattern: numeric", 35),
        (
            r#"{"a":[{"anything-but":["x",1]}]}"#,
            "Inside anything but list, either all values are number or string, mixed type is not supported",
            30,
        ),
        (r#"{"$or":[{"a":[1]}]}"#, "There must have at least 2 Objects in $or relationship.", 19),
        (r#"{"$or":{"a":[1]}}"#, "It must be an Array followed with $or.", 9),
        (r#"{"$or":[1,2]}"#, "Only JSON object is allowed in array of $or relationship.", 10),
        (r#"["not", "a", "dict", "but valid json"]"#, "Filter is not an object", 2),
        (
            "{'bad': 'quotation'}",
            "Unexpected character (''' (code 39)): was expecting double-quote to start field name",
            2,
        ),
        (
            r#"{"not": closed mark""#,
            "Unrecognized token 'closed': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')",
            15,
        ),
        (
            "this is no json",
            "Unrecognized token 'this': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')",
            5,
        ),
    ];
    for (pattern, reason, column) in cases {
        let expected = format!(
            "Event pattern is not valid. Reason: {reason}\n at [Source: (String)\"{pattern}\"; line: 1, column: {column}]"
        );
        assert_eq!(EventPattern::parse(pattern).unwrap_err().to_string(), expected);
    }
}

#[test]
fn refusals_without_a_place_or_with_two() {
    let said = |pattern: &str| EventPattern::parse(pattern).unwrap_err().to_string();
    for (block, reason) in [
        ("10.0.0.0", "Malformed CIDR, one '/' required"),
        ("10.0.0.0/x", "Malformed CIDR, mask bits must be an integer"),
        ("10.0.0.0/-1", "Malformed CIDR, mask bits must not be negative"),
        ("xx.11.xx/8", "Nonstandard IP address: xx.11.xx"),
        ("10.0.0.0/32", "IPv4 mask bits must be < 32"),
        ("::/128", "IPv6 mask bits must be < 128"),
    ] {
        assert_eq!(
            said(&format!(r#"{{"a":[{{"cidr":"{block}"}}]}}"#)),
            format!("Event pattern is not valid. Reason: {reason}")
        );
    }
    let pattern = r#"{"detail": {"state": [{"anything-but": {"prefix": [123, "test"]}}]}}"#;
    let place = format!("\n at [Source: (String)\"{pattern}\"; line: 1, column: 55]");
    let reason = "prefix/suffix match pattern must be a string";
    assert_eq!(said(pattern), format!("Event pattern is not valid. Reason: {reason}{place}{place}"));
}

#[test]
fn places_in_long_patterns() {
    let pattern = format!("{{\n  \"a\":\n  [\"{}\"],\n  \"b\": 1}}", "x".repeat(600));
    let said = EventPattern::parse(&pattern).unwrap_err().to_string();
    assert!(said.ends_with(" chars]; line: 4, column: 9]"), "{said}");
    assert!(said.contains("x\"[truncated "), "{said}");
}

#[test]
fn what_is_too_much() {
    let nested = format!("{}{}", "{\"a\":".repeat(2000), "}".repeat(2000));
    assert!(EventPattern::parse(&nested).unwrap_err().to_string().contains("nesting depth (1001)"));
    let or = r#""$or":[{"a":[1]},{"b":[1]},{"c":[1]},{"d":[1]}]"#;
    let of = |count: usize| {
        let parts: Vec<String> = (0..count).map(|at| format!(r#""k{at}":{{{or}}}"#)).collect();
        EventPattern::parse(&format!("{{{}}}", parts.join(",")))
    };
    assert!(of(4).is_ok());
    assert!(of(5).unwrap_err().to_string().contains("too complex"));
}
