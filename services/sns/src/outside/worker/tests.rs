//! The worker with a house whose targets fail as the test says.

use std::collections::HashMap;
use std::sync::Mutex;

use store::{Range, Store};
use tokio::sync::Notify;

use super::*;
use crate::outside::testing::published;
use crate::outside::{MAX_TARGETS, Outside};

/// What a target does with its next deliveries.
#[derive(Clone, Copy)]
enum Does {
    Take,
    FailFor(u32),
    Refuse,
    Hang,
}

struct Fake {
    outside: Outside,
    does: Mutex<HashMap<String, Does>>,
    gone: Mutex<bool>,
    /// Who got what: the subscription, and the text; dead letters have the reason.
    seen: Mutex<Vec<String>>,
    changed: Notify,
}

impl Fake {
    fn note(&self, line: String) {
        self.seen.lock().unwrap().push(line);
        self.changed.notify_one();
    }

    fn count(&self, line: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == line).count()
    }

    async fn wait_for(&self, line: &str, count: usize) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.count(line) < count {
                let _ = tokio::time::timeout(Duration::from_millis(50), self.changed.notified()).await;
            }
        });
        assert!(waited.await.is_ok(), "no {count} of '{line}': {:?}", self.seen.lock().unwrap());
    }
}

impl House for Fake {
    async fn deliver_once(&self, target: &Target, published: &Published) -> Result<(), Failed> {
        let name = target.subscription_arn.clone();
        let does = *self.does.lock().unwrap().get(&name).unwrap_or(&Does::Take);
        let failed = |may_pass| Err(Failed { may_pass, why: "as told".to_owned() });
        match does {
            Does::Take => {
                self.note(format!("{name} got {}", published.text.default));
                Ok(())
            }
            Does::FailFor(left) => {
                let then = if left > 1 { Does::FailFor(left - 1) } else { Does::Take };
                self.does.lock().unwrap().insert(name.clone(), then);
                self.note(format!("{name} failed"));
                failed(true)
            }
            Does::Refuse => failed(false),
            Does::Hang => {
                self.note(format!("{name} hangs"));
                std::future::pending().await
            }
        }
    }

    fn delivered(&self, _published: &Published) {}

    async fn dead_letter(&self, target: &Target, published: &Published, why: &str) -> Result<(), Failed> {
        self.note(format!("{} is dead at {}: {why}", published.text.default, target.subscription_arn));
        Ok(())
    }

    fn target_now(&self, target: &Target) -> Result<Option<Target>, StoreError> {
        Ok(if *self.gone.lock().unwrap() { None } else { Some(target.clone()) })
    }

    fn outside(&self) -> &Outside {
        &self.outside
    }
}

fn fake(store: &Store, clock: &Clock, does: &[(&str, Does)]) -> Arc<Fake> {
    Arc::new(Fake {
        outside: Outside::new(store.clone(), clock.clone()),
        does: Mutex::new(does.iter().map(|(name, does)| ((*name).to_owned(), *does)).collect()),
        gone: Mutex::new(false),
        seen: Mutex::default(),
        changed: Notify::new(),
    })
}

fn target(name: &str) -> Target {
    Target {
        subscription_arn: name.to_owned(),
        owner: AccountId::DEFAULT,
        protocol: Protocol::Sqs,
        endpoint: String::new(),
        raw: false,
        policy: DeliveryPolicy::default(),
        dead_letter: Some("queue".to_owned()),
    }
}

fn start() -> (Store, Clock) {
    (Store::in_memory().unwrap(), Clock::frozen(Timestamp(1_000_000)))
}

async fn nothing_is_left(store: &Store) {
    let left = || store.range(Range::prefix(b"")).unwrap();
    let is_ours = |key: &[u8]| key.starts_with(&keys::jobs()) || key.starts_with(&keys::message_space());
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while left().iter().any(|(key, _)| is_ours(key)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{} rows are left", left().len());
}

#[tokio::test]
async fn failures_are_tried_again_by_the_clock_and_nothing_is_left_behind() {
    let (store, clock) = start();
    let house = fake(&store, &clock, &[("a", Does::FailFor(5))]);
    house.outside.start(Arc::clone(&house));
    // Longer than one piece.
    let long = "x".repeat(200 * 1024);
    house.outside.accept(&Arc::new(published(&long)), vec![target("a"), target("b")]).await.unwrap();
    house.wait_for(&format!("b got {long}"), 1).await;
    // At once and three times without delay; the clock stands still.
    house.wait_for("a failed", 4).await;
    clock.advance(Duration::from_secs(1));
    house.wait_for("a failed", 5).await;
    assert_eq!(house.count(&format!("a got {long}")), 0);
    clock.advance(Duration::from_secs(1));
    house.wait_for(&format!("a got {long}"), 1).await;
    nothing_is_left(&store).await;
    house.outside.stop().await;
}

#[tokio::test]
async fn what_is_refused_goes_to_the_dead_letters_at_once() {
    let (store, clock) = start();
    let house = fake(&store, &clock, &[("a", Does::Refuse)]);
    house.outside.start(Arc::clone(&house));
    house.outside.accept(&Arc::new(published("m")), vec![target("a")]).await.unwrap();
    house.wait_for("m is dead at a: as told", 1).await;
    nothing_is_left(&store).await;
}

#[tokio::test]
async fn one_that_hangs_holds_up_nobody_else() {
    let (store, clock) = start();
    let house = fake(&store, &clock, &[("a", Does::Hang)]);
    house.outside.start(Arc::clone(&house));
    for number in 0..20 {
        let message = Arc::new(published(&number.to_string()));
        house.outside.accept(&message, vec![target("a"), target("b")]).await.unwrap();
    }
    house.wait_for("b got 19", 1).await;
    assert!(house.count("a hangs") <= 16);
}

#[tokio::test]
async fn the_next_worker_goes_on_where_the_last_one_was_cut_off() {
    let (store, clock) = start();
    let first = fake(&store, &clock, &[("a", Does::FailFor(u32::MAX))]);
    first.outside.start(Arc::clone(&first));
    let targets = (0..MAX_TARGETS + 10).map(|number| target(&format!("t{number}")));
    first.outside.accept(&Arc::new(published("m")), targets.chain([target("a")]).collect()).await.unwrap();
    first.wait_for("a failed", 4).await;
    first.outside.stop().await;
    let second = fake(&store, &clock, &[]);
    second.outside.start(Arc::clone(&second));
    clock.advance(Duration::from_secs(1));
    second.wait_for("a got m", 1).await;
    nothing_is_left(&store).await;
    let got = |name: &str| first.count(&format!("{name} got m")) + second.count(&format!("{name} got m"));
    assert!((0..MAX_TARGETS + 10).all(|number| got(&format!("t{number}")) == 1));
}

#[tokio::test]
async fn a_subscription_that_is_gone_gets_nothing_more() {
    let (store, clock) = start();
    let house = fake(&store, &clock, &[]);
    *house.gone.lock().unwrap() = true;
    house.outside.start(Arc::clone(&house));
    house.outside.accept(&Arc::new(published("m")), vec![target("a")]).await.unwrap();
    nothing_is_left(&store).await;
    assert_eq!(house.count("a got m"), 0);
}

#[tokio::test]
async fn a_pace_is_kept() {
    let (store, clock) = start();
    let house = fake(&store, &clock, &[]);
    house.outside.start(Arc::clone(&house));
    let slow = Target {
        policy: DeliveryPolicy { max_receives_per_second: Some(2), ..DeliveryPolicy::default() },
        ..target("a")
    };
    for _ in 0..3 {
        house.outside.accept(&Arc::new(published("m")), vec![slow.clone()]).await.unwrap();
    }
    for count in 1..=3 {
        house.wait_for("a got m", count).await;
        assert_eq!(house.count("a got m"), count);
        clock.advance(Duration::from_millis(500));
    }
    nothing_is_left(&store).await;
}
