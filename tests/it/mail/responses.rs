//! The text of an accepted response, mailed to the customer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{NOTICE, attempt};
use crate::harness::{Home, Process, Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};
use crate::smtp::{MailServer, header, part};

/// The mail delivery of an order beside its request.
async fn mail_of(service: &Service, order: &Value, channel: &str) -> String {
    let id = text(order, "id");
    eventually("the mail's delivery", || async {
        let order = service.api.order_detail(id).await;
        let deliveries = order["deliveries"].as_array().expect("deliveries").clone();
        let mail = deliveries.iter().find(|delivery| delivery["channel"] == channel && delivery["kind"] == "email");
        mail.map(|mail| text(mail, "id").to_owned())
    })
    .await
}

/// A channel that fulfils an order and mails the response.
fn license(receiver: &Receiver, server: &MailServer, email: &str) -> String {
    let channel = "channels: [{name: license, url: RECEIVER/keys, retry: {attempts: 3, interval: 10m, jitter: 0}, email: {EMAIL}}]";
    server.section("smtp", "") + &*receiver.fill(&channel.replace("EMAIL", email))
}

fn markdown(body: &str) -> Reply {
    Reply::body(200, "text/plain; charset=utf-8", body)
}

#[tokio::test]
async fn an_accepted_response_is_mailed_to_the_customer() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    receiver.answer([markdown("Your key: **AB\\*C\\_D**\nand `x_y_z`\n<script>alert(1)</script>")]);
    let email = "subject: 'Your key for {{ order.id }}', instructions: '<p onclick=\"x()\">Dear {{ order.name }}, <b>paste</b> it.</p><img src=\"https://t.example/p\">'";
    let service = Service::start(&license(&receiver, &server, email)).await;
    let order = json!({"id": "A-1", "name": "<i>Jane</i>", "customer": {"email": "jane@example.com"}});
    let order = service.api.order(&order).await;
    let request = service.api.settled(&delivery_to(&order, "license")).await;
    assert_eq!((request["status"].as_str(), request["kind"].as_str()), (Some("accepted"), None));
    let id = mail_of(&service, &order, "license").await;
    let delivery = service.api.settled(&id).await;
    assert_eq!((delivery["status"].as_str(), delivery["channel"].as_str()), (Some("accepted"), Some("license")));
    assert_eq!(
        (attempt(&delivery, 0)["code"].as_i64(), attempt(&delivery, 0)["request"]["method"].as_str()),
        (Some(250), Some("MAIL"))
    );
    let mails = server.wait_for(1).await;
    let mail = &mails[0];
    assert_eq!((header(mail, "To"), header(mail, "Subject")), ("jane@example.com", "Your key for A-1"));
    assert_eq!(part(mail, "text/plain"), "Dear <i>Jane</i>, paste it.\n\nYour key: AB*C_D\nand x_y_z\n");
    let html = part(mail, "text/html");
    assert!(
        html.contains("<b>paste</b>")
            && html.contains("<strong>AB*C_D</strong>")
            && html.contains("<code>x_y_z</code>"),
        "{html}"
    );
    assert!(!["onclick", "<script", "img", "t.example", "<i>"].iter().any(|word| html.contains(word)), "{html}");
    service.api.all_settled().await;
    assert_eq!(
        (server.mails().await.len(), receiver.count()),
        (1, 1),
        "one mail for a delivery, and none for the mail"
    );
    let all = service.api.list("/v1/deliveries?channel=license").await;
    assert_eq!(all.len(), 2, "{all:#?}");
    service.stop().await;
}

#[tokio::test]
async fn a_response_that_would_grow_or_nest_beyond_bounds_is_mailed_as_received() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    let texts =
        ["<blockquote>".repeat(400) + &*"x<br>\n".repeat(8000), "1. ".repeat(20_000), "> ".repeat(20_000) + "KEY-1"];
    receiver.answer(texts.iter().map(|text| markdown(text)));
    let service = Service::start(&license(&receiver, &server, "")).await;
    for (at, source) in texts.iter().enumerate() {
        let order = service.api.order(&json!({"id": "A-1", "customer": {"email": "jane@example.com"}})).await;
        let delivery = service.api.settled(&mail_of(&service, &order, "license").await).await;
        assert_eq!(delivery["status"], "accepted", "{}", source.get(..20).unwrap_or_default());
        let mail = &server.wait_for(at + 1).await[at];
        assert_eq!(part(mail, "text/plain").trim_end(), source.trim_end());
        assert!(part(mail, "text/html").contains("<pre>"));
        assert!(!part(mail, "text/html").contains("<blockquote>"));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_mail_is_retried_by_itself_and_the_request_is_not_made_again() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    receiver.answer([markdown("KEY-1")]);
    let service = Service::start(&license(&receiver, &server, "")).await;
    let order = service.api.order(&json!({"id": "A-1", "customer": {"email": "once-421@example.com"}})).await;
    let id = mail_of(&service, &order, "license").await;
    assert_eq!(service.wait_of(&id).await, Duration::from_secs(600), "by the channel's own retry");
    let service = service.restart().await;
    let delivery = service.play_out(&id).await;
    assert_eq!(delivery["status"], "accepted");
    let codes: Vec<_> =
        delivery["attempts"].as_array().unwrap().iter().map(|attempt| attempt["code"].clone()).collect();
    assert_eq!(codes, [421, 250]);
    let mail = &server.mails().await[0];
    assert_eq!((header(mail, "Subject"), part(mail, "text/plain")), ("Your order A-1", "KEY-1\n"));
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn without_an_address_the_mail_fails_and_the_request_stays_accepted() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    receiver.answer([markdown("KEY-1")]);
    let service = Service::start(&license(&receiver, &server, "")).await;
    for customer in [json!({}), json!({"email": "none"}), json!({"email": ["a@b.example"]})] {
        let order = service.api.order(&json!({"id": "A-1", "customer": customer})).await;
        let mail = service.api.settled(&mail_of(&service, &order, "license").await).await;
        assert_eq!(
            (mail["status"].as_str(), attempt(&mail, 0)["code"].as_i64()),
            (Some("failed"), Some(-2000)),
            "{mail:#}"
        );
        assert!(text(attempt(&mail, 0), "error").starts_with("email.to: "), "{mail:#}");
        assert_eq!(service.api.settled(&delivery_to(&order, "license")).await["status"], "accepted");
    }
    assert_eq!(server.mails().await.len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_response_that_fails_or_is_too_large_is_not_mailed() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    receiver.answer([Reply::status(400), markdown(&"x".repeat(60_001)), markdown("KEY-1")]);
    let service = Service::start(&license(&receiver, &server, "")).await;
    let customer = json!({"email": "jane@example.com"});
    let order = service.api.order(&json!({"id": "A-1", "customer": customer})).await;
    assert_eq!(service.api.settled(&delivery_to(&order, "license")).await["status"], "failed");
    let order = service.api.order(&json!({"id": "A-2", "customer": customer})).await;
    let delivery = service.play_out(&delivery_to(&order, "license")).await;
    let codes: Vec<_> =
        delivery["attempts"].as_array().unwrap().iter().map(|attempt| attempt["code"].clone()).collect();
    assert_eq!(codes, [-7, 200], "half a text is never mailed");
    service.api.settled(&mail_of(&service, &order, "license").await).await;
    assert_eq!(server.mails().await.len(), 1);
    assert_eq!(part(&server.mails().await[0], "text/plain"), "KEY-1\n");
    service.stop().await;
}

#[tokio::test]
async fn a_mail_is_born_with_the_acceptance_and_outlives_a_power_cut() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    receiver.answer([markdown("KEY-1")]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let yaml = license(&receiver, &server, "")
        .replace("interval: 10m", "interval: 100ms")
        .replace("attempts: 3", "attempts: 20");
    let away = yaml.replace(&format!("localhost:{}", server.port), &format!("127.0.0.1:{closed}"));
    let home = Arc::new(Home::new());
    let mut process = Process::start_in(&home, &away).await;
    let order = process.api.order(&json!({"id": "A-1", "customer": {"email": "jane@example.com"}})).await;
    assert_eq!(process.api.settled(&delivery_to(&order, "license")).await["status"], "accepted");
    let detail = process.api.order_detail(text(&order, "id")).await;
    assert_eq!(detail["deliveries"][1]["kind"], "email", "as soon as the acceptance is on record: {detail:#}");
    process.kill();
    let process = Process::start_in(&home, &yaml).await;
    server.wait_for(1).await;
    process.api.all_settled().await;
    assert_eq!((server.mails().await.len(), receiver.count()), (1, 1));
    assert_eq!(part(&server.mails().await[0], "text/plain"), "KEY-1\n");
    process.stop().await;
}

#[tokio::test]
async fn a_mail_repeated_by_a_power_cut_is_the_same_message() {
    let server = MailServer::start().await;
    let home = Arc::new(Home::new());
    let yaml = server.section("smtp", "") + NOTICE;
    let mut process = Process::start_in(&home, &yaml).await;
    process.api.order(&json!({"id": "A-1", "to": "silent@example.com", "name": "Jane"})).await;
    server.wait_for(1).await;
    process.kill();
    let process = Process::start_in(&home, &yaml).await;
    let mails = server.wait_for(2).await;
    process.api.all_settled().await;
    assert_eq!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
    assert_eq!(mails[0]["raw"], mails[1]["raw"], "byte for byte");
    process.stop().await;
}

#[tokio::test]
async fn the_units_of_a_separate_multibuy_have_mails_of_their_own_in_sequence() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    let gate = Gate::new();
    receiver.answer([markdown("KEY-1").held(&gate), markdown("OTHER")]);
    let channel = "channels: [{name: license, preset: fulfillment, url: RECEIVER/keys, multibuy: separate, email: {subject: 'Key {{ order.id }}'}}]";
    let service = Service::start(&(server.section("smtp", "") + &*receiver.fill(channel))).await;
    let order = |id: &str, items: Value| json!({"id": id, "customer": {"email": "jane@example.com"}, "items": items});
    let eight = json!([{"product_id": "P", "quantity": 3}, {"product_id": "Q", "quantity": 5}]);
    service.api.order(&order("A-1", eight)).await;
    receiver.wait_for(1).await;
    // Another order is served while the first unit's request is under way.
    service.api.order(&order("A-2", json!([{"product_id": "P"}]))).await;
    assert_eq!(header(&server.wait_for(1).await[0], "Subject"), "Key A-2");
    assert_eq!(receiver.count(), 2);
    receiver.answer((2..=8).map(|unit| markdown(&format!("KEY-{unit}"))));
    gate.open();
    let mails = server.wait_for(9).await;
    service.api.all_settled().await;
    for (unit, mail) in (1..=8).zip(&mails[1..]) {
        assert_eq!(part(mail, "text/plain"), format!("KEY-{unit}\n"));
        assert_eq!(header(mail, "Subject"), format!("Key A-1 ({unit} of 8)"));
    }
    let mut ids: Vec<_> = mails.iter().map(|mail| header(mail, "Message-ID")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 9);
    service.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_retried_holds_the_mails_of_later_units_and_no_request() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    receiver.answer([markdown("KEY-1"), markdown("KEY-2"), markdown("KEY-3")]);
    let channel = "channels: [{name: license, preset: fulfillment, url: RECEIVER/keys, multibuy: separate, email: {subject: 'Key'}}]";
    let service = Service::start(&(server.section("smtp", "") + &*receiver.fill(channel))).await;
    let items = json!([{"product_id": "P", "quantity": 3}]);
    service.api.order(&json!({"id": "A-1", "customer": {"email": "once-451@example.com"}, "items": items})).await;
    let first = eventually("the first mail's failure", async || {
        let mails = service.api.list("/v1/deliveries?channel=license&code=451").await;
        mails.first().map(|mail| text(mail, "id").to_owned())
    });
    let first = first.await;
    receiver.wait_for(3).await;
    assert_eq!(server.mails().await.len(), 0, "the other two wait behind it");
    service.advance_to_next_attempt(&first).await;
    let mails = server.wait_for(3).await;
    service.api.all_settled().await;
    let subjects: Vec<_> = mails.iter().map(|mail| header(mail, "Subject")).collect();
    assert_eq!(subjects, ["Key (1 of 3)", "Key (2 of 3)", "Key (3 of 3)"]);
    service.stop().await;
}

#[tokio::test]
async fn a_test_shows_the_mail_of_its_response_and_does_not_send_it() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    receiver.answer([markdown("KEY-1"), markdown("KEY-2"), Reply::status(503)]);
    let channel = "channels: [{name: license, preset: fulfillment, url: RECEIVER/keys, multibuy: separate, email: {subject: 'Unit {{ unit }}/{{ units }}'}}]";
    let service = Service::start(&(server.section("smtp", "") + &*receiver.fill(channel))).await;
    let order =
        json!({"id": "A-1", "customer": {"email": "jane@example.com"}, "items": [{"product_id": "P", "quantity": 2}]});
    let tested = service.api.post("/v1/channels/license/test", &order).await.expect(200);
    assert_eq!((&tested["outcome"], &tested["mail"]["method"]), (&json!("accepted"), &json!("MAIL")));
    let (headers, body) = (&tested["mail"]["headers"], text(&tested["mail"], "body"));
    assert_eq!((&headers["Subject"], &headers["To"]), (&json!("Unit 1/2"), &json!("jane@example.com")));
    assert!(body.contains("KEY-1"), "{body}");

    let mut nobody = order.clone();
    nobody["customer"]["email"] = json!("");
    let tested = service.api.post("/v1/channels/license/test", &nobody).await.expect(200);
    assert_eq!(tested.get("mail"), None);
    assert!(text(&tested, "mail_error").contains("no e-mail address"), "{tested:#}");
    let failed = service.api.post("/v1/channels/license/test", &order).await.expect(200);
    assert_eq!((failed.get("mail"), failed.get("mail_error")), (None, None), "{failed:#}");
    assert_eq!(server.mails().await.len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_response_in_another_charset_is_mailed_as_it_reads_and_one_that_is_no_text_is_not() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    let bytes = b"Schl\xfcssel".to_vec();
    receiver.answer([
        Reply::body(200, "text/plain; charset=iso-8859-1", bytes.clone()),
        Reply::body(200, "text/plain", bytes),
    ]);
    let service = Service::start(&license(&receiver, &server, "")).await;
    let order = json!({"id": "A-1", "customer": {"email": "jane@example.com"}});
    let first = service.api.order(&order).await;
    assert_eq!(service.api.settled(&mail_of(&service, &first, "license").await).await["status"], "accepted");
    assert_eq!(part(&server.mails().await[0], "text/plain"), "Schlüssel\n");
    let second = service.api.order(&order).await;
    let mail = service.api.settled(&mail_of(&service, &second, "license").await).await;
    assert_eq!((mail["status"].as_str(), attempt(&mail, 0)["code"].as_i64()), (Some("failed"), Some(-2000)));
    assert!(text(attempt(&mail, 0), "error").contains("not text"), "{mail:#}");
    assert_eq!(server.mails().await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_mail_server_that_hangs_slows_no_other_channel() {
    let (server, receiver) = (MailServer::start().await, Receiver::start().await);
    let yaml = license(&receiver, &server, "to: hang@example.com");
    let yaml = yaml.replace("channels: [", "channels: [{name: erp, url: RECEIVER/erp}, ");
    receiver.answer([markdown("KEY-1")]);
    let service = Service::start(&receiver.fill(&yaml)).await;
    for number in 0..20 {
        let order = service.api.order(&json!({"id": number})).await;
        for channel in ["license", "erp"] {
            assert_eq!(service.api.settled(&delivery_to(&order, channel)).await["status"], "accepted");
        }
    }
    service.stop().await;
}
