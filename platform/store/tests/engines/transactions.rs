//! Transactions: all or nothing, one after another, within limits, never lost once answered.

use bytes::Bytes;
use lamplighter_store::{Range, Store, StoreError, TxError, counter, limits};
use tokio::task::JoinSet;

use crate::{Lab, get, put, suite, tx_error};

suite! {
    concurrent_increments_all_count,
    write_skew_does_not_happen,
    a_snapshot_does_not_move,
    what_fails_leaves_nothing,
    a_panic_fails_its_own_transaction_only,
    limits_are_errors_and_change_nothing,
    counters,
    version_stamps_grow,
    clear_range_and_clear_in_steps,
    a_transaction_sees_its_own_writes,
    a_closure_may_own_the_last_handle,
}

async fn concurrent_increments_all_count(lab: Lab) {
    let store = lab.open();
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..25 {
                let read_then_write = store.transact(|tx| {
                    let seen =
                        tx.get(b"n")?.map_or(0, |value| u64::from_be_bytes((&value[..]).try_into().unwrap()));
                    tx.put(b"n".to_vec(), (seen + 1).to_be_bytes().to_vec())?;
                    tx.add(b"counter", 1)
                });
                read_then_write.await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.get(b"n").unwrap().unwrap(), &400_u64.to_be_bytes()[..]);
    assert_eq!(counter(&store.get(b"counter").unwrap().unwrap()).unwrap(), 400);
}

/// Two doctors are on call; each leaves only if the other one stays.
async fn write_skew_does_not_happen(lab: Lab) {
    let store = lab.open();
    for round in 0..20 {
        put(&store, "on/a", "").await;
        put(&store, "on/b", "").await;
        let leave = |who: &'static [u8]| {
            store.transact(move |tx| {
                let others = tx.range(Range::prefix(b"on/"))?.len();
                if others > 1 { tx.delete(who) } else { Ok(()) }
            })
        };
        let (a, b) = tokio::join!(leave(b"on/a"), leave(b"on/b"));
        a.and(b).unwrap();
        assert_eq!(store.range(Range::prefix(b"on/")).unwrap().len(), 1, "round {round}");
    }
}

async fn a_snapshot_does_not_move(lab: Lab) {
    let store = lab.open();
    put(&store, "a", "1").await;
    let before = store.snapshot().unwrap();
    put(&store, "a", "2").await;
    put(&store, "b", "2").await;
    store.transact(|tx| tx.delete(b"a")).await.unwrap();
    assert_eq!(before.get(b"a").unwrap().unwrap(), "1");
    assert_eq!(before.get(b"b").unwrap(), None);
    assert_eq!(before.range(Range::between("a", "")).unwrap(), [(Bytes::from("a"), Bytes::from("1"))]);
    assert_eq!(store.snapshot().unwrap().get(b"a").unwrap(), None);
    // It outlives the store's handles.
    drop(store);
    assert_eq!(before.get(b"a").unwrap().unwrap(), "1");
}

async fn what_fails_leaves_nothing(lab: Lab) {
    let store = lab.open();
    put(&store, "a", "1").await;
    let aborted = store.transact(|tx| -> Result<(), _> {
        tx.put(b"a".to_vec(), b"2".to_vec())?;
        tx.put(b"b".to_vec(), b"2".to_vec())?;
        tx.delete(b"a")?;
        Err(TxError::abort("changed my mind"))
    });
    match tx_error(aborted.await) {
        TxError::Abort(reason) => assert_eq!(reason.downcast_ref(), Some(&"changed my mind")),
        other => panic!("{other:?}"),
    }
    let refused = store.transact_with(|tx| {
        tx.put(b"a".to_vec(), b"3".to_vec())?;
        Ok(Err::<(), _>("no"))
    });
    assert_eq!(refused.await.unwrap(), Err("no"));
    assert_eq!((get(&store, "a"), get(&store, "b")), (Some("1".into()), None));
}

async fn a_panic_fails_its_own_transaction_only(lab: Lab) {
    let store = lab.open();
    let bad = store.transact(|tx| -> Result<(), TxError> {
        tx.put(b"bad".to_vec(), vec![])?;
        panic!("on purpose, in a test");
    });
    let good = store.transact(|tx| tx.put(b"good".to_vec(), vec![]));
    let (bad, good) = tokio::join!(bad, good);
    assert!(matches!(bad, Err(StoreError::Panicked { message }) if message == "on purpose, in a test"));
    good.unwrap();
    assert_eq!((get(&store, "bad"), get(&store, "good")), (None, Some(String::new())));
}

async fn limits_are_errors_and_change_nothing(lab: Lab) {
    let store = lab.open();
    let put = |key: Vec<u8>, value: Vec<u8>| store.transact(move |tx| tx.put(key.clone(), value.clone()));
    let longest = vec![b'k'; limits::KEY_BYTES];
    put(longest.clone(), vec![7; limits::VALUE_BYTES]).await.unwrap();
    assert_eq!(store.get(&longest).unwrap().unwrap().len(), limits::VALUE_BYTES);

    let error = tx_error(put(vec![b'k'; limits::KEY_BYTES + 1], vec![]).await);
    assert_eq!(error.to_string(), "a key has 1537 bytes; it must have 1 to 1536");
    assert!(matches!(tx_error(put(vec![], vec![]).await), TxError::KeyLength { length: 0 }));
    assert!(matches!(tx_error(put(vec![0xFF, 1], vec![]).await), TxError::ReservedKey));
    assert!(matches!(store.get(&[0xFF, b's']), Err(StoreError::Tx(TxError::ReservedKey))));
    let error = tx_error(put(b"k".to_vec(), vec![0; limits::VALUE_BYTES + 1]).await);
    assert!(matches!(error, TxError::ValueLength { length: 65_537 }));

    let many = store
        .transact(|tx| (0..33_u8).try_for_each(|n| tx.put(vec![b'm', n], vec![n; limits::VALUE_BYTES - 2])));
    assert!(matches!(tx_error(many.await), TxError::TooLarge));
    let fits = store
        .transact(|tx| (0..32_u8).try_for_each(|n| tx.put(vec![b'n', n], vec![n; limits::VALUE_BYTES - 2])));
    fits.await.unwrap();
    assert_eq!(store.range(Range::prefix(b"m")).unwrap(), []);
    assert_eq!(store.range(Range::prefix(b"n")).unwrap().len(), 32);
}

async fn counters(lab: Lab) {
    let store = lab.open();
    let add = |delta| store.transact(move |tx| tx.add(b"c", delta));
    assert_eq!(add(5).await.unwrap(), 5);
    assert_eq!(add(-7).await.unwrap(), -2);
    assert_eq!(add(i64::MIN + 2).await.unwrap(), i64::MIN);
    assert!(matches!(tx_error(add(-1).await), TxError::CounterOverflow { current: i64::MIN, delta: -1 }));
    put(&store, "text", "hello").await;
    assert!(matches!(
        tx_error(store.transact(|tx| tx.add(b"text", 1)).await),
        TxError::NotACounter { length: 5 }
    ));
    assert_eq!(counter(&store.get(b"c").unwrap().unwrap()).unwrap(), i64::MIN);
}

async fn version_stamps_grow(lab: Lab) {
    let mut store = lab.open();
    let stamp = |store: &Store| {
        let store = store.clone();
        async move { store.transact(|tx| Ok((tx.version_stamp()?, tx.version_stamp()?))).await.unwrap() }
    };
    let mut last = 0;
    for step in 0..12 {
        let (one, same) = stamp(&store).await;
        assert_eq!(one, same);
        assert!(one > last, "{one} after {last}");
        last = one;
        if step % 3 == 0 {
            // One that is given up takes nothing from the others.
            let given_up =
                store.transact(|tx| tx.version_stamp().and_then(|stamp| Err::<(), _>(TxError::abort(stamp))));
            assert!(matches!(tx_error(given_up.await), TxError::Abort(_)));
        }
        if step % 4 == 3 && lab.keeps() {
            drop(store);
            store = lab.open();
        }
    }
}

async fn clear_range_and_clear_in_steps(lab: Lab) {
    let store = lab.open();
    for half in 0..2_u32 {
        let fill = store.transact(move |tx| {
            (0..1000_u32).try_for_each(|n| tx.put(format!("k{:05}", half * 1000 + n).into_bytes(), vec![1]))
        });
        fill.await.unwrap();
    }
    put(&store, "l", "stays").await;
    let cleared = store.transact(|tx| {
        tx.put(b"k00500x".to_vec(), vec![])?;
        tx.clear_range(b"k00500", b"k00510")
    });
    assert_eq!(cleared.await.unwrap(), 11);
    assert_eq!(get(&store, "k00505"), None);
    assert_eq!(store.clear_in_steps(b"k".to_vec(), b"l".to_vec()).await.unwrap(), 1990);
    assert_eq!(store.range(Range::between("a", "")).unwrap().len(), 1);
}

async fn a_transaction_sees_its_own_writes(lab: Lab) {
    let store = lab.open();
    put(&store, "a", "1").await;
    let seen = store.transact(|tx| {
        tx.put(b"b".to_vec(), b"2".to_vec())?;
        tx.delete(b"a")?;
        let gone = tx.get(b"a")?.is_none();
        tx.put(b"a".to_vec(), b"3".to_vec())?;
        Ok((gone, tx.get(b"a")?, tx.range(Range::between("a", "").reversed())?))
    });
    let (gone, a, all) = seen.await.unwrap();
    assert!(gone);
    assert_eq!(a.unwrap(), "3");
    assert_eq!(all, [("b".into(), "2".into()), ("a".into(), "3".into())] as [(Bytes, Bytes); 2]);
}

/// The committer's thread then closes the store, and must not wait for itself.
async fn a_closure_may_own_the_last_handle(lab: Lab) {
    let store = lab.open();
    let owned = store.clone();
    let transaction = store.transact(move |tx| {
        let _last = &owned;
        tx.put(b"a".to_vec(), vec![])
    });
    transaction.await.unwrap();
}
