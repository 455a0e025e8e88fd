//! SNS's filter policies: limits, words, and what attributes are compared with.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html>

#![allow(clippy::unwrap_used)]

use lamplighter_pattern::{AttributeValue, FilterPolicy, Scope};

use AttributeValue::{Binary, Number, String, StringArray};

fn refusal(policy: &str, scope: Scope) -> std::string::String {
    FilterPolicy::parse(policy, scope).unwrap_err().to_string()
}

/// The values of an attribute `a` that a policy wants, and some that it does not.
type Case<'a> = (&'a str, &'a [AttributeValue<'a>], &'a [AttributeValue<'a>]);

#[test]
fn attributes() {
    let cases: [Case<'_>; 13] = [
        (
            r#"{"a":["rugby","tennis"]}"#,
            &[String("rugby"), StringArray(r#"["football","tennis"]"#)],
            &[String("baseball"), StringArray(r#"["baseball"]"#), StringArray("rugby"), Binary],
        ),
        (
            r#"{"a":[{"anything-but":["rugby","tennis"]}]}"#,
            &[String("baseball"), StringArray(r#"["rugby","baseball"]"#), Number("1")],
            &[String("rugby"), StringArray(r#"["rugby"]"#), Binary],
        ),
        (
            r#"{"a":[{"anything-but":{"prefix":"order-"}}]}"#,
            &[String("data-entry")],
            &[String("order-number")],
        ),
        (r#"{"a":[{"equals-ignore-case":"tennis"}]}"#, &[String("TENNIS")], &[String("tennis ")]),
        (r#"{"a":[{"cidr":"10.0.0.0/24"}]}"#, &[String("10.0.0.255")], &[String("10.1.1.0")]),
        (r#"{"a":[{"prefix":"bas"}]}"#, &[String("baseball")], &[String("rugby"), Number("1")]),
        (r#"{"a":[{"suffix":"ball"}]}"#, &[String("baseball")], &[String("balls")]),
        (r#"{"a":[{"wildcard":"*ball"}]}"#, &[String("baseball")], &[String("rugby")]),
        (
            r#"{"a":[{"numeric":["=",301.5]}]}"#,
            &[Number("301.5"), Number("3.015e2"), StringArray("[301.5]")],
            &[String("301.5"), Number("301.6"), Number("x")],
        ),
        (
            r#"{"a":[{"numeric":[">",0,"<=",100]}]}"#,
            &[Number("100"), Number("0.00001")],
            &[Number("0"), Number("100.1")],
        ),
        (
            r#"{"a":[{"anything-but":[100,500]}]}"#,
            &[Number("101"), StringArray("[100, 50]")],
            &[Number("1e2")],
        ),
        (r#"{"a":[{"exists":true}]}"#, &[String(""), Number("1")], &[Binary]),
        (
            r#"{"a":[null,true,5]}"#,
            &[StringArray("[null]"), StringArray("[true]"), Number("5.0")],
            &[String("true"), StringArray("[]")],
        ),
    ];
    for (text, wanted, unwanted) in cases {
        let policy = FilterPolicy::parse(text, Scope::MessageAttributes).unwrap();
        for value in wanted {
            assert!(policy.matches_attributes(&[("b", Binary), ("a", *value)]), "{text} {value:?}");
        }
        for value in unwanted {
            assert!(!policy.matches_attributes(&[("a", *value)]), "{text} {value:?}");
        }
        assert!(!policy.matches_attributes(&[]), "{text} without attributes");
        assert!(!policy.matches_body(&serde_json::json!({"a": "rugby"})), "{text} has no say on bodies");
    }
}

#[test]
fn attributes_together() {
    let policy = |text| FilterPolicy::parse(text, Scope::MessageAttributes).unwrap();
    let both = policy(r#"{"a":["x"],"b.c":[{"exists":false}]}"#);
    assert!(both.matches_attributes(&[("a", String("x"))]));
    assert!(!both.matches_attributes(&[("a", String("x")), ("b.c", String("y"))]));
    let or = policy(r#"{"s":["w"],"$or":[{"a":["x"]},{"b":["y"]}]}"#);
    assert!(or.matches_attributes(&[("s", String("w")), ("b", String("y"))]));
    assert!(!or.matches_attributes(&[("s", String("w"))]));
    assert!(policy("{}").matches_attributes(&[]));
}

#[test]
fn bodies() {
    let policy = FilterPolicy::parse(
        r#"{"store":["example_corp"],"order":{"items":{"price":[{"numeric":[">",100]}],"kind":["book"]}}}"#,
        Scope::MessageBody,
    )
    .unwrap();
    let body = |items: &str| {
        serde_json::from_str(&format!(r#"{{"store":"example_corp","order":{{"items":{items}}}}}"#)).unwrap()
    };
    assert!(policy.matches_body(&body(r#"[{"price":1,"kind":"book"},{"price":101,"kind":"book"}]"#)));
    assert!(!policy.matches_body(&body(r#"[{"price":1,"kind":"book"},{"price":101,"kind":"pen"}]"#)));
    assert!(!policy.matches_body(&serde_json::json!("text")));
    assert!(!policy.matches_attributes(&[("store", String("example_corp"))]));
}

#[test]
fn refusals() {
    let cases = [
        (r#"{"key":[["value"]]}"#, "Match value must be String, number, true, false, or null", 10),
        (r#"{"key":[{"wrong-operator":true}]}"#, "Unrecognized match type wrong-operator", 31),
        (r#"{"key":[{"suffix":"value","prefix":"value2"}]}"#, "Only one key allowed in match expression", 37),
        (r#"{"key":[{"suffix":100}]}"#, "suffix match pattern must be a string", 22),
        (r#"{"key":[{"suffix":null}]}"#, "suffix match pattern must be a string", 23),
        (r#"{"key":{"suffix":"value"}}"#, r#""suffix" must be an object or an array"#, 19),
        (r#"{"key":[{"suffix":[]}]}"#, "suffix match pattern must be a string", 20),
        (r#"{"key":[{"numeric":[]}]}"#, "Invalid member in numeric match: ]", 22),
        (r#"{"key":[{"numeric":["operator"]}]}"#, "Unrecognized numeric range operator: operator", 32),
        (r#"{"key":[{"numeric":[1,"<="]}]}"#, "Invalid member in numeric match: 1", 22),
        (r#"{"key":[{"numeric":["=","000"]}]}"#, "Value of equals must be numeric", 26),
        (r#"{"key":[{"numeric":[">="]}]}"#, "Value of >= must be numeric", 26),
        (r#"{"key":[{"numeric":["<",100,">",10]}]}"#, "Too many elements in numeric expression", 30),
        (r#"{"key":[{"numeric":[">=",1,">",2]}]}"#, "Bad numeric range operator: >", 31),
        (r#"{"key":[{"numeric":[">",3,"<",1]}]}"#, "Bottom must be less than top", 33),
        (r#"{"key":[{"numeric":[">",20,"<="]}]}"#, "Value of <= must be numeric", 33),
        (r#"{"key":[{"numeric":[">",20,30]}]}"#, "Bad value in numeric range: 30", 30),
        (r#"{"key":[{"numeric":[">",20,"test"]}]}"#, "Bad numeric range operator: test", 34),
        (r#"{"key":[{"numeric":[">","20","<","30"]}]}"#, "Value of > must be numeric", 26),
        (r#"{"key":[{"numeric":[">",20,"<","30"]}]}"#, "Value of < must be numeric", 33),
        (r#"{"key":[{"numeric":[">",20,"<",30,"<",50]}]}"#, "Too many terms in numeric range expression", 36),
        (r#"{"key":[{"exists":null}]}"#, "exists match pattern must be either true or false.", 23),
        (r#"{"key":[{"exists":"no"}]}"#, "exists match pattern must be either true or false.", 20),
        (r#"{"key_a":"value_one"}"#, r#""key_a" must be an object or an array"#, 11),
        (
            r#"{"key":[{"numeric":["=",1000000001]}]}"#,
            "Value must be between -1.0E9 and 1.0E9, inclusive",
            36,
        ),
    ];
    for (policy, reason, column) in cases {
        let expected =
            format!("FilterPolicy: {reason}\n at [Source: (String)\"{policy}\"; line: 1, column: {column}]");
        assert_eq!(refusal(policy, Scope::MessageBody), expected);
    }
    assert_eq!(
        refusal(r#"{"a":{"b":["c"]}}"#, Scope::MessageAttributes),
        "Filter policy scope MessageAttributes does not support nested filter policy"
    );
    assert!(
        refusal("{", Scope::MessageBody)
            .starts_with("FilterPolicy: failed to parse JSON. Unexpected end-of-input")
    );
    assert_eq!(
        "RandomValue".parse::<Scope>().unwrap_err().to_string(),
        "FilterPolicyScope: Invalid value [RandomValue]. Please use either MessageBody or MessageAttributes"
    );
}

/// `{"k0":[0,1,..],"k1":...}` with as many values as told.
fn policy(counts: &[usize]) -> std::string::String {
    let key = |(at, count): (usize, &usize)| format!(r#""k{at}":{:?}"#, (0..*count).collect::<Vec<_>>());
    format!("{{{}}}", counts.iter().enumerate().map(key).collect::<Vec<_>>().join(","))
}

#[test]
fn limits() {
    let too_complex = "FilterPolicy: Filter policy is too complex";
    let is_fine = |text: &str, scope| FilterPolicy::parse(text, scope).is_ok();
    assert!(is_fine(&policy(&[1, 1, 1, 1, 1]), Scope::MessageAttributes));
    for scope in [Scope::MessageAttributes, Scope::MessageBody] {
        assert_eq!(
            refusal(&policy(&[1; 6]), scope),
            "FilterPolicy: Filter policy can not have more than 5 keys"
        );
    }
    assert!(is_fine(&policy(&[3, 5, 10]), Scope::MessageAttributes));
    assert_eq!(refusal(&policy(&[151]), Scope::MessageAttributes), too_complex);
    assert_eq!(refusal(&policy(&[3, 51]), Scope::MessageAttributes), too_complex);
    // A key counts as often as it is deep: 3 x 4 x 2 x 3 = 72, as the guide has it.
    let nested = |inner: &str| format!(r#"{{"a":{{"b":{{"c":{inner}}}}},"d":{{"e":[1,2,3]}}}}"#);
    assert!(is_fine(&nested("[1,2,3,4]"), Scope::MessageBody));
    assert!(is_fine(&nested("[1,2,3,4,5,6,7,8]"), Scope::MessageBody));
    assert_eq!(refusal(&nested("[1,2,3,4,5,6,7,8,9]"), Scope::MessageBody), too_complex);
    // Inner keys are not counted.
    assert!(is_fine(r#"{"a":{"b":[1],"c":[1],"d":[1],"e":[1],"f":[1],"g":[1]}}"#, Scope::MessageBody));
    // Alternatives are added up.
    let or = |left: usize, right: usize| format!(r#"{{"$or":[{},{}]}}"#, policy(&[left]), policy(&[right]));
    assert!(is_fine(&or(75, 75), Scope::MessageAttributes));
    assert_eq!(refusal(&or(75, 76), Scope::MessageAttributes), too_complex);
    let large = format!(r#"{{"a":["{}"]}}"#, "x".repeat(256 * 1024 - 10));
    assert!(is_fine(&large, Scope::MessageAttributes));
    assert!(!is_fine(&large.replace("xx\"", "xxx\""), Scope::MessageAttributes));
}
