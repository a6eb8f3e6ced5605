//! [`Browser`]: a headless Chromium, driven through WebDriver.
//!
//! WebDriver is JSON over HTTP; the few commands that the tests need do not carry
//! a library of their own.

use crate::wait;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value as Json, json};
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Set where a missing browser is a failure.
const REQUIRED: &str = "REQUIRE_BROWSER";

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A browser with one page. It ends when this is dropped.
pub struct Browser {
    driver: Child,
    agent: ureq::Agent,
    /// The address of the driver, then of the session.
    url: String,
}

impl Browser {
    /// Starts one. None, said loudly, where there is no `chromedriver`.
    ///
    /// # Panics
    /// It cannot be started, or it is missing and `REQUIRE_BROWSER` is set.
    pub fn start() -> Option<Self> {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match started {
            Ok(driver) => driver,
            Err(error) => {
                let required = env::var_os(REQUIRED).is_some();
                assert!(!required, "chromedriver cannot be started: {error}");
                // Not through `println`, which a test that passes keeps to itself.
                let _ = writeln!(
                    io::stderr(),
                    "\n*** SKIPPED: the status page was NOT tested in a browser: chromedriver \
                     cannot be started ({error}). On Debian: apt-get install chromium \
                     chromium-driver ***\n"
                );
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| {
                Some(
                    line.split_once("successfully on port ")?
                        .1
                        .trim_end_matches('.')
                        .to_owned(),
                )
            })
            .expect("chromedriver says on which port it listens");
        // What else it says must not block it.
        std::thread::spawn(move || lines.count());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build()
            .new_agent();
        let mut browser = Self {
            driver,
            agent,
            url: format!("http://127.0.0.1:{port}"),
        };
        let session = browser.post(
            "session",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--disable-background-networking", "--disable-component-update",
                    "--no-first-run",
                ]},
            }}}),
        );
        let id = session["sessionId"].as_str().unwrap();
        browser.url = format!("{}/session/{id}", browser.url);
        Some(browser)
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    /// The result of a script: the body of a function.
    pub fn run(&self, script: &str) -> Json {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text that a person sees in the first element of this CSS selector;
    /// empty if there is none.
    pub fn text(&self, selector: &str) -> String {
        let text = self.run(&format!(
            "const found = document.querySelector({});
             return found?.checkVisibility() ? found.innerText : ''",
            json!(selector)
        ));
        text.as_str().unwrap().to_owned()
    }

    /// Waits until that text contains `expected`, and returns it.
    pub fn wait_for(&self, selector: &str, expected: &str) -> String {
        wait::until(
            &format!("{expected:?} in {selector}"),
            || self.text(selector),
            |text| text.contains(expected),
        )
    }

    /// Waits until nothing is to be seen of that element.
    pub fn wait_until_hidden(&self, selector: &str) {
        wait::until(
            &format!("{selector} to go"),
            || self.text(selector),
            String::is_empty,
        );
    }

    /// The role and the name of an element in the accessibility tree: what a screen
    /// reader says of it.
    pub fn accessible(&self, selector: &str) -> (String, String) {
        let id = self.element(selector);
        let ask = |what: &str| {
            let answer = self.get(&format!("element/{id}/{what}"));
            answer.as_str().unwrap_or_default().to_owned()
        };
        (ask("computedrole"), ask("computedlabel"))
    }

    /// Clicks on an element as a person does: it has to be visible and not covered.
    pub fn click(&self, selector: &str) {
        let id = self.element(selector);
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// The driver's id of the first element of a CSS selector.
    fn element(&self, selector: &str) -> String {
        let element = self.post(
            "element",
            &json!({"using": "css selector", "value": selector}),
        );
        let id = element.as_object().unwrap().values().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    /// Presses a key, or several.
    pub fn press(&self, keys: &str) {
        let press = |key: char| {
            let stroke = |kind: &str| json!({"type": kind, "value": key.to_string()});
            [stroke("keyDown"), stroke("keyUp")]
        };
        let strokes: Vec<Json> = keys.chars().flat_map(press).collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.post("actions", &json!({"actions": [keyboard]}));
    }

    /// Sets the size of the page in pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let parameters = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
        });
        let command = "Emulation.setDeviceMetricsOverride";
        self.post(
            "goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        );
    }

    /// Has the page see a light or a dark desktop: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.post(
            "goog/cdp/execute",
            &json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": [feature]}}),
        );
    }

    /// A picture of the whole page as it is now, also of what does not fit into the
    /// window, in a PNG file.
    pub fn screenshot(&self, file: &Path) {
        let size = self.run(
            "const page = document.documentElement;
             return {x: 0, y: 0, width: page.scrollWidth, height: page.scrollHeight, scale: 1}",
        );
        let parameters = json!({"format": "png", "captureBeyondViewport": true, "clip": size});
        let answer = self.post(
            "goog/cdp/execute",
            &json!({"cmd": "Page.captureScreenshot", "params": parameters}),
        );
        let data = answer["data"].as_str().unwrap();
        std::fs::write(file, BASE64_STANDARD.decode(data).unwrap()).unwrap();
    }

    /// What scripts and the browser complained about since the last call. A
    /// request without an answer is no complaint: the page shows that itself.
    pub fn complaints(&self) -> Vec<String> {
        let lines = self.post("se/log", &json!({"type": "browser"}));
        let lines = lines.as_array().unwrap().iter();
        lines
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .filter(|message| !message.contains("Failed to load resource: net::ERR_CONNECTION"))
            .collect()
    }

    fn get(&self, command: &str) -> Json {
        let response = self.agent.get(format!("{}/{command}", self.url)).call();
        value(response.unwrap(), command)
    }

    fn post(&self, command: &str, body: &Json) -> Json {
        let response = self
            .agent
            .post(format!("{}/{command}", self.url))
            .content_type("application/json")
            .send(body.to_string().as_bytes());
        value(response.unwrap(), &format!("{command} {body}"))
    }
}

/// The value of an answer.
fn value(mut response: ureq::http::Response<ureq::Body>, what: &str) -> Json {
    let body = response.body_mut().with_config().limit(u64::MAX);
    let answer = body.read_to_vec().unwrap();
    let mut answer: Json = serde_json::from_slice(&answer).unwrap();
    assert!(response.status().is_success(), "{what}: {answer}");
    answer["value"].take()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; the driver would leave it behind.
        let _ = self.agent.delete(&self.url).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
