//! Whether an exchange is still connecting: told by the connector to the request that waits for it.
//!
//! A connection from the pool is there at once, so its transfer begins with the request. For a new one the connector
//! says when it begins and when it is done, TLS included. There, too, the egress guard looks where it leads.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::{Layer, Service};

use super::egress::{Guard, Target};

tokio::task_local! {
    static PHASE: Phase;
}

/// Where an exchange is.
#[derive(Debug, Clone)]
pub(super) struct Phase(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where its connections lead.
    target: Target,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Connecting since then.
    Connecting(Instant),
    /// Connected since then, or from the start.
    Connected(Instant),
}

impl Phase {
    pub(super) fn new(now: Instant, target: Target) -> Self {
        Self(Arc::new(Inner { target, state: Mutex::new(State::Connected(now)) }))
    }

    /// Runs an exchange whose connector reports to this phase.
    pub(super) async fn watch<F: Future>(&self, exchange: F) -> F::Output {
        PHASE.scope(self.clone(), exchange).await
    }

    /// Since when it has been connecting.
    pub(super) fn connecting_since(&self) -> Option<Instant> {
        match *self.state() {
            State::Connecting(since) => Some(since),
            State::Connected(_) => None,
        }
    }

    /// Since when it has been connected.
    pub(super) fn connected_since(&self) -> Option<Instant> {
        match *self.state() {
            State::Connecting(_) => None,
            State::Connected(since) => Some(since),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the phase of the exchange that is being polled now.
    fn is_current(&self) -> bool {
        PHASE.try_with(|current| Arc::ptr_eq(&current.0, &self.0)).unwrap_or(false)
    }
}

/// The layer around the connector.
#[derive(Clone)]
pub(super) struct Watching(pub(super) Guard);

impl<S> Layer<S> for Watching {
    type Service = Watcher<S>;

    fn layer(&self, inner: S) -> Watcher<S> {
        Watcher { inner, guard: self.0.clone() }
    }
}

/// A connector that goes only where it may, and reports.
#[derive(Clone)]
pub(super) struct Watcher<S> {
    inner: S,
    guard: Guard,
}

/// A connection of which nobody said where it leads.
#[derive(Debug, thiserror::Error)]
#[error("a connection was to be made outside of any exchange")]
struct Unwatched;

type BoxError = Box<dyn Error + Send + Sync>;

impl<S, R> Service<R> for Watcher<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let Ok(phase) = PHASE.try_with(Clone::clone) else { return Box::pin(ready(Err(Unwatched.into()))) };
        // Nothing is done until it is polled.
        let connect = self.inner.call(request);
        let guard = self.guard.clone();
        let watched = phase.clone();
        let mut connect = Box::pin(async move {
            let target = &watched.0.target;
            guard.check_target(target).await?;
            connect.await.map_err(|error| target.blame(error))
        });
        *phase.state() = State::Connecting(Instant::now());
        Box::pin(std::future::poll_fn(move |context| {
            let result = connect.as_mut().poll(context);
            // Polled by somebody else: the exchange has found another connection in the pool meanwhile, and this one
            // is finished for the pool alone.
            if (result.is_ready() || !phase.is_current()) && phase.connecting_since().is_some() {
                *phase.state() = State::Connected(Instant::now());
            }
            result
        }))
    }
}
