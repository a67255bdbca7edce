//! The egress guard, at the address connected to.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use parking_lot::Mutex;

use super::super::dialer::Dialer;
use super::super::egress::{Guard, Lookup};
use super::super::tls;
use super::*;
use crate::config::settings::{Egress, Place, Proxy};
use crate::domain::Code;

/// Names of the test's own: each asks for the next list of addresses, the last one again and again.
#[derive(Default)]
struct Names(Mutex<HashMap<String, Vec<Vec<&'static str>>>>);

impl Names {
    fn with(self, name: &str, answers: &[&[&'static str]]) -> Self {
        let answers = answers.iter().rev().map(|answer| answer.to_vec()).collect();
        self.0.lock().insert(name.to_owned(), answers);
        self
    }
}

impl Lookup for Names {
    fn addresses<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let mut names = self.0.lock();
        let found = names.get_mut(name.trim_end_matches('.')).map(|answers| {
            let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
            answer.expect("an answer").iter().map(|address| address.parse().unwrap()).collect()
        });
        Box::pin(std::future::ready(found.ok_or_else(|| io::Error::other("no such name"))))
    }
}

fn places(texts: &[&str]) -> Vec<Place> {
    texts.iter().map(|text| Place::parse(text).expect("a place")).collect()
}

fn egress(allow: &[&str], deny: &[&str]) -> Arc<Egress> {
    Arc::new(Egress { allow: places(allow), deny: places(deny), proxy: None })
}

fn guarded(egress: &Arc<Egress>, names: Names) -> Client {
    let options = ClientOptions { egress: Arc::clone(egress), ..options() };
    let guard = Guard::with_lookup(egress, Arc::new(names));
    Client::over(&options, &Dialer::with_guard(egress, tls::shared().expect("TLS"), guard)).expect("a client")
}

/// The port of a URL of a receiver.
fn port(url: &str) -> &str {
    url.trim_end_matches('/').rsplit(':').next().expect("a port")
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[track_caller]
fn is_refused(reply: &Reply, sentence: &str) {
    assert_eq!(reply.code, Code::EGRESS, "{:?}", reply.error);
    assert_eq!(reply.error.as_deref(), Some(sentence));
}

#[tokio::test]
async fn every_spelling_of_an_address_is_refused_without_a_connection() {
    let (url, count) = answering(OK).await;
    let client = guarded(&egress(&[], &[]), Names::default());
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.01",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７。０。０。１",
        "127.000.000.001",
        "0",
        "0.0.0.0",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127.255.255.254",
    ] {
        let Ok(target) = Url::parse(&format!("http://{host}:{}/", port(&url))) else { panic!("{host} is no host") };
        let reply = client.send(&Request { url: target, ..post(&url) }).await;
        assert_eq!(reply.code, Code::EGRESS, "{host}: {:?}", reply.error);
    }
    assert_eq!(taken(&count), 0);
}

#[tokio::test]
async fn a_refusal_names_the_address_its_range_and_the_key_that_allows_it() {
    let client = guarded(&egress(&[], &["8.8.8.0/24"]), Names::default().with("erp.test", &[&["10.0.0.5"]]));
    for (url, sentence) in [
        (
            "https://10.1.2.3/",
            "the egress guard refuses 10.1.2.3: it is private (10.0.0.0/8, RFC 1918); to allow it, add it to egress.allow",
        ),
        (
            "https://erp.test/",
            "the egress guard refuses erp.test: its address 10.0.0.5 is private (10.0.0.0/8, RFC 1918); to allow it, add it to egress.allow",
        ),
        ("http://8.8.8.8/", "the egress guard refuses 8.8.8.8: it is listed in egress.deny as 8.8.8.0/24"),
        (
            "http://metadata.google.internal/computeMetadata/v1/",
            "the egress guard refuses metadata.google.internal: it is a cloud's metadata service; to allow it, add it to egress.allow",
        ),
    ] {
        is_refused(&client.send(&post(url)).await, sentence);
    }
}

#[tokio::test]
async fn a_host_of_an_order_is_reached_only_where_it_is_covered() {
    let names = || {
        Names::default()
            .with("a.partners.test", &[&["127.0.0.1"]])
            .with("partners.test", &[&["8.8.8.8"]])
            .with("loop.test", &[&["127.0.0.1"]])
            .with("half.test", &[&["127.0.0.1", "8.8.8.8"]])
    };
    let (url, count) = answering(OK).await;
    let of = |proxy: Option<Proxy>, host: &str| {
        let egress = egress(&["127.0.0.0/8", "*.partners.test"], &[]);
        let egress = Arc::new(Egress { proxy, ..(*egress).clone() });
        let options = ClientOptions { egress: Arc::clone(&egress), covered: true, ..options() };
        let guard = Guard::with_lookup(&egress, Arc::new(names()));
        let dialer = Dialer::with_guard(&egress, tls::shared().expect("TLS"), guard);
        (Client::over(&options, &dialer).expect("a client"), post(&format!("http://{host}:{}/", port(&url))))
    };
    for (host, code) in [
        ("127.0.0.1", Code::status(200)),
        ("loop.test", Code::status(200)),
        ("a.partners.test", Code::status(200)),
        ("partners.test", Code::EGRESS),
        ("half.test", Code::EGRESS),
        ("8.8.8.8", Code::EGRESS),
        ("unknown.test", Code::DNS),
    ] {
        let (client, request) = of(None, host);
        let reply = client.send(&request).await;
        assert_eq!(reply.code, code, "{host}: {:?}", reply.error);
    }
    // Behind a proxy a name without addresses here is covered by its name alone.
    let reached = taken(&count);
    for (host, code) in
        [("unknown.test", Code::EGRESS), ("8.8.8.8", Code::EGRESS), ("b.partners.test", Code::status(200))]
    {
        let url = format!("http://127.0.0.1:{}", port(&url));
        let (client, request) = of(Some(Proxy { url, host: "127.0.0.1".to_owned(), credentials: None }), host);
        let reply = client.send(&request).await;
        assert_eq!(reply.code, code, "{host}: {:?}", reply.error);
    }
    assert_eq!(taken(&count), reached + 1);
}

#[tokio::test]
async fn one_forbidden_address_among_many_refuses_the_name() {
    for answers in [&["127.0.0.1", "10.0.0.1"][..], &["10.0.0.1", "127.0.0.1"], &["127.0.0.1", "fd00::1"]] {
        let (url, count) = answering(OK).await;
        let client = guarded(&egress(&["127.0.0.0/8"], &[]), Names::default().with("erp.test", &[answers]));
        let reply = client.send(&post(&url.replace("127.0.0.1", "erp.test"))).await;
        assert_eq!((reply.code, taken(&count)), (Code::EGRESS, 0), "{answers:?}");
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_nothing_has_no_address() {
    let client = guarded(&egress(&[], &[]), Names::default().with("erp.test", &[&[]]));
    let reply = client.send(&post("http://erp.test/")).await;
    assert_eq!(reply.code, Code::DNS, "{:?}", reply.error);
    assert_eq!(reply.error.as_deref(), Some("DNS lookup for erp.test failed: it resolves to no address"));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let (url, count) = answering(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{}", &OK[17..])).await;
    // First the address that is allowed, from then on another.
    let names = Names::default().with("erp.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let client = guarded(&egress(&["127.0.0.1"], &[]), names);
    let request = post(&url.replace("127.0.0.1", "erp.test"));
    // What was checked is what is connected to: there is no second question in between.
    assert_eq!(client.send(&request).await.code, Code::status(200));
    let reply = client.send(&request).await;
    assert!(reply.error.is_some_and(|error| error.contains("its address 127.0.0.2 is loopback")));
    assert_eq!((reply.code, taken(&count)), (Code::EGRESS, 1));
}

#[tokio::test]
async fn names_and_ranges_that_are_allowed_are_reached_and_deny_wins() {
    let (url, _) = answering(OK).await;
    let names = || Names::default().with("erp.test", &[&["127.0.0.1"]]).with("a.b.test", &[&["127.0.0.1"]]);
    for (host, allow, deny, reached) in [
        ("erp.test", &["erp.test"][..], &[][..], true),
        ("ERP.test.", &["erp.test"], &[], true),
        ("erp.test", &["ERP.TEST."], &[], true),
        ("erp.test", &["*.test"], &[], true),
        ("a.b.test", &["*.test"], &[], true),
        ("a.b.test", &["b.test"], &[], false),
        ("erp.test", &["*.erp.test"], &[], false),
        ("erp.test", &["127.0.0.1"], &[], true),
        ("erp.test", &["127.0.0.2/31"], &[], false),
        ("127.0.0.1", &["erp.test"], &[], false),
        ("127.0.0.1", &["127.0.0.1"], &["127.0.0.1"], false),
        ("erp.test", &["erp.test"], &["127.0.0.0/8"], false),
        ("erp.test", &["127.0.0.0/8"], &["erp.test"], false),
        ("erp.test.", &["127.0.0.0/8"], &["*.test"], false),
        ("127.0.0.1", &["127.0.0.0/8"], &["erp.test"], true),
        ("[::ffff:127.0.0.1]", &["127.0.0.0/8"], &[], false),
        ("[::ffff:127.0.0.1]", &["::/0"], &[], false),
        ("[::ffff:127.0.0.1]", &["::ffff:0:0/96", "127.0.0.0/8"], &[], true),
        ("[::ffff:127.0.0.1]", &["::/0", "0.0.0.0/0"], &["127.0.0.0/8"], false),
    ] {
        let reply = guarded(&egress(allow, deny), names()).send(&post(&url.replace("127.0.0.1", host))).await;
        let expected = if reached { Code::status(200) } else { Code::EGRESS };
        assert_eq!(reply.code, expected, "{host}, allow {allow:?}, deny {deny:?}: {:?}", reply.error);
    }
}

#[tokio::test]
async fn a_host_header_changes_nothing() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let (url, _) = receiver(move |mut stream| {
        let log = Arc::clone(&log);
        async move {
            let request = read_request(&mut stream).await.expect("a request");
            log.lock().push(request);
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    })
    .await;
    let mut request = post(&url);
    request.headers.insert("host", "metadata.google.internal".parse().unwrap());
    assert_eq!(send_it(&egress(&["127.0.0.1"], &[]), &request).await.code, Code::status(200));
    let request_seen = seen.lock().concat();
    assert!(request_seen.contains(&format!("host: 127.0.0.1:{}\r\n", port(&url))), "{request_seen}");
    assert!(!request_seen.contains("metadata"), "{request_seen}");
}

async fn send_it(egress: &Arc<Egress>, request: &Request) -> Reply {
    guarded(egress, Names::default()).send(request).await
}

#[tokio::test]
async fn user_names_in_a_url_are_no_way_around() {
    let client = guarded(&egress(&[], &[]), Names::default());
    for url in ["http://example.com@127.0.0.1/", "http://example.com:x@[::1]/"] {
        assert_eq!(client.send(&post(url)).await.code, Code::NOT_BUILT);
    }
    for url in ["http://127.0.0.1#@example.com/", "http://127.0.0.1\\@example.com/", "http://127.0.0.1?@example.com/"] {
        assert_eq!(client.send(&post(url)).await.code, Code::EGRESS, "{url}");
    }
}

#[tokio::test]
async fn an_open_connection_is_not_asked_again() {
    let (url, count) = answering(OK).await;
    let names = Names::default().with("erp.test", &[&["127.0.0.1"], &["10.0.0.1"]]);
    let client = guarded(&egress(&["127.0.0.0/8"], &[]), names);
    for _ in 0..3 {
        assert_eq!(client.send(&post(&url.replace("127.0.0.1", "erp.test"))).await.code, Code::status(200));
    }
    assert_eq!(taken(&count), 1);
}
