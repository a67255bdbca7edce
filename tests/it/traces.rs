//! W3C trace context: a caller's trace is continued on callouts, deliveries and retries.

use serde_json::json;

use crate::harness::{Service, delivery_to};
use crate::receiver::{Receiver, Reply, Request};

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
