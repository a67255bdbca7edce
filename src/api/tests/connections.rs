//! Callers on real sockets: slow, broken, many, and at a stop.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{ConnectionLimits, serve};
use super::fakes::*;
use super::records::*;

/// Long enough never to run out in a test.
const LONG: Duration = Duration::from_secs(60);
/// Soon over.
const SHORT: Duration = Duration::from_millis(80);

struct Served {
    world: World,
    address: SocketAddr,
    stop: CancellationToken,
    abort: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn new() -> Self {
        Self::with(LONG, LONG, 100).await
    }

    async fn with(header_timeout: Duration, body_timeout: Duration, max_connections: usize) -> Self {
        let body = humantime::format_duration(body_timeout);
        let world = World::with(&format!("server: {{body_timeout: {body}, max_body: 1MiB}}\n{CHANNELS}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let limits = ConnectionLimits { header_timeout, body_timeout, max_connections };
        let task =
            tokio::spawn(serve(listener, world.router.clone(), watch::channel(limits).1, stop.clone(), abort.clone()));
        Self { world, address, stop, abort, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes and reads until the connection is closed.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("written");
        read_to_end(&mut stream).await
    }

    async fn wait_for_calls(&self, count: usize) {
        while self.world.taken().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer whose head gives its length, and leaves the connection open.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("an answer");
        answer.push(byte[0]);
        if answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(answer.clone()).expect("text").to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).await.expect("a body");
    answer.extend(body);
    String::from_utf8(answer).expect("text")
}

const ORDER: &[u8] =
    b"POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[track_caller]
fn assert_problem(answer: &str, status: u16, slug: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains(&format!("/problems/{slug}\"")), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_408_and_closed() {
    let served = Served::with(SHORT, LONG, 100).await;
    assert_problem(&served.exchange(b"POST /v1/orders HTTP/1.1\r\nhos").await, 408, "request-timeout");
    assert_problem(&served.exchange(b"P").await, 408, "request-timeout");
}

#[tokio::test]
async fn the_next_head_of_a_connection_has_as_little_time_as_the_first() {
    let served = Served::with(SHORT, LONG, 100).await;
    let mut stream = served.connect().await;
    stream.write_all(ORDER).await.expect("written");
    read_answer(&mut stream).await;
    stream.write_all(b"GET /heal").await.expect("written");
    assert_problem(&read_to_end(&mut stream).await, 408, "request-timeout");
}

#[tokio::test]
async fn a_head_that_drips_is_given_up_however_often_a_byte_comes() {
    let served = Served::with(SHORT, LONG, 100).await;
    let (mut reading, mut writing) = served.connect().await.into_split();
    let drip = tokio::spawn(async move {
        writing.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.expect("written");
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut answer = Vec::new();
    // Whether the close comes as an end or as a reset is up to when the last byte came.
    let _ = reading.read_to_end(&mut answer).await;
    assert_problem(&String::from_utf8_lossy(&answer), 408, "request-timeout");
    drip.abort();
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_closed_without_a_word() {
    let served = Served::with(SHORT, LONG, 100).await;
    assert_eq!(read_to_end(&mut served.connect().await).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let served = Served::with(LONG, SHORT, 100).await;
    let head = b"POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{}";
    assert_problem(&served.exchange(head).await, 408, "request-timeout");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_answered_400() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    let head = b"POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{}";
    stream.write_all(head).await.expect("written");
    stream.shutdown().await.expect("half closed");
    assert_problem(&read_to_end(&mut stream).await, 400, "incomplete-body");
    assert!(served.world.taken().is_empty());
}

#[tokio::test]
async fn a_caller_that_closes_its_side_still_gets_its_answer() {
    let served = Served::new().await;
    let gate = served.world.ingest.gate.write().await;
    let mut stream = served.connect().await;
    stream.write_all(ORDER).await.expect("written");
    stream.shutdown().await.expect("half closed");
    served.wait_for_calls(1).await;
    // Served beside the closed one, so that its end has been seen by now.
    served.exchange(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    drop(gate);
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn what_is_no_http_is_answered_400_and_the_service_goes_on() {
    let served = Served::new().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello over TLS\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: two\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nx: \x00\r\n\r\n",
    ] {
        assert_problem(&served.exchange(garbage).await, 400, "malformed-request");
    }
    let mut stream = served.connect().await;
    stream.write_all(ORDER).await.expect("written");
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn a_flood_of_headers_is_answered_431() {
    let served = Served::new().await;
    let many = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert_problem(&served.exchange(many.as_bytes()).await, 431, "headers-too-large");
    let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    assert_problem(&served.exchange(long.as_bytes()).await, 431, "headers-too-large");
    let path = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "y".repeat(100_000));
    assert_problem(&served.exchange(path.as_bytes()).await, 431, "headers-too-large");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let served = Served::new().await;
    let head =
        b"POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9999999\r\n\r\n";
    assert_problem(&served.exchange(head).await, 413, "body-too-large");
}

#[tokio::test]
async fn a_caller_that_goes_on_sending_still_reads_why_it_was_refused() {
    let served = Served::new().await;
    let mut request =
        b"POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9999999\r\n\r\n"
            .to_vec();
    request.resize(request.len() + 9_999_999, b' ');
    assert_problem(&served.exchange(&request).await, 413, "body-too-large");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    let requests = [
        ORDER,
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"HEAD /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ORDER,
    ]
    .concat();
    stream.write_all(&requests).await.expect("written");
    stream.shutdown().await.expect("half closed");
    let answers = read_to_end(&mut stream).await;
    let statuses: Vec<&str> =
        answers.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answers.get(at + 9..at + 12)).collect();
    assert_eq!(statuses, ["201", "200", "404", "201"], "{answers}");
    assert_eq!(served.world.taken().len(), 2);
}

#[tokio::test]
async fn a_panic_is_answered_500_and_the_connection_goes_on() {
    let served = Served::new().await;
    served.world.reply(|| panic!("a defect"));
    let mut stream = served.connect().await;
    stream.write_all(ORDER).await.expect("written");
    let answer = read_answer(&mut stream).await;
    assert_problem(&answer, 500, "internal");
    assert!(!answer.contains("a defect"));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let served = Served::with(LONG, LONG, 1).await;
    let mut first = served.connect().await;
    first.write_all(ORDER).await.expect("written");
    read_answer(&mut first).await;
    let mut second = served.connect().await;
    second.write_all(ORDER).await.expect("written");
    let early = tokio::time::timeout(SHORT, second.read_u8()).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(read_answer(&mut second).await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn an_idle_connection_gives_its_place_to_others_when_it_is_crowded() {
    let served = Served::with(SHORT, LONG, 1).await;
    let mut first = served.connect().await;
    first.write_all(ORDER).await.expect("written");
    read_answer(&mut first).await;
    let mut second = served.connect().await;
    second.write_all(ORDER).await.expect("written");
    assert!(read_answer(&mut second).await.starts_with("HTTP/1.1 201 "));
    assert_eq!(read_to_end(&mut first).await, "");
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_takes_nothing_new() {
    let served = Served::new().await;
    let mut idle = served.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
    read_answer(&mut idle).await;
    let gate = served.world.ingest.gate.write().await;
    let mut busy = served.connect().await;
    busy.write_all(ORDER).await.expect("written");
    served.wait_for_calls(1).await;
    served.stop.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    while TcpStream::connect(served.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!served.task.is_finished());
    drop(gate);
    let answer = read_to_end(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("connection: close"), "{answer}");
    served.task.await.expect("the server ends");
}

#[tokio::test]
async fn an_abort_does_not_wait() {
    let served = Served::new().await;
    let _gate = served.world.ingest.gate.write().await;
    let mut busy = served.connect().await;
    busy.write_all(ORDER).await.expect("written");
    served.wait_for_calls(1).await;
    served.stop.cancel();
    served.abort.cancel();
    served.task.await.expect("the server ends");
    let mut rest = Vec::new();
    let _ = busy.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_caller_that_does_not_read_its_answer_is_given_up() {
    let served = Served::with(LONG, SHORT, 100).await;
    let mut large = order(&ids());
    large.body = format!("{{\"a\":\"{}\"}}", "x".repeat(30_000_000)).into();
    served.world.store.orders.lock().push(large);
    let mut stream = served.connect().await;
    stream.write_all(b"GET /v1/orders/A%2F1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
    stream.readable().await.expect("an answer has begun");
    served.stop.cancel();
    // Without the time limit this would wait for the caller for ever.
    served.task.await.expect("the server ends");
}

#[tokio::test]
async fn http_2_is_spoken_on_the_same_port() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // GET, http, and two literals: the path and the authority.
    let mut fields = vec![0x82, 0x86, 0x44, 8];
    fields.extend(b"/healthz");
    fields.extend([0x41, 9]);
    fields.extend(b"localhost");
    request.extend([0, 0, u8::try_from(fields.len()).expect("short"), 1, 0x5, 0, 0, 0, 1]);
    request.extend(fields);
    stream.write_all(&request).await.expect("written");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a frame");
        let mut payload = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
        stream.read_exact(&mut payload).await.expect("its payload");
        if head[3] == 1 {
            assert_eq!((head[8], payload[0]), (1, 0x88), "a status of 200 on stream 1");
            break;
        }
        assert!(matches!(head[3], 4 | 8), "a frame of type {}", head[3]);
    }
    served.stop.cancel();
    drop(stream);
    served.task.await.expect("the server ends");
}
