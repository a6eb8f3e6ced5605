//! The steps that concern rejected operations.

use super::{
    super::dead_letters,
    Step,
    expected::Rejection,
    machine::{ERROR, Machine, UNLIMITED, choose, write},
};
use crate::dedup::Key;
use plugin_api::value::Timestamp;

impl Machine {
    pub(super) fn run_rejection(&mut self, step: &Step) {
        match step {
            Step::Reject {
                secondary,
                key,
                retry_count,
                dead,
            } => {
                let name = self.name(*secondary);
                let mut operation = write(*key, 0);
                operation.retry_count = *retry_count;
                operation.last_error = Some(ERROR.to_owned());
                let due = (!dead).then(Timestamp::now);
                self.queue.reject(&name, &operation, due).unwrap();
                let rejection = Rejection {
                    retry_count: *retry_count,
                    last_error: ERROR.to_owned(),
                    timestamp: operation.timestamp,
                    dead: *dead,
                };
                self.expected
                    .rejections
                    .insert((name, operation.key), rejection);
            }
            Step::Retry { secondary, key } => {
                let (name, key) = (self.name(*secondary), write(*key, 0).key);
                if self.surely_fits(&name, &key) {
                    self.queue.retry(&name, &key).unwrap();
                    self.expected.retry(&name, &key);
                }
            }
            Step::Resolve { secondary, key } => {
                let (name, key) = (self.name(*secondary), write(*key, 0).key);
                self.queue.resolve(&name, &key).unwrap();
                self.expected.rejections.remove(&(name, key));
            }
            Step::Replay { secondary, which } | Step::Discard { secondary, which } => {
                let name = self.name(*secondary);
                let dead = self.expected.dead(&name);
                let chosen = match which.and_then(|which| choose(&dead, which)) {
                    Some(at) => vec![dead[at].clone()],
                    None => dead,
                };
                let letters = dead_letters(&self.queue, &name).unwrap();
                let id = |key: &Key| {
                    let shown = key.to_string();
                    let mut letters = letters.iter();
                    letters
                        .find(|letter| letter.key == shown)
                        .unwrap()
                        .id
                        .clone()
                };
                let ids: Vec<String> = match which {
                    Some(_) => chosen.iter().map(id).collect(),
                    None => Vec::new(),
                };
                if matches!(step, Step::Discard { .. }) {
                    assert_eq!(self.queue.discard(&name, &ids).unwrap(), chosen.len());
                    for key in chosen {
                        self.expected.rejections.remove(&(name.clone(), key));
                    }
                } else if chosen.iter().all(|key| self.surely_fits(&name, key))
                    && (chosen.len() <= 1 || self.max_bytes == UNLIMITED)
                {
                    assert_eq!(self.queue.replay(&name, &ids).unwrap(), chosen.len());
                    for key in chosen {
                        self.expected.retry(&name, &key);
                    }
                }
            }
            _ => unreachable!(),
        }
    }
}
