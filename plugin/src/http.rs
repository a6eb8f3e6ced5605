//! The HTTP routes: they report the [`Status`](crate::status::Status) and
//! control replication. The [`page`] shows it in a browser.
//!
//! The host serves them. Responses are JSON, except for the page and the metrics;
//! errors are `{"error": "…"}` with a 4xx or 5xx status.

mod page;

use crate::{
    metrics,
    replication::{DEFAULT_EXAMPLES, MAX_EXAMPLES, Replication, VerifyJob, VerifyOptions},
    status::{HISTORY_INTERVAL, Health},
};
use plugin_api::{
    error::{ErrorKind, ModuleResult, StorageError},
    ffi::{List, Pair, Text},
    module::{HttpEndpointProvider, HttpRequest, HttpResponse, HttpRoute},
    value::Timestamp,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The path that the routes of the module have in common.
pub const BASE_PATH: &str = "/api/db-sync";

/// The response of a route.
type RouteResult = Result<HttpResponse, HttpError>;

struct Route {
    method: &'static str,
    path: &'static str,
    about: &'static str,
    handle: fn(&Arc<Replication>, &HttpRequest) -> RouteResult,
}

const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/api/db-sync/status",
        about: "What replication is doing: the state, backlog, throughput, dead letters and resyncs of each secondary; `?secondary=NAME` for one of them.",
        handle: |replication, request| {
            let names = selected(replication, request.query("secondary"))?;
            let mut status = replication.status();
            status.secondaries.retain(|one| names.contains(&one.name));
            json_response(200, &status)
        },
    },
    Route {
        method: "GET",
        path: "/api/db-sync/health",
        about: "Is replication healthy, and if not, what fixes it? 503 if it is unhealthy: a promise is not kept.",
        handle: health,
    },
    Route {
        method: "GET",
        path: "/health/db-sync",
        about: "The same as `/api/db-sync/health`.",
        handle: health,
    },
    Route {
        method: "GET",
        path: "/api/db-sync/metrics",
        about: "Metrics in Prometheus' text format.",
        handle: |replication, _| {
            let text = metrics::encode(replication.scrape()).map_err(|error| {
                HttpError::new(500, format!("the metrics could not be encoded: {error}"))
            })?;
            Ok(HttpResponse {
                status: 200,
                content_type: metrics::CONTENT_TYPE.into(),
                body: text.into_bytes().into(),
                ..HttpResponse::default()
            })
        },
    },
    Route {
        method: "GET",
        path: "/api/db-sync/history",
        about: "Backlog, lag, throughput and apply latency of each secondary over the last 15 minutes; `?after=TIME` for what is newer.",
        handle: |replication, request| {
            let after = request.query("after").map(str::parse).transpose();
            let after: Option<Timestamp> =
                after.map_err(|error: String| HttpError::new(400, format!("after: {error}")))?;
            json_response(
                200,
                &json!({
                    "interval_seconds": HISTORY_INTERVAL.as_secs(),
                    "secondaries": replication.history().after(after),
                }),
            )
        },
    },
    Route {
        method: "GET",
        path: "/api/db-sync/events",
        about: "The latest 200 events, such as changes of state; `?after=NEXT` for what is new since the answer that had this `next`.",
        handle: |replication, request| {
            let after = request.query("after").unwrap_or("0").parse();
            let after = after.map_err(|_| {
                HttpError::new(400, "after has to be the next of the answer before")
            })?;
            let (events, next) = replication.log().recent_events().after(after);
            json_response(200, &json!({"events": events, "next": next}))
        },
    },
    Route {
        method: "GET",
        path: "/api/db-sync/dead-letters",
        about: "The operations that were rejected and are not retried any more; `?secondary=NAME` for those of one secondary. At most `limit` (500); the rest follows with `after`, the answer's `next`.",
        handle: dead_letters,
    },
    Route {
        method: "POST",
        path: "/api/db-sync/pause",
        about: "Pauses replication until it is resumed or the module starts again. Writes continue and wait in the log.",
        handle: |replication, _| {
            replication.pause();
            json_response(200, &json!({"paused": true}))
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/resume",
        about: "Resumes replication.",
        handle: |replication, _| {
            replication.resume();
            json_response(200, &json!({"paused": false}))
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/dead-letters/replay",
        about: "Queues dead letters again: `{\"ids\": […], \"secondary\": NAME}`; all of them if no `ids` are given.",
        handle: |replication, request| {
            let letters: DeadLetterBody = body(request)?;
            let secondaries = selected(replication, letters.secondary.as_deref())?;
            let replayed = replication.replay(&secondaries, &letters.ids)?;
            counted(&letters.ids, "replayed", replayed)
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/dead-letters/discard",
        about: "Deletes dead letters: `{\"ids\": […], \"secondary\": NAME}`; all of them if no `ids` are given.",
        handle: |replication, request| {
            let letters: DeadLetterBody = body(request)?;
            let secondaries = selected(replication, letters.secondary.as_deref())?;
            let discarded = replication.discard(&secondaries, &letters.ids)?;
            counted(&letters.ids, "discarded", discarded)
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/resync",
        about: "Replicates the primary's rows again, in the background: `{\"tables\": […], \"secondary\": NAME}`; all tables if none are given.",
        handle: |replication, request| {
            let requested: TablesBody = body(request)?;
            let secondaries = selected(replication, requested.secondary.as_deref())?;
            replication.resync(&secondaries, &requested.tables)?;
            json_response(
                202,
                &json!({"secondaries": secondaries, "tables": all_or(&requested.tables)}),
            )
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/verify",
        about: "Compares the secondaries with the primary and replicates differing rows again: `{\"tables\": […], \"secondary\": NAME}`; `\"repair\": false` only compares, `\"wait\": false` compares in the background, `\"examples\": N` lists so many differing rows of each table (10, at most 100), `\"show_values\": true` with the values that differ.",
        handle: |replication, request| {
            let requested: VerifyBody = body(request)?;
            if requested.examples > MAX_EXAMPLES {
                let message = format!("examples has to be a number from 0 to {MAX_EXAMPLES}");
                return Err(HttpError::new(400, message));
            }
            let secondaries = selected(replication, requested.secondary.as_deref())?;
            let options = VerifyOptions {
                repair: requested.repair,
                examples: requested.examples,
            };
            if requested.wait {
                let report = replication.verify(&secondaries, &requested.tables, options)?;
                return match requested.show_values {
                    true => json_response(200, &report),
                    false => json_response(200, &report.without_values()),
                };
            }
            replication.start_verify(secondaries, &requested.tables, options)?;
            verify_job(replication, 202, false)
        },
    },
    Route {
        method: "GET",
        path: "/api/db-sync/verify",
        about: "The comparison that is running, or the latest one: its progress and its result, without the values of rows.",
        handle: |replication, _| verify_job(replication, 200, false),
    },
    Route {
        method: "POST",
        path: "/api/db-sync/verify/values",
        about: "The same with the values that differ. It changes nothing; it is a POST so that a host that asks for a token before a change asks for it here, too.",
        handle: |replication, _| verify_job(replication, 200, true),
    },
    Route {
        method: "POST",
        path: "/api/db-sync/verify/cancel",
        about: "Ends the running comparison after the present page of rows. Its result is of what was compared.",
        handle: |replication, _| {
            replication.cancel_verify()?;
            json_response(200, &json!({"cancelled": true}))
        },
    },
];

/// The dead letters that a request is about.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DeadLetterBody {
    ids: Vec<String>,
    secondary: Option<String>,
}

/// The tables that a request is about.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TablesBody {
    tables: Vec<String>,
    secondary: Option<String>,
}

/// A comparison that is requested.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct VerifyBody {
    tables: Vec<String>,
    secondary: Option<String>,
    repair: bool,
    wait: bool,
    examples: usize,
    show_values: bool,
}

impl Default for VerifyBody {
    fn default() -> Self {
        Self {
            tables: Vec::new(),
            secondary: None,
            repair: true,
            wait: true,
            examples: DEFAULT_EXAMPLES,
            show_values: false,
        }
    }
}

/// A response with a 4xx or 5xx status.
struct HttpError {
    status: u16,
    message: String,
}

impl HttpError {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl From<StorageError> for HttpError {
    fn from(error: StorageError) -> Self {
        let status = match error.kind {
            ErrorKind::NOT_FOUND => 404,
            ErrorKind::INVALID_INPUT => 400,
            ErrorKind::CONFLICT => 409,
            ErrorKind::UNSUPPORTED => 501,
            ErrorKind::CONNECTION | ErrorKind::CLOSED => 503,
            ErrorKind::TIMEOUT => 504,
            _ => 500,
        };
        Self::new(status, error.message)
    }
}

fn json_response(status: u16, body: &impl Serialize) -> RouteResult {
    let body = serde_json::to_vec_pretty(body).map_err(|error| {
        HttpError::new(500, format!("the response could not be encoded: {error}"))
    })?;
    Ok(HttpResponse {
        status,
        content_type: "application/json".into(),
        body: body.into(),
        headers: api_headers(),
    })
}

/// An answer is of this moment, and nothing but JSON.
fn api_headers() -> List<Pair<Text, Text>> {
    [
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    .into_iter()
    .map(|(name, value)| Pair(name.into(), value.into()))
    .collect()
}

/// The request's body; an empty one means `{}`.
fn body<T: Default + DeserializeOwned>(request: &HttpRequest) -> Result<T, HttpError> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    // As an object first: serde would also read a list as a struct.
    serde_json::from_slice(&request.body)
        .and_then(|object| serde_json::from_value(Json::Object(object)))
        .map_err(|error| HttpError::new(400, format!("the body is invalid: {error}")))
}

fn health(replication: &Arc<Replication>, _: &HttpRequest) -> RouteResult {
    let status = replication.status();
    let code = match status.health {
        Health::Healthy | Health::Degraded => 200,
        Health::Unhealthy => 503,
    };
    json_response(
        code,
        &json!({"status": status.health, "ok": status.health == Health::Healthy, "reasons": status.reasons}),
    )
}

/// The comparison that runs, or the latest one.
fn verify_job(replication: &Replication, status: u16, with_values: bool) -> RouteResult {
    let job = replication.verify_job();
    let job = match with_values {
        true => job,
        false => job.map(VerifyJob::without_values),
    };
    json_response(status, &json!({ "job": job }))
}

/// Dead letters of one answer, unless the request has a `limit`.
const DEFAULT_LIMIT: usize = 500;
/// The highest `limit`.
const MAX_LIMIT: usize = 10_000;

/// One page of dead letters: of the selected secondaries in order, by id. `next` is
/// the last one's secondary and id if there may be more, for `after`.
fn dead_letters(replication: &Arc<Replication>, request: &HttpRequest) -> RouteResult {
    let limit = match request.query("limit").map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
        Some(_) => {
            let message = format!("limit has to be a number from 1 to {MAX_LIMIT}");
            return Err(HttpError::new(400, message));
        }
    };
    let secondaries = selected(replication, request.query("secondary"))?;
    let (first, mut after) = match request.query("after") {
        None => (0, None),
        Some(text) => {
            let position = text.rsplit_once('/').and_then(|(name, id)| {
                let at = secondaries.iter().position(|known| known == name)?;
                Some((at, Some(id)))
            });
            position.ok_or_else(|| {
                HttpError::new(400, "after has to be the next of the answer before")
            })?
        }
    };
    let mut letters = Vec::new();
    for secondary in &secondaries[first..] {
        let room = limit - letters.len();
        for letter in replication.dead_letters(secondary, after.take(), room)? {
            let mut letter = json!(letter);
            letter["secondary"] = json!(secondary);
            letters.push(letter);
        }
    }
    let is_full = letters.len() == limit;
    let next = letters.last().filter(|_| is_full).and_then(|last| {
        let part = |name| last[name].as_str();
        Some(format!("{}/{}", part("secondary")?, part("id")?))
    });
    json_response(200, &json!({"dead_letters": letters, "next": next}))
}

/// The named secondary, or all of them.
fn selected(replication: &Replication, name: Option<&str>) -> Result<Vec<String>, HttpError> {
    let all = replication.secondaries();
    let Some(name) = name else {
        return Ok(all);
    };
    if all.iter().any(|known| known == name) {
        return Ok(vec![name.to_owned()]);
    }
    Err(HttpError::new(
        404,
        format!(
            "there is no secondary {name:?}; there are: {}",
            all.join(", ")
        ),
    ))
}

fn all_or(tables: &[String]) -> Json {
    match tables {
        [] => json!("all"),
        tables => json!(tables),
    }
}

/// How many dead letters were handled; 404 if ids are given and none exists.
fn counted(ids: &[String], action: &str, count: usize) -> RouteResult {
    if count == 0 && !ids.is_empty() {
        return Err(HttpError::new(
            404,
            format!("there is no dead letter with the id {}", ids.join(" or ")),
        ));
    }
    json_response(200, &json!({action: count}))
}

/// Handles requests to the routes.
pub struct Endpoints<F> {
    replication: F,
}

impl<F> Endpoints<F>
where
    F: Fn() -> Option<Arc<Replication>> + Send + Sync,
{
    /// Each request goes to what `replication` returns at that time: none
    /// while the module is not running.
    pub fn new(replication: F) -> Self {
        Self { replication }
    }

    fn route(&self, request: &HttpRequest) -> RouteResult {
        if let Some(file) = page::file(&request.path)
            && request.method.as_str() == "GET"
        {
            return Ok(file.response());
        }
        let at_path = || {
            ROUTES
                .iter()
                .filter(|route| route.path == request.path.as_str())
        };
        let Some(route) = at_path().find(|route| route.method == request.method.as_str()) else {
            let mut methods: Vec<&str> = at_path().map(|route| route.method).collect();
            methods.extend(page::file(&request.path).map(|_| "GET"));
            return Err(match methods.as_slice() {
                [] => HttpError::new(
                    404,
                    format!(
                        "there is no route {}; try GET {BASE_PATH}/status",
                        request.path
                    ),
                ),
                methods => HttpError::new(
                    405,
                    format!("{} supports {} only", request.path, methods.join(", ")),
                ),
            });
        };
        let replication = (self.replication)().ok_or_else(|| {
            HttpError::new(503, "replication is not running: the module is disabled, not provisioned yet or cleaned up")
        })?;
        replication
            .log()
            .scope(|| (route.handle)(&replication, request))
    }
}

impl<F> HttpEndpointProvider for Endpoints<F>
where
    F: Fn() -> Option<Arc<Replication>> + Send + Sync,
{
    fn base_path(&self) -> String {
        BASE_PATH.to_owned()
    }

    fn routes(&self) -> Vec<HttpRoute> {
        let file = |file: &page::File| HttpRoute {
            method: "GET".into(),
            path: file.path.into(),
            about: file.about.into(),
        };
        let route = |route: &Route| HttpRoute {
            method: route.method.into(),
            path: route.path.into(),
            about: route.about.into(),
        };
        let files = page::FILES.iter().map(file);
        files.chain(ROUTES.iter().map(route)).collect()
    }

    fn handle(&self, request: &HttpRequest) -> ModuleResult<HttpResponse> {
        match self.route(request) {
            Ok(response) => Ok(response),
            Err(HttpError { status, message }) => Ok(HttpResponse {
                status,
                content_type: "application/json".into(),
                body: json!({"error": message}).to_string().into_bytes().into(),
                headers: api_headers(),
            }),
        }
    }
}
