//! The demo's receivers: good, flaky, slow, and one that rejects, on one loopback port.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;

use super::happening::Happening;

struct Receivers {
    events: UnboundedSender<Happening>,
    calls: AtomicU64,
}

impl Receivers {
    fn tell(&self, receiver: &'static str, order: &str, status: u16) {
        let _ = self.events.send(Happening::Received { receiver, order: order.to_owned(), status });
    }
}

/// Starts them, and answers where.
pub(super) async fn start(events: UnboundedSender<Happening>) -> std::io::Result<SocketAddr> {
    let receivers = Arc::new(Receivers { events, calls: AtomicU64::new(0) });
    let router = Router::new()
        .route("/stock", post(stock))
        .route("/loyalty", post(loyalty))
        .route("/erp", post(erp))
        .route("/shipping/{order}", post(shipping))
        .with_state(receivers);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

fn order_id(order: &Value) -> String {
    order.get("id").and_then(Value::as_str).unwrap_or("?").to_owned()
}

/// Rejects what is sold out.
async fn stock(State(receivers): State<Arc<Receivers>>, body: Bytes) -> Response {
    let call = parse(&body);
    let order = call.get("order").cloned().unwrap_or_default();
    let sold_out = order.get("sold_out") == Some(&Value::Bool(true));
    let (status, body) = if sold_out {
        (404, json!({"error": "sold out"}))
    } else {
        (200, json!({"warehouse": "Lyon", "reserved": true}))
    };
    receivers.tell("stock", &order_id(&order), status);
    answer(status, &body)
}

/// Slow; now and then slower than its `timeoutValue`.
async fn loyalty(State(receivers): State<Arc<Receivers>>, body: Bytes) -> Response {
    let call = receivers.calls.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(if call % 7 == 6 { 1300 } else { 150 + 60 * (call % 5) })).await;
    let order = parse(&body).get("order").map(order_id).unwrap_or_default();
    receivers.tell("loyalty", &order, 200);
    answer(200, &json!({"points": 10}))
}

/// Good.
async fn erp(State(receivers): State<Arc<Receivers>>, body: Bytes) -> Response {
    let order = parse(&body).get("order").and_then(Value::as_str).unwrap_or("?").to_owned();
    receivers.tell("erp", &order, 200);
    answer(200, &json!({}))
}

/// Flaky: every third call fails.
async fn shipping(State(receivers): State<Arc<Receivers>>, Path(order): Path<String>) -> Response {
    let call = receivers.calls.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let status = if call % 3 == 2 { 503 } else { 200 };
    receivers.tell("shipping", &order, status);
    answer(status, &json!({}))
}
