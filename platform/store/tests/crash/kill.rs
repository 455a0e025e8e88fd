//! Kill -9 at random instants: what was acknowledged is there, what was not is there as a whole or not at all.
//!
//! Each writer writes its items 1, 2, 3 ... in one transaction each: the item, the removal of the item five before, a
//! counter, and a version stamp. So what is in the store after a crash tells exactly how far a writer came, and any
//! half of a transaction shows. One writer stores blobs. The same data directory goes through all kills.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use lamplighter_store::{BlobId, BlobStore, EngineKind, Key, KeyReader, Range, Store, counter};

use crate::{child_command, mix, open};

const KILLS: u32 = 50;
const WRITERS: u64 = 16;
/// How many items a writer keeps.
const KEPT: u64 = 5;
/// The longest a child runs before it is killed.
const LONGEST_MS: u64 = 120;

#[test]
fn fjall_keeps_what_it_acknowledged() {
    kill_many(EngineKind::Fjall);
}

#[test]
fn sqlite_keeps_what_it_acknowledged() {
    kill_many(EngineKind::Sqlite);
}

fn item_key(round: u32, writer: u64, item: u64) -> Key {
    Key::new("crash").str("item").u64(round.into()).u64(writer).u64(item)
}

fn count_key(round: u32, writer: u64) -> Key {
    Key::new("crash").str("count").u64(round.into()).u64(writer)
}

fn stamp_key(round: u32, writer: u64) -> Key {
    Key::new("crash").str("stamp").u64(round.into()).u64(writer)
}

/// An item's value: its own, and of any length up to 6 KiB.
fn content(round: u32, writer: u64, item: u64) -> Vec<u8> {
    let seed = mix(u64::from(round) << 40 ^ writer << 32 ^ item);
    let words = 1 + seed % 64 * (seed >> 8 & 15) / 15 * 12;
    (0..words).flat_map(|n| mix(seed ^ n).to_le_bytes()).collect()
}

/// What the child does. It prints `ready`, then a line for each acknowledged item: writer, item, version stamp.
pub(crate) fn write_until_killed(engine: EngineKind, dir: &Path, round: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (store, blobs) = (open(engine, dir), BlobStore::open(dir.join("blobs")).unwrap());
        report("ready\n");
        for writer in 1..WRITERS {
            tokio::spawn(write_items(store.clone(), round, writer));
        }
        write_blobs(store, blobs, round).await;
    });
}

fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
}

async fn write_items(store: Store, round: u32, writer: u64) {
    for item in 1.. {
        let stamp = write_item(&store, round, writer, item, content(round, writer, item)).await;
        report(&format!("{writer} {item} {stamp}\n"));
    }
}

/// Writer 0 stores its items as blobs, and their names as values.
async fn write_blobs(store: Store, blobs: BlobStore, round: u32) {
    for item in 1.. {
        let id = blobs.put_bytes(Bytes::from(content(round, 0, item))).await.unwrap();
        let stamp = write_item(&store, round, 0, item, id.to_string().into_bytes()).await;
        report(&format!("0 {item} {stamp}\n"));
    }
}

async fn write_item(store: &Store, round: u32, writer: u64, item: u64, value: Vec<u8>) -> u64 {
    let transaction = store.transact(move |tx| {
        tx.put(item_key(round, writer, item).build(), value.clone())?;
        if item > KEPT {
            tx.delete(&item_key(round, writer, item - KEPT))?;
        }
        tx.add(&count_key(round, writer), 1)?;
        let stamp = tx.version_stamp()?;
        tx.put(stamp_key(round, writer).build(), stamp.to_be_bytes().to_vec())?;
        Ok(stamp)
    });
    transaction.await.unwrap()
}

/// What the parent knows of one writer.
#[derive(Default)]
struct Known {
    /// The last item acknowledged.
    acknowledged: u64,
    /// The last item found in the store after the kill.
    found: u64,
}

fn kill_many(engine: EngineKind) {
    use std::hash::{BuildHasher, RandomState};
    let given = std::env::var("STORE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(engine.name()));
    eprintln!("{} kills of {}: STORE_TEST_SEED={seed}", KILLS, engine.name());

    let dir = tempfile::tempdir().unwrap();
    let mut known: HashMap<(u32, u64), Known> = HashMap::new();
    let (mut highest_stamp, mut acknowledged) = (0, 0);
    for round in 0..KILLS {
        let before = highest_stamp;
        let random = mix(seed ^ u64::from(round));
        let run_for = Duration::from_micros(random % (LONGEST_MS * 1_000));
        // One in eight is killed while it starts.
        let while_starting = random >> 32 & 7 == 0;
        for (writer, item, stamp) in run_and_kill(engine, dir.path(), round, run_for, while_starting) {
            known.entry((round, writer)).or_default().acknowledged = item;
            // Answers come in any order within a round, but never below what an earlier round was told.
            assert!(stamp > before, "round {round}: stamp {stamp} after {before}");
            highest_stamp = highest_stamp.max(stamp);
            acknowledged += 1;
        }
        let store = open(engine, dir.path());
        (0..WRITERS).for_each(|writer| check_writer(&store, dir.path(), round, writer, &mut known));
        if round % 10 == 9 {
            check_all(&store, &known);
        }
        let stamp = store.transact_blocking(|tx| tx.version_stamp()).unwrap();
        assert!(stamp > highest_stamp, "round {round}: stamp {stamp} after {highest_stamp}");
        highest_stamp = stamp;
    }
    eprintln!("{acknowledged} transactions of {} were acknowledged", engine.name());
    assert!(acknowledged > u64::from(KILLS), "too little was written to say anything");
}

/// Runs a child for a while, kills it, and returns what it acknowledged, in order of each writer.
fn run_and_kill(
    engine: EngineKind,
    dir: &Path,
    round: u32,
    run_for: Duration,
    while_starting: bool,
) -> Vec<(u64, u64, u64)> {
    let mut child = child_command(&[], "write", engine, dir, round).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (ready, wait_ready) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        let mut is_ready = false;
        // The harness' own lines come before.
        for line in lines.map_while(Result::ok) {
            if is_ready {
                let mut numbers = line.split(' ').map(|word| word.parse::<u64>().unwrap());
                acknowledged.push((
                    numbers.next().unwrap(),
                    numbers.next().unwrap(),
                    numbers.next().unwrap(),
                ));
            } else if line.ends_with("ready") {
                is_ready = true;
                let _ = ready.send(());
            }
        }
        (is_ready, acknowledged)
    });
    if while_starting {
        std::thread::sleep(run_for / 4);
    } else {
        wait_ready.recv().expect("the child opens its store");
        std::thread::sleep(run_for);
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "the child ended by itself: {status}"
    );
    let (is_ready, acknowledged) = reader.join().unwrap();
    assert!(is_ready || while_starting);
    acknowledged
}

/// Compares what one writer left with what it acknowledged.
fn check_writer(store: &Store, dir: &Path, round: u32, writer: u64, known: &mut HashMap<(u32, u64), Known>) {
    let known = known.entry((round, writer)).or_default();
    let count = store.get(&count_key(round, writer)).unwrap().map_or(0, |value| counter(&value).unwrap());
    let count = count.cast_unsigned();
    // A writer waits for each answer, so at most one item is unanswered.
    let whole = known.acknowledged..=known.acknowledged + 1;
    assert!(whole.contains(&count), "round {round}, writer {writer}: {count} of {}", known.acknowledged);
    known.found = count;
    let first = count.saturating_sub(KEPT - 1).max(1);
    let expected: Vec<u64> = (first..=count).collect();
    let items = store.range(Key::new("crash").str("item").u64(round.into()).u64(writer).range()).unwrap();
    assert_eq!(
        items.iter().map(|(key, _)| item_of(key)).collect::<Vec<_>>(),
        expected,
        "round {round}, writer {writer}"
    );
    for (key, value) in &items {
        let expected = content(round, writer, item_of(key));
        if writer == 0 {
            let id: BlobId = std::str::from_utf8(value).unwrap().parse().unwrap();
            assert_eq!(
                std::fs::read(BlobStore::open(dir.join("blobs")).unwrap().get_path(&id)).unwrap(),
                expected
            );
        } else {
            assert_eq!(value, &expected, "round {round}, writer {writer}");
        }
    }
    let stamped = store.get(&stamp_key(round, writer)).unwrap().is_some();
    assert_eq!(stamped, count > 0, "round {round}, writer {writer}");
}

/// Looks at all rounds again: a later crash must not hurt what an earlier one left.
fn check_all(store: &Store, known: &HashMap<(u32, u64), Known>) {
    let mut items: HashMap<(u32, u64), Vec<u64>> = HashMap::new();
    for (key, _) in store.range(Key::new("crash").str("item").range()).unwrap() {
        let mut reader = KeyReader::new(&key);
        reader.str().and_then(|_| reader.str()).unwrap();
        let (round, writer) = (reader.u64().unwrap(), reader.u64().unwrap());
        items.entry((round as u32, writer)).or_default().push(reader.u64().unwrap());
    }
    for (place, known) in known {
        let first = known.found.saturating_sub(KEPT - 1).max(1);
        let found = items.remove(place).unwrap_or_default();
        assert_eq!(found, (first..=known.found).collect::<Vec<_>>(), "round and writer {place:?}");
    }
    assert!(items.is_empty(), "{items:?}");
    let snapshot = store.range(Range::prefix(&Key::new("crash").str("count"))).unwrap();
    assert!(snapshot.iter().all(|(_, value)| counter(value).is_ok()));
}

fn item_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[key.len() - 8..].try_into().unwrap())
}
