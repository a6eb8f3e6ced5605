//! Digests of ranges of a table: what many rows are, in one small answer.

use super::{TableScan, key_value, measured::size};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, RecordId, Value},
};

/// What a range of a table holds.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeDigest {
    /// How many rows.
    pub rows: u64,
    /// The last one's record id; none if there is no row.
    pub last: Option<RecordId>,
    /// Equal for equal rows, types included. It may differ for equal rows where two
    /// versions of the database write a value differently.
    pub digest: Value,
}

impl TableScan {
    /// The digest of the first `limit` rows behind the record id `after`. The rows are
    /// read one by one and stay in the database; none of a table that does not exist.
    ///
    /// # Errors
    /// The database's.
    pub fn digest_next(
        &self,
        database: &(impl Storage + ?Sized),
        context: &CallContext,
        after: Option<&RecordId>,
        limit: usize,
    ) -> StorageResult<RangeDigest> {
        self.range_digest(database, context, after, None, &format!("LIMIT {limit}"))
    }

    /// The digest of the rows behind the record id `after` up to `through`, that one
    /// included.
    ///
    /// # Errors
    /// The database's.
    pub fn digest_between(
        &self,
        database: &(impl Storage + ?Sized),
        context: &CallContext,
        after: Option<&RecordId>,
        through: &RecordId,
    ) -> StorageResult<RangeDigest> {
        self.range_digest(database, context, after, Some(through), "")
    }

    fn range_digest(
        &self,
        database: &(impl Storage + ?Sized),
        context: &CallContext,
        after: Option<&RecordId>,
        through: Option<&RecordId>,
        limit: &str,
    ) -> StorageResult<RangeDigest> {
        let mut parameters = self.parameters();
        let range = range(&mut parameters, after, through);
        let filter = self.filter_clause();
        // Of a row no more is kept than its digest: rows may be large.
        let sql = format!(
            "{{ LET $rows = (SELECT VALUE [id, crypto::blake3(<string> $this)] \
                FROM type::record($scan_table, {range}) {filter} {limit}); \
                RETURN [array::len($rows), $rows[$][0], crypto::blake3(<string> $rows)]; }}"
        );
        let answer = match database.query(context, &sql, &parameters) {
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Vec::new(),
            answer => answer?.into_first_rows(),
        };
        let mut answer = answer.into_iter();
        let (rows, last) = (answer.next(), answer.next());
        Ok(RangeDigest {
            rows: size(rows.as_ref()),
            last: match last {
                Some(Value::RecordId(id)) => Some((*id).clone()),
                None | Some(Value::None | Value::Null) => None,
                Some(other) => {
                    let reason = format!("the end of a range is {other}, no record id");
                    return Err(StorageError::internal(reason));
                }
            },
            digest: answer.next().unwrap_or_default(),
        })
    }
}

/// A range of record ids, with the parameters that it names.
pub(super) fn range(
    parameters: &mut Object,
    after: Option<&RecordId>,
    through: Option<&RecordId>,
) -> String {
    let mut bound = |name: &str, id: Option<&RecordId>, range: &'static str| {
        let Some(id) = id else { return "" };
        parameters.insert(name, key_value(id));
        range
    };
    let from = bound("scan_after", after, "$scan_after>");
    let to = bound("scan_through", through, "=$scan_through");
    format!("{from}..{to}")
}
