//! TLS of connections that weir opens itself beside librdkafka's: which authorities are trusted.

use std::path::Path;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Trusts the authorities of a PEM file, or those of the machine.
pub(super) fn client(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder();
    let Some(path) = ca else {
        return Ok(builder.with_native_roots().map_err(|error| error.to_string())?.with_no_client_auth());
    };
    let unreadable = |error: String| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
