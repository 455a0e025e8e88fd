//! Aliases in a store in memory.

use base::{AccountId, Clock, Region, Timestamp};
use store::Store;

use super::*;
use crate::aspects::Aspect;
use crate::function::Architecture;
use crate::functions::{Creation, Tags};
use crate::package::Digest;
use crate::record::{CodeRecord, Settings};

fn target() -> Target {
    let (account, region) = (AccountId::DEFAULT, Region::default());
    Target { account, region, name: "hello".to_owned(), qualifier: None }
}

/// A function with this many versions, the last one with another role, the fifth with a dead-letter queue.
async fn functions(versions: u32) -> Functions {
    let functions = Functions::new(Store::in_memory().unwrap(), Clock::frozen(Timestamp(1_000)), 1_000_000);
    let creation = Creation {
        settings: Settings::defaults(Architecture::X86_64),
        code: CodeRecord { digest: Digest::of(b"one"), size_bytes: 1, unpacked_bytes: 1 },
        tags: Tags::new(),
        publish: false,
        signing: None,
    };
    functions.create(&target(), creation).await.unwrap();
    for number in 1..=versions {
        let change = move |record: &mut FunctionRecord| {
            record.settings.timeout_s = number;
            record.settings.role = if number == versions { "other" } else { "role" }.to_owned();
            record.settings.dead_letter_arn = (number == 5).then(|| "queue".to_owned());
            Ok(())
        };
        functions.change_and_publish(&target(), None, true, change).await.unwrap();
    }
    functions
}

fn to(number: u64) -> Version {
    Version::Number(number)
}

fn shared(number: u64, weight: f64) -> AliasChange {
    AliasChange { additional: Some(Some(Share { number, weight })), ..AliasChange::default() }
}

#[tokio::test]
async fn an_alias_is_created_changed_and_deleted() {
    let functions = functions(3).await;
    let described = AliasChange { description: Some("d".to_owned()), ..AliasChange::default() };
    let created = functions.create_alias(&target(), "live", to(1), described).await.unwrap();
    assert_eq!(functions.alias(&target(), "live").unwrap().unwrap(), created);
    assert_eq!(functions.version(&target().at("live")).unwrap().0, to(1));
    let again = functions.create_alias(&target(), "live", to(2), AliasChange::default()).await.unwrap_err();
    assert_eq!(
        again.to_string(),
        "Alias already exists: arn:aws:lambda:us-east-1:000000000000:function:hello:live"
    );

    let stale = functions.update_alias(&target(), "live", Some("stale".to_owned()), shared(2, 0.1)).await;
    assert!(matches!(stale, Err(LambdaError::Precondition)));
    let revision_id = Some(created.revision_id.clone());
    let updated = functions.update_alias(&target(), "live", revision_id, shared(2, 0.1)).await.unwrap();
    assert_eq!((updated.version, updated.description.as_str()), (to(1), "d"));
    assert_ne!(updated.revision_id, created.revision_id);
    let single = AliasChange { version: Some(to(2)), additional: Some(None), ..AliasChange::default() };
    let updated = functions.update_alias(&target(), "live", None, single).await.unwrap();
    assert_eq!((updated.version, updated.additional), (to(2), None));

    functions.delete_alias(&target(), "live").await.unwrap();
    functions.delete_alias(&target(), "live").await.unwrap();
    assert!(functions.version(&target().at("live")).is_err());
    let gone = functions.update_alias(&target(), "live", None, AliasChange::default()).await.unwrap_err();
    assert!(gone.to_string().starts_with("Alias not found: arn:"));
}

#[tokio::test]
async fn an_alias_leads_only_to_what_is_there_and_alike() {
    let functions = functions(6).await;
    let refusal = async |version: Version, change: AliasChange| {
        functions.create_alias(&target(), "live", version, change).await.unwrap_err().to_string()
    };
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:hello";
    assert_eq!(refusal(to(9), AliasChange::default()).await, format!("Function not found: {arn}:9"));
    assert_eq!(refusal(to(1), shared(9, 0.5)).await, format!("Function not found: {arn}:9"));
    assert!(refusal(to(1), shared(1, 0.5)).await.starts_with("Invalid function version 1. "));
    assert!(
        refusal(Version::Latest, shared(1, 0.5)).await.starts_with("$LATEST is not supported for an alias")
    );
    assert!(refusal(to(1), shared(6, 0.5)).await.contains("same execution role"));
    assert!(refusal(to(1), shared(5, 0.5)).await.contains("same dead-letter queue configuration"));
    functions.create_alias(&target(), "live", to(1), shared(2, 0.5)).await.unwrap();
    functions.create_alias(&target(), "newest", Version::Latest, AliasChange::default()).await.unwrap();
}

#[tokio::test]
async fn a_version_that_aliases_lead_to_stays() {
    let functions = functions(3).await;
    functions.create_alias(&target(), "a", to(1), shared(2, 0.5)).await.unwrap();
    functions.create_alias(&target(), "b", to(2), AliasChange::default()).await.unwrap();
    for (number, aliases) in [(1, "a"), (2, "a, b")] {
        let refused = functions.delete_version(&target(), number).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("Unable to delete version because the following aliases reference it: [{aliases}]")
        );
    }
    assert!(functions.delete_version(&target(), 3).await.unwrap().is_some());
    assert!(functions.delete_version(&target(), 3).await.unwrap().is_none());
}

#[tokio::test]
async fn aliases_are_listed_by_name_and_by_version() {
    let functions = functions(3).await;
    for (name, version) in [("c", 1), ("a", 1), ("b", 2)] {
        functions.create_alias(&target(), name, to(version), AliasChange::default()).await.unwrap();
    }
    let names = |version: Option<u64>, after: Option<&str>, limit: usize| {
        let (aliases, more) = functions.aliases(&target(), version.map(to), after, limit).unwrap();
        (aliases.into_iter().map(|(name, _)| name).collect::<String>(), more)
    };
    assert_eq!(names(None, None, 3), ("abc".to_owned(), false));
    assert_eq!(names(None, None, 2), ("ab".to_owned(), true));
    assert_eq!(names(None, Some("b"), 2), ("c".to_owned(), false));
    assert_eq!(names(Some(1), None, 1), ("a".to_owned(), true));
    assert_eq!(names(Some(1), Some("a"), 1), ("c".to_owned(), false));
    assert_eq!(names(Some(9), None, 1), (String::new(), false));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note(u32);

impl Aspect for Note {
    const KIND: &'static str = "note";
}

#[tokio::test]
async fn aspects_go_with_their_version_or_alias() {
    let functions = functions(2).await;
    functions.create_alias(&target(), "live", to(1), AliasChange::default()).await.unwrap();
    for at in ["", "1", "2", "live"] {
        functions.change_aspect(&target(), at, |_: Option<Note>| Ok(Some(Note(7)))).await.unwrap();
    }
    functions.delete_alias(&target(), "live").await.unwrap();
    functions.delete_version(&target(), 1).await.unwrap();
    let left = functions.aspects::<Note>(&target(), None, 9).unwrap();
    assert_eq!(left.into_iter().map(|(at, _)| at).collect::<Vec<_>>(), ["", "2"]);
}
