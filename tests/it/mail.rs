//! Mail: the event itself (kind `email`) and the text of an accepted response, handed to a real mail server.

mod responses;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;

use crate::harness::{Service, delivery_to, text};
use crate::smtp::{Certificate, MailServer, header, part};
use crate::tls::{Authority, Files, Identity, acceptor, authority};

/// A channel that mails the event to whoever the order names.
const NOTICE: &str = "channels: [{name: notice, kind: email, retry: {attempts: 3, interval: 30m, jitter: 0}, email: {to: '{{ order.to }}', subject: 'Order {{ order.id }}', body: 'Hello **{{ order.name }}**'}}]";

async fn notices(server: &MailServer) -> Service {
    Service::start(&(server.section("smtp", "") + NOTICE)).await
}

/// Sends one notice to that address and returns its delivery, at rest.
async fn notify(service: &Service, to: &str) -> Value {
    let order = service.api.order(&json!({"id": "A-1", "to": to, "name": "Jane"})).await;
    service.at_rest(&delivery_to(&order, "notice")).await
}

fn attempt(delivery: &Value, at: usize) -> &Value {
    &delivery["attempts"][at]
}

/// The value of a header in an attempt's request.
#[track_caller]
fn sent(attempt: &Value, name: &str) -> String {
    let headers = &attempt["request"]["headers"];
    let value = headers.get(name).or_else(|| headers.get(name.to_lowercase()));
    let value = value.unwrap_or_else(|| panic!("no {name} in {attempt:#}"));
    value.as_str().or_else(|| value[0].as_str()).unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[tokio::test]
async fn an_event_is_mailed_as_text_and_html() {
    let server = MailServer::start().await;
    let service = notices(&server).await;
    let delivery = notify(&service, "Jane Doe <jane@example.com>").await;
    assert_eq!(delivery["status"], "accepted", "{delivery:#}");
    let mail = &server.mails().await[0];
    assert_eq!(
        (mail["sender"].as_str(), mail["to"][0].as_str()),
        (Some("orders@shop.example"), Some("jane@example.com"))
    );
    assert_eq!(header(mail, "From"), "Shop <orders@shop.example>");
    assert_eq!(header(mail, "To"), "Jane Doe <jane@example.com>");
    assert_eq!(header(mail, "Subject"), "Order A-1");
    assert_eq!(header(mail, "Date"), "Sat, 31 Jan 2026 12:00:00 +0000");
    assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
    assert_eq!(header(mail, "Message-ID"), format!("<{}@shop.example>", text(&delivery, "id")));
    assert_eq!(mail["kind"], "multipart/alternative");
    assert_eq!(mail["parts"][0]["type"], "text/plain", "the plain one first, so that a reader prefers the other");
    assert_eq!(part(mail, "text/plain").trim(), "Hello Jane");
    assert!(part(mail, "text/html").contains("<p>Hello <strong>Jane</strong></p>"), "{mail:#}");
    assert_eq!(
        (mail["tls"].as_bool(), mail["user"].as_str(), mail["hello"].as_str()),
        (Some(false), None, Some("shop.example"))
    );
    service.stop().await;
}

#[tokio::test]
async fn an_attempt_on_record_shows_the_mail_and_the_servers_reply() {
    let server = MailServer::start().await;
    let service = notices(&server).await;
    let delivery = notify(&service, "jane@example.com").await;
    let attempt = attempt(&delivery, 0);
    assert_eq!((attempt["code"].as_i64(), attempt["outcome"].as_str()), (Some(250), Some("accepted")));
    assert_eq!(attempt["request"]["method"], "MAIL");
    assert_eq!(attempt["request"]["url"], format!("smtp://localhost:{}", server.port));
    assert_eq!(sent(attempt, "From"), "\"Shop\" <orders@shop.example>");
    assert_eq!(sent(attempt, "To"), "jane@example.com");
    assert_eq!(sent(attempt, "Subject"), "Order A-1");
    assert_eq!(sent(attempt, "Message-ID"), header(&server.mails().await[0], "Message-ID"));
    assert!(text(&attempt["request"], "body").contains("<strong>Jane</strong>"), "{attempt:#}");
    assert_eq!(attempt["response"]["body"], "250 2.0.0 OK queued as 42");
    service.stop().await;
}

#[tokio::test]
async fn a_posted_event_is_mailed_too() {
    let server = MailServer::start().await;
    let yaml = server.section("smtp", "")
        + "channels: [{name: billing, kind: email, events: [invoice.*], email: {to: billing@example.com, subject: '{{ event.type }}', body: 'Invoice {{ order.number }}'}}]";
    let service = Service::start(&yaml).await;
    let event = json!({"type": "invoice.paid", "data": {"number": "I-7"}});
    let answer = service.api.post("/v1/events", &event).await.expect(202);
    assert_eq!(service.api.settled(&delivery_to(&answer, "billing")).await["status"], "accepted");
    let mail = &server.mails().await[0];
    assert_eq!((header(mail, "Subject"), part(mail, "text/plain").trim()), ("invoice.paid", "Invoice I-7"));
    service.stop().await;
}

#[tokio::test]
async fn what_is_filled_in_appears_as_it_is() {
    let server = MailServer::start().await;
    let service = notices(&server).await;
    let name = "<b>*_Jane_*</b> [x](https://evil.example) `&amp;` <script>alert(1)</script> Zoë 你好";
    let order = json!({"id": "A <1> & \"2\" Ü", "to": "jane@example.com", "name": name});
    let order = service.api.order(&order).await;
    service.api.settled(&delivery_to(&order, "notice")).await;
    let mail = &server.mails().await[0];
    assert_eq!(header(mail, "Subject"), "Order A <1> & \"2\" Ü");
    assert_eq!(part(mail, "text/plain").trim(), format!("Hello {name}"));
    let html = part(mail, "text/html");
    assert!(!html.contains("<script") && !html.contains("href") && !html.contains("<b>"), "{html}");
    service.stop().await;
}

#[tokio::test]
async fn a_body_may_be_html() {
    let server = MailServer::start().await;
    let yaml = server.section("smtp", "")
        + "channels: [{name: a, kind: email, email: {subject: Hi, body: '<p onclick=\"x()\">Dear {{ order.name }},</p><script>x()</script><p><img src=\"https://t.example/p.png\">bye</p>'}}]";
    let service = Service::start(&yaml).await;
    let order = json!({"id": 1, "name": "A*B_C", "customer": {"email": "jane@example.com"}});
    let order = service.api.order(&order).await;
    assert_eq!(service.api.settled(&delivery_to(&order, "a")).await["status"], "accepted");
    let mail = &server.mails().await[0];
    assert_eq!(mail["to"], json!(["jane@example.com"]), "the customer, where `to` is left out");
    assert_eq!(part(mail, "text/plain"), "Dear A*B_C,\n\nbye\n");
    let html = part(mail, "text/html");
    assert!(!["onclick", "script", "img", "t.example"].iter().any(|word| html.contains(word)), "{html}");
    service.stop().await;
}

#[tokio::test]
async fn starttls_and_tls_from_the_first_byte() {
    for (tls, scheme) in [("starttls", "smtp+starttls"), ("implicit", "smtps")] {
        let certificate = Certificate::new();
        let server = MailServer::secure(tls, &certificate, &["--auth", "shop:pa:ss wörd"]).await;
        let more = format!(", ca_file: '{}', username: shop, password: 'pa:ss wörd'", certificate.path().display());
        let service = Service::start(&(server.section(scheme, &more) + NOTICE)).await;
        let delivery = notify(&service, "jane@example.com").await;
        assert_eq!(delivery["status"], "accepted", "{scheme}: {delivery:#}");
        let mail = &server.mails().await[0];
        assert_eq!((mail["tls"].as_bool(), mail["user"].as_str()), (Some(true), Some("shop")), "{scheme}");
        let url = format!("{scheme}://localhost:{}", server.port);
        assert_eq!(attempt(&delivery, 0)["request"]["url"], url, "without credentials");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_refused() {
    for (tls, scheme) in [("starttls", "smtp+starttls"), ("implicit", "smtps")] {
        let (certificate, other) = (Certificate::new(), Certificate::new());
        let server = MailServer::secure(tls, &certificate, &[]).await;
        let more = format!(", ca_file: '{}'", other.path().display());
        let service = Service::start(&(server.section(scheme, &more) + NOTICE)).await;
        let delivery = notify(&service, "jane@example.com").await;
        let attempt = attempt(&delivery, 0);
        assert_eq!((attempt["code"].as_i64(), attempt["outcome"].as_str()), (Some(-3), Some("retry")), "{attempt:#}");
        assert!(text(attempt, "error").contains("certificate"), "{attempt:#}");
        assert_eq!(server.mails().await.len(), 0);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail_where_that_is_asked_for() {
    let server = MailServer::start().await;
    let service = Service::start(&(server.section("smtp+starttls", "") + NOTICE)).await;
    let delivery = notify(&service, "jane@example.com").await;
    assert_eq!(attempt(&delivery, 0)["code"], -3, "{delivery:#}");
    assert!(text(attempt(&delivery, 0), "error").contains("STARTTLS"), "{delivery:#}");
    assert_eq!(server.mails().await.len(), 0);
    service.stop().await;
}

/// A server that answers STARTTLS with `injected` after its reply, then goes on under TLS and takes every mail. Its port,
/// and the commands that came under TLS.
async fn injecting(authority: &Authority, injected: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let acceptor = acceptor(&Identity::issued(authority, "localhost", |_| ()), &[], None);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let secret: Arc<Mutex<Vec<String>>> = Arc::default();
    let commands = Arc::clone(&secret);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut clear = BufStream::new(stream);
            let mut line = String::new();
            clear.write_all(b"220 mail\r\n").await.ok()?;
            clear.flush().await.ok()?;
            while !line.starts_with("STARTTLS") {
                line.clear();
                clear.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
                let reply = if line.starts_with("EHLO") {
                    "250-mail\r\n250 STARTTLS\r\n".to_owned()
                } else {
                    format!("220 go ahead\r\n{injected}")
                };
                clear.write_all(reply.as_bytes()).await.ok()?;
                clear.flush().await.ok()?;
            }
            let Ok(stream) = acceptor.accept(clear.into_inner()).await else { continue };
            let mut secure = BufStream::new(stream);
            let mut data = false;
            loop {
                line.clear();
                if !secure.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    break;
                }
                if data && line != ".\r\n" {
                    continue;
                }
                data = line.starts_with("DATA");
                commands.lock().push(line.trim().to_owned());
                let reply = if data { "354 go ahead\r\n" } else { "250 fine\r\n" };
                if secure.write_all(reply.as_bytes()).await.is_err() || secure.flush().await.is_err() {
                    break;
                }
            }
        }
        Some(())
    });
    (port, secret)
}

#[tokio::test]
async fn replies_put_in_before_tls_begins_end_the_connection() {
    let (files, authority) = (Files::new(), authority("Mail CA"));
    let ca = files.with("ca.pem", &authority.pem());
    for (injected, goes_out) in
        [("", true), ("250 mail\r\n250 fine\r\n250 fine\r\n354 go\r\n250 taken\r\n", false), ("2", false)]
    {
        let (port, commands) = injecting(&authority, injected).await;
        let smtp = format!(
            "smtp: {{url: 'smtp+starttls://localhost:{port}', from: 'Shop <orders@shop.example>', ca_file: '{ca}'}}\n"
        );
        let service = Service::start(&(smtp + NOTICE)).await;
        let delivery = notify(&service, "jane@example.com").await;
        let attempt = attempt(&delivery, 0);
        if goes_out {
            assert_eq!(attempt["code"], 250, "{delivery:#}");
        } else {
            assert_eq!(
                (attempt["code"].as_i64(), attempt["outcome"].as_str()),
                (Some(-3), Some("retry")),
                "{attempt:#}"
            );
            assert!(text(attempt, "error").contains("more than a reply before TLS began"), "{attempt:#}");
            assert_eq!(*commands.lock(), Vec::<String>::new(), "{injected}");
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn credentials_right_wrong_wanted_and_of_no_known_kind() {
    let server = MailServer::with(&["--auth", "shop:hunter2"]).await;
    let yaml = |credentials: &str| server.section("smtp", credentials) + NOTICE;
    let service = Service::start(&yaml(", username: shop, password: hunter2")).await;
    assert_eq!(notify(&service, "jane@example.com").await["status"], "accepted");
    assert_eq!(server.mails().await[0]["user"], "shop");
    for (credentials, code) in [(", username: shop, password: hunter3", 535), ("", 530)] {
        let service = Service::start(&yaml(credentials)).await;
        let delivery = notify(&service, "jane@example.com").await;
        let attempt = attempt(&delivery, 0);
        assert_eq!((attempt["code"].as_i64(), attempt["outcome"].as_str()), (Some(code), Some("retry")), "{attempt:#}");
        assert!(!delivery.to_string().contains("hunter"), "{delivery:#}");
        service.stop().await;
    }
    let picky = ["--auth", "shop:hunter2", "--no-mechanism", "PLAIN", "--no-mechanism", "LOGIN"];
    let picky = MailServer::with(&picky).await;
    let other = Service::start(&(picky.section("smtp", ", username: shop, password: hunter2") + NOTICE)).await;
    assert_eq!(attempt(&notify(&other, "jane@example.com").await, 0)["code"], -9);
    other.stop().await;
    service.stop().await;
}

#[tokio::test]
async fn a_4xx_is_retried_with_the_same_message() {
    let server = MailServer::start().await;
    let service = notices(&server).await;
    let waiting = notify(&service, "once-451@example.com").await;
    assert_eq!(waiting["status"], "pending");
    let first = attempt(&waiting, 0);
    assert_eq!((first["code"].as_i64(), first["outcome"].as_str()), (Some(451), Some("retry")), "{first:#}");
    assert!(
        text(first, "error").contains("recipient") && text(first, "error").contains("come back later"),
        "{first:#}"
    );
    assert_eq!(service.advance_to_next_attempt(text(&waiting, "id")).await, Duration::from_secs(1800));
    let delivery = service.api.settled(text(&waiting, "id")).await;
    assert_eq!(delivery["status"], "accepted");
    let (first, second) = (attempt(&delivery, 0), attempt(&delivery, 1));
    assert_eq!(sent(first, "Message-ID"), sent(second, "Message-ID"));
    assert_eq!(first["request"]["body"], second["request"]["body"]);
    assert_eq!((server.refused().await, server.mails().await.len()), (1, 1));
    service.stop().await;
}

#[tokio::test]
async fn a_4xx_to_the_end_and_a_5xx_fail() {
    let server = MailServer::start().await;
    let service = notices(&server).await;
    let order = service.api.order(&json!({"id": "A-1", "to": "reply-450@example.com", "name": "Jane"})).await;
    let delivery = service.play_out(&delivery_to(&order, "notice")).await;
    assert_eq!(delivery["status"], "failed");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(3));
    for (to, code, what) in [("reply-550@example.com", 550, "recipient"), ("data-552@example.com", 552, "the mail")] {
        let delivery = notify(&service, to).await;
        assert_eq!(delivery["status"], "failed", "{delivery:#}");
        let attempt = attempt(&delivery, 0);
        assert_eq!(
            (attempt["code"].as_i64(), attempt["outcome"].as_str()),
            (Some(code), Some("failed")),
            "{attempt:#}"
        );
        let error = text(attempt, "error");
        assert!(error.contains(what) && error.contains("this is what was asked for"), "{error}");
        assert!(text(&attempt["response"], "body").starts_with(&code.to_string()), "{attempt:#}");
    }
    service.stop().await;
}

#[tokio::test]
async fn no_server_no_name_and_no_answer_are_retried() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    for (url, timeout, code) in [
        (format!("smtp://127.0.0.1:{closed}"), "{total: 10s}", -1),
        ("smtp://mail.invalid:25".to_owned(), "{total: 10s}", -2),
        (format!("smtp://127.0.0.1:{silent_port}"), "{connect: 10s, transfer: 200ms}", -5),
        (format!("smtps://127.0.0.1:{silent_port}"), "{connect: 200ms, transfer: 10s}", -4),
    ] {
        let yaml = format!("smtp: {{url: '{url}', from: a@shop.example}}\n")
            + &*NOTICE.replace("kind: email,", &format!("kind: email, timeout: {timeout},"));
        let service = Service::start(&yaml).await;
        let delivery = notify(&service, "jane@example.com").await;
        assert_eq!(attempt(&delivery, 0)["code"], code, "{url}: {delivery:#}");
        assert_eq!(delivery["status"], "pending", "{url}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_says_rubbish_without_end_or_hangs_up_is_retried() {
    use tokio::io::AsyncWriteExt;
    for (piece, code) in
        [("220 ".to_owned() + &*"x".repeat(100_000), -6), ("HTTP/1.1 400\r\n".to_owned(), -6), (String::new(), -6)]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut written = 0;
            while !piece.is_empty() && written < 50_000_000 && stream.write_all(piece.as_bytes()).await.is_ok() {
                written += piece.len();
            }
            written
        });
        let service =
            Service::start(&(format!("smtp: {{url: 'smtp://127.0.0.1:{port}', from: a@shop.example}}\n") + NOTICE))
                .await;
        let delivery = notify(&service, "jane@example.com").await;
        assert_eq!(attempt(&delivery, 0)["code"], code, "{delivery:#}");
        assert!(server.await.unwrap() < 50_000_000, "read on and on");
        service.stop().await;
    }
}

#[tokio::test]
async fn addresses_that_are_none_and_lines_put_into_headers_are_refused() {
    let server = MailServer::start().await;
    let service = notices(&server).await;
    for to in [
        "",
        "jane",
        "jane@",
        "a@example.com, b@example.com",
        "jane@example.com\r\nBcc: eve@example.com",
        "jane@exa mple.com",
    ] {
        let delivery = notify(&service, to).await;
        let attempt = attempt(&delivery, 0);
        assert_eq!(
            (delivery["status"].as_str(), attempt["code"].as_i64()),
            (Some("failed"), Some(-2000)),
            "{to}: {delivery:#}"
        );
        assert!(text(attempt, "error").starts_with("email.to: "), "{attempt:#}");
    }
    let order = json!({"id": "A\r\nBcc: eve@example.com", "to": "jane@example.com", "name": "Jane"});
    let order = service.api.order(&order).await;
    let delivery = service.api.settled(&delivery_to(&order, "notice")).await;
    assert_eq!(attempt(&delivery, 0)["code"], -2000);
    assert!(text(attempt(&delivery, 0), "error").starts_with("subject: "), "{delivery:#}");
    assert_eq!((server.mails().await.len(), server.refused().await), (0, 0));
    service.stop().await;
}

#[tokio::test]
async fn addresses_of_other_alphabets_need_a_server_that_takes_them() {
    let server = MailServer::with(&["--utf8"]).await;
    let service = notices(&server).await;
    assert_eq!(notify(&service, "josé@münchen.example").await["status"], "accepted");
    assert_eq!(server.mails().await[0]["to"], json!(["josé@xn--mnchen-3ya.example"]));
    service.stop().await;
    let server = MailServer::start().await;
    let service = notices(&server).await;
    assert_eq!(notify(&service, "jane@münchen.example").await["status"], "accepted", "a domain has an ASCII form");
    let delivery = notify(&service, "josé@example.com").await;
    assert_eq!((delivery["status"].as_str(), attempt(&delivery, 0)["code"].as_i64()), (Some("failed"), Some(-2000)));
    service.stop().await;
}

#[tokio::test]
async fn merge_fields_fill_a_mail_too() {
    let server = MailServer::start().await;
    let channel = "channels: [{name: a, kind: email, syntax: merge_fields, email: {to: '<Account.Email>', subject: 'For <Account.Name>', body: '<p>Dear <Account.Name></p>'}}]";
    let service = Service::start(&(server.section("smtp", "") + channel)).await;
    let order = json!({"id": 1, "Account": {"Name": "A <b>C</b>", "Email": "jane@example.com"}});
    let order = service.api.order(&order).await;
    assert_eq!(service.api.settled(&delivery_to(&order, "a")).await["status"], "accepted");
    let mail = &server.mails().await[0];
    assert_eq!((header(mail, "Subject"), part(mail, "text/plain")), ("For A <b>C</b>", "Dear A <b>C</b>\n"));
    service.stop().await;
}

#[test]
fn of_a_preset_for_requests_a_mail_channel_has_what_is_not_about_requests() {
    use orderhook::config::{self, Environment};
    use orderhook::domain::{Code, Outcome};
    let yaml = "smtp: {url: 'smtp://localhost', from: a@shop.example}\nchannels: [{name: z, kind: email, preset: zuora, email: {to: '<Account.Email>', subject: a, body: b}}]";
    let settings =
        config::load_text("shop.yaml", yaml, &Environment::new()).unwrap_or_else(|faults| panic!("{faults}"));
    let channel = &settings.channels[0];
    assert_eq!((channel.retry.attempts(), channel.preset.as_str()), (3, "zuora"));
    for (code, auth, outcome) in [
        (Code::status(250), false, Outcome::Accepted),
        (Code::status(451), false, Outcome::Retry),
        (Code::status(550), false, Outcome::Failed),
        (Code::status(535), true, Outcome::Retry),
        (Code::NO_CONNECTION, false, Outcome::Retry),
    ] {
        assert_eq!(channel.outcomes.decide(code, auth), outcome, "{code}");
    }
    assert_eq!(channel.shown["method"], Value::Null, "{:#}", channel.shown);
}
