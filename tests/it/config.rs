//! Configuration, from outside: what loads, what it comes to, and what is said about what does not.

use std::time::Duration;

use orderhook::config::settings::{Auth, Channel, PluginOptions, Timeout};
use orderhook::config::{self, Environment, Faults, Settings};
use orderhook::domain::{Backoff, Class, Code, Outcome};

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
