//! TLS as a client: the system's root certificates, read once; AWS-LC for the arithmetic; HTTP/2 where the server can.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore};

use super::self_signed::Verifier;
use crate::config::settings::Tls;
use crate::domain::Timestamp;

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

/// The configuration of a client that has its own authorities, its own certificate, or both. `Err` is a sentence.
pub(super) fn own(tls: &Tls) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        None => _ = roots.add_parsable_certificates(system_roots()),
        Some(authorities) => {
            for authority in authorities {
                roots.add(authority.clone()).map_err(|error| error.to_string())?;
            }
        }
    }
    build(roots, Some(tls))
}

pub(super) fn with_roots(roots: RootCertStore) -> Result<ClientConfig, String> {
    build(roots, None)
}

fn build(roots: RootCertStore, tls: Option<&Tls>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = match tls.and_then(|tls| tls.authorities.as_ref()) {
        None => builder.with_root_certificates(roots),
        Some(own) => {
            let verifier = Verifier::new(roots, own, provider)?;
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = match tls.and_then(|tls| tls.identity.as_ref()) {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| error.to_string())?,
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Why TLS failed, in words.
pub(super) fn in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it requires a client certificate (tls.client_cert_file)".to_owned()
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => format!("it rejected the client certificate ({alert:?}): see tls.client_cert_file"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the response is not TLS; this port may speak plain HTTP".to_owned()
        }
        other => other.to_string(),
    }
}

/// What is wrong with a receiver's certificate.
fn certificate(error: &CertificateError) -> String {
    let day = |time: &rustls::pki_types::UnixTime| {
        let time =
            Timestamp::from_millis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 1000).saturating_mul(1000));
        time.to_string()
    };
    match error {
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!("its certificate expired on {}", day(not_after)),
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}", day(not_before))
        }
        CertificateError::UnknownIssuer => {
            "its certificate is self-signed or from an unknown authority; to trust a private authority, set tls.ca_file"
                .to_owned()
        }
        CertificateError::NotValidForName => "its certificate is for another host".to_owned(),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "its certificate names no host".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            // Each comes as `DnsName("a.example")`.
            let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
            format!("its certificate is for another host: {}", names.collect::<Vec<_>>().join(", "))
        }
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        other => format!("its certificate, perhaps self-signed, cannot be used: {other}"),
    }
}
