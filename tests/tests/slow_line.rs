//! A line to the secondary that a whole batch does not get through in time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use plugin_api::storage::{CallContext, Storage as _};
use replication_tests::{
    proxy::{Proxy, Weather},
    site::{Access, Site, admin_post, caught_up, connected, replication},
    wait,
};

#[test]
fn a_batch_that_is_too_much_for_the_line_goes_in_pieces() {
    // Some ten for each of the partitions: a batch takes several times as long
    // as it may, a few of them do not.
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
    proxy.set(Weather::Narrow(BYTES_A_SECOND));
    admin_post(&host, "resume");
    wait::until(
        "anything to get through",
        || replication(&host),
        |status| status.replicated > before,
    );
    proxy.set(Weather::Fair);
    caught_up(&host);
    site.assert_equal(&host, &server);
}
