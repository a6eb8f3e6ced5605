//! The tables of the documents, made from what the code works by.

use super::{
    Key,
    keys::{SecondaryEntry, Settings},
};
use std::fmt::Write as _;

/// The tables, each with the name of the place in the document that it fills.
pub fn tables() -> Vec<(&'static str, String)> {
    vec![
        ("keys", table(Settings::KEYS)),
        ("secondary_databases", table(SecondaryEntry::KEYS)),
        ("routes", crate::http::table()),
    ]
}

fn table(keys: &[Key]) -> String {
    let mut text =
        String::from("| key | default | meaning | accepted |\n| --- | --- | --- | --- |\n");
    for key in keys {
        let mut names = format!("`{}`", key.name);
        for other in key.other_names {
            // Writing to a String cannot fail.
            let _ = write!(names, " (`{other}`)");
        }
        let default = key
            .default
            .map_or(String::new(), |text| format!("`{text}`"));
        let _ = writeln!(
            text,
            "| {names} | {default} | {} | {} |",
            key.about.trim(),
            (key.accepts)()
        );
    }
    text
}

/// `document` with each table between its marks
/// `<!-- table: NAME -->` and `<!-- end -->`.
pub fn fill(document: &str) -> String {
    let mut filled = document.to_owned();
    for (name, table) in tables() {
        let mark = format!("<!-- table: {name} -->\n");
        if let Some((before, rest)) = filled.split_once(&mark)
            && let Some((_, after)) = rest.split_once("<!-- end -->")
        {
            filled = format!("{before}{mark}\n{table}\n<!-- end -->{after}");
        }
    }
    filled
}
