//! An order's way through its chain: durable first, one plugin after another, each journaled, one answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

/// Two critical steps, a channel for whatever becomes of the order.
const TWO_STEPS: &str = r"
chains:
  - name: new-orders
    plugins:
      - {critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users, timeoutValue: 600000, shouldRejectOn: {status: [404]}}}
      - {critical: true, name: calloutPlugin, id: billing, options: {endpoint: RECEIVER/billing, timeoutValue: 600000, shouldRejectOn: {status: [404]}}}
channels:
  - {name: erp, url: RECEIVER/erp, events: ['order.*']}
";

fn order() -> Value {
    json!({"id": "A-1", "type": "new", "total": 120})
}

fn statuses(order: &Value) -> Vec<(String, String)> {
    let steps = order["steps"].as_array().unwrap_or_else(|| panic!("no steps in {order:#}"));
    steps.iter().map(|step| (text(step, "step").to_owned(), text(step, "status").to_owned())).collect()
}

fn is(step: &str, status: &str) -> (String, String) {
    (step.to_owned(), status.to_owned())
}

#[tokio::test]
async fn an_order_that_no_chain_takes_is_completed_at_once() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        "chains: [{name: renewals, when: 'order.type == \"renew\"', plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/step}}]}]\n\
         channels: [{name: erp, url: RECEIVER/erp}]",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.post("/v1/orders", &order()).await;
    let created = answer.expect(201);
    assert_eq!(created["status"], "completed");
    assert_eq!(created["order_id"], "A-1");
    assert_eq!(created["type"], "new");
    assert_eq!(created["steps"], json!([]));
    assert_eq!(created["context"], json!({}));
    assert_eq!(answer.header("location"), Some(format!("/v1/orders/{}", text(&created, "id")).as_str()));
    assert!(text(&created, "id").starts_with("ord_"), "{created:#}");
    service.api.settled(&delivery_to(&created, "erp")).await;
    assert_eq!(receiver.count_on("/erp"), 1);
    assert_eq!(receiver.count_on("/step"), 0);
    service.stop().await;
}

#[tokio::test]
async fn the_first_chain_whose_condition_holds_takes_the_order() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        r#"
chains:
  - {name: large, when: order.total > 1000, plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/large}}]}
  - {name: new, when: 'order.type in ["new", "renew"]', plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/new}}]}
  - {name: rest, plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/rest}}]}
"#,
    );
    let service = Service::start(&yaml).await;
    for (order, chain) in [
        (json!({"id": 1, "type": "new", "total": 5000}), "large"),
        (json!({"id": 2, "type": "renew", "total": 1000}), "new"),
        (json!({"id": 3, "type": "cancel"}), "rest"),
    ] {
        let answer = service.api.post("/v1/orders", &order).await.expect(201);
        assert_eq!(statuses(&answer), [is("calloutPlugin-1", "passed")]);
        let request = receiver.next().await;
        assert_eq!(request.path(), format!("/{chain}"));
        assert_eq!(request.json()["metadata"]["chain"], chain);
    }
    assert_eq!(receiver.count(), 3);
    service.stop().await;
}

#[tokio::test]
async fn plugins_run_one_after_another_each_journaled_before_the_next_begins() {
    let receiver = Receiver::start().await;
    let (users, billing) = (Gate::new(), Gate::new());
    receiver.on("/users", [Reply::status(200).held(&users)]);
    receiver.on("/billing", [Reply::status(200).held(&billing)]);
    let service = Service::start(&receiver.fill(TWO_STEPS)).await;
    let api = service.api.clone();
    let posted = tokio::spawn(async move { api.post("/v1/orders", &order()).await });

    receiver.wait_for_on("/users", 1).await;
    let durable = service.api.order_detail("A-1").await;
    assert_eq!(durable["status"], "processing", "durable before the first plugin has answered");
    assert_eq!(receiver.count_on("/billing"), 0, "the second waits for the first");

    users.open();
    assert_eq!(receiver.wait_for_on("/billing", 1).await.len(), 1);
    let journaled = service.api.order_detail("A-1").await;
    assert_eq!(journaled["status"], "processing");
    assert_eq!(statuses(&journaled)[0], is("users", "passed"));
    assert!(!posted.is_finished(), "the answer waits for the last critical plugin");

    billing.open();
    let answer = posted.await.expect("an answer").expect(201);
    assert_eq!(answer["status"], "completed");
    assert_eq!(statuses(&answer), [is("users", "passed"), is("billing", "passed")]);
    for step in answer["steps"].as_array().expect("steps") {
        assert_eq!(step["plugin"], "calloutPlugin");
        assert_eq!(step["critical"], true);
        assert_eq!(step["code"], 200);
        assert_eq!(step["error"], Value::Null);
        assert!(step["duration_ms"].is_u64(), "{step}");
    }
    service.stop().await;
}

#[tokio::test]
async fn the_answer_comes_with_the_last_critical_plugin_and_the_rest_runs_on() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/mail", [Reply::status(200).held(&gate)]);
    let yaml = receiver.fill(
        r"
chains:
  - name: new-orders
    plugins:
      - {critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}
      - {name: calloutPlugin, id: mail, options: {endpoint: RECEIVER/mail, timeoutValue: 600000}}
channels: [{name: erp, url: RECEIVER/erp}]
",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.post("/v1/orders", &order()).await;
    let accepted = answer.expect(202);
    assert_eq!(accepted["status"], "processing");
    assert_eq!(statuses(&accepted)[0], is("users", "passed"));
    assert_eq!(accepted["deliveries"], json!([]), "deliveries come with the order's end");
    assert!(answer.header("location").is_some());

    receiver.wait_for_on("/mail", 1).await;
    assert_eq!(receiver.count_on("/erp"), 0);
    gate.open();
    let order = service.api.ended(text(&accepted, "id")).await;
    assert_eq!(order["status"], "completed");
    assert_eq!(statuses(&order), [is("users", "passed"), is("mail", "passed")]);
    receiver.wait_for_on("/erp", 1).await;
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn a_chain_without_a_critical_plugin_is_answered_at_once() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/step", [Reply::status(200).held(&gate)]);
    let yaml = receiver.fill(
        "chains: [{name: all, plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/step, timeoutValue: 600000}}]}]",
    );
    let service = Service::start(&yaml).await;
    let accepted = service.api.post("/v1/orders", &order()).await.expect(202);
    assert_eq!(accepted["status"], "processing");
    gate.open();
    assert_eq!(service.api.ended(text(&accepted, "id")).await["status"], "completed");
    service.stop().await;
}

#[tokio::test]
async fn a_plugin_in_front_of_a_critical_one_is_waited_for_though_it_is_not_critical() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/lookup", [Reply::status(200).held(&gate)]);
    let yaml = receiver.fill(
        r"
chains:
  - name: new-orders
    plugins:
      - {name: calloutPlugin, id: lookup, options: {endpoint: RECEIVER/lookup, timeoutValue: 600000}}
      - {critical: true, name: calloutPlugin, id: billing, options: {endpoint: RECEIVER/billing}}
",
    );
    let service = Service::start(&yaml).await;
    let api = service.api.clone();
    let posted = tokio::spawn(async move { api.post("/v1/orders", &order()).await });
    receiver.wait_for_on("/lookup", 1).await;
    assert!(!posted.is_finished());
    assert_eq!(receiver.count_on("/billing"), 0);
    gate.open();
    let answer = posted.await.expect("an answer").expect(201);
    assert_eq!(statuses(&answer), [is("lookup", "passed"), is("billing", "passed")]);
    service.stop().await;
}

#[tokio::test]
async fn a_critical_failure_rejects_the_order_and_nothing_more_runs() {
    let receiver = Receiver::start().await;
    receiver.on("/users", [Reply::json(404, &json!({"reason": "no credit", "limit": 10.00}))]);
    let service = Service::start(&receiver.fill(TWO_STEPS)).await;
    let problem = service.api.post("/v1/orders", &order()).await.problem(422);
    let context = json!({"reason": "no credit", "limit": 10.00, "users": {"reason": "no credit", "limit": 10.00}});
    assert_eq!(problem["context"], context, "the response that rejects is in the context");
    assert_eq!(problem["step"], "users");
    assert_eq!(problem["plugin"], "calloutPlugin");
    assert_eq!(problem["detail"], "callout plugin failed due to response status: [404]");

    let rejected = service.api.order_detail("A-1").await;
    assert_eq!(rejected["status"], "rejected");
    assert_eq!(statuses(&rejected)[0], is("users", "failed"));
    assert_eq!(rejected["steps"][0]["error"], "callout plugin failed due to response status: [404]");
    service.api.all_settled().await;
    assert_eq!(receiver.count_on("/billing"), 0, "nothing more runs");
    let events: Vec<_> =
        receiver.requests_on("/erp").iter().map(|request| text(&request.json(), "type").to_owned()).collect();
    assert!(events.contains(&"order.rejected".to_owned()), "{events:?}");
    assert!(!events.contains(&"order.completed".to_owned()), "{events:?}");
    let mut requests = receiver.requests_on("/erp").into_iter().map(|request| request.json());
    let refused = requests.find(|body| body["type"] == "order.rejected").expect("the event of the rejection");
    let data = &refused["data"];
    assert_eq!(
        (&data["step"], &data["plugin"], &data["code"]),
        (&"users".into(), &"calloutPlugin".into(), &404.into())
    );
    assert_eq!(data["error"], "callout plugin failed due to response status: [404]");
    assert_eq!(data["steps"], json!([{"step": "users", "status": "failed", "code": 404}]));
    assert_eq!(data["context"], context);
    service.stop().await;
}

#[tokio::test]
async fn a_failure_that_is_not_critical_is_on_record_and_the_chain_goes_on() {
    let receiver = Receiver::start().await;
    receiver.on("/lookup", [Reply::status(503)]);
    let yaml = receiver.fill(
        r"
chains:
  - name: new-orders
    plugins:
      - {name: calloutPlugin, id: lookup, options: {endpoint: RECEIVER/lookup, shouldRejectOn: {status: [5xx]}}}
      - {critical: true, name: calloutPlugin, id: billing, options: {endpoint: RECEIVER/billing}}
channels:
  - {name: erp, url: RECEIVER/erp}
  - {name: alarms, url: RECEIVER/alarms, events: [order.step_failed]}
",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.post("/v1/orders", &order()).await.expect(201);
    assert_eq!(answer["status"], "completed");
    assert_eq!(statuses(&answer), [is("lookup", "failed"), is("billing", "passed")]);
    assert_eq!(answer["steps"][0]["code"], 503);
    assert_eq!(answer["steps"][0]["error"], "callout plugin failed due to response status: [503]");
    let alarm = receiver.wait_for_on("/alarms", 1).await.remove(0);
    assert_eq!(alarm.json()["type"], "order.step_failed");
    let data = &alarm.json()["data"];
    assert_eq!(
        (&data["step"], &data["plugin"], &data["code"]),
        (&"lookup".into(), &"calloutPlugin".into(), &503.into())
    );
    assert_eq!(data["error"], "callout plugin failed due to response status: [503]");
    assert_eq!(data["steps"], json!([{"step": "lookup", "status": "failed", "code": 503}]));
    let completed = receiver.wait_for_on("/erp", 1).await.remove(0).json();
    let both = json!([{"step": "lookup", "status": "failed", "code": 503}, {"step": "billing", "status": "passed", "code": 200}]);
    assert_eq!(completed["data"]["steps"], both);
    assert_eq!(completed["data"]["error"], Value::Null, "the order was not rejected: {completed:#}");
    service.api.all_settled().await;
    assert_eq!(receiver.count_on("/alarms"), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_step_whose_condition_does_not_hold_is_skipped_on_record() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        r"
chains:
  - name: new-orders
    plugins:
      - {critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}
      - {critical: true, name: calloutPlugin, id: billing, when: order.total > 1000, options: {endpoint: RECEIVER/billing}}
",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.post("/v1/orders", &order()).await.expect(201);
    assert_eq!(statuses(&answer), [is("users", "passed"), is("billing", "skipped")]);
    assert_eq!(answer["steps"][1]["code"], Value::Null);
    assert_eq!(receiver.count_on("/billing"), 0);
    let answer = service.api.post("/v1/orders", &json!({"id": "A-2", "total": 1001})).await.expect(201);
    assert_eq!(statuses(&answer), [is("users", "passed"), is("billing", "passed")]);
    service.stop().await;
}

#[tokio::test]
async fn a_condition_sees_the_context_of_earlier_steps() {
    let receiver = Receiver::start().await;
    receiver.on("/users", [Reply::json(200, &json!({"known": "yes"})), Reply::json(200, &json!({"known": "no"}))]);
    let yaml = receiver.fill(
        r#"
chains:
  - name: new-orders
    plugins:
      - {critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}
      - {critical: true, name: calloutPlugin, id: create, when: 'context.known == "no"', options: {endpoint: RECEIVER/create}}
"#,
    );
    let service = Service::start(&yaml).await;
    let known = service.api.post("/v1/orders", &order()).await.expect(201);
    assert_eq!(statuses(&known)[1], is("create", "skipped"));
    let unknown = service.api.post("/v1/orders", &order()).await.expect(201);
    assert_eq!(statuses(&unknown)[1], is("create", "passed"));
    service.stop().await;
}

#[tokio::test]
async fn a_chain_that_outlasts_the_request_is_answered_202_and_goes_on() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/users", [Reply::status(200).held(&gate)]);
    let yaml = format!("server: {{request_timeout: 300ms}}\n{}", receiver.fill(TWO_STEPS));
    let service = Service::start(&yaml).await;
    let api = service.api.clone();
    let mut posted = tokio::spawn(async move { api.post("/v1/orders", &order()).await });
    receiver.wait_for_on("/users", 1).await;
    let answer = loop {
        service.clock.advance(Duration::from_millis(50));
        if let Ok(answer) = tokio::time::timeout(Duration::from_millis(5), &mut posted).await {
            break answer.expect("an answer");
        }
    };
    let accepted = answer.expect(202);
    assert_eq!(accepted["status"], "processing");
    assert!(answer.header("location").is_some());
    gate.open();
    let order = service.api.ended(text(&accepted, "id")).await;
    assert_eq!(order["status"], "completed");
    assert_eq!(statuses(&order), [is("users", "passed"), is("billing", "passed")]);
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_order() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/users", [Reply::status(200).held(&gate)]);
    let service = Service::start(&receiver.fill(TWO_STEPS)).await;
    let api = service.api.clone();
    let posted = tokio::spawn(async move { api.post("/v1/orders", &order()).await });
    receiver.wait_for_on("/users", 1).await;
    posted.abort();
    let _ = posted.await;
    gate.open();
    let ended = service.api.ended("A-1").await;
    assert_eq!(ended["status"], "completed");
    receiver.wait_for_on("/erp", 2).await;
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn channels_can_subscribe_to_every_stage_of_an_order() {
    let receiver = Receiver::start().await;
    receiver.on("/users", [Reply::status(200), Reply::status(404)]);
    let service = Service::start(&receiver.fill(TWO_STEPS)).await;
    service.api.post("/v1/orders", &json!({"id": "good"})).await.expect(201);
    service.api.post("/v1/orders", &json!({"id": "bad"})).await.problem(422);
    let events = || async {
        let mut events: Vec<(String, String)> = receiver
            .requests_on("/erp")
            .iter()
            .map(|request| {
                let body = request.json();
                (text(&body["data"]["order"], "id").to_owned(), text(&body, "type").to_owned())
            })
            .collect();
        events.sort();
        events
    };
    service.api.all_settled().await;
    eventually("four events", || async { (events().await.len() >= 4).then_some(()) }).await;
    let got = events().await;
    for expected in
        [("bad", "order.received"), ("bad", "order.rejected"), ("good", "order.completed"), ("good", "order.received")]
    {
        assert!(got.iter().any(|(id, kind)| (id.as_str(), kind.as_str()) == expected), "{expected:?} in {got:?}");
    }
    assert!(!got.iter().any(|(id, kind)| id == "bad" && kind == "order.completed"), "{got:?}");
    service.stop().await;
}

#[tokio::test]
async fn more_orders_than_may_run_at_once_are_durable_and_wait() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/users", [Reply::status(200).held(&gate), Reply::status(200).held(&gate)]);
    let yaml = "server: {request_timeout: 400ms}\ndelivery: {chain_concurrency: 2}\n";
    let service = Service::start(&format!("{yaml}{}", receiver.fill(TWO_STEPS))).await;
    let mut posted = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let api = service.api.clone();
        posted.spawn(async move { api.post("/v1/orders", &order()).await });
    }
    let answers = posted.join_all().await;
    for answer in &answers {
        assert_eq!(answer.status, 202, "{answer}");
    }
    assert_eq!(receiver.count_on("/users"), 2);
    assert_eq!(service.api.list("/v1/orders").await.len(), 5);
    gate.open();
    for taken in &answers {
        let order = service.api.ended(text(&taken.json(), "id")).await;
        assert_eq!(order["status"], "completed");
    }
    let attempts: Vec<_> =
        receiver.requests_on("/users").iter().map(|request| request.json()["metadata"]["attempt"].clone()).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 1], "an order that waited was not interrupted");
    service.api.post("/v1/orders", &order()).await.expect(201);
    service.stop().await;
}

#[tokio::test]
async fn a_background_step_that_hangs_holds_up_no_caller_and_no_other_chain() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/hangs", (0..4).map(|_| Reply::status(200).held(&gate)));
    let yaml = "
server: {request_timeout: 1s}
delivery: {chain_concurrency: 2}
chains:
  - name: hanging
    when: order.type == 'hanging'
    plugins:
      - {critical: true, name: calloutPlugin, id: first, options: {endpoint: RECEIVER/first}}
      - {name: calloutPlugin, id: hangs, options: {endpoint: RECEIVER/hangs, timeoutValue: 600000}}
  - name: healthy
    plugins:
      - {critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}
";
    let service = Service::start(&receiver.fill(yaml)).await;
    for number in 0..4 {
        let answer = service.api.post("/v1/orders", &json!({"id": format!("H-{number}"), "type": "hanging"})).await;
        assert_eq!(answer.expect(202)["steps"][0]["status"], "passed", "the caller waits for the first step alone");
    }
    receiver.wait_for_on("/hangs", 2).await;
    service.api.post("/v1/orders", &order()).await.expect(201);
    assert_eq!(receiver.count_on("/hangs"), 2, "two in the background at a time");
    gate.open();
    for number in 0..4 {
        let order = service.api.ended(&format!("H-{number}")).await;
        assert_eq!(statuses(&order), [is("first", "passed"), is("hangs", "passed")]);
    }
    assert_eq!((receiver.count_on("/first"), receiver.count_on("/hangs")), (4, 4));
    service.stop().await;
}

#[tokio::test]
async fn a_journaled_step_never_runs_again_and_new_ones_before_it_are_skipped() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/b", [Reply::status(200).held(&gate)]);
    let step = |id: &str| {
        format!(
            "      - {{critical: true, name: calloutPlugin, id: {id}, options: {{endpoint: RECEIVER/{id}, timeoutValue: 600000}}}}\n"
        )
    };
    let chain = |ids: &[&str]| {
        let steps: String = ids.iter().map(|id| step(id)).collect();
        receiver.fill(&format!(
            "server: {{request_timeout: 300ms, shutdown_grace: 0s}}\nchains:\n  - name: main\n    plugins:\n{steps}"
        ))
    };
    let service = Service::start(&chain(&["a", "b"])).await;
    let accepted = service.api.post("/v1/orders", &order()).await.expect(202);
    receiver.wait_for_on("/b", 1).await;
    let service = service.restart_with(&chain(&["x", "a", "b"])).await;
    gate.open();
    let order = service.api.ended(text(&accepted, "id")).await;
    assert_eq!(statuses(&order), [is("a", "passed"), is("x", "skipped"), is("b", "passed")]);
    assert!(text(&order["steps"][1], "error").contains("new in the configuration"), "{order}");
    assert_eq!((receiver.count_on("/a"), receiver.count_on("/x"), receiver.count_on("/b")), (1, 0, 2));
    service.stop().await;
}

#[tokio::test]
async fn a_context_that_has_grown_too_large_takes_nothing_more_and_the_order_goes_on() {
    let receiver = Receiver::start().await;
    let steps: String = (0..8)
        .map(|step| {
            receiver.on(&format!("/step-{step}"), [Reply::json(200, &json!({"filler": "x".repeat(900_000)}))]);
            format!("      - {{name: calloutPlugin, id: step-{step}, options: {{endpoint: RECEIVER/step-{step}, timeoutValue: 60000}}}}\n")
        })
        .collect();
    let yaml = format!("chains:\n  - name: large\n    plugins:\n{steps}");
    let service = Service::start(&receiver.fill(&yaml)).await;
    let accepted = service.api.order(&order()).await;
    let order = service.api.ended(text(&accepted, "id")).await;
    assert_eq!(order["status"], "completed");
    assert!(statuses(&order).iter().all(|(_, status)| status == "passed"));
    let kept: Vec<_> = (0..8).filter(|step| !order["context"][format!("step-{step}")].is_null()).collect();
    assert_eq!(kept, [0, 1, 2, 3], "four of them, and the field that all have, are more than 4 MiB");
    service.stop().await;
}

#[tokio::test]
async fn what_a_step_failed_by_stays_with_its_event_over_a_restart_and_can_be_filled_in() {
    let receiver = Receiver::start().await;
    receiver.on("/users", [Reply::status(404)]);
    receiver.on("/erp", [Reply::status(503)]);
    let template = "{{ event.step }} {{ event.plugin }} {{ event.code }} {{ event.error }} {{ event.steps|length }}";
    let yaml = receiver.fill(&format!(
        "
chains: [{{name: all, plugins: [{{critical: true, name: calloutPlugin, id: users, options: {{endpoint: RECEIVER/users, shouldRejectOn: {{status: [404]}}}}}}]}}]
channels:
  - {{name: erp, url: RECEIVER/erp, events: [order.rejected], retry: {{attempts: 2, interval: 1h}}}}
  - {{name: note, url: RECEIVER/note, events: [order.rejected], when: event.code == 404, body: '{{\"text\": \"{template}\"}}'}}
"
    ));
    let service = Service::start(&yaml).await;
    service.api.post("/v1/orders", &order()).await.problem(422);
    let note = receiver.wait_for_on("/note", 1).await.remove(0);
    let said = "users calloutPlugin 404 callout plugin failed due to response status: [404] 1";
    assert_eq!(note.json(), json!({"text": said}));
    let first = receiver.wait_for_on("/erp", 1).await.remove(0);
    let delivery = text(&service.api.list("/v1/deliveries?channel=erp").await[0], "id").to_owned();
    service.at_rest(&delivery).await;

    let service = service.restart().await;
    service.clock.advance(Duration::from_hours(2));
    let second = receiver.wait_for_on("/erp", 2).await.remove(1);
    assert_eq!(second.json(), first.json(), "a retry has the same body");
    assert_eq!(second.json()["data"]["error"], "callout plugin failed due to response status: [404]");
    service.api.all_settled().await;
    service.stop().await;
}
