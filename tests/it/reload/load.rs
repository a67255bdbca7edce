//! Orders under load while the configuration is reloaded all the time: none is lost, none is sent twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::RELOAD;
use crate::client::Api;
use crate::harness::{Home, Process, Service, text};
use crate::receiver::{Receiver, Reply};

const CALLERS: usize = 4;

/// The configuration of a round: `erp` is another one each time, `guest` comes and goes, `steady` stays.
fn round(receiver: &Receiver, number: usize) -> String {
    let guest = if number.is_multiple_of(3) { "" } else { "\n  - {name: guest, url: RECEIVER/guest, concurrency: 2}" };
    let chain = if number.is_multiple_of(2) {
        ""
    } else {
        "{name: odd, when: order.number % 5 == 0, plugins: [{name: calloutPlugin, critical: true, options: {endpoint: RECEIVER/step}}]}"
    };
    receiver.fill(&format!(
        "
delivery: {{workers: {workers}, lane_memory: {memory}KiB, chain_concurrency: {chains}}}
chains: [{chain}]
channels:
  - {{name: erp, url: 'RECEIVER/erp?round={number}', concurrency: {concurrency}, retry: {{attempts: 20, interval: 20ms, jitter: 0}}}}
  - {{name: steady, url: RECEIVER/steady}}{guest}
",
        workers = 3 + number % 7,
        memory = 1 + number % 40,
        chains = 1 + number % 3,
        concurrency = 1 + number % 4,
    ))
}

/// Posts orders until told to stop; answers the deliveries that were promised, with the channel.
async fn post(api: Api, next: Arc<AtomicUsize>, enough: Arc<AtomicBool>) -> Vec<(String, String)> {
    let mut promised = Vec::new();
    while !enough.load(Ordering::SeqCst) {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let order = api.order(&json!({"id": number, "number": number, "filler": "x".repeat(number % 700)})).await;
        for delivery in order["deliveries"].as_array().expect("deliveries") {
            promised.push((text(delivery, "id").to_owned(), text(delivery, "channel").to_owned()));
        }
    }
    promised
}

/// Posts under reloads; answers what was promised.
async fn under_reloads(api: &Api, home: &Home, receiver: &Receiver, rounds: usize) -> Vec<(String, String)> {
    let (next, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(post(api.clone(), Arc::clone(&next), Arc::clone(&enough)));
    }
    for number in 1..=rounds {
        home.configure(&round(receiver, number));
        api.post(RELOAD, &Value::Null).await.expect(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    enough.store(true, Ordering::SeqCst);
    // All channels are there at the end, so that all can be delivered.
    home.configure(&round(receiver, 1));
    api.post(RELOAD, &Value::Null).await.expect(200);
    callers.join_all().await.into_iter().flatten().collect()
}

/// How often each delivery has come, by its id.
fn came(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for request in receiver.requests() {
        if request.path() != "/step" {
            *count.entry(request.header("webhook-id").expect("an id").to_owned()).or_default() += 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_order_is_delivered_once_while_everything_changes() {
    let receiver = Receiver::start().await;
    let service = Service::ticking(&round(&receiver, 0)).await;
    let promised = under_reloads(&service.api, &service.home, &receiver, 40).await;
    service.api.all_settled().await;
    let mut came = came(&receiver);
    assert!(promised.len() > 200, "{} deliveries under 40 reloads", promised.len());
    assert!(promised.iter().any(|(_, channel)| channel == "guest"));
    for (id, channel) in &promised {
        assert_eq!(came.remove(id), Some(1), "{id} to {channel}");
    }
    assert!(came.is_empty(), "nobody was told of {came:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_are_made_as_often_as_they_are_told_to_be() {
    let receiver = Receiver::start().await;
    // Every third attempt at `erp` fails, whoever it is for.
    let replies = std::iter::repeat_n([Reply::status(200), Reply::status(200), Reply::status(503)], 1000)
        .flatten()
        .chain([Reply::status(200)]);
    receiver.on("/erp", replies);
    let service = Service::ticking(&round(&receiver, 0)).await;
    let promised = under_reloads(&service.api, &service.home, &receiver, 20).await;
    service.api.all_settled().await;
    let came = came(&receiver);
    let mut again = 0;
    for delivery in service.api.list("/v1/deliveries").await {
        assert_eq!(delivery["status"], "accepted", "{delivery}");
        let attempts = delivery["attempt_count"].as_u64().expect("a count") as usize;
        assert_eq!(came.get(text(&delivery, "id")), Some(&attempts), "{delivery}");
        again += usize::from(attempts > 1);
    }
    assert!(again > 10, "{again} of {} were tried again", promised.len());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_among_reloads_loses_nothing_either() {
    let receiver = Receiver::start().await;
    let mut process = Process::start(&round(&receiver, 0)).await;
    let home = Arc::clone(&process.home);
    let promised = under_reloads(&process.api, &home, &receiver, 10).await;
    process.kill();
    let process = Process::start_in(&home, &round(&receiver, 1)).await;
    process.api.all_settled().await;
    let came = came(&receiver);
    for (id, channel) in &promised {
        assert!(came.contains_key(id), "{id} to {channel}");
    }
    process.stop().await;
}
