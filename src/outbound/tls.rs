//! TLS as a client: the system's root certificates, read once; ring for the arithmetic; HTTP/2 where the server can.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The configuration of all clients that say nothing about TLS. Its session tickets are shared, which is fine as
/// long as none of them has a certificate of its own. `Err` is a sentence.
pub(super) fn shared() -> Result<ClientConfig, String> {
    static SHARED: LazyLock<Result<ClientConfig, String>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        // A system without certificates can still reach plain HTTP; its TLS fails with an unknown issuer.
        roots.add_parsable_certificates(system_roots());
        with_roots(roots)
    });
    SHARED.clone()
}

/// The system's root certificates.
pub(super) fn system_roots() -> impl Iterator<Item = CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs.into_iter()
}

pub(super) fn with_roots(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
