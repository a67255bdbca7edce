//! The service against its own OpenAPI document: schemathesis makes requests of it, valid and invalid, alone and in sequence,
//! with all of its checks.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Process, run_within};
use crate::peers::python;
use crate::receiver::Receiver;

const TOKEN: &str = "all-token-0123456789";

/// What the document cannot say, as it differs from one service to the next: the names of channels.
fn with_names(mut document: Value) -> Value {
    let names = json!(["erp"]);
    document["components"]["schemas"]["Filter"]["properties"]["channel"]["enum"] = json!(["erp", null]);
    for (path, member) in [("/v1/orders/{id}/deliver", "channel"), ("/v1/channels/{name}/move", "to")] {
        let body = &mut document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        body["schema"]["properties"][member]["enum"] = names.clone();
    }
    let calls = document["paths"].as_object_mut().expect("paths").iter_mut();
    for (path, call) in
        calls.flat_map(|(path, calls)| calls.as_object_mut().into_iter().flatten().map(move |(_, call)| (path, call)))
    {
        for parameter in call["parameters"].as_array_mut().into_iter().flatten() {
            let of_channel = parameter["name"] == "channel" && parameter["in"] == "query";
            let name_as_cursor = parameter["name"] == "cursor" && path == "/v1/channels";
            if of_channel || name_as_cursor {
                parameter["schema"]["enum"] = names.clone();
            }
        }
    }
    document
}

/// An id that another event has used is refused with 422, and generated events use ids again.
const CONFIG: &str = r#"
[[operations]]
include-name = "POST /v1/events"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]
"#;

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let receiver = Receiver::start().await;
    let yaml = format!(
        "server: {{tokens: [{{name: all, token: {TOKEN}, scopes: [ingest, manage]}}]}}\nchannels: [{{name: erp, url: RECEIVER/erp}}]"
    );
    let process = Process::start(&receiver.fill(&yaml)).await;
    let document = with_names(process.api.get("/openapi.json").await.expect(200));
    let paths = document["paths"].as_object().expect("paths").values();
    let operations: usize = paths.map(|calls| calls.as_object().map_or(0, serde_json::Map::len)).sum();
    let home = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let (config, document) = (file("schemathesis.toml", CONFIG), file("openapi.json", &document.to_string()));
    let mut command = Command::new(python().with_file_name("schemathesis"));
    command.arg("--config-file").arg(config).arg("run").arg(document).current_dir(home.path());
    command.arg("--url").arg(format!("http://{}", process.api.address));
    command.arg("-H").arg(format!("Authorization: Bearer {TOKEN}"));
    // The stream has no end.
    command.args(["--checks", "all", "--exclude-path", "/v1/stream", "--max-examples", "20", "--seed", "1"]);
    command.args(["--continue-on-failure", "--no-color", "--request-timeout", "20"]);
    let output = tokio::task::spawn_blocking(move || run_within(&mut command, std::time::Duration::from_secs(300)));
    let output = output.await.expect("schemathesis");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}\n{}", String::from_utf8_lossy(&output.stderr), process.log);
    assert!(printed.contains(&format!("Tested: {}", operations - 1)), "all but the stream: {printed}");
    process.stop().await;
}
