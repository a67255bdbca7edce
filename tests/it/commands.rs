//! The commands that ask a running server, by the real binary.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Home, Service, binary, delivery_to, run, text};
use crate::receiver::{Receiver, Reply};

/// `orderhook` with these arguments, against that server.
async fn orderhook(service: &Service, arguments: &[&str]) -> Output {
    let server = format!("http://{}", service.api.address);
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let command = move || run(binary().args(arguments).env("ORDERHOOK_SERVER", server));
    tokio::task::spawn_blocking(command).await.expect("a command")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

const CHANNELS: &str = "channels: [{name: erp, url: RECEIVER/erp}, {name: later, url: RECEIVER/later, outcomes: [{on: [202], then: dispatched}]}]";

async fn service() -> (Receiver, Service, Value) {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(404), Reply::status(404), Reply::status(200)]);
    receiver.on("/later", [Reply::status(202)]);
    let service = Service::start(&receiver.fill(CHANNELS)).await;
    let order = service.api.order(&json!({"id": "A/1", "customer": {"email": "anna@example.com"}})).await;
    service.api.order(&json!({"id": "A-2"})).await;
    service.api.all_settled().await;
    (receiver, service, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_deliveries_are_listed_and_shown() {
    let (_receiver, service, order) = service().await;
    let table = good(&orderhook(&service, &["orders", "list"]).await);
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].contains("order") && rows[1].contains("A-2") && rows[2].contains("A/1"), "{table}");
    let found = good(&orderhook(&service, &["orders", "list", "-q", "anna@example.com", "--json"]).await);
    assert_eq!(lines(&found)[0]["id"], order["id"]);
    let shown = good(&orderhook(&service, &["orders", "show", "A/1"]).await);
    assert!(shown.contains("completed") && shown.contains("deliveries") && shown.contains("erp"), "{shown}");
    let shown = good(&orderhook(&service, &["orders", "show", "A/1", "--json"]).await);
    assert_eq!(lines(&shown)[0]["order"]["id"], "A/1");

    let failed = ["deliveries", "list", "--status", "failed", "--code", "4xx", "--channel", "erp"];
    assert_eq!(good(&orderhook(&service, &failed).await).lines().count(), 3);
    let limited = orderhook(&service, &[&failed[..], &["--limit", "1"]].concat()).await;
    assert_eq!(good(&limited).lines().count(), 2);
    assert!(stderr(&limited).contains("--all"), "{}", stderr(&limited));
    let all = good(&orderhook(&service, &["deliveries", "list", "--all", "--json"]).await);
    assert_eq!(lines(&all).len(), 4);
    let shown = good(&orderhook(&service, &["deliveries", "show", &delivery_to(&order, "erp")]).await);
    assert!(shown.contains("attempts") && shown.contains("404"), "{shown}");
    let channels = good(&orderhook(&service, &["channels", "list"]).await);
    assert!(channels.contains("erp") && channels.contains("enabled"), "{channels}");
    assert!(good(&orderhook(&service, &["channels", "show", "erp"]).await).contains("config"));

    let unknown = orderhook(&service, &["orders", "show", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("404") && stderr(&unknown).contains("nobody"), "{}", stderr(&unknown));
    let wrong = orderhook(&service, &["deliveries", "list", "--since", "yesterday"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    let refused = orderhook(&service, &["deliveries", "list", "--code", "abc"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let away = orderhook(&service, &["orders", "list", "--server", "http://127.0.0.1:1"]).await;
    assert_eq!(away.status.code(), Some(1));
    assert!(stderr(&away).contains("127.0.0.1:1"), "{}", stderr(&away));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_and_channels_are_changed() {
    let (_receiver, service, order) = service().await;
    let problems = orderhook(&service, &["problems"]).await;
    assert_eq!(problems.status.code(), Some(1));
    assert!(stdout(&problems).contains("2 deliveries failed to erp with 404"), "{}", stdout(&problems));
    let cause = lines(&stdout(&orderhook(&service, &["problems", "--json"]).await))[0]["filter"]["cause"].to_string();

    let all = ["deliveries", "retry", "--cause", &cause];
    let unsure = orderhook(&service, &all).await;
    assert_eq!(unsure.status.code(), Some(2));
    assert!(stderr(&unsure).contains("2 deliveries") && stderr(&unsure).contains("--yes"), "{}", stderr(&unsure));
    let dry = good(&orderhook(&service, &[&all[..], &["--dry-run"]].concat()).await);
    assert!(dry.contains("2 deliveries") && dry.contains("erp"), "{dry}");
    let sure = good(&orderhook(&service, &[&all[..], &["--yes", "--reason", "mended"]].concat()).await);
    assert_eq!(sure.trim(), "2 deliveries retried");
    service.api.all_settled().await;
    let problems = orderhook(&service, &["problems"]).await;
    assert_eq!(good(&problems).trim(), "no problems");

    let later = delivery_to(&order, "later");
    let accepted = good(&orderhook(&service, &["deliveries", "accept", &later, "--reason", "by phone"]).await);
    assert_eq!(accepted.trim(), format!("{later} is accepted now"));
    assert_eq!(service.api.delivery(&later).await["verdicts"][0]["reason"], "by phone");
    let again = orderhook(&service, &["deliveries", "fail", &later]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("409"), "{}", stderr(&again));
    assert_eq!(orderhook(&service, &["deliveries", "cancel"]).await.status.code(), Some(2));

    let paused = good(&orderhook(&service, &["channels", "pause", "erp", "--reason", "night"]).await);
    assert_eq!(paused.trim(), "erp is paused now");
    assert_eq!(service.api.get("/v1/channels/erp").await.expect(200)["reason"], "night");
    let to = ["channels", "move", "erp", "--to", "new", "--reason", "renamed"];
    assert!(stderr(&orderhook(&service, &to).await).contains("no channel \"new\" is configured"));
    assert_eq!(good(&orderhook(&service, &["channels", "resume", "erp"]).await).trim(), "erp is enabled now");
    let delivered = good(&orderhook(&service, &["orders", "deliver", "A-2", "--channel", "erp", "--json"]).await);
    service.api.settled(&delivery_to(&lines(&delivered)[0], "erp")).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_from_a_file_the_environment_or_the_line() {
    let service = Service::start("server: {tokens: [{name: boss, token: s3cret-boss, scopes: [manage]}]}").await;
    let home = Home::new();
    std::fs::write(home.path("token.yaml"), "s3cret-boss\n").expect("a file");
    let file = home.path("token.yaml").display().to_string();
    good(&orderhook(&service, &["orders", "list", "--token-file", &file]).await);
    good(&orderhook(&service, &["orders", "list", "--token", "s3cret-boss"]).await);
    let without = orderhook(&service, &["orders", "list"]).await;
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("401") && stderr(&without).contains("--token-file"), "{}", stderr(&without));
    let missing = orderhook(&service, &["orders", "list", "--token-file", "/nowhere/token"]).await;
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("/nowhere/token"), "{}", stderr(&missing));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_what_happens() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let server = format!("http://{}", service.api.address);
    let mut child = binary()
        .args(["tail", "--channel", "erp", "--server", &server])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let line = tokio::task::spawn_blocking(move || output.lines().next().expect("a line").expect("text"));
    // The tail may not be watching yet when the first order comes.
    let mut number = 0;
    while !line.is_finished() {
        number += 1;
        service.api.order(&json!({"id": format!("A-{number}")})).await;
        service.api.all_settled().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(number < 1000, "tail shows nothing");
    }
    let line = line.await.expect("a line");
    assert!(line.contains(" attempt erp dlv_") && line.contains("200") && line.contains("accepted"), "{line}");
    child.kill().expect("a child");
    child.wait().expect("an end");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_service_is_a_store() {
    let (_receiver, service, order) = service().await;
    let (home, other) = (service.home.clone(), Home::new());
    let (config, copy) = (home.path("harness.yaml").display().to_string(), other.path("orderhook.db"));
    let target = copy.display().to_string();
    good(&orderhook(&service, &["backup", &target, "--config", &config]).await);
    assert_eq!(mode(&copy) & 0o777, 0o600);
    let again = orderhook(&service, &["backup", &target, "--config", &config]).await;
    assert_eq!(again.status.code(), Some(1), "an existing file is not overwritten");
    assert!(stderr(&again).contains(&target), "{}", stderr(&again));
    let store = home.store();
    let restored = service.restart_after(|| {
        for companion in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{companion}", store.display()));
        }
        std::fs::copy(&copy, &store).expect("a copy");
    });
    let restored = restored.await;
    assert_eq!(restored.api.order_detail(text(&order, "id")).await["status"], "completed");
    restored.stop().await;
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("a file").permissions().mode()
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let bash = run(binary().args(["completions", "bash"]));
    assert!(good(&bash).contains("deliveries"), "{}", stdout(&bash));
    assert_eq!(run(binary().args(["completions", "basic"])).status.code(), Some(2));
    assert!(good(&run(binary().arg("man"))).contains(".TH orderhook"));
    let home = Home::new();
    good(&run(binary().args(["man", "--dir"]).arg(home.path("man"))));
    assert!(home.path("man").join("orderhook-deliveries-retry.1").exists());
}

#[test]
fn the_help_of_each_command_shows_an_example() {
    for command in [
        vec!["orders", "list"],
        vec!["orders", "show"],
        vec!["orders", "deliver"],
        vec!["orders", "rerun"],
        vec!["orders", "retry"],
        vec!["orders", "cancel"],
        vec!["deliveries", "list"],
        vec!["deliveries", "show"],
        vec!["deliveries", "retry"],
        vec!["deliveries", "cancel"],
        vec!["deliveries", "accept"],
        vec!["deliveries", "fail"],
        vec!["channels", "list"],
        vec!["channels", "show"],
        vec!["channels", "pause"],
        vec!["channels", "resume"],
        vec!["channels", "move"],
        vec!["problems"],
        vec!["tail"],
        vec!["backup"],
        vec!["completions"],
        vec!["man"],
    ] {
        let help = good(&run(binary().args(&command).arg("--help")));
        assert!(help.contains(&format!("Example:\n  orderhook {}", command.join(" "))), "{help}");
    }
}
