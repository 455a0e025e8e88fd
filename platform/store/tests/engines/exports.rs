//! Export and import: from any engine to any other, and nothing by halves.

use base::Timestamp;
use lamplighter_store::{EngineKind, Range, Store, StoreError};

use crate::{Lab, put, suite};

suite! {
    an_export_carries_everything_to_every_engine,
    what_is_no_export_is_refused_and_leaves_nothing,
    an_import_needs_an_empty_store,
}

async fn blocking<T: Send + 'static>(store: &Store, work: impl FnOnce(Store) -> T + Send + 'static) -> T {
    let store = store.clone();
    tokio::task::spawn_blocking(move || work(store)).await.unwrap()
}

async fn export(store: &Store) -> Vec<u8> {
    blocking(store, |store| {
        let mut out = Vec::new();
        store.export(&mut out).unwrap();
        out
    })
    .await
}

async fn import(store: &Store, bytes: Vec<u8>) -> Result<u64, StoreError> {
    blocking(store, move |store| store.import(&bytes[..]).map(|summary| summary.entries)).await
}

async fn filled(lab: &Lab) -> Store {
    let store = lab.open();
    for part in 0..3_u32 {
        let fill = store.transact(move |tx| {
            (0..500_u32).try_for_each(|n| tx.put(format!("k{part}/{n:04}").into_bytes(), vec![n as u8; 1200]))
        });
        fill.await.unwrap();
    }
    let held = store.claim(Range::prefix(b"k1/"), 2, "a", Timestamp(9_000), Timestamp(0)).await.unwrap();
    assert_eq!(held.len(), 2);
    store
}

async fn an_export_carries_everything_to_every_engine(lab: Lab) {
    let store = filled(&lab).await;
    let bytes = export(&store).await;
    let stamp = store.transact(|tx| tx.version_stamp()).await.unwrap();
    for kind in [EngineKind::Fjall, EngineKind::Sqlite, EngineKind::Memory] {
        let other = Lab::new(kind);
        let copy = other.open();
        // 1500 entries, 2 locks, the last version stamp.
        assert_eq!(import(&copy, bytes.clone()).await.unwrap(), 1503);
        assert_eq!(export(&copy).await, bytes);
        assert_eq!(
            copy.range(Range::between("a", "")).unwrap(),
            store.range(Range::between("a", "")).unwrap()
        );
        let free = copy.claim(Range::prefix(b"k1/"), 1, "b", Timestamp(9_000), Timestamp(0)).await.unwrap();
        assert_eq!(free[0].key, "k1/0002");
        assert!(copy.transact(|tx| tx.version_stamp()).await.unwrap() > stamp);
    }
}

async fn what_is_no_export_is_refused_and_leaves_nothing(lab: Lab) {
    let good = export(&filled(&lab).await).await;
    let copy = Lab::new(lab.kind);
    let store = copy.open();
    let mut newer = good.clone();
    newer[19] = b'2';
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    let cases = [
        (Vec::new(), "it does not begin as an export does"),
        (b"PK\x03\x04".to_vec(), "it does not begin as an export does"),
        (newer, "it has format 2, this version reads 1"),
        (good[..good.len() / 2].to_vec(), "it is cut short"),
        (good[..good.len() - 1].to_vec(), "it is cut short"),
        (flipped, "its checksum is wrong"),
        (longer, "there is something after its end"),
    ];
    for (bytes, expected) in cases {
        match import(&store, bytes).await {
            Err(StoreError::BadExport { reason }) => assert_eq!(reason, expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert_eq!(store.range(Range::between("a", "")).unwrap(), []);
    }
    import(&store, good.clone()).await.unwrap();
    assert_eq!(export(&store).await, good);
}

async fn an_import_needs_an_empty_store(lab: Lab) {
    let store = filled(&lab).await;
    let bytes = export(&store).await;
    assert!(matches!(import(&store, bytes).await, Err(StoreError::NotEmpty)));
    put(&store, "still", "writable").await;
}
