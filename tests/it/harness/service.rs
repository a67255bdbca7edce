//! The service within the test, on a clock of the test's own.

use std::sync::Arc;
use std::time::Duration;

use orderhook::app::{App, Loader, Parts};
use orderhook::domain::{Clock, ManualClock, Timestamp};
use serde_json::Value;
use tokio::task::AbortHandle;

use super::{Home, check_for_panics, eventually, text, watch_for_panics};
use crate::client::Api;

/// 2026-01-31, noon: when the clock of every test begins.
pub(crate) const NOON: i64 = 1_769_860_800_000;

/// The service, in this process. End it with [`Service::stop`].
pub(crate) struct Service {
    pub(crate) api: Api,
    pub(crate) clock: ManualClock,
    pub(crate) home: Arc<Home>,
    app: Option<App>,
    ticker: Option<AbortHandle>,
    yaml: String,
}

impl Service {
    /// Starts it on a new store. Its clock stands still.
    pub(crate) async fn start(yaml: &str) -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(NOON));
        Self::start_in(Arc::new(Home::new()), clock, yaml).await
    }

    /// Starts it on a new store. Its clock goes as fast as the real one.
    pub(crate) async fn ticking(yaml: &str) -> Self {
        let mut service = Self::start(yaml).await;
        service.tick();
        service
    }

    /// Lets the clock go as fast as the real one from now on.
    pub(crate) fn tick(&mut self) {
        let clock = self.clock.clone();
        let ticker = tokio::spawn(async move {
            let mut before = tokio::time::Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let now = tokio::time::Instant::now();
                let passed = Duration::from_millis(u64::try_from((now - before).as_millis()).unwrap_or(0));
                before += passed;
                clock.advance(passed);
            }
        });
        self.ticker = Some(ticker.abort_handle());
    }

    async fn start_in(home: Arc<Home>, clock: ManualClock, yaml: &str) -> Self {
        watch_for_panics();
        let paths = home.configure(yaml);
        let environment = orderhook::config::Environment::default();
        let loader = Loader::new(move |reading| orderhook::config::load_as(reading, &paths, &environment));
        let settings = loader.load().unwrap_or_else(|errors| panic!("{errors}"));
        let parts = Parts { clock: Arc::new(clock.clone()), seed: 7, loader };
        let app = App::start(settings, parts).await.unwrap_or_else(|error| panic!("{error}"));
        let api = Api::new(app.address());
        Self { api, clock, home, app: Some(app), ticker: None, yaml: yaml.to_owned() }
    }

    /// Writes another configuration, without a word to the service. It must have been started with one.
    pub(crate) fn configure(&mut self, yaml: &str) {
        self.home.configure(yaml);
        yaml.clone_into(&mut self.yaml);
    }

    /// Writes another configuration and lets it take over, whatever it removes; answers what has changed.
    pub(crate) async fn reload(&mut self, yaml: &str) -> Value {
        self.configure(yaml);
        self.api.post("/v1/config/reload", &serde_json::json!({"force": true})).await.expect(200)
    }

    /// Stops it as SIGTERM does.
    pub(crate) async fn stop(mut self) {
        self.halt().await;
    }

    async fn halt(&mut self) {
        if let Some(app) = self.app.take() {
            app.stop().await;
        }
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
    }

    /// Stops it and starts it again on the same store, at the same time of its clock.
    pub(crate) async fn restart(mut self) -> Self {
        self.halt().await;
        Self::start_in(Arc::clone(&self.home), self.clock.clone(), &self.yaml).await
    }

    /// Stops it, does something, and starts it again on the same store.
    pub(crate) async fn restart_after(mut self, meanwhile: impl FnOnce()) -> Self {
        self.halt().await;
        meanwhile();
        Self::start_in(Arc::clone(&self.home), self.clock.clone(), &self.yaml).await
    }

    /// Stops it and starts it again on the same store with another configuration.
    pub(crate) async fn restart_with(mut self, yaml: &str) -> Self {
        self.halt().await;
        Self::start_in(Arc::clone(&self.home), self.clock.clone(), yaml).await
    }

    /// Waits until a pending delivery waits for its next attempt, or has ended.
    pub(crate) async fn at_rest(&self, delivery: &str) -> Value {
        eventually(&format!("{delivery} to wait or end"), || async {
            let found = self.api.delivery(delivery).await;
            let waits = due(&found).is_some_and(|due| due > self.clock.now());
            (found["status"] != "pending" || waits).then_some(found)
        })
        .await
    }

    /// How long a waiting delivery still waits.
    pub(crate) async fn wait_of(&self, delivery: &str) -> Duration {
        let found = self.at_rest(delivery).await;
        let due = due(&found).unwrap_or_else(|| panic!("no next attempt in {found:#}"));
        due.since(self.clock.now())
    }

    /// Moves the clock to a waiting delivery's next attempt; returns by how much.
    pub(crate) async fn advance_to_next_attempt(&self, delivery: &str) -> Duration {
        let wait = self.wait_of(delivery).await;
        self.clock.advance(wait);
        wait
    }

    /// Moves the clock from attempt to attempt until the delivery has ended.
    pub(crate) async fn play_out(&self, delivery: &str) -> Value {
        for _ in 0..100 {
            let found = self.at_rest(delivery).await;
            if found["status"] != "pending" {
                return found;
            }
            self.advance_to_next_attempt(delivery).await;
        }
        panic!("{delivery} is tried more than a hundred times");
    }

    /// How far the clock has gone since the test began.
    pub(crate) fn clock_passed(&self) -> Duration {
        self.clock.now().since(Timestamp::from_millis(NOON))
    }

    /// Moves the clock on by small steps until there is an answer.
    pub(crate) async fn advance_until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        step: Duration,
        mut ask: impl FnMut() -> F,
    ) -> T {
        eventually(what, || {
            let asked = ask();
            async {
                let found = asked.await;
                if found.is_none() {
                    self.clock.advance(step);
                }
                found
            }
        })
        .await
    }
}

fn due(delivery: &Value) -> Option<Timestamp> {
    delivery["next_attempt_at"].as_str()?;
    Some(text(delivery, "next_attempt_at").parse().expect("a time"))
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
        if !std::thread::panicking() {
            assert!(self.app.is_none(), "a test ends its service with stop()");
            check_for_panics();
            self.home.check();
        }
    }
}
