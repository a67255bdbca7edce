//! Scripts in everything that orders, responses and people bring: none of it runs.

use serde_json::{Value, json};

use super::driver::{Look, browse};
use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

/// Ways to run a script: in text, in an attribute, in a URL, in a script, in a style.
const PAYLOADS: [&str; 6] = [
    "<script>ran.push(1)</script>",
    "\"><img src=x onerror=ran.push(2)>",
    "'><svg/onload=ran.push(3)>",
    "javascript:ran.push(4)",
    "</pre></script><script>ran.push(5)</script>",
    "{{7*7}}${7*7}<iframe srcdoc='<script>parent.ran.push(6)</script>'>",
];

#[tokio::test]
async fn no_script_runs_that_an_order_a_response_or_a_person_brings() {
    let receiver = Receiver::start().await;
    let all = PAYLOADS.concat();
    let headers = PAYLOADS.iter().enumerate().map(|(at, text)| (format!("X-Told-{at}"), (*text).to_owned()));
    receiver.on("/erp", [Reply::Response { status: 404, headers: headers.collect(), body: all.clone().into() }]);
    let page = format!("<!doctype html><title>{all}</title><body onload=ran.push(7)>{all}");
    receiver.on("/web", [Reply::body(404, "text/html", page)]);
    receiver.on("/users", [Reply::json(200, &json!({"userId": all, "name": all}))]);
    let yaml = r#"
chains: [{name: main, plugins: [{name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}]}]
channels:
  - {name: erp, url: "RECEIVER/erp?<script>ran.push(8)</script>", headers: {X-Sent: "<script>ran.push(9)</script>"}, ordering: {by: /id, after_failure: hold}, retry: {attempts: 1, interval: 1s}}
  - {name: web, url: RECEIVER/web, retry: {attempts: 1, interval: 1s}}
"#;
    let service = Service::start(&receiver.fill(yaml)).await;
    let api = &service.api;
    let mut pages: Vec<String> = ["orders", "deliveries", "audit", "channels/erp", "channels/web"]
        .map(|page| format!("/dashboard/{page}"))
        .into();
    pages.push("/".to_owned());
    for (number, payload) in PAYLOADS.iter().enumerate() {
        let id = format!("{payload}{number}");
        let order = json!({"id": id, "type": payload, payload.to_string(): payload, "customer": {"email": payload, "name": all}});
        let order = api.order(&order).await;
        let order = api.ended(text(&order, "id")).await;
        for channel in ["erp", "web"] {
            let delivery = delivery_to(&order, channel);
            api.settled(&delivery).await;
            api.post(&format!("/v1/deliveries/{delivery}/retry"), &json!({"reason": payload})).await.expect(200);
            api.settled(&delivery).await;
            pages.push(format!("/dashboard/deliveries/{delivery}"));
        }
        pages.push(format!("/dashboard/orders/{}", text(&order, "id")));
        let encoded: String = payload.bytes().map(|byte| format!("%{byte:02X}")).collect();
        pages.push(format!("/dashboard/orders?q={encoded}&order_id={encoded}&type={encoded}"));
        pages.push(format!("/dashboard/deliveries?q={encoded}&order_id={encoded}&since={encoded}"));
        pages.push(format!("/dashboard/deliveries/bulk?act=retry&channel=erp&q={encoded}"));
        pages.push(format!("/dashboard/search?q={encoded}"));
        pages.push(format!("/dashboard/channels/{encoded}"));
        pages.push(format!("/?next={encoded}&done={encoded}"));
    }
    api.post("/v1/channels/web/pause", &json!({"reason": all})).await.expect(200);
    let shown = browse(&service, Look::PLAIN, async |browser| {
        browser.watch_for_scripts().await;
        let mut shown = 0;
        for page in &pages {
            browser.open(page).await;
            assert_eq!(browser.evaluate("window.ran").await, json!([]), "{page}");
            let foreign =
                browser.evaluate("document.querySelectorAll('img, iframe, svg[onload], object, embed, base').length");
            assert_eq!(foreign.await, json!(0), "{page}");
            let links = browser.evaluate("[...document.links].filter(link => link.protocol !== 'http:').length").await;
            assert_eq!(links, Value::from(0), "{page}");
            shown += usize::from(browser.text().await.contains("ran.push"));
        }
        shown
    })
    .await;
    assert!(shown > pages.len() / 2, "the payloads are on {shown} of {} pages", pages.len());
    service.stop().await;
}
