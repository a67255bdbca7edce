//! A service with something on every page: channels of each state, orders of each status, deliveries that failed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Api;
use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

const YAML: &str = r#"
server:
  tokens:
    - {name: operator, token: all-token-0123456789, scopes: [ingest, manage]}
    - {name: support, token: read-token-0123456789, scopes: [read]}
chains:
  - name: checkout
    plugins:
      - {name: calloutPlugin, id: stock, critical: true, options: {endpoint: RECEIVER/stock, shouldRejectOn: {status: [409]}}}
      - {name: calloutPlugin, id: loyalty, options: {endpoint: RECEIVER/loyalty}}
channels:
  - {name: erp, url: RECEIVER/erp, auth: {type: bearer, token: erp-secret-0123456789}, rate_limit: 50/s}
  - {name: shipping, url: "RECEIVER/shipping/{{ order.id }}", retry: {attempts: 5, interval: 10m, jitter: 0}}
  - {name: crm, url: RECEIVER/crm, outcomes: [{on: [202], then: dispatched}, {on: [any], then: failed}]}
  - {name: billing, url: RECEIVER/billing, ordering: {by: /customer/email, after_failure: hold}, retry: {attempts: 1, interval: 1s}}
  - {name: wine, url: RECEIVER/wine, when: order.total > 1000}
  - {name: archive, url: RECEIVER/archive}
"#;

/// The service, and where its things are.
pub(super) struct World {
    pub(super) service: Service,
    /// Ends with the world.
    _receiver: Receiver,
    pub(super) api: Api,
    /// An order whose deliveries went different ways.
    pub(super) order: String,
    /// One that was rejected.
    pub(super) rejected: String,
    /// A delivery that failed, with several attempts.
    pub(super) failed: String,
    /// One that waits for its next attempt.
    pub(super) pending: String,
    /// One that is dispatched.
    pub(super) dispatched: String,
}

pub(super) const TOKEN: &str = "all-token-0123456789";

fn order(number: u64) -> Value {
    json!({
        "id": format!("SO-{}", 1000 + number),
        "type": "new",
        "customer": {"name": "Anna Müller", "email": format!("customer{}@example.com", number % 4), "country": "FR"},
        "items": [{"sku": "SKU-017", "name": "Espresso machine", "quantity": 1, "price": 349.00}],
        "total": 349.00,
    })
}

impl World {
    pub(super) async fn start() -> Self {
        let receiver = Receiver::start().await;
        receiver.on("/stock", [Reply::json(200, &json!({"warehouse": "Lyon", "reserved": true}))]);
        receiver.on("/loyalty", [Reply::status(500)]);
        receiver.on("/crm", [Reply::status(202)]);
        receiver.on("/billing", [Reply::json(422, &json!({"error": "no account for customer 4711", "retry": false}))]);
        receiver.on("/erp", [Reply::json(200, &json!({"document": "INV-2026-000417"}))]);
        let mut service = Service::start(&receiver.fill(YAML)).await;
        service.api = service.api.with_token(TOKEN);
        let api = service.api.clone();
        let mut orders = Vec::new();
        for number in 0..6 {
            service.clock.advance(Duration::from_secs(7 * 60));
            if number == 3 {
                receiver.on("/erp", [Reply::json(404, &json!({"error": "no such customer", "customer": "C-1003"}))]);
                receiver.on("/shipping/SO-1003", [Reply::status(503)]);
            }
            let made = api.order(&order(number)).await;
            let made = api.ended(text(&made, "id")).await;
            for delivery in made["deliveries"].as_array().expect("deliveries") {
                // From the fifth order on, those to billing wait for another one with their key.
                if delivery["channel"] != "billing" || number < 4 {
                    service.at_rest(text(delivery, "id")).await;
                }
            }
            orders.push(made);
        }
        let failed = delivery_to(&orders[3], "erp");
        api.settled(&failed).await;
        receiver.on("/erp", [Reply::json(404, &json!({"error": "no such customer", "customer": "C-2003"}))]);
        service.clock.advance(Duration::from_secs(90));
        api.post(&format!("/v1/deliveries/{failed}/retry"), &json!({"reason": "customer was created"}))
            .await
            .expect(200);
        api.settled(&failed).await;
        receiver.on("/erp", [Reply::json(200, &json!({"document": "INV-2026-000418"}))]);
        receiver.on("/stock", [Reply::json(409, &json!({"error": "sold out"}))]);
        api.post("/v1/orders", &order(7)).await.problem(422);
        let rejected = api.order_detail("SO-1007").await;
        receiver.on("/stock", [Reply::json(200, &json!({"warehouse": "Lyon", "reserved": true}))]);
        let reason = json!({"reason": "the archive is moved to the new data centre"});
        api.post("/v1/channels/archive/pause", &reason).await.expect(200);
        for number in 8..10 {
            let made = api.order(&order(number)).await;
            let made = api.ended(text(&made, "id")).await;
            api.settled(&delivery_to(&made, "erp")).await;
        }
        service.clock.advance(Duration::from_secs(95));
        let id = |value: &Value| text(value, "id").to_owned();
        Self {
            order: id(&orders[3]),
            rejected: id(&rejected),
            failed,
            pending: delivery_to(&orders[3], "shipping"),
            dispatched: delivery_to(&orders[3], "crm"),
            service,
            _receiver: receiver,
            api,
        }
    }

    /// Every page, by a name for its picture.
    pub(super) fn pages(&self) -> Vec<(&'static str, String)> {
        let page = |path: &str, id: &str| format!("/dashboard/{path}/{id}");
        vec![
            ("home", "/".to_owned()),
            ("orders", "/dashboard/orders".to_owned()),
            ("orders-none", "/dashboard/orders?q=nobody".to_owned()),
            ("order", page("orders", &self.order)),
            ("order-rejected", page("orders", &self.rejected)),
            ("deliveries", "/dashboard/deliveries".to_owned()),
            ("deliveries-failed", "/dashboard/deliveries?status=failed".to_owned()),
            ("delivery-failed", page("deliveries", &self.failed)),
            ("delivery-pending", page("deliveries", &self.pending)),
            ("delivery-dispatched", page("deliveries", &self.dispatched)),
            ("channel", page("channels", "erp")),
            ("channel-paused", page("channels", "archive")),
            ("channel-held", page("channels", "billing")),
            ("bulk", "/dashboard/deliveries/bulk?act=retry&status=failed".to_owned()),
            ("configuration", "/dashboard/configuration".to_owned()),
            ("about", "/dashboard/about".to_owned()),
            ("audit", "/dashboard/audit".to_owned()),
            ("not-found", page("orders", "ord_none")),
        ]
    }

    pub(super) async fn stop(self) {
        self.service.stop().await;
    }
}
