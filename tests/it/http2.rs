//! Callers over HTTP/2: the same API, and bounds for what one connection may ask for.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use crate::harness::Service;

/// A connection, and the task that drives it.
struct Caller {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Caller {
    async fn connect(service: &Service) -> Self {
        let stream = TcpStream::connect(service.api.address).await.expect("a connection");
        let (requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Posts an order, with these headers beside the usual, as soon as there is a stream for it.
    async fn post(&self, order: &Value, headers: &[(&str, &str)]) -> Result<ResponseFuture, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let request = Request::builder().method(Method::POST).uri("http://localhost/v1/orders");
        let request = request.header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (response, mut body) = requests.send_request(request.body(()).expect("a request"), false)?;
        body.send_data(Bytes::from(order.to_string()), true)?;
        Ok(response)
    }

    async fn status(&self, order: &Value, headers: &[(&str, &str)]) -> Result<StatusCode, h2::Error> {
        Ok(self.post(order, headers).await?.await?.status())
    }
}

#[tokio::test]
async fn many_orders_at_once_over_one_connection_are_all_taken_a_hundred_or_so_at_a_time() {
    let service = Service::start("").await;
    let caller = Caller::connect(&service).await;
    assert_eq!(caller.status(&json!({"id": "first"}), &[]).await.expect("an answer"), 201);
    assert_eq!(caller.requests.current_max_send_streams(), 128);
    let mut answers = JoinSet::new();
    for number in 0..400 {
        let response = caller.post(&json!({"id": number}), &[]).await.expect("a stream");
        answers.spawn(async move { response.await.expect("an answer").status() });
    }
    assert!(answers.join_all().await.iter().all(|status| *status == 201));
    let first = service.api.get("/v1/orders/399").await.expect(200);
    assert_eq!(first["status"], "completed");
    service.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let service = Service::start("").await;
    let caller = Caller::connect(&service).await;
    assert_eq!(caller.status(&json!({"id": 1}), &[]).await.expect("an answer"), 201);
    let large = "v".repeat(15_000);
    let headers = [("x-a", large.as_str()), ("x-b", &large), ("x-c", &large)];
    match caller.status(&json!({"id": 2}), &headers).await {
        Ok(status) => assert_eq!(status, 431),
        Err(error) => assert!(!error.is_go_away(), "{error}"),
    }
    assert_eq!(caller.status(&json!({"id": 3}), &[]).await.expect("an answer"), 201);
    assert_eq!(service.api.list("/v1/orders").await.len(), 2);
    service.stop().await;
}

/// A caller may open streams and reset them faster than they can be looked at (CVE-2023-44487).
#[tokio::test]
async fn a_caller_that_opens_and_resets_without_end_loses_its_connection_and_nobody_else_does() {
    let service = Service::start("").await;
    let (flood, calm) = (Caller::connect(&service).await, Caller::connect(&service).await);
    let mut opened = 0;
    while let Ok(response) = flood.post(&json!({"id": opened}), &[]).await {
        // Sent before it is reset.
        tokio::task::yield_now().await;
        drop(response);
        opened += 1;
        assert!(opened < 20_000, "there is no end to it");
    }
    let ended = flood.connection.await.expect("a task that ends");
    let error = ended.expect_err("cut off");
    // A caller that is still writing may see the end of the connection before it reads the reason.
    let told = error.is_go_away() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    assert!(told || error.is_io(), "{error}");
    assert_eq!(calm.status(&json!({"id": "calm"}), &[]).await.expect("an answer"), 201);
    service.stop().await;
}
