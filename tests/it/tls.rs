//! TLS with receivers: private authorities, certificates of our own, and what is wrong with a receiver's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Service, delivery_to, text};

/// An authority.
pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate and its key.
pub(crate) struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    pub(crate) fn issued(by: &Authority, host: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
        adjust(&mut params);
        let key = KeyPair::generate().expect("a key");
        Self { certificate: params.signed_by(&key, by).expect("a certificate"), key }
    }

    /// As `openssl req -x509` makes one by default: an authority (`CA:TRUE`) that is the receiver's certificate as well.
    fn of_openssl(host: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        adjust(&mut params);
        let key = KeyPair::generate().expect("a key");
        Self { certificate: params.self_signed(&key).expect("a certificate"), key }
    }

    pub(crate) fn self_signed(host: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).expect("a certificate");
        Self { certificate: made.cert, key: made.signing_key }
    }
}

/// PEM files that vanish with their test.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and returns its path.
    pub(crate) fn with(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).expect("a file");
        self.path(name).display().to_string()
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// TLS as a receiver speaks it: with that certificate, these protocols, and, where it wants one, its client's certificate
/// from that authority.
pub(crate) fn acceptor(identity: &Identity, protocols: &[&str], clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
    let chain: Vec<CertificateDer<'static>> = vec![identity.certificate.der().clone()];
    let mut config = builder.with_single_cert(chain, key).expect("a configuration");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Puts TLS in front of anything, by an authority of its own.
pub(crate) struct Fronts {
    files: Files,
    authority: Authority,
}

impl Fronts {
    pub(crate) fn new() -> Self {
        Self { files: Files::new(), authority: authority("Authority of the fronts") }
    }

    /// The file with the authority.
    pub(crate) fn ca_file(&self) -> String {
        self.files.with("fronts.pem", &pem("CERTIFICATE", self.authority.der()))
    }

    /// Listens as `localhost` under TLS, and hands everything on. The port.
    pub(crate) async fn before(&self, target: SocketAddr) -> u16 {
        let acceptor = acceptor(&Identity::issued(&self.authority, "localhost", |_| ()), &[], None);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut outer = acceptor.accept(stream).await.ok()?;
                    let mut inner = TcpStream::connect(target).await.ok()?;
                    copy_bidirectional(&mut outer, &mut inner).await.ok()
                });
            }
        });
        port
    }
}

/// A receiver behind TLS that answers 200 with the number of certificates its client showed. Its URL.
async fn receiver(identity: &Identity, clients: Option<&Authority>) -> String {
    let acceptor = acceptor(identity, &[], clients);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://localhost:{}/hook", listener.local_addr().expect("an address").port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).into_fallible().await.map_err(|(_, mut tcp)| {
                    // The alert goes out before the connection does.
                    tokio::spawn(async move { tcp.read_to_end(&mut Vec::new()).await });
                }) else {
                    return;
                };
                let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n{shown}");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    url
}

/// A receiver behind TLS: its URL, and the file of the authority that vouches for it, which lives as long as what is third.
pub(crate) async fn behind_tls() -> (String, String, Files) {
    let (files, ca) = (Files::new(), authority("Private CA"));
    let url = receiver(&Identity::issued(&ca, "localhost", |_| ()), None).await;
    let file = files.with("ca.pem", &pem("CERTIFICATE", ca.der()));
    (url, file, files)
}

/// What became of a delivery to that URL by a channel with these keys: its first attempt.
async fn attempt(url: &str, tls: &str) -> serde_json::Value {
    let yaml = format!("channels: [{{name: erp, url: '{url}', tls: {tls}, retry: {{attempts: 1, interval: 1s}}}}]");
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    service.stop().await;
    delivery["attempts"][0].clone()
}

#[tokio::test]
async fn a_private_authority_vouches_for_a_receiver() {
    let (url, file, _files) = behind_tls().await;
    let made = attempt(&url, &format!("{{ca_file: '{file}'}}")).await;
    assert_eq!((&made["code"], &made["response"]["body"]), (&json!(200), &json!("0")), "{made:#}");
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_its_own_authority() {
    let (files, own) = (Files::new(), Identity::self_signed("localhost"));
    let url = receiver(&own, None).await;
    let file = files.with("own.pem", &pem("CERTIFICATE", own.certificate.der()));
    assert_eq!(attempt(&url, &format!("{{ca_file: '{file}'}}")).await["code"], 200);
}

#[tokio::test]
async fn a_self_signed_certificate_of_openssl_can_be_its_own_authority() {
    let files = Files::new();
    let made = |name: &str, identity: &Identity| files.with(name, &pem("CERTIFICATE", identity.certificate.der()));
    let own = Identity::of_openssl("localhost", |_| {});
    let other = made("other.pem", &Identity::of_openssl("localhost", |_| {}));
    let ca_file = made("own.pem", &own);
    let url = receiver(&own, None).await;
    assert_eq!(attempt(&url, &format!("{{ca_file: '{ca_file}'}}")).await["code"], 200);
    for tls in ["{}".to_owned(), format!("{{ca_file: '{other}'}}")] {
        assert_eq!(attempt(&url, &tls).await["code"], -3, "{tls}");
    }
    // All else is checked as ever.
    let past = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    for (identity, said) in [
        (Identity::of_openssl("localhost", past), "its certificate expired on"),
        (Identity::of_openssl("elsewhere.test", |_| {}), "its certificate is for another host"),
    ] {
        let ca_file = made("wrong.pem", &identity);
        let made = attempt(&receiver(&identity, None).await, &format!("{{ca_file: '{ca_file}'}}")).await;
        assert_eq!(made["code"], -3, "{made}");
        assert!(text(&made, "error").contains(said), "{made}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_in_words() {
    let (files, ca) = (Files::new(), authority("Private CA"));
    let file = files.with("ca.pem", &pem("CERTIFICATE", ca.der()));
    let trusting = format!("{{ca_file: '{file}'}}");
    let expired = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2100, 1, 1);
    for (identity, tls, reason) in [
        (Identity::issued(&ca, "localhost", expired), &*trusting, "its certificate expired on 2021-01-01"),
        (Identity::issued(&ca, "localhost", early), &trusting, "its certificate is not valid before 2100-01-01"),
        (Identity::issued(&ca, "other.example", |_| ()), &trusting, "its certificate is for another host: "),
        (Identity::self_signed("localhost"), &trusting, "its certificate is self-signed or from an unknown authority"),
        (Identity::self_signed("localhost"), "{}", "its certificate is self-signed or from an unknown authority"),
        (
            Identity::issued(&authority("Other CA"), "localhost", |_| ()),
            &trusting,
            "self-signed or from an unknown authority",
        ),
        (Identity::issued(&ca, "localhost", |_| ()), "{}", "self-signed or from an unknown authority"),
    ] {
        let attempt = attempt(&receiver(&identity, None).await, tls).await;
        assert_eq!(attempt["code"], -3, "{reason}: {attempt:#}");
        let error = text(&attempt, "error");
        assert!(error.starts_with("TLS with localhost:") && error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_receiver_that_demands_a_certificate_gets_ours() {
    let (files, ca, clients) = (Files::new(), authority("Private CA"), authority("Clients"));
    let url = receiver(&Identity::issued(&ca, "localhost", |_| ()), Some(&clients)).await;
    let ours = Identity::issued(&clients, "orderhook", |_| ());
    let strange = Identity::self_signed("orderhook");
    let ca_file = files.with("ca.pem", &pem("CERTIFICATE", ca.der()));
    let keys = |name: &str, identity: &Identity| {
        let cert = files.with(&format!("{name}.pem"), &pem("CERTIFICATE", identity.certificate.der()));
        let key = files.with(&format!("{name}.key"), &pem("PRIVATE KEY", &identity.key.serialize_der()));
        format!("{{ca_file: '{ca_file}', client_cert_file: '{cert}', client_key_file: '{key}'}}")
    };
    let made = attempt(&url, &keys("ours", &ours)).await;
    assert_eq!((&made["code"], &made["response"]["body"]), (&json!(200), &json!("1")), "{made:#}");
    for (tls, reason) in [
        (format!("{{ca_file: '{ca_file}'}}"), "it requires a client certificate (tls.client_cert_file)"),
        (keys("strange", &strange), "it rejected the client certificate ("),
    ] {
        let attempt = attempt(&url, &tls).await;
        assert_eq!(attempt["code"], -3, "{attempt:#}");
        assert!(text(&attempt, "error").contains(reason), "{}", attempt["error"]);
    }
}

#[tokio::test]
async fn a_callout_shows_its_certificate_too() {
    let (files, ca) = (Files::new(), authority("Private CA"));
    let url = receiver(&Identity::issued(&ca, "localhost", |_| ()), Some(&ca)).await;
    let ours = Identity::issued(&ca, "orderhook", |_| ());
    let ca = files.with("ca.pem", &pem("CERTIFICATE", ca.der()));
    let (cert, key) = (
        files.with("c.pem", &pem("CERTIFICATE", ours.certificate.der())),
        files.with("c.key", &pem("PRIVATE KEY", &ours.key.serialize_der())),
    );
    let yaml = format!(
        "chains: [{{name: all, plugins: [{{critical: true, name: calloutPlugin, options: {{endpoint: '{url}', tls: {{ca_file: '{ca}', client_cert_file: '{cert}', client_key_file: '{key}'}}}}}}]}}]"
    );
    let service = Service::start(&yaml).await;
    service.api.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    service.stop().await;
}

#[test]
fn wrong_files_are_errors_that_name_them() {
    let (files, ca) = (Files::new(), authority("Private CA"));
    let (one, other) = (Identity::issued(&ca, "a", |_| ()), Identity::issued(&ca, "b", |_| ()));
    let cert = files.with("one.pem", &pem("CERTIFICATE", one.certificate.der()));
    let key = files.with("one.key", &pem("PRIVATE KEY", &one.key.serialize_der()));
    let other = files.with("other.key", &pem("PRIVATE KEY", &other.key.serialize_der()));
    let empty = files.with("empty.pem", "");
    let broken = files.with("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked =
        files.with("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let odd = files.with("odd.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    for (tls, place, message) in [
        (
            "{ca_file: /nonexistent/ca.pem}".to_owned(),
            "ca_file",
            "\"/nonexistent/ca.pem\" cannot be read: No such file",
        ),
        (format!("{{ca_file: '{empty}'}}"), "ca_file", "empty.pem\" contains no certificates in PEM"),
        (format!("{{ca_file: '{key}'}}"), "ca_file", "one.key\" contains no certificates in PEM"),
        (format!("{{ca_file: '{broken}'}}"), "ca_file", "broken.pem\" cannot be used"),
        (
            format!("{{client_cert_file: '{cert}', client_key_file: '{cert}'}}"),
            "client_key_file",
            "contains no private key in PEM",
        ),
        (
            format!("{{client_cert_file: '{cert}', client_key_file: '{locked}'}}"),
            "client_key_file",
            "locked.key\" is encrypted",
        ),
        (
            format!("{{client_cert_file: '{cert}', client_key_file: '{odd}'}}"),
            "client_key_file",
            "odd.key\" is not of a supported kind",
        ),
        (
            format!("{{client_cert_file: '{cert}', client_key_file: '{other}'}}"),
            "client_key_file",
            "other.key\" is not that of the certificate in",
        ),
        (
            format!("{{client_cert_file: '{broken}', client_key_file: '{key}'}}"),
            "client_cert_file",
            "broken.pem\" cannot be used",
        ),
        (
            format!("{{client_cert_file: '{cert}', client_key_file: \"-----BEGIN PRIVATE KEY-----\\nAAAA\"}}"),
            "client_key_file",
            "found ***, which is the content of the file, not its path; save it in a file and give the path",
        ),
        (format!("{{client_cert_file: '{cert}'}}"), "", "also needs client_key_file"),
        (format!("{{client_key_file: '{key}'}}"), "", "also needs client_cert_file"),
        ("{ca: x}".to_owned(), "ca", "unknown key; allowed: ca_file, client_cert_file, client_key_file"),
    ] {
        let yaml = format!("channels: [{{name: erp, url: 'https://erp.example.com', tls: {tls}}}]");
        let faults = orderhook::config::load_text("test.yaml", &yaml, &orderhook::config::Environment::new());
        let faults = faults.expect_err(&tls).to_string();
        let path = format!("test.yaml: channels[0].tls{}{place}: ", if place.is_empty() { "" } else { "." });
        assert!(faults.contains(&path) && faults.contains(message), "{tls}: {faults}");
    }
}
