//! Why deliveries failed.

use std::sync::Arc;

use super::connections::Loan;
use super::rows::{self, get};
use crate::domain::{Code, DeliveryId, Timestamp};
use crate::store::{FailureCause, StoreError};

/// Causes that are listed.
const LISTED: i64 = 250;
/// Deliveries counted one by one.
const COUNTED: i64 = 10_000;

/// Causes since `$1` (NULL: all), at most `$3`, each with its deliveries since the key `$2`, counted up to `$4`, and its newest one.
const CAUSES: &str = "SELECT c.id, n.name, c.code, c.likeness, c.first_at, c.last_at,
        CASE WHEN $1::bigint IS NULL THEN c.open ELSE (SELECT count(*) FROM (SELECT FROM states s
            WHERE s.cause = c.id AND s.delivery + 0 >= $2 LIMIT $4) counted) END,
        d.seq, d.rest
    FROM (SELECT * FROM causes WHERE open > 0 AND ($1::bigint IS NULL OR last_at >= $1)
        ORDER BY open DESC, last_at DESC LIMIT $3) c
    CROSS JOIN LATERAL (SELECT name FROM channels WHERE channels.id = c.channel LIMIT 1) n
    CROSS JOIN LATERAL (SELECT delivery FROM states s WHERE s.cause = c.id ORDER BY s.delivery + 0 DESC LIMIT 1) s
    CROSS JOIN LATERAL (SELECT seq, rest FROM deliveries WHERE deliveries.seq = s.delivery LIMIT 1) d
    ORDER BY c.open DESC, c.last_at DESC";

/// [`crate::store::History::causes`].
pub(super) async fn causes(loan: &Loan, since: Option<Timestamp>) -> Result<Vec<FailureCause>, StoreError> {
    let (at, key) = (since.map(Timestamp::as_millis), since.map_or(0, DeliveryId::sequence_at));
    let mut causes = Vec::new();
    for row in loan.query(CAUSES, &[&at, &key, &LISTED, &COUNTED]).await? {
        let count = rows::count(&row, 6)?;
        if count == 0 {
            continue;
        }
        causes.push(FailureCause {
            id: get(&row, 0)?,
            channel: Arc::from(get::<&str>(&row, 1)?),
            code: Some(get(&row, 2)?).filter(|code| *code != 0).map(Code::from_i32),
            likeness: get(&row, 3)?,
            count,
            more: since.is_some() && count == COUNTED.unsigned_abs(),
            first_at: rows::time(&row, 4)?,
            last_at: rows::time(&row, 5)?,
            example: rows::id(&row, 7)?,
        });
    }
    Ok(causes)
}
