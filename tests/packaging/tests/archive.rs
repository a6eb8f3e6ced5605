//! What is shipped works: the archive is unpacked, checked, and its library loaded
//! by a host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flate2::{Compression, read::GzDecoder};
use host_harness::{admin::AdminClient, artifacts};
use packaging::{
    archive::{self, Contents},
    linked::Linked,
};
use plugin_api::storage::{CallContext, Storage as _};
use replication_tests::site::{Site, caught_up};
use serde_json::Value as Json;
use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

fn check_sums(directory: &Path, file: &str) -> std::process::Output {
    let check = ["--check", "--strict", "--quiet", file];
    let mut command = Command::new("sha256sum");
    command.current_dir(directory).args(check).output().unwrap()
}

#[test]
fn the_library_of_an_unpacked_archive_is_loaded_and_replicates() {
    let built = artifacts::build_for_tests().unwrap();
    let linked = Linked::find().unwrap();
    let contents = Contents {
        // A development build has 200 MB.
        compression: Compression::fast(),
        ..archive::contents(&linked, &built.join(artifacts::PLUGIN_LIBRARY)).unwrap()
    };
    let home = tempfile::tempdir().unwrap();
    let packed = archive::write(&contents, home.path()).unwrap();
    let beside = format!("{}.sha256", packed.display());
    let sums = check_sums(home.path(), &beside);
    assert!(sums.status.success(), "{sums:?}");

    let site = Site::new();
    let unpacked = home.path().join(&contents.name);
    let file = GzDecoder::new(File::open(&packed).unwrap());
    tar::Archive::new(file).unpack(home.path()).unwrap();
    for name in [
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "THIRD-PARTY-LICENSES",
        "RUST-LIBRARY-LICENSES.html",
        "config.sample.yaml",
        "docs/operations.md",
        "docs/licensing.md",
        "docs/monitoring/dashboard.json",
        "docs/monitoring/alerts.yml",
    ] {
        assert!(unpacked.join(name).is_file(), "{name}");
    }
    let sums = check_sums(&unpacked, "SHA256SUMS");
    assert!(sums.status.success(), "{sums:?}");

    // The modules directory is the unpacked one: other files are no libraries.
    let server = site.server("office");
    let yaml = site.yaml(&[("office", &server)], &[]);
    let modules = format!("modules_dir: {}/modules", site.path().display());
    let yaml = yaml.replace(&modules, &format!("modules_dir: {}", unpacked.display()));
    let host = site.host_with(&yaml);
    let saved = host
        .storage()
        .save_fact(&CallContext::new(), "ada", "editor", &"vim".into());
    saved.unwrap();
    caught_up(&host);
    assert!(site.assert_equal(&host, &server).rows() > 0);

    // It says what it was built from, in its status and to `inspect`.
    let admin = AdminClient::local(&host).unwrap();
    let status = admin.get("status", &[]).unwrap();
    host.shutdown().unwrap();
    let inspected = Command::new(built.join("host-harness"))
        .args(["inspect", "--json"])
        .arg(unpacked.join(artifacts::PLUGIN_LIBRARY))
        .output()
        .unwrap();
    let inspected: Json = serde_json::from_slice(&inspected.stdout).unwrap();
    let (build, module) = (&status["build"], &inspected["module"]);
    for name in ["version", "commit", "surrealdb_client", "target", "profile"] {
        assert_eq!(build[name], module[name], "{name}");
        assert!(build[name].as_str().is_some_and(|text| !text.is_empty()));
    }
    assert_eq!(build["contract"], inspected["plugin_api_of_library"]);
    assert!(contents.name.ends_with(build["target"].as_str().unwrap()));
    let mut packages = linked.packages.iter();
    let client = packages.find(|one| one.name == "surrealdb");
    assert_eq!(build["surrealdb_client"], *client.unwrap().version);
}

#[test]
fn a_damaged_file_does_not_pass_the_check() {
    let home = tempfile::tempdir().unwrap();
    let library = home.path().join(artifacts::PLUGIN_LIBRARY);
    fs::write(&library, "a library").unwrap();
    let contents = archive::contents(&Linked::find().unwrap(), &library).unwrap();
    for (name, bytes) in &contents.files {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let sums = check_sums(home.path(), "SHA256SUMS");
    assert!(sums.status.success(), "{sums:?}");
    fs::write(home.path().join("LICENSE"), "free").unwrap();
    let sums = check_sums(home.path(), "SHA256SUMS");
    assert!(!sums.status.success());
    assert!(String::from_utf8_lossy(&sums.stderr).contains("did NOT match"));
}
