//! Whether an exchange is still connecting: told by the connector to the request that waits for it.
//!
//! A connection from the pool is there at once, so its transfer begins with the request. For a new one the connector
//! says when it begins and when it is done, TLS included.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{Layer, Service};

tokio::task_local! {
    static PHASE: Phase;
}

/// Where an exchange is.
#[derive(Debug, Clone)]
pub(super) struct Phase(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy)]
enum State {
    /// It needed no connection of its own so far. Since then.
    Kept(Instant),
    /// Connecting since then.
    Connecting(Instant),
    /// It has a new connection since then.
    Connected(Instant),
    /// This machine can open no connection. What it lacks.
    Starved(&'static str),
}

impl Phase {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State::Kept(now))))
    }

    /// Runs an exchange whose connector reports to this phase.
    pub(super) async fn watch<F: Future>(&self, exchange: F) -> F::Output {
        PHASE.scope(self.clone(), exchange).await
    }

    /// Since when it has been connecting.
    pub(super) fn connecting_since(&self) -> Option<Instant> {
        match *self.0.lock() {
            State::Connecting(since) => Some(since),
            State::Kept(_) | State::Connected(_) | State::Starved(_) => None,
        }
    }

    /// Since when it has been connected.
    pub(super) fn connected_since(&self) -> Option<Instant> {
        match *self.0.lock() {
            State::Connecting(_) | State::Starved(_) => None,
            State::Kept(since) | State::Connected(since) => Some(since),
        }
    }

    /// What this machine lacks for a connection.
    pub(super) fn starved_of(&self) -> Option<&'static str> {
        match *self.0.lock() {
            State::Starved(what) => Some(what),
            State::Kept(_) | State::Connecting(_) | State::Connected(_) => None,
        }
    }

    /// Whether this is the phase of the exchange that is being polled now.
    fn is_current(&self) -> bool {
        PHASE.try_with(|current| Arc::ptr_eq(&current.0, &self.0)).unwrap_or(false)
    }
}

/// Another exchange begins: it may find that the connection of the one before is kept.
pub(super) fn begin() {
    let _ = PHASE.try_with(|phase| {
        let mut state = phase.0.lock();
        if let State::Connected(since) = *state {
            *state = State::Kept(since);
        }
    });
}

/// No connection can be opened for now.
pub(super) fn starve(what: &'static str) {
    let _ = PHASE.try_with(|phase| *phase.0.lock() = State::Starved(what));
}

/// Whether an exchange that had a connection had one that others went out on before.
pub(super) fn is_kept() -> bool {
    // One that is still connecting has found another one meanwhile.
    PHASE.try_with(|phase| !matches!(*phase.0.lock(), State::Connected(_))).unwrap_or(false)
}

/// When the connection that this exchange opened was there; `None` for one that was kept.
pub(super) fn connected_at() -> Option<Instant> {
    let connected = PHASE.try_with(|phase| match *phase.0.lock() {
        State::Connected(since) => Some(since),
        State::Kept(_) | State::Connecting(_) | State::Starved(_) => None,
    });
    connected.ok().flatten()
}

/// The layer around the connector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reporting;

impl<S> Layer<S> for Reporting {
    type Service = Reporter<S>;

    fn layer(&self, inner: S) -> Reporter<S> {
        Reporter(inner)
    }
}

/// A connector that reports.
#[derive(Debug, Clone)]
pub(super) struct Reporter<S>(S);

impl<S, R> Service<R> for Reporter<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let mut connect = Box::pin(self.0.call(request));
        let Ok(phase) = PHASE.try_with(Clone::clone) else { return connect };
        *phase.0.lock() = State::Connecting(Instant::now());
        Box::pin(std::future::poll_fn(move |context| {
            let result = connect.as_mut().poll(context);
            // Polled by somebody else: the exchange has found another connection in the pool meanwhile, and this one
            // is finished for the pool alone.
            let current = phase.is_current();
            if (result.is_ready() || !current) && phase.connecting_since().is_some() {
                let now = Instant::now();
                *phase.0.lock() = if current { State::Connected(now) } else { State::Kept(now) };
            }
            result
        }))
    }
}
