//! `GET /dashboard/live`: tells a page that it is out of date, as server-sent events. What has changed the page reads itself,
//! so an event says no more than that, and a busy service sends no more of them than a quiet one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::Happening;

use super::super::problem::{Kind, Problem};
use super::form::Fields;
use super::gate::Guest;
use super::state::Dashboard;

/// The shortest time between two events.
const PACE: Duration = Duration::from_secs(1);
/// How long a stream lasts. The browser opens the next one, which a session that has ended does not get.
const LASTS: Duration = Duration::from_secs(600);
/// How often a stream on which nothing happens shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /dashboard/live`.
pub(super) async fn live(
    State(dashboard): State<Dashboard>,
    Extension(_visitor): Guest,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let components = &dashboard.api().components;
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    let about = |name: &str| fields.get(name).map(str::to_owned);
    let permit = Arc::clone(&dashboard.api().streams).try_acquire_owned();
    let watcher = Watcher {
        happenings: components.history.watch().ok_or_else(Problem::internal)?,
        subject: Subject { channel: about("channel"), delivery: about("delivery"), order: about("order") },
        stopping: components.stopping.clone(),
        ends: Instant::now() + LASTS,
        next: Instant::now(),
        _permit: permit.map_err(|_| Problem::new(Kind::TooManyStreams, "too many streams are open"))?,
    };
    let events = stream::unfold(watcher, Watcher::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response())
}

/// What a page is about; nothing: everything.
struct Subject {
    channel: Option<String>,
    /// `dlv_…`.
    delivery: Option<String>,
    /// The order's own id.
    order: Option<String>,
}

impl Subject {
    fn is_concerned(&self, happening: &Happening) -> bool {
        if let Some(delivery) = &self.delivery {
            return match happening {
                Happening::Attempt { delivery: id, .. } | Happening::Delivery { delivery: id, .. } => {
                    id.to_string() == *delivery
                }
                Happening::Deliveries { .. } => true,
                Happening::Order { .. } | Happening::Channel { .. } => false,
            };
        }
        if let Some(order) = &self.order {
            return match happening {
                Happening::Attempt { order_id, .. } => order_id.as_ref() == Some(order),
                Happening::Order { order_id, .. } => order_id == order,
                Happening::Delivery { .. } | Happening::Deliveries { .. } => true,
                Happening::Channel { .. } => false,
            };
        }
        match (&self.channel, happening.channel()) {
            (Some(channel), Some(other)) => channel == other,
            (Some(_), None) => matches!(happening, Happening::Deliveries { .. }),
            (None, _) => true,
        }
    }
}

/// A page that waits.
struct Watcher {
    happenings: Receiver<Arc<Happening>>,
    subject: Subject,
    stopping: CancellationToken,
    ends: Instant,
    /// When the next event may be sent.
    next: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let changed = async {
            tokio::time::sleep_until(self.next).await;
            // What came meanwhile is one change.
            let mut changed = false;
            loop {
                match self.happenings.try_recv() {
                    Ok(happening) => changed = changed || self.subject.is_concerned(&happening),
                    Err(TryRecvError::Lagged(_)) => changed = true,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Closed) => return false,
                }
            }
            while !changed {
                changed = match self.happenings.recv().await {
                    Ok(happening) => self.subject.is_concerned(&happening),
                    Err(RecvError::Lagged(_)) => true,
                    Err(RecvError::Closed) => return false,
                };
            }
            true
        };
        let changed = tokio::select! {
            () = self.stopping.cancelled() => false,
            () = tokio::time::sleep_until(self.ends) => false,
            changed = changed => changed,
        };
        self.next = Instant::now() + PACE;
        changed.then(|| (Ok(Event::default().event("changed").data("page")), self))
    }
}
