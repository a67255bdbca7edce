//! Lets one connection through, ever: a client behind this gate has that one or none.
//!
//! NTLM vouches for a connection, so its messages have to take the same one. A pool may open another at any time, as when
//! the first has not come back yet; here that other one is never opened, and so the pool waits for the first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tower::{BoxError, Layer, Service};

/// How long a connection may take to come back into its pool: if it has not by then, it is closed.
const COMES_BACK: Duration = Duration::from_secs(1);

/// The connection is closed, and there is to be no other.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed")]
pub(in crate::outbound) struct Lost;

/// The layer around the connector.
#[derive(Debug, Clone, Default)]
pub(in crate::outbound) struct Gate(Arc<AtomicBool>);

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, used: Arc::clone(&self.0) }
    }
}

/// A connector that connects once.
#[derive(Debug, Clone)]
pub(in crate::outbound) struct Gated<S> {
    inner: S,
    used: Arc<AtomicBool>,
}

impl<S, R> Service<R> for Gated<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        if self.used.swap(true, Ordering::AcqRel) {
            return Box::pin(async {
                tokio::time::sleep(COMES_BACK).await;
                Err(Lost.into())
            });
        }
        Box::pin(self.inner.call(request))
    }
}
