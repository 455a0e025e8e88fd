//! Roles through the front door.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{House, POLICY, TRUST, pair};
use serde_json::{Value, json};

#[tokio::test]
async fn a_role_is_made_read_changed_and_deleted() {
    let house = House::new();
    let made = house
        .done(
            "CreateRole",
            json!({"RoleName": "worker", "Path": "/team/", "AssumeRolePolicyDocument": TRUST,
                "Description": "works", "MaxSessionDuration": 7200, "Tags": [{"Key": "stage", "Value": "dev"}]}),
        )
        .await;
    assert_eq!(made["Role"]["Arn"], "arn:aws:iam::000000000000:role/team/worker");
    let id = made["Role"]["RoleId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("AROA") && id.len() == 21, "{id}");

    let role = house.done("GetRole", json!({"RoleName": "worker"})).await["Role"].clone();
    assert_eq!(role["RoleId"], id.as_str());
    assert_eq!(role["Path"], "/team/");
    assert_eq!(role["MaxSessionDuration"], 7200);
    assert_eq!(role["Tags"], json!([{"Key": "stage", "Value": "dev"}]));
    let document = role["AssumeRolePolicyDocument"].as_str().unwrap();
    assert!(document.starts_with("%7B%22Version%22%3A%222012-10-17%22"), "{document}");

    house
        .done("UpdateRole", json!({"RoleName": "worker", "Description": "rests", "MaxSessionDuration": 3600}))
        .await;
    let other = TRUST.replace("lambda", "ec2");
    house.done("UpdateAssumeRolePolicy", json!({"RoleName": "worker", "PolicyDocument": other})).await;
    let role = house.done("GetRole", json!({"RoleName": "worker"})).await["Role"].clone();
    assert_eq!(role["Description"], "rests");
    assert_eq!(role["MaxSessionDuration"], 3600);
    assert!(role["AssumeRolePolicyDocument"].as_str().unwrap().contains("ec2.amazonaws.com"));
    let changed =
        house.done("UpdateRoleDescription", json!({"RoleName": "worker", "Description": "x"})).await;
    assert_eq!(changed["Role"]["Description"], "x");

    house.done("DeleteRole", json!({"RoleName": "worker"})).await;
    assert_eq!(
        house.fails("GetRole", json!({"RoleName": "worker"})).await,
        pair("NoSuchEntity", "The role with name worker cannot be found.")
    );
}

#[tokio::test]
async fn bad_roles_are_refused_and_change_nothing() {
    let house = House::new();
    house.role("worker").await;
    for name in ["worker", "WORKER"] {
        assert_eq!(
            house.fails("CreateRole", json!({"RoleName": name, "AssumeRolePolicyDocument": TRUST})).await,
            pair("EntityAlreadyExists", &format!("Role with name {name} already exists."))
        );
    }
    let (code, _) =
        house.fails("CreateRole", json!({"RoleName": "new", "AssumeRolePolicyDocument": "{}"})).await;
    assert_eq!(code, "MalformedPolicyDocument");
    let (code, _) =
        house.fails("CreateRole", json!({"RoleName": "with space", "AssumeRolePolicyDocument": TRUST})).await;
    assert_eq!(code, "ValidationError");
    let long = TRUST.replace("lambda", &"x".repeat(2_048));
    let (code, message) =
        house.fails("CreateRole", json!({"RoleName": "new", "AssumeRolePolicyDocument": long})).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")
    );
    let (_, message) = house
        .fails(
            "CreateRole",
            json!({"RoleName": "new", "AssumeRolePolicyDocument": TRUST,
                "PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        )
        .await;
    assert!(message.contains("PermissionsBoundary"), "{message}");
    for operation in ["GetRole", "DeleteRole"] {
        let (code, _) = house.fails(operation, json!({"RoleName": "new"})).await;
        assert_eq!(code, "NoSuchEntity");
    }
}

#[tokio::test]
async fn roles_are_listed_by_name_path_and_page() {
    let house = House::new();
    for (name, path) in [("c", "/"), ("a", "/x/"), ("B", "/x/y/"), ("d", "/x/")] {
        let request = json!({"RoleName": name, "Path": path, "AssumeRolePolicyDocument": TRUST});
        house.done("CreateRole", request).await;
    }
    let names = |answer: &Value| -> Vec<String> {
        answer["Roles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|role| role["RoleName"].as_str().unwrap().into())
            .collect()
    };
    let all = house.done("ListRoles", json!({})).await;
    assert_eq!(names(&all), ["a", "B", "c", "d"]);
    assert_eq!(all["IsTruncated"], false);
    let below = house.done("ListRoles", json!({"PathPrefix": "/x/"})).await;
    assert_eq!(names(&below), ["a", "B", "d"]);

    let first = house.done("ListRoles", json!({"PathPrefix": "/x/", "MaxItems": 2})).await;
    assert_eq!((names(&first).len(), &first["IsTruncated"]), (2, &json!(true)));
    let second =
        house.done("ListRoles", json!({"PathPrefix": "/x/", "MaxItems": 2, "Marker": first["Marker"]})).await;
    assert_eq!((names(&second), &second["IsTruncated"]), (vec!["d".to_owned()], &json!(false)));
    let (code, _) = house.fails("ListRoles", json!({"Marker": "%%%"})).await;
    assert_eq!(code, "ValidationError");

    let other = "000000000001".parse().unwrap();
    let theirs = house.ask_as(other, "ListRoles", json!({})).await.unwrap();
    assert!(names(&theirs).is_empty());
}

#[tokio::test]
async fn inline_policies_come_and_go() {
    let house = House::new();
    house.role("worker").await;
    for name in ["one", "two", "three"] {
        let request = json!({"RoleName": "worker", "PolicyName": name, "PolicyDocument": POLICY});
        house.done("PutRolePolicy", request).await;
    }
    let got = house.done("GetRolePolicy", json!({"RoleName": "worker", "PolicyName": "one"})).await;
    assert!(got["PolicyDocument"].as_str().unwrap().contains("logs%3A%2A"), "{got}");
    let page = house.done("ListRolePolicies", json!({"RoleName": "worker", "MaxItems": 2})).await;
    assert_eq!(page["PolicyNames"], json!(["one", "three"]));
    let rest = house.done("ListRolePolicies", json!({"RoleName": "worker", "Marker": page["Marker"]})).await;
    assert_eq!(rest["PolicyNames"], json!(["two"]));

    assert_eq!(
        house.fails("DeleteRole", json!({"RoleName": "worker"})).await,
        pair("DeleteConflict", "Cannot delete entity, must delete policies first.")
    );
    let bad = json!({"RoleName": "worker", "PolicyName": "one", "PolicyDocument": "nonsense"});
    assert_eq!(house.fails("PutRolePolicy", bad).await.0, "MalformedPolicyDocument");
    let large = POLICY.replace("logs:*", &format!("logs:{}", "x".repeat(10_240)));
    let large = json!({"RoleName": "worker", "PolicyName": "large", "PolicyDocument": large});
    assert_eq!(
        house.fails("PutRolePolicy", large).await,
        pair("LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role worker")
    );
    for name in ["one", "two", "three"] {
        house.done("DeleteRolePolicy", json!({"RoleName": "worker", "PolicyName": name})).await;
    }
    for operation in ["GetRolePolicy", "DeleteRolePolicy"] {
        assert_eq!(
            house.fails(operation, json!({"RoleName": "worker", "PolicyName": "one"})).await,
            pair("NoSuchEntity", "The role policy with name one cannot be found.")
        );
    }
    house.done("DeleteRole", json!({"RoleName": "worker"})).await;
}

#[tokio::test]
async fn tags_come_and_go() {
    let house = House::new();
    house.role("worker").await;
    let tags = json!([{"Key": "b", "Value": "1"}, {"Key": "a", "Value": "2"}]);
    house.done("TagRole", json!({"RoleName": "worker", "Tags": tags})).await;
    let page = house.done("ListRoleTags", json!({"RoleName": "worker", "MaxItems": 1})).await;
    assert_eq!(page["Tags"], json!([{"Key": "a", "Value": "2"}]));
    assert_eq!(page["IsTruncated"], true);
    house.done("UntagRole", json!({"RoleName": "worker", "TagKeys": ["a"]})).await;
    let page = house.done("ListRoleTags", json!({"RoleName": "worker"})).await;
    assert_eq!(page["Tags"], json!([{"Key": "b", "Value": "1"}]));
    let (code, _) = house.fails("TagRole", json!({"RoleName": "nobody", "Tags": []})).await;
    assert_eq!(code, "NoSuchEntity");
}
