//! [`FanOut`]: sends the requests of one read to the secondaries in parallel.

use super::{QueryMerger, backend::Backend, circuit_breaker::Participant, read_specs::ReadMethod};
use crate::metrics::instruments::ReadOutcome;
use crossbeam_channel::{Receiver, Sender, unbounded};
use plugin_api::{
    error::{ErrorKind, StorageResult},
    panic::guard,
    storage::CallContext,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::Span;

/// A request to one backend.
pub(super) type Request<T> = Box<dyn FnOnce(&dyn Backend, &CallContext) -> StorageResult<T> + Send>;

/// A secondary's rank in the order of precedence, 0 first. The primary has none:
/// it precedes them all.
pub(super) type Rank = usize;

/// A response that takes longer than this is late: its server is asked whether it
/// is there, so that a read does not wait the whole timeout for a dead one.
const LATE_AFTER: Duration = Duration::from_millis(50);

/// How often a read that goes on waiting has this looked at again.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The secondaries that take part in one read.
///
/// A secondary that fails a request or misses the timeout drops out: the read's
/// result is the union of the primary and those that answered every request.
pub(super) struct FanOut<'m> {
    merger: &'m QueryMerger,
    method: ReadMethod,
    context: &'m CallContext,
    started: Instant,
    /// How long each request may take.
    timeout: Duration,
    participants: BTreeMap<Rank, Participant>,
    /// What became of each secondary's part so far. Counted when the read ends.
    outcomes: BTreeMap<Rank, ReadOutcome>,
}

type Response<T> = (Rank, StorageResult<T>);

/// Requests that were sent, and the channel for their responses.
pub(super) struct InFlight<T> {
    sender: Sender<Response<T>>,
    receiver: Receiver<Response<T>>,
    ranks: BTreeSet<Rank>,
    sent_at: Instant,
    timeout: Duration,
}

impl<'m> FanOut<'m> {
    /// To all secondaries that are connected and whose circuit breaker lets the
    /// read through.
    pub(super) fn new(
        merger: &'m QueryMerger,
        method: ReadMethod,
        context: &'m CallContext,
    ) -> Self {
        let (mut participants, mut outcomes) = (BTreeMap::new(), BTreeMap::new());
        for (rank, breaker) in merger.breakers.iter().enumerate() {
            match breaker.participant() {
                Ok(participant) => drop(participants.insert(rank, participant)),
                Err(outcome) => drop(outcomes.insert(rank, outcome)),
            }
        }
        Self {
            merger,
            method,
            context,
            started: Instant::now(),
            timeout: merger.settings.query_timeout,
            participants,
            outcomes,
        }
    }

    /// The same for a call that began at `started`: the caller's deadline counts
    /// from there.
    pub(super) fn since(mut self, started: Instant) -> Self {
        self.started = started;
        self
    }

    /// The same for a read that goes through whole tables: each request may take
    /// `factor` times the query timeout.
    pub(super) fn with_timeout_factor(mut self, factor: u32) -> Self {
        self.timeout = self.timeout.saturating_mul(factor);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.participants.is_empty()
    }

    /// The participants' ranks, in the order of precedence.
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

    /// Sends requests to participants, without waiting.
    pub(super) fn send<T: Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = (Rank, Request<T>)>,
    ) -> InFlight<T> {
        let (sender, receiver) = unbounded();
        let context = self.context();
        let timeout = context.time_left_or(self.timeout);
        let context = context.limited_to(timeout);
        let mut ranks = BTreeSet::new();
        for (rank, request) in requests {
            let Some(participant) = self.participants.get(&rank).cloned() else {
                continue;
            };
            ranks.insert(rank);
            if timeout.is_zero() {
                // The caller's deadline has passed: there is nothing to wait for.
                continue;
            }
            let (sender, context, span) = (sender.clone(), context.clone(), Span::current());
            self.merger.runtime.spawn_blocking(move || {
                let _span = span.entered();
                let Participant {
                    breaker, connected, ..
                } = participant;
                let started = Instant::now();
                let response = guard("asking a secondary", || {
                    request(&*connected.backend, &context)
                });
                if let Err(error) = &response {
                    let secondary = breaker.name();
                    tracing::debug!(secondary, %error, "a read does without the secondary");
                }
                breaker.responded(
                    &connected,
                    started.elapsed(),
                    timeout,
                    response.as_ref().err(),
                );
                // The receiver is gone if it took too long.
                let _ = sender.send((rank, response));
            });
        }
        InFlight {
            sender,
            receiver,
            ranks,
            sent_at: Instant::now(),
            timeout,
        }
    }

    /// Sends the same request to all participants, without waiting.
    pub(super) fn send_all<T: Send + 'static>(
        &self,
        request: impl Fn(&dyn Backend, &CallContext) -> StorageResult<T> + Clone + Send + 'static,
    ) -> InFlight<T> {
        self.send(self.ranks().into_iter().map(|rank| {
            let request: Request<T> = Box::new(request.clone());
            (rank, request)
        }))
    }

    /// Waits for the responses, but for no probe's, and no longer than the
    /// timeout. A participant without a successful one drops out.
    pub(super) fn collect<T: Send + 'static>(
        &mut self,
        in_flight: InFlight<T>,
    ) -> BTreeMap<Rank, T> {
        let InFlight {
            sender,
            receiver,
            ranks,
            sent_at,
            timeout,
        } = in_flight;
        let is_awaited = |rank: &Rank| self.participants.get(rank).is_some_and(|it| it.awaited);
        let mut awaited: BTreeSet<Rank> = ranks.iter().copied().filter(is_awaited).collect();
        let mut responses = BTreeMap::new();
        let deadline = sent_at + timeout;
        let mut check_at = sent_at + LATE_AFTER;
        while check_at < deadline && !awaited.is_empty() {
            receive(&receiver, check_at, &mut awaited, &mut responses);
            for rank in &awaited {
                self.check_alive(*rank, &sender);
            }
            check_at = Instant::now() + CHECK_INTERVAL;
        }
        receive(&receiver, deadline, &mut awaited, &mut responses);
        for (rank, response) in receiver.try_iter() {
            responses.entry(rank).or_insert(response);
        }

        let mut results = BTreeMap::new();
        for rank in ranks {
            let outcome = match responses.remove(&rank) {
                Some(Ok(result)) => {
                    results.insert(rank, result);
                    self.outcomes.insert(rank, ReadOutcome::Merged);
                    continue;
                }
                None => {
                    let participant = self.participants.get(&rank);
                    if let Some(participant) = participant.filter(|it| it.awaited)
                        && sent_at.elapsed() >= timeout
                    {
                        let secondary = participant.breaker.name();
                        tracing::debug!(
                            secondary,
                            ?timeout,
                            "a read waits no longer for the secondary"
                        );
                        participant.breaker.timed_out(timeout);
                    }
                    ReadOutcome::TooSlow
                }
                Some(Err(error)) if error.kind == ErrorKind::TIMEOUT => ReadOutcome::TooSlow,
                Some(Err(_)) => ReadOutcome::Failed,
            };
            self.outcomes.insert(rank, outcome);
            self.participants.remove(&rank);
        }
        results
    }

    /// Asks in the background, if that is due, whether the server of a late
    /// response is there. If not, the error is its response.
    fn check_alive<T: Send + 'static>(&self, rank: Rank, sender: &Sender<Response<T>>) {
        let Some(Participant {
            breaker, connected, ..
        }) = self.participants.get(&rank)
        else {
            return;
        };
        let generation = connected.generation;
        if !breaker.is_check_due(generation) {
            return;
        }
        let (breaker, sender) = (Arc::clone(breaker), sender.clone());
        self.merger.runtime.spawn_blocking(move || {
            if let Err(error) = breaker.check_alive(generation) {
                let _ = sender.send((rank, Err(error)));
            }
        });
    }

    /// Sends the same request to all participants and waits.
    pub(super) fn request_all<T: Send + 'static>(
        &mut self,
        request: impl Fn(&dyn Backend, &CallContext) -> StorageResult<T> + Clone + Send + 'static,
    ) -> BTreeMap<Rank, T> {
        let in_flight = self.send_all(request);
        self.collect(in_flight)
    }
}

impl Drop for FanOut<'_> {
    fn drop(&mut self) {
        for (rank, outcome) in &self.outcomes {
            self.merger.breakers[*rank].count(self.method, *outcome);
        }
    }
}

/// Receives until no response is awaited any more, or until `deadline`.
fn receive<T>(
    receiver: &Receiver<Response<T>>,
    deadline: Instant,
    awaited: &mut BTreeSet<Rank>,
    responses: &mut BTreeMap<Rank, StorageResult<T>>,
) {
    while !awaited.is_empty() {
        let Ok((rank, response)) = receiver.recv_deadline(deadline) else {
            return;
        };
        awaited.remove(&rank);
        responses.entry(rank).or_insert(response);
    }
}
