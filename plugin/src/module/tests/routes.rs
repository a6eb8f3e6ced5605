use super::*;

#[test]
fn status_health_and_metrics_report_problems_and_no_password() {
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
    // Whether the first attempt has failed yet or not: the status is degraded.
    let status = request(&module, "GET", "/api/db-sync/status", "");
    let text = String::from_utf8(status.body.to_vec()).unwrap();
    assert!(!text.contains("hidden-password"), "{text}");
    let status = json(&status);
    assert_eq!(status["health"], "degraded");
    assert_eq!(status["secondaries"][0]["name"], "secondary");
    assert_eq!(status["reasons"][0]["secondary"], "secondary");
    for path in ["/api/db-sync/health", "/health/db-sync"] {
        let health = request(&module, "GET", path, "");
        assert_eq!(health.status, 200);
        assert_eq!(json(&health)["ok"], false);
    }
    let metrics = request(&module, "GET", "/api/db-sync/metrics", "");
    assert!(metrics.content_type.starts_with("text/plain"));
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "# TYPE db_sync_healthy gauge\ndb_sync_healthy 0\n",
        "db_sync_connected{secondary=\"secondary\"} 0\n",
        "db_sync_dead_letters{secondary=\"secondary\"} 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    module.cleanup().unwrap();
    let lines = host.lines.0.lock().join("\n");
    assert!(!lines.contains("hidden-password"), "{lines}");
}

#[test]
fn an_invalid_request_gets_an_error_that_names_the_problem() {
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
    for (method, path, body, status, says) in [
        (
            "GET",
            "/api/db-sync/nothing",
            "",
            404,
            "/api/db-sync/status",
        ),
        ("POST", "/api/db-sync/status", "", 405, "supports GET only"),
        ("GET", "/api/db-sync/pause", "", 405, "supports POST only"),
        ("POST", "/api/db-sync/resync", "{", 400, "the body"),
        (
            "POST",
            "/api/db-sync/resync",
            "{\"table\": []}",
            400,
            "table",
        ),
        (
            "POST",
            "/api/db-sync/resync",
            "{\"tables\": [\"event\"]}",
            400,
            "did you mean events?",
        ),
        (
            "POST",
            "/api/db-sync/verify",
            "{\"secondary\": \"x\"}",
            404,
            "there are: secondary",
        ),
        (
            "POST",
            "/api/db-sync/verify",
            "{\"tables\": [\"event\"], \"wait\": false}",
            400,
            "did you mean events?",
        ),
        (
            "POST",
            "/api/db-sync/verify/cancel",
            "",
            409,
            "no comparison is running",
        ),
        ("POST", "/api/db-sync/", "", 405, "supports GET only"),
        (
            "POST",
            "/api/db-sync/dead-letters/replay",
            "[]",
            400,
            "the body",
        ),
    ] {
        let response = request(&module, method, path, body);
        let error = json(&response)["error"].as_str().unwrap().to_owned();
        assert_eq!(response.status, status, "{method} {path} {body}: {error}");
        assert!(error.contains(says), "{method} {path} {body}: {error}");
    }
    module.cleanup().unwrap();
}

#[test]
fn a_wrong_query_is_refused() {
    const LETTERS: &str = "/api/db-sync/dead-letters";
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
    for (path, name, value, says) in [
        (LETTERS, "limit", "0", "a number from 1 to"),
        (LETTERS, "limit", "many", "a number from 1 to"),
        (LETTERS, "limit", "10001", "a number from 1 to"),
        (LETTERS, "after", "0123", "next"),
        (LETTERS, "after", "nobody/0123", "next"),
        ("/api/db-sync/events", "after", "-1", "next"),
        ("/api/db-sync/history", "after", "noon", "is not a time"),
    ] {
        let request = HttpRequest {
            method: "GET".into(),
            path: path.into(),
            query: vec![plugin_api::ffi::Pair(name.into(), value.into())].into(),
            body: Vec::new().into(),
        };
        let response = module.http_endpoints().unwrap().handle(&request).unwrap();
        let error = json(&response)["error"].as_str().unwrap().to_owned();
        assert_eq!(response.status, 400, "{path} {name}={value}: {error}");
        assert!(error.contains(says), "{path} {name}={value}: {error}");
    }
    module.cleanup().unwrap();
}

#[test]
fn every_announced_route_is_served() {
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
    let endpoints = module.http_endpoints().unwrap();
    assert_eq!(endpoints.base_path(), "/api/db-sync");
    let routes = endpoints.routes();
    assert_eq!(routes.len(), 32);
    for route in routes {
        let response = request(&module, &route.method, &route.path, "");
        assert!(![404, 405].contains(&response.status), "{}", route.path);
    }
    module.cleanup().unwrap();
}
