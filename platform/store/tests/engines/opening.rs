//! Opening: what was committed is there again, one server at a time, and nothing that is not ours.

use std::collections::BTreeMap;
use std::fs;

use lamplighter_store::{EngineKind, Range, Store, StoreConfig, StoreError};

use crate::{Lab, get, put, suite};

suite! {
    everything_is_there_after_reopening,
    much_data_survives_clean_stops,
    a_second_server_is_refused,
    a_directory_that_cannot_be_used_is_named,
    a_newer_format_and_another_engine_are_refused,
    an_unfinished_creation_is_no_obstacle,
    data_without_a_format_is_not_touched,
}

async fn everything_is_there_after_reopening(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    for round in 0..5 {
        let store = lab.open();
        assert_eq!(get(&store, "round"), (round > 0).then(|| (round - 1).to_string()));
        put(&store, "round", &round.to_string()).await;
        put(&store, &format!("round {round}"), "").await;
        if round == 3 {
            store.transact(|tx| tx.delete(b"round 1")).await.unwrap();
        }
    }
    let store = lab.open();
    let there = [0, 1, 2, 3, 4].map(|round| get(&store, &format!("round {round}")).is_some());
    assert_eq!(there, [true, false, true, true, true]);
}

/// Enough data for tables and journals to matter: written, overwritten and removed between clean stops.
async fn much_data_survives_clean_stops(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for round in 0..6_u8 {
        let store = lab.open();
        for part in 0..4_u16 {
            let mut writes = Vec::new();
            for n in 0..40 {
                let key = format!("{:03}", (part * 40 + n) * (u16::from(round) + 1) % 211).into_bytes();
                let removed = (n + u16::from(round)) % 3 == 0;
                let value = (!removed).then(|| vec![round ^ n as u8; 8 * 1024 + usize::from(n)]);
                match value.clone() {
                    Some(value) => model.insert(key.clone(), value),
                    None => model.remove(&key),
                };
                writes.push((key, value));
            }
            let transaction = store.transact(move |tx| {
                writes.clone().into_iter().try_for_each(|(key, value)| match value {
                    Some(value) => tx.put(key, value),
                    None => tx.delete(&key),
                })
            });
            transaction.await.unwrap();
        }
        drop(store);
        if lab.kind == EngineKind::Fjall {
            // All of it is in tables, so that the next start has nothing to replay.
            let files =
                fs::read_dir(lab.path().join("data/entries.fjall")).unwrap().map(|entry| entry.unwrap());
            let journals = files.filter(|file| file.path().extension().is_some_and(|end| end == "jnl"));
            assert_eq!(journals.map(|file| file.metadata().unwrap().len()).collect::<Vec<_>>(), [0]);
        }
        let found = lab.open().range(Range::between("0", "")).unwrap();
        let found: Vec<_> = found.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        let expected: Vec<_> = model.clone().into_iter().collect();
        assert!(found == expected, "round {round}: {} entries, {} expected", found.len(), expected.len());
    }
}

async fn a_second_server_is_refused(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    let store = lab.open();
    let data = lab.path().join("data");
    let second = || Store::open(lab.config(data.clone()));
    match second().err() {
        Some(StoreError::InUse { dir }) => assert_eq!(dir, data),
        other => panic!("{other:?}"),
    }
    // Whoever still reads still uses the directory.
    let snapshot = store.snapshot().unwrap();
    drop(store);
    assert!(matches!(second().err(), Some(StoreError::InUse { .. })));
    drop(snapshot);
    second().unwrap();
}

async fn a_directory_that_cannot_be_used_is_named(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    let file = lab.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below")] {
        match Store::open(lab.config(dir.clone())).err() {
            Some(error @ StoreError::Unreadable { .. }) => {
                assert!(error.to_string().contains(dir.to_str().unwrap()))
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn a_newer_format_and_another_engine_are_refused(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    let format = lab.path().join("data/format");
    drop(lab.open());
    let open = || Store::open(lab.config(lab.path().join("data")));
    let ours = fs::read_to_string(&format).unwrap();

    fs::write(&format, "lamplighter-store 2 fjall and more\n").unwrap();
    assert!(matches!(open().err(), Some(StoreError::NewerFormat { found: 2, supported: 1, .. })));
    for damaged in
        ["", "lamplighter-store", "lamplighter-store one fjall", "other 1 fjall", "lamplighter-store 1"]
    {
        fs::write(&format, damaged).unwrap();
        assert!(
            matches!(open().err(), Some(StoreError::DamagedFormat { path }) if path == format),
            "{damaged}"
        );
    }

    fs::write(&format, ours).unwrap();
    let other = if lab.kind == EngineKind::Fjall { EngineKind::Sqlite } else { EngineKind::Fjall };
    let error = Store::open(StoreConfig { engine: other, dir: lab.path().join("data") }).err().unwrap();
    assert!(matches!(&error, StoreError::OtherEngine { found, .. } if found == lab.kind.name()), "{error}");
    open().unwrap();
}

/// A server that was killed in its very first moments left directories and files, and no data.
async fn an_unfinished_creation_is_no_obstacle(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    let data = lab.path().join("data");
    let entries = data.join("entries.fjall");
    fs::create_dir_all(entries.join("keyspaces")).unwrap();
    fs::write(entries.join("lock"), "").unwrap();
    fs::write(entries.join("0.jnl"), "").unwrap();
    fs::write(data.join("format.new"), "lamp").unwrap();
    fs::write(data.join("entries.sqlite"), "").unwrap();
    let store = lab.open();
    put(&store, "a", "1").await;
    drop(store);
    assert_eq!(get(&lab.open(), "a").unwrap(), "1");
}

async fn data_without_a_format_is_not_touched(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    let store = lab.open();
    put(&store, "a", "1").await;
    drop(store);
    let (format, kept) = (lab.path().join("data/format"), lab.path().join("format"));
    fs::rename(&format, &kept).unwrap();
    let error = Store::open(lab.config(lab.path().join("data"))).err().unwrap();
    assert!(matches!(&error, StoreError::DamagedFormat { path } if *path == format), "{error}");
    fs::rename(&kept, &format).unwrap();
    assert_eq!(get(&lab.open(), "a").unwrap(), "1");
}
