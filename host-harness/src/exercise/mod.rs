//! Calls all 64 methods and checks each answer, on the primary alone or also through
//! the module, where both must agree.
//!
//! The calls and the expected answers are data: `script.yaml`. [`run`] executes it on
//! a storage; [`Report::new`] compares two runs.

mod expectation;
mod normal;

use crate::call::{CallError, call};
use normal::Normalizer;
use plugin_api::storage::{CallContext, CodeStorage, METHODS, StatsProvider, Storage};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

const SCRIPT: &str = include_str!("script.yaml");

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// One call of the script, and what to expect of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The method.
    pub call: String,
    /// Its arguments by name, with `${name}` for what was saved before.
    pub args: Json,
    /// The pattern that the answer must fit.
    #[serde(default)]
    pub expect: Json,
    /// The kind of error that it must fail with, instead.
    #[serde(default)]
    pub error: Option<String>,
    /// What to save of the answer: a JSON pointer by name.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// Is the answer ordered by random ids?
    #[serde(default)]
    pub by_id: bool,
}

/// The script.
///
/// # Errors
/// It is not a valid script.
pub fn script() -> Result<Vec<Step>, serde_yaml::Error> {
    serde_yaml::from_str(SCRIPT)
}

/// The outcome of one step.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The method.
    pub method: String,
    /// How long it took.
    pub took: Duration,
    /// What is wrong with the answer; none if it is correct.
    pub problem: Option<String>,
    /// The answer without what differs from run to run: ids and times.
    normal: Json,
}

/// Runs the script on a storage. It should be empty, and is closed afterwards.
pub fn run<S: Storage + StatsProvider + CodeStorage>(
    storage: &S,
    steps: &[Step],
    mut progress: impl FnMut(&Step),
) -> Vec<Outcome> {
    let mut saved = BTreeMap::new();
    let mut normalizer = Normalizer::default();
    steps
        .iter()
        .map(|step| {
            progress(step);
            let arguments = fill_in(&step.args, &saved);
            let started = Instant::now();
            let context = CallContext::with_timeout(CALL_TIMEOUT);
            let answer = call(storage, &context, &step.call, arguments);
            let took = started.elapsed();
            let problem = check(step, &answer, &mut saved).err();
            Outcome {
                method: step.call.clone(),
                took,
                problem,
                normal: normalizer.normalize(&answer, step.by_id),
            }
        })
        .collect()
}

fn check(
    step: &Step,
    answer: &Result<Json, CallError>,
    saved: &mut BTreeMap<String, Json>,
) -> Result<(), String> {
    match (answer, &step.error) {
        (Err(CallError::Storage(error)), Some(kind)) if error.kind.name() == kind => Ok(()),
        (Err(error), Some(kind)) => Err(format!("should fail with {kind}, failed with: {error}")),
        (Err(error), None) => Err(format!("failed: {error}")),
        (Ok(answer), Some(kind)) => Err(format!("should fail with {kind}, answered {answer}")),
        (Ok(answer), None) => {
            for (name, pointer) in &step.save {
                let value = answer
                    .pointer(pointer)
                    .ok_or_else(|| format!("has no {pointer} to save as {name}"))?;
                saved.insert(name.clone(), value.clone());
            }
            expectation::check(&fill_in(&step.expect, saved), answer)
        }
    }
}

/// Replaces each text that is `${name}` by what was saved under that name.
fn fill_in(json: &Json, saved: &BTreeMap<String, Json>) -> Json {
    match json {
        Json::String(text) => text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .and_then(|name| saved.get(name))
            .unwrap_or(json)
            .clone(),
        Json::Array(items) => items.iter().map(|item| fill_in(item, saved)).collect(),
        Json::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), fill_in(value, saved)))
            .collect(),
        other => other.clone(),
    }
}

/// The outcome of one method.
#[derive(Clone, Debug, Serialize)]
pub struct MethodReport {
    /// The trait that it belongs to.
    pub trait_name: &'static str,
    /// Its name.
    pub method: &'static str,
    /// How often it was called on each storage.
    pub calls: usize,
    /// The mean time of a call on the primary, in microseconds.
    pub bare_us: u128,
    /// The mean time of a call through the module, in microseconds; none if there
    /// was no such run.
    pub wrapped_us: Option<u128>,
    /// What is wrong; empty if every answer was correct.
    pub problems: Vec<String>,
}

/// The outcome of all methods.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many methods answered as they should.
    pub passed: usize,
    /// How many methods there are.
    pub total: usize,
    /// One by one, in the order of the contract.
    pub methods: Vec<MethodReport>,
}

impl Report {
    /// Compares a run on the primary with one through the module.
    pub fn new(bare: &[Outcome], wrapped: Option<&[Outcome]>) -> Self {
        let methods: Vec<MethodReport> = METHODS
            .iter()
            .map(|method| report(method.trait_name, method.name, bare, wrapped))
            .collect();
        Self {
            passed: methods
                .iter()
                .filter(|method| method.problems.is_empty())
                .count(),
            total: methods.len(),
            methods,
        }
    }

    /// Did every method answer correctly, and the same on both?
    pub fn is_good(&self) -> bool {
        self.passed == self.total
    }
}

fn report(
    trait_name: &'static str,
    method: &'static str,
    bare: &[Outcome],
    wrapped: Option<&[Outcome]>,
) -> MethodReport {
    let of = |outcomes: &[Outcome]| -> Vec<(usize, Outcome)> {
        let all = outcomes.iter().cloned().enumerate();
        all.filter(|(_, outcome)| outcome.method == method)
            .collect()
    };
    let calls = of(bare);
    let wrapped_calls = wrapped.map(of);
    let mut problems = Vec::new();
    if calls.is_empty() {
        problems.push("is not in the script".to_owned());
    }
    let mut note = |side: &str, calls: &[(usize, Outcome)]| {
        for (at, outcome) in calls {
            if let Some(problem) = &outcome.problem {
                problems.push(format!("{side}, step {}: {problem}", at + 1));
            }
        }
    };
    note("bare", &calls);
    note("wrapped", wrapped_calls.as_deref().unwrap_or_default());
    for ((at, bare), (_, wrapped)) in calls.iter().zip(wrapped_calls.iter().flatten()) {
        if bare.normal != wrapped.normal {
            let difference = normal::difference(&bare.normal, &wrapped.normal);
            problems.push(format!("step {}: {difference}", at + 1));
        }
    }
    MethodReport {
        trait_name,
        method,
        calls: calls.len(),
        bare_us: mean_us(&calls),
        wrapped_us: wrapped_calls.as_deref().map(mean_us),
        problems,
    }
}

fn mean_us(calls: &[(usize, Outcome)]) -> u128 {
    let total: Duration = calls.iter().map(|(_, outcome)| outcome.took).sum();
    total.as_micros() / u128::try_from(calls.len().max(1)).unwrap_or(1)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14} {:<29} {:>5} {:>10} {:>10}  answer",
            "trait", "method", "calls", "bare", "wrapped"
        )?;
        for method in &self.methods {
            let time = |us: Option<u128>| us.map_or("-".to_owned(), |us| format!("{us} µs"));
            let verdict = if method.problems.is_empty() {
                "ok"
            } else {
                "WRONG"
            };
            writeln!(
                f,
                "{:<14} {:<29} {:>5} {:>10} {:>10}  {verdict}",
                method.trait_name,
                method.method,
                method.calls,
                time(Some(method.bare_us)),
                time(method.wrapped_us)
            )?;
            for problem in &method.problems {
                writeln!(f, "    {problem}")?;
            }
        }
        writeln!(
            f,
            "{} of {} methods answered as expected",
            self.passed, self.total
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_script_calls_every_method_and_no_other() {
        let steps = script().unwrap();
        for method in METHODS {
            let step = steps.iter().find(|step| step.call == method.name);
            let step = step.unwrap_or_else(|| panic!("{} is not called", method.name));
            let given: Vec<&String> = step.args.as_object().unwrap().keys().collect();
            assert_eq!(given.len(), method.arguments.len(), "{}", method.name);
        }
        for step in &steps {
            assert!(
                METHODS.iter().any(|method| method.name == step.call),
                "{}",
                step.call
            );
        }
    }

    #[test]
    fn saved_values_are_filled_in() {
        let saved = BTreeMap::from([("a".to_owned(), Json::from(7))]);
        let json = serde_json::json!({"x": ["${a}", "${b}", "a ${a}"]});
        assert_eq!(
            fill_in(&json, &saved),
            serde_json::json!({"x": [7, "${b}", "a ${a}"]})
        );
    }
}
