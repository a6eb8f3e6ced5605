//! Who may do what: real requests to a host that serves.

use crate::{
    common::{home, yaml},
    served::{PROGRAM, Served},
};
use host_harness::server::{SecondaryServer, ServerStorage};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
};

/// Sends a request with exactly these headers. Returns the answer's status, and all
/// of it.
fn request(served: &Served, method: &str, route: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let address = served.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    write!(
        stream,
        "{method} /api/db-sync/{route} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

fn is_paused(served: &Served) -> bool {
    served.ask(&["status"])["paused"] == json!(true)
}

fn config(home: &Path, server: &SecondaryServer) -> std::path::PathBuf {
    let config = home.join("host.yaml");
    std::fs::write(&config, yaml("url: 'mem://'", &[("a", server)])).unwrap();
    config
}

#[test]
fn no_page_in_the_operators_browser_steers_a_host_on_loopback() {
    let home = home();
    let server = SecondaryServer::start(ServerStorage::Memory).unwrap();
    let served = Served::start(&config(home.path(), &server));
    let own = served.url.strip_prefix("http://").unwrap().to_owned();
    let host = ("Host", own.as_str());

    // A page whose name was made to point to this machine reads nothing, either.
    let rebound = ("Host", "evil.example:7878");
    for (method, route) in [("GET", "status"), ("GET", ""), ("POST", "pause")] {
        let (status, answer) = request(&served, method, route, &[rebound]);
        assert_eq!(status, 403, "{method} {route}: {answer}");
        assert!(answer.contains("--allow-host evil.example"), "{answer}");
    }
    for from_elsewhere in [
        vec![host, ("Origin", "https://evil.example")],
        vec![host, ("Origin", "http://localhost:3000")],
        vec![host, ("Origin", "null")],
        vec![host, ("Sec-Fetch-Site", "cross-site")],
        vec![host, ("Sec-Fetch-Site", "same-site")],
    ] {
        let (status, answer) = request(&served, "POST", "pause", &from_elsewhere);
        assert_eq!(status, 403, "{from_elsewhere:?}: {answer}");
    }
    assert!(!is_paused(&served));
    // No other page may read what a browser gets from here.
    let (status, answer) = request(&served, "GET", "status", &[host]);
    assert_eq!(status, 200);
    let may_read = answer
        .to_lowercase()
        .contains("access-control-allow-origin");
    assert!(!may_read, "{answer}");

    // The host's own page, and a program.
    let origin = format!("http://{own}");
    let own_page = [host, ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(request(&served, "POST", "pause", &own_page).0, 200);
    assert!(is_paused(&served));
    assert_eq!(request(&served, "POST", "resume", &[host]).0, 200);
    assert!(!is_paused(&served));
}

#[test]
fn a_host_that_others_reach_changes_nothing_without_its_token() {
    const TOKEN: &str = "a-token-that-nobody-guesses-5f2c";
    let home = home();
    let server = SecondaryServer::start(ServerStorage::Memory).unwrap();
    let config = config(home.path(), &server);
    let refused = Command::new(PROGRAM)
        .args(["serve", "--bind", "0.0.0.0:0", "--config"])
        .arg(&config)
        .env_remove("HOST_TOKEN")
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    for how in ["openssl rand -hex 32", "--token-file", "HOST_TOKEN"] {
        assert!(said.contains(how), "{said}");
    }

    let file = home.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let file = file.to_str().unwrap();
    let served = Served::start_at(&config, "0.0.0.0:0", &["--token-file", file]);
    let host = ("Host", "server.example:7878");
    let bearer = format!("Bearer {TOKEN}");
    let nearly = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    for route in [
        "pause",
        "resync",
        "verify",
        "verify/values",
        "dead-letters/discard",
    ] {
        for wrong in [vec![host], vec![host, ("Authorization", &nearly)]] {
            let (status, answer) = request(&served, "POST", route, &wrong);
            assert_eq!(status, 401, "{route}: {answer}");
            assert!(
                answer.to_lowercase().contains("www-authenticate: bearer"),
                "{answer}"
            );
            assert!(!answer.contains(TOKEN), "{answer}");
        }
    }
    assert!(!is_paused(&served), "everybody may read");
    let with_token = [host, ("Authorization", bearer.as_str())];
    assert_eq!(request(&served, "POST", "pause", &with_token).0, 200);
    assert!(is_paused(&served));

    let output = served.output(&["resume"]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--token-file"), "{said}");
    assert!(is_paused(&served));
    served.ask(&["resume", "--token-file", file]);
    assert!(!is_paused(&served));
}
