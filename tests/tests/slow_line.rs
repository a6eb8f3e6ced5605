//! A connection to the secondary that is too slow for a whole batch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use plugin_api::storage::{CallContext, Storage as _};
use replication_tests::{
    proxy::{Network, Proxy},
    site::{Access, Site, admin_post, caught_up, connected, replication},
    wait,
};

#[test]
fn a_batch_that_is_too_large_for_a_slow_connection_is_split() {
    // About ten for each of the partitions: a whole batch takes several times the
    // timeout, a few operations take less.
    const FACTS: i64 = 160;
    const BYTES: usize = 80_000;
    const BYTES_A_SECOND: u32 = 100_000;
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let settings = [
        "sync_workers: 1",
        "operation_timeout: 4s",
        "health_check_interval: 60s",
    ];
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], &settings));
    connected(&host);
    caught_up(&host);

    admin_post(&host, "pause");
    for number in 0..FACTS {
        let key = format!("k{number}");
        let value = "x".repeat(BYTES).into();
        host.storage()
            .save_fact(&CallContext::new(), "u", &key, &value)
            .unwrap();
    }
    let before = replication(&host).replicated;
    proxy.set(Network::Throttled(BYTES_A_SECOND));
    admin_post(&host, "resume");
    wait::until(
        "an operation to be replicated",
        || replication(&host),
        |status| status.replicated > before,
    );
    proxy.set(Network::Healthy);
    caught_up(&host);
    site.assert_equal(&host, &server);
}
