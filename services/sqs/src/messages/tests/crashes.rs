//! Crashes at random moments: nothing that was accepted is lost, nothing that was deleted comes back, groups keep their
//! order.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn life(name: &str, seed: u64) {
    let (mut house, queue) = (House::new(), queue(name, 1));
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut next = 0_u64;
    let mut live: BTreeSet<u64> = BTreeSet::new();
    let mut out: Vec<Received> = Vec::new();
    let mut order: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for _ in 0..400 {
        match random.below(10) {
            0..=2 => {
                let count = 1 + random.below(10);
                let batch: Vec<u64> = (next..next + count).collect();
                next += count;
                let messages = batch.iter().map(|n| {
                    let delay_s = (!queue.is_fifo() && random.below(5) == 0).then_some(3);
                    NewMessage { delay_s, ..in_group(&format!("g{}", n % 3), &n.to_string()) }
                });
                house.send_all(&queue, messages.collect()).await;
                live.extend(batch);
            }
            3..=5 => {
                let received = house.receive(&queue, 1 + random.below(10) as usize).await;
                for one in &received {
                    let n: u64 = body(one).parse().unwrap();
                    assert!(live.contains(&n), "seed {seed}: {n} was deleted and came back");
                    order.entry(n % 3).or_default().push(n);
                }
                if queue.is_fifo() {
                    check_order(seed, &live, &order);
                }
                out.extend(received);
            }
            6..=7 => {
                while !out.is_empty() && random.below(4) > 0 {
                    let one = out.swap_remove(random.below(out.len() as u64) as usize);
                    let n: u64 = body(&one).parse().unwrap();
                    // A handle may be refused or outdated: then the message stays.
                    let rows = house.rows("m");
                    if house.delete(&queue, &one).await.is_ok() && house.rows("m") < rows {
                        assert!(live.remove(&n), "seed {seed}: {n} was deleted twice");
                    }
                }
            }
            8 => house.advance(random.below(40)),
            _ if random.below(3) == 0 => {
                if random.below(2) == 0 {
                    house.leases_written().await;
                }
                house.crash().await;
                order.clear();
            }
            _ => {}
        }
        let (visible, in_flight, delayed) = house.counts(&queue).await;
        assert_eq!(visible + in_flight + delayed, live.len() as u64, "seed {seed}");
    }
    // In the end everything that is there can be had.
    house.advance(100);
    let mut left = BTreeSet::new();
    loop {
        let received = house.receive(&queue, 10).await;
        if received.is_empty() {
            break;
        }
        for one in &received {
            left.insert(body(one).parse::<u64>().unwrap());
            house.delete(&queue, one).await.unwrap();
        }
    }
    assert_eq!(left, live, "seed {seed}");
    assert_eq!(house.counts(&queue).await, (0, 0, 0), "seed {seed}");
    assert_eq!((house.rows("m"), house.rows("l")), (0, 0), "seed {seed}");
}

/// The last message that was handed out of a group is not behind one that is there still and was never handed out.
fn check_order(seed: u64, live: &BTreeSet<u64>, order: &BTreeMap<u64, Vec<u64>>) {
    for (group, seen) in order {
        let Some(last) = seen.last() else { continue };
        let earlier = live.range(..last).filter(|n| *n % 3 == *group);
        for n in earlier {
            assert!(seen.contains(n), "seed {seed}: {last} came before {n}");
        }
    }
}

#[tokio::test]
async fn a_standard_queue_survives() {
    for seed in 1..=12 {
        life("q", seed).await;
    }
}

#[tokio::test]
async fn a_fifo_queue_survives() {
    for seed in 1..=12 {
        life("q.fifo", seed).await;
    }
}
