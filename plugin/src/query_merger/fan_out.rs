//! [`FanOut`]: the secondaries that take part in one read, asked in parallel.

use super::{QueryMerger, backend::Backend, circuit_breaker::Participant};
use crossbeam_channel::{Receiver, Sender, unbounded};
use plugin_api::{error::StorageResult, storage::CallContext};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A question to one backend.
pub(super) type Question<T> =
    Box<dyn FnOnce(&dyn Backend, &CallContext) -> StorageResult<T> + Send>;

/// A secondary's rank in the order of precedence; the primary stands before all.
pub(super) type Rank = usize;

/// An answer that takes longer than this is late: whether its server is gone is
/// looked at on the backend.
const SUSPECT_AFTER: Duration = Duration::from_millis(50);

/// The secondaries that take part in one read.
///
/// Who fails a question or is late leaves the fan_out: the read's result is the
/// union of the primary and those who have answered everything.
pub(super) struct FanOut<'m> {
    merger: &'m QueryMerger,
    context: &'m CallContext,
    started: Instant,
    /// How long each question may take.
    timeout: Duration,
    participants: BTreeMap<Rank, Participant>,
}

type Answer<T> = (Rank, StorageResult<T>);

/// Answers on their way.
pub(super) struct Pending<T> {
    sender: Sender<Answer<T>>,
    receiver: Receiver<Answer<T>>,
    asked: BTreeSet<Rank>,
    asked_at: Instant,
    timeout: Duration,
}

impl<'m> FanOut<'m> {
    /// All secondaries that are connected and not known to be slow.
    pub(super) fn new(merger: &'m QueryMerger, context: &'m CallContext) -> Self {
        let participants = merger
            .breakers
            .iter()
            .enumerate()
            .filter_map(|(rank, breaker)| Some((rank, breaker.take()?)))
            .collect();
        Self {
            merger,
            context,
            started: Instant::now(),
            timeout: merger.settings.query_timeout,
            participants,
        }
    }

    /// The same for a call that began before: that much less time is left.
    pub(super) fn since(mut self, started: Instant) -> Self {
        self.started = started;
        self
    }

    /// The same for a read that goes through whole tables: each question may
    /// take so many times the query timeout.
    pub(super) fn patient(mut self, times: u32) -> Self {
        self.timeout = self.timeout.saturating_mul(times);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.participants.is_empty()
    }

    /// Who takes part, the first in precedence first.
    pub(super) fn ranks(&self) -> Vec<Rank> {
        self.participants.keys().copied().collect()
    }

    pub(super) fn merger(&self) -> &'m QueryMerger {
        self.merger
    }

    /// The context for a further call: the caller's, with the time that is left.
    pub(super) fn context(&self) -> CallContext {
        self.context.after(self.started.elapsed())
    }

    /// Puts questions to secondaries and returns at once.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        questions: impl IntoIterator<Item = (Rank, Question<T>)>,
    ) -> Pending<T> {
        let (sender, receiver) = unbounded();
        let context = self.context();
        let timeout = context.time_left_or(self.timeout);
        let context = context.limited_to(timeout);
        let mut asked = BTreeSet::new();
        for (rank, question) in questions {
            let Some(participant) = self.participants.get(&rank).cloned() else {
                continue;
            };
            asked.insert(rank);
            if timeout.is_zero() {
                // The caller's deadline has passed: there is nothing to wait for.
                continue;
            }
            let (sender, context) = (sender.clone(), context.clone());
            self.merger.runtime.spawn_blocking(move || {
                let started = Instant::now();
                let answer = question(&*participant.backend, &context);
                let error = answer.as_ref().err();
                let took = started.elapsed();
                participant
                    .breaker
                    .answered(participant.connection, took, timeout, error);
                // Nobody listens any more if it took too long.
                let _ = sender.send((rank, answer));
            });
        }
        Pending {
            sender,
            receiver,
            asked,
            asked_at: Instant::now(),
            timeout,
        }
    }

    /// Puts the same question to everyone and returns at once.
    pub(super) fn begin_all<T: Send + 'static>(
        &self,
        question: impl Fn(&dyn Backend, &CallContext) -> StorageResult<T> + Clone + Send + 'static,
    ) -> Pending<T> {
        self.begin(self.ranks().into_iter().map(|rank| {
            let question: Question<T> = Box::new(question.clone());
            (rank, question)
        }))
    }

    /// Waits for the answers, but for no probe and not longer than its timeout.
    /// Who has not answered leaves the fan_out.
    pub(super) fn collect<T: Send + 'static>(&mut self, pending: Pending<T>) -> BTreeMap<Rank, T> {
        let Pending {
            sender,
            receiver,
            asked,
            asked_at,
            timeout,
        } = pending;
        let is_awaited = |rank: &Rank| self.participants.get(rank).is_some_and(|m| m.awaited);
        let mut awaited: BTreeSet<Rank> = asked.iter().copied().filter(is_awaited).collect();
        let mut received = BTreeMap::new();
        receive(
            &receiver,
            asked_at + timeout.min(SUSPECT_AFTER),
            &mut awaited,
            &mut received,
        );
        if timeout > SUSPECT_AFTER {
            for rank in &awaited {
                self.look(*rank, sender.clone());
            }
        }
        // Only those who may still answer hold the channel open.
        drop(sender);
        receive(&receiver, asked_at + timeout, &mut awaited, &mut received);
        for (rank, answer) in receiver.try_iter() {
            received.entry(rank).or_insert(answer);
        }

        let mut answers = BTreeMap::new();
        for rank in asked {
            match received.remove(&rank) {
                Some(Ok(answer)) => {
                    answers.insert(rank, answer);
                    continue;
                }
                Some(Err(_)) => {}
                None if asked_at.elapsed() >= timeout => {
                    if let Some(participant) = self.participants.get(&rank).filter(|m| m.awaited) {
                        participant.breaker.timed_out(timeout);
                    }
                }
                None => {}
            }
            self.participants.remove(&rank);
        }
        answers
    }

    /// Looks on the side whether the server of one that is late is gone: then
    /// that is its answer.
    fn look<T: Send + 'static>(&self, rank: Rank, sender: Sender<Answer<T>>) {
        let Some(participant) = self.participants.get(&rank).cloned() else {
            return;
        };
        self.merger.runtime.spawn_blocking(move || {
            if let Some(error) = participant.breaker.look(participant.connection) {
                let _ = sender.send((rank, Err(error)));
            }
        });
    }

    /// Asks everyone and waits.
    pub(super) fn ask_all<T: Send + 'static>(
        &mut self,
        question: impl Fn(&dyn Backend, &CallContext) -> StorageResult<T> + Clone + Send + 'static,
    ) -> BTreeMap<Rank, T> {
        let pending = self.begin_all(question);
        self.collect(pending)
    }
}

/// Takes answers until none is awaited any more, or until `deadline`.
fn receive<T>(
    receiver: &Receiver<Answer<T>>,
    deadline: Instant,
    awaited: &mut BTreeSet<Rank>,
    received: &mut BTreeMap<Rank, StorageResult<T>>,
) {
    while !awaited.is_empty() {
        let Ok((rank, answer)) = receiver.recv_deadline(deadline) else {
            return;
        };
        awaited.remove(&rank);
        received.entry(rank).or_insert(answer);
    }
}
