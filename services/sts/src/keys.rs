//! The one value this service stores: the master key. Its key is in the table of `lib.rs`.

use store::Store;
use store::key::Key;

use crate::StartError;
use crate::session::MASTER_BYTES;

/// The stored master key; at the first start a new one, on disk before this returns.
pub(crate) async fn load_or_create_master(store: &Store) -> Result<[u8; MASTER_BYTES], StartError> {
    let mut fresh = [0; MASTER_BYTES];
    getrandom::fill(&mut fresh).map_err(StartError::Random)?;
    // Read and written in one transaction, so that two starters on a shared store agree on one key.
    let stored: Vec<u8> = store
        .transact(move |tx| {
            let key = Key::new("sts").str("master");
            if let Some(stored) = tx.get(&key)? {
                return Ok(stored.to_vec());
            }
            tx.put(key.build(), fresh.to_vec())?;
            Ok(fresh.to_vec())
        })
        .await?;
    let length = stored.len();
    stored.try_into().map_err(|_| StartError::BadMaster { length })
}
