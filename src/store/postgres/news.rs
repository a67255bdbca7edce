//! What replicas tell each other: by `NOTIFY`, after the commit, some at a time. Whoever was away asks the store.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

use super::connections::Connections;
use super::tx::Writes;
use crate::domain::Timestamp;
use crate::store::{News, Replica, StoreError};

/// The name of the channel of notifications.
const CHANNEL: &str = "orderhook";

/// The largest payload: the server takes less than 8,000 bytes.
const PAYLOAD: usize = 7500;

/// How long to wait before listening again.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// News of a replica.
#[derive(Serialize, Deserialize)]
struct Letter {
    by: i64,
    news: Vec<News>,
}

/// Where news is sent from.
#[derive(Clone)]
pub(super) struct Sender(mpsc::UnboundedSender<News>);

impl Sender {
    /// Sends by a task of the present runtime.
    pub(super) fn start(connections: Arc<Connections>, own: Replica) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        tokio::spawn(send_all(connections, news, own));
        Self(sender)
    }

    pub(super) fn send(&self, news: News) {
        let _ = self.0.send(news);
    }

    /// Deliveries of these channels can be claimed from these times on.
    pub(super) fn waiting(&self, waiting: Vec<(Arc<str>, Timestamp)>) {
        for (channel, at) in waiting {
            self.send(News::Waiting(channel, at.as_millis()));
        }
    }
}

async fn send_all(connections: Arc<Connections>, mut news: mpsc::UnboundedReceiver<News>, own: Replica) {
    let mut next: Option<News> = None;
    loop {
        let first = match next.take() {
            Some(one) => one,
            None => match news.recv().await {
                Some(one) => one,
                None => return,
            },
        };
        let mut letter = vec![first];
        let mut bytes = 200;
        while let Ok(one) = news.try_recv() {
            // The earliest time of a channel says it all.
            if let News::Waiting(channel, at) = &one
                && let Some(News::Waiting(_, known)) =
                    letter.iter_mut().find(|known| matches!(known, News::Waiting(other, _) if other == channel))
            {
                *known = (*known).min(*at);
                continue;
            }
            bytes += serde_json::to_string(&one).map_or(0, |text| text.len() + 1);
            if bytes > PAYLOAD {
                next = Some(one);
                break;
            }
            letter.push(one);
        }
        let Ok(text) = serde_json::to_string(&Letter { by: own.0, news: letter }) else { continue };
        match send(&connections, &text).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => tracing::debug!(%error, "other replicas learn of this when they ask the store"),
        }
    }
}

async fn send(connections: &Arc<Connections>, text: &str) -> Result<(), StoreError> {
    connections.get().await?.query("SELECT pg_notify($1, $2)", &[&CHANNEL, &text]).await?;
    Ok(())
}

/// Listens to the other replicas, until the connections are closed.
pub(super) async fn listen(connections: Arc<Connections>, writes: Arc<Writes>) {
    let mut first = true;
    while !connections.is_closed() {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let opened = connections.open(move |message| {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification.payload().to_owned());
            }
        });
        let listening = async {
            let connection = opened.await?;
            connection.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
            Ok::<_, StoreError>(connection)
        };
        match listening.await {
            Ok(connection) => {
                if !std::mem::take(&mut first) {
                    pass_on(&writes, News::Missed);
                }
                loop {
                    tokio::select! {
                        text = heard.recv() => match text {
                            Some(text) => read(&writes, &text),
                            None => break,
                        },
                        () = connections.closed() => return,
                    }
                }
                drop(connection);
            }
            Err(error) => tracing::debug!(%error, "cannot listen to other replicas, trying again"),
        }
        first = false;
        tokio::select! {
            () = tokio::time::sleep(LISTEN_AGAIN) => {}
            () = connections.closed() => return,
        }
    }
}

fn read(writes: &Writes, text: &str) {
    match serde_json::from_str::<Letter>(text) {
        Ok(letter) if letter.by == writes.own.0 => {}
        Ok(letter) => letter.news.into_iter().for_each(|news| pass_on(writes, news)),
        // A later version may know more.
        Err(error) => {
            tracing::debug!(%error, "news that this version does not know");
            pass_on(writes, News::Missed);
        }
    }
}

fn pass_on(writes: &Writes, news: News) {
    if let News::Cancelled(_, delivery, _) = &news {
        writes.tracker.close([delivery.sequence()]);
    }
    let Some(lanes) = writes.handover.get() else { return };
    match news {
        News::Waiting(channel, at) => lanes.waiting(&channel, Timestamp::from_millis(at)),
        news => lanes.news(news),
    }
}
