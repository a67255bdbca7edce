//! Callers that post orders to replicas under fault, and remember each answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::Api;
use crate::harness::{eventually, text};
use crate::receiver::Receiver;

/// Callers for each replica.
const CALLERS: usize = 4;

#[derive(Default)]
struct Shared {
    /// The orders posted, by the caller's own id: the id in the response, where there was one with 2xx.
    posted: Mutex<BTreeMap<String, Option<String>>>,
    next: AtomicUsize,
    stop: AtomicBool,
    refused: AtomicUsize,
}

/// Callers that post one order after another until they are stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

impl Load {
    pub(super) fn start(apis: &[&Api]) -> Self {
        let shared = Arc::new(Shared::default());
        let mut callers = JoinSet::new();
        for api in apis {
            for _ in 0..CALLERS {
                callers.spawn(post_until_stopped((*api).clone(), Arc::clone(&shared)));
            }
        }
        Self { shared, callers }
    }

    /// How many orders were answered 2xx.
    pub(super) fn accepted(&self) -> usize {
        self.shared.posted.lock().values().flatten().count()
    }

    /// How many orders were answered 503.
    pub(super) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Waits until that many more orders were answered 2xx.
    pub(super) async fn wait_for_more(&self, count: usize) {
        let target = self.accepted() + count;
        eventually("more accepted orders", || async { (self.accepted() >= target).then_some(()) }).await;
    }

    /// Stops the callers; returns what they posted.
    pub(super) async fn stop(self) -> Posted {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.callers.join_all().await;
        Posted(self.shared.posted.lock().clone())
    }
}

async fn post_until_stopped(api: Api, shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::SeqCst) {
        let own = format!("A-{}", shared.next.fetch_add(1, Ordering::SeqCst));
        shared.posted.lock().insert(own.clone(), None);
        let body = json!({"id": own}).to_string();
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", own.as_str())];
        // A caller gives up after a while: a stopped process does not answer.
        let call = api.try_call("POST", "/v1/orders", &headers, body.as_bytes());
        let pause = match tokio::time::timeout(Duration::from_secs(5), call).await {
            Ok(Ok(answer)) if matches!(answer.status, 201 | 202) => {
                let id = text(&answer.json(), "id").to_owned();
                shared.posted.lock().insert(own, Some(id));
                5
            }
            Ok(Ok(answer)) => {
                assert!(answer.header("retry-after").is_some(), "no Retry-After: {answer}");
                answer.problem(503);
                shared.refused.fetch_add(1, Ordering::SeqCst);
                50
            }
            Ok(Err(_)) | Err(_) => 50,
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// The orders that were posted, by the caller's own id: the id in the response, where there was one with 2xx.
pub(super) struct Posted(BTreeMap<String, Option<String>>);

impl Posted {
    /// Waits for the end of all orders; then each that was answered 2xx is stored once and delivered under one id, and each that
    /// was not is stored at most once, and delivered if it is stored. Returns how many requests were repeats.
    pub(super) async fn assert_delivered(&self, api: &Api, receiver: &Receiver, path: &str) -> usize {
        eventually("the end of all orders", || async {
            let open = api.get("/v1/orders?status=processing&limit=1").await.expect(200);
            open["data"].as_array().expect("data").is_empty().then_some(())
        })
        .await;
        api.all_settled().await;
        let mut stored: BTreeMap<String, String> = BTreeMap::new();
        for order in api.list("/v1/orders").await {
            let own = text(&order, "order_id").to_owned();
            let before = stored.insert(own.clone(), text(&order, "id").to_owned());
            assert_eq!(before, None, "{own} was stored twice");
        }
        for (own, id) in &self.0 {
            if let Some(id) = id {
                assert_eq!(stored.get(own), Some(id), "{own} was answered 2xx");
            }
        }
        let mut deliveries = BTreeMap::new();
        for delivery in api.list("/v1/deliveries").await {
            assert_eq!(delivery["status"], "accepted", "{delivery:#}");
            let own = text(&delivery, "order_id").to_owned();
            let before = deliveries.insert(own.clone(), text(&delivery, "id").to_owned());
            assert_eq!(before, None, "{own} has two deliveries");
        }
        let requests = receiver.requests_on(path);
        let mut sent: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for request in &requests {
            sent.entry(own_id(&request.json())).or_default().insert(request.expect_header("webhook-id").to_owned());
        }
        for own in stored.keys() {
            let delivery = deliveries.get(own).unwrap_or_else(|| panic!("{own} has no delivery"));
            assert_eq!(sent.get(own), Some(&BTreeSet::from([delivery.clone()])), "{own} is sent under its id");
        }
        assert!(sent.keys().all(|own| stored.contains_key(own)), "all that was sent is stored");
        requests.len() - sent.len()
    }
}

/// The caller's id of the order in an event.
pub(super) fn own_id(event: &Value) -> String {
    text(&event["data"]["order"], "id").to_owned()
}
