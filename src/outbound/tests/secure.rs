//! TLS, and HTTP/2 over it.

use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::super::dialer::Dialer;
use super::super::tls;
use super::*;
use crate::domain::Code;

struct Secure {
    url: String,
    taken: Taken,
    certificate: CertificateDer<'static>,
}

/// A receiver behind TLS with a certificate of its own making, that takes `hesitation` before the handshake.
async fn secure(alpn: &[&[u8]], hesitation: Duration) -> Secure {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a configuration");
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (url, taken) = receiver(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            tokio::time::sleep(hesitation).await;
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let said = format!(
                    "{:?} {} {}",
                    request.version(),
                    request.uri(),
                    request.headers().get("host").map_or("-", |host| host.to_str().expect("text"))
                );
                let slow = request.uri().path() == "/never";
                let body = request.into_body().collect().await?.to_bytes();
                if slow {
                    std::future::pending::<()>().await;
                }
                let text = format!("{said} {}", String::from_utf8_lossy(&body));
                Ok::<_, hyper::Error>(http::Response::new(Full::new(bytes::Bytes::from(text))))
            });
            if is_h2 {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            } else {
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        }
    })
    .await;
    Secure { url: url.replace("http://127.0.0.1", "https://localhost"), taken, certificate }
}

fn trusting(secure: &Secure, options: &ClientOptions) -> Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(secure.certificate.clone()).expect("a root");
    Client::over(options, &Dialer::with_tls(&options.egress, tls::with_roots(roots).expect("a configuration")))
        .expect("a client")
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let secure = secure(&[], Duration::ZERO).await;
    let reply = send(&secure.url).await;
    assert_eq!(reply.code, Code::TLS);
    assert!(reply.error.as_deref().is_some_and(|error| error.contains("certificate")), "{:?}", reply.error);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let secure = secure(&[], Duration::ZERO).await;
    let reply = trusting(&secure, &options()).send(&post(&secure.url.replace("localhost", "127.0.0.1"))).await;
    assert_eq!(reply.code, Code::TLS, "{:?}", reply.error);
}

#[tokio::test]
async fn http_1_goes_over_tls_where_the_server_has_nothing_newer() {
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let secure = secure(alpn, Duration::ZERO).await;
        let client = trusting(&secure, &options());
        for _ in 0..2 {
            let reply = client.send(&post(&format!("{}a?b=1", secure.url))).await;
            let host = secure.url.trim_start_matches("https://").trim_end_matches('/');
            assert_eq!(reply.body, format!("HTTP/1.1 /a?b=1 {host} {{}}"), "{:?}", reply.error);
        }
        assert_eq!(taken(&secure.taken), 1);
    }
}

#[tokio::test]
async fn requests_share_a_connection_of_http_2() {
    let secure = secure(&[b"h2", b"http/1.1"], Duration::ZERO).await;
    let client = trusting(&secure, &options());
    let request = post(&format!("{}a?b=1", secure.url));
    let reply = client.send(&request).await;
    assert_eq!(reply.body, format!("HTTP/2.0 {}a?b=1 - {{}}", secure.url), "{:?}", reply.error);
    let replies = futures_util::future::join_all((0..20).map(|_| client.send(&request))).await;
    assert!(replies.iter().all(|reply| reply.code == Code::status(200)));
    assert_eq!(taken(&secure.taken), 1);
}

#[tokio::test]
async fn the_transfer_begins_when_the_connection_stands() {
    let hesitation = Duration::from_millis(700);
    let secure = secure(&[], hesitation).await;
    let timeout = Timeout::Phases { connect: LONG, transfer: Duration::from_millis(500) };
    let started = tokio::time::Instant::now();
    let reply = trusting(&secure, &ClientOptions { timeout, ..options() }).send(&post(&secure.url)).await;
    assert_eq!(reply.code, Code::status(200), "{:?}", reply.error);
    assert!(started.elapsed() >= hesitation);
}
