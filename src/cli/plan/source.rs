//! Where the record of orders comes from: the API of a running server, or a store file.

use std::path::Path;

use serde_json::Value;

use crate::api;
use crate::cli::client::{Client, Stop};
use crate::store::{Archive, OrderFilter, OrderKey, Page, StoreError};

/// Orders that a call asks for at most.
const PAGE: usize = 250;

pub(super) enum Source<'a> {
    Server(&'a Client),
    File(Archive),
}

impl Source<'_> {
    /// A store file.
    pub(super) fn file(path: &Path) -> Result<Self, Stop> {
        Archive::open(path).map(Self::File).map_err(|error| failed(&error))
    }

    /// The ids of at most `most` orders received since that time, newest first, and the cursor of the next ones.
    pub(super) async fn orders(
        &self,
        since: &str,
        cursor: Option<&str>,
        most: usize,
    ) -> Result<(Vec<String>, Option<String>), Stop> {
        let limit = most.min(PAGE);
        match self {
            Self::Server(client) => {
                let mut query = vec![("since".to_owned(), since.to_owned()), ("limit".to_owned(), limit.to_string())];
                query.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.to_owned())));
                let page = client.get(&["v1", "orders"], &query).await?;
                let data = page.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let ids = data.iter().filter_map(|order| order.get("id")?.as_str().map(str::to_owned)).collect();
                Ok((ids, page.get("next_cursor").and_then(Value::as_str).map(str::to_owned)))
            }
            Self::File(archive) => {
                let filter = OrderFilter { since: since.parse().ok(), ..OrderFilter::default() };
                let page = Page { limit, before: cursor.and_then(|cursor| cursor.parse().ok()) };
                let page = archive.orders(filter, page).await.map_err(|error| failed(&error))?;
                let ids = page.data.iter().map(|order| order.id.to_string()).collect();
                Ok((ids, page.next.map(|next| next.to_string())))
            }
        }
    }

    /// An order as the API shows it; `None` where it has been removed meanwhile.
    pub(super) async fn order(&self, id: &str) -> Result<Option<Value>, Stop> {
        match self {
            Self::Server(client) => client.get(&["v1", "orders", id], &[]).await.map(Some),
            Self::File(archive) => {
                let Ok(id) = id.parse() else { return Ok(None) };
                let found = archive.order(OrderKey::Id(id)).await.map_err(|error| failed(&error))?;
                Ok(found.as_ref().map(api::order_json))
            }
        }
    }

    /// A delivery as the API shows it; `null` where it has been removed meanwhile.
    pub(super) async fn delivery(&self, id: &str) -> Result<Value, Stop> {
        match self {
            Self::Server(client) => client.get(&["v1", "deliveries", id], &[]).await,
            Self::File(archive) => {
                let Ok(id) = id.parse() else { return Ok(Value::Null) };
                let found = archive.delivery(id).await.map_err(|error| failed(&error))?;
                Ok(found.as_ref().map(api::delivery_json).unwrap_or_default())
            }
        }
    }
}

fn failed(error: &StoreError) -> Stop {
    Stop::Failed(format!("--store: {error}"))
}
