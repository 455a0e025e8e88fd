//! The stock over fake boxes: when workers are made, given, replaced and let go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::{Clock, Timestamp};
use sandbox::{BoxSpec, ReadOnlyMount};

use super::fake::{FakeLauncher, Record, echo_box};
use super::overseer::Spare;
use super::stock::{Stock, StockLimits};
use super::worker::Kind;

struct Shop {
    stock: Arc<Stock>,
    record: Arc<Record>,
    clock: Clock,
    dir: tempfile::TempDir,
}

const LIMITS: StockLimits =
    StockLimits { max_of_kind: 3, max: 4, memory_bytes: 1 << 30, idle_timeout: Duration::from_secs(600) };

impl Shop {
    fn new(limits: StockLimits) -> Self {
        let record = Arc::new(Record::default());
        let launcher = FakeLauncher { script: echo_box(), record: record.clone(), gather: None };
        let clock = Clock::frozen(Timestamp(1_795_420_000_000));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("interpreter"), "one").unwrap();
        let stock = Stock::start(Arc::new(launcher), clock.clone(), limits, dir.path()).unwrap();
        Shop { stock, record, clock, dir }
    }

    fn kind(&self, number: u32) -> Kind {
        Kind::for_test(&self.dir.path().join("interpreter"), number)
    }

    async fn bind(&self, number: u32) -> bool {
        let kind = self.kind(number);
        let mut spec = self.spec();
        spec.id = format!("fn-{number}");
        self.stock.bind(kind, &spec).await.is_some()
    }

    /// A function's box, without layers.
    fn spec(&self) -> BoxSpec {
        let mount = |host: &str, inside: &str| ReadOnlyMount { host: host.into(), inside: inside.into() };
        let mut spec = self.kind(0).spec("fn".to_owned(), &super::worker::Places::below(self.dir.path()));
        spec.mounts = vec![mount("/code", "/var/task"), mount("/client", "/var/runtime")];
        spec.env = vec![("SECRET".into(), "mine".into())];
        spec.cwd = PathBuf::from("/var/task");
        spec
    }

    /// Waits until so many wait.
    async fn waiting(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.record.waiting.load(Ordering::SeqCst) != count {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", self.record.waiting);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn prepared(&self) -> usize {
        self.record.prepared.borrow().len()
    }
}

#[tokio::test]
async fn the_second_start_of_a_kind_finds_a_worker_and_nothing_of_a_function_is_in_it() {
    let shop = Shop::new(LIMITS);
    assert!(!shop.bind(1).await);
    shop.waiting(1).await;
    assert!(!shop.bind(2).await, "of another kind");
    shop.waiting(2).await;
    assert!(shop.bind(1).await);
    let prepared = shop.record.prepared.borrow()[0].clone();
    let text = format!("{prepared:?}");
    assert!(!text.contains("SECRET") && !text.contains("/code"), "{text}");
    let around = shop.dir.path().join("places/around");
    assert!(prepared.mounts.iter().any(|m| m.inside == Path::new("/var/task") && m.host == around));
    assert!(around.join("lib").is_dir());
    let bound = shop.record.bound.lock().unwrap()[0].clone();
    assert_eq!(bound.env, [("SECRET".into(), "mine".into())]);
    let inside: Vec<_> = bound.mounts.iter().map(|m| m.inside.to_str().unwrap()).collect();
    // The client is there already; what would be empty in a plain start is empty.
    assert_eq!(inside, ["/var/task", "/opt"]);
    assert_eq!(std::fs::read_dir(&bound.mounts[1].host).unwrap().count(), 0);
    let counts = shop.stock.counts();
    assert_eq!(counts.bound.load(Ordering::Relaxed), 1);
    assert_eq!(counts.missed.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn as_many_wait_as_were_started_lately_and_none_after_a_quiet_while() {
    let shop = Shop::new(LIMITS);
    shop.stock.expect(shop.kind(1));
    shop.waiting(1).await;
    for _ in 0..5 {
        shop.bind(1).await;
    }
    shop.waiting(3).await;
    shop.clock.advance(Duration::from_secs(61));
    shop.waiting(1).await;
    shop.clock.advance(Duration::from_secs(600));
    shop.waiting(0).await;
    assert!(!shop.bind(1).await);
}

#[tokio::test]
async fn kinds_that_were_wanted_longer_ago_make_room() {
    let shop = Shop::new(LIMITS);
    for number in [1, 1, 1, 2] {
        shop.bind(number).await;
        shop.clock.advance(Duration::from_millis(1));
    }
    shop.waiting(4).await;
    shop.bind(3).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while shop.prepared() < 5 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    shop.waiting(4).await;
    assert!(shop.bind(2).await && shop.bind(3).await);
    // Memory bounds them, too.
    let small = Shop::new(StockLimits { memory_bytes: 20 << 20, ..LIMITS });
    small.bind(1).await;
    small.waiting(1).await;
    small.clock.advance(Duration::from_millis(1));
    small.bind(2).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while small.prepared() < 2 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    small.waiting(1).await;
}

#[tokio::test]
async fn what_is_dead_fails_or_is_outdated_is_replaced_and_costs_no_call() {
    let shop = Shop::new(LIMITS);
    shop.bind(1).await;
    shop.waiting(1).await;
    shop.record.workers_fail.store(true, Ordering::SeqCst);
    assert!(!shop.bind(1).await);
    shop.record.workers_fail.store(false, Ordering::SeqCst);
    shop.waiting(2).await;
    assert!(shop.bind(1).await);
    shop.waiting(3).await;
    // Killed while they wait: seen at the next look.
    let before = shop.prepared();
    shop.record.workers_are_dead.store(true, Ordering::SeqCst);
    assert!(!shop.bind(1).await);
    shop.record.workers_are_dead.store(false, Ordering::SeqCst);
    shop.waiting(3).await;
    assert!(shop.prepared() > before);
    // A new interpreter in its place: the old ones are of no use.
    std::fs::remove_file(shop.dir.path().join("interpreter")).unwrap();
    std::fs::write(shop.dir.path().join("interpreter"), "another").unwrap();
    shop.clock.advance(Duration::from_secs(31));
    shop.waiting(0).await;
}

#[tokio::test]
async fn a_stock_that_is_closed_or_off_makes_nothing() {
    let shop = Shop::new(LIMITS);
    shop.bind(1).await;
    shop.waiting(1).await;
    shop.stock.close();
    shop.waiting(0).await;
    assert!(!shop.bind(1).await);
    let launcher = FakeLauncher { script: echo_box(), record: shop.record.clone(), gather: None };
    assert!(
        Stock::start(Arc::new(launcher), shop.clock.clone(), StockLimits::OFF, shop.dir.path()).is_none()
    );
}

#[tokio::test]
async fn when_memory_is_short_those_wanted_longest_ago_go_and_none_is_made_for_a_while() {
    let shop = Shop::new(LIMITS);
    shop.bind(1).await;
    shop.waiting(1).await;
    shop.clock.advance(Duration::from_secs(1));
    shop.bind(2).await;
    shop.waiting(2).await;
    shop.stock.give_back(1);
    shop.waiting(1).await;
    assert!(shop.bind(2).await, "the older one has gone");
    let made = shop.prepared();
    shop.clock.advance(Duration::from_secs(59));
    shop.stock.give_back(u64::MAX);
    assert!(!shop.bind(2).await);
    shop.clock.advance(Duration::from_secs(59));
    assert_eq!((shop.record.waiting.load(Ordering::SeqCst), shop.prepared()), (0, made));
    shop.clock.advance(Duration::from_secs(1));
    shop.waiting(1).await;
}
