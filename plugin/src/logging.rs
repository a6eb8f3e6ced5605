//! The module's log: `tracing` events go to the host's logger.
//!
//! The library has its own copy of `tracing`, shared by all modules created
//! from it. So each module has its own [`Log`]: the threads of its runtime log
//! to it, and so does whatever runs inside [`Log::scope`]. Events from other
//! threads go to the live module that was provisioned last.
//!
//! A field has the same name and meaning in every event: [`FIELDS`]. What the host
//! calls runs in a span, `merge` for a read and `replicate` for a write or a delete,
//! and events inside have its `method` and `request_id`.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `recent_events` | the latest events in memory, for the status page |
//! | `repeats` | events that repeat reach the host's log at a bounded rate |

mod recent_events;
mod repeats;

pub use recent_events::{RecentEvent, RecentEvents};

use arc_swap::ArcSwapOption;
use plugin_api::{
    module::{HostLogger, LogLevel, Logger},
    value::{Object, Value},
};
use repeats::Repeats;
use std::{
    fmt,
    sync::{Arc, Once},
};
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// Every field of an event, with its meaning.
pub const FIELDS: &[(&str, &str)] = &[
    ("request_id", "the host's id of the call, if it gave one"),
    ("method", "the storage method that the host called"),
    ("secondary", "the name of the secondary"),
    ("table", "the table"),
    ("tables", "the tables"),
    ("key", "the key of the row"),
    ("operations", "how many operations"),
    ("rows", "how many rows"),
    ("bytes", "how many bytes"),
    ("from", "the state before"),
    ("to", "the state that a secondary is in now"),
    ("reason", "why something is done"),
    ("error", "the error that occurred, as text"),
    ("remedy", "what fixes it"),
    ("attempts", "how often it was tried"),
    ("due", "when it is tried again"),
    ("timeout", "how long was waited"),
    ("path", "the file or directory"),
    ("equal", "whether every compared row is equal"),
    ("repair", "whether rows that differ are replicated again"),
    ("version", "the module's version"),
    ("commit", "the commit that the library was built from"),
    ("secondaries", "the names of all secondaries"),
    ("sync_enabled", "the setting of this name"),
    ("merge_reads", "the setting of this name"),
    (
        "repeats",
        "so many lines like this one were left out since the latest",
    ),
];

/// The crates whose events below WARN are logged.
const OWN_CRATES: &[&str] = &["db_sync_server", "surreal_storage"];

/// The logger of the module that was provisioned last.
static LATEST: ArcSwapOption<Logger> = ArcSwapOption::const_empty();
static GLOBAL: Once = Once::new();

/// The log of one module.
pub struct Log {
    dispatch: Dispatch,
    logger: Arc<Logger>,
    recent: Arc<RecentEvents>,
}

impl Log {
    /// A log that writes to `logger`, which from now on also receives the events
    /// of threads that belong to no module.
    pub fn new(logger: Logger) -> Self {
        GLOBAL.call_once(|| {
            // Fails only if the program has a subscriber already, which then
            // receives the events of threads that belong to no module.
            let _ = tracing::dispatcher::set_global_default(dispatch(|| LATEST.load_full(), None));
        });
        let logger = Arc::new(logger);
        LATEST.store(Some(Arc::clone(&logger)));
        let own = Arc::clone(&logger);
        let recent = Arc::<RecentEvents>::default();
        let kept = Some(Arc::clone(&recent));
        Self {
            dispatch: dispatch(move || Some(Arc::clone(&own)), kept),
            logger,
            recent,
        }
    }

    /// The latest events of this module.
    pub fn recent_events(&self) -> &RecentEvents {
        &self.recent
    }

    /// Runs `work` with its events going to this log.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.dispatch, work)
    }

    /// To be called at the start of a thread: all its events go to this log.
    pub fn adopt_thread(&self) -> impl Fn() + Send + Sync + 'static {
        let dispatch = self.dispatch.clone();
        move || {
            // Dropping the guard would end it; it lasts as long as the thread.
            std::mem::forget(tracing::dispatcher::set_default(&dispatch));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The host's logger must not outlive its module.
        let latest = LATEST.load();
        if latest
            .as_ref()
            .is_some_and(|latest| Arc::ptr_eq(latest, &self.logger))
        {
            LATEST.compare_and_swap(&latest, None);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

fn dispatch(
    logger: impl Fn() -> Option<Arc<Logger>> + Send + Sync + 'static,
    recent: Option<Arc<RecentEvents>>,
) -> Dispatch {
    Dispatch::new(Registry::default().with(HostLayer {
        logger,
        recent,
        repeats: Repeats::default(),
    }))
}

/// Forwards events, with the fields of the spans around them, to a logger, and
/// keeps the recent ones.
struct HostLayer<L> {
    logger: L,
    recent: Option<Arc<RecentEvents>>,
    repeats: Repeats,
}

impl<L: Fn() -> Option<Arc<Logger>>> HostLayer<L> {
    /// Where events like this are kept; none for details.
    fn keeps(&self, metadata: &Metadata<'_>) -> Option<&RecentEvents> {
        self.recent
            .as_deref()
            .filter(|_| *metadata.level() <= Level::INFO)
    }

    /// The host's logger, if it wants events like this.
    fn wanted_by(&self, metadata: &Metadata<'_>) -> Option<Arc<Logger>> {
        (self.logger)().filter(|logger| logger.enabled(level(*metadata.level()), metadata.target()))
    }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::ERROR,
        Level::WARN => LogLevel::WARN,
        Level::INFO => LogLevel::INFO,
        Level::DEBUG => LogLevel::DEBUG,
        Level::TRACE => LogLevel::TRACE,
    }
}

fn is_noise(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() > Level::WARN && !OWN_CRATES.contains(&root)
}

impl<S, L> Layer<S> for HostLayer<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Fn() -> Option<Arc<Logger>> + 'static,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_noise(metadata) {
            Interest::never()
        } else {
            Interest::sometimes()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Spans of any level are kept: events inside have their fields, too.
        !is_noise(metadata)
            && (metadata.is_span()
                || self.keeps(metadata).is_some()
                || self.wanted_by(metadata).is_some())
    }

    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let (recent, logger) = (self.keeps(metadata), self.wanted_by(metadata));
        let mut fields = Fields::default();
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(|spans| spans.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                for (name, value) in outer.object.iter() {
                    fields.object.insert(name, value.clone());
                }
            }
        }
        event.record(&mut fields);
        let left_out = match *metadata.level() <= Level::INFO {
            true => self.repeats.pass(metadata, &fields),
            false => Some(0),
        };
        if let (Some(logger), Some(left_out)) = (logger, left_out) {
            let mut object = fields.object.clone();
            if left_out > 0 {
                object.insert("repeats", i64::try_from(left_out).unwrap_or(i64::MAX));
            }
            logger.log(
                level(*metadata.level()),
                metadata.target(),
                &fields.message,
                &object,
            );
        }
        if let Some(recent) = recent {
            recent.push(*metadata.level(), fields.message, fields.object);
        }
    }
}

/// Collects the fields of a span or event.
#[derive(Default)]
struct Fields {
    message: String,
    object: Object,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.object.insert(field.name(), value);
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.insert(field, value),
            Err(_) => self.insert(field, value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.insert(field, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use parking_lot::Mutex;

    type Line = (LogLevel, String, String, Object);

    /// A host that collects events at INFO and above.
    #[derive(Clone, Default)]
    struct Host(Arc<Mutex<Vec<Line>>>);

    impl HostLogger for Host {
        fn enabled(&self, level: LogLevel, _: &str) -> bool {
            level >= LogLevel::INFO
        }

        fn log(&self, level: LogLevel, target: &str, message: &str, fields: &Object) {
            self.0
                .lock()
                .push((level, target.to_owned(), message.to_owned(), fields.clone()));
        }
    }

    impl Host {
        fn log(&self) -> Log {
            Log::new(Logger::new(self.clone()))
        }

        fn messages(&self) -> Vec<String> {
            self.0.lock().iter().map(|line| line.2.clone()).collect()
        }
    }

    #[test]
    fn an_event_has_its_level_its_fields_and_those_of_its_spans() {
        let host = Host::default();
        host.log().scope(|| {
            let span =
                tracing::debug_span!("outer", secondary = "office", late = tracing::field::Empty);
            let _entered = span.enter();
            span.record("late", true);
            tracing::warn!(count = 3_u64, huge = u64::MAX, error = %"gone", "lost {}", "it");
        });
        let lines = host.0.lock();
        let (level, target, message, fields) = &lines[0];
        assert_eq!(*level, LogLevel::WARN);
        assert_eq!(target, "db_sync_server::logging::tests");
        assert_eq!(message, "lost it");
        let expected = Object::new()
            .with("secondary", "office")
            .with("late", true)
            .with("count", 3_i64)
            .with("huge", u64::MAX.to_string())
            .with("error", "gone");
        assert_eq!(*fields, expected);
    }

    #[test]
    fn disabled_levels_and_details_of_other_crates_are_not_logged() {
        let host = Host::default();
        host.log().scope(|| {
            tracing::debug!("too little");
            tracing::info!(target: "surrealdb::engine", "noise");
            tracing::warn!(target: "surrealdb::engine", "worth it");
            tracing::info!(target: "surreal_storage::connection", "ours");
        });
        assert_eq!(host.messages(), ["worth it", "ours"]);
    }

    #[test]
    fn each_module_has_its_own_log() {
        let (one, other) = (Host::default(), Host::default());
        let (first, second) = (one.log(), other.log());
        let adopt = first.adopt_thread();
        let thread = std::thread::spawn(move || {
            adopt();
            tracing::info!("from a thread of the first");
        });
        second.scope(|| tracing::info!("from the second"));
        thread.join().unwrap();
        assert_eq!(one.messages(), ["from a thread of the first"]);
        assert_eq!(other.messages(), ["from the second"]);
    }

    #[test]
    fn events_are_kept_also_if_the_host_does_not_want_them() {
        struct Quiet;
        impl HostLogger for Quiet {
            fn enabled(&self, _: LogLevel, _: &str) -> bool {
                false
            }
            fn log(&self, _: LogLevel, _: &str, message: &str, _: &Object) {
                panic!("{message}: not wanted");
            }
        }
        let log = Log::new(Logger::new(Quiet));
        log.scope(|| {
            tracing::debug!("a detail");
            tracing::info!(secondary = "office", "kept");
        });
        let (events, _) = log.recent_events().after(0);
        let [event] = &*events else {
            panic!("{events:?}");
        };
        assert_eq!(event.message, "kept");
        assert_eq!(event.fields, Object::new().with("secondary", "office"));
    }

    #[test]
    fn lines_that_repeat_are_limited_but_no_change_of_state() {
        let host = Host::default();
        let log = host.log();
        log.scope(|| {
            for row in 0..1_000 {
                tracing::warn!(secondary = "office", key = row, "rejected");
            }
            tracing::warn!(secondary = "attic", key = 1, "rejected");
            for _ in 0..20 {
                tracing::warn!(
                    secondary = "office",
                    to = "unreachable",
                    "cannot be reached"
                );
            }
        });
        let lines = host.0.lock();
        let count = |message: &str, secondary: &str| {
            let secondary = Value::from(secondary);
            let is_it =
                |line: &&Line| line.2 == message && line.3.get("secondary") == Some(&secondary);
            lines.iter().filter(is_it).count()
        };
        assert_eq!(count("rejected", "office"), 5);
        assert_eq!(count("rejected", "attic"), 1);
        assert_eq!(count("cannot be reached", "office"), 20);
        // The page has the number of all.
        let (events, _) = log.recent_events().after(0);
        assert_eq!(events[0].count, 1_000);
    }

    /// The fields of an event in source text: `name`, `%name`, `name = value`.
    fn fields_of(macro_text: &str) -> Vec<String> {
        let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
        for (place, letter) in macro_text.char_indices() {
            match letter {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                // What follows is the message, unless it is the value of a field.
                '"' if macro_text[start..place].trim().is_empty() => return names,
                ',' if depth == 0 => {
                    let field = macro_text[start..place].split('=').next().unwrap_or("");
                    names.push(field.trim().trim_start_matches(['%', '?']).to_owned());
                    start = place + 1;
                }
                _ => {}
            }
            if depth < 0 {
                return names;
            }
        }
        names
    }

    #[test]
    fn every_field_of_an_event_has_a_fixed_name() {
        let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut directories = vec![
            home.join("src"),
            home.join("../plugin-api/surreal-storage/src"),
        ];
        let mut events = 0;
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                if path.ends_with("logging.rs") || path.extension().is_none_or(|it| it != "rs") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for level in ["error", "warn", "info", "debug", "trace"] {
                    for event in text.split(&format!("tracing::{level}!(")).skip(1) {
                        events += 1;
                        for name in fields_of(event) {
                            let is_known = FIELDS.iter().any(|(known, _)| *known == name);
                            assert!(is_known, "{}: {name:?} in {:.80}", path.display(), event);
                        }
                    }
                }
            }
        }
        assert!(events > 40, "only {events} events were found");
    }

    #[test]
    fn a_dropped_log_releases_its_logger() {
        let host = Host::default();
        drop(host.log());
        let kept = LATEST.load();
        if let Some(logger) = &*kept {
            // The logger of another test.
            logger.log(LogLevel::INFO, "", "stray", &Object::new());
        }
        assert_eq!(host.messages(), Vec::<String>::new());
    }
}
