//! A caller's trace is continued on callouts, deliveries and retries (W3C trace context), and its spans are sent to a
//! collector.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Home, Service, binary, delivery_to, eventually, run, text};
use crate::receiver::{Gate, Receiver, Reply, Request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn trace_of(request: &Request) -> (String, String) {
    let parent = request.expect_header("traceparent");
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[1].len(), parts[2].len()), (4, "00", 32, 16), "{parent}");
    (parts[1].to_owned(), format!("{}-{}", parts[2], parts[3]))
}

#[tokio::test]
async fn a_callers_trace_is_continued_on_callouts_deliveries_and_retries_after_a_restart() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503), Reply::status(200)]);
    let yaml = "
chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/callout}}]}]
channels: [{name: erp, url: RECEIVER/erp, events: [order.completed, paid], retry: {attempts: 2, interval: 1h}}]
";
    let service = Service::start(&receiver.fill(yaml)).await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-00");
    let headers = [
        ("Content-Type", "application/json"),
        ("traceparent", parent.as_str()),
        ("tracestate", "rojo=1"),
        ("tracestate", "congo=2"),
    ];
    let answer = service.api.call("POST", "/v1/orders", &headers, br#"{"id": "A-1"}"#).await.expect(201);
    receiver.wait_for_on("/erp", 1).await;
    let service = service.restart().await;
    service.advance_to_next_attempt(&delivery_to(&answer, "erp")).await;
    receiver.wait_for_on("/erp", 2).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    let mut spans = Vec::new();
    for request in &requests {
        let (trace, span) = trace_of(request);
        assert_eq!(trace, TRACE);
        assert!(span.ends_with("-00") && !span.starts_with("00f067aa0ba902b7"), "{span}: its own, not sampled");
        assert_eq!(request.expect_header("tracestate"), "rojo=1,congo=2");
        spans.push(span);
    }
    spans.dedup();
    assert_eq!(spans.len(), 3, "each request is a span of its own");
    service.stop().await;
}

#[tokio::test]
async fn invalid_trace_headers_are_ignored_and_events_may_carry_their_trace() {
    let receiver = Receiver::start().await;
    let service =
        Service::start(&receiver.fill("channels: [{name: a, url: RECEIVER/a, events: [order.completed, paid]}]")).await;
    let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let mut count = 0;
    let mut next = async || {
        count += 1;
        receiver.wait_for(count).await.remove(count - 1)
    };
    for parent in ["", "00-0-0-0", &valid.to_uppercase(), &format!("{valid}-x")] {
        let headers = [("Content-Type", "application/json"), ("traceparent", parent), ("tracestate", "a=1")];
        service.api.call("POST", "/v1/orders", &headers, br#"{"id": "A-1"}"#).await.expect(201);
        let request = next().await;
        assert_ne!(trace_of(&request).0, TRACE, "{parent}");
        assert_eq!(request.header("tracestate"), None, "{parent}");
    }
    let twice =
        [("Content-Type", "application/json"), ("traceparent", valid.as_str()), ("traceparent", valid.as_str())];
    service.api.call("POST", "/v1/orders", &twice, br#"{"id": "A-2"}"#).await.expect(201);
    assert_ne!(trace_of(&next().await).0, TRACE, "one header alone counts");

    let event =
        json!({"specversion": "1.0", "type": "paid", "source": "/s", "id": "1", "traceparent": valid, "data": 1});
    let headers = [("Content-Type", "application/cloudevents+json")];
    service.api.call("POST", "/v1/events", &headers, event.to_string().as_bytes()).await.expect(202);
    assert_eq!(trace_of(&next().await).0, TRACE, "the event's own");
    let event = event.to_string().replace(r#""id":"1""#, r#""id":"2""#);
    let header = format!("00-{}-00f067aa0ba902b7-01", TRACE.replace('4', "5"));
    let headers = [headers[0], ("traceparent", header.as_str())];
    service.api.call("POST", "/v1/events", &headers, event.as_bytes()).await.expect(202);
    assert_eq!(trace_of(&next().await).0, TRACE.replace('4', "5"), "the request's comes first");
    service.stop().await;
}

/// The spans that a collector has got, once there are `count` of them.
async fn spans(collector: &Receiver, count: usize) -> Vec<Value> {
    eventually("spans", async || {
        let all: Vec<Value> = collector.requests_on("/v1/traces").iter().flat_map(spans_of).collect();
        (all.len() >= count).then_some(all)
    })
    .await
}

fn spans_of(request: &Request) -> Vec<Value> {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let scopes = &body["resourceSpans"][0]["scopeSpans"][0];
    assert_eq!(scopes["scope"]["name"], "orderhook");
    scopes["spans"].as_array().expect("spans").clone()
}

fn attributes(span: &Value) -> BTreeMap<&str, String> {
    let all = span["attributes"].as_array().expect("attributes").iter();
    all.map(|entry| {
        let value = entry["value"].as_object().expect("a value").values().next().expect("one");
        (text(entry, "key"), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    })
    .collect()
}

fn named<'a>(spans: &'a [Value], name: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

#[tokio::test]
async fn the_collector_gets_one_trace_for_an_order_with_its_steps_and_attempts() {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    receiver.on("/erp", [Reply::status(503), Reply::status(200)]);
    receiver.on("/soft", [Reply::status(500)]);
    let yaml = format!(
        "
telemetry: {{otlp: {{endpoint: '{}', headers: {{X-Key: s3cret-key}}}}}}
chains:
- name: all
  plugins:
  - {{id: soft, critical: false, name: calloutPlugin, options: {{endpoint: RECEIVER/soft, shouldRejectOn: {{status: [5xx]}}}}}}
  - {{id: hard, critical: true, name: calloutPlugin, options: {{endpoint: RECEIVER/hard}}}}
channels: [{{name: erp, url: RECEIVER/erp, events: [order.completed, paid], retry: {{attempts: 2, interval: 1h}}}}]
",
        collector.url("")
    );
    let service = Service::start(&receiver.fill(&yaml)).await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("Content-Type", "application/json"), ("traceparent", parent.as_str()), ("tracestate", "rojo=1")];
    let answer = service.api.call("POST", "/v1/orders", &headers, br#"{"id": "A-1"}"#).await.expect(201);
    let delivery = delivery_to(&answer, "erp");
    service.advance_to_next_attempt(&delivery).await;
    service.api.settled(&delivery).await;
    let all = spans(&collector, 5).await;
    for span in &all {
        assert_eq!((&span["traceId"], &span["traceState"]), (&json!(TRACE), &json!("rojo=1")), "{span}");
    }
    let [root] = named(&all, "order")[..] else { panic!("one root: {all:?}") };
    assert_eq!(root["parentSpanId"], "00f067aa0ba902b7", "below the caller's span");
    let about = attributes(root);
    assert_eq!((&*about["orderhook.status"], &*about["orderhook.order_id"]), ("completed", "A-1"));
    for span in all.iter().filter(|span| span["name"] != "order") {
        assert_eq!(span["parentSpanId"], root["spanId"], "{span}");
    }
    let ([soft], [hard]) = (&named(&all, "step soft")[..], &named(&all, "step hard")[..]) else {
        panic!("a span for each step: {all:?}")
    };
    let (said, passed) = (attributes(soft), attributes(hard));
    assert_eq!((&*said["orderhook.status"], &*said["orderhook.code"]), ("failed", "500"));
    assert_eq!((&*passed["orderhook.status"], &*passed["orderhook.code"]), ("passed", "200"));
    assert_eq!((&soft["status"]["code"], &hard["status"]), (&json!(2), &json!({})));

    let attempts = named(&all, "deliver erp");
    let told: Vec<_> = attempts
        .iter()
        .map(|span| {
            let of = attributes(span);
            assert_eq!((&*of["orderhook.channel"], &of["orderhook.delivery"]), ("erp", &delivery));
            ["orderhook.attempt", "orderhook.code", "orderhook.outcome"].map(|key| of[key].clone())
        })
        .collect();
    assert_eq!(told, [["1", "503", "retry"], ["2", "200", "accepted"]]);
    let nanos = |span: &Value, key: &str| text(span, key).parse::<u64>().expect("nanoseconds");
    assert!(nanos(attempts[1], "startTimeUnixNano") >= nanos(attempts[0], "endTimeUnixNano") + 3_000_000_000_000);

    // What a receiver does is below the span of the request that it got.
    for request in receiver.requests() {
        let (_, span) = trace_of(&request);
        let id = span.split('-').next().expect("an id").to_owned();
        assert!(all.iter().any(|span| span["spanId"] == id && span["name"] != "order"), "{id} of {}", request.path());
    }
    let first = &collector.requests()[0];
    assert_eq!((first.expect_header("x-key"), first.expect_header("content-type")), ("s3cret-key", "application/json"));

    // An event has a trace too; one that its caller did not sample is not recorded.
    let unsampled = parent.replace("-01", "-00");
    for (parent, id) in [(unsampled.as_str(), "1"), ("", "2")] {
        let headers = [("Content-Type", "application/json"), ("traceparent", parent)];
        let body = json!({"type": "paid", "data": {"id": id}}).to_string();
        service.api.call("POST", "/v1/events", &headers, body.as_bytes()).await.expect(202);
    }
    let all = spans(&collector, 7).await;
    let ([event], [.., attempt]) = (&named(&all, "event paid")[..], &named(&all, "deliver erp")[..]) else {
        panic!("one root: {all:?}")
    };
    assert_eq!(attributes(event)["orderhook.order_id"], "2");
    assert_eq!((event.get("parentSpanId"), &attempt["traceId"]), (None, &event["traceId"]));
    assert_eq!((all.len(), &attempt["parentSpanId"]), (7, &event["spanId"]));
    service.stop().await;
}

#[tokio::test]
async fn the_last_spans_are_sent_when_the_service_stops() {
    let collector = Receiver::start().await;
    let service =
        Service::start(&format!("telemetry: {{otlp: {{endpoint: '{}'}}}}", collector.url("/v1/traces"))).await;
    service.api.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    service.stop().await;
    assert_eq!(named(&spans(&collector, 1).await, "order").len(), 1);
}

#[tokio::test]
async fn a_collector_that_is_away_delays_nothing_and_its_spans_are_counted_as_dropped() {
    let (receiver, collector, gate) = (Receiver::start().await, Receiver::start().await, Gate::new());
    collector.answer(std::iter::repeat_with(|| Reply::status(200).held(&gate)).take(20));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    for (endpoint, refuses) in [(closed, true), (collector.url(""), false)] {
        let yaml = "channels: [{name: a, url: RECEIVER/a, events: [order.completed]}]";
        let yaml = format!("telemetry: {{otlp: {{endpoint: '{endpoint}'}}}}\n{yaml}");
        let service = Service::start(&receiver.fill(&yaml)).await;
        let started = Instant::now();
        let mut deliveries = Vec::new();
        for id in 0..20 {
            let answer = service.api.post("/v1/orders", &json!({"id": id})).await.expect(201);
            deliveries.push(delivery_to(&answer, "a"));
        }
        for delivery in deliveries {
            assert_eq!(service.api.settled(&delivery).await["status"], "accepted");
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        if refuses {
            eventually("all spans dropped", async || {
                let page = service.api.get("/metrics").await;
                page.text().lines().any(|line| line == "orderhook_spans_dropped_total 40").then_some(())
            })
            .await;
        } else {
            collector.wait_for(1).await;
        }
        service.stop().await;
    }
    gate.open();
}

#[tokio::test]
async fn the_headers_of_the_collector_are_never_shown() {
    let home = Home::new();
    for wrong in [
        "sample: 2",
        "endpoint: ftp://x",
        "headers: {X-Key: \"s3cret-key\\n\", x-key: s3cret-key}",
        "headers: s3cret-key",
    ] {
        let base = if wrong.starts_with("endpoint") { "" } else { "endpoint: 'http://localhost:4318', " };
        let files = home.configure(&format!("telemetry: {{otlp: {{{base}{wrong}}}}}"));
        let output = run(binary().arg("check").arg("--config").args(files));
        let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{wrong}: {shown}");
        assert!(shown.contains("telemetry.otlp.") && !shown.contains("s3cret"), "{shown}");
    }
}
