//! The operations through the front door, and what the gateway learns of the keys they give out.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Principal, Region, Timestamp};
use frontdoor::{Credentials, FrontDoor};
use lamplighter_service_sts::{Sts, StsDeps};
use serde::{Deserialize, Serialize};
use store::Store;

const START: Timestamp = Timestamp(1_700_000_000_000);
const ROLE: &str = "arn:aws:iam::000000000042:role/team/worker";

struct House {
    sts: Arc<Sts>,
    front_door: FrontDoor,
    clock: Clock,
}

async fn house_on(store: Store) -> House {
    let clock = Clock::frozen(START);
    let sts = Sts::new(StsDeps { store, clock: clock.clone() }).await.unwrap();
    let front_door =
        FrontDoor::builder(clock.clone()).add(lamplighter_service_sts::service(sts.clone())).build();
    House { sts, front_door, clock }
}

async fn house() -> House {
    house_on(Store::in_memory().unwrap()).await
}

fn root() -> Principal {
    Principal::Root { account: AccountId::DEFAULT }
}

fn session() -> Principal {
    Principal::AssumedRole { account: AccountId::DEFAULT, role: "worker".into(), session: "s".into() }
}

impl House {
    async fn ask<Res: serde::de::DeserializeOwned>(
        &self,
        who: Principal,
        operation: &str,
        request: &impl Serialize,
    ) -> Result<Res, ApiError> {
        let call = self.front_door.call(who, AccountId::DEFAULT, Region::default());
        call.service("sts").invoke(operation, request).await
    }

    async fn assume(&self, who: Principal, request: AssumeRole) -> Result<Assumed, ApiError> {
        self.ask(who, "AssumeRole", &request).await
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<i32>,
    external_id: Option<String>,
    policy: Option<String>,
}

impl AssumeRole {
    fn of(arn: &str) -> Self {
        AssumeRole { role_arn: arn.into(), role_session_name: "hello".into(), ..Default::default() }
    }

    fn lasting(seconds: i32) -> Self {
        AssumeRole { duration_seconds: Some(seconds), ..Self::of(ROLE) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    credentials: Keys,
    assumed_role_user: AssumedUser,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedUser {
    assumed_role_id: String,
    arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: wire::Time,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Session {
    credentials: Keys,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    user_id: String,
    account: String,
    arn: String,
}

#[derive(Serialize)]
struct Empty {}

#[tokio::test]
async fn a_role_session_is_known_to_the_gateway_until_it_expires() {
    let house = house().await;
    let assumed = house.assume(root(), AssumeRole::of(ROLE)).await.unwrap();
    assert_eq!(assumed.assumed_role_user.arn, "arn:aws:sts::000000000042:assumed-role/worker/hello");
    let keys = assumed.credentials;
    assert_eq!(keys.expiration.0, Timestamp(START.0 + 3_600_000));
    let known = house.sts.look_up(&keys.access_key_id, Some(&keys.session_token), house.clock.now()).unwrap();
    assert_eq!(known.secret, keys.secret_access_key);
    assert_eq!(known.account.to_string(), "000000000042");
    assert_eq!(known.principal.arn(), assumed.assumed_role_user.arn);

    let identity: Identity = house.ask(known.principal, "GetCallerIdentity", &Empty {}).await.unwrap();
    assert_eq!(identity.arn, assumed.assumed_role_user.arn);
    assert_eq!(identity.user_id, assumed.assumed_role_user.assumed_role_id);

    house.clock.advance(Duration::from_secs(3_600));
    let late = house.sts.look_up(&keys.access_key_id, Some(&keys.session_token), house.clock.now());
    let error = late.unwrap_err();
    assert_eq!(
        (error.code.as_ref(), error.message.as_str()),
        ("ExpiredToken", "The security token included in the request is expired")
    );
}

#[tokio::test]
async fn sessions_survive_a_restart_and_no_other_server_knows_them() {
    let store = Store::in_memory().unwrap();
    let keys = house_on(store.clone()).await.assume(root(), AssumeRole::of(ROLE)).await.unwrap().credentials;
    let again = house_on(store).await;
    assert!(again.sts.look_up(&keys.access_key_id, Some(&keys.session_token), START).is_ok());
    let other = house().await;
    let error = other.sts.look_up(&keys.access_key_id, Some(&keys.session_token), START).unwrap_err();
    assert_eq!(error.code, "InvalidClientTokenId");
}

#[tokio::test]
async fn the_well_known_keys_are_root_of_their_account() {
    let house = house().await;
    for (id, account) in [("test", "000000000000"), ("123456789012", "123456789012")] {
        let known = house.sts.look_up(id, None, START).unwrap();
        assert_eq!(known.secret, "test");
        assert_eq!(known.principal.arn(), format!("arn:aws:iam::{account}:root"));
    }
    for (id, token) in [("AKIDEXAMPLE", None), ("test", Some("token")), ("ASIAABCDEFGHIJKLMNOP", None)] {
        assert_eq!(house.sts.look_up(id, token, START).unwrap_err().code, "InvalidClientTokenId", "{id}");
    }
}

#[tokio::test]
async fn root_is_who_it_says() {
    let identity: Identity = house().await.ask(root(), "GetCallerIdentity", &Empty {}).await.unwrap();
    assert_eq!(identity.account, "000000000000");
    assert_eq!(identity.user_id, "000000000000");
    assert_eq!(identity.arn, "arn:aws:iam::000000000000:root");
}

#[tokio::test]
async fn durations_and_names_are_checked() {
    let house = house().await;
    let code = |result: Result<Assumed, ApiError>| result.err().map(|error| error.code.into_owned());
    assert_eq!(code(house.assume(root(), AssumeRole::lasting(43_200)).await), None);
    assert_eq!(code(house.assume(root(), AssumeRole::lasting(900)).await), None);
    for seconds in [899, 43_201] {
        let error = code(house.assume(root(), AssumeRole::lasting(seconds)).await);
        assert_eq!(error.as_deref(), Some("ValidationError"), "{seconds}");
    }
    // A session that assumes a role gets an hour at most.
    assert_eq!(code(house.assume(session(), AssumeRole::lasting(3_600)).await), None);
    let error = house.assume(session(), AssumeRole::lasting(3_601)).await.err().unwrap();
    assert!(error.message.contains("role chaining"), "{error}");

    let user = AssumeRole::of("arn:aws:iam::000000000042:user/ada");
    assert_eq!(house.assume(root(), user).await.err().unwrap().message, "Request ARN is invalid");
    let bad_name = AssumeRole { role_session_name: "with space".into(), ..AssumeRole::of(ROLE) };
    assert_eq!(code(house.assume(root(), bad_name).await).as_deref(), Some("ValidationError"));
}

#[tokio::test]
async fn what_would_not_be_honoured_is_refused_by_name() {
    let house = house().await;
    let with_id = AssumeRole { external_id: Some("partner".into()), ..AssumeRole::of(ROLE) };
    assert!(house.assume(root(), with_id).await.is_ok());
    let with_policy = AssumeRole { policy: Some("{}".into()), ..AssumeRole::of(ROLE) };
    let error = house.assume(root(), with_policy).await.err().unwrap();
    assert!(error.message.contains("Policy"), "{error}");
}

#[tokio::test]
async fn a_session_of_root_lasts_an_hour_and_makes_no_other() {
    let house = house().await;
    let keys = house.ask::<Session>(root(), "GetSessionToken", &Empty {}).await.unwrap().credentials;
    assert_eq!(keys.expiration.0, Timestamp(START.0 + 3_600_000));
    let known = house.sts.look_up(&keys.access_key_id, Some(&keys.session_token), START).unwrap();
    assert_eq!(known.principal, root());
    let error = house.ask::<Session>(session(), "GetSessionToken", &Empty {}).await.err().unwrap();
    assert_eq!(error.code, "AccessDenied");
    assert_eq!(error.http_status(), 403);
}
