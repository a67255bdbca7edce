//! Configuration, from outside: what loads, what it comes to, and what is said about what does not.

mod any_input;
mod credentials;
mod layers;
mod wrong;

use std::path::PathBuf;
use std::time::Duration;

use orderhook::config::settings::{Auth, Channel, Parameter, PluginOptions, Scope, Timeout};
use orderhook::config::{self, Environment, Faults, Settings};
use orderhook::domain::{Backoff, Class, Code, Outcome};
use secrecy::ExposeSecret;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(yaml: &str) -> Result<Settings, Faults> {
    config::load_text("shop.yaml", yaml, &Environment::new())
}

#[track_caller]
fn loaded(yaml: &str) -> Settings {
    load(yaml).unwrap_or_else(|faults| panic!("{faults}"))
}

#[track_caller]
fn faults(yaml: &str) -> String {
    load(yaml).expect_err("a wrong configuration").to_string()
}

/// A channel of these keys beside its name and URL.
#[track_caller]
fn channel(keys: &str) -> Channel {
    let settings = loaded(&format!("channels: [{{name: a, url: 'https://example.com', {keys}}}]"));
    settings.channels[0].as_ref().clone()
}

#[test]
fn the_callout_block_of_the_first_seed_is_pasted_in_unchanged() {
    let block = r#"{
"critical": true,
"name": "calloutPlugin",
"options": {
"endpoint": "https://example.com/endpoint", "timeoutValue": 2000, "shouldRejectOn": { "status": [404] }
}
}"#;
    for yaml in [
        format!("chains: [{{name: all, plugins: [{block}]}}]"),
        format!("chains:\n  - name: all\n    plugins:\n      - {}", block.replace('\n', "\n        ")),
    ] {
        let settings = loaded(&yaml);
        let step = &settings.chains[0].plugins[0];
        assert!(step.critical);
        assert_eq!((step.plugin.as_str(), step.id.as_str()), ("calloutPlugin", "calloutPlugin-1"));
        let PluginOptions::Callout(options) = &step.options;
        assert_eq!(options.endpoint.as_static(), Some("https://example.com/endpoint"));
        assert_eq!(options.timeout, Duration::from_secs(2));
        assert_eq!(options.reject_on, [Class::Status(404)]);
    }
}

#[test]
fn without_any_file_the_defaults_hold() {
    let settings = config::load(&[], &Environment::new()).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.server.public_url, "http://localhost:8080");
    assert_eq!((settings.server.max_body, settings.server.max_depth), (1 << 20, 128));
    assert_eq!(settings.server.request_timeout, Duration::from_secs(60));
    assert_eq!(settings.server.header_timeout, Duration::from_secs(10));
    assert_eq!(settings.server.body_timeout, Duration::from_secs(30));
    assert_eq!(settings.server.shutdown_grace, Duration::from_secs(30));
    assert_eq!(settings.server.max_connections, 10_000);
    assert_eq!(settings.store.url, "sqlite://orderhook.db");
    assert_eq!(settings.store.retention, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(settings.store.max_size, None);
    assert_eq!(settings.delivery.workers, 512);
    assert_eq!(settings.delivery.lane_memory, 4 << 20);
    assert_eq!(settings.delivery.chain_concurrency, 1024);
    assert_eq!(settings.orders.id, "/id");
    assert_eq!(settings.orders.kind, "/type");
    assert_eq!(settings.orders.customer_email, "/customer/email");
    assert!(settings.server.tokens.is_empty() && settings.chains.is_empty() && settings.channels.is_empty());
}

#[test]
fn a_channel_of_a_name_and_a_url_is_the_standard_preset() {
    let channel = channel("");
    assert_eq!((&*channel.name, channel.preset.as_str(), channel.enabled), ("a", "standard", true));
    assert_eq!(channel.events[0].as_str(), "order.completed");
    assert_eq!(channel.method.as_str(), "POST");
    assert_eq!(channel.timeout, Timeout::Total(Duration::from_secs(15)));
    assert_eq!((channel.max_response, channel.concurrency), (60_000, 32));
    assert!(matches!(channel.auth, Auth::None));
    assert_eq!(channel.retry.attempts(), 8);
    assert!((channel.retry.jitter() - 0.1).abs() < f64::EPSILON && channel.retry.respects_retry_after());
    let waits = [5, 300, 1800, 7200, 18_000, 36_000, 36_000].map(Duration::from_secs).to_vec();
    assert_eq!(channel.retry.backoff(), &Backoff::Schedule(waits));
    for (code, outcome) in [
        (Code::status(200), Outcome::Accepted),
        (Code::status(204), Outcome::Accepted),
        (Code::status(301), Outcome::Failed),
        (Code::status(400), Outcome::Failed),
        (Code::status(410), Outcome::Disable),
        (Code::status(429), Outcome::Retry),
        (Code::status(503), Outcome::Retry),
        (Code::TIMEOUT, Outcome::Retry),
        (Code::NO_CONNECTION, Outcome::Retry),
        (Code::NOT_BUILT, Outcome::Failed),
    ] {
        assert_eq!(channel.outcomes.decide(code, false), outcome, "{code}");
    }
}

#[test]
fn the_example_loads_and_reads_as_it_is_meant() {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/example.yaml"));
    let secrets = environment(&[
        ("SHOP_TOKEN", "s1"),
        ("SUPPORT_TOKEN", "s2"),
        ("BILLING_TOKEN", "b"),
        ("ERP_PASSWORD", "p"),
        ("CRM_KEY", "k"),
    ]);
    let settings = config::load(&[file], &secrets).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(settings.server.tokens[1].scopes, [Scope::Manage]);
    assert_eq!(settings.server.tokens[1].token.expose_secret(), "s2");
    assert_eq!(settings.server.public_url, "http://localhost:8080");
    let chain = &settings.chains[0];
    let ids: Vec<_> = chain.plugins.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["calloutPlugin-1", "billing"]);
    let PluginOptions::Callout(billing) = &chain.plugins[1].options;
    assert_eq!(billing.reject_on, [Class::Family(4), Class::Family(5)]);
    assert_eq!(billing.capture, [("accountId".to_owned(), "/account/id".to_owned())]);
    assert!(matches!(&billing.auth, Auth::Bearer { token } if token.expose_secret() == "b"));
    let [erp, crm] = &settings.channels[..] else { panic!("two channels") };
    assert!(matches!(&erp.auth, Auth::Basic { username, preemptive: true, .. } if username == "orderhook"));
    let names: Vec<_> = crm.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["orderNumber", "account", "source", "test"]);
    assert!(matches!(&crm.parameters[3].1, Parameter::Literal(value) if *value == serde_json::json!(false)));
    assert_eq!(crm.retry.backoff(), &Backoff::Interval(Duration::from_secs(600)));
    insta::assert_snapshot!(config::summary(&settings, Some(110)));
}

#[test]
fn every_preset_loads_and_holds_keys_of_a_channel_alone() {
    for name in config::preset_names() {
        let keys = config::preset(name).unwrap();
        let indented: String = keys.lines().map(|line| format!("    {line}\n")).collect();
        let smtp = "smtp: {url: 'smtp://localhost', from: a@shop.example}\n";
        let (smtp, needs) = match name {
            "email" => (smtp, "email: {to: b@shop.example, subject: c, body: d}"),
            _ => ("", "url: https://example.com"),
        };
        let explicit = loaded(&format!("{smtp}channels:\n  - name: a\n    {needs}\n{indented}"));
        let implicit = loaded(&format!("{smtp}channels: [{{name: a, {needs}, preset: {name}}}]"));
        assert_eq!(explicit.channels[0].outcomes, implicit.channels[0].outcomes);
        assert_eq!(explicit.channels[0].retry, implicit.channels[0].retry);
    }
    assert_eq!(config::preset("zoura"), None);
}

#[test]
fn later_files_win_key_by_key_and_named_lists_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, yaml: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, yaml).unwrap();
        path
    };
    let first = write(
        "a.yaml",
        "server: {max_body: 2MiB, max_depth: 50}\nchannels: [{name: a, url: 'http://a'}, {name: b, url: 'http://b'}]\nstore:",
    );
    let second = write("b.json", r#"{"server": {"max_depth": 60}, "channels": [{"name": "c", "url": "http://c"}]}"#);
    let settings = config::load(&[first.clone(), second.clone()], &Environment::new()).unwrap();
    assert_eq!((settings.server.max_body, settings.server.max_depth), (2 << 20, 60));
    assert_eq!(settings.channels.iter().map(|channel| &*channel.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(settings.store.url, "sqlite://orderhook.db");
    let variables = environment(&[("ORDERHOOK__SERVER__MAX_DEPTH", "70"), ("ORDERHOOK_SERVER", "no key")]);
    assert_eq!(config::load(&[first, second], &variables).unwrap().server.max_depth, 70);
}

#[test]
fn the_environment_sets_keys_by_the_type_of_each() {
    let variables = environment(&[
        ("ORDERHOOK__SERVER__LISTEN", "127.0.0.1:9"),
        ("ORDERHOOK__SERVER__MAX_BODY", "600KB"),
        ("ORDERHOOK__SERVER__PUBLIC_URL", "https://${HOST}/base/"),
        ("HOST", "shop.example"),
        ("ORDERHOOK__SERVER__SHUTDOWN_GRACE", "0"),
        ("ORDERHOOK__STORE__MAX_SIZE", "null"),
        ("ORDERHOOK__DELIVERY__WORKERS", "7"),
        ("ORDERHOOK__DELIVERY__LANE_MEMORY", "4096"),
    ]);
    let settings = config::load_text("a.yaml", "store: {max_size: 1GiB}", &variables).unwrap();
    assert_eq!(settings.server.listen.port(), 9);
    assert_eq!(settings.server.max_body, 600_000);
    assert_eq!(settings.server.public_url, "https://shop.example/base");
    assert_eq!(settings.server.shutdown_grace, Duration::ZERO);
    assert_eq!(settings.store.max_size, None);
    assert_eq!((settings.delivery.workers, settings.delivery.lane_memory), (7, 4096));
}

#[test]
fn what_is_wrong_in_the_environment_names_the_variable() {
    let variables = environment(&[
        ("ORDERHOOK__SERVER__LISTN", "x"),
        ("ORDERHOOK__SERVER", "x"),
        ("ORDERHOOK__DELIVERY__WORKERS", "many"),
        ("ORDERHOOK__CHANNELS__0__URL", "http://x"),
        ("ORDERHOOK__SERVER__TOKENS", "x"),
        ("ORDERHOOK__STORE__URL__X", "x"),
        ("ORDERHOOK__STORE__RETENTION", "30"),
        ("ORDERHOOK__STOER__URL", "x"),
    ]);
    insta::assert_snapshot!(config::load(&[], &variables).unwrap_err());
}

#[test]
fn names_in_text_are_filled_in_after_the_file_is_read() {
    let variables = environment(&[
        ("KEY", "a\"], b: {x: ${OTHER}"),
        ("WORKERS", "9"),
        ("ON", "false"),
        ("JITTER", "0.5"),
        ("WAIT", "7s"),
    ]);
    let yaml = r#"
delivery: {workers: "${WORKERS}", chain_concurrency: "${NONE:-3}"}
channels:
  - name: a
    enabled: ${ON}
    url: https://example.com/${orderId}/{{ order.id }}
    auth: {type: basic, username: u, password: "${KEY}"}
    headers: {X-Mode: "${MODE:-plain} text"}
    retry: {jitter: "${JITTER}", interval: "${WAIT}"}
"#;
    let settings = config::load_text("a.yaml", yaml, &variables).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((settings.delivery.workers, settings.delivery.chain_concurrency), (9, 3));
    let channel = &settings.channels[0];
    assert!(!channel.enabled);
    assert_eq!(channel.url.source(), "https://example.com/${orderId}/{{ order.id }}");
    assert!(matches!(&channel.auth, Auth::Basic { password, .. } if password.expose_secret() == variables["KEY"]));
    assert_eq!(channel.headers[0].1.source(), "plain text");
    assert!((channel.retry.jitter() - 0.5).abs() < f64::EPSILON);
    assert_eq!(channel.retry.backoff(), &Backoff::Interval(Duration::from_secs(7)));
}

#[test]
fn a_secret_comes_from_a_file_beside_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "s3cret\r\n").unwrap();
    let file = path.display();
    let settings = loaded(&format!(
        "server: {{tokens: [{{name: a, token_file: '{file}', scopes: [read, ingest]}}]}}
channels:
  - {{name: a, url: 'http://a', auth: {{type: basic, username: u, password_file: '{file}'}}}}
  - {{name: b, url: 'http://b', auth: {{type: bearer, token_file: '{file}'}}}}
  - {{name: c, url: 'http://c', auth: {{type: header, name: X-Key, value_file: '{file}'}}}}"
    ));
    assert_eq!(settings.server.tokens[0].token.expose_secret(), "s3cret");
    for channel in &settings.channels {
        let secret = match &channel.auth {
            Auth::Basic { password, preemptive, .. } if !preemptive => password,
            Auth::Bearer { token } => token,
            Auth::Header { name, value } if name == "X-Key" => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(secret.expose_secret(), "s3cret");
    }
}

#[test]
fn the_block_shown_is_as_configured_with_secrets_masked() {
    let yaml = r#"
channels:
  - name: a
    url: https://example.com/${PLACE}
    headers: {X-Shop: acme, X-Api-Key: visible-secret}
    parameters: {b: 1, a: "x", n: null}
    auth: {type: basic, username: u, password: "${PASSWORD}"}
    retry: {attempts: 2, interval: 1s}
"#;
    let variables = environment(&[("PLACE", "hidden-place"), ("PASSWORD", "hidden-password")]);
    let settings = config::load_text("a.yaml", yaml, &variables).unwrap();
    let shown = &settings.channels[0].shown;
    insta::assert_snapshot!(serde_json::to_string_pretty(shown).unwrap());
    let debug = format!("{:?}", settings.channels[0].auth);
    assert!(!debug.contains("hidden-password"), "{debug}");
}

#[test]
fn alternatives_and_null_work_over_the_preset() {
    assert_eq!(
        channel("timeout: {connect: 1s, transfer: 2s}").timeout,
        Timeout::Phases { connect: Duration::from_secs(1), transfer: Duration::from_secs(2) }
    );
    let interval = channel("retry: {interval: 30m, attempts: 3, respect_retry_after: false}");
    assert_eq!(interval.retry.backoff(), &Backoff::Interval(Duration::from_secs(1800)));
    assert_eq!(interval.retry.attempts(), 3);
    assert!(!interval.retry.respects_retry_after());
    assert!(channel("body: null, when: null, headers: null, auth: null").body.is_none());
    assert_eq!(channel("events: ['*', invoice.paid]").events.len(), 2);
    let text = faults("channels: [{name: a, url: 'http://a', method: null, retry: {schedule: null}}]");
    assert!(text.contains("channels[0].method: missing"), "{text}");
    assert!(text.contains("channels[0].retry: needs interval or schedule"), "{text}");
}

#[test]
fn keys_of_the_other_kind_of_store_are_refused() {
    for (store, path) in [
        ("{url: 'postgres://shop@db/orders', max_size: 1GiB}", "store.max_size"),
        ("{password: a-password}", "store.password"),
        ("{url: 'postgres://shop:one@db/orders', password: two}", "store.password"),
    ] {
        let loaded =
            orderhook::config::load_text("a.yaml", &format!("store: {store}"), &orderhook::config::Environment::new());
        let told = loaded.expect_err(store).to_string();
        assert!(told.contains(path) && told.contains("remove"), "{told}");
    }
}
