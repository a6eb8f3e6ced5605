//! Certificates of an own authority, addresses with a wrong scheme or path, and
//! servers of another version.

use super::{error, reaches};
use host_harness::server::SecondaryServer;
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Value,
};
use replication_tests::site::{Access, Site, caught_up};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "data/tls", name]
        .iter()
        .collect()
}

/// Speaks TLS for a server, with a certificate of an authority of its own.
struct TlsProxy {
    address: SocketAddr,
    _runtime: Runtime,
}

impl TlsProxy {
    fn start(server: &SecondaryServer) -> Self {
        let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = server.url().trim_start_matches("ws://").to_owned();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(behind).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self {
            address,
            _runtime: runtime,
        }
    }
}

/// Opens a WebSocket as a server of SurrealDB 2.3.10 does (`src/net/rpc.rs` there): it
/// accepts, but of the formats of messages that it offers (json, cbor, msgpack,
/// bincode, revision) none is the client's, and so its answer names none.
fn server_of_2() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Kept open until the client goes.
            if let Ok(mut socket) = tungstenite::accept(client) {
                let _ = socket.read();
            }
        }
    });
    address
}

#[test]
fn a_server_of_2_is_rejected_with_the_way_out() {
    let site = Site::new();
    let access = Access::new("a", format!("ws://{}", server_of_2()));
    let host = site.host_with(&site.yaml_for(&[access], &[]));
    let status = reaches(&host, "rejected");
    for part in ["SurrealDB 2.x", "upgrade-export", "surreal import"] {
        assert!(error(&status).contains(part), "{status}");
    }
    host.shutdown().unwrap();
}

#[test]
fn a_certificate_of_an_own_authority_is_accepted_with_its_ca_file() {
    let site = Site::new();
    let server = site.server("a");
    let proxy = TlsProxy::start(&server);
    let access = Access::new("a", format!("wss://localhost:{}/rpc", proxy.address.port()));
    let yaml = site.yaml_for(&[access], &[]);
    let ca_file = format!("{{name: a, ca_file: {},", file("ca.pem").display());
    let host = site.host_with(&yaml.replace("{name: a,", &ca_file));
    let context = CallContext::new();
    let one = Value::from(1_i64);
    host.storage()
        .save_fact(&context, "ada", "k", &one)
        .unwrap();
    caught_up(&host);
    site.assert_equal(&host, &server);
    host.shutdown().unwrap();
}

#[test]
fn a_wrong_scheme_path_or_certificate_is_rejected_with_what_mends_it() {
    let site = Site::new();
    let server = site.server("a");
    let proxy = TlsProxy::start(&server);
    let plain = server.url().trim_start_matches("ws://").to_owned();
    let tls = proxy.address;
    let broken = site.path().join("broken.pem");
    std::fs::write(&broken, "no certificate").unwrap();
    let ca_file = |path: &str| format!("ca_file: {path},");
    let good = ca_file(&file("ca.pem").display().to_string());
    for (url, ca_file, hint) in [
        (
            format!("wss://{plain}"),
            &good,
            "write ws:// instead of wss://",
        ),
        (
            format!("ws://{tls}"),
            &good,
            "write wss:// instead of ws://",
        ),
        (
            format!("ws://{plain}/wrong"),
            &good,
            "no SurrealDB answers under this path",
        ),
        (
            format!("wss://{tls}"),
            &String::new(),
            "give its certificate as a CA file",
        ),
        (
            format!("wss://{tls}"),
            &ca_file("/no/such.pem"),
            "the CA file /no/such.pem: No such file",
        ),
        (
            format!("wss://{tls}"),
            &ca_file(&broken.display().to_string()),
            "it has no certificate in PEM",
        ),
    ] {
        let yaml = site.yaml_for(&[Access::new("a", url.clone())], &[]);
        let yaml = yaml.replace("{name: a,", &format!("{{name: a, {ca_file}"));
        let host = site.host_with(&yaml);
        let status = reaches(&host, "rejected");
        assert!(error(&status).contains(hint), "{url} {hint}: {status}");
        host.shutdown().unwrap();
    }
}
