//! Receiving, and waiting for something to receive.
//!
//! What arrives while somebody waits goes straight to whoever waits longest. The wait is measured in real time: a user who
//! moves the clock does not end it, but what becomes visible by that is handed out at once.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use frontdoor::Call;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::handle::Handle;
use super::row::Message;
use super::state::{Grave, Harvest, Taken, Terms, Waiter};
use super::{Messages, Picture, locked};
use crate::errors::SqsError;
use crate::queue::Queue;

/// What a receiver asks for.
pub(crate) struct Wanted {
    /// 1 to 10.
    pub(crate) max: usize,
    pub(crate) visibility_s: u32,
    pub(crate) wait: Duration,
    /// `ReceiveRequestAttemptId`, for FIFO queues.
    pub(crate) attempt: Option<String>,
    /// The dead-letter queue, if there is one.
    pub(crate) grave: Option<Grave>,
}

/// A message that was received.
pub(crate) struct Received {
    pub(crate) message: Arc<Message>,
    pub(crate) handle: String,
    pub(crate) seq: u64,
    /// In all queues that it was in.
    pub(crate) count: u32,
    pub(crate) first_received_at: Timestamp,
}

enum Step {
    Done {
        is_over_limit: bool,
    },
    Read,
    /// What leaves may have held something up: look again when it is gone.
    Again,
    Wait {
        number: u64,
        reply: oneshot::Receiver<Vec<Taken>>,
    },
}

struct Receiver<'a> {
    messages: &'a Arc<Messages>,
    picture: Arc<Picture>,
    terms: Arc<Terms>,
    max: usize,
    is_fifo: bool,
    taken: Vec<Taken>,
}

impl Messages {
    /// Receives messages; waits for some if asked to. Whoever has gone away gets none.
    ///
    /// # Errors
    /// `OverLimit` when too many messages are in flight; when the server stops; when the store cannot be read.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        call: &Call,
        queue: &Queue,
        wanted: Wanted,
    ) -> Result<Vec<Received>, SqsError> {
        if self.stopping.is_cancelled() {
            return Err(SqsError::Stopping);
        }
        // Whoever receives in a loop from within the process lets others work, too.
        tokio::task::consume_budget().await;
        let picture = self.picture(queue);
        self.load(queue.uid, &picture).await?;
        let terms = Terms {
            queue: queue.uid,
            visibility_ms: i64::from(wanted.visibility_s) * 1000,
            retention_ms: i64::from(queue.attributes.retention_s) * 1000,
            grave: wanted.grave,
        };
        let mut receiver = Receiver {
            messages: self,
            picture,
            terms: Arc::new(terms),
            max: wanted.max,
            is_fifo: queue.is_fifo(),
            taken: Vec::new(),
        };
        let deadline = Instant::now() + wanted.wait;
        if let Some(id) = &wanted.attempt {
            receiver.repeat(id);
        }
        let received = loop {
            let is_over_limit = receiver.gather(call, deadline).await?;
            let taken = std::mem::take(&mut receiver.taken);
            let is_empty = taken.is_empty();
            let received = receiver.read_contents(taken)?;
            // All that was taken turned out to be gone: look again.
            if !received.is_empty() || is_empty {
                if is_over_limit && is_empty && !queue.is_fifo() && wanted.wait.is_zero() {
                    return Err(SqsError::other(
                        "OverLimit",
                        "Too many messages in flight: 120000 of this queue's messages were received and not deleted.",
                    ));
                }
                break received;
            }
        };
        if call.is_abandoned() {
            receiver.give_back(received.into_iter().map(|(taken, _)| taken).collect());
            return Ok(Vec::new());
        }
        if let Some(id) = wanted.attempt {
            receiver.remember(id, &received);
        }
        Ok(received.into_iter().map(|(taken, message)| receiver.received(&taken, message)).collect())
    }
}

impl Receiver<'_> {
    /// Takes what there is, reads what is missing, waits. Says whether it ended because too much is in flight.
    async fn gather(&mut self, call: &Call, deadline: Instant) -> Result<bool, SqsError> {
        let queue = self.terms.queue;
        let mut may_top_up = !self.is_fifo;
        loop {
            let may_wait = Instant::now() < deadline && !self.messages.stopping.is_cancelled();
            let (step, harvest) = self.look(may_wait && !call.is_abandoned(), may_top_up);
            self.taken.extend(harvest.taken);
            for written in self.messages.write_exits(queue, harvest.exits) {
                written.wait().await?;
            }
            match step {
                Step::Done { is_over_limit } => return Ok(is_over_limit),
                Step::Again => {}
                Step::Read => {
                    let read = self.messages.read_on(queue, &self.picture).await;
                    match read {
                        Err(error) if self.taken.is_empty() => return Err(error),
                        Err(_) => return Ok(false),
                        Ok(()) => may_top_up = self.taken.is_empty(),
                    }
                }
                Step::Wait { number, reply } => {
                    self.taken = self.wait(call, deadline, number, reply).await;
                    if !self.taken.is_empty() {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// One look at the picture; whoever finds nothing gets in line under the same lock.
    fn look(&self, may_wait: bool, may_top_up: bool) -> (Step, Harvest) {
        let mut state = locked(&self.picture.state);
        let now = self.messages.clock.now();
        state.release_due(now);
        let mut harvest = state.take(now, self.max - self.taken.len(), &self.terms);
        let count = self.taken.len() + harvest.taken.len();
        let reading_helps = state.wants_reading() && !harvest.is_over_limit;
        let step = if count == self.max {
            Step::Done { is_over_limit: false }
        } else if reading_helps && (count == 0 || may_top_up) {
            Step::Read
        } else if count == 0 && may_wait && harvest.exits.is_empty() {
            let (sender, reply) = oneshot::channel();
            let number = self.messages.next_waiter();
            let (max, terms) = (self.max, Arc::clone(&self.terms));
            state.waiters.push_back(Waiter { number, max, terms, reply: sender });
            Step::Wait { number, reply }
        } else if count == 0 && !harvest.exits.is_empty() {
            Step::Again
        } else {
            Step::Done { is_over_limit: std::mem::take(&mut harvest.is_over_limit) }
        };
        self.messages.look_after(self.terms.queue, &mut state);
        (step, harvest)
    }

    async fn wait(
        &self,
        call: &Call,
        deadline: Instant,
        number: u64,
        mut reply: oneshot::Receiver<Vec<Taken>>,
    ) -> Vec<Taken> {
        let gone = tokio::select! {
            biased;
            taken = &mut reply => return taken.unwrap_or_default(),
            () = call.abandoned() => true,
            () = self.messages.stopping.cancelled() => false,
            () = tokio::time::sleep_until(deadline) => false,
        };
        locked(&self.picture.state).waiters.retain(|waiter| waiter.number != number);
        // Something may have come at the last moment.
        let taken = reply.try_recv().unwrap_or_default();
        if gone {
            self.give_back(taken);
            return Vec::new();
        }
        taken
    }

    fn give_back(&self, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        locked(&self.picture.state).give_back(taken, self.messages.clock.now());
        self.messages.serve(self.terms.queue);
    }

    /// Brings the messages themselves. What is gone, or past its retention, is left out.
    fn read_contents(&self, taken: Vec<Taken>) -> Result<Vec<(Taken, Arc<Message>)>, SqsError> {
        let now = self.messages.clock.now();
        let mut received = Vec::with_capacity(taken.len());
        for mut taken in taken {
            let message = match taken.message.take() {
                Some(message) => Some(message),
                None => self.messages.message(self.terms.queue, taken.seq)?,
            };
            match message {
                Some(message) if message.head.sent_at.0 + self.terms.retention_ms > now.0 => {
                    received.push((taken, message));
                }
                Some(_) => {
                    let exit = locked(&self.picture.state).see_off(taken.seq);
                    let exits =
                        super::state::Exits { expired: exit.into_iter().collect(), buried: Vec::new() };
                    drop(self.messages.write_exits(self.terms.queue, exits));
                }
                None => locked(&self.picture.state).leave(taken.seq),
            }
        }
        Ok(received)
    }

    fn repeat(&mut self, id: &str) {
        let mut state = locked(&self.picture.state);
        let now = self.messages.clock.now();
        state.release_due(now);
        self.taken = state.repeat_attempt(id, now, &self.terms);
        if !self.taken.is_empty() {
            self.max = self.taken.len();
        }
        self.messages.look_after(self.terms.queue, &mut state);
    }

    fn remember(&self, id: String, received: &[(Taken, Arc<Message>)]) {
        let receives = received.iter().map(|(taken, _)| (taken.seq, taken.nonce)).collect();
        locked(&self.picture.state).remember_attempt(id, receives, self.messages.clock.now());
    }

    fn received(&self, taken: &Taken, message: Arc<Message>) -> Received {
        let handle = Handle { queue: self.terms.queue, seq: taken.seq, nonce: taken.nonce };
        Received {
            count: taken.count.saturating_add(message.head.received_before),
            handle: handle.encode(),
            seq: taken.seq,
            first_received_at: taken.first_received_at,
            message,
        }
    }
}
