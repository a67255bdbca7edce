//! Gives deliveries the rows of `states` that they have not needed so far, before they are changed.

use super::tx::{Fault, Tx};

/// Of deliveries that were born leased: the mark in `attempts` keeps their replica from recording a first attempt as if there were
/// no row.
const OF_LEASED: &str = "WITH
    bare AS (SELECT seq, channel, born, due_at FROM deliveries d WHERE seq = ANY ($1) AND born IS NOT NULL
        AND NOT EXISTS (SELECT FROM states s WHERE s.delivery = d.seq)),
    marked AS (INSERT INTO attempts (delivery, number, id, started_at, duration_ms, code, outcome, exchange)
        SELECT seq, 1, NULL, 0, 0, 0, '', '{}' FROM bare ON CONFLICT DO NOTHING RETURNING delivery)
    INSERT INTO states (delivery, channel, state, owner, lease, attempts, round_start, due_at, updated_at)
        SELECT seq, channel, 2, born, 1, 0, 0, due_at, seq >> 15 FROM bare JOIN marked ON marked.delivery = bare.seq";

/// Of deliveries that were accepted by their first attempt.
const OF_ACCEPTED: &str =
    "INSERT INTO states (delivery, channel, state, lease, attempts, round_start, due_at, updated_at, last_code)
    SELECT d.seq, d.channel, 3, 1, 1, 0, d.due_at, a.started_at + a.duration_ms, a.code
        FROM deliveries d JOIN attempts a ON a.delivery = d.seq AND a.number = 1 AND a.id IS NOT NULL
        WHERE d.seq = ANY ($1) AND NOT EXISTS (SELECT FROM states s WHERE s.delivery = d.seq)
    ON CONFLICT DO NOTHING";

/// Makes the rows that are missing.
pub(super) async fn make(tx: &Tx<'_>, deliveries: &[i64]) -> Result<(), Fault> {
    if tx.execute(OF_LEASED, &[&deliveries]).await? < deliveries.len() as u64 {
        tx.execute(OF_ACCEPTED, &[&deliveries]).await?;
    }
    Ok(())
}
