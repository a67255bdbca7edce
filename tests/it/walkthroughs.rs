//! The walkthroughs of `docs/`, as a reader follows them: their YAML is served by the real binary, their commands are
//! run by a shell, and what they say comes back does come back.
//!
//! In a page, ` ```yaml ` blocks are the configuration, ` ```sh ` blocks are run in turn, ` ```sh rejected ` blocks must
//! end with an HTTP error, and a ` ```json ` block behind one is part of what it prints: every member shown must be
//! there; `…` stands for anything. Hosts below example.com lead to the test's receiver.

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Home, Process, binary, run};
use crate::receiver::{Receiver, Reply};

/// A fenced block of a page.
struct Block {
    info: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some(Block { info: info.trim().to_owned(), text: String::new() }),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that does not end");
    found
}

/// The page's hosts are the receiver's; where a preset wants HTTPS and no port, it must be told otherwise.
fn on_loopback(yaml: &str, receiver: &Receiver) -> String {
    let mut out = String::new();
    for line in yaml.lines() {
        let mut line = line.to_owned();
        while let Some(at) = line.find("https://") {
            let host = line[at + 8..].find(['/', '"', '\'', ' ', ',', '}']).map_or(line.len(), |end| at + 8 + end);
            line.replace_range(at..host, receiver.url("").trim_end_matches('/'));
        }
        out.push_str(&line);
        out.push('\n');
        if let Some(indent) = line.find("preset: zuora").filter(|_| !line.contains('{')) {
            out.push_str(&format!("{}url_rules: {{https: false, port: true}}\n", " ".repeat(indent)));
        }
    }
    out
}

/// Whether all of `part` is in `whole`.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (_, Value::String(text)) if text == "…" => true,
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(found, value)| holds(found, value))
        }
        _ => whole == part,
    }
}

async fn follow(name: &str, page: &str, receiver: &Receiver) -> Process {
    let blocks = blocks(page);
    let home = Arc::new(Home::new());
    let yaml: String = blocks.iter().filter(|block| block.info == "yaml").map(|block| block.text.as_str()).collect();
    let yaml = on_loopback(&yaml, receiver);
    std::fs::write(home.path("orderhook.yaml"), &yaml).unwrap();
    let process = Process::start_in(&home, &yaml).await;
    let address = process.api.address.to_string();
    // An HTTP error is an error of the command.
    std::fs::write(home.path(".curlrc"), "fail-with-body\nmax-time = 20\n").unwrap();
    let program = binary().get_program().to_owned();
    let folder = std::path::Path::new(&program).parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut blocks = blocks.iter().peekable();
    let mut commands = 0;
    while let Some(block) = blocks.next() {
        let Some(kind) = block.info.strip_prefix("sh") else { continue };
        let lines = block.text.lines().filter(|line| !line.starts_with("orderhook serve"));
        let script = lines.collect::<Vec<_>>().join("\n").replace("localhost:8080", &address);
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &script]).current_dir(home.path(""));
        shell.env("CURL_HOME", home.path("")).env("PATH", &path);
        let output = tokio::task::spawn_blocking(move || run(&mut shell)).await.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let refused = output.status.code() == Some(22);
        assert_eq!(refused, kind.trim() == "rejected", "{name}: {script}\n{printed}\n{complaint}\n{}", process.log);
        assert!(refused || output.status.success(), "{name}: {script}\n{printed}\n{complaint}");
        commands += 1;
        if let Some(expected) = blocks.next_if(|block| block.info == "json") {
            let expected: Value = serde_json::from_str(&expected.text).expect("JSON in the page");
            let found: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{name}: {script}: {printed}"));
            assert!(holds(&found, &expected), "{name}: {script}\nprinted {found:#}\nthe page says {expected:#}");
        }
    }
    for file in [".curlrc", "orderhook.yaml"] {
        std::fs::remove_file(home.path(file)).unwrap();
    }
    assert!(commands > 1, "{name} has commands to try");
    process
}

#[tokio::test]
async fn callouts() {
    let receiver = Receiver::start().await;
    receiver.on("/provision", [Reply::json(200, &json!({ "userId": "U-1" })), Reply::status(404)]);
    receiver.on("/accounts", [Reply::json(200, &json!({ "account": { "id": "ACC-9" } }))]);
    let process = follow("callouts.md", include_str!("../../docs/callouts.md"), &receiver).await;
    let account = &receiver.requests_on("/accounts")[0];
    assert_eq!(account.json(), json!({ "accountNumber": "U-1" }));
    receiver.wait_for_on("/hooks/entitlements", 1).await;
    process.stop().await;
}

#[tokio::test]
async fn cloudevents() {
    let receiver = Receiver::start().await;
    let page = include_str!("../../docs/cloudevents.md");
    let process = follow("cloudevents.md", page, &receiver).await;
    let requests = receiver.wait_for_on("/events", 3).await;
    let about = |id: &str| requests.iter().find(|request| request.json()["data"]["order"]["id"] == id).expect("one");
    let shown = blocks(page).into_iter().find(|block| block.info == "json" && block.text.contains("metadata")).unwrap();
    let shown: Value = serde_json::from_str(&shown.text).unwrap();
    let body = about("I-2026-1").json();
    assert!(holds(&body, &shown), "{body:#}");
    assert_eq!(body["data"]["metadata"].as_object().unwrap().len(), 5);
    let second = about("I-2026-2");
    assert_eq!((second.expect_header("x-subject"), second.expect_header("x-region")), ("I-2026-2", "south"));
    process.stop().await;
}

#[tokio::test]
async fn zuora() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::json(200, &json!({ "success": true }))]);
    let process = follow("zuora.md", include_str!("../../docs/zuora.md"), &receiver).await;
    let request = &receiver.wait_for_on("/zuora/A-42", 1).await[0];
    let parameters = json!({"AccountId": "A-42", "SubscriptionId": "S-77", "SubscriptionPreviousSubscriptionId": "S-76", "ParentAccountId": "A-1", "DefaultPaymentMethodId": "PM-5"});
    assert_eq!(request.json(), parameters);
    assert_eq!(receiver.count_on("/payments"), 0, "that one is due later");
    process.stop().await;
}

#[tokio::test]
async fn orderful() {
    let receiver = Receiver::start().await;
    let process = follow("orderful.md", include_str!("../../docs/orderful.md"), &receiver).await;
    assert_eq!(receiver.wait_for_on("/acme/purchase-orders", 1).await[0].json()["id"], "T-1");
    assert_eq!(receiver.wait_for_on("/transactions", 1).await[0].json()["id"], "T-2");
    process.stop().await;
}

#[tokio::test]
async fn secutix() {
    let receiver = Receiver::start().await;
    let process = follow("secutix.md", include_str!("../../docs/secutix.md"), &receiver).await;
    let order = receiver.wait_for_on("/orders/4711", 1).await[0].json();
    let movement = &order["orderDetailsData"]["operationDatas"][0]["movementDatas"][0];
    assert_eq!(*movement, json!({"seat": "A1"}));
    receiver.wait_for_on("/orders/4712", 1).await;
    process.stop().await;
}

#[tokio::test]
async fn fulfillment() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::body(200, "text/plain", "KEY-1")]);
    let process = follow("fulfillment.md", include_str!("../../docs/fulfillment.md"), &receiver).await;
    let keys = receiver.wait_for_on("/keys", 2).await;
    let expected = |unit| format!("product=LICENSE-PRO&unit={unit}&email=ann%40example.com&source=webshop");
    assert!(keys.iter().all(|request| [expected(1), expected(2)].contains(&request.text().to_owned())));
    assert_eq!(receiver.wait_for_on("/welcome", 1).await.len(), 1);
    process.stop().await;
}
