//! `orderhook plan`: what a changed configuration would do to orders on record, by the real binary.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{Home, Service, binary, run};
use crate::receiver::{Receiver, Reply};

/// The clock of a service within a test is not that of the machine.
const ALL: [&str; 2] = ["--since", "2000-01-01T00:00:00Z"];

const BEFORE: &str = "
chains:
- name: all
  plugins:
  - {id: billing, critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/billing, shouldRejectOn: {status: [402]}}}
channels:
- {name: same, url: RECEIVER/same, events: [order.completed]}
- {name: envelope, url: RECEIVER/envelope, events: ['order.*'], payload: envelope}
- {name: moved, url: 'RECEIVER/old/{{ order.id }}', events: [order.completed], body: '{\"id\": \"{{ delivery.id }}\", \"at\": \"{{ now }}\", \"n\": 1}'}
- {name: gone, url: RECEIVER/gone, events: [order.completed]}
- {name: narrow, url: RECEIVER/narrow, events: [order.completed]}
";

const AFTER: &str = "
channels:
- {name: same, url: RECEIVER/same, events: [order.completed]}
- {name: envelope, url: RECEIVER/envelope, events: ['order.*'], payload: envelope}
- {name: moved, method: PUT, url: 'RECEIVER/new/{{ order.id }}', events: [order.completed], body: '{\"id\": \"{{ delivery.id }}\", \"at\": \"{{ now }}\", \"n\": 2}'}
- {name: narrow, url: RECEIVER/narrow, events: [order.completed], when: order.amount > 10}
- {name: gained, url: 'RECEIVER/gained/{{ order.id }}', events: [order.completed], when: 'context.billing.paid'}
";

async fn service() -> (Receiver, Service) {
    let receiver = Receiver::start().await;
    receiver.on(
        "/billing",
        [Reply::json(200, &json!({"paid": true})), Reply::json(200, &json!({"paid": false})), Reply::status(402)],
    );
    let service = Service::start(&receiver.fill(BEFORE)).await;
    for (id, amount) in [("A-1", 5), ("A-2", 50), ("A-3", 50)] {
        service.api.post("/v1/orders", &json!({"id": id, "amount": amount})).await;
    }
    service.api.all_settled().await;
    (receiver, service)
}

async fn plan(service: &Service, home: &Home, yaml: &str, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.arg("plan").env("ORDERHOOK_SERVER", format!("http://{}", service.api.address));
    for file in home.configure(yaml) {
        command.arg("--config").arg(file);
    }
    command.args(arguments);
    if !arguments.contains(&"--since") {
        command.args(ALL);
    }
    tokio::task::spawn_blocking(move || run(&mut command)).await.expect("a command")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Of each channel: before, after, gained, lost, changed, unchanged, not compared, fails.
fn counts(report: &Value) -> Vec<(String, [u64; 8])> {
    let channels = report["channels"].as_array().expect("channels");
    let count = |channel: &Value, pointer: &str| channel.pointer(pointer).and_then(Value::as_u64).expect("a count");
    let places = [
        "/before",
        "/after",
        "/gained/count",
        "/lost/count",
        "/changed/count",
        "/unchanged",
        "/not_compared",
        "/fails/count",
    ];
    let of = |channel: &Value| places.map(|place| count(channel, place));
    channels.iter().map(|channel| (channel["channel"].as_str().expect("a name").to_owned(), of(channel))).collect()
}

fn channel<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["channels"].as_array().expect("channels").iter().find(|channel| channel["channel"] == name).expect(name)
}

fn expected() -> Vec<(String, [u64; 8])> {
    let all: [(&str, [u64; 8]); 6] = [
        ("same", [2, 2, 0, 0, 0, 2, 0, 0]),
        ("envelope", [3, 3, 0, 0, 0, 6, 0, 0]),
        ("moved", [2, 2, 0, 0, 2, 0, 0, 0]),
        ("narrow", [2, 1, 0, 1, 0, 1, 0, 0]),
        ("gained", [0, 1, 1, 0, 0, 0, 1, 0]),
        ("gone", [2, 0, 0, 2, 0, 0, 0, 0]),
    ];
    all.map(|(name, counts)| (name.to_owned(), counts)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_what_channels_gain_and_lose_and_which_requests_change_and_sends_nothing() {
    let (receiver, service) = service().await;
    let (home, sent) = (Home::new(), receiver.count());
    let output = plan(&service, &home, &receiver.fill(AFTER), &["--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found = report(&output);
    assert_eq!((&found["orders"], &found["left_out"], &found["more"]), (&json!(3), &json!(0), &json!(false)));
    assert_eq!(counts(&found), expected());
    let moved = &channel(&found, "moved")["changed"]["example"];
    assert_eq!(moved["method"], json!(["POST", "PUT"]));
    assert_eq!(moved["url"], json!([receiver.url("/old/A-2"), receiver.url("/new/A-2")]), "the newest order first");
    let body = moved["body"].as_str().expect("a difference");
    assert!(body.contains("-  \"n\": 1") && body.contains("+  \"n\": 2"), "{body}");
    assert!(
        !body.contains("-  \"id\"") && !body.contains("-  \"at\""),
        "the delivery and its time are the same: {body}"
    );
    assert_eq!(channel(&found, "narrow")["lost"]["example"]["reason"], "when");
    assert_eq!(channel(&found, "narrow")["lost"]["example"]["order_id"], "A-1");
    assert_eq!(channel(&found, "gone")["lost"]["example"]["reason"], "removed");
    let gained = &channel(&found, "gained")["gained"]["example"];
    assert_eq!(gained["request"], format!("POST {}", receiver.url("/gained/A-1")), "by the context on record");

    let shown = stdout(&plan(&service, &home, &receiver.fill(AFTER), &[]).await);
    for line in [
        "3 orders since",
        "moved: 2 changed, such as order A-2 (ord_",
        "  +  \"n\": 2",
        "gone: 2 lost",
        "gained: 1 gained",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert_eq!(receiver.count(), sent, "a plan sends nothing");

    let few = report(&plan(&service, &home, &receiver.fill(AFTER), &["--json", "--limit", "1"]).await);
    assert_eq!((&few["orders"], &few["more"]), (&json!(1), &json!(true)));
    let none =
        report(&plan(&service, &home, &receiver.fill(AFTER), &["--json", "--since", "2999-01-01T00:00:00Z"]).await);
    assert_eq!(none["orders"], 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_reads_the_file_of_a_store_without_a_change_to_it() {
    let (receiver, service) = service().await;
    let home = Home::new();
    let copy = home.path("copy.yaml"); // the harness ignores files of that name
    let file = copy.to_str().expect("a path").to_owned();
    let backup = |to: &Path| {
        let url = format!("sqlite://{}", service.home.store().display());
        run(binary().arg("backup").arg(to).env("ORDERHOOK__STORE__URL", url))
    };
    assert_eq!(backup(&copy).status.code(), Some(0));
    let service_address = service.api.address;
    service.stop().await;
    assert!(std::net::TcpStream::connect(service_address).is_err(), "no server to ask");
    let before = std::fs::read(&copy).expect("the copy");
    let mut command = binary();
    command.arg("plan").args(["--json", "--store", &file]).args(ALL);
    for file in home.configure(&receiver.fill(AFTER)) {
        command.arg("--config").arg(file);
    }
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await.expect("a command");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(counts(&report(&output)), expected());
    assert!(std::fs::read(&copy).expect("the copy") == before, "the file is as it was");
    for companion in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{file}{companion}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_requests_or_conditions_that_fail_ends_with_1() {
    let (receiver, service) = service().await;
    let home = Home::new();
    let yaml = receiver.fill(
        "channels:
- {name: same, url: 'RECEIVER/{{ order.customer.name }}', events: [order.completed]}
- {name: unclear, url: RECEIVER/x, events: [order.completed], when: order.amount > order.id}
",
    );
    let output = plan(&service, &home, &yaml, &["--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found = report(&output);
    let fails = |name: &str| channel(&found, name)["fails"].clone();
    assert_eq!((&fails("same")["count"], &fails("unclear")["count"]), (&json!(2), &json!(2)));
    assert!(fails("same")["example"]["error"].as_str().expect("an error").starts_with("url: "), "{found}");
    assert!(fails("unclear")["example"]["error"].as_str().expect("an error").starts_with("when: "), "{found}");

    let output = plan(&service, &home, "channels: [{name: a, url: ftp://x}]", &["--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = report(&output)["check"]["errors"][0].as_str().expect("an error").to_owned();
    assert!(error.contains("channels[0].url"), "{error}");
    let output = plan(&service, &home, "channels: [{name: a, url: ftp://x}]", &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("channels[0].url"), "{output:?}");
    service.stop().await;
}
