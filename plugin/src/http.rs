//! The HTTP routes: [`Status`](crate::status::Status) to look at, and the
//! controls to steer replication.
//!
//! The host does the networking. Answers are JSON, but for the metrics; what a
//! client did wrong is `{"error": "…"}` with a 4xx status.

use crate::{metrics, replication::Replication, status::Health};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    module::{HttpEndpointProvider, HttpRequest, HttpResponse, HttpRoute},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Where the routes live.
pub const BASE_PATH: &str = "/api/db-sync";

/// What a route answers: a status code and a body, or what was wrong.
type Answer = Result<HttpResponse, Refusal>;

struct Route {
    method: &'static str,
    path: &'static str,
    about: &'static str,
    answer: fn(&Replication, &HttpRequest) -> Answer,
}

const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/api/db-sync/status",
        about: "What replication is doing: each secondary's connection, backlog, rate, dead letters and resyncs.",
        answer: |replication, _| json_answer(200, &replication.status()),
    },
    Route {
        method: "GET",
        path: "/api/db-sync/health",
        about: "Healthy or degraded, why, and what will mend it. Always 200 while the module works.",
        answer: health,
    },
    Route {
        method: "GET",
        path: "/health/db-sync",
        about: "The same as /api/db-sync/health.",
        answer: health,
    },
    Route {
        method: "GET",
        path: "/api/db-sync/metrics",
        about: "The numbers of the status in Prometheus' text format.",
        answer: |replication, _| {
            let text = metrics::encode(replication.status()).map_err(|error| {
                Refusal::new(500, format!("the metrics could not be encoded: {error}"))
            })?;
            Ok(HttpResponse {
                status: 200,
                content_type: metrics::CONTENT_TYPE.into(),
                body: text.into_bytes().into(),
            })
        },
    },
    Route {
        method: "GET",
        path: "/api/db-sync/dead-letters",
        about: "The operations that a secondary refused for good; ?secondary=NAME for one of them.",
        answer: dead_letters,
    },
    Route {
        method: "POST",
        path: "/api/db-sync/pause",
        about: "Stops copying; writes go on and wait in the log. Ends with resume or the next start.",
        answer: |replication, _| {
            replication.pause();
            json_answer(200, &json!({"paused": true}))
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/resume",
        about: "Goes on copying.",
        answer: |replication, _| {
            replication.resume();
            json_answer(200, &json!({"paused": false}))
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/dead-letters/replay",
        about: "Queues dead letters again: {\"ids\": […], \"secondary\": NAME}; all of them without ids.",
        answer: |replication, request| {
            let letters: Letters = body(request)?;
            let secondaries = chosen(replication, letters.secondary.as_deref())?;
            let replayed = replication.replay(&secondaries, &letters.ids)?;
            counted(&letters.ids, "replayed", replayed)
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/dead-letters/discard",
        about: "Drops dead letters: {\"ids\": […], \"secondary\": NAME}; all of them without ids.",
        answer: |replication, request| {
            let letters: Letters = body(request)?;
            let secondaries = chosen(replication, letters.secondary.as_deref())?;
            let discarded = replication.discard(&secondaries, &letters.ids)?;
            counted(&letters.ids, "discarded", discarded)
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/resync",
        about: "Copies the primary's rows again, in the background: {\"tables\": […], \"secondary\": NAME}; all tables without tables.",
        answer: |replication, request| {
            let walk: Walk = body(request)?;
            let secondaries = chosen(replication, walk.secondary.as_deref())?;
            replication.resync(&secondaries, &walk.tables)?;
            json_answer(
                202,
                &json!({"secondaries": secondaries, "tables": all_or(&walk.tables)}),
            )
        },
    },
    Route {
        method: "POST",
        path: "/api/db-sync/verify",
        about: "Compares the secondaries with the primary and has differences copied again: {\"tables\": […], \"secondary\": NAME}.",
        answer: |replication, request| {
            let walk: Walk = body(request)?;
            let secondaries = chosen(replication, walk.secondary.as_deref())?;
            let report = replication.verify(&secondaries, &walk.tables)?;
            json_answer(200, &report)
        },
    },
];

/// Which dead letters.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Letters {
    ids: Vec<String>,
    secondary: Option<String>,
}

/// Which tables of which secondary.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Walk {
    tables: Vec<String>,
    secondary: Option<String>,
}

/// An answer with a 4xx or 5xx status.
struct Refusal {
    status: u16,
    message: String,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl From<StorageError> for Refusal {
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

fn json_answer(status: u16, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec_pretty(body)
        .map_err(|error| Refusal::new(500, format!("the answer cannot be written: {error}")))?;
    Ok(HttpResponse {
        status,
        content_type: "application/json".into(),
        body: body.into(),
    })
}

/// The request's body; an empty one stands for `{}`.
fn body<T: Default + DeserializeOwned>(request: &HttpRequest) -> Result<T, Refusal> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    // Read as an object first: serde would also take a list for a struct.
    serde_json::from_slice(&request.body)
        .and_then(|object| serde_json::from_value(Json::Object(object)))
        .map_err(|error| Refusal::new(400, format!("the body is not what is expected: {error}")))
}

fn health(replication: &Replication, _: &HttpRequest) -> Answer {
    let status = replication.status();
    json_answer(
        200,
        &json!({"status": status.health, "ok": status.health == Health::Healthy, "reasons": status.reasons}),
    )
}

fn dead_letters(replication: &Replication, request: &HttpRequest) -> Answer {
    let mut letters = Vec::new();
    for secondary in chosen(replication, request.query("secondary"))? {
        for letter in replication.dead_letters(&secondary)? {
            let mut letter = json!(letter);
            letter["secondary"] = json!(secondary);
            letters.push(letter);
        }
    }
    json_answer(200, &json!({"dead_letters": letters}))
}

/// The named secondary, or all.
fn chosen(replication: &Replication, name: Option<&str>) -> Result<Vec<String>, Refusal> {
    let all = replication.secondaries();
    let Some(name) = name else {
        return Ok(all);
    };
    if all.iter().any(|known| known == name) {
        return Ok(vec![name.to_owned()]);
    }
    Err(Refusal::new(
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

/// How many letters were handled; none of those asked for is a 404.
fn counted(ids: &[String], what: &str, number: usize) -> Answer {
    if number == 0 && !ids.is_empty() {
        return Err(Refusal::new(
            404,
            format!("there is no dead letter with the id {}", ids.join(" or ")),
        ));
    }
    json_answer(200, &json!({what: number}))
}

/// Answers the routes for the replication that `find` finds; none once the
/// module was cleaned up.
pub struct Endpoints<F> {
    find: F,
}

impl<F> Endpoints<F>
where
    F: Fn() -> Option<Arc<Replication>> + Send + Sync,
{
    /// Routes to whatever `find` gives at the time of a request.
    pub fn new(find: F) -> Self {
        Self { find }
    }

    fn answer(&self, request: &HttpRequest) -> Answer {
        let at_path = || {
            ROUTES
                .iter()
                .filter(|route| route.path == request.path.as_str())
        };
        let Some(route) = at_path().find(|route| route.method == request.method.as_str()) else {
            let methods: Vec<&str> = at_path().map(|route| route.method).collect();
            return Err(match methods.as_slice() {
                [] => Refusal::new(
                    404,
                    format!(
                        "there is no {}; GET {BASE_PATH}/status to begin with",
                        request.path
                    ),
                ),
                methods => Refusal::new(
                    405,
                    format!("{} answers {} only", request.path, methods.join(", ")),
                ),
            });
        };
        let replication = (self.find)().ok_or_else(|| {
            Refusal::new(503, "the module is not at work: disabled or cleaned up")
        })?;
        replication
            .log()
            .scope(|| (route.answer)(&replication, request))
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
        let route = |route: &Route| HttpRoute {
            method: route.method.into(),
            path: route.path.into(),
            about: route.about.into(),
        };
        ROUTES.iter().map(route).collect()
    }

    fn handle(&self, request: &HttpRequest) -> StorageResult<HttpResponse> {
        match self.answer(request) {
            Ok(response) => Ok(response),
            Err(Refusal { status, message }) => Ok(HttpResponse {
                status,
                content_type: "application/json".into(),
                body: json!({"error": message}).to_string().into_bytes().into(),
            }),
        }
    }
}
