//! Claims: nobody gets what another holds, and nothing is held forever. Time is a number that the tests move.

use std::collections::BTreeSet;
use std::time::Duration;

use base::{Clock, Timestamp};
use lamplighter_store::{Claim, Range, Store, TxError};
use tokio::task::JoinSet;

use crate::{Lab, get, put, suite, tx_error};

suite! {
    two_owners_share_a_range,
    a_lease_that_ran_out_goes_to_the_next,
    release_extend_acknowledge,
    locks_survive_a_restart,
    a_deleted_key_is_free_when_it_comes_back,
    many_workers_take_each_item_once,
    claims_look_past_many_held_keys,
}

const LEASE: Duration = Duration::from_secs(30);

async fn fill(store: &Store, count: u32) {
    let work = move |tx: &mut dyn lamplighter_store::Tx| {
        (0..count).try_for_each(|n| tx.put(format!("q/{n:04}").into_bytes(), n.to_string().into_bytes()))
    };
    store.transact(work).await.unwrap();
}

async fn claim(store: &Store, clock: &Clock, owner: &str, limit: usize) -> Vec<Claim> {
    let now = clock.now();
    store.claim(Range::prefix(b"q/"), limit, owner, now.after(LEASE), now).await.unwrap()
}

fn keys(claims: &[Claim]) -> String {
    claims
        .iter()
        .map(|claim| String::from_utf8_lossy(&claim.key[2..]).into_owned())
        .collect::<Vec<_>>()
        .join(",")
}

async fn two_owners_share_a_range(lab: Lab) {
    let (store, clock) = (lab.open(), Clock::frozen(Timestamp(1_000)));
    fill(&store, 5).await;
    let a = claim(&store, &clock, "a", 2).await;
    assert_eq!(keys(&a), "0000,0001");
    assert_eq!(a[1].value, "1");
    assert_eq!(a[0].lease_until, Timestamp(31_000));
    assert_eq!(keys(&claim(&store, &clock, "b", 2).await), "0002,0003");
    assert_eq!(keys(&claim(&store, &clock, "a", 2).await), "0004");
    assert_eq!(keys(&claim(&store, &clock, "a", 2).await), "");
    // A claim is no obstacle to readers.
    assert_eq!(get(&store, "q/0000").unwrap(), "0");
    let below: Vec<_> = store
        .claim(Range::between("q/0001", "q/0003"), 9, "c", Timestamp(9e9 as i64), Timestamp(40_000))
        .await
        .unwrap();
    assert_eq!(keys(&below), "0001,0002");
}

async fn a_lease_that_ran_out_goes_to_the_next(lab: Lab) {
    let (store, clock) = (lab.open(), Clock::frozen(Timestamp(0)));
    fill(&store, 1).await;
    let first = claim(&store, &clock, "a", 1).await.remove(0);
    clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(keys(&claim(&store, &clock, "b", 1).await), "");
    clock.advance(Duration::from_millis(1));
    let second = claim(&store, &clock, "a", 1).await.remove(0);
    assert_eq!(second.key, first.key);
    // The same owner's older claim is not the newer one.
    assert!(matches!(tx_error(store.acknowledge(first.clone()).await), TxError::ClaimLost));
    assert!(matches!(tx_error(store.release(first.clone()).await), TxError::ClaimLost));
    assert!(matches!(tx_error(store.extend(first, Timestamp(90_000)).await), TxError::ClaimLost));
    assert_eq!(get(&store, "q/0000").unwrap(), "0");
    store.acknowledge(second).await.unwrap();
    assert_eq!(get(&store, "q/0000"), None);
}

async fn release_extend_acknowledge(lab: Lab) {
    let (store, clock) = (lab.open(), Clock::frozen(Timestamp(0)));
    fill(&store, 2).await;
    let mut held = claim(&store, &clock, "a", 2).await;
    let (second, first) = (held.pop().unwrap(), held.pop().unwrap());
    store.release(first.clone()).await.unwrap();
    assert!(matches!(tx_error(store.release(first).await), TxError::ClaimLost));
    assert_eq!(keys(&claim(&store, &clock, "b", 2).await), "0000");

    store.extend(second.clone(), Timestamp(100_000)).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(keys(&claim(&store, &clock, "c", 2).await), "0000");
    // The lease is over, but nobody took the key meanwhile: its holder may still finish.
    clock.advance(Duration::from_secs(60));
    // Acknowledging is part of a larger transaction, or of none.
    let with_result = store.transact(move |tx| {
        tx.acknowledge_claim(&second)?;
        tx.put(b"result".to_vec(), b"done".to_vec())
    });
    with_result.await.unwrap();
    assert_eq!((get(&store, "q/0001"), get(&store, "result")), (None, Some("done".into())));
}

async fn locks_survive_a_restart(lab: Lab) {
    if !lab.keeps() {
        return;
    }
    let (mut store, clock) = (lab.open(), Clock::frozen(Timestamp(0)));
    fill(&store, 2).await;
    let held = claim(&store, &clock, "a", 1).await.remove(0);
    drop(store);
    store = lab.open();
    assert_eq!(keys(&claim(&store, &clock, "b", 9).await), "0001");
    store.acknowledge(held).await.unwrap();
    assert_eq!(get(&store, "q/0000"), None);
}

async fn a_deleted_key_is_free_when_it_comes_back(lab: Lab) {
    let (store, clock) = (lab.open(), Clock::frozen(Timestamp(0)));
    fill(&store, 2).await;
    let old = claim(&store, &clock, "a", 2).await.remove(0);
    store.transact(|tx| tx.delete(b"q/0000")).await.unwrap();
    store.transact(|tx| tx.clear_range(b"q/0001", b"q/0002")).await.unwrap();
    put(&store, "q/0000", "new").await;
    put(&store, "q/0001", "new").await;
    assert!(matches!(tx_error(store.acknowledge(old).await), TxError::ClaimLost));
    assert_eq!(keys(&claim(&store, &clock, "b", 9).await), "0000,0001");
}

async fn many_workers_take_each_item_once(lab: Lab) {
    let (store, clock) = (lab.open(), Clock::frozen(Timestamp(0)));
    fill(&store, 200).await;
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (store, clock) = (store.clone(), clock.clone());
        workers.spawn(async move {
            let mut done = Vec::new();
            loop {
                let claims = claim(&store, &clock, &format!("worker {worker}"), 3).await;
                if claims.is_empty() {
                    return done;
                }
                for claim in claims {
                    done.push(claim.key.clone());
                    store.acknowledge(claim).await.unwrap();
                }
            }
        });
    }
    let done: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(done.len(), 200);
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(store.range(Range::prefix(b"q/")).unwrap(), []);
}

async fn claims_look_past_many_held_keys(lab: Lab) {
    let (store, clock) = (lab.open(), Clock::frozen(Timestamp(0)));
    fill(&store, 1000).await;
    assert_eq!(claim(&store, &clock, "a", 700).await.len(), 700);
    let next = claim(&store, &clock, "b", 400).await;
    assert_eq!(next.len(), 300);
    assert_eq!(next[0].key, "q/0700");
}
