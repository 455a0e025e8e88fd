//! Which message goes next: lanes of a standard queue, groups of a FIFO queue.
//!
//! It knows numbers of messages and names of groups, and nothing of leases, time or contents.
//!
//! - Standard: messages of one group (or of none) share a lane, and lanes take turns, so that a group with many messages
//!   does not hold up one with few (fair queues:
//!   <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>). Within a lane
//!   the oldest goes first.
//! - FIFO: a group's messages go strictly in order, and none while one of them is out. Of the groups that may go, the one
//!   whose next message is the oldest goes first.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// A message group; `None`: the message has none.
pub(super) type Group = Option<Arc<str>>;

pub(super) enum Ready {
    Standard(Lanes),
    Fifo(Groups),
}

impl Ready {
    pub(super) fn new(is_fifo: bool) -> Self {
        if is_fifo { Ready::Fifo(Groups::default()) } else { Ready::Standard(Lanes::default()) }
    }

    pub(super) fn is_fifo(&self) -> bool {
        matches!(self, Ready::Fifo(_))
    }

    /// How many messages are here, those that a group holds back among them.
    pub(super) fn len(&self) -> usize {
        match self {
            Ready::Standard(lanes) => lanes.len,
            Ready::Fifo(groups) => groups.len,
        }
    }

    /// Whether messages of this group are here already.
    pub(super) fn has_lane(&self, group: &Group) -> bool {
        match self {
            Ready::Standard(lanes) => lanes.lanes.contains_key(group),
            Ready::Fifo(_) => false,
        }
    }

    pub(super) fn lanes(&self) -> usize {
        match self {
            Ready::Standard(lanes) => lanes.lanes.len(),
            Ready::Fifo(groups) => groups.groups.len(),
        }
    }

    /// A message that may be received.
    pub(super) fn insert(&mut self, seq: u64, group: &Group) {
        match self {
            Ready::Standard(lanes) => lanes.insert(seq, group),
            Ready::Fifo(groups) => groups.insert(seq, group, true),
        }
    }

    /// A message that is delayed: in a FIFO queue it holds up what comes after it in its group.
    pub(super) fn insert_delayed(&mut self, seq: u64, group: &Group) {
        if let Ready::Fifo(groups) = self {
            groups.insert(seq, group, false);
        }
    }

    /// A message leaves, and holds nothing up.
    pub(super) fn remove(&mut self, seq: u64, group: &Group) {
        match self {
            Ready::Standard(lanes) => lanes.remove(seq, group),
            Ready::Fifo(groups) => groups.remove(seq, group),
        }
    }

    /// A message goes out: its group waits for it.
    pub(super) fn hand_out(&mut self, seq: u64, group: &Group) {
        match self {
            Ready::Standard(lanes) => lanes.remove(seq, group),
            Ready::Fifo(groups) => groups.hand_out(seq, group),
        }
    }

    /// A message is out already, without having been here.
    pub(super) fn note_out(&mut self, group: &Group) {
        if let Ready::Fifo(groups) = self {
            groups.note_out(group);
        }
    }

    /// A message that was out is not any more. Whether it comes back here is said with [`Ready::insert`], before this.
    pub(super) fn end_out(&mut self, group: &Group) {
        if let Ready::Fifo(groups) = self {
            groups.end_out(group);
        }
    }

    /// The message that goes next. `after`: the group of the message before it in the same answer, which a FIFO queue
    /// stays with as long as it can.
    pub(super) fn next(&mut self, after: Option<&Group>) -> Option<u64> {
        match self {
            Ready::Standard(lanes) => lanes.next(),
            Ready::Fifo(groups) => groups.next(after),
        }
    }
}

#[derive(Default)]
pub(super) struct Lanes {
    /// None of them is empty.
    lanes: HashMap<Group, BTreeSet<u64>>,
    /// The lanes in the order of their turns; lanes that are no more are skipped.
    turns: VecDeque<Group>,
    len: usize,
}

impl Lanes {
    fn insert(&mut self, seq: u64, group: &Group) {
        if let Some(lane) = self.lanes.get_mut(group) {
            self.len += usize::from(lane.insert(seq));
            return;
        }
        self.lanes.insert(group.clone(), BTreeSet::from([seq]));
        self.turns.push_back(group.clone());
        self.len += 1;
    }

    fn remove(&mut self, seq: u64, group: &Group) {
        let Some(lane) = self.lanes.get_mut(group) else { return };
        self.len -= usize::from(lane.remove(&seq));
        if lane.is_empty() {
            self.lanes.remove(group);
            // The common case, so that the list of turns does not grow; one further back is skipped when it comes up.
            if self.turns.front() == Some(group) {
                self.turns.pop_front();
            } else if let Some(at) = self.turns.iter().rposition(|turn| turn == group) {
                self.turns.remove(at);
            }
        }
    }

    /// Looks at the lane whose turn it is, and puts it behind the others.
    fn next(&mut self) -> Option<u64> {
        while let Some(group) = self.turns.front() {
            let first = self.lanes.get(group).and_then(BTreeSet::first).copied();
            if self.turns.len() > 1 || first.is_none() {
                let turn = self.turns.pop_front()?;
                if first.is_some() {
                    self.turns.push_back(turn);
                }
            }
            if first.is_some() {
                return first;
            }
        }
        None
    }
}

#[derive(Default)]
pub(super) struct Groups {
    groups: HashMap<Arc<str>, Members>,
    /// Groups that may go, by their next message.
    offers: BTreeMap<u64, Arc<str>>,
    len: usize,
}

#[derive(Default)]
struct Members {
    /// In order; `false`: still delayed.
    waiting: BTreeMap<u64, bool>,
    /// How many of its messages are out.
    out: usize,
    /// Where it stands in `offers`.
    offer: Option<u64>,
}

impl Members {
    fn first(&self) -> Option<u64> {
        self.waiting.first_key_value().filter(|(_, visible)| **visible).map(|(seq, _)| *seq)
    }
}

fn name_of(group: &Group) -> Arc<str> {
    // Every message of a FIFO queue has a group; one that had none would be in a group of its own name.
    group.clone().unwrap_or_default()
}

impl Groups {
    fn insert(&mut self, seq: u64, group: &Group, visible: bool) {
        let members = self.groups.entry(name_of(group)).or_default();
        self.len += usize::from(members.waiting.insert(seq, visible).is_none());
        self.renew(group);
    }

    fn remove(&mut self, seq: u64, group: &Group) {
        let Some(members) = self.groups.get_mut(&name_of(group)) else { return };
        self.len -= usize::from(members.waiting.remove(&seq).is_some());
        self.renew(group);
    }

    fn hand_out(&mut self, seq: u64, group: &Group) {
        self.note_out(group);
        self.remove(seq, group);
    }

    fn note_out(&mut self, group: &Group) {
        self.groups.entry(name_of(group)).or_default().out += 1;
        self.renew(group);
    }

    fn end_out(&mut self, group: &Group) {
        if let Some(members) = self.groups.get_mut(&name_of(group)) {
            members.out = members.out.saturating_sub(1);
            self.renew(group);
        }
    }

    /// Brings a group's offer up to date.
    fn renew(&mut self, group: &Group) {
        let name = name_of(group);
        let Some(members) = self.groups.get_mut(&name) else { return };
        let offer = if members.out == 0 { members.first() } else { None };
        if offer != members.offer {
            if let Some(old) = members.offer {
                self.offers.remove(&old);
            }
            members.offer = offer;
        }
        match offer {
            Some(seq) => {
                self.offers.insert(seq, name);
            }
            None if members.waiting.is_empty() && members.out == 0 => {
                self.groups.remove(&name);
            }
            None => {}
        }
    }

    fn next(&self, after: Option<&Group>) -> Option<u64> {
        let same = after.and_then(|group| self.groups.get(&name_of(group))?.first());
        same.or_else(|| self.offers.first_key_value().map(|(seq, _)| *seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Group {
        Some(Arc::from(name))
    }

    /// Takes everything, in the order in which it goes.
    fn drain(ready: &mut Ready, of: impl Fn(u64) -> Group) -> Vec<u64> {
        let mut order = Vec::new();
        while let Some(seq) = ready.next(None) {
            ready.hand_out(seq, &of(seq));
            order.push(seq);
        }
        order
    }

    #[test]
    fn a_lane_gives_the_oldest_first() {
        let mut ready = Ready::new(false);
        for seq in [5, 1, 3] {
            ready.insert(seq, &None);
        }
        assert_eq!(ready.len(), 3);
        assert_eq!(drain(&mut ready, |_| None), [1, 3, 5]);
        assert_eq!(ready.len(), 0);
    }

    #[test]
    fn lanes_take_turns() {
        let mut ready = Ready::new(false);
        let of = |seq: u64| if seq < 100 { group("noisy") } else { group("quiet") };
        for seq in [1, 2, 3, 4, 100, 101] {
            ready.insert(seq, &of(seq));
        }
        assert_eq!(drain(&mut ready, of), [1, 100, 2, 101, 3, 4]);
        ready.insert(7, &of(7));
        ready.remove(7, &of(7));
        assert_eq!((ready.next(None), ready.len(), ready.lanes()), (None, 0, 0));
    }

    #[test]
    fn a_group_waits_for_what_is_out() {
        let mut ready = Ready::new(true);
        let (a, b) = (group("a"), group("b"));
        ready.insert(1, &a);
        ready.insert(2, &a);
        ready.insert(3, &b);
        assert_eq!(ready.next(None), Some(1));
        ready.hand_out(1, &a);
        assert_eq!(ready.next(None), Some(3));
        // The same answer may go on with the group.
        assert_eq!(ready.next(Some(&a)), Some(2));
        ready.hand_out(3, &b);
        assert_eq!(ready.next(None), None);
        ready.end_out(&a);
        assert_eq!(ready.next(None), Some(2));
    }

    #[test]
    fn what_comes_back_goes_before_what_follows_it() {
        let mut ready = Ready::new(true);
        let a = group("a");
        for seq in [1, 2, 3] {
            ready.insert(seq, &a);
        }
        ready.hand_out(1, &a);
        ready.hand_out(2, &a);
        ready.end_out(&a); // 2 was deleted
        assert_eq!(ready.next(None), None);
        ready.insert(1, &a);
        ready.end_out(&a);
        assert_eq!(drain(&mut ready, |_| group("a"))[..1], [1]);
    }

    #[test]
    fn a_delayed_message_holds_its_group() {
        let mut ready = Ready::new(true);
        let a = group("a");
        ready.insert_delayed(1, &a);
        ready.insert(2, &a);
        assert_eq!(ready.next(None), None);
        ready.insert(1, &a);
        assert_eq!(ready.next(None), Some(1));
        ready.remove(1, &a);
        ready.remove(2, &a);
        assert_eq!((ready.len(), ready.lanes()), (0, 0));
    }
}
