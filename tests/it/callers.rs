//! Who may call: the names of the server, pages of other sites, and what is logged and counted of those refused.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Answer, read_answer};
use crate::harness::{Process, Service, eventually, text};
use crate::receiver::DEADLINE;

const WITH_TOKENS: &str = "tokens: [{name: shop, token: t-shop, scopes: [ingest, manage]}]";

/// Sends a request with these lines as its head, after the request line.
async fn send(service: &Service, request: &str, lines: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(service.api.address).await.expect("a connection");
    let head = format!("{request} HTTP/1.1\r\nConnection: close\r\n{}\r\n\r\n", lines.join("\r\n"));
    stream.write_all(head.as_bytes()).await.expect("written");
    read_answer(&mut stream).await.expect("an answer")
}

#[tokio::test]
async fn without_tokens_a_request_for_another_host_is_refused() {
    let service = Service::start("server: {public_url: 'https://orders.example.com/api'}").await;
    for host in ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", "0.0.0.0", "10.0.0.1"] {
        for request in ["GET /v1/orders", "POST /v1/config/reload", "GET /healthz", "GET /v1/nothing"] {
            let problem = send(&service, request, &[&format!("Host: {host}")]).await.problem(421);
            assert!(text(&problem, "type").ends_with("/misdirected-request"), "{problem}");
            assert!(text(&problem, "detail").contains("server.hosts"), "{problem}");
        }
    }
    for host in
        ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:99", "127.8.8.8", "[::1]:80", "orders.example.com"]
    {
        send(&service, "GET /v1/orders", &[&format!("Host: {host}")]).await.expect(200);
    }
    let absolute = send(&service, "GET http://evil.example/v1/orders", &["Host: localhost"]).await;
    absolute.problem(421);
    service.stop().await;
}

#[tokio::test]
async fn a_request_says_in_one_host_header_which_server_it_is_for() {
    for yaml in ["", &format!("server: {{{WITH_TOKENS}}}")] {
        let service = Service::start(yaml).await;
        for lines in
            [&["X: y"][..], &["Host: localhost", "Host: localhost"], &["Host: a@b"], &["Host: a b"], &["Host:"]]
        {
            let problem = send(&service, "GET /healthz", lines).await.problem(400);
            assert!(text(&problem, "detail").contains("Host"), "{lines:?}: {problem}");
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn with_tokens_the_host_is_checked_where_hosts_are_configured() {
    let foreign = ["Host: shop.svc.cluster.local:8080", "Authorization: Bearer t-shop"];
    let service = Service::start(&format!("server: {{{WITH_TOKENS}}}")).await;
    send(&service, "GET /v1/orders", &foreign).await.expect(200);
    service.stop().await;

    let service = Service::start(&format!("server: {{hosts: [Orders.internal, '::2'], {WITH_TOKENS}}}")).await;
    send(&service, "GET /v1/orders", &foreign).await.problem(421);
    for host in ["Host: orders.INTERNAL:8080", "Host: [::2]", "Host: localhost"] {
        send(&service, "GET /v1/orders", &[host, foreign[1]]).await.expect(200);
    }
    for probe in ["GET /healthz", "GET /readyz", "GET /metrics"] {
        assert_eq!(send(&service, probe, &["Host: 10.4.3.2:8080"]).await.status, 200, "a probe knows no name");
    }
    service.stop().await;
}

#[tokio::test]
async fn without_tokens_a_page_of_another_site_cannot_call() {
    let service = Service::start("server: {public_url: 'https://orders.example.com', hosts: [desk.example]}").await;
    let port = service.api.address.port();
    let own = format!("Host: localhost:{port}");
    for foreign in [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://localhost:1",
        "Origin: http://orders.example.com:8080",
        "Sec-Fetch-Site: cross-site",
    ] {
        for request in ["POST /v1/config/reload", "GET /v1/orders", "POST /v1/channels/a/pause"] {
            let problem = send(&service, request, &[&own, foreign]).await.problem(403);
            assert!(text(&problem, "type").ends_with("/cross-site-request"), "{foreign}: {problem}");
        }
    }
    for ours in [
        format!("Origin: http://localhost:{port}"),
        "Origin: https://orders.example.com".to_owned(),
        "Origin: http://desk.example:3000".to_owned(),
        "Sec-Fetch-Site: same-origin".to_owned(),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate".to_owned(),
    ] {
        send(&service, "GET /v1/orders", &[&own, &ours]).await.expect(200);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_connection_that_ends_after_its_first_byte_is_closed_without_waiting() {
    let service = Service::start("server: {header_timeout: 1h}").await;
    for start in ["P", "PR", "PRI"] {
        let mut stream = TcpStream::connect(service.api.address).await.expect("a connection");
        stream.write_all(start.as_bytes()).await.expect("written");
        stream.shutdown().await.expect("closed");
        let mut rest = Vec::new();
        let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok() && rest.is_empty(), "{start}: {read:?} {rest:?}");
    }
    // One that goes on is served, however its first bytes come.
    let mut stream = TcpStream::connect(service.api.address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    for piece in ["P", "U", "T /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).await.expect("written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(read_answer(&mut stream).await.expect("an answer").status, 405);
    service.stop().await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let service = Service::start(&format!("server: {{{WITH_TOKENS}}}")).await;
    let api = service.api.with_token("t-shop");
    api.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    api.post("/v1/orders", &json!([])).await.problem(400);
    api.get("/v1/orders/A-1").await.expect(200);
    api.get("/v1/orders/none").await.problem(404);
    api.get("/v1/nothing/at/all").await.problem(404);
    service.api.get("/v1/orders").await.problem(401);
    let page = service.api.get("/metrics").await;
    for line in [
        r#"orderhook_requests_total{route="/v1/orders",status="201"} 1"#,
        r#"orderhook_requests_total{route="/v1/orders",status="400"} 1"#,
        r#"orderhook_requests_total{route="/v1/orders",status="401"} 1"#,
        r#"orderhook_requests_total{route="/v1/orders/{id}",status="200"} 1"#,
        r#"orderhook_requests_total{route="/v1/orders/{id}",status="404"} 1"#,
        r#"orderhook_requests_total{route="unmatched",status="404"} 1"#,
    ] {
        assert!(page.text().lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    service.stop().await;
}

#[tokio::test]
async fn callers_that_are_refused_are_in_the_log_once_however_many() {
    let process = Process::start(&format!("server: {{{WITH_TOKENS}}}")).await;
    for _ in 0..20 {
        process.api.with_token("wrong").get("/v1/orders").await.problem(401);
    }
    let refused = || {
        let lines = process.log.lines();
        lines.into_iter().filter(|line| line.to_string().contains("refused a request")).collect::<Vec<_>>()
    };
    let lines = eventually("the line", || async { Some(refused()).filter(|lines| !lines.is_empty()) }).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = lines[0].to_string();
    assert!(line.contains("unauthorized") && line.contains("/v1/orders") && line.contains("WARN"), "{line}");
    process.stop().await;
}
