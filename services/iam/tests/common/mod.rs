//! A front door with IAM behind it, and requests as JSON.

use base::{AccountId, ApiError, Clock, Principal, Region, Timestamp};
use frontdoor::FrontDoor;
use lamplighter_service_iam::{Iam, IamDeps};
use serde_json::{Value, json};
use store::Store;

pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);
pub(crate) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
pub(crate) const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}"#;

pub(crate) struct House {
    front_door: FrontDoor,
}

impl House {
    pub(crate) fn new() -> House {
        let clock = Clock::frozen(START);
        let iam = Iam::new(IamDeps { store: Store::in_memory().unwrap(), clock: clock.clone() });
        House { front_door: FrontDoor::builder(clock).add(lamplighter_service_iam::service(iam)).build() }
    }

    pub(crate) async fn ask_as(
        &self,
        account: AccountId,
        operation: &str,
        request: Value,
    ) -> Result<Value, ApiError> {
        let call = self.front_door.call(Principal::Root { account }, account, Region::default());
        call.service("iam").invoke(operation, &request).await
    }

    pub(crate) async fn ask(&self, operation: &str, request: Value) -> Result<Value, ApiError> {
        self.ask_as(AccountId::DEFAULT, operation, request).await
    }

    pub(crate) async fn done(&self, operation: &str, request: Value) -> Value {
        self.ask(operation, request).await.unwrap_or_else(|error| panic!("{operation}: {error:?}"))
    }

    /// Code and message of the error that must come.
    pub(crate) async fn fails(&self, operation: &str, request: Value) -> (String, String) {
        let error = self.ask(operation, request).await.expect_err("it should fail");
        (error.code.into_owned(), error.message)
    }

    pub(crate) async fn role(&self, name: &str) {
        self.done("CreateRole", json!({"RoleName": name, "AssumeRolePolicyDocument": TRUST})).await;
    }
}

pub(crate) fn pair(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}
