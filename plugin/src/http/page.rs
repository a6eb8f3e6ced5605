//! The status page: its files as they are in `page/`, without a build step.
//!
//! The page asks the other routes for what it shows. It works with relative
//! addresses only, so that a proxy may put a prefix before the base path.

use plugin_api::{ffi::Pair, module::HttpResponse};

/// A file of the page.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What a browser is told about every file. The page itself repeats the policy
/// for hosts that do not pass on headers.
const HEADERS: [(&str, &str); 4] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    // The page and its scripts belong to one version of the module.
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
];

/// A script `page/NAME`, served at the same place below the base path.
macro_rules! script {
    ($name:literal) => {
        File {
            path: concat!("/api/db-sync/page/", $name),
            about: "A script of the status page.",
            content_type: SCRIPT,
            text: include_str!(concat!("page/", $name)),
        }
    };
}

/// All files of the page.
pub(super) const FILES: &[File] = &[
    File {
        path: "/api/db-sync/",
        about: "The status page, for a browser.",
        content_type: HTML,
        text: include_str!("page/index.html"),
    },
    File {
        path: "/api/db-sync",
        about: "Leads to the status page.",
        content_type: HTML,
        text: "<!doctype html><title>db-sync</title>\
               <meta http-equiv=\"refresh\" content=\"0; url=db-sync/\">\
               <a href=\"db-sync/\">Status page</a>",
    },
    File {
        path: "/api/db-sync/page/style.css",
        about: "The style of the status page.",
        content_type: CSS,
        text: include_str!("page/style.css"),
    },
    script!("api.js"),
    script!("chart.js"),
    script!("dialog.js"),
    script!("dom.js"),
    script!("events.js"),
    script!("format.js"),
    script!("history.js"),
    script!("letters.js"),
    script!("main.js"),
    script!("problems.js"),
    script!("resyncs.js"),
    script!("secondaries.js"),
    script!("verify.js"),
];

/// The file at a path.
pub(super) fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    pub(super) fn response(&self) -> HttpResponse {
        HttpResponse {
            status: 200,
            content_type: self.content_type.into(),
            body: self.text.as_bytes().into(),
            headers: HEADERS
                .iter()
                .map(|&(name, value)| Pair(name.into(), value.into()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::{fs, path::Path};

    fn names_in_the_directory() -> Vec<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page");
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_file_of_the_page_is_served_and_used() {
        let served = |name: &str| file(&format!("/api/db-sync/page/{name}"));
        for name in names_in_the_directory() {
            assert!(served(&name).is_some(), "{name} is not served");
            let is_used = FILES.iter().any(|file| {
                file.text.contains(&format!("\"./{name}\""))
                    || file.text.contains(&format!("\"page/{name}\""))
            });
            assert!(is_used, "nothing uses {name}");
        }
        for script in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            for import in script.text.split("from \"./").skip(1) {
                let name = import.split('"').next().unwrap();
                assert!(served(name).is_some(), "{}: {name}", script.path);
            }
        }
    }

    #[test]
    fn the_policy_in_the_page_is_that_of_the_header() {
        let page = file("/api/db-sync/").unwrap().text;
        // A page cannot say by whom it may be framed.
        let policy = HEADERS[0].1.replace("; frame-ancestors 'none'", "");
        assert!(page.contains(&format!("content=\"{policy}\"")), "{policy}");
    }

    #[test]
    fn nothing_enters_the_page_as_markup_or_script() {
        for file in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                " style=",
                " onclick=",
                " onload=",
                "javascript:",
                "http://",
                "https://",
            ] {
                let text = file.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(forbidden), "{}: {forbidden}", file.path);
            }
        }
    }
}
