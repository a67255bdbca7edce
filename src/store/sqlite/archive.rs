//! The history of a database file, read without a service and without a change to the file.

use std::path::Path;
use std::sync::Arc;

use super::db::Tally;
use super::options::Options;
use super::readers::Readers;
use super::{details, open};
use crate::domain::DeliveryId;
use crate::store::{DeliveryDetail, OrderDetail, OrderFilter, OrderKey, OrderSummary, Page, Paged, StoreError};

/// Orders and deliveries of a file. A service may work on it meanwhile.
#[derive(Debug)]
pub struct Archive {
    readers: Arc<Readers>,
    tally: Arc<Tally>,
}

impl Archive {
    /// Opens the file, which must be of this version of the program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let options = Options::new(path);
        let conn = open::connect_reader(path, &options)?;
        open::check_current(&conn, path)?;
        let tally = Arc::new(Tally::read(&conn)?);
        Ok(Self { readers: Arc::new(Readers::new(path.to_owned(), options)), tally })
    }

    /// Orders, newest first.
    pub async fn orders(&self, filter: OrderFilter, page: Page) -> Result<Paged<OrderSummary>, StoreError> {
        self.readers.read(move |conn| details::orders(conn, &filter, page)).await
    }

    /// One order with all that is known of it.
    pub async fn order(&self, key: OrderKey) -> Result<Option<OrderDetail>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::order(conn, &tally, &key)).await
    }

    /// One delivery with all its attempts.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::delivery(conn, &tally, id)).await
    }
}
