//! A newer contract: with a method, a capability and a field more. These are
//! the changes by which the contract grows.

#[path = "../edit.rs"]
mod edit;

use edit::{Change, Edit};

fn main() -> std::io::Result<()> {
    edit::write(
        "0.2.2",
        &[
            Edit {
                file: "storage/contract.rs",
                line: "fn count_by_user_id(table: str) -> UserCounts;",
                change: Change::Append(&[
                    "/// How many facts a user has.",
                    r#"#[since = "0.2.2"]"#,
                    r#"[read "kv_memories"] fn count_facts(user_id: str) -> Value;"#,
                ]),
            },
            Edit {
                file: "module/mod.rs",
                line: "fn http_endpoints() -> HttpEndpoints;",
                change: Change::Append(&[
                    "/// The HTTP routes for administrators, if any.",
                    "fn admin_endpoints() -> HttpEndpoints;",
                ]),
            },
            Edit {
                file: "module/config.rs",
                line: "data_dir: Text,",
                change: Change::Append(&[
                    "/// The language of messages; empty for English.",
                    "language: Text,",
                ]),
            },
        ],
    )
}
