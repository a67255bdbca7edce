//! Orders that make a template or condition work without end: the delivery fails, and the service goes on.

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

/// An order of about a megabyte with what a hostile caller chooses.
fn hostile() -> Value {
    let lines: Vec<Value> = (0..12_000).map(|at| json!({"a": at + 1, "text": "x".repeat(50)})).collect();
    json!({"lines": lines, "n": 1_000_000_000_000_u64, "sep": "s".repeat(60_000), "format": "%999999999d"})
}

#[tokio::test]
async fn an_order_that_makes_a_template_work_without_end_fails_its_delivery_and_nothing_else() {
    let templates = [
        ("sum", "{% for l in order.lines %}{{ l.a / (order.lines | sum(attribute='a')) }}{% endfor %}", "32 MiB"),
        ("join", "{{ order.lines | join(order.sep) }}", "text of more than 1 MiB"),
        ("batch", "{{ order.lines | batch(order.n, 0) }}", "32 MiB"),
        ("slice", "{{ order.lines | slice(order.n) }}", "32 MiB"),
        ("format", "{{ order.format | format(1) }}", "larger than 10000"),
    ];
    let receiver = Receiver::start().await;
    let channels: String = templates
        .iter()
        .map(|(name, body, _)| {
            format!("\n  - {{name: {name}, when: order.lines, url: RECEIVER/{name}, body: \"[\\\"{body}\\\"]\"}}")
        })
        .collect();
    // Time is bounded too; here the work is what ends them.
    let yaml = format!("template: {{timeout: 10s}}\nchannels:\n  - {{name: plain, url: RECEIVER/plain}}{channels}");
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = service.api.order(&hostile()).await;
    for (name, _, why) in templates {
        let delivery = service.api.settled(&delivery_to(&order, name)).await;
        let attempt = &delivery["attempts"][0];
        assert_eq!((&delivery["status"], &attempt["code"]), (&json!("failed"), &json!(-2000)), "{name}: {delivery:#}");
        assert!(text(attempt, "error").contains(why), "{name}: {attempt:#}");
        assert_eq!(receiver.count_on(&format!("/{name}")), 0);
    }
    assert_eq!(service.api.settled(&delivery_to(&order, "plain")).await["status"], "accepted");
    let next = service.api.order(&json!({"id": "A-2"})).await;
    assert_eq!(service.api.settled(&delivery_to(&next, "plain")).await["status"], "accepted");
    service.stop().await;
}

#[tokio::test]
async fn a_template_that_runs_longer_than_its_time_fails_its_delivery() {
    let receiver = Receiver::start().await;
    let body = "[{% for i in range(20) %}{{ order.lines | sort(attribute='text,a') | length }},{% endfor %}0]";
    let yaml = format!("template: {{timeout: 1ms}}\nchannels: [{{name: erp, url: RECEIVER/erp, body: \"{body}\"}}]");
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = service.api.order(&hostile()).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!((&delivery["status"], &attempt["code"]), (&json!("failed"), &json!(-2000)), "{delivery:#}");
    assert!(text(attempt, "error").contains("takes longer than template.timeout (1ms)"), "{attempt:#}");
    service.stop().await;
}

#[tokio::test]
async fn an_order_that_makes_a_condition_work_without_end_passes_no_check() {
    let receiver = Receiver::start().await;
    receiver.on("/step", [Reply::status(200)]);
    let endless = "order.lines | batch(order.n, 0) | length > 1";
    let yaml = format!(
        "
template: {{timeout: 10s}}
chains:
  - {{name: first, when: \"order.id == 'chain' and {endless}\", plugins: []}}
  - name: all
    plugins:
      - {{critical: true, name: calloutPlugin, id: body, when: order.id == 'callout', options: {{endpoint: 'RECEIVER/step', body: '[\"{{{{ order.lines | join(order.sep) }}}}\"]'}}}}
      - {{critical: true, name: calloutPlugin, id: guard, when: \"order.id == 'step' and {endless}\", options: {{endpoint: RECEIVER/step}}}}
channels:
  - {{name: erp, url: RECEIVER/erp, when: \"order.id == 'channel' and {endless}\"}}
  - {{name: plain, url: RECEIVER/plain}}
"
    );
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = |id: &str| {
        let mut order = hostile();
        order["id"] = json!(id);
        order
    };
    let problem = service.api.post("/v1/orders", &order("chain")).await.problem(422);
    assert!(text(&problem, "detail").contains("the expression reads and creates more than 32 MiB"), "{problem:#}");
    for (id, why) in [("step", "more than 32 MiB"), ("callout", "text of more than 1 MiB")] {
        let answer = service.api.post("/v1/orders", &order(id)).await;
        assert!(answer.status >= 400, "{id}: {answer}");
        let record = service.api.order_detail(id).await;
        assert_eq!(record["status"], "rejected", "{id}");
        assert!(record["steps"].to_string().contains(why), "{id}: {:#}", record["steps"]);
    }
    let passed = service.api.order(&order("channel")).await;
    assert_eq!(service.api.settled(&delivery_to(&passed, "plain")).await["status"], "accepted");
    assert_eq!((receiver.count_on("/step"), receiver.count_on("/erp")), (0, 0));
    service.stop().await;
}
