//! [`Panel`]: the secondaries that take part in one read, asked in parallel.

use super::{QueryMerger, seat::Member, side::Side};
use crossbeam_channel::{Receiver, Sender, unbounded};
use plugin_api::{error::StorageResult, storage::CallContext};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A question to one side.
pub(super) type Question<T> = Box<dyn FnOnce(&dyn Side, &CallContext) -> StorageResult<T> + Send>;

/// A secondary's place in the order of precedence; the primary stands before all.
pub(super) type Place = usize;

/// An answer that takes longer than this is late: whether its server is gone is
/// looked at on the side.
const LATE: Duration = Duration::from_millis(50);

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

type Answer<T> = (Place, StorageResult<T>);

/// Answers on their way.
pub(super) struct Pending<T> {
    sender: Sender<Answer<T>>,
    receiver: Receiver<Answer<T>>,
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

    /// The same for a call that began before: that much less time is left.
    pub(super) fn since(mut self, started: Instant) -> Self {
        self.started = started;
        self
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
        self.context.after(self.started.elapsed())
    }

    /// Puts questions to secondaries and returns at once.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        questions: impl IntoIterator<Item = (Place, Question<T>)>,
    ) -> Pending<T> {
        let (sender, receiver) = unbounded();
        let context = self.context();
        let patience = context.time_left_or(self.patience);
        let context = context.limited_to(patience);
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
            sender,
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
    pub(super) fn collect<T: Send + 'static>(&mut self, pending: Pending<T>) -> BTreeMap<Place, T> {
        let Pending {
            sender,
            receiver,
            asked,
            asked_at,
            patience,
        } = pending;
        let is_awaited = |place: &Place| self.members.get(place).is_some_and(|m| m.awaited);
        let mut awaited: BTreeSet<Place> = asked.iter().copied().filter(is_awaited).collect();
        let mut received = BTreeMap::new();
        receive(
            &receiver,
            asked_at + patience.min(LATE),
            &mut awaited,
            &mut received,
        );
        if patience > LATE {
            for place in &awaited {
                self.look(*place, sender.clone());
            }
        }
        // Only those who may still answer hold the channel open.
        drop(sender);
        receive(&receiver, asked_at + patience, &mut awaited, &mut received);
        for (place, answer) in receiver.try_iter() {
            received.entry(place).or_insert(answer);
        }

        let mut answers = BTreeMap::new();
        for place in asked {
            match received.remove(&place) {
                Some(Ok(answer)) => {
                    answers.insert(place, answer);
                    continue;
                }
                Some(Err(_)) => {}
                None if asked_at.elapsed() >= patience => {
                    if let Some(member) = self.members.get(&place).filter(|m| m.awaited) {
                        member.seat.left_behind(patience);
                    }
                }
                None => {}
            }
            self.members.remove(&place);
        }
        answers
    }

    /// Looks on the side whether the server of one that is late is gone: then
    /// that is its answer.
    fn look<T: Send + 'static>(&self, place: Place, sender: Sender<Answer<T>>) {
        let Some(member) = self.members.get(&place).cloned() else {
            return;
        };
        self.merger.runtime.spawn_blocking(move || {
            if let Some(error) = member.seat.look(member.connection) {
                let _ = sender.send((place, Err(error)));
            }
        });
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

/// Takes answers until none is awaited any more, or until `deadline`.
fn receive<T>(
    receiver: &Receiver<Answer<T>>,
    deadline: Instant,
    awaited: &mut BTreeSet<Place>,
    received: &mut BTreeMap<Place, StorageResult<T>>,
) {
    while !awaited.is_empty() {
        let Ok((place, answer)) = receiver.recv_deadline(deadline) else {
            return;
        };
        awaited.remove(&place);
        received.entry(place).or_insert(answer);
    }
}
