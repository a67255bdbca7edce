//! Connections: accepted within a bound, served over HTTP/1.1 and HTTP/2 on one port, drained at a stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::semaphore::ResizableSemaphore;

use super::connection::Connection;
use super::connection_limits::ConnectionLimits;

/// How long the loop rests after it could not accept: longer each time, so that it neither spins nor gives up while
/// the process has no file descriptor left.
const REST: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Serves until `stop`, each connection by the `limits` that hold as it is accepted; then finishes the requests under
/// way: callers that keep their connection are told to close it.
/// Returns when all connections are closed, or soon after `abort`, which closes them as they are.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut limits: watch::Receiver<ConnectionLimits>,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let places = ResizableSemaphore::new(limits.borrow_and_update().max_connections);
    let connections = TaskTracker::new();
    loop {
        let (stream, place) = tokio::select! {
            accepted = next(&listener, &places, &stop) => match accepted {
                Some(accepted) => accepted,
                None => break,
            },
            Ok(()) = limits.changed() => {
                places.resize(limits.borrow_and_update().max_connections);
                continue;
            }
        };
        let limits = *limits.borrow();
        // Each connection has tokens of its own, so that they do not meet at one lock.
        let (stop, abort) = (stop.child_token(), abort.child_token());
        let connection = Connection { router: router.clone(), limits, places: Arc::clone(&places), stop };
        connections.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => {}
                () = connection.run(stream) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, and its place among those that may be open. `None`: the stop has begun.
async fn next(
    listener: &TcpListener,
    places: &ResizableSemaphore,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accepting = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        let mut rest = REST.0;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                Err(error) if is_about_the_caller(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(REST.1);
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => None,
        accepted = accepting => accepted,
    }
}

/// Whether only this one connection is lost.
fn is_about_the_caller(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
