//! Events.

use super::{
    QueryMerger,
    methods::merged_reads,
    order,
    read_specs::{self, ReadMethod},
};
use plugin_api::{
    error::StorageResult,
    records::EventSearch,
    rust_type,
    storage::{CallContext, Events, FoundEvents},
    value::Timestamp,
};

merged_reads! {
    top get_events_by_subject(user_id: str, subject: str) -> Events, order::oldest_event;
}

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn search_events(
        &self,
        context: &CallContext,
        search: &EventSearch,
    ) -> StorageResult<FoundEvents> {
        let limit = read_specs::search_events.limit_or_default(search.limit);
        let search = with_absolute_start(search);
        self.list(
            ReadMethod::search_events,
            context,
            order::event,
            limit,
            move |backend, context, limit| {
                let search = EventSearch {
                    limit,
                    ..search.clone()
                };
                backend.search_events(context, &search)
            },
        )
    }
}

/// The search with "the last so many hours" turned into a point in time, so that
/// all databases use the same.
fn with_absolute_start(search: &EventSearch) -> EventSearch {
    EventSearch {
        from: search.earliest(Timestamp::now()).into(),
        last_hours: 0,
        last_days: 0,
        last_months: 0,
        ..search.clone()
    }
}
