//! [`EqualRanges`]: passes over what is equal on both sides, many rows at a time.
//!
//! While the secondary computes the digest of one range, the primary computes that of
//! the next. A range that differs is looked for in a smaller one, and compared row by
//! row once it is small.

use super::page::{CompareError, Sides};
use plugin_api::{
    error::{ErrorKind, StorageResult},
    storage::CallContext,
    value::RecordId,
};
use std::{
    panic::resume_unwind,
    thread::{self, ScopedJoinHandle},
};
use surreal_storage::table_scan::{RangeDigest, TableScan};

/// Rows of the first range, and of the smallest one.
const SMALLEST: usize = 500;

/// Rows of the largest range: a comparison can be cancelled between two.
const LARGEST: usize = 16_000;

/// What comes behind a record id.
pub(super) enum Next {
    /// Rows that are equal, up to and with `through`.
    Equal { rows: usize, through: RecordId },
    /// About so many rows, of which some may differ.
    Unequal { rows: usize },
    /// The primary has no row any more.
    End,
}

/// A table on both sides, and how many rows to look at next.
pub(super) struct EqualRanges<'a> {
    sides: &'a Sides<'a>,
    scan: TableScan,
    rows: usize,
    /// Was the range before equal? Then the one behind is worth a look ahead.
    was_equal: bool,
    /// The primary's range behind the one before, if it is known.
    ahead: Option<Ahead>,
}

struct Ahead {
    after: RecordId,
    digest: StorageResult<RangeDigest>,
}

impl<'a> EqualRanges<'a> {
    pub(super) fn new(sides: &'a Sides<'a>) -> Self {
        Self {
            sides,
            scan: TableScan::new(sides.table, SMALLEST),
            rows: SMALLEST,
            was_equal: true,
            ahead: None,
        }
    }

    /// What comes behind `after`.
    pub(super) fn next(&mut self, after: Option<&RecordId>) -> Result<Next, CompareError> {
        loop {
            let asked = self.rows;
            let ahead = self.ahead.take().filter(|it| Some(&it.after) == after);
            let ours = match ahead.map_or_else(|| self.on_primary(after), |it| it.digest) {
                Ok(ours) => ours,
                Err(error) if error.kind == ErrorKind::TIMEOUT => {
                    if self.shrinks() {
                        continue;
                    }
                    return Ok(Next::Unequal { rows: asked });
                }
                Err(error) => return Err(CompareError::Source(error)),
            };
            let Some(through) = ours.last.clone() else {
                return Ok(Next::End);
            };
            let rows = usize::try_from(ours.rows).unwrap_or(usize::MAX);
            match self.on_secondary(after, &through) {
                Ok(theirs) if theirs == ours => {
                    self.rows = LARGEST.min(self.rows * 4);
                    self.was_equal = true;
                    return Ok(Next::Equal { rows, through });
                }
                Err(error) if error.kind != ErrorKind::TIMEOUT => {
                    return Err(CompareError::Secondary(error));
                }
                Ok(_) | Err(_) => {
                    self.was_equal = false;
                    self.ahead = None;
                    if rows <= SMALLEST || !self.shrinks() {
                        return Ok(Next::Unequal { rows });
                    }
                }
            }
        }
    }

    /// Looks at fewer rows from now on, unless these are the fewest.
    fn shrinks(&mut self) -> bool {
        let shrinks = self.rows > SMALLEST;
        self.rows = SMALLEST.max(self.rows / 8);
        shrinks
    }

    fn on_primary(&self, after: Option<&RecordId>) -> StorageResult<RangeDigest> {
        // The primary's connection is the host's: it is not to be held for long.
        let context = CallContext::with_timeout(self.sides.timeout / 3);
        self.scan
            .digest_next(self.sides.primary, &context, after, self.rows)
    }

    /// The secondary's digest. Has the primary compute that of what follows meanwhile,
    /// if that is likely to be of use.
    fn on_secondary(
        &mut self,
        after: Option<&RecordId>,
        through: &RecordId,
    ) -> StorageResult<RangeDigest> {
        let this = &*self;
        let (theirs, following) = thread::scope(|scope| {
            let following = this
                .was_equal
                .then(|| scope.spawn(|| this.on_primary(Some(through))));
            let context = CallContext::with_timeout(this.sides.timeout);
            let theirs = this
                .scan
                .digest_between(this.sides.secondary, &context, after, through);
            (theirs, following.map(ScopedJoinHandle::join))
        });
        self.ahead = following.map(|digest| Ahead {
            after: through.clone(),
            digest: digest.unwrap_or_else(|panic| resume_unwind(panic)),
        });
        theirs
    }
}
