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
