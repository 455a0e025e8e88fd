//! Order and ranges, in both directions, over what is committed and what a transaction has just written.

use std::collections::BTreeMap;

use bytes::Bytes;
use lamplighter_store::{Key, Range, Store};

use crate::{Lab, Random, get, put, suite};

suite! {
    ranges_are_ordered_both_ways,
    limits_and_empty_ranges,
    a_random_history_agrees_with_a_sorted_map,
    the_end_of_the_key_space_is_reachable,
}

fn text(entries: Vec<(Bytes, Bytes)>) -> String {
    entries.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>().join(",")
}

async fn fill(store: &Store, keys: &'static [&'static str]) {
    store
        .transact(|tx| keys.iter().rev().try_for_each(|key| tx.put(key.as_bytes().to_vec(), Vec::new())))
        .await
        .unwrap();
}

async fn ranges_are_ordered_both_ways(lab: Lab) {
    let store = lab.open();
    fill(&store, &["a", "b", "b\0", "b\u{7f}", "ba", "c"]).await;
    let all = Range::between("a", "");
    assert_eq!(text(store.range(all.clone()).unwrap()), "a,b,b\0,ba,b\u{7f},c");
    assert_eq!(text(store.range(all.reversed()).unwrap()), "c,b\u{7f},ba,b\0,b,a");
    assert_eq!(text(store.range(Range::between("b", "ba")).unwrap()), "b,b\0");
    assert_eq!(text(store.range(Range::prefix(b"b")).unwrap()), "b,b\0,ba,b\u{7f}");
}

async fn limits_and_empty_ranges(lab: Lab) {
    let store = lab.open();
    fill(&store, &["a", "b", "c"]).await;
    assert_eq!(text(store.range(Range::between("a", "").limit(2)).unwrap()), "a,b");
    assert_eq!(text(store.range(Range::between("a", "").limit(2).reversed()).unwrap()), "c,b");
    for empty in [Range::between("a", "").limit(0), Range::between("b", "b"), Range::between("c", "a")] {
        assert_eq!(store.range(empty.clone()).unwrap(), []);
        assert_eq!(store.transact(move |tx| tx.range(empty.clone())).await.unwrap(), []);
    }
    assert_eq!(get(&store, "d"), None);
}

async fn the_end_of_the_key_space_is_reachable(lab: Lab) {
    let store = lab.open();
    // What the store keeps for itself is never seen.
    store.transact(|tx| tx.version_stamp().map(drop)).await.unwrap();
    store.transact(|tx| tx.put(vec![0xFE, 0xFF, 0xFF], vec![1])).await.unwrap();
    for to in [Vec::new(), vec![0xFF], vec![0xFF, 0xFF]] {
        let keys: Vec<_> = store.range(Range::between([0], to)).unwrap();
        assert_eq!(keys.len(), 1);
    }
    assert_eq!(store.range(Range::prefix(&[0xFE, 0xFF])).unwrap().len(), 1);
    let key = Key::new("x").u64(u64::MAX);
    store.transact(move |tx| tx.put(key.clone().build(), vec![])).await.unwrap();
    assert_eq!(store.range(Key::new("x").range()).unwrap().len(), 1);
}

/// Transactions of random writes and reads, compared at every step with a map in memory.
async fn a_random_history_agrees_with_a_sorted_map(lab: Lab) {
    let store = lab.open();
    let mut random = Random::printed("history");
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for step in 0..120 {
        let mut after = model.clone();
        let mut writes = Vec::new();
        for _ in 0..random.below(12) {
            let key: Vec<u8> = (0..=random.below(2)).map(|_| b'a' + random.below(4) as u8).collect();
            let value = (random.below(3) > 0).then(|| step.to_string().into_bytes());
            match &value {
                Some(value) => after.insert(key.clone(), value.clone()),
                None => after.remove(&key),
            };
            writes.push((key, value));
        }
        let range = Range {
            from: vec![b'a' + random.below(4) as u8],
            to: if random.below(4) == 0 { vec![] } else { vec![b'a' + random.below(5) as u8] },
            reverse: random.below(2) == 0,
            limit: random.below(6) as usize,
        };
        let give_up = random.below(4) == 0;
        let asked = range.clone();
        let (inside, kept) = store
            .transact_with(move |tx| {
                for (key, value) in writes.clone() {
                    match value {
                        Some(value) => tx.put(key, value)?,
                        None => tx.delete(&key)?,
                    }
                }
                let seen = tx.range(asked.clone())?;
                Ok(if give_up { Err(seen) } else { Ok(seen) })
            })
            .await
            .unwrap()
            .map_or_else(|seen| (seen, false), |seen| (seen, true));
        assert_eq!(inside, expected(&after, &range), "step {step}");
        if kept {
            model = after;
        }
        assert_eq!(store.range(range.clone()).unwrap(), expected(&model, &range), "step {step}");
    }
    put(&store, "end", "1").await;
    assert_eq!(store.range(Range::between("a", "")).unwrap().len(), model.len() + 1);
}

fn expected(model: &BTreeMap<Vec<u8>, Vec<u8>>, range: &Range) -> Vec<(Bytes, Bytes)> {
    let inside = |key: &[u8]| key >= &range.from[..] && (range.to.is_empty() || key < &range.to[..]);
    let mut entries: Vec<_> = model
        .iter()
        .filter(|(key, _)| inside(key))
        .map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)))
        .collect();
    if range.reverse {
        entries.reverse();
    }
    entries.truncate(range.limit);
    entries
}
