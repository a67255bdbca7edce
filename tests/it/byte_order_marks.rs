//! A byte order mark before a text is left out, wherever the text comes from.

use serde_json::json;

use crate::harness::{Home, Service, binary, run, text};
use crate::receiver::{Receiver, Reply};

const BOM: &str = "\u{feff}";

#[tokio::test]
async fn before_orders_events_and_other_bodies() {
    let receiver = Receiver::start().await;
    let yaml = "channels: [{name: a, url: RECEIVER/a, events: [order.completed, x], payload: order}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    service.api.post_bytes("/v1/orders", format!("{BOM}{{\"id\": \"A-1\"}}").as_bytes()).await.expect(201);
    assert_eq!(receiver.wait_for(1).await.remove(0).text(), r#"{"id": "A-1"}"#);
    service.api.post_bytes("/v1/events", format!("{BOM}{{\"type\": \"x\", \"data\": 1}}").as_bytes()).await.expect(202);
    assert_eq!(receiver.wait_for(2).await.remove(1).text(), "1");
    let cloud = json!({"specversion": "1.0", "type": "x", "source": "/s", "id": "1", "data": 2});
    for (media, body) in [
        ("application/cloudevents+json", format!("{BOM}{cloud}")),
        ("application/cloudevents-batch+json", format!("{BOM}[{cloud}]")),
    ] {
        service.api.call("POST", "/v1/events", &[("Content-Type", media)], body.as_bytes()).await.expect(202);
    }
    assert_eq!(receiver.wait_for(3).await.remove(2).text(), "2");
    let binary = [("ce-specversion", "1.0"), ("ce-type", "x"), ("ce-source", "/s"), ("ce-id", "3")];
    service.api.call("POST", "/v1/events", &binary, format!("{BOM}3").as_bytes()).await.expect(202);
    assert_eq!(receiver.wait_for(4).await.remove(3).text(), "3");
    for target in ["/v1/channels/a/pause", "/v1/channels/a/resume"] {
        service.api.post_bytes(target, format!("{BOM}{{\"reason\": \"r\"}}").as_bytes()).await.expect(200);
    }
    let preview = service.api.post_bytes("/v1/channels/a/preview", format!("{BOM}{{\"id\": 5}}").as_bytes()).await;
    assert_eq!(text(&preview.expect(200), "body"), r#"{"id": 5}"#);
    service.stop().await;
}

#[tokio::test]
async fn before_the_json_of_a_callouts_response() {
    let receiver = Receiver::start().await;
    receiver.on("/callout", [Reply::body(200, "application/json", format!("{BOM}{{\"userId\": \"U-1\"}}"))]);
    let yaml = "chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/callout}}]}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    let answer = service.api.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    assert_eq!(answer["context"]["userId"], "U-1", "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn in_the_files_of_a_configuration_and_of_the_command_line() {
    let receiver = Receiver::start().await;
    let home = Home::new();
    std::fs::write(home.path("token"), format!("{BOM}secret\r\n")).unwrap();
    std::fs::write(home.path("order.json"), format!("{BOM}{{\"id\": \"A-1\"}}")).unwrap();
    let yaml = receiver.fill("channels: [{name: a, url: RECEIVER/a, payload: order, auth: {type: bearer, token_file: token}}]\negress: {allow: [127.0.0.0/8]}\n");
    std::fs::write(home.path("a.yaml"), format!("{BOM}{yaml}")).unwrap();
    let mut command = binary();
    command.args(["test", "a", "--config", "a.yaml", "--order", "order.json"]).current_dir(home.path(""));
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let request = receiver.next().await;
    assert_eq!(request.text(), r#"{"id": "A-1"}"#);
    assert_eq!(request.expect_header("authorization"), "Bearer secret");
}
