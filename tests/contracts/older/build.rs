//! An older contract: without the last method, capability and field.

#[path = "../edit.rs"]
mod edit;

use edit::{Change, Edit};

fn main() -> std::io::Result<()> {
    edit::write(
        "0.2.1-older",
        &[
            Edit {
                file: "storage/contract.rs",
                line: "fn list_active_indexing_jobs() -> Jobs;",
                change: Change::Remove,
            },
            Edit {
                file: "module/mod.rs",
                line: "fn http_endpoints() -> HttpEndpoints;",
                change: Change::Remove,
            },
            Edit {
                file: "module/config.rs",
                line: "data_dir: Text,",
                change: Change::Remove,
            },
        ],
    )
}
