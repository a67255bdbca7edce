//! The egress guard: what is not of the public Internet is refused with code -8, at once, unless it is allowed.

use serde_json::json;

use crate::harness::{Home, Service, binary, delivery_to, run, text};
use crate::receiver::{Receiver, Reply};

/// Nothing but what the configuration says.
const CLOSED: &str = "egress: {allow: []}\n";

#[tokio::test]
async fn a_receiver_on_loopback_is_refused_at_once_and_the_error_says_how_to_allow_it() {
    let receiver = Receiver::start().await;
    let service =
        Service::start(&receiver.fill(&format!("{CLOSED}channels: [{{name: erp, url: RECEIVER/erp}}]"))).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!(delivery["status"], "failed");
    let attempts = delivery["attempts"].as_array().expect("attempts");
    assert_eq!((attempts.len(), &attempts[0]["code"], &attempts[0]["outcome"]), (1, &json!(-8), &json!("failed")));
    assert_eq!(
        text(&attempts[0], "error"),
        "the egress guard refuses 127.0.0.1: it is loopback (127.0.0.0/8, RFC 1122); to allow it, add it to egress.allow"
    );
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn no_rule_of_a_channel_makes_a_refusal_anything_else() {
    let receiver = Receiver::start().await;
    let yaml = format!(
        "{CLOSED}channels: [{{name: erp, url: RECEIVER/erp, outcomes: [{{on: [any, error], then: retry}}], retry: {{attempts: 9, interval: 1s}}}}]"
    );
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!((&delivery["status"], delivery["attempts"].as_array().map(Vec::len)), (&json!("failed"), Some(1)));
    service.stop().await;
}

#[tokio::test]
async fn a_callout_to_a_refused_address_fails_with_the_reason() {
    let receiver = Receiver::start().await;
    let yaml = format!(
        "{CLOSED}chains: [{{name: all, plugins: [{{critical: true, name: calloutPlugin, options: {{endpoint: RECEIVER/check}}}}]}}]"
    );
    let service = Service::start(&receiver.fill(&yaml)).await;
    let answer = service.api.post("/v1/orders", &json!({"id": "A-1"})).await;
    let problem = answer.problem(502);
    assert!(text(&problem, "detail").contains("the egress guard refuses 127.0.0.1"), "{problem:#}");
    let order = service.api.order_detail("A-1").await;
    assert_eq!((&order["status"], &order["steps"][0]["code"]), (&json!("rejected"), &json!(-8)));
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn the_address_decides_however_it_is_spelled() {
    let receiver = Receiver::start().await;
    let port = receiver.url("/").trim_end_matches('/').rsplit(':').next().expect("a port").to_owned();
    let hosts = [
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "[2001::1]",
        "[fd00:ec2::254]",
        "metadata.google.internal",
    ];
    let mut yaml = CLOSED.to_owned() + "channels:\n";
    for (number, host) in hosts.iter().enumerate() {
        yaml.push_str(&format!("  - {{name: c-{number}, url: 'http://{host}:{port}/x'}}\n"));
    }
    // A host that the order fills in is no different.
    yaml.push_str(&format!("  - {{name: filled, url: 'http://{{{{ order.host }}}}:{port}/x'}}\n"));
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1", "host": "127.0.0.1"})).await;
    let channels = (0..hosts.len()).map(|number| (format!("c-{number}"), hosts[number]));
    for (channel, host) in channels.chain([("filled".to_owned(), "filled in")]) {
        let delivery = service.at_rest(&delivery_to(&order, &channel)).await;
        assert_eq!(delivery["attempts"][0]["code"], -8, "{host}: {}", delivery["attempts"][0]["error"]);
    }
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

/// A channel and a callout whose hosts come from the order.
const FILLED: &str = "
chains:
  - name: checks
    when: order.check
    plugins: [{name: calloutPlugin, critical: true, options: {endpoint: 'http://{{ order.host }}:PORT/step'}}]
channels:
  - {name: host, url: 'http://{{ order.host }}:PORT/host'}
  - {name: base, syntax: merge_fields, url: '<order.base>/base'}
";

#[tokio::test]
async fn a_host_that_is_filled_in_is_reached_only_where_egress_allow_covers_it() {
    let receiver = Receiver::start().await;
    let port = receiver.url("").rsplit(':').next().expect("a port").trim_end_matches('/').to_owned();
    for (allow, host, code) in [
        ("[127.0.0.0/8]", "127.0.0.1", 200),
        ("[127.0.0.0/8, '::1']", "localhost", 200),
        ("[localhost]", "localhost", 200),
        ("[localhost]", "127.0.0.1", -8),
        ("['*.localhost']", "localhost", -8),
        // Public, and yet nobody has named it.
        ("[127.0.0.0/8]", "93.184.215.14", -8),
        ("[example.com]", "93.184.215.14", -8),
        ("[]", "93.184.215.14", -8),
    ] {
        let before = receiver.count();
        let service = Service::start(&format!("egress: {{allow: {allow}}}{}", FILLED.replace("PORT", &port))).await;
        let mut order = json!({"id": "A-1", "host": host, "order": {"base": format!("http://{host}:{port}")}});
        // The second time there is a connection.
        for _ in 0..2 {
            let accepted = service.api.order(&order).await;
            for channel in ["host", "base"] {
                let delivery = service.at_rest(&delivery_to(&accepted, channel)).await;
                assert_eq!(delivery["attempts"][0]["code"], code, "{channel}: {host} by {allow}: {delivery:#}");
            }
        }
        order["check"] = true.into();
        let answer = service.api.post("/v1/orders", &order).await;
        if code == 200 {
            answer.expect(201);
        } else {
            let problem = answer.problem(502);
            assert!(text(&problem, "detail").contains("is not covered by egress.allow"), "{allow} {host}: {problem}");
            assert_eq!(receiver.count(), before);
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn check_says_where_hosts_are_filled_in() {
    for (egress, said) in
        [("", "to no host: egress.allow is empty"), ("egress: {allow: [a.example]}", "to hosts in egress.allow")]
    {
        let home = Home::new();
        std::fs::write(home.path("shop.yaml"), format!("{egress}{}", FILLED.replace("PORT", "80"))).expect("a file");
        let output = run(binary().arg("check").arg("--config").arg(home.path("shop.yaml")));
        let shown = String::from_utf8(output.stdout).expect("text");
        assert_eq!(shown.matches(said).count(), 3, "{shown}");
    }
}

#[tokio::test]
async fn what_is_allowed_is_reached_and_deny_wins() {
    let receiver = Receiver::start().await;
    for (allow, deny, code) in [
        ("[127.0.0.1]", "[]", 200),
        ("[127.0.0.0/8]", "[]", 200),
        ("[127.0.0.0/8]", "[127.0.0.1/32]", -8),
        ("[10.0.0.0/8, '::1']", "[]", -8),
    ] {
        let yaml = format!("egress: {{allow: {allow}, deny: {deny}}}\nchannels: [{{name: erp, url: RECEIVER/erp}}]");
        let service = Service::start(&receiver.fill(&yaml)).await;
        let order = service.api.order(&json!({"id": "A-1"})).await;
        let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
        assert_eq!(delivery["attempts"][0]["code"], code, "allow {allow}, deny {deny}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_name_can_be_allowed_or_denied() {
    let receiver = Receiver::start().await;
    for (egress, code) in [
        ("{allow: [localhost]}", 200),
        ("{allow: [localhost], deny: [LocalHost.]}", -8),
        ("{allow: [localhost], deny: [127.0.0.0/8, '::1']}", -8),
        ("{allow: [other.test]}", -8),
    ] {
        let yaml = format!("egress: {egress}\nchannels: [{{name: erp, url: RECEIVER/erp}}]");
        let service = Service::start(&receiver.fill(&yaml).replace("127.0.0.1:", "localhost:")).await;
        let order = service.api.order(&json!({"id": "A-1"})).await;
        let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
        assert_eq!(delivery["attempts"][0]["code"], code, "{egress}: {}", delivery["attempts"][0]["error"]);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_redirect_to_a_refused_address_leads_nowhere() {
    let (receiver, inner) = (Receiver::start().await, Receiver::start().await);
    receiver.answer([Reply::status(307).with_header("Location", &inner.url("/secret"))]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    assert_eq!(service.api.settled(&delivery_to(&order, "erp")).await["attempts"][0]["code"], 307);
    assert_eq!(inner.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_mail_server_is_refused_like_any_receiver() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for host in ["127.0.0.1", "localhost"] {
        let yaml = format!(
            "{CLOSED}smtp: {{url: 'smtp://{host}:{port}', from: a@shop.example}}\nchannels: [{{name: mail, kind: email, email: {{to: b@shop.example, subject: s, body: b}}}}]"
        );
        let service = Service::start(&yaml).await;
        let order = service.api.order(&json!({"id": "A-1"})).await;
        let delivery = service.api.settled(&delivery_to(&order, "mail")).await;
        let attempt = &delivery["attempts"][0];
        assert_eq!((&delivery["status"], &attempt["code"]), (&json!("failed"), &json!(-8)), "{delivery:#}");
        assert!(text(attempt, "error").contains("127.0.0.1"), "{attempt:#}");
        service.stop().await;
    }
}

#[test]
fn wrong_settings_are_told_with_their_place() {
    let load = |yaml: &str| orderhook::config::load_text("test.yaml", yaml, &orderhook::config::Environment::new());
    for (yaml, message) in [
        ("egress: {allow: [10.0.0.0/33]}", "egress.allow[0]: found \"10.0.0.0/33\", allowed: a range of addresses"),
        ("egress: {deny: ['http://a.example']}", "egress.deny[0]: found"),
        ("egress: {allow: 10.0.0.0/33}", "egress.allow[0]: found \"10.0.0.0/33\", allowed: a range of addresses"),
        ("egress: {alow: []}", "egress.alow: unknown key; allowed: allow, deny, proxy"),
        ("egress: {proxy: 'ftp://p.example'}", "egress.proxy: found \"ftp://p.example\", allowed: a URL of http://"),
        ("egress: {proxy: 'http://me:hunter2@p.example'}", "credentials belong in proxy_username and proxy_password"),
        ("egress: {proxy: 'http://p.example/path'}", "it must be a scheme, a host and a port"),
        ("egress: {proxy: 'http://p.example', proxy_username: me}", "also needs proxy_password"),
        ("egress: {proxy: 'http://p.example', proxy_password: hunter2}", "also needs proxy_username"),
        ("egress: {proxy_username: me, proxy_password: hunter2}", "also needs proxy"),
        ("channels: [{name: a, url: 'http://a', headers: {HOST: b}}]", "the service sets this header itself"),
    ] {
        let faults = load(yaml).expect_err(yaml).to_string();
        assert!(faults.contains(message), "{yaml}: {faults}");
        assert!(!faults.contains("hunter2"), "{faults}");
    }
}
