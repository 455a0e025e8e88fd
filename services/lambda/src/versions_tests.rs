//! Versions in a store in memory.

use base::{AccountId, Clock, Region, Timestamp};
use store::Store;

use super::*;
use crate::function::Architecture;
use crate::functions::{Creation, Tags};
use crate::package::Digest;
use crate::record::{CodeRecord, Settings};

const MAX_CODE_BYTES: u64 = 1000;

fn functions() -> Functions {
    Functions::new(Store::in_memory().unwrap(), Clock::frozen(Timestamp(1_000)), MAX_CODE_BYTES)
}

fn target(name: &str) -> Target {
    Target { account: AccountId::DEFAULT, region: Region::default(), name: name.to_owned(), qualifier: None }
}

fn code(content: &str, size_bytes: u64) -> CodeRecord {
    CodeRecord { digest: Digest::of(content.as_bytes()), size_bytes, unpacked_bytes: size_bytes }
}

async fn create(functions: &Functions, name: &str) {
    let creation = Creation {
        settings: Settings::defaults(Architecture::X86_64),
        code: code("one", 100),
        tags: Tags::new(),
        publish: false,
        signing: None,
    };
    functions.create(&target(name), creation).await.unwrap();
}

async fn new_code(functions: &Functions, content: &'static str, size_bytes: u64) {
    let change = move |record: &mut FunctionRecord| {
        record.code = code(content, size_bytes);
        Ok(())
    };
    functions.change(&target("hello"), None, change).await.unwrap();
}

async fn publish(functions: &Functions) -> Published {
    functions.publish(&target("hello"), PublishRequest::default()).await.unwrap()
}

fn code_bytes(functions: &Functions) -> u64 {
    functions.usage(&space_of(&target("hello"))).unwrap().code_bytes
}

#[tokio::test]
async fn a_version_keeps_what_it_was() {
    let functions = functions();
    create(&functions, "hello").await;
    let described = PublishRequest { description: Some("first".to_owned()), ..PublishRequest::default() };
    let first = functions.publish(&target("hello"), described).await.unwrap();
    assert_eq!((first.number, first.is_new), (1, true));
    new_code(&functions, "two", 50).await;
    let (version, record) = functions.version(&target("hello").at(1)).unwrap();
    assert_eq!((version, &record), (Version::Number(1), &first.record));
    assert_eq!(record.settings.description, "first");
    assert_eq!(record.code, code("one", 100));
    let latest = functions.get(&target("hello")).unwrap();
    assert_eq!(latest.settings.description, "");
    assert!(latest.generation > record.generation && latest.revision_id != record.revision_id);
}

#[tokio::test]
async fn nothing_new_is_published_when_nothing_changed() {
    let functions = functions();
    create(&functions, "hello").await;
    assert_eq!(publish(&functions).await.number, 1);
    let described = PublishRequest { description: Some("again".to_owned()), ..PublishRequest::default() };
    let again = functions.publish(&target("hello"), described).await.unwrap();
    assert_eq!((again.number, again.is_new, again.record.settings.description.as_str()), (1, false, ""));
    // There and back is no change.
    new_code(&functions, "two", 50).await;
    new_code(&functions, "one", 100).await;
    assert_eq!(publish(&functions).await.number, 1);
    functions.delete_version(&target("hello"), 1).await.unwrap();
    assert_eq!(publish(&functions).await.number, 2);
}

#[tokio::test]
async fn numbers_are_never_given_twice() {
    let functions = functions();
    create(&functions, "hello").await;
    for (number, content) in [(1, "a"), (2, "b"), (3, "c")] {
        new_code(&functions, content, 1).await;
        assert_eq!(publish(&functions).await.number, number);
    }
    let old = functions.delete_version(&target("hello"), 3).await.unwrap().unwrap();
    assert_eq!(publish(&functions).await.number, 4);
    let gone = functions.delete(&target("hello")).await.unwrap();
    assert_eq!(gone.versions.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 4]);
    create(&functions, "hello").await;
    let next = publish(&functions).await;
    assert_eq!(next.number, 5);
    assert!(next.record.generation > old.generation);
    assert!(functions.version(&target("hello").at(1)).is_err());
}

#[tokio::test]
async fn a_function_goes_with_any_number_of_versions() {
    let functions = functions();
    create(&functions, "hello").await;
    new_code(&functions, "empty", 0).await;
    let count = REMOVED_AT_ONCE as u64 * 2 + 1;
    for number in 1..=count {
        let change = move |record: &mut FunctionRecord| {
            record.settings.timeout_s = u32::try_from(number).unwrap();
            Ok(())
        };
        functions.change_and_publish(&target("hello"), None, true, change).await.unwrap();
    }
    let gone = functions.delete(&target("hello")).await.unwrap();
    assert_eq!(gone.versions.len() as u64, count);
    let usage = functions.usage(&space_of(&target("hello"))).unwrap();
    assert_eq!((usage.functions, usage.code_bytes), (0, 0));
    assert!(functions.used_packages().unwrap().is_empty());
    assert!(matches!(functions.delete(&target("hello")).await, Err(LambdaError::NotFound(_))));
}

#[tokio::test]
async fn conditions_hold_or_nothing_happens() {
    let functions = functions();
    create(&functions, "hello").await;
    let latest = functions.get(&target("hello")).unwrap();
    let ask = |code_sha256: Option<String>, revision_id: Option<String>| PublishRequest {
        description: None,
        code_sha256,
        revision_id,
    };
    let stale = functions.publish(&target("hello"), ask(None, Some("stale".to_owned()))).await;
    assert!(matches!(stale, Err(LambdaError::Precondition)));
    let other = functions.publish(&target("hello"), ask(Some("abc".to_owned()), None)).await.unwrap_err();
    let current = latest.code.digest.base64();
    assert_eq!(
        other.to_string(),
        format!(
            "CodeSHA256 (abc) is different from current CodeSHA256 in $LATEST ({current}). Please try again with the \
             CodeSHA256 in $LATEST."
        )
    );
    assert!(functions.version(&target("hello").at(1)).is_err());
    let good = ask(Some(current), Some(latest.revision_id));
    assert_eq!(functions.publish(&target("hello"), good).await.unwrap().number, 1);
    let nope = functions.publish(&target("nope"), PublishRequest::default()).await.unwrap_err();
    assert!(nope.to_string().ends_with("function:nope"));
}

#[tokio::test]
async fn every_version_counts_and_keeps_its_package() {
    let functions = functions();
    create(&functions, "hello").await;
    publish(&functions).await;
    assert_eq!(code_bytes(&functions), 200);
    new_code(&functions, "two", 50).await;
    assert_eq!(code_bytes(&functions), 150);
    assert!(functions.uses(&Digest::of(b"one")).unwrap() && functions.uses(&Digest::of(b"two")).unwrap());
    functions.delete_version(&target("hello"), 1).await.unwrap();
    assert_eq!(code_bytes(&functions), 50);
    assert!(!functions.uses(&Digest::of(b"one")).unwrap());
    publish(&functions).await;
    functions.delete(&target("hello")).await.unwrap();
    assert_eq!(code_bytes(&functions), 0);
    assert!(functions.used_packages().unwrap().is_empty());
}

#[tokio::test]
async fn the_limit_of_code_counts_versions() {
    let functions = functions();
    create(&functions, "hello").await;
    new_code(&functions, "half", MAX_CODE_BYTES / 2).await;
    assert_eq!(publish(&functions).await.number, 1);
    assert_eq!(code_bytes(&functions), MAX_CODE_BYTES);
    let rename = |record: &mut FunctionRecord| {
        record.settings.timeout_s = 9;
        Ok(())
    };
    functions.change(&target("hello"), None, rename).await.unwrap();
    let over = functions.publish(&target("hello"), PublishRequest::default()).await;
    assert!(matches!(over, Err(LambdaError::CodeStorage)));
    let over = functions.change_and_publish(&target("hello"), None, true, |_| Ok(())).await;
    assert!(matches!(over, Err(LambdaError::CodeStorage)));
    assert_eq!(code_bytes(&functions), MAX_CODE_BYTES);
    assert!(functions.version(&target("hello").at(2)).is_err());
}

#[tokio::test]
async fn listings_are_ordered_and_come_in_pages() {
    let functions = functions();
    for name in ["b", "hello", "z"] {
        create(&functions, name).await;
    }
    for content in ["1", "2", "3"] {
        new_code(&functions, content, 1).await;
        publish(&functions).await;
    }
    let names = |page: &VersionPage| -> Vec<String> {
        page.versions.iter().map(|(name, version, _)| format!("{name}:{version}")).collect()
    };
    for limit in 1..9 {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = functions.versions(&target("hello"), after, limit).unwrap();
            assert!(page.versions.len() <= limit);
            all.extend(names(&page));
            after = page.versions.last().map(|(_, version, _)| *version);
            if !page.more {
                break;
            }
        }
        assert_eq!(all, ["hello:$LATEST", "hello:1", "hello:2", "hello:3"], "{limit}");
        let (mut all, mut after) = (Vec::new(), None::<(String, Version)>);
        loop {
            let start = after.as_ref().map(|(name, version)| (name.as_str(), *version));
            let page = functions.all_versions(&space_of(&target("b")), start, limit).unwrap();
            all.extend(names(&page));
            after = page.versions.last().map(|(name, version, _)| (name.clone(), *version));
            if !page.more {
                break;
            }
        }
        let expected = ["b:$LATEST", "hello:$LATEST", "hello:1", "hello:2", "hello:3", "z:$LATEST"];
        assert_eq!(all, expected, "{limit}");
    }
    assert!(functions.versions(&target("nope"), None, 9).is_err());
}

#[tokio::test]
async fn publications_that_race_with_changes_each_have_one_state() {
    let functions = functions();
    create(&functions, "hello").await;
    new_code(&functions, "small", 1).await;
    let tasks: Vec<_> = (0..20u32)
        .map(|round| {
            let functions = functions.clone();
            tokio::spawn(async move {
                let change = move |record: &mut FunctionRecord| {
                    record.settings.timeout_s = 100 + round;
                    record.settings.memory_mib = 100 + round;
                    Ok(())
                };
                functions.change_and_publish(&target("hello"), None, true, change).await.unwrap()
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        let written = task.await.unwrap();
        let published = written.published.unwrap();
        let settings = &published.record.settings;
        assert_eq!(settings.timeout_s, settings.memory_mib);
        assert_eq!(settings, &written.latest.settings);
        numbers.push(published.number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}
