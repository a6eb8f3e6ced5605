//! [`Panel`]: the secondaries that take part in one read, asked in parallel.

use super::{QueryMerger, seat::Member, side::Side};
use crossbeam_channel::{Receiver, unbounded};
use plugin_api::{error::StorageResult, storage::CallContext};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A question to one side.
pub(super) type Question<T> = Box<dyn FnOnce(&dyn Side, &CallContext) -> StorageResult<T> + Send>;

/// A secondary's place in the order of precedence; the primary stands before all.
pub(super) type Place = usize;

/// The secondaries that take part in one read.
///
/// Who fails a question or is late leaves the panel: the read's result is the
/// union of the primary and those who have answered everything.
pub(super) struct Panel<'m> {
    merger: &'m QueryMerger,
    context: &'m CallContext,
    started: Instant,
    /// How long each question may take.
    patience: Duration,
    members: BTreeMap<Place, Member>,
}

/// Answers on their way.
pub(super) struct Pending<T> {
    receiver: Receiver<(Place, StorageResult<T>)>,
    asked: BTreeSet<Place>,
    asked_at: Instant,
    patience: Duration,
}

impl<'m> Panel<'m> {
    /// All secondaries that are connected and not known to be slow.
    pub(super) fn new(merger: &'m QueryMerger, context: &'m CallContext) -> Self {
        let members = merger
            .seats
            .iter()
            .enumerate()
            .filter_map(|(place, seat)| Some((place, seat.take()?)))
            .collect();
        Self {
            merger,
            context,
            started: Instant::now(),
            patience: merger.settings.query_timeout,
            members,
        }
    }

    /// The same for a read that goes through whole tables: each question may
    /// take so many times the query timeout.
    pub(super) fn patient(mut self, times: u32) -> Self {
        self.patience = self.patience.saturating_mul(times);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Who takes part, the first in precedence first.
    pub(super) fn places(&self) -> Vec<Place> {
        self.members.keys().copied().collect()
    }

    pub(super) fn merger(&self) -> &'m QueryMerger {
        self.merger
    }

    /// The context for a further call: the caller's, with the time that is left.
    pub(super) fn context(&self) -> CallContext {
        let elapsed = self.started.elapsed();
        CallContext {
            time_left: self
                .context
                .time_left
                .map(|left| Duration::from(left).saturating_sub(elapsed).into()),
            request_id: self.context.request_id.clone(),
        }
    }

    /// Puts questions to secondaries and returns at once.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        questions: impl IntoIterator<Item = (Place, Question<T>)>,
    ) -> Pending<T> {
        let (sender, receiver) = unbounded();
        let context = self.context();
        let patience = context.time_left_or(self.patience);
        let context = CallContext {
            time_left: Some(patience.into()).into(),
            ..context
        };
        let mut asked = BTreeSet::new();
        for (place, question) in questions {
            let Some(member) = self.members.get(&place).cloned() else {
                continue;
            };
            asked.insert(place);
            if patience.is_zero() {
                // The caller's deadline has passed: there is nothing to wait for.
                continue;
            }
            let (sender, context) = (sender.clone(), context.clone());
            self.merger.runtime.spawn_blocking(move || {
                let started = Instant::now();
                let answer = question(&*member.side, &context);
                let error = answer.as_ref().err();
                let took = started.elapsed();
                member
                    .seat
                    .answered(member.connection, took, patience, error);
                // Nobody listens any more if it took too long.
                let _ = sender.send((place, answer));
            });
        }
        Pending {
            receiver,
            asked,
            asked_at: Instant::now(),
            patience,
        }
    }

    /// Puts the same question to everyone and returns at once.
    pub(super) fn begin_all<T: Send + 'static>(
        &self,
        question: impl Fn(&dyn Side, &CallContext) -> StorageResult<T> + Clone + Send + 'static,
    ) -> Pending<T> {
        self.begin(self.places().into_iter().map(|place| {
            let question: Question<T> = Box::new(question.clone());
            (place, question)
        }))
    }

    /// Waits for the answers, but for no probe and not longer than its patience.
    /// Who has not answered leaves the panel.
    pub(super) fn collect<T>(&mut self, pending: Pending<T>) -> BTreeMap<Place, T> {
        let mut answers = BTreeMap::new();
        let mut silent = pending.asked.clone();
        let awaited: BTreeSet<Place> = pending
            .asked
            .iter()
            .copied()
            .filter(|place| self.members.get(place).is_some_and(|member| member.awaited))
            .collect();
        let mut take = |(place, answer): (Place, StorageResult<T>),
                        silent: &mut BTreeSet<Place>| {
            silent.remove(&place);
            match answer {
                Ok(answer) => {
                    answers.insert(place, answer);
                }
                Err(_) => {
                    self.members.remove(&place);
                }
            }
        };
        let deadline = pending.asked_at + pending.patience;
        while !silent.is_disjoint(&awaited) {
            match pending.receiver.recv_deadline(deadline) {
                Ok(answer) => take(answer, &mut silent),
                Err(_) => break,
            }
        }
        for answer in pending.receiver.try_iter() {
            take(answer, &mut silent);
        }
        for place in silent {
            let member = self.members.remove(&place);
            if let Some(member) = member.filter(|member| member.awaited)
                && pending.asked_at.elapsed() >= pending.patience
            {
                member.seat.left_behind(pending.patience);
            }
        }
        answers
    }

    /// Asks everyone and waits.
    pub(super) fn ask_all<T: Send + 'static>(
        &mut self,
        question: impl Fn(&dyn Side, &CallContext) -> StorageResult<T> + Clone + Send + 'static,
    ) -> BTreeMap<Place, T> {
        let pending = self.begin_all(question);
        self.collect(pending)
    }
}
