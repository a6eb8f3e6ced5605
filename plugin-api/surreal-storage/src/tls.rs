//! TLS: which certificates of servers are accepted.

use plugin_api::error::{StorageError, StorageResult};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{fmt::Display, path::Path, sync::Arc};

/// Accepts certificates of the system's authorities, of those of Mozilla's list
/// (a container may have none of its own), and of those in `ca_file`.
///
/// # Errors
/// `InvalidInput` if the file cannot be read, or has no valid certificate.
pub(crate) fn client_config(ca_file: Option<&Path>) -> StorageResult<ClientConfig> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    // What of it cannot be read is left out: the rest may be enough.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        add_file(&mut roots, file)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| StorageError::internal(format!("TLS: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> StorageResult<()> {
    let invalid = |reason: &dyn Display| {
        StorageError::invalid_input(format!("the CA file {}: {reason}", file.display()))
    };
    let text = std::fs::read(file).map_err(|error| invalid(&error))?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| invalid(&error))?;
        roots.add(certificate).map_err(|error| invalid(&error))?;
    }
    match roots.len() > before {
        true => Ok(()),
        false => Err(invalid(&"it has no certificate in PEM")),
    }
}
