//! [`Unsettled`]: what a request may still change on the primary although its
//! caller has given up.
//!
//! A call that timed out, or whose connection was lost, may have been committed,
//! and may also be committed later: it is still in the server's socket, or runs
//! there. Nothing says when it has ended, so what it may change is looked at
//! again, with growing waits, until the longest time has passed that a request
//! can live: `primary_request_lifetime`. That time counts only while the primary
//! answers, because a paused server runs what it had received when it resumes.

use std::{collections::BTreeMap, time::Duration};

/// The first wait between two looks, as a part of the lifetime.
const FIRST_WAIT: u32 = 32;

/// How often the primary is asked whether it answers, as a part of the lifetime.
const TICK: u32 = 20;

/// The longest time between two of these questions.
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// Items that late requests may still change, each with the time until then.
#[derive(Debug)]
pub struct Unsettled<T> {
    lifetime: Duration,
    /// For how long the primary has answered, in all.
    clock: Duration,
    items: BTreeMap<T, Schedule>,
}

/// Times are those of the clock.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    next_look: Duration,
    /// The wait after that look.
    wait: Duration,
    /// From then on no request is left that could change the item.
    end: Duration,
}

/// A look at an item that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Others follow.
    Again,
    /// The item cannot change any more.
    Last,
}

/// How often to call [`Unsettled::answered`] or [`Unsettled::silent`] while there
/// is any item.
pub fn tick(request_lifetime: Duration) -> Duration {
    (request_lifetime / TICK).clamp(Duration::from_millis(1), LONGEST_TICK)
}

impl<T: Ord + Clone> Unsettled<T> {
    /// None, for requests that live so long at most.
    pub fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            clock: Duration::ZERO,
            items: BTreeMap::new(),
        }
    }

    /// For how long the primary has answered, in all.
    pub fn clock(&self) -> Duration {
        self.clock
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Is it among them?
    pub fn contains(&self, item: &T) -> bool {
        self.items.contains_key(item)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.keys()
    }

    /// Adds an item that a request may change from now on. If it is among them,
    /// its time begins anew.
    pub fn insert(&mut self, item: T) {
        let schedule = self.schedule();
        self.items.insert(item, schedule);
    }

    fn schedule(&self) -> Schedule {
        let wait = self.lifetime / FIRST_WAIT;
        Schedule {
            next_look: self.clock + wait,
            wait,
            // The clock is behind by up to a tick.
            end: self.clock + tick(self.lifetime) + self.lifetime,
        }
    }

    /// Removes an item.
    pub fn remove(&mut self, item: &T) {
        self.items.remove(item);
    }

    /// Adds an item, and removes and returns the others that it `covers`.
    pub fn insert_covering(&mut self, item: T, covers: impl Fn(&T, &T) -> bool) -> Vec<T> {
        let others = self.items.keys().filter(|other| **other != item);
        let covered: Vec<T> = others
            .filter(|other| covers(&item, other))
            .cloned()
            .collect();
        for other in &covered {
            self.items.remove(other);
        }
        self.insert(item);
        covered
    }

    /// The primary has answered after this time.
    pub fn answered(&mut self, time: Duration) {
        self.clock += time;
    }

    /// The primary does not answer. What it has received it may run when it
    /// answers again, so the time of every item begins anew.
    pub fn silent(&mut self) {
        let end = self.schedule().end;
        for schedule in self.items.values_mut() {
            schedule.end = end;
        }
    }

    /// The items that are to be looked at now. `oldest_write` is what the clock
    /// said when the oldest write began that is still in flight: while it began
    /// before an item's end, the item's last look has to wait. That write may
    /// have been committed before the late request, and be recorded after the
    /// look.
    pub fn due(&mut self, oldest_write: Option<Duration>) -> Vec<(T, Look)> {
        let mut due = Vec::new();
        for (item, schedule) in &mut self.items {
            let is_last = self.clock >= schedule.end
                && oldest_write.is_none_or(|began| began >= schedule.end);
            if is_last {
                due.push((item.clone(), Look::Last));
            } else if self.clock >= schedule.next_look {
                due.push((item.clone(), Look::Again));
                schedule.wait = (schedule.wait * 2).min(self.lifetime);
                schedule.next_look = self.clock + schedule.wait;
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// The seconds from now at which each look is due.
    fn looks(unsettled: &mut Unsettled<u8>, oldest_write: Option<Duration>) -> Vec<(u64, Look)> {
        let mut looks = Vec::new();
        for second in 1..=200 {
            unsettled.answered(SECOND);
            for (item, look) in unsettled.due(oldest_write) {
                looks.push((second, look));
                if look == Look::Last {
                    unsettled.remove(&item);
                }
            }
        }
        looks
    }

    #[test]
    fn an_item_is_looked_at_with_growing_waits_until_its_request_cannot_live_on() {
        use Look::{Again, Last};
        let mut unsettled = Unsettled::new(LIFETIME);
        unsettled.insert(1);
        let expected = [
            (2, Again),
            (6, Again),
            (14, Again),
            (29, Again),
            (59, Again),
            (61, Last),
        ];
        assert_eq!(looks(&mut unsettled, None), expected);
        assert!(unsettled.is_empty());
    }

    #[test]
    fn the_time_counts_from_when_the_primary_answers_again() {
        let mut unsettled = Unsettled::new(LIFETIME);
        unsettled.insert(1);
        for _ in 0..60 {
            unsettled.answered(SECOND);
        }
        unsettled.silent();
        let looks = looks(&mut unsettled, None);
        assert_eq!(looks.last(), Some(&(61, Look::Last)));
    }

    #[test]
    fn another_uncertain_write_of_an_item_begins_its_time_anew() {
        let mut unsettled = Unsettled::new(LIFETIME);
        unsettled.insert(1);
        unsettled.answered(LIFETIME);
        unsettled.insert(1);
        assert_eq!(unsettled.len(), 1);
        assert_eq!(looks(&mut unsettled, None).last(), Some(&(61, Look::Last)));
    }

    #[test]
    fn the_last_look_waits_for_the_writes_that_began_before_the_end() {
        let mut unsettled = Unsettled::new(LIFETIME);
        unsettled.insert(1);
        let all = looks(&mut unsettled, Some(LIFETIME));
        assert!(all.iter().all(|(_, look)| *look == Look::Again), "{all:?}");
        assert!(!unsettled.is_empty());
        let began = Some(LIFETIME + SECOND);
        assert_eq!(looks(&mut unsettled, began), [(1, Look::Last)]);
    }
}
