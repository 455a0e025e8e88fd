//! What is tidied in the background: subscriptions that nobody confirmed, and what deleted topics left.

use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::Sns;
use crate::keys;

/// How long it waits when the store fails.
const TROUBLE: Duration = Duration::from_secs(10);

/// Starts it; it ends with `stopped`.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn start(sns: &Arc<Sns>, stopped: CancellationToken) -> Result<(), StoreError> {
    for (key, _) in sns.store.range(keys::all_doomed())? {
        let Some(uid) = last_number(&key) else { continue };
        let sns = Arc::clone(sns);
        tokio::spawn(async move {
            if let Err(error) = sns.clear_away(uid).await {
                tracing::warn!(%error, "what belonged to a deleted topic is cleared away at the next start");
            }
        });
    }
    let sns = Arc::clone(sns);
    tokio::spawn(async move { stopped.run_until_cancelled(expire(&sns)).await });
    Ok(())
}

/// The number at a key's end.
fn last_number(key: &[u8]) -> Option<u64> {
    let mut reader = store::KeyReader::new(key);
    let _ = (reader.str().ok()?, reader.str().ok()?);
    reader.u64().ok()
}

async fn expire(sns: &Sns) {
    // Watch first, then read, then wait: so none is missed.
    let mut changes = sns.store.watch(keys::all_pending().from);
    loop {
        let next = match sns.expire_pending().await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "pending subscriptions are not looked at");
                Some(sns.clock.now().after(TROUBLE))
            }
        };
        let due = async {
            match next {
                Some(moment) => sns.clock.sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = changes.changed() => {}
        }
    }
}
