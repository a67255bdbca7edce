//! The numbers that stand for channels in rows: they never change, so each is asked for once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::connections::Connection;
use crate::store::StoreError;

/// The numbers known.
#[derive(Default)]
pub(super) struct Channels(RwLock<HashMap<Arc<str>, i32>>);

impl Channels {
    /// Makes the numbers of these channels known. Outside of any transaction: a number that is known stays.
    pub(super) async fn learn(&self, connection: &Connection, names: &[Arc<str>]) -> Result<(), tokio_postgres::Error> {
        let mut unknown: Vec<&str> = {
            let known = self.0.read();
            names.iter().filter(|name| !known.contains_key(*name)).map(|name| &**name).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        connection
            .execute("INSERT INTO channels (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING", &[&unknown])
            .await?;
        let rows = connection.query("SELECT name, id FROM channels WHERE name = ANY ($1)", &[&unknown]).await?;
        let mut known = self.0.write();
        for row in rows {
            known.insert(Arc::from(row.try_get::<_, &str>(0)?), row.try_get(1)?);
        }
        Ok(())
    }

    /// The number of a channel that was learned.
    pub(super) fn number(&self, name: &str) -> Result<i32, StoreError> {
        let known = self.0.read();
        let missing = || StoreError::Corrupt(format!("the channel {name} has no number"));
        known.get(name).copied().ok_or_else(missing)
    }

    /// The name behind a number, if it was learned.
    pub(super) fn name(&self, number: i32) -> Option<Arc<str>> {
        let known = self.0.read();
        known.iter().find(|(_, known)| **known == number).map(|(name, _)| Arc::clone(name))
    }
}
