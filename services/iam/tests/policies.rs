//! Managed policies, and roles that carry them, through the front door.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{House, POLICY, pair};
use serde_json::json;

const OF_AWS: &str = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
const MINE: &str = "arn:aws:iam::000000000000:policy/team/mine";

async fn house_with_policy() -> House {
    let house = House::new();
    house.role("worker").await;
    let request =
        json!({"PolicyName": "mine", "Path": "/team/", "PolicyDocument": POLICY, "Description": "d"});
    let made = house.done("CreatePolicy", request).await;
    assert_eq!(made["Policy"]["Arn"], MINE);
    assert!(made["Policy"]["PolicyId"].as_str().unwrap().starts_with("ANPA"));
    house
}

#[tokio::test]
async fn policies_are_attached_and_counted() {
    let house = house_with_policy().await;
    // Attaching twice is as good as once.
    for arn in [OF_AWS, MINE, MINE] {
        house.done("AttachRolePolicy", json!({"RoleName": "worker", "PolicyArn": arn})).await;
    }
    let attached = house.done("ListAttachedRolePolicies", json!({"RoleName": "worker"})).await;
    assert_eq!(
        attached["AttachedPolicies"],
        json!([{"PolicyName": "mine", "PolicyArn": MINE},
            {"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": OF_AWS}])
    );
    let below =
        house.done("ListAttachedRolePolicies", json!({"RoleName": "worker", "PathPrefix": "/team/"})).await;
    assert_eq!(below["AttachedPolicies"].as_array().unwrap().len(), 1);
    let policy = house.done("GetPolicy", json!({"PolicyArn": MINE})).await["Policy"].clone();
    assert_eq!((&policy["AttachmentCount"], &policy["DefaultVersionId"]), (&json!(1), &json!("v1")));

    assert_eq!(
        house.fails("DeletePolicy", json!({"PolicyArn": MINE})).await,
        pair("DeleteConflict", "Cannot delete a policy attached to entities.")
    );
    assert_eq!(
        house.fails("DeleteRole", json!({"RoleName": "worker"})).await,
        pair("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    );
    for arn in [OF_AWS, MINE] {
        house.done("DetachRolePolicy", json!({"RoleName": "worker", "PolicyArn": arn})).await;
        let (code, _) =
            house.fails("DetachRolePolicy", json!({"RoleName": "worker", "PolicyArn": arn})).await;
        assert_eq!(code, "NoSuchEntity");
    }
    house.done("DeleteRole", json!({"RoleName": "worker"})).await;
    house.done("DeletePolicy", json!({"PolicyArn": MINE})).await;
    assert_eq!(
        house.fails("GetPolicy", json!({"PolicyArn": MINE})).await,
        pair("NoSuchEntity", &format!("Policy {MINE} was not found."))
    );
}

#[tokio::test]
async fn only_policies_that_exist_are_attached() {
    let house = house_with_policy().await;
    // Another path is another policy.
    for arn in ["arn:aws:iam::000000000000:policy/mine", "arn:aws:iam::000000000001:policy/team/mine"] {
        assert_eq!(
            house.fails("AttachRolePolicy", json!({"RoleName": "worker", "PolicyArn": arn})).await,
            pair("NoSuchEntity", &format!("Policy {arn} does not exist or is not attachable."))
        );
    }
    let not_an_arn = json!({"RoleName": "worker", "PolicyArn": "this-is-not-an-arn-at-all"});
    assert_eq!(house.fails("AttachRolePolicy", not_an_arn).await.0, "InvalidInput");
    for n in 0..10 {
        let arn = format!("arn:aws:iam::aws:policy/Some{n}");
        house.done("AttachRolePolicy", json!({"RoleName": "worker", "PolicyArn": arn})).await;
    }
    assert_eq!(
        house.fails("AttachRolePolicy", json!({"RoleName": "worker", "PolicyArn": MINE})).await,
        pair("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")
    );
    let policy = house.done("GetPolicy", json!({"PolicyArn": MINE})).await["Policy"].clone();
    assert_eq!(policy["AttachmentCount"], 0);
}

#[tokio::test]
async fn policies_are_read_and_listed() {
    let house = house_with_policy().await;
    let again = json!({"PolicyName": "mine", "PolicyDocument": POLICY});
    assert_eq!(
        house.fails("CreatePolicy", again).await,
        pair("EntityAlreadyExists", "A policy called mine already exists. Duplicate names are not allowed.")
    );
    let version = house.done("GetPolicyVersion", json!({"PolicyArn": MINE, "VersionId": "v1"})).await;
    assert_eq!(version["PolicyVersion"]["IsDefaultVersion"], true);
    assert!(version["PolicyVersion"]["Document"].as_str().unwrap().starts_with("%7B"));
    let (code, _) = house.fails("GetPolicyVersion", json!({"PolicyArn": MINE, "VersionId": "v2"})).await;
    assert_eq!(code, "NoSuchEntity");

    let local = house.done("ListPolicies", json!({"Scope": "Local"})).await;
    assert_eq!(local["Policies"][0]["PolicyName"], "mine");
    let attached = house.done("ListPolicies", json!({"Scope": "Local", "OnlyAttached": true})).await;
    assert_eq!(attached["Policies"], json!([]));
    let (_, message) = house.fails("ListPolicies", json!({})).await;
    assert!(message.contains("Scope=Local"), "{message}");
}
