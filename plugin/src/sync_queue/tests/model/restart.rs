//! How a process ends, and what the next one opens.

use super::{
    super::names,
    crash,
    expected::size,
    machine::{Machine, SECONDARIES, home, open, write},
};
use crate::sync_queue::{QueueError, store::commit_marker::FILE as COMMIT_MARKER};

impl Machine {
    pub(super) fn restart(&mut self, secondaries: u8) {
        let chosen: Vec<&str> = (0..SECONDARIES.len())
            .filter(|at| (secondaries >> at) & 1 == 1)
            .map(|at| SECONDARIES[at])
            .collect();
        self.cancel_intents_that_may_not_fit();
        self.queue.close();
        let late = self.queue.append(&[write(0, 0)], None);
        assert!(matches!(late, Err(QueueError::Closed)), "{late:?}");
        self.expected.configure(names(&chosen));
        self.reopen();
    }

    /// Leaves the next process the files as they are now.
    pub(super) fn kill(&mut self, appending: Option<u8>, cut: u64) {
        self.cancel_intents_that_may_not_fit();
        let here = home(&self.dir, self.runs);
        let half_written = appending.map(|key| self.write(key)).filter(|operation| {
            // Otherwise a secondary is evicted first, which is another write.
            self.expected.fits(size(operation))
        });
        let before = half_written.as_ref().map(|operation| {
            let (_, before) = crash::journal(&here);
            let marker = std::fs::read(here.join(COMMIT_MARKER)).unwrap();
            self.queue
                .append(std::slice::from_ref(operation), None)
                .unwrap();
            (before, marker)
        });
        self.runs += 1;
        let next = home(&self.dir, self.runs);
        crash::copy(&here, &next);
        if let Some((before, marker)) = before {
            // What is not written is not recorded in the commit marker either.
            std::fs::write(next.join(COMMIT_MARKER), marker).unwrap();
            let (journal, after) = crash::journal(&next);
            let written = cut % (after - before);
            let written = if crash::LENGTHS.contains(&written) {
                crash::LENGTHS.end
            } else {
                written
            };
            crash::unwrite(&journal, before + written..after);
        }
        self.reopen();
    }

    fn cancel_intents_that_may_not_fit(&mut self) {
        if !self.all_intents_fit() {
            for (intent, _) in self.intents.drain(..) {
                self.queue.cancel(&intent);
            }
        }
    }

    fn reopen(&mut self) {
        let (secondaries, dir) = (&self.expected.secondaries, home(&self.dir, self.runs));
        // The former process is gone before the next one opens the queue.
        let id = self.queue.id().to_owned();
        self.queue.close();
        self.queue = open(dir, self.max_bytes, self.fsync, secondaries);
        assert_eq!(self.queue.id(), id, "the store was moved aside");
        self.readings.clear();
        self.requests.clear();
        for (_, key) in std::mem::take(&mut self.intents) {
            self.expect_refresh(key);
        }
        // How they are settled has tests of its own.
        self.queue.intents.forget_unsettled();
    }
}
