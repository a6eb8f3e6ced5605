//! The task that records how each secondary does, for the status page.

use super::Pipeline;
use crate::status::{HISTORY_INTERVAL, History};
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};

/// Takes a sample of each secondary again and again. Ends with the runtime.
pub(super) async fn run(pipeline: Pipeline, secondaries: Vec<String>, history: Arc<History>) {
    let secondaries: Arc<[String]> = secondaries.into();
    let mut ticks = interval(HISTORY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Pipeline { queue, executor } = pipeline.clone();
        let (secondaries, history) = (Arc::clone(&secondaries), Arc::clone(&history));
        // The backlog may have to be read from the disk.
        let sample = move || {
            for name in &*secondaries {
                let backlog = queue.backlog(name).into();
                history.record(name, &backlog, &executor.progress(name).unwrap_or_default());
            }
        };
        // One that fails is left out.
        let _ = tokio::task::spawn_blocking(sample).await;
    }
}
