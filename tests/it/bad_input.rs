//! Bad input to the ingest: a clear problem each time, bounded time and memory, and the service goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Answer, read_answer};
use crate::harness::{Service, text};
use crate::receiver::Receiver;

/// Posts good bytes to show that the service goes on, and that nothing bad was stored before.
async fn goes_on(service: &Service) {
    let before = service.api.list("/v1/orders").await.len();
    service.api.post("/v1/orders", &json!({"id": "still here"})).await.expect(201);
    assert_eq!(service.api.list("/v1/orders").await.len(), before + 1);
}

/// Sends raw bytes on a connection of their own; `None` when the service closes it without an answer.
async fn raw(service: &Service, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(service.api.address).await.expect("a connection");
    let _ = stream.write_all(bytes).await;
    read_answer(&mut stream).await.ok()
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_with_the_place_of_the_fault() {
    let service = Service::start("").await;
    let cases: [(&[u8], &str); 14] = [
        (b"", "JSON"),
        (b"   ", "JSON"),
        (b"{", "line 1"),
        (b"{\"id\": 1,\n \"a\": }", "line 2"),
        (b"{\"id\": 1} {\"id\": 2}", "JSON"),
        (b"{'id': 1}", "JSON"),
        (b"{\"id\": 01}", "JSON"),
        (b"{\"id\": NaN}", "JSON"),
        (b"[]", "object"),
        (b"[{\"id\": 1}]", "object"),
        (b"\"text\"", "object"),
        (b"12", "object"),
        (b"null", "object"),
        (b"true", "object"),
    ];
    for (body, named) in cases {
        let problem = service.api.post_bytes("/v1/orders", body).await.problem(400);
        assert!(text(&problem, "detail").contains(named), "{}: {problem}", String::from_utf8_lossy(body));
    }
    assert_eq!(service.api.list("/v1/orders").await.len(), 0);
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn invalid_utf_8_is_refused_wherever_it_stands() {
    let service = Service::start("").await;
    for body in [&b"{\"id\": \"\xff\"}"[..], b"{\"\xc3\x28\": 1}", b"\xff\xfe{}", b"{\"a\": [\"\xed\xa0\x80\"]}"] {
        service.api.post_bytes("/v1/orders", body).await.problem(400);
    }
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_lone_surrogate_harms_nobody() {
    let service = Service::start("").await;
    let answer = service.api.post_bytes("/v1/orders", br#"{"id": "\ud800", "name": "\udc00"}"#).await;
    assert!(matches!(answer.status, 201 | 400), "{answer}");
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_refused_unread() {
    let service = Service::start("server: {max_body: 10KB}").await;
    let fitting = json!({"id": "fits", "filler": "x".repeat(9_900)});
    service.api.post("/v1/orders", &fitting).await.expect(201);
    let problem = service.api.post("/v1/orders", &json!({"filler": "x".repeat(10_001)})).await.problem(413);
    assert!(problem.to_string().contains("max_body"), "{problem}");
    service.api.post("/v1/events", &json!({"type": "a", "data": "x".repeat(10_001)})).await.problem(413);

    // Announced only: the answer comes before the body.
    let head = "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000000000\r\n\r\n";
    raw(&service, head.as_bytes()).await.expect("an answer").problem(413);

    // Never announced: cut off as soon as it is too much.
    let mut endless =
        b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..20 {
        endless.extend_from_slice(format!("400\r\n{}\r\n", " ".repeat(0x400)).as_bytes());
    }
    raw(&service, &endless).await.expect("an answer").problem(413);
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_megabyte_is_allowed_unless_configured() {
    let service = Service::start("").await;
    service.api.post("/v1/orders", &json!({"id": "large", "filler": "x".repeat(1_000_000)})).await.expect(201);
    service.api.post("/v1/orders", &json!({"id": "too large", "filler": "x".repeat(1_048_577)})).await.problem(413);
    service.stop().await;
}

#[tokio::test]
async fn nesting_too_deep_is_refused() {
    let service = Service::start("").await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = if open == "[" { "" } else { "1" };
        let deep = |levels: usize| {
            format!("{{\"id\": \"deep\", \"a\": {}{inner}{}}}", open.repeat(levels), close.repeat(levels))
        };
        service.api.post_bytes("/v1/orders", deep(20).as_bytes()).await.expect(201);
        for levels in [1_000, 150_000] {
            let problem = service.api.post_bytes("/v1/orders", deep(levels).as_bytes()).await.problem(400);
            assert!(text(&problem, "detail").contains("deep"), "{problem}");
        }
    }
    let open = "[".repeat(200_000);
    service.api.post_bytes("/v1/orders", format!("{{\"a\":{open}").as_bytes()).await.problem(400);
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn of_duplicate_keys_the_last_counts_and_the_bytes_go_on_as_received() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let bytes = r#"{"id": "first", "id": "last", "a": {"b": 1, "b": 2}}"#;
    let answer = service.api.post_bytes("/v1/orders", bytes.as_bytes()).await.expect(201);
    assert_eq!(answer["order_id"], "last");
    assert!(receiver.next().await.text().contains(bytes));
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn huge_numbers_pass_through_unchanged() {
    let receiver = Receiver::start().await;
    let service = Service::start(
        &receiver
            .fill("channels: [{name: erp, url: RECEIVER/erp, when: order.total > 5}, {name: all, url: RECEIVER/all}]"),
    )
    .await;
    for number in ["1e400", "-1e400", "123456789012345678901234567890.123456789", "1e-400", "-0.0", &"9".repeat(5_000)]
    {
        let bytes = format!(r#"{{"id": "A-1", "total": {number}}}"#);
        let answer = service.api.post_bytes("/v1/orders", bytes.as_bytes()).await;
        answer.expect(201);
        service.api.all_settled().await;
        assert!(receiver.requests_on("/all").last().expect("a request").text().contains(&bytes), "{number}");
    }
    goes_on(&service).await;
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn strange_ids_are_taken_as_text() {
    let service = Service::start("").await;
    for id in ["", " ", "ord_x", "a/b?c#d", "é\u{0}\u{202e}", &"x".repeat(10_000), "'; DROP TABLE orders; --"] {
        let answer = service.api.post("/v1/orders", &json!({"id": id})).await;
        if answer.status == 201 {
            let created = answer.json();
            let found = service.api.order_detail(text(&created, "id")).await;
            assert_eq!(found["order"]["id"], id);
        } else {
            answer.problem(400);
        }
    }
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let service = Service::start("").await;
    for media in
        ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/jsonp", "nonsense", ""]
    {
        let problem = service.api.call("POST", "/v1/orders", &[("Content-Type", media)], b"{}").await.problem(415);
        assert!(problem.to_string().contains("application/json"), "{media}: {problem}");
    }
    let packed = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    service.api.call("POST", "/v1/orders", &packed, b"{}").await.problem(415);
    service.api.call("POST", "/v1/orders", &[], b"{}").await.problem(415);
    service.api.call("POST", "/v1/events", &[("Content-Type", "text/plain")], b"{}").await.problem(415);
    for media in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.shop.order+json"] {
        service.api.call("POST", "/v1/orders", &[("Content-Type", media)], b"{}").await.expect(201);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_method_says_which_are_right() {
    let service = Service::start("").await;
    for (method, target, allowed) in [
        ("PUT", "/v1/orders", "POST"),
        ("DELETE", "/v1/orders/A-1", "GET"),
        ("GET", "/v1/events", "POST"),
        ("POST", "/healthz", "GET"),
        ("BREW", "/v1/orders", "POST"),
    ] {
        let answer = service.api.call(method, target, &[("Content-Type", "application/json")], b"{}").await;
        answer.problem(405);
        assert!(answer.header("allow").is_some_and(|allow| allow.contains(allowed)), "{method} {target}: {answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    let service = Service::start("").await;
    for target in
        ["/nowhere", "/v1", "/v1/", "/v1/order", "/v1/orders/x/y", "//v1/orders", "/v1/orders%00", "/v2/orders"]
    {
        let problem = service.api.get(target).await.problem(404);
        assert_eq!(problem["status"], 404);
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_no_http_gets_no_further() {
    let service = Service::start("").await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello"[..],
        b"hello\r\n\r\n",
        b"POST /v1/orders HTTP/9.9\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n{}",
        b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        if let Some(answer) = raw(&service, bytes).await {
            assert_eq!(answer.status / 100, 4, "{}: {answer}", String::from_utf8_lossy(bytes));
        }
    }
    assert_eq!(service.api.list("/v1/orders").await.len(), 0);
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_flood_of_headers_is_cut_off() {
    let service = Service::start("").await;
    let start =
        "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
    let many: Vec<_> = (0..5_000).map(|number| format!("X-{number}: v\r\n")).collect();
    let many = many.concat();
    let long = format!("X-Long: {}\r\n", "v".repeat(2_000_000));
    for flood in [many, long] {
        if let Some(answer) = raw(&service, format!("{start}{flood}\r\n{{}}").as_bytes()).await {
            assert!(matches!(answer.status, 400 | 431), "{answer}");
        }
    }
    let target = format!("/v1/orders?type={}", "x".repeat(200_000));
    if let Some(answer) =
        raw(&service, format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await
    {
        assert_eq!(answer.status / 100, 4, "{answer}");
    }
    assert_eq!(service.api.list("/v1/orders").await.len(), 0);
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_request_that_is_cut_off_stores_nothing() {
    let service = Service::start("server: {header_timeout: 500ms}").await;
    let head = "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"id\": \"cut";
    for length in [1, 20, head.len() - 11, head.len()] {
        let mut stream = TcpStream::connect(service.api.address).await.expect("a connection");
        stream.write_all(&head.as_bytes()[..length]).await.expect("written");
        stream.shutdown().await.expect("shut down");
        if let Ok(answer) = read_answer(&mut stream).await {
            assert_eq!(answer.status / 100, 4, "{answer}");
        }
    }
    assert_eq!(service.api.list("/v1/orders").await.len(), 0);
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_request_that_dawdles_is_cut_off_and_keeps_nobody_waiting() {
    let service = Service::ticking("server: {header_timeout: 300ms, body_timeout: 300ms}").await;
    let head =
        "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    let begun = Instant::now();
    let mut slow = Vec::new();
    for part in ["POST /v1/or", "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\n", head, &format!("{head}{{\"id\": ")] {
        let mut stream = TcpStream::connect(service.api.address).await.expect("a connection");
        stream.write_all(part.as_bytes()).await.expect("written");
        slow.push(stream);
    }
    goes_on(&service).await;
    for (number, mut stream) in slow.into_iter().enumerate() {
        match read_answer(&mut stream).await {
            Ok(answer) => assert_eq!(answer.status, 408, "{number}: {answer}"),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{number} is never cut off"),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(service.api.list("/v1/orders").await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn hundreds_of_silent_connections_keep_nobody_out() {
    let service = Service::start("").await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(service.api.address).await.expect("a connection"));
    }
    goes_on(&service).await;
    drop(silent);
    service.stop().await;
}

#[tokio::test]
async fn problems_never_show_the_inside() {
    let service = Service::start("").await;
    for answer in [
        service.api.post_bytes("/v1/orders", b"{").await,
        service.api.get("/v1/orders?cursor=%27%20OR%201%3D1").await,
        service.api.get("/v1/orders/%27%3B").await,
        service.api.get("/nowhere").await,
    ] {
        let problem: Value = answer.problem(answer.status);
        let shown = problem.to_string();
        for inside in ["src/", ".rs:", "sqlite", "SELECT", "panicked", "/home", "/tmp"] {
            assert!(!shown.contains(inside), "{inside} in {shown}");
        }
    }
    service.stop().await;
}
