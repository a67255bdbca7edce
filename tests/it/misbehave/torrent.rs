//! Floods that come faster than they can be read: they keep the thread busy that reads them, and nobody else.

use serde_json::json;

use crate::client::Api;
use crate::harness::{Process, delivery_to, eventually};
use crate::receiver::{Act, Receiver, Reply};

/// A channel and a chain that meet the flood, and beside them a channel and a chain that do not.
const YAML: &str = "
chains:
  - name: flooded
    when: order.callout == \"flooded\"
    plugins:
      - {critical: true, name: calloutPlugin, options: {endpoint: FLOOD/callout, timeoutValue: 60000}}
  - name: healthy
    plugins:
      - {critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/callout, timeoutValue: 60000}}
channels:
  - {name: flooded, url: FLOOD/channel, when: order.channel == \"flooded\", timeout: {total: 60s}}
  - {name: healthy, url: RECEIVER/channel}
";

async fn meets(head: &str, torrent: &str) {
    // On a thread of its own, as a receiver would be.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let flood = runtime.spawn(Receiver::start()).await.expect("a receiver");
    let acts = vec![Act::send(head), Act::Endless(torrent.as_bytes().to_vec())];
    flood.answer([Reply::Acts(acts.clone()), Reply::Acts(acts)]);
    let healthy = Receiver::start().await;
    let process = Process::start(&healthy.fill(&YAML.replace("FLOOD", &flood.url("")))).await;
    let flooded = process.api.order(&json!({"id": "F", "channel": "flooded"})).await;
    flood.wait_for_on("/channel", 1).await;
    let api: Api = process.api.clone();
    let callout = tokio::spawn(async move { api.post("/v1/orders", &json!({"id": "H", "callout": "flooded"})).await });
    flood.wait_for_on("/callout", 1).await;
    for number in 0..20 {
        let order = process.api.order(&json!({"id": number})).await;
        assert_eq!(process.api.settled(&delivery_to(&order, "healthy")).await["status"], "accepted");
    }
    assert!(!callout.is_finished(), "the callout is flooded still");
    let detail = process.api.delivery(&delivery_to(&flooded, "flooded")).await;
    assert_eq!((detail["status"].as_str(), detail["attempts"].as_array().map(Vec::len)), (Some("pending"), Some(0)));
    eventually("a flood", || async { (flood.bytes_sent() > 1 << 20).then_some(()) }).await;
    process.api.get("/readyz").await.expect(200);
    callout.abort();
    drop(process);
    runtime.shutdown_background();
}

#[tokio::test]
async fn interim_responses_that_come_as_fast_as_they_can_slow_nobody_else() {
    meets("", "HTTP/1.1 100 Continue\r\n\r\n").await;
}

#[tokio::test]
async fn a_chunk_size_that_comes_as_fast_as_it_can_slows_nobody_else() {
    meets("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0").await;
}
