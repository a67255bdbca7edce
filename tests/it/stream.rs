//! What happens, as it happens: server-sent events.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

use crate::client::Api;
use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

/// One who watches.
struct Watcher(Lines<BufReader<TcpStream>>);

impl Watcher {
    async fn start(api: &Api, query: &str) -> Self {
        let mut stream = TcpStream::connect(api.address).await.expect("a connection");
        let request = format!("GET /v1/stream{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", api.address);
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut watcher = Self(BufReader::new(stream).lines());
        while watcher.line().await.expect("a line") != ": watching" {}
        watcher
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(Duration::from_secs(20), self.0.next_line()).await.expect("a line in time");
        line.expect("a line")
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        while let Some(line) = self.line().await {
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("JSON")));
            }
        }
        None
    }
}

#[tokio::test]
async fn orders_attempts_and_changes_are_seen_as_they_happen() {
    let receiver = Receiver::start().await;
    receiver.on("/crm", [Reply::status(404)]);
    let service =
        Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}, {name: crm, url: RECEIVER/crm}]"))
            .await;
    let mut all = Watcher::start(&service.api, "").await;
    let mut crm = Watcher::start(&service.api, "?channel=crm").await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    service.api.all_settled().await;
    service.api.post("/v1/channels/crm/pause", &json!({"reason": "night"})).await.expect(200);
    let id = delivery_to(&order, "crm");
    service.api.post(&format!("/v1/deliveries/{id}/retry"), &Value::Null).await.expect(200);

    let (name, data) = crm.next().await.expect("an event");
    assert_eq!((name.as_str(), text(&data, "delivery"), &data["code"]), ("attempt", id.as_str(), &json!(404)));
    assert_eq!((text(&data, "status"), text(&data, "order_id")), ("failed", "A-1"));
    let (name, data) = crm.next().await.expect("an event");
    assert_eq!((name.as_str(), text(&data, "state"), text(&data, "reason")), ("channel", "paused", "night"));
    let (name, data) = crm.next().await.expect("an event");
    assert_eq!((name.as_str(), text(&data, "act"), text(&data, "status")), ("delivery", "retry", "pending"));

    let mut names = Vec::new();
    for _ in 0..5 {
        let (name, data) = all.next().await.expect("an event");
        if name == "order" {
            assert_eq!((&data["id"], text(&data, "status")), (&order["id"], "completed"));
        }
        names.push(name);
    }
    names.sort_unstable();
    assert_eq!(names, ["attempt", "attempt", "channel", "delivery", "order"]);
    service.api.get("/v1/stream?channel=crn").await.problem(400);
    service.stop().await;
    assert!(all.next().await.is_none(), "a stream ends with the service");
}

#[tokio::test]
async fn more_streams_than_are_kept_are_refused() {
    let service = Service::start("").await;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(Watcher::start(&service.api, "").await);
    }
    service.api.get("/v1/stream").await.problem(429);
    service.stop().await;
}
