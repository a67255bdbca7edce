//! Proxies: what goes through them, what the egress guard makes of them, and whose failure it is.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{ClosedPort, Receiver};
use crate::tls::behind_tls;

/// How a proxy behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It does its work.
    Works,
    /// It answers every request, and every `CONNECT`, with this line.
    Says(&'static str),
    /// It closes every connection.
    Closes,
    /// It works for whoever has this `Proxy-Authorization`, or this user and password with SOCKS.
    Wants(&'static str),
}

/// A small proxy that speaks HTTP (`CONNECT` and whole requests) and SOCKS 5, and keeps what it was asked.
pub(crate) struct Proxy {
    pub(crate) address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner, Arc::clone(&log)));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, log: Arc<Mutex<Vec<String>>>) -> Option<()> {
    if manner == Manner::Closes {
        return None;
    }
    let first = stream.read_u8().await.ok()?;
    if first == 5 {
        return socks(stream, manner, log).await;
    }
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    log.lock().push(head.clone());
    if let Manner::Says(line) = manner {
        let answer = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        return None;
    }
    if let Manner::Wants(proof) = manner
        && !head.lines().any(|line| line.eq_ignore_ascii_case(&format!("proxy-authorization: {proof}")))
    {
        let answer = "HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
        return None;
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if method == "CONNECT" {
        let mut other = TcpStream::connect(target).await.ok()?;
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
        copy_bidirectional(&mut stream, &mut other).await.ok()?;
        return Some(());
    }
    let rest = target.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/')?;
    let mut other = TcpStream::connect(host).await.ok()?;
    other.write_all(head.replacen(target, &format!("/{path}"), 1).as_bytes()).await.ok()?;
    copy_bidirectional(&mut stream, &mut other).await.ok()?;
    Some(())
}

async fn socks(mut stream: TcpStream, manner: Manner, log: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut methods = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut methods).await.ok()?;
    if methods.contains(&2) {
        stream.write_all(&[5, 2]).await.ok()?;
        stream.read_u8().await.ok()?;
        let mut pair = Vec::new();
        for _ in 0..2 {
            let mut word = vec![0; usize::from(stream.read_u8().await.ok()?)];
            stream.read_exact(&mut word).await.ok()?;
            pair.push(String::from_utf8(word).ok()?);
        }
        let pair = pair.join(":");
        log.lock().push(format!("as {pair}"));
        let fine = !matches!(manner, Manner::Wants(proof) if proof != pair);
        stream.write_all(&[1, u8::from(!fine)]).await.ok()?;
        fine.then_some(())?;
    } else {
        stream.write_all(&[5, 0]).await.ok()?;
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.ok()?;
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from_bits(stream.read_u32().await.ok()?).to_string(),
        3 => {
            let mut name = vec![0; usize::from(stream.read_u8().await.ok()?)];
            stream.read_exact(&mut name).await.ok()?;
            String::from_utf8(name).ok()?
        }
        _ => return None,
    };
    let target = format!("{host}:{}", stream.read_u16().await.ok()?);
    log.lock().push(format!("to {target}"));
    let mut other = TcpStream::connect(target).await.ok()?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    copy_bidirectional(&mut stream, &mut other).await.ok()?;
    Some(())
}

/// The first attempt of a delivery to that URL.
async fn attempt(egress: &str, url: &str) -> Value {
    attempt_with(egress, url, "{}").await
}

async fn attempt_with(egress: &str, url: &str, tls: &str) -> Value {
    let yaml = format!(
        "egress: {egress}\nchannels: [{{name: erp, url: '{url}', tls: {tls}, retry: {{attempts: 1, interval: 1s}}}}]"
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    service.stop().await;
    assert!(!delivery.to_string().contains("hunter2"), "{delivery:#}");
    delivery["attempts"][0].clone()
}

#[tokio::test]
async fn plain_http_goes_to_the_proxy_as_a_whole() {
    let (receiver, proxy) = (Receiver::start().await, Proxy::start(Manner::Works).await);
    let egress = format!(
        "{{allow: [127.0.0.1], proxy: 'http://{}', proxy_username: me, proxy_password: hunter2}}",
        proxy.address
    );
    let made = attempt(&egress, &receiver.url("/erp?a=1")).await;
    assert_eq!(made["code"], 200, "{made:#}");
    let asked = proxy.asked().concat();
    assert!(asked.starts_with(&format!("POST {} HTTP/1.1\r\n", receiver.url("/erp?a=1"))), "{asked}");
    assert!(asked.to_lowercase().contains("proxy-authorization: basic bwu6ahvudgvymg=="), "{asked}");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_the_proxy_cannot_look_into() {
    let (url, ca, _files) = behind_tls().await;
    let authority = url.trim_start_matches("https://").trim_end_matches("/hook").to_owned();
    let address = authority.replace("localhost", "127.0.0.1");
    for (scheme, asked) in [("http", format!("CONNECT {authority} HTTP/1.1\r\n")), ("socks5", format!("to {address}"))]
    {
        let proxy = Proxy::start(Manner::Works).await;
        let egress = format!("{{allow: [127.0.0.1], proxy: '{scheme}://{}'}}", proxy.address);
        let made = attempt_with(&egress, &url, &format!("{{ca_file: '{ca}'}}")).await;
        assert_eq!(made["code"], 200, "{made:#}");
        assert!(proxy.asked().concat().starts_with(&asked), "{:?}", proxy.asked());
        assert!(!proxy.asked().concat().contains("/hook"), "{:?}", proxy.asked());
        // What is wrong with the receiver's certificate is the receiver's failure.
        let made = attempt(&egress, &url).await;
        assert_eq!(made["code"], -3, "{made:#}");
        assert!(text(&made, "error").starts_with("TLS with localhost:"), "{made:#}");
    }
}

#[tokio::test]
async fn a_socks_proxy_gets_the_address_that_was_checked() {
    let receiver = Receiver::start().await;
    for (credentials, expected) in
        [("", &[][..]), (", proxy_username: me, proxy_password: hunter2", &["as me:hunter2"])]
    {
        let proxy = Proxy::start(Manner::Works).await;
        let egress = format!("{{allow: [127.0.0.1], proxy: 'socks5://{}'{credentials}}}", proxy.address);
        let made = attempt(&egress, &receiver.url("/erp").replace("127.0.0.1", "localhost")).await;
        assert_eq!(made["code"], 200, "{made:#}");
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        expected.push(format!("to {}", receiver.url("").trim_start_matches("http://")));
        assert_eq!(proxy.asked(), expected);
    }
}

#[tokio::test]
async fn the_guard_looks_at_the_proxy_and_at_what_is_behind_it() {
    let receiver = Receiver::start().await;
    for scheme in ["http", "socks5"] {
        let proxy = Proxy::start(Manner::Works).await;
        let address = proxy.address;
        for (egress, url, sentence) in [
            // The proxy itself is private, by address and by name.
            (
                format!("{{allow: [], proxy: '{scheme}://{address}'}}"),
                "http://93.184.215.14/".to_owned(),
                "refuses the proxy 127.0.0.1: it is loopback",
            ),
            (
                format!("{{allow: [], proxy: '{scheme}://localhost:{}'}}", address.port()),
                "http://93.184.215.14/".to_owned(),
                "refuses the proxy localhost: its address 127.0.0.1 is loopback",
            ),
            // The proxy is allowed, the receiver is not.
            (
                format!("{{allow: [127.0.0.1], proxy: '{scheme}://{address}'}}"),
                "http://10.0.0.1/".to_owned(),
                "refuses 10.0.0.1: it is private",
            ),
            (
                format!("{{allow: [127.0.0.1], proxy: '{scheme}://{address}'}}"),
                "https://[::ffff:10.0.0.1]/".to_owned(),
                "it is IPv4 mapped into IPv6",
            ),
            (
                format!("{{allow: ['127.0.0.1'], deny: [localhost], proxy: '{scheme}://{address}'}}"),
                receiver.url("/").replace("127.0.0.1", "localhost"),
                "refuses localhost: it is listed in egress.deny as localhost",
            ),
            (
                format!("{{allow: ['127.0.0.1'], proxy: '{scheme}://{address}'}}"),
                "http://metadata.google.internal/".to_owned(),
                "it is a cloud's metadata service",
            ),
        ] {
            let made = attempt(&egress, &url).await;
            assert_eq!(made["code"], -8, "{egress} {url}: {made:#}");
            assert!(text(&made, "error").contains(sentence), "{egress} {url}: {made:#}");
        }
        assert_eq!(proxy.asked(), Vec::<String>::new(), "{scheme}");
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_proxy_that_fails_is_told_apart_from_the_receiver() {
    let receiver = Receiver::start().await;
    let nobody = ClosedPort::new();
    let nobody = nobody.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let secure = receiver.url("/erp").replace("http:", "https:");
    let wants = Proxy::start(Manner::Says("407 Proxy Authentication Required")).await.address.to_string();
    let refuses = Proxy::start(Manner::Says("403 Forbidden")).await.address.to_string();
    let closes = Proxy::start(Manner::Closes).await.address.to_string();
    for (proxy, url, code) in [
        (format!("http://{nobody}"), receiver.url("/erp"), -1),
        (format!("http://{nobody}"), secure.clone(), -1),
        (format!("socks5://{nobody}"), receiver.url("/erp"), -1),
        (format!("http://{wants}"), receiver.url("/erp"), -1),
        (format!("http://{wants}"), secure.clone(), -1),
        (format!("http://{refuses}"), secure.clone(), -1),
        (format!("http://{closes}"), secure.clone(), -1),
        (format!("socks5://{closes}"), secure.clone(), -1),
        (format!("https://{closes}"), secure.clone(), -1),
        (format!("http://nowhere.invalid:{}", 3128), secure, -1),
    ] {
        let made = attempt(&format!("{{allow: [127.0.0.1], proxy: '{proxy}'}}"), &url).await;
        assert_eq!(made["code"], code, "{proxy} {url}: {made:#}");
        let error = text(&made, "error");
        assert!(error.starts_with(&format!("the proxy {proxy} failed: ")), "{proxy} {url}: {error}");
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn callouts_go_through_the_proxy_too() {
    let (receiver, proxy) = (Receiver::start().await, Proxy::start(Manner::Works).await);
    let yaml = format!(
        "egress: {{allow: [127.0.0.1], proxy: 'http://{}'}}\nchains: [{{name: all, plugins: [{{critical: true, name: calloutPlugin, options: {{endpoint: RECEIVER/check}}}}]}}]",
        proxy.address
    );
    let service = Service::start(&receiver.fill(&yaml)).await;
    service.api.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    service.stop().await;
    assert_eq!((proxy.asked().len(), receiver.count()), (1, 1));
}
