//! The dashboard: who gets in, what the pages show, and what their buttons do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, Api};
use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Receiver, Reply};

const TOKENS: &str = r"
server:
  tokens:
    - {name: shop, token: ingest-token-0123456789, scopes: [ingest]}
    - {name: support, token: read-token-0123456789, scopes: [read]}
    - {name: operator, token: all-token-0123456789, scopes: [ingest, manage]}
channels: [{name: erp, url: RECEIVER/erp}]
";

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// A browser: it keeps its cookie, and sends the forms of the pages that it has seen.
struct Browser {
    api: Api,
    cookie: String,
}

impl Browser {
    fn new(api: &Api) -> Self {
        Self { api: api.clone(), cookie: String::new() }
    }

    async fn get(&self, target: &str) -> Answer {
        let answer = self.api.call("GET", target, &[BROWSER, ("Cookie", &self.cookie)], b"").await;
        guarded(&answer);
        answer
    }

    /// A page that must be there.
    async fn page(&self, target: &str) -> String {
        let answer = self.get(target).await;
        assert_eq!(answer.status, 200, "{target}: {answer}");
        answer.text().to_owned()
    }

    async fn post(&self, target: &str, body: &str) -> Answer {
        let origin = format!("http://{}", self.api.address);
        let headers = [FORM, BROWSER, ("Cookie", &self.cookie), ("Origin", &origin)];
        let answer = self.api.call("POST", target, &headers, body.as_bytes()).await;
        guarded(&answer);
        answer
    }

    /// Sends a form of a page that has it.
    async fn press(&self, page: &str, action: &str, more: &str) -> Answer {
        let html = self.page(page).await;
        let form = html.split("<form").find(|form| form.contains(&format!("action=\"{action}\"")));
        let form = form.unwrap_or_else(|| panic!("no form {action} on {page}: {html}"));
        self.post(action, &format!("csrf={}{more}", csrf(form))).await
    }

    async fn log_in(&mut self, token: &str) -> Answer {
        let form = self.get("/").await;
        let answer = self.post("/dashboard/login", &format!("csrf={}&token={token}", csrf(form.text()))).await;
        if let Some(set) = answer.header("set-cookie") {
            assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains(token), "{set}");
            set.split(';').next().expect("a cookie").clone_into(&mut self.cookie);
        }
        answer
    }
}

/// Every answer of the dashboard keeps scripts and frames out.
fn guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("no policy in {answer}"));
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    if answer.header("content-type").is_some_and(|media| media.starts_with("text/html")) {
        let html = answer.text();
        let scripts: Vec<_> = html.split("<script").skip(1).collect();
        let own = " src=\"/dashboard/script.js\" defer></script>";
        assert!(scripts.len() == 1 && scripts[0].starts_with(own), "{html}");
        for part in [" style=", " onclick", "javascript:", "http-equiv"] {
            assert!(!html.contains(part), "{part} in {html}");
        }
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

fn csrf(html: &str) -> &str {
    let (_, rest) = html.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no csrf in {html}"));
    rest.split('"').next().expect("a value")
}

fn deliveries_of(order: &Value) -> String {
    format!("/dashboard/deliveries/{}", delivery_to(order, "erp"))
}

#[tokio::test]
async fn a_browser_without_a_session_gets_a_form_that_takes_a_token_with_the_scope_read() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let mut browser = Browser::new(&service.api);
    let form = browser.page("/").await;
    assert!(form.contains("name=\"token\"") && !form.contains("erp"), "{form}");
    for (token, status, told) in [
        ("wrong", 401, "This token is not known."),
        ("ingest-token-0123456789", 403, "does not have the scope read"),
        ("", 401, "This token is not known."),
    ] {
        let answer = browser.log_in(token).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (status, None), "{answer}");
        assert!(answer.text().contains(told) && answer.text().contains("name=\"token\""), "{answer}");
    }
    let answer = browser.log_in("read-token-0123456789").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer}");
    let home = browser.page("/").await;
    assert!(home.contains("erp") && home.contains("support (read only)"), "{home}");

    // The cookie holds neither the token nor anything that the API takes.
    assert!(!browser.cookie.contains("read-token"));
    let answer = service.api.call("GET", "/v1/orders", &[("Cookie", &browser.cookie)], b"").await;
    answer.problem(401);

    assert_eq!(browser.press("/", "/dashboard/logout", "").await.status, 303);
    assert!(browser.page("/").await.contains("name=\"token\""));
    service.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_its_time_and_with_its_token() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(TOKENS);
    let mut service = Service::start(&yaml).await;
    let mut browser = Browser::new(&service.api);
    browser.log_in("read-token-0123456789").await;
    service.clock.advance(Duration::from_secs(11 * 3600));
    assert!(browser.page("/").await.contains("erp"));
    service.clock.advance(Duration::from_secs(3600));
    assert!(browser.page("/").await.contains("name=\"token\""));
    browser.log_in("read-token-0123456789").await;
    assert!(browser.page("/").await.contains("erp"));
    service.api = service.api.with_token("all-token-0123456789");
    service.reload(&yaml.replace("read-token-0123456789", "other-token-0123456789")).await;
    assert!(browser.page("/").await.contains("name=\"token\""));
    service.stop().await;
}

#[tokio::test]
async fn a_caller_with_a_token_gets_the_page_and_others_a_problem() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let html = service.api.with_token("read-token-0123456789").get("/").await;
    assert_eq!(html.status, 200, "{html}");
    assert!(html.text().contains("erp"), "{html}");
    service.api.with_token("ingest-token-0123456789").get("/").await.problem(403);
    service.api.with_token("wrong").get("/").await.problem(401);
    service.api.call("GET", "/", &[("Accept", "application/json")], b"").await.problem(401);
    service.stop().await;
}

#[tokio::test]
async fn a_token_that_only_reads_sees_everything_and_changes_nothing() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(404)]);
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let operator = service.api.with_token("all-token-0123456789");
    let order = operator.order(&json!({"id": "A-1"})).await;
    operator.settled(&delivery_to(&order, "erp")).await;
    let mut browser = Browser::new(&service.api);
    browser.log_in("read-token-0123456789").await;
    let id = text(&order, "id");
    let (order_page, delivery_page) = (format!("/dashboard/orders/{id}"), deliveries_of(&order));
    for page in [
        "/",
        "/dashboard/orders",
        "/dashboard/deliveries",
        "/dashboard/channels/erp",
        "/dashboard/audit",
        "/dashboard/configuration",
        "/dashboard/about",
        &order_page,
        &delivery_page,
    ] {
        let html = browser.page(page).await;
        let posts = html.matches("method=\"post\"").count();
        assert_eq!(posts, 1, "the log out alone on {page}: {html}");
    }
    let csrf = csrf(&browser.page("/").await).to_owned();
    for action in [
        format!("{delivery_page}/retry"),
        format!("{delivery_page}/cancel"),
        format!("{delivery_page}/accept"),
        format!("{delivery_page}/fail"),
        format!("{order_page}/deliver"),
        format!("{order_page}/rerun"),
        "/dashboard/channels/erp/pause".to_owned(),
        "/dashboard/channels/erp/resume".to_owned(),
        "/dashboard/channels/erp/move".to_owned(),
        "/dashboard/channels/erp/preview".to_owned(),
        "/dashboard/channels/erp/test".to_owned(),
        "/dashboard/configuration/reload".to_owned(),
        "/dashboard/deliveries/bulk".to_owned(),
    ] {
        let answer = browser.post(&action, &format!("csrf={csrf}&channel=erp&act=retry&count=1")).await;
        assert_eq!(answer.status, 403, "{action}: {answer}");
        assert!(answer.text().contains("manage"), "{action}: {answer}");
    }
    assert_eq!(operator.list("/v1/audit").await, Vec::<Value>::new());
    service.stop().await;
}

#[tokio::test]
async fn a_form_without_the_token_of_this_visitor_is_refused() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let (mut browser, mut other) = (Browser::new(&service.api), Browser::new(&service.api));
    browser.log_in("all-token-0123456789").await;
    other.log_in("all-token-0123456789").await;
    let own = csrf(&browser.page("/").await).to_owned();
    let others = csrf(&other.page("/").await).to_owned();
    let pause = "/dashboard/channels/erp/pause";
    for body in ["", "csrf=", "csrf=x", &format!("csrf={others}")] {
        assert_eq!(browser.post(pause, body).await.status, 403, "{body}");
    }
    // And one of another site, whatever it knows.
    for site in
        [("Origin", "http://elsewhere.example"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site")]
    {
        let headers = [FORM, BROWSER, ("Cookie", browser.cookie.as_str()), site];
        let answer = service.api.call("POST", pause, &headers, format!("csrf={own}").as_bytes()).await;
        assert_eq!(answer.status, 403, "{site:?}: {answer}");
    }
    let operator = service.api.with_token("all-token-0123456789");
    assert_eq!(operator.get("/v1/channels/erp").await.expect(200)["state"], "enabled");
    assert_eq!(browser.post("/dashboard/logout", "").await.status, 403);
    assert_eq!(browser.post(pause, &format!("csrf={own}")).await.status, 303);
    assert_eq!(operator.get("/v1/channels/erp").await.expect(200)["state"], "paused");
    // Nor is anybody logged in by a form of another site.
    assert_eq!(service.api.call("POST", "/dashboard/login", &[FORM], b"token=read-token-0123456789").await.status, 403);
    service.stop().await;
}

#[tokio::test]
async fn on_loopback_without_tokens_nobody_logs_in_and_forms_keep_their_token() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let browser = Browser::new(&service.api);
    assert!(browser.page("/").await.contains("Nothing needs you"));
    assert_eq!(browser.post("/dashboard/channels/erp/pause", "").await.status, 403);
    let answer = browser.press("/dashboard/channels/erp", "/dashboard/channels/erp/pause", "&reason=stocktaking").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/dashboard/channels/erp?done=pause")));
    let channel = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&channel["state"], &channel["reason"]), (&json!("paused"), &json!("stocktaking")));
    let home = browser.page("/").await;
    assert!(home.contains("1 thing needs you") && home.contains("stocktaking"), "{home}");
    assert_eq!(browser.press("/", "/dashboard/channels/erp/resume", "").await.status, 303);
    assert_eq!(service.api.get("/v1/channels/erp").await.expect(200)["state"], "enabled");
    service.stop().await;
}

#[tokio::test]
async fn each_button_has_the_effect_of_the_call_and_its_entry_in_the_audit() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(404), Reply::status(200), Reply::status(503)]);
    receiver.on("/crm", [Reply::status(202)]);
    let channels = "channels:
  - {name: crm, url: RECEIVER/crm, outcomes: [{on: [202], then: dispatched}, {on: [any], then: failed}]}
  - {name: erp, url: RECEIVER/erp, outcomes: [{on: [200], then: accepted}, {on: [503], then: retry}, {on: [any], then: failed}]}
";
    let yaml = TOKENS.replace("channels: [{name: erp, url: RECEIVER/erp}]\n", channels);
    let mut service = Service::start(&receiver.fill(&yaml)).await;
    let mut browser = Browser::new(&service.api);
    service.api = service.api.with_token("all-token-0123456789");
    let api = &service.api;
    browser.log_in("all-token-0123456789").await;

    let order = api.order(&json!({"id": "A-1"})).await;
    let (erp, crm) = (delivery_to(&order, "erp"), delivery_to(&order, "crm"));
    assert_eq!(api.settled(&erp).await["status"], "failed");
    assert_eq!(api.settled(&crm).await["status"], "dispatched");
    let page = |id: &str| format!("/dashboard/deliveries/{id}");
    let press = async |id: &str, act: &str| {
        let answer = browser.press(&page(id), &format!("{}/{act}", page(id)), "").await;
        assert_eq!(answer.status, 303, "{act}: {answer}");
        let after = browser.page(answer.header("location").expect("a page")).await;
        assert!(after.contains("role=\"status\""), "{after}");
    };
    press(&erp, "retry").await;
    assert_eq!(api.settled(&erp).await["status"], "accepted");
    press(&crm, "accept").await;
    assert_eq!(api.delivery(&crm).await["status"], "accepted");
    let order = api.order(&json!({"id": "A-2"})).await;
    let (erp, crm) = (delivery_to(&order, "erp"), delivery_to(&order, "crm"));
    api.settled(&crm).await;
    press(&crm, "fail").await;
    assert_eq!(api.delivery(&crm).await["status"], "failed");
    assert_eq!(service.at_rest(&erp).await["status"], "pending");
    press(&erp, "cancel").await;
    assert_eq!(api.delivery(&erp).await["status"], "cancelled");
    // What the status does not allow is refused as by the call.
    let csrf = csrf(&browser.page("/").await).to_owned();
    let answer = browser.post(&format!("{}/accept", page(&erp)), &format!("csrf={csrf}")).await;
    assert_eq!(answer.status, 409, "{answer}");

    let order_page = format!("/dashboard/orders/{}", text(&order, "id"));
    let answer = browser.press(&order_page, &format!("{order_page}/deliver"), "&channel=crm").await;
    assert_eq!(answer.status, 303, "{answer}");
    assert_eq!(api.order_detail("A-2").await["deliveries"].as_array().expect("deliveries").len(), 3);

    let audit = api.list("/v1/audit").await;
    let acts: Vec<_> = audit.iter().map(|act| (text(act, "act"), text(act, "by"))).collect();
    let operator = |act| (act, "operator");
    assert_eq!(acts, ["deliver", "cancel", "fail", "accept", "retry"].map(operator));
    let html = browser.page("/dashboard/audit").await;
    for act in ["deliver", "cancel", "fail", "accept", "retry", "operator"] {
        assert!(html.contains(act), "{act}: {html}");
    }
    service.stop().await;
}

#[tokio::test]
async fn many_deliveries_are_changed_once_their_number_is_typed() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(404), Reply::status(404), Reply::status(200)]);
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let api = service.api.with_token("all-token-0123456789");
    for id in ["A-1", "A-2"] {
        let order = api.order(&json!({"id": id})).await;
        api.settled(&delivery_to(&order, "erp")).await;
    }
    let mut browser = Browser::new(&service.api);
    browser.log_in("all-token-0123456789").await;
    let home = browser.page("/").await;
    let (_, rest) = home.split_once("href=\"/dashboard/deliveries/bulk?").expect("a link");
    let link = rest.split('"').next().expect("a link").replace("&amp;", "&");
    let target = format!("/dashboard/deliveries/bulk?{link}");
    let question = browser.page(&target).await;
    assert!(question.contains("Retry 2 deliveries") && question.contains("A-1"), "{question}");
    for typed in ["", "1", "two"] {
        let answer = browser.press(&target, "/dashboard/deliveries/bulk", &format!("&{link}&count={typed}")).await;
        assert!(answer.text().contains("nothing was changed"), "{answer}");
    }
    assert_eq!(receiver.count(), 2);
    let answer = browser.press(&target, "/dashboard/deliveries/bulk", &format!("&{link}&count=2&reason=mended")).await;
    let progress = answer.header("location").unwrap_or_else(|| panic!("a page of its own: {answer}")).to_owned();
    assert!(answer.status == 303 && progress.starts_with("/dashboard/bulk/"), "{answer}");
    let ended = eventually("the end of the change", async || {
        let page = browser.get(&progress).await;
        // Without scripts, a page of a change that runs asks for itself again.
        assert_eq!(page.header("refresh").is_some(), page.text().contains("running"), "{page}");
        page.text().contains("2 deliveries were retried").then_some(page)
    });
    assert!(ended.await.text().contains("operator"));
    api.all_settled().await;
    assert_eq!(api.list("/v1/deliveries?status=accepted").await.len(), 2);
    let audit = api.list("/v1/audit").await;
    assert_eq!((&audit[0]["count"], &audit[0]["reason"]), (&json!(2), &json!("mended")));
    assert!(browser.page("/").await.contains("Nothing needs you"));
    assert_eq!(browser.get("/dashboard/bulk/1-1").await.status, 404);
    // Without any filter nothing is offered.
    assert_eq!(browser.get("/dashboard/deliveries/bulk?act=cancel").await.status, 422);
    service.stop().await;
}

#[tokio::test]
async fn deliveries_that_are_ticked_are_changed_and_those_that_cannot_be_are_named() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(404), Reply::status(404), Reply::status(200)]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let mut ids = Vec::new();
    for id in ["A-1", "A-2"] {
        let order = service.api.order(&json!({"id": id})).await;
        ids.push(delivery_to(&order, "erp"));
        service.api.settled(&ids[ids.len() - 1]).await;
    }
    let browser = Browser::new(&service.api);
    let (page, action) = ("/dashboard/deliveries?status=failed", "/dashboard/deliveries/selected");
    let ticked = format!("&status=failed&id={}&id={}", ids[0], ids[1]);
    let refused = browser.press(page, action, &format!("{ticked}&act=cancel")).await;
    for part in [
        "0 deliveries were cancelled",
        &ids[0],
        &ids[1],
        "it has ended",
        "href=\"/dashboard/deliveries?status=failed\"",
    ] {
        assert!(refused.text().contains(part), "{part}: {refused}");
    }
    let retried = browser.press(page, action, &format!("{ticked}&act=retry")).await;
    assert!(retried.text().contains("2 deliveries were retried"), "{retried}");
    service.api.all_settled().await;
    assert_eq!(service.api.list("/v1/deliveries?status=accepted").await.len(), 2);
    assert_eq!(service.api.list("/v1/audit").await.len(), 2);
    assert_eq!(browser.post(action, "act=retry").await.status, 403);
    service.stop().await;
}

#[tokio::test]
async fn lists_keep_their_filters_in_the_address_and_go_on_by_cursors() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    for id in 1..=3 {
        service.api.order(&json!({"id": format!("A-{id}"), "email": "anna@example.com"})).await;
    }
    service.api.all_settled().await;
    let browser = Browser::new(&service.api);
    for part in ["deliveries", "orders"] {
        let first = browser.page(&format!("/dashboard/{part}?limit=2&since=2026-01-01T00:00:00Z&until=")).await;
        assert!(first.contains("A-3") && first.contains("A-2") && !first.contains("A-1"), "{first}");
        let (_, rest) = first.split_once("rel=\"next\" href=\"").expect("a further page");
        let next = rest.split('"').next().expect("a link").replace("&amp;", "&");
        let second = browser.page(&next).await;
        assert!(second.contains("A-1") && !second.contains("A-2") && !second.contains("rel=\"next\""), "{second}");
        let none = browser.page(&format!("/dashboard/{part}?order_id=B-1")).await;
        assert!(none.contains("matches these filters"), "{none}");
        assert_eq!(browser.get(&format!("/dashboard/{part}?limit=x")).await.status, 400);
        assert_eq!(browser.get(&format!("/dashboard/{part}/ord_none")).await.status, 404);
    }
    service.stop().await;
}

#[tokio::test]
async fn the_search_box_finds_ids_and_texts() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = service.api.order(&json!({"id": "A/1 ü", "customer": {"email": "anna@example.com"}})).await;
    let (id, delivery) = (text(&order, "id"), delivery_to(&order, "erp"));
    let browser = Browser::new(&service.api);
    for (q, target) in [
        (id, format!("/dashboard/orders/{id}")),
        ("A%2F1+%C3%BC", format!("/dashboard/orders/{id}")),
        (&delivery, format!("/dashboard/deliveries/{delivery}")),
        ("anna%40example.com", "/dashboard/orders?q=anna%40example.com".to_owned()),
        ("", "/dashboard/orders".to_owned()),
    ] {
        let answer = browser.get(&format!("/dashboard/search?q={q}")).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*target)), "{q}: {answer}");
        let page = browser.page(&target).await;
        assert!(q.is_empty() || page.contains("A/1 ü"), "{q}: {page}");
    }
    service.stop().await;
}

const PAYLOAD: &str = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;";

#[tokio::test]
async fn whatever_orders_responses_and_people_bring_comes_out_escaped() {
    let receiver = Receiver::start().await;
    let header = ("X-Told".to_owned(), PAYLOAD.to_owned());
    let reply = Reply::Response { status: 404, headers: vec![header], body: PAYLOAD.into() };
    receiver.on("/erp", [reply]);
    let channels = "channels: [{name: erp, url: RECEIVER/erp, headers: {X-Sent: \"<script>alert(3)</script>\"}}]";
    let service = Service::start(&receiver.fill(channels)).await;
    let body = json!({"id": PAYLOAD, "type": PAYLOAD, "<script>": PAYLOAD, "customer": {"email": PAYLOAD}});
    let order = service.api.order(&body).await;
    let delivery = delivery_to(&order, "erp");
    service.api.settled(&delivery).await;
    let reason = json!({"reason": PAYLOAD});
    service.api.post(&format!("/v1/deliveries/{delivery}/retry"), &reason).await.expect(200);
    service.api.settled(&delivery).await;
    service.api.post("/v1/channels/erp/pause", &reason).await.expect(200);
    let browser = Browser::new(&service.api);
    let encoded = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for page in [
        "/".to_owned(),
        "/dashboard/orders".to_owned(),
        format!("/dashboard/orders?q={encoded}"),
        format!("/dashboard/orders/{}", text(&order, "id")),
        "/dashboard/deliveries".to_owned(),
        format!("/dashboard/deliveries?order_id={encoded}"),
        format!("/dashboard/deliveries/{delivery}"),
        "/dashboard/channels/erp".to_owned(),
        "/dashboard/audit".to_owned(),
    ] {
        // A browser of tests looks at every page for scripts.
        let html = browser.page(&page).await;
        assert!(html.contains("&lt;script&gt;"), "the payload on {page}: {html}");
        assert!(!html.contains("<img"), "{page}: {html}");
    }
    for page in [
        format!("/dashboard/orders/{encoded}"),
        format!("/dashboard/channels/{encoded}"),
        format!("/dashboard/deliveries?channel={encoded}"),
        format!("/dashboard/deliveries?{encoded}=1"),
    ] {
        let answer = browser.get(&page).await;
        assert!(answer.status >= 400, "{page}: {answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_order_shows_its_steps_its_deliveries_and_why_channels_were_skipped() {
    let receiver = Receiver::start().await;
    receiver.on("/users", [Reply::json(200, &json!({"userId": "U-77"}))]);
    receiver.on("/erp", [Reply::json(404, &json!({"error": "no such customer"}))]);
    let yaml = r"
chains: [{name: main, plugins: [{name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}]}]
channels:
  - {name: erp, url: RECEIVER/erp}
  - {name: wine, url: RECEIVER/wine, when: order.total > 100}
";
    let service = Service::start(&receiver.fill(yaml)).await;
    let order = service.api.post_bytes("/v1/orders", br#"{"id":"A-1","total":12.50}"#).await.json();
    let order = service.api.ended(text(&order, "id")).await;
    let delivery = delivery_to(&order, "erp");
    service.api.settled(&delivery).await;
    let browser = Browser::new(&service.api);
    let html = browser.page(&format!("/dashboard/orders/{}", text(&order, "id"))).await;
    for part in [
        "Step users",
        "passed",
        "Delivery to",
        &delivery,
        "failed",
        "404",
        "its `when` does not hold",
        "12.50",
        "2026-01-31 12:00:00 UTC",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let html = browser.page(&format!("/dashboard/deliveries/{delivery}")).await;
    for part in ["Attempt 1", "POST", &receiver.url("/erp"), "no such customer", "webhook-id", "A-1"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let html = browser.page("/dashboard/channels/erp").await;
    let file = service.home.path("test.yaml").display().to_string();
    for part in ["Concurrency", "Configuration in force", &receiver.url("/erp"), &file] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let style = browser.get("/dashboard/style.css").await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    service.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_channel_that_was_removed_can_be_moved() {
    let receiver = Receiver::start().await;
    receiver.on("/old", [Reply::status(503)]);
    let old = receiver.fill("channels: [{name: old, url: RECEIVER/old}]");
    let mut service = Service::start(&old).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    service.at_rest(&delivery_to(&order, "old")).await;
    service.reload(&receiver.fill("channels: [{name: new, url: RECEIVER/new}]")).await;
    let browser = Browser::new(&service.api);
    let home = browser.page("/").await;
    assert!(home.contains("Move or cancel them"), "{home}");
    let page = "/dashboard/channels/old";
    let answer = browser.press(page, "/dashboard/channels/old/move", "&to=new&reason=renamed").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/dashboard/channels/old?done=move")),
        "{answer}"
    );
    receiver.wait_for_on("/new", 1).await;
    let audit = service.api.list("/v1/audit").await;
    assert_eq!((&audit[0]["act"], &audit[0]["reason"]), (&json!("move"), &json!("renamed")));
    service.stop().await;
}

#[tokio::test]
async fn each_reload_is_on_the_page_of_the_configuration_with_who_and_what() {
    let receiver = Receiver::start().await;
    let mut service = Service::start(&receiver.fill(TOKENS)).await;
    service.api = service.api.with_token("all-token-0123456789");
    let more = TOKENS.replace("RECEIVER/erp}]", "RECEIVER/erp2}, {name: crm, url: RECEIVER/crm}]");
    service.reload(&receiver.fill(&more)).await;
    let mut browser = Browser::new(&service.api);
    browser.log_in("all-token-0123456789").await;
    let html = browser.page("/dashboard/configuration").await;
    let file = service.home.path("test.yaml").display().to_string();
    for part in ["operator", "channels added: <code>crm</code>", "channels changed: <code>erp</code>", &file] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let answer = browser.press("/dashboard/configuration", "/dashboard/configuration/reload", "").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/dashboard/configuration?done=reload")));
    service.configure("channels: [{name: erp}]");
    let answer = browser.press("/dashboard/configuration", "/dashboard/configuration/reload", "").await;
    assert_eq!(answer.status, 422, "{answer}");
    assert!(answer.text().contains("channels[0].url"), "{answer}");
    assert_eq!(service.api.list("/v1/audit?act=reload").await.len(), 2);
    assert_eq!(service.api.list("/v1/audit?act=pause").await.len(), 0);
    let about = browser.page("/dashboard/about").await;
    for part in ["sqlite://", env!("CARGO_PKG_VERSION"), "KiB"] {
        assert!(about.contains(part), "{part}: {about}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_channel_is_tried_with_an_order_that_is_typed_or_was_received() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::json(422, &json!({"error": "no such customer"}))]);
    let yaml = "channels: [{name: erp, url: \"RECEIVER/erp/{{ order.id }}\", when: order.total > 5}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    service.api.order(&json!({"id": "A-1", "total": 1})).await;
    let browser = Browser::new(&service.api);
    let page = "/dashboard/channels/erp";
    // The form for both is that of the preview.
    let preview = browser.press(page, "/dashboard/channels/erp/preview", "&order_id=A-1&order=").await;
    assert_eq!(preview.status, 200, "{preview}");
    for part in ["Preview of", &receiver.url("/erp/A-1"), "`when` does not hold", "value=\"A-1\""] {
        assert!(preview.text().contains(part), "{part}: {preview}");
    }
    assert_eq!(receiver.count(), 0);
    let html = browser.page(page).await;
    let typed = format!("csrf={}&order=%7B%22id%22%3A%22B-2%22%2C%22total%22%3A9.50%7D", csrf(&html));
    let test = browser.post("/dashboard/channels/erp/test", &typed).await;
    for part in ["Test of", "422", "no such customer", "9.50"] {
        assert!(test.text().contains(part), "{part}: {test}");
    }
    assert_eq!(receiver.wait_for_on("/erp/B-2", 1).await.len(), 1);
    let wrong = browser.post("/dashboard/channels/erp/preview", &typed.replace("%7B", "")).await;
    assert_eq!(wrong.status, 400, "{wrong}");
    let unknown = browser.post("/dashboard/channels/erp/preview", &format!("{typed}&order_id=C-1")).await;
    assert_eq!(unknown.status, 404, "{unknown}");
    service.stop().await;
}

#[tokio::test]
async fn a_form_is_bounded() {
    let service = Service::start("").await;
    let browser = Browser::new(&service.api);
    for target in ["/dashboard/login", "/dashboard/channels/erp/pause", "/dashboard/deliveries/bulk"] {
        assert_eq!(browser.post(target, &"a".repeat(64 * 1024 + 1)).await.status, 413, "{target}");
    }
    service.stop().await;
}
