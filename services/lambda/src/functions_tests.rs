//! Functions in a store in memory.

use std::time::Duration;

use base::{AccountId, Region};

use super::*;
use crate::function::Architecture;

const MAX_CODE_BYTES: u64 = 1000;

fn functions() -> Functions {
    Functions::new(Store::in_memory().unwrap(), Clock::frozen(Timestamp(1_000)), MAX_CODE_BYTES)
}

fn target(name: &str) -> Target {
    Target { account: AccountId::DEFAULT, region: Region::default(), name: name.to_owned(), qualifier: None }
}

fn space() -> Space {
    Space::new(AccountId::DEFAULT, &Region::default())
}

fn code(content: &str, size_bytes: u64) -> CodeRecord {
    CodeRecord { digest: Digest::of(content.as_bytes()), size_bytes, unpacked_bytes: size_bytes }
}

async fn create(functions: &Functions, name: &str) -> Result<FunctionRecord, LambdaError> {
    create_with(functions, name, Settings::defaults(Architecture::X86_64), Tags::new()).await
}

async fn create_with(
    functions: &Functions,
    name: &str,
    settings: Settings,
    tags: Tags,
) -> Result<FunctionRecord, LambdaError> {
    let creation = Creation { settings, code: code("one", 100), tags, publish: false, signing: None };
    Ok(functions.create(&target(name), creation).await?.latest)
}

fn tags(keys: impl IntoIterator<Item = String>) -> Tags {
    keys.into_iter().map(|key| (key, "x".to_owned())).collect()
}

#[tokio::test]
async fn what_is_created_is_read_and_only_once_created() {
    let functions = functions();
    let created = create(&functions, "hello").await.unwrap();
    assert_eq!(functions.get(&target("hello")).unwrap(), created);
    assert_eq!(created.modified_at, Timestamp(1_000));
    let again = create(&functions, "hello").await.unwrap_err();
    assert!(matches!(&again, LambdaError::Conflict(message) if message == "Function already exist: hello"));
    assert_eq!(functions.get(&target("hello")).unwrap(), created);
    let elsewhere = Target { region: "eu-west-1".parse().unwrap(), ..target("hello") };
    assert!(matches!(functions.get(&elsewhere), Err(LambdaError::NotFound(_))));
}

#[tokio::test]
async fn every_change_has_a_new_generation_and_revision() {
    let functions = functions();
    let first = create(&functions, "hello").await.unwrap();
    let mut generations = vec![first.generation];
    let mut revisions = vec![first.revision_id.clone()];
    for _ in 0..3 {
        let record = functions.change(&target("hello"), revisions.last().cloned(), |_| Ok(())).await.unwrap();
        generations.push(record.generation);
        revisions.push(record.revision_id);
    }
    functions.delete(&target("hello")).await.unwrap();
    generations.push(create(&functions, "hello").await.unwrap().generation);
    assert!(generations.is_sorted_by(|a, b| a < b), "{generations:?}");
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 4);
}

#[tokio::test]
async fn a_change_that_is_refused_changes_nothing() {
    let functions = functions();
    let record = create(&functions, "hello").await.unwrap();
    let usage = functions.usage(&space()).unwrap();
    let grow = |size: u64| {
        move |record: &mut FunctionRecord| {
            record.code = code("two", size);
            Ok(())
        }
    };
    let stale = functions.change(&target("hello"), Some("stale".to_owned()), grow(1)).await.unwrap_err();
    assert!(matches!(stale, LambdaError::Precondition));
    let large = functions.change(&target("hello"), None, grow(MAX_CODE_BYTES + 1)).await.unwrap_err();
    assert!(matches!(large, LambdaError::CodeStorage));
    let own = functions
        .change(&target("hello"), None, |record| {
            record.settings.timeout_s = 900;
            Err(LambdaError::InvalidParameter("no".to_owned()))
        })
        .await;
    assert!(own.is_err());
    assert!(matches!(functions.change(&target("nope"), None, grow(1)).await, Err(LambdaError::NotFound(_))));
    assert_eq!(functions.get(&target("hello")).unwrap(), record);
    assert_eq!(functions.usage(&space()).unwrap(), usage);
}

#[tokio::test]
async fn usage_and_packages_follow_the_functions() {
    let functions = functions();
    let count = |functions: &Functions| {
        let usage = functions.usage(&space()).unwrap();
        (usage.functions, usage.code_bytes, functions.used_packages().unwrap().len())
    };
    create(&functions, "a").await.unwrap();
    create(&functions, "b").await.unwrap();
    assert_eq!(count(&functions), (2, 200, 1));
    let change = |record: &mut FunctionRecord| {
        record.code = code("two", 50);
        Ok(())
    };
    functions.change(&target("a"), None, change).await.unwrap();
    assert_eq!(count(&functions), (2, 150, 2));
    functions.delete(&target("b")).await.unwrap();
    assert_eq!(count(&functions), (1, 50, 1));
    assert!(!functions.uses(&Digest::of(b"one")).unwrap());
    assert!(functions.uses(&Digest::of(b"two")).unwrap());
    functions.delete(&target("a")).await.unwrap();
    assert_eq!(count(&functions), (0, 0, 0));
    assert!(matches!(functions.delete(&target("a")).await, Err(LambdaError::NotFound(_))));
}

#[tokio::test]
async fn a_listing_is_sorted_and_comes_in_pages() {
    let functions = functions();
    for name in ["b", "a-b", "a", "B", "ab"] {
        create(&functions, name).await.unwrap();
    }
    let (mut names, mut after, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = functions.list(&space(), after.as_deref(), 2).unwrap();
        names.extend(page.functions.into_iter().map(|(name, _)| name));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["B", "a", "a-b", "ab", "b"]);
    assert_eq!(pages, 3);
    // A page goes on where the last one ended, even when that function is gone.
    functions.delete(&target("a")).await.unwrap();
    let page = functions.list(&space(), Some("a"), 10).unwrap();
    assert_eq!(page.functions[0].0, "a-b");
    assert_eq!(functions.list(&space(), None, 4).unwrap().next, None);
}

#[tokio::test]
async fn tags_are_kept_up_to_fifty_and_go_with_the_function() {
    let functions = functions();
    create(&functions, "hello").await.unwrap();
    create(&functions, "hello2").await.unwrap();
    functions.tag(&target("hello"), tags((0..50).map(|n| n.to_string()))).await.unwrap();
    let too_many = functions.tag(&target("hello"), tags(["one more".to_owned()])).await.unwrap_err();
    assert_eq!(too_many.to_string(), "Number of tags exceeds function tag limit.");
    functions.tag(&target("hello"), Tags::from([("7".to_owned(), "y".to_owned())])).await.unwrap();
    let stored = functions.tags(&target("hello")).unwrap();
    assert_eq!((stored.len(), stored["7"].as_str(), stored["8"].as_str()), (50, "y", "x"));
    assert!(functions.tags(&target("hello2")).unwrap().is_empty());

    functions.untag(&target("hello"), vec!["7".to_owned(), "not there".to_owned()]).await.unwrap();
    assert_eq!(functions.tags(&target("hello")).unwrap().len(), 49);
    assert!(functions.tag(&target("nope"), Tags::new()).await.is_err());
    assert!(functions.untag(&target("nope"), vec![]).await.is_err());

    functions.delete(&target("hello")).await.unwrap();
    create(&functions, "hello").await.unwrap();
    assert!(functions.tags(&target("hello")).unwrap().is_empty());
}

#[tokio::test]
async fn the_largest_function_fits_the_store() {
    let functions = functions();
    let mut settings = Settings::defaults(Architecture::X86_64);
    settings.environment = Some(BTreeMap::from([("A".to_owned(), "v".repeat(4088))]));
    settings.description = "\u{1F680}".repeat(256);
    settings.role = "r".repeat(10_000);
    let tags =
        (0..50).map(|n| (format!("{n}{}", "\u{1F680}".repeat(126)), "\u{1F680}".repeat(256))).collect();
    let created = create_with(&functions, "big", settings, tags).await.unwrap();
    assert_eq!(functions.get(&target("big")).unwrap(), created);
    assert_eq!(functions.tags(&target("big")).unwrap().len(), 50);
}

#[tokio::test]
async fn concurrent_changes_are_all_made() {
    let functions = functions();
    create(&functions, "hello").await.unwrap();
    let changes: Vec<_> = (0..20)
        .map(|_| {
            let functions = functions.clone();
            tokio::spawn(async move {
                let change = |record: &mut FunctionRecord| {
                    record.settings.timeout_s += 1;
                    Ok(())
                };
                functions.change(&target("hello"), None, change).await.unwrap().generation
            })
        })
        .collect();
    let mut generations = Vec::new();
    for change in changes {
        generations.push(tokio::time::timeout(Duration::from_secs(60), change).await.unwrap().unwrap());
    }
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), 20);
    assert_eq!(functions.get(&target("hello")).unwrap().settings.timeout_s, 23);
}
