//! A process that can open no further file or socket: nobody else's failure, so nothing is charged for it.

use std::collections::BTreeSet;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::read_answer;
use crate::harness::{Process, delivery_to, eventually, field};
use crate::receiver::Receiver;

/// Lets a process open no file more than it has, or as many as it could before.
fn let_open(process: &Process, more: bool) {
    let pid = Pid::from_raw(i32::try_from(process.pid()).expect("an id")).expect("an id");
    let hard = getrlimit(Resource::Nofile).maximum;
    let open: BTreeSet<u64> = std::fs::read_dir(format!("/proc/{}/fd", process.pid()))
        .expect("its files")
        .map(|file| file.expect("a file").file_name().to_string_lossy().parse().expect("a number"))
        .collect();
    let lowest = (0..1 << 20).find(|number| !open.contains(number));
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: if more { hard } else { lowest }, maximum: hard })
        .expect("a limit");
}

async fn post(stream: &mut TcpStream, order: &Value) {
    let body = order.to_string();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body.as_str()).as_bytes()).await.expect("a connection");
}

#[tokio::test]
async fn without_file_descriptors_deliveries_and_callouts_wait_and_nothing_is_charged() {
    let receiver = Receiver::start().await;
    let named = receiver.fill("RECEIVER/named").replace("127.0.0.1", "localhost");
    let yaml = format!(
        "
chains:
  - name: checked
    when: order.check
    plugins: [{{critical: true, name: calloutPlugin, id: check, options: {{endpoint: RECEIVER/check, timeoutValue: 60000}}}}]
channels:
  - {{name: erp, url: RECEIVER/erp, timeout: {{total: 300ms}}, retry: {{attempts: 2, interval: 10ms}}}}
  - {{name: named, url: '{named}', timeout: {{total: 300ms}}, retry: {{attempts: 2, interval: 10ms}}}}
"
    );
    let process = Process::start(&receiver.fill(&yaml)).await;
    let (mut first, mut second) = (process.api.connect().await, process.api.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("a connection");
        read_answer(stream).await.expect("an answer").expect(200);
    }
    let_open(&process, false);
    post(&mut first, &json!({"id": "A-1", "check": true})).await;
    post(&mut second, &json!({"id": "A-2"})).await;
    let order = read_answer(&mut second).await.expect("an answer").expect(201);
    let put_off = |line: &Value| {
        let message = field(line, "message").and_then(Value::as_str)?;
        let ours = message.starts_with("attempt restarted");
        ours.then(|| field(line, "channel").and_then(Value::as_str).map(str::to_owned))?
    };
    eventually("attempts that begin again", || async {
        let channels: BTreeSet<String> = process.log.lines().iter().filter_map(put_off).collect();
        (channels == BTreeSet::from(["erp".to_owned(), "named".to_owned()])).then_some(())
    })
    .await;
    assert_eq!(receiver.count(), 0);
    let_open(&process, true);
    read_answer(&mut first).await.expect("an answer").expect(201);
    for channel in ["erp", "named"] {
        let delivery = process.api.settled(&delivery_to(&order, channel)).await;
        let attempts = delivery["attempts"].as_array().map(Vec::len);
        assert_eq!((&delivery["status"], attempts), (&json!("accepted"), Some(1)), "{delivery:#}");
    }
    assert_eq!(receiver.count_on("/check"), 1);
    process.api.all_settled().await;
    process.stop().await;
}
