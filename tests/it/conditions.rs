//! Conditions that cannot be evaluated refuse an order: no check is passed by a wrong type.

use serde_json::json;

use crate::harness::{Service, text};
use crate::receiver::Receiver;

#[tokio::test]
async fn an_order_whose_chain_condition_cannot_be_evaluated_is_refused() {
    let receiver = Receiver::start().await;
    let yaml = "
chains:
  - name: large
    when: order.total > 100
    plugins: [{critical: true, name: calloutPlugin, id: limit, options: {endpoint: RECEIVER/limit}}]
channels: [{name: erp, url: RECEIVER/erp}]
";
    let service = Service::start(&receiver.fill(yaml)).await;
    let problem = service.api.post("/v1/orders", &json!({"id": "A-1", "total": {"amount": 150}})).await.problem(422);
    assert_eq!(problem["type"], "/problems/condition-failed");
    let detail = text(&problem, "detail");
    assert!(detail.contains("chain large") && detail.contains("order.total"), "{detail}");
    assert!(service.api.list("/v1/orders").await.is_empty(), "nothing is kept");
    service.api.post("/v1/orders", &json!({"id": "A-2", "total": "150.00"})).await.expect(201);
    assert_eq!(receiver.count_on("/limit"), 1, "text that is a number counts as the number");
    service.api.post("/v1/orders", &json!({"id": "A-3"})).await.expect(201);
    assert_eq!(receiver.count_on("/limit"), 1, "a missing field makes the condition false");
    service.stop().await;
}

#[tokio::test]
async fn a_critical_step_whose_condition_cannot_be_evaluated_says_which() {
    let receiver = Receiver::start().await;
    let yaml = "
chains:
  - name: large
    plugins:
      - {critical: true, name: calloutPlugin, id: limit, when: order.total > 100, options: {endpoint: RECEIVER/limit}}
";
    let service = Service::start(&receiver.fill(yaml)).await;
    let problem = service.api.post("/v1/orders", &json!({"id": "A-1", "total": [150]})).await.problem(422);
    let detail = text(&problem, "detail");
    assert!(
        detail.starts_with("`when` of the step limit of the chain large (order.total > 100) cannot be"),
        "{detail}"
    );
    assert!(detail.contains("a list"), "{detail}");
    assert_eq!(receiver.count_on("/limit"), 0);
    service.stop().await;
}

#[tokio::test]
async fn channel_conditions_that_cannot_be_evaluated_are_counted() {
    let receiver = Receiver::start().await;
    let yaml = "
channels:
  - {name: large, url: RECEIVER/large, when: order.total > 100}
  - {name: all, url: RECEIVER/all}
";
    let service = Service::start(&receiver.fill(yaml)).await;
    for (id, total) in [("A-1", json!({"amount": 150})), ("A-2", json!(50)), ("A-3", json!("much"))] {
        service.api.post("/v1/orders", &json!({"id": id, "total": total})).await.expect(201);
    }
    let answer = service.api.get("/metrics").await;
    let page = answer.text();
    let count = |channel: &str| {
        let start = format!("orderhook_condition_errors_total{{channel=\"{channel}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
    };
    assert_eq!(count("large").as_deref(), Some("2"), "{page}");
    assert_eq!(count("all").unwrap_or("0".to_owned()), "0", "{page}");
    service.stop().await;
}
