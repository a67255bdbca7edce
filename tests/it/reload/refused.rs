//! What a reload refuses, and who may ask for one.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{RELOAD, SecretFile, delivered, named};
use crate::harness::{Process, Service, delivery_to, eventually, field, text};
use crate::receiver::Receiver;

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_every_error_and_the_one_before_stays() {
    let receiver = Receiver::start().await;
    let good = receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]");
    let mut service = Service::start(&good).await;
    service.configure(&receiver.fill(
        "
server: {max_body: 0, listn: x}
channels:
  - {name: erp, url: RECEIVER/new, concurrency: 0, auth: {type: basic, username: me, password_file: /nowhere/at-all}}
  - {name: crm, url: RECEIVER/crm, retry: {interval: 30}, signing: {secrets: [hush-hush]}}
",
    ));
    let problem = service.api.post(RELOAD, &Value::Null).await.problem(422);
    assert_eq!(problem["type"], "/problems/wrong-configuration");
    let errors = problem["errors"].as_array().expect("errors");
    let at = |path: &str| {
        let found = errors.iter().find(|error| error["path"] == path);
        text(found.unwrap_or_else(|| panic!("{path} is not in {problem:#}")), "message").to_owned()
    };
    assert!(at("server.listn").contains("did you mean listen?"));
    assert!(at("server.max_body").starts_with("found 0, allowed: a size from 1"));
    assert!(at("channels[0].concurrency").starts_with("found 0, allowed: a whole number"));
    assert!(at("channels[0].auth.password_file").contains("cannot be read"));
    assert!(at("channels[1].retry.interval").contains("a number needs a unit"));
    assert!(at("channels[1].signing.secrets[0]").starts_with("found ***"));
    assert!(errors.iter().all(|error| text(error, "file").ends_with("test.yaml")), "{problem:#}");
    assert!(!problem.to_string().contains("hush-hush"), "{problem}");
    assert_eq!(delivered(&service, &receiver, "erp", "A-1").await.path(), "/erp");
    // A file that is no YAML, and one that is not there.
    service.configure("channels: [");
    assert_eq!(service.api.post(RELOAD, &Value::Null).await.problem(422)["errors"].as_array().map(Vec::len), Some(1));
    std::fs::remove_file(service.home.path("test.yaml")).expect("removed");
    let problem = service.api.post(RELOAD, &Value::Null).await.problem(422);
    assert!(text(&problem, "detail").contains("test.yaml: cannot be read"), "{problem}");
    assert_eq!(delivered(&service, &receiver, "erp", "A-2").await.path(), "/erp");
    assert_eq!(service.reload(&good).await["channels"], named(&[], &[], &[]));
    service.stop().await;
}

#[tokio::test]
async fn keys_that_only_a_start_takes_up_are_refused_by_name() {
    let receiver = Receiver::start().await;
    let mut service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    service.configure(
        "server: {listen: '127.0.0.1:1', max_body: 1}\nstore: {url: 'sqlite:///nowhere/b.db', max_size: 1GiB, retention: 1d}",
    );
    let problem = service.api.post(RELOAD, &Value::Null).await.problem(422);
    let errors = problem["errors"].as_array().expect("errors");
    let paths: Vec<_> = errors.iter().map(|error| text(error, "path")).collect();
    assert_eq!(paths, ["server.listen", "store.url", "store.max_size"]);
    assert!(errors.iter().all(|error| text(error, "message").contains("needs a restart")), "{problem:#}");
    // Nothing else of it has taken over.
    delivered(&service, &receiver, "erp", "A-1").await;
    service.stop().await;
}

const TOKENS: &str = "server: {tokens: [{name: operator, token: manage-token-0123456789, scopes: [manage]}]}\n";

#[tokio::test]
async fn a_reload_that_removes_the_last_token_or_most_channels_needs_force() {
    let channels = |names: &[&str]| {
        let list: Vec<_> = names.iter().map(|name| format!("{{name: {name}, url: 'http://127.0.0.1:9/'}}")).collect();
        format!("channels: [{}]", list.join(", "))
    };
    let mut service = Service::start(&format!("{TOKENS}{}", channels(&["a", "b", "c"]))).await;
    let api = service.api.with_token("manage-token-0123456789");
    service.configure(&channels(&["c"]));
    for body in [Value::Null, json!({}), json!({"force": false})] {
        let problem = api.post(RELOAD, &body).await.problem(422);
        assert_eq!(problem["type"], "/problems/wrong-configuration");
        let errors = problem["errors"].as_array().expect("errors");
        let told: Vec<_> = errors.iter().map(|error| (text(error, "path"), text(error, "message"))).collect();
        assert_eq!(told.iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["server.tokens", "channels"]);
        assert!(told[1].1.contains("would remove 2 of 3 channels (a, b)"), "{problem}");
        assert!(told.iter().all(|(_, message)| message.contains(r#"{"force": true}"#)), "{problem}");
    }
    service.api.get("/v1/channels").await.problem(401);
    // Half of the channels may go.
    service.configure(&format!("{TOKENS}{}", channels(&["a", "c", "d"])));
    assert_eq!(api.post(RELOAD, &Value::Null).await.expect(200)["channels"], named(&["d"], &[], &["b"]));
    service.configure(&channels(&["d"]));
    assert_eq!(api.post(RELOAD, &json!({"force": true})).await.expect(200)["channels"], named(&[], &[], &["a", "c"]));
    service.api.get("/v1/channels").await.expect(200);
    service.stop().await;
}

#[tokio::test]
async fn sighup_does_not_remove_the_last_token() {
    let process = Process::start(TOKENS).await;
    process.home.configure("server: {max_depth: 99}");
    process.signal(Signal::HUP);
    let line = eventually("the refusal in the log", || {
        let line = process.log.find("configuration not reloaded, the current one stays in use");
        async move { line }
    })
    .await;
    let errors = field(&line, "errors").and_then(Value::as_str).expect("errors");
    assert!(errors.contains("would remove the last token"), "{line}");
    process.api.get("/v1/orders").await.problem(401);
    process.stop().await;
}

#[tokio::test]
async fn a_file_that_is_written_just_now_is_read_once_it_is_complete() {
    let receiver = Receiver::start().await;
    let mut service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/one}]")).await;
    let whole = receiver.fill("channels: [{name: erp, url: RECEIVER/two}, {name: crm, url: RECEIVER/crm}]");
    // As an editor does: empty first, then half of it, then all.
    service.configure(&whole);
    let path = service.home.path("test.yaml");
    std::fs::write(&path, "").expect("truncated");
    let api = service.api.clone();
    let reload = tokio::spawn(async move { api.post(RELOAD, &Value::Null).await.expect(200) });
    for part in [&whole[..whole.len() / 2], &whole] {
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        std::fs::write(&path, part).expect("written");
    }
    assert_eq!(reload.await.expect("an answer")["channels"], named(&["crm"], &["erp"], &[]));
    service.stop().await;
}

#[tokio::test]
async fn sighup_reloads_the_running_binary_and_the_log_says_what_came_of_it() {
    let receiver = Receiver::start().await;
    let secret = SecretFile::new("first");
    let one = secret.fill(&receiver.fill("channels: [{name: erp, url: RECEIVER/one, auth: {type: bearer, token_file: SECRET}}, {name: old, url: RECEIVER/old}]"));
    let two = secret.fill(&receiver.fill("channels: [{name: erp, url: RECEIVER/two, auth: {type: bearer, token_file: SECRET}}, {name: crm, url: RECEIVER/crm}]"));
    let process = Process::start(&one).await;
    let told = async |message: &str| {
        eventually(message, || {
            let line = process.log.find(message);
            async move { line }
        })
        .await
    };
    process.home.configure(&two);
    secret.rotate("second");
    process.signal(Signal::HUP);
    let line = told("configuration reloaded").await;
    for (name, value) in [
        ("level", "INFO"),
        ("by", "SIGHUP"),
        ("channels_added", "crm"),
        ("channels_changed", "erp"),
        ("channels_removed", "old"),
    ] {
        assert_eq!(field(&line, name), Some(&Value::from(value)), "{name} in {line}");
    }
    let order = process.api.order(&json!({"id": 1})).await;
    process.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!(receiver.requests_on("/two")[0].header("authorization"), Some("Bearer second"));
    process.home.configure("channels: [{name: erp, url: nowhere}, {name: Erp, url: 'http://a', auth: {type: bearer, token: hush-hush, x: 1}}]");
    process.signal(Signal::HUP);
    let line = told("configuration not reloaded, the current one stays in use").await;
    let errors = field(&line, "errors").and_then(Value::as_str).expect("errors");
    for path in ["channels[0].url", "channels[1].name", "channels[1].auth.x"] {
        assert!(errors.contains(path), "{path} is not in {errors}");
    }
    assert_eq!(field(&line, "level"), Some(&Value::from("ERROR")));
    assert!(!process.log.to_string().contains("hush-hush"));
    let order = process.api.order(&json!({"id": 2})).await;
    process.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!(receiver.count_on("/two"), 2);
    process.home.configure(&two);
    process.signal(Signal::HUP);
    told("configuration reloaded, no changes").await;
    process.stop().await;
}

#[tokio::test]
async fn reloads_at_once_take_their_turns() {
    let receiver = Receiver::start().await;
    let yaml = |path: &str| receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/{path}}}]"));
    let mut service = Service::start(&yaml("one")).await;
    service.configure(&yaml("two"));
    let reloads = (0..8).map(|_| async { service.api.post(RELOAD, &Value::Null).await.expect(200) });
    let told = futures_util::future::join_all(reloads).await;
    let changed = told.iter().filter(|told| told["channels"] == named(&[], &["erp"], &[])).count();
    assert_eq!(changed, 1, "the others found nothing to do: {told:?}");
    delivered(&service, &receiver, "erp", "A-1").await;
    assert_eq!(receiver.count_on("/two"), 1);
    service.stop().await;
}

#[tokio::test]
async fn nesting_without_end_in_any_syntax_of_a_configuration_is_refused_and_the_service_goes_on() {
    let receiver = Receiver::start().await;
    let good = receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]");
    let process = Process::start(&good).await;
    let quoted = |value: &str| serde_json::Value::from(value).to_string();
    let channel = |keys: &str| format!("channels: [{{name: erp, url: 'http://127.0.0.1/', {keys}}}]");
    let mut wrong = Vec::new();
    let expressions = [
        "not ".repeat(8000) + "order.paid",
        "(".repeat(20_000),
        "(".repeat(20_000) + "1" + &*")".repeat(20_000),
        "-".repeat(30_000) + "1",
        "[".repeat(20_000),
        "{1:".repeat(20_000),
        "order".to_owned() + &*".a".repeat(20_000),
        "1 if 1 else ".repeat(20_000) + "1",
    ];
    for expression in &expressions {
        wrong.push(channel(&format!("when: {}", quoted(expression))));
        wrong.push(channel(&format!("headers: {{X-A: {}}}", quoted(&format!("{{{{ {expression} }}}}")))));
        wrong.push(format!("chains: [{{name: all, when: {}, plugins: []}}]", quoted(expression)));
        let step = "critical: true, name: calloutPlugin, id: a, options: {endpoint: 'http://127.0.0.1/'}";
        wrong.push(format!("chains: [{{name: all, plugins: [{{when: {}, {step}}}]}}]", quoted(expression)));
    }
    for template in ["{% if order %}".repeat(20_000), "{% for a in order %}".repeat(20_000), "{{".repeat(20_000)] {
        wrong.push(channel(&format!("body: {}", quoted(&template))));
    }
    for filter in
        ["A(".repeat(20_000), "A(B=".repeat(20_000), "a.".repeat(20_000) + "b=1", "a(*).".repeat(20_000) + "b=1"]
    {
        wrong.push(channel(&format!("granularity: ORDER, filter: {}", quoted(&filter))));
    }
    for cron in ["(".repeat(20_000), "*/".repeat(20_000), "1-".repeat(20_000) + "1 * * * *"] {
        wrong.push(channel(&format!("schedule: {{cron: {}}}", quoted(&cron))));
    }
    for (syntax, url) in [("merge_fields", "<A.".repeat(20_000)), ("placeholder", "${".repeat(20_000))] {
        wrong.push(channel(&format!("syntax: {syntax}, body: {}", quoted(&url))));
    }
    let json = ["[".repeat(30_000), "{\"a\":".repeat(30_000)];
    let xml = ["<a>".repeat(30_000)];
    for (format, body) in json.map(|body| ("json", body)).into_iter().chain(xml.map(|body| ("xml", body))) {
        wrong.push(channel(&format!("format: {format}, body: {}", quoted(&body))));
    }
    for yaml in ["[", "{a: ", "- ", "? ", "a: &a [", "!!seq ["] {
        wrong.push(yaml.repeat(30_000));
    }
    wrong.push((0..5000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect());
    for yaml in wrong {
        process.home.configure(&yaml);
        let start: String = yaml.chars().take(120).collect();
        let answer = process.api.post(RELOAD, &json!({"force": true})).await;
        assert_eq!(answer.status, 422, "{start}: {answer}");
    }
    process.home.configure(&good);
    process.api.post(RELOAD, &Value::Null).await.expect(200);
    let order = process.api.order(&json!({"id": "A-1"})).await;
    assert_eq!(process.api.settled(&delivery_to(&order, "erp")).await["status"], "accepted");
    process.stop().await;
}
