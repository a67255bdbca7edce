//! docs/operations.md and docs/deploy/: each command does what the page says, and the files fit the program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Home, Process, binary, delivery_to, run};
use crate::receiver::{Receiver, Reply};

const PAGE: &str = include_str!("../../docs/operations.md");

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The commands of the page, one a line.
fn commands() -> Vec<&'static str> {
    let blocks = PAGE.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()).collect()
}

#[tokio::test]
async fn each_command_of_the_page_works() {
    assert!(!PAGE.contains("\n```\n\n```"), "every block of commands says that it is one");
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503)]);
    receiver.on("/old", [Reply::status(503)]);
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp}, {name: crm, url: RECEIVER/crm}, {name: old-erp, url: RECEIVER/old}]\n",
    );
    let home = Arc::new(Home::new());
    let process = Process::start_in(&home, &yaml).await;
    let order = process.api.order(&json!({"id": "SO-1", "customer": {"email": "anna@example.com"}})).await;
    process.api.attempted(&delivery_to(&order, "erp"), 1).await;
    process.api.attempted(&delivery_to(&order, "old-erp"), 1).await;

    let address = process.api.address.to_string();
    let work = tempfile::tempdir().expect("a directory");
    let store = format!("store: {{url: \"sqlite://{}\"}}\n", home.store().display());
    let loopback = "egress: {allow: [127.0.0.0/8]}\n";
    for (name, text) in [
        ("token", "a-token\n".to_owned()),
        (
            "new.yaml",
            yaml.replace(", {name: crm", ", {name: wine, url: 'https://wine.example.com'}, {name: crm") + loopback,
        ),
        ("orderhook.yaml", yaml.clone() + store.as_str()),
    ] {
        std::fs::write(work.path().join(name), text).expect("a file");
    }
    let folder = Path::new(binary().get_program()).parent().expect("a folder").to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let backup = work.path().join("backup.db");
    let commands = commands();
    assert!(commands.len() > 12, "{commands:?}");
    for command in commands.into_iter().filter(|command| !command.starts_with("export ")) {
        let command = command.split("   ").next().expect("a command without its comment").trim();
        let script =
            command.replace("localhost:8080", &address).replace("/backup/orderhook.db", &backup.display().to_string());
        // These have no end.
        let endless = script.contains("/v1/stream") || script.starts_with("orderhook tail");
        let script = if endless { format!("timeout 1 {script}") } else { script };
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &script]).current_dir(work.path());
        shell.env("PATH", &path).env("ORDERHOOK_SERVER", format!("http://{address}"));
        let output = tokio::task::spawn_blocking(move || run(&mut shell)).await.expect("a shell");
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let expected: &[i32] = if endless {
            &[124]
        } else if command.starts_with("orderhook problems") {
            &[0, 1]
        } else {
            &[0]
        };
        let code = output.status.code().unwrap_or(-1);
        assert!(expected.contains(&code), "{command}: {code}: {told}");
        assert!(
            !told.contains("application/problem+json") && !told.contains("\"type\":\"/problems/"),
            "{command}: {told}"
        );
    }
    assert!(backup.exists());
    process.stop().await;
}

/// Every name of a metric in a text, without the ends that a histogram adds.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| word.starts_with("orderhook_"));
    words.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

#[tokio::test]
async fn alarms_and_the_dashboard_of_grafana_use_metrics_that_exist_and_each_alarm_has_its_section() {
    let known = metrics(include_str!("../../src/telemetry/metrics.rs"));
    let (alerts, grafana) = (file("alerts.yaml"), file("grafana.json"));
    for (name, text) in [("alerts.yaml", &alerts), ("grafana.json", &grafana)] {
        let used = metrics(text);
        assert!(used.len() > 4, "{used:?}");
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
    let alarms: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alarms.len(), 6);
    for alarm in alarms {
        assert!(PAGE.contains(&format!("\n### {alarm}\n")), "no section about {alarm}");
        assert!(alerts.contains(&format!("docs/operations.md#{}", alarm.to_lowercase())), "{alarm}");
    }
    let dashboard: Value = serde_json::from_str(&grafana).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 8));
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy/alerts.yaml");
    let output = tokio::task::spawn_blocking(move || run(Command::new("promtool").args(["check", "rules"]).arg(rules)));
    let output = output.await.expect("promtool; tests/run installs prometheus");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_manifest_and_the_unit_run_the_program_as_it_is() {
    let manifest = file("kubernetes.yaml");
    let config = manifest
        .split("orderhook.yaml: |\n")
        .nth(1)
        .and_then(|rest| rest.split("---").next())
        .expect("a configuration");
    let home = tempfile::tempdir().expect("a directory");
    // The same but for the places of secrets, which are made here.
    let yaml: String = config.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    let secrets = home.path().join("secrets");
    std::fs::create_dir(&secrets).expect("a folder");
    for name in ["order-system", "operator", "erp"] {
        assert!(manifest.contains(&format!("\n  {name}: ")), "{name}");
        std::fs::write(secrets.join(name), format!("a-long-token-of-{name}")).expect("a file");
    }
    let yaml = yaml.replace("/run/secrets/orderhook", &secrets.display().to_string());
    std::fs::write(home.path().join("orderhook.yaml"), yaml).expect("a file");
    let output = run(binary().args(["check", "--config"]).arg(home.path()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "path: /healthz",
        "path: /readyz",
        "readOnlyRootFilesystem: true",
        "runAsUser: 10001",
        "mountPath: /var/lib/orderhook",
    ] {
        assert!(manifest.contains(part), "{part}");
    }

    let unit = file("orderhook.service");
    let start =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/orderhook ")).expect("a command");
    let mut words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words.remove(0), "serve");
    let help = run(binary().args(["serve", "--help"]));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(*option), "{option} is not an option of serve");
    }
    assert!(unit.contains("ExecReload=/bin/kill -HUP $MAINPID") && unit.contains("StateDirectory=orderhook"));
}
