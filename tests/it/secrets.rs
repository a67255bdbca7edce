//! Secrets come out nowhere but where they are sent to. Every kind of secret that a configuration has is marked; then
//! everything is run that can be, against a receiver that shows in its answers all that it was sent, and all that comes out of
//! the service is searched: its answers, its logs at their most talkative, what commands print, the mails, the files of
//! the store.

mod echo;
mod marks;
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orderhook::config::{self, Environment};
use orderhook::domain::Clock;
use orderhook::system::SystemClock;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::client::Api;
use crate::harness::{Home, Process, binary, run, text};
use marks::Marks;
use world::World;

/// The keys that are secret, by the reference: the title of their block, and their name.
fn secret_keys() -> BTreeSet<(String, String)> {
    let mut keys = BTreeSet::new();
    let mut title = "";
    for line in config::reference().lines().collect::<Vec<_>>() {
        title = line.strip_prefix("## ").unwrap_or(title);
        let mut cells = line.trim_start_matches("| ").split(" | ");
        if let (Some(names), Some("secret" | "list: secret")) = (cells.next(), cells.next()) {
            let name = names.split(',').next().expect("a name").trim_matches('`');
            keys.insert((title.to_owned(), name.to_owned()));
        }
    }
    keys
}

/// All that came out, with where it did.
struct Outputs(Vec<(String, Vec<u8>)>);

impl Outputs {
    fn add(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((what.into(), bytes.into()));
    }

    async fn ask(&mut self, api: &Api, method: &str, target: &str, body: &[u8]) -> Value {
        let answer = api.call(method, target, &[("Content-Type", "application/json")], body).await;
        let mut shown: Vec<u8> =
            answer.headers.iter().flat_map(|(name, value)| format!("{name}: {value}\n").into_bytes()).collect();
        shown.extend_from_slice(&answer.body);
        let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        self.add(format!("{method} {target}"), shown);
        value
    }

    /// The members `id` or `name` of all in a list.
    async fn names(&mut self, api: &Api, target: &str, member: &str) -> Vec<String> {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.ask(api, "GET", &format!("{target}?limit=250{cursor}"), b"").await;
            names.extend(page["data"].as_array().expect("data").iter().map(|entry| text(entry, member).to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names,
            }
        }
    }

    fn files(&mut self, home: &Home) {
        for entry in std::fs::read_dir(home.path("")).expect("the temporary directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                self.add(name, std::fs::read(&path).unwrap_or_default());
            }
        }
    }

    #[track_caller]
    fn search(&self, marks: &Marks) {
        let mut found = Vec::new();
        for (what, bytes) in &self.0 {
            found.extend(marks.found_in(bytes).into_iter().map(|found| format!("{what}: {found}")));
        }
        let count = found.len();
        found.truncate(40);
        assert!(found.is_empty(), "{count} secrets came out:\n{}", found.join("\n"));
    }
}

async fn post(outputs: &mut Outputs, world: &World, api: &Api, target: &str, body: &Value) -> Value {
    // Each request is signed with an id of its own: one is taken once.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let (at, body) = (SystemClock.now().as_secs(), body.to_string());
    let id = format!("msg_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let signature = Webhook::new(&world.signer).expect("a secret").sign(&id, at, body.as_bytes()).expect("signed");
    let at = at.to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("webhook-id", &id),
        ("webhook-timestamp", &at),
        ("webhook-signature", &signature),
    ];
    let answer = api.call("POST", target, &headers, body.as_bytes()).await;
    outputs.add(format!("POST {target}"), answer.body.clone());
    assert!(matches!(answer.status, 200..300 | 422), "{answer}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// A running service: orders through everything, then every question that can be asked.
async fn serve(outputs: &mut Outputs, world: &World, home: &Arc<Home>, yaml: &str, format: &str) {
    let process = Process::start_with(home, yaml, |command| {
        let mut other = binary();
        let arguments =
            command.get_args().map(|argument| if argument == "json" { format.into() } else { argument.to_owned() });
        other.args(arguments.collect::<Vec<_>>()).current_dir(home.path(""));
        *command = with_environment(other, world);
        command.env("ORDERHOOK_LOG", "trace");
    })
    .await;
    let api = process.api.with_token(&world.token);
    let order = json!({"id": "A-1", "host": "127.0.0.1", "port": "x", "product_id": "P", "customer": {"email": "ann@shop.example"}});
    let answer = post(outputs, world, &api, "/v1/orders", &order).await;
    if let Some(id) = answer["id"].as_str() {
        api.ended(id).await;
    }
    post(outputs, world, &api, "/v1/orders", &json!({"id": "A-2", "type": "bad"})).await;
    post(outputs, world, &api, "/v1/events", &json!({"type": "a.b", "data": {}})).await;
    api.all_settled().await;
    for (token, body) in [("wrong", "{}"), (world.token.as_str(), "{"), (world.token.as_str(), "{}")] {
        outputs.ask(&process.api.with_token(token), "POST", "/v1/orders", body.as_bytes()).await;
    }
    for target in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/", "/v1/nothing"] {
        outputs.ask(&api, "GET", target, b"").await;
    }
    for (list, member) in [("/v1/orders", "id"), ("/v1/deliveries", "id"), ("/v1/channels", "name")] {
        let names = outputs.names(&api, list, member).await;
        assert!(!names.is_empty(), "{list}");
        for name in names {
            let call = format!("{list}/{name}");
            outputs.ask(&api, "GET", &call, b"").await;
            outputs.ask(&api, "GET", &call.replacen("/v1", "/dashboard", 1), b"").await;
        }
    }
    for channel in &world.channels {
        for what in ["preview", "test"] {
            let target = format!("/v1/channels/{channel}/{what}");
            outputs.ask(&api, "POST", &target, order.to_string().as_bytes()).await;
        }
    }
    outputs.files(home);
    let log = process.log.clone();
    process.stop().await;
    outputs.add(format!("the log as {format}"), log.to_string());
    assert!(log.raw().len() > 1000, "the log is talkative: {} lines", log.raw().len());
    outputs.files(home);
}

fn with_environment(mut command: Command, world: &World) -> Command {
    command.envs(world.environment.iter().map(|(name, value)| (name, value)));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_no_secret_comes_out() {
    let mut world = World::new().await;
    // See `a_password_of_the_store_is_shown_nowhere`.
    world.covered.insert(("store".to_owned(), "password".to_owned()));
    assert_eq!(world.covered, secret_keys(), "every key that is secret has a marked value here");
    let mut outputs = Outputs(Vec::new());
    let direct = Arc::new(Home::new());
    serve(&mut outputs, &world, &direct, &world.yaml, "json").await;
    let proxied = Arc::new(Home::new());
    serve(&mut outputs, &world, &proxied, &format!("{}{}", world.proxied, world.yaml), "human").await;
    for mail in world.mail.wait_for(1).await {
        outputs.add("a mail", mail["raw"].to_string());
        outputs.add("a mail", mail["parts"].to_string());
    }
    let paths = direct.configure(&world.yaml);
    command_line(&mut outputs, &world, &direct, &paths);
    let proofs = world.echo.proofs();
    for name in ["authorization", "proxy-authorization", "accept key", "assertion", "client_assertion"] {
        assert!(proofs.iter().any(|(seen, _)| seen == name), "no {name} came");
    }
    for (name, proof) in proofs.into_iter().collect::<BTreeSet<_>>() {
        world.marks.seen(&name, &proof);
    }
    outputs.search(&world.marks);
}

fn command_line(outputs: &mut Outputs, world: &World, home: &Home, paths: &[PathBuf]) {
    let mut commands = vec![vec!["check"]];
    for channel in &world.channels {
        commands.push(vec!["preview", channel]);
    }
    for channel in ["basic-401", "bearer-500", "oauth-form", "keys-200", "unbuilt", "partner-202", "mailed"] {
        commands.push(vec!["test", channel]);
    }
    for arguments in commands {
        let mut command = with_environment(binary(), world);
        command.args(&arguments).current_dir(home.path(""));
        for path in paths {
            command.arg("--config").arg(path);
        }
        let output = tokio::task::block_in_place(|| run(&mut command));
        assert!(
            arguments[0] == "test" || output.status.success() || arguments[1].starts_with("unbuilt"),
            "{arguments:?}: {output:?}"
        );
        outputs.add(arguments.join(" "), [output.stdout, output.stderr].concat());
    }
}

#[tokio::test]
async fn settings_can_be_printed_without_their_secrets() {
    let world = World::new().await;
    let environment: Environment = world.environment.iter().cloned().collect();
    let yaml = format!("{}{}", world.proxied, world.yaml);
    let settings = config::load_text("all.yaml", &yaml, &environment).unwrap_or_else(|faults| panic!("{faults}"));
    let mut outputs = Outputs(Vec::new());
    outputs.add("Debug", format!("{settings:?}"));
    outputs.add("the summary", config::summary(&settings, None));
    let shown: Vec<_> = settings.channels.iter().map(|channel| channel.shown.to_string()).collect();
    outputs.add("what the API shows", shown.concat());
    outputs.search(&world.marks);
}

/// A channel with these keys.
fn channel(keys: &str) -> String {
    format!("channels: [{{name: a, url: 'https://a.example.com', {keys}}}]")
}

/// Configurations that are wrong; `M` stands for a secret. A `type` and the path of a file are shown: neither is one.
fn wrong() -> Vec<String> {
    let mut all: Vec<String> = [
        "server: {tokens: M}",
        "server: {tokens: [M]}",
        "server: {tokens: [{name: M, token: [M], scopes: [M]}]}",
        "server: {tokens: [{name: a, tokens: M, token: 'M M', scopes: M}]}",
        "server: {verify: M}",
        "server: {verify: {secrets: M}}",
        "server: {verify: {secrets: [M, whsec_M, whsk_M, [M], {a: M}]}}",
        "server: {public_url: 'http://M:M@a'}",
        "store: {url: 'mysql://me:M@db'}",
        "store: {url: 'postgres://me:M@db', password: M}",
        "store: {password: M}",
        "store: {url: 'postgres://me@db', password: [M]}",
        "store: {url: 'postgres://me:x/M@db'}",
        "smtp: M",
        "smtp: [M]",
        "smtp: {url: M, from: M, username: [M], password: [M], hello_name: 'M M', ca_file: M}",
        "smtp: {url: 'smtp://me:M@mail', from: 'M', password: M}",
        "oauth_providers: M",
        "oauth_providers: [M]",
        "oauth_providers: [{name: M, token_url: M, client_id: [M], client_secret: {a: M}, scope: [M], audience: [M]}]",
        "egress: {proxy: 'http://me:M@proxy:1'}",
        "egress: {proxy: 'http://me:M'}",
        "egress: {proxy_username: me, proxy_password: [M]}",
        "egress: {proxy: 'http://proxy:1', proxy_password: M}",
    ]
    .map(str::to_owned)
    .to_vec();
    let auths = [
        "M",
        "[M]",
        "{type: [M]}",
        "{type: basic, username: 'M:M', password: [M]}",
        "{type: basic, username: [M], password: {a: M}, preemptive: M}",
        "{type: bearer, token: [M]}",
        "{type: bearer, token: \"M\\nM\"}",
        "{type: bearer, tokn: M}",
        "{type: header, name: 'M M', value: [M]}",
        "{type: header, name: X, value: \"M\\n\"}",
        "{type: ntlm, username: 'M\\M', password: [M], domain: [M]}",
        "{type: oauth2, provider: M}",
        "{type: oauth2, token_url: M, client_id: [M], client_secret: [M]}",
        "{type: oauth2, token_url: 'https://u:M@id/', client_secret: M}",
        "{type: jwt_bearer, token_url: 'https://id', issuer: a, key: M}",
        "{type: jwt_bearer, token_url: 'https://id', issuer: a, key: [M], algorithm: M, use: M}",
        "{type: jwt_bearer, token_url: 'https://id', issuer: a, key: '-----BEGIN PRIVATE KEY----- M -----END PRIVATE KEY-----'}",
        "{type: bearer, token_file: [M]}",
        "{type: bearer, token: M, token_file: M}",
    ];
    all.extend(auths.map(|auth| channel(&format!("auth: {auth}"))));
    all.extend(auths.map(|auth| {
        format!("chains: [{{name: a, plugins: [{{name: calloutPlugin, options: {{endpoint: 'https://a', auth: {auth}}}}}]}}]")
    }));
    all.extend(
        [
            "signing: M",
            "signing: [M]",
            "signing: {secrets: M}",
            "signing: {secrets: [M, [M], whsec_M]}",
            "signing: {secret: M}",
            "headers: 'X-Key: M'",
            "headers: {X-Api-Key: [M]}",
            "headers: {X-Api-Key: \"M\\nM\"}",
            "headers: {Cookie: 'M {{'}",
            "url: 'https://u:M@a.example.com'",
            "url: 'https://u:x#M@a.example.com'",
            "url: 'ftp://a.example.com/?api_key=M'",
            "url: 'https://a.example.com/{{?api_key=M'",
            "url_rules: {max_length: 20}, url: 'https://a.example.com/a/b/c?token=M'",
            "tls: {client_key_file: \"-----BEGIN PRIVATE KEY-----\\nM\"}",
            "password: M",
            "token: M",
        ]
        .map(|keys| {
            if keys.contains("url: 'h") || keys.contains("url: 'f") {
                format!("channels: [{{name: a, {keys}}}]")
            } else {
                channel(keys)
            }
        }),
    );
    all
}

#[test]
fn what_is_wrong_is_told_without_the_secret_in_it() {
    let mut marks = Marks::default();
    let mark = marks.plain("a secret");
    let mut outputs = Outputs(Vec::new());
    for yaml in wrong() {
        let yaml = yaml.replace('M', &mark);
        let faults = config::load_text("wrong.yaml", &yaml, &Environment::new()).map(|_| yaml.clone());
        outputs.add(yaml, faults.expect_err("a wrong configuration").to_string());
    }
    outputs.search(&marks);
}

#[test]
fn a_password_of_the_store_is_shown_nowhere() {
    let mut marks = Marks::default();
    let mark = marks.plain("the password of the store");
    let mut outputs = Outputs(Vec::new());
    let home = Home::new();
    // Nobody listens there.
    for store in [
        format!("{{url: 'postgres://me:{mark}@127.0.0.1:1/orders', connect_timeout: 0s}}"),
        format!("{{url: 'postgres://me@127.0.0.1:1/orders?sslmode=never', password: {mark}, connect_timeout: 0s}}"),
    ] {
        let paths = home.configure(&format!("store: {store}\nserver: {{listen: '127.0.0.1:0'}}"));
        for command in ["check", "serve"] {
            let mut binary = binary();
            binary.arg(command);
            for path in &paths {
                binary.arg("--config").arg(path);
            }
            let output = run(&mut binary);
            outputs.add(format!("{command} with {store}"), [output.stdout, output.stderr].concat());
        }
    }
    outputs.search(&marks);
}
