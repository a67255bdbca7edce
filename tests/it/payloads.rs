//! docs/payloads.md: every body in it is what a receiver got. `UPDATE_DOCS=1 cargo test --test it payloads` writes them anew.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Service, eventually};
use crate::receiver::{Receiver, Reply, Request};

const YAML: &str = r#"
chains:
  - name: new-orders
    when: order.type == "new"
    plugins:
      - {critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}
      - name: calloutPlugin
        id: audit
        options: {endpoint: RECEIVER/audit, payload: order, shouldRejectOn: {status: [5xx]}}
  - name: checked-orders
    when: order.type == "checked"
    plugins: [{critical: true, name: calloutPlugin, id: credit, options: {endpoint: RECEIVER/credit, shouldRejectOn: {status: [409]}}}]
channels:
  - {name: all, url: RECEIVER/all, events: ['*']}
  - {name: broken, url: RECEIVER/broken, events: [invoice.paid]}
  - {name: gone, url: RECEIVER/gone, events: [invoice.sent]}
  - name: zuora
    preset: zuora
    url: RECEIVER/zuora
    url_rules: {https: false, port: true}
    when: order.type == "new"
    parameters: {AccountId: <DataSource.customer.id>, Total: <DataSource.total>, User: <Context.userId>, Source: shop, Test: false}
  - {name: orderful, preset: orderful, url: RECEIVER/orderful, when: order.type == "new"}
  - {name: secutix, preset: secutix, url: RECEIVER/secutix, schedule: null, retry: {interval: 1m}, when: order.type == "new", granularity: OPERATIONS}
  - {name: fulfillment, preset: fulfillment, url: RECEIVER/fulfillment, when: order.type == "new"}
  - {name: form, url: RECEIVER/form, format: form, when: order.type == "new"}
  - {name: xml, url: RECEIVER/xml, format: xml, payload: order, when: order.type == "new"}
"#;

/// An order of every example.
const ORDER: &str = r#"{"id": "A-1001", "type": "new", "total": 129.90, "customer": {"id": "C-7", "email": "jane@example.com"}, "items": [{"product_id": "LICENSE-PRO", "quantity": 2}], "operations": [{"id": 1, "movements": [{"id": 11}]}]}"#;

#[tokio::test]
async fn the_page_about_payloads_shows_what_receivers_get() {
    let receiver = Receiver::start().await;
    receiver.on("/users", [Reply::json(200, &json!({"userId": "U-1"}))]);
    receiver.on("/audit", [Reply::status(503)]);
    receiver.on("/credit", [Reply::json(409, &json!({"reason": "limit exceeded"}))]);
    receiver.on("/broken", [Reply::status(400)]);
    receiver.on("/gone", [Reply::status(410)]);
    receiver.on("/fulfillment", [Reply::body(200, "text/plain", "KEY-1")]);
    let service = Service::start(&receiver.fill(YAML)).await;
    service.api.post_bytes("/v1/orders", ORDER.as_bytes()).await;
    service.api.post_bytes("/v1/orders", br#"{"id": "A-1002", "type": "checked"}"#).await.problem(422);
    for kind in ["invoice.paid", "invoice.sent"] {
        service.api.post("/v1/events", &json!({"type": kind, "data": {"id": "I-1", "total": 19.90}})).await.expect(202);
    }
    let of_all = |kind: &str| receiver.requests_on("/all").into_iter().find(|request| request.json()["type"] == kind);
    eventually("the channel is disabled", || async { of_all("channel.disabled") }).await;
    service.api.post("/v1/channels/gone/resume", &json!({})).await.expect(200);

    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for kind in [
        "order.received",
        "order.completed",
        "order.step_failed",
        "order.rejected",
        "invoice.paid",
        "delivery.failed",
        "channel.failing",
        "channel.disabled",
        "channel.recovered",
    ] {
        let request = eventually(kind, || async {
            receiver.requests_on("/all").into_iter().find(|request| {
                let body = request.json();
                let about = |name: &str| body["data"]["order"]["channel"] == name;
                body["type"] == kind && (kind != "channel.failing" || about("broken"))
            })
        })
        .await;
        found.insert(kind.to_owned(), shown(&request));
    }
    for path in ["users", "audit", "zuora", "orderful", "secutix", "fulfillment", "form", "xml"] {
        let request = receiver.wait_for_on(&format!("/{path}"), 1).await.remove(0);
        found.insert(path.to_owned(), shown(&request));
    }
    service.stop().await;
    check(&found);
}

/// A body as the page shows it: ids shortened, JSON over several lines.
fn shown(request: &Request) -> String {
    let text = match serde_json::from_slice::<Value>(&request.body) {
        Ok(json) => serde_json::to_string_pretty(&json).expect("JSON"),
        Err(_) => request.text().to_owned(),
    };
    let mut rest = text.as_str();
    let mut out = String::new();
    while let Some(at) = ["ord_", "evt_", "dlv_"].iter().filter_map(|prefix| rest.find(prefix)).min() {
        let (before, id) = rest.split_at(at + 4);
        let end = id.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(id.len());
        out.push_str(before);
        out.push('…');
        rest = &id[end..];
    }
    out.push_str(rest);
    out.trim_end().to_owned()
}

/// Compares the page's examples with those `found`, or writes them.
fn check(found: &BTreeMap<String, String>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/payloads.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let mut fresh = String::new();
    let mut unused: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        fresh.push_str(line);
        fresh.push('\n');
        let Some(name) = line.strip_prefix("<!-- example: ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let example = found.get(name).unwrap_or_else(|| panic!("no example {name} is made"));
        unused.retain(|unused| *unused != name);
        fresh.push_str(lines.next().expect("a fence"));
        fresh.push('\n');
        fresh.push_str(example);
        fresh.push_str("\n```\n");
        assert!(lines.by_ref().any(|line| line == "```"), "{name}: a block without an end");
    }
    assert!(unused.is_empty(), "not shown: {unused:?}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &fresh).expect("written");
    }
    let page = std::fs::read_to_string(path).expect("the page");
    assert!(page == fresh, "docs/payloads.md is stale: run `UPDATE_DOCS=1 cargo test --test it payloads`\n{fresh}");
}
