//! The command line: what each command prints, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Home, Process, binary, run};

fn orderhook(home: &Home, arguments: &[&str]) -> Output {
    run(binary().args(arguments).current_dir(home.path("")))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `orderhook check` of a configuration.
fn check(yaml: &str) -> Output {
    let home = Home::new();
    std::fs::write(home.path("mine.yaml"), yaml).unwrap();
    orderhook(&home, &["check", "--config", "mine.yaml"])
}

#[test]
fn check_shows_what_a_good_configuration_does() {
    let output = check(
        "chains: [{name: new-orders, plugins: [{name: calloutPlugin, id: billing, options: {endpoint: 'https://example.com/'}}]}]\n\
         channels: [{name: erp, url: 'https://erp.example.com/hooks'}]",
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for shown in ["new-orders", "billing", "erp", "erp.example.com"] {
        assert!(stdout(&output).contains(shown), "{shown} in {}", stdout(&output));
    }
}

#[test]
fn check_shows_partners_signatures_egress_and_queries() {
    let output = check(
        "egress: {allow: [10.0.0.0/8, '*.internal'], deny: [10.66.0.0/16]}
chains:
  - name: all
    plugins:
      - {name: calloutPlugin, options: {endpoint: 'https://billing.internal/a?shop=1&api_key=k3y', shouldRejectOn: {status: [4xx]}}}
channels:
  - {name: erp, url: 'https://10.1.2.3/hooks?shop=${SHOP:-hidden}&token=t0k', signing: {secrets: [whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz]}}
  - {name: crm, url: 'https://crm.example.com', method: GET, parameters: {AccountId: '{{ order.id }}', source: shop}, products: [PRO], multibuy: separate, once_per: /subscription}
relationships:
  sender: /sender/isaId
  type: /type/name
  default_channel: erp
  routes: [{sender: ACME, type: '850', channel: crm}]
",
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    for line in [
        "outbound requests reach public addresses and 10.0.0.0/8, *.internal, never 10.66.0.0/16",
        "POST https://billing.internal/a?shop=1&api_key=***",
        "egress: allowed by *.internal",
        "POST https://10.1.2.3/hooks?shop=${SHOP:-hidden}&token=***",
        "auth none, signed by 1 HMAC secret",
        "egress: allowed by 10.0.0.0/8",
        "query AccountId, source",
        "products PRO",
        "one delivery for each unit",
        "once per /subscription",
        "auth none, unsigned",
        "egress: public addresses",
        "Relationships",
        "/sender/isaId",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(
        rows.contains(&vec!["ACME", "any", "850", "crm"]) && rows.contains(&vec!["any", "any", "any", "erp"]),
        "{shown}"
    );
    assert!(!shown.contains("Warnings") && !shown.contains("k3y") && !shown.contains("t0k"), "{shown}");
}

#[test]
fn check_warns_of_steps_hosts_and_files_that_are_probably_not_meant() {
    let home = Home::new();
    let base = "smtp: {url: 'smtp://localhost:1025', from: shop@example.com}
chains:
  - name: all
    plugins:
      - {name: calloutPlugin, critical: true, options: {endpoint: 'http://127.0.0.1:9/a'}}
      - {name: calloutPlugin, id: fine, critical: true, options: {endpoint: 'https://a.example', shouldRejectOn: {status: [4xx]}}}
channels:
  - {name: erp, url: 'https://erp.example.com', headers: {X-Shop: a, X-Same: b}, retry: {attempts: 3, interval: 5s}}
  - {name: crm, url: 'http://crm:8080/hooks', auth: {type: oauth2, token_url: 'https://10.0.0.9/t', client_id: a, client_secret: b}}
  - {name: off, url: 'http://127.0.0.1', enabled: false}
  - {name: mail, kind: email, email: {to: a@example.com, subject: b, body: c}}
";
    let site = "channels:
  - {name: erp, url: 'https://erp.example.org', headers: {X-Shop: c, X-Same: b}, retry: {schedule: [1s, 2s]}}
  - {name: new, url: 'https://new.example.com'}
";
    std::fs::write(home.path("base.yaml"), base).expect("a file");
    std::fs::write(home.path("site.yaml"), site).expect("a file");
    let output = orderhook(&home, &["check", "-c", "base.yaml", "site.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    let warnings: Vec<&str> = shown.split("Warnings\n").nth(1).expect("warnings").lines().collect();
    for (line, expected) in warnings.iter().zip([
        "site.yaml: channels[0].headers.X-Shop: replaces the value of base.yaml",
        "site.yaml: channels[0].retry.interval: drops the value of base.yaml, for which it has an alternative",
        "site.yaml: channels[0].url: replaces the value of base.yaml",
        "chain all, step calloutPlugin-1: it is critical and has no shouldRejectOn",
        "chain all, step calloutPlugin-1: 127.0.0.1 is loopback (127.0.0.0/8), and egress.allow does not cover it; every attempt fails with -8",
        "channel crm: its host looks private",
        "channel crm, token_url: 10.0.0.9 is private",
        "smtp.url: localhost is this machine",
    ]) {
        assert!(line.starts_with(expected), "{line}\nis not {expected}\n{warnings:#?}");
    }
    assert_eq!(warnings.len(), 8, "{warnings:#?}");
}

#[test]
fn check_reports_every_fault_at_once_with_file_and_path() {
    let output = check(
        "server: {max_boddy: 1MiB}\n\
         channels:\n\
         \x20 - {name: erp, url: 'https://erp.example.com/', retry: {attempts: many}}\n\
         \x20 - {name: erp, url: 'https://u:p4ssw0rd@erp.example.com/', methd: POST}\n\
         \x20 - {name: crm, url: 'https://crm.example.com/', auth: {type: bearer, token: [s3cr3t]}}\n",
    );
    assert_eq!(output.status.code(), Some(1));
    let shown = format!("{}{}", stdout(&output), stderr(&output));
    for named in [
        "mine.yaml",
        "server.max_boddy",
        "max_body",
        "channels[0].retry.attempts",
        "many",
        "channels[1].methd",
        "method",
        "channels[1].url",
    ] {
        assert!(shown.contains(named), "{named} in {shown}");
    }
    for secret in ["p4ssw0rd", "s3cr3t"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn serve_refuses_what_check_refuses() {
    let home = Home::new();
    let output = run(&mut crate::harness::serve(&home, "channels: [{name: erp}]"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("channels[0].url"), "{}", stderr(&output));
}

#[test]
fn keys_of_the_environment_count_above_the_files() {
    let home = Home::new();
    std::fs::write(home.path("mine.yaml"), "server: {max_body: 1MiB}").unwrap();
    let output = run(binary()
        .args(["check", "--config", "mine.yaml"])
        .env("ORDERHOOK__SERVER__MAX_BODY", "nonsense")
        .current_dir(home.path("")));
    assert_eq!(output.status.code(), Some(1));
    let shown = format!("{}{}", stdout(&output), stderr(&output));
    assert!(shown.contains("max_body") && shown.contains("nonsense"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = orderhook(&Home::new(), &["check", "--config", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nowhere.yaml") || stdout(&output).contains("nowhere.yaml"));
}

#[test]
fn preset_prints_the_file_as_it_is() {
    let output = orderhook(&Home::new(), &["preset", "standard"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/presets/standard.yaml");
    assert_eq!(stdout(&output).trim_end(), std::fs::read_to_string(path).unwrap().trim_end());
}

#[test]
fn a_preset_that_does_not_exist_names_those_that_do() {
    let output = orderhook(&Home::new(), &["preset", "standart"]);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(stderr(&output).contains("standard"), "{}", stderr(&output));
}

#[test]
fn wrong_use_ends_with_2() {
    for arguments in [&["nonsense"][..], &["serve", "--nonsense"], &["preset"], &[]] {
        let output = orderhook(&Home::new(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("Usage"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn the_help_of_each_command_shows_an_example() {
    let home = Home::new();
    let output = orderhook(&home, &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    for command in ["serve", "check", "preset", "healthcheck", "demo"] {
        assert!(stdout(&output).contains(command), "{command} in {}", stdout(&output));
        let output = orderhook(&home, &[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(stdout(&output).contains(&format!("orderhook {command}")), "{}", stdout(&output));
        assert!(stdout(&output).to_lowercase().contains("example"), "{command}: {}", stdout(&output));
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = orderhook(&Home::new(), &["--version"]);
    assert_eq!(stdout(&output).trim(), format!("orderhook {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn healthcheck_tells_a_living_service_from_a_dead_one() {
    let process = Process::start("").await;
    let address = process.api.address;
    let ask = move |home: Arc<Home>| async move {
        let ask = move || {
            run(binary()
                .arg("healthcheck")
                .env("ORDERHOOK__SERVER__LISTEN", address.to_string())
                .current_dir(home.path("")))
        };
        tokio::task::spawn_blocking(ask).await.expect("an end")
    };
    let home = Arc::new(Home::new());
    let output = ask(Arc::clone(&home)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    process.stop().await;
    let output = ask(home).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!stderr(&output).is_empty(), "why");
}

#[test]
fn demo_ends_by_itself_after_its_orders() {
    let output = orderhook(&Home::new(), &["demo", "--orders", "10", "--port", "0"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("curl"), "lines to try: {}", stdout(&output));
    assert!(!stdout(&output).contains('\u{1b}'), "no terminal, no colours: {:?}", stdout(&output));
}

#[test]
fn demo_ends_with_0_on_a_signal_and_leaves_nothing_behind() {
    let home = Home::new();
    for signal in [Signal::TERM, Signal::INT] {
        let mut command = binary();
        command.args(["demo", "--port", "0"]).env("TMPDIR", home.path("")).stdout(Stdio::piped());
        let mut demo = command.spawn().expect("the binary");
        let mut lines = BufReader::new(demo.stdout.take().expect("a pipe")).lines().map(|line| line.expect("a line"));
        assert!(lines.any(|line| line.contains("A-1001")), "it posts orders");
        kill_process(Pid::from_child(&demo), signal).expect("a process of ours");
        assert_eq!(lines.by_ref().filter(|line| line.contains("error")).count(), 0);
        let status = demo.wait().expect("a status");
        assert_eq!(status.code(), Some(0), "{signal:?}");
        let left: Vec<_> = std::fs::read_dir(home.path("")).expect("a folder").collect();
        assert!(left.is_empty(), "{signal:?}: {left:?}");
    }
}

#[test]
fn an_order_may_come_from_standard_input() {
    let home = Home::new();
    let yaml = "channels: [{name: erp, url: 'https://erp.example.com/{{ order.id }}'}]";
    std::fs::write(home.path("shop.yaml"), yaml).expect("a file");
    std::fs::write(home.path("order.json"), "\u{feff}{\"id\": \"SO-17\"}").expect("a file");
    let input = std::fs::File::open(home.path("order.json")).expect("a file");
    let preview = &["preview", "erp", "-c", "shop.yaml", "--order", "-"];
    let output = run(binary().args(preview).current_dir(home.path("")).stdin(input));
    assert!(stdout(&output).contains("POST https://erp.example.com/SO-17"), "{output:?}");
    let output = run(binary().args(preview).current_dir(home.path("")));
    assert_eq!(output.status.code(), Some(1), "standard input is empty: {output:?}");
}

#[test]
fn preview_takes_several_files_and_a_later_one_wins() {
    let home = Home::new();
    std::fs::write(home.path("one.yaml"), "channels: [{name: erp, url: 'http://one.example/hook', method: PUT}]")
        .expect("a file");
    std::fs::write(home.path("two.yaml"), "channels: [{name: erp, url: 'http://two.example/hook'}]").expect("a file");
    for arguments in [
        ["preview", "-c", "one.yaml", "-c", "two.yaml", "erp"],
        ["preview", "erp", "-c", "one.yaml", "--config", "two.yaml"],
    ] {
        let output = orderhook(&home, &arguments);
        assert!(stdout(&output).contains("PUT http://two.example/hook"), "{output:?}");
    }
}

#[test]
fn a_token_cannot_be_called_as_the_audit_calls_receivers() {
    let home = Home::new();
    let yaml = "server: {tokens: [{name: receiver, token: a-token-of-some-length, scopes: [read]}]}";
    std::fs::write(home.path("shop.yaml"), yaml).expect("a file");
    let output = orderhook(&home, &["check", "-c", "shop.yaml"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("server.tokens[0].name") && told.contains("another name"),
        "{told}"
    );
}
