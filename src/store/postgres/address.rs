//! Where the server is and how it is reached: a URL as libpq takes it, with one host or several.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::store::StoreError;

/// The server, and how its certificate is checked.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: ClientConfig,
}

/// What `sslmode` asks of the server's certificate (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Nothing.
    Nothing,
    /// That an authority we trust has signed it.
    Authority,
    /// That too, and that it names the host.
    Full,
}

impl Address {
    /// Reads a URL. `password` stands for one that the URL does not have.
    pub(super) fn parse(url: &str, password: Option<&str>, connect: Duration) -> Result<Self, StoreError> {
        let wrong = |what: &str| StoreError::Refused(format!("store.url: {what}"));
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut kept, mut mode, mut roots) = (Vec::new(), "prefer", None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => roots = Some(decoded(value)),
                _ => kept.push(pair),
            }
        }
        let plain = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
        // Its errors do not show the URL, which may hold a password.
        let mut config: Config = plain.parse().map_err(|error: tokio_postgres::Error| {
            wrong(&format!("not a PostgreSQL URL: {}", super::fault::sentence(&error)))
        })?;
        let (ssl, check) = match mode {
            "disable" => (SslMode::Disable, Check::Nothing),
            "allow" | "prefer" => (SslMode::Prefer, Check::Nothing),
            "require" if roots.is_some() => (SslMode::Require, Check::Authority),
            "require" => (SslMode::Require, Check::Nothing),
            "verify-ca" => (SslMode::Require, Check::Authority),
            "verify-full" => (SslMode::Require, Check::Full),
            other => {
                let known = "disable, allow, prefer, require, verify-ca or verify-full";
                return Err(wrong(&format!("sslmode must be {known}, not {other}")));
            }
        };
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host"));
        }
        if config.get_user().is_none() {
            return Err(wrong("it names no user: postgres://USER@HOST/DATABASE"));
        }
        if config.get_password().is_none()
            && let Some(password) = password
        {
            config.password(password);
        }
        config.ssl_mode(ssl);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.application_name(concat!("orderhook ", env!("CARGO_PKG_VERSION")));
        config.connect_timeout(connect);
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(2));
        config.keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(12));
        let roots = roots.as_deref().filter(|path| *path != "system").map(Path::new);
        Ok(Self { config, tls: tls(check, roots).map_err(|error| wrong(&error))? })
    }
}

/// A value of the query without its percent signs.
fn decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

fn tls(check: Check, roots: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Nothing => Arc::new(Unnamed { roots: None, provider: Arc::clone(&provider) }),
        Check::Authority => Arc::new(Unnamed { roots: Some(trusted(roots)?), provider: Arc::clone(&provider) }),
        Check::Full => WebPkiServerVerifier::builder_with_provider(Arc::new(trusted(roots)?), Arc::clone(&provider))
            .build()
            .map_err(|error| format!("sslmode=verify-full: {error}"))?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn trusted(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match file {
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        Some(file) => {
            let found = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| format!("sslrootcert: {}: {error}", file.display()))?;
            for certificate in found {
                roots.add(certificate).map_err(|error| format!("sslrootcert: {}: {error}", file.display()))?;
            }
        }
    }
    if roots.is_empty() {
        return Err("there is no certificate of an authority to check the server's with: give sslrootcert".to_owned());
    }
    Ok(roots)
}

/// Checks who signed a certificate, if that, but not whom it names: as libpq's `require` and `verify-ca`.
#[derive(Debug)]
struct Unnamed {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unnamed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, StoreError> {
        Address::parse(url, Some("from a file"), Duration::from_secs(1))
    }

    fn error(url: &str) -> String {
        parse(url).err().expect("an error").to_string()
    }

    #[test]
    fn several_hosts_are_tried_for_one_that_can_be_written_to() {
        let address = parse("postgres://shop@one,two:5433/orders").expect("an address");
        assert_eq!(address.config.get_hosts().len(), 2);
        assert_eq!(address.config.get_ports(), [5432, 5433]);
        assert_eq!(address.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(address.config.get_password(), Some(&b"from a file"[..]));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn the_password_of_the_url_comes_first_and_is_in_no_error() {
        let address = parse("postgres://shop:s3cret@one/orders?sslmode=require").expect("an address");
        assert_eq!(address.config.get_password(), Some(&b"s3cret"[..]));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
        for url in ["postgres://shop:s3cret@one:port/orders", "postgres://shop:s3cret@one/orders?colour=red"] {
            let error = error(url);
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(error("postgres:///orders").contains("host"), "{}", error("postgres:///orders"));
        assert!(error("postgres://one/orders").contains("user"));
        assert!(error("postgres://shop@one/orders?sslmode=maybe").contains("verify-full"));
        let error = error("postgres://shop@one/orders?sslmode=verify-ca&sslrootcert=/no/such/file");
        assert!(error.contains("sslrootcert") && error.contains("/no/such/file"), "{error}");
    }
}
