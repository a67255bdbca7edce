//! Why deliveries failed, counted as they are recorded: a list of causes costs the same however many deliveries failed.

use super::text::text;
use super::tx::{Fault, Tx};
use crate::domain::{Code, Timestamp};
pub(super) use crate::store::likenesses::of_attempt;
use crate::store::likenesses::{APART, OTHERS};

/// Counts a delivery that has failed or was rejected; it has a row in `states`.
pub(super) async fn join(
    tx: &Tx<'_>,
    delivery: i64,
    code: Option<Code>,
    likeness: &str,
    at: Timestamp,
) -> Result<(), Fault> {
    let code = code.map_or(0, Code::as_i32);
    tx.execute(
        "WITH whose AS (SELECT channel FROM states WHERE delivery = $1),
            known AS (SELECT likeness FROM causes, whose WHERE causes.channel = whose.channel AND code = $2),
            named AS (SELECT CASE WHEN $3 IN (SELECT likeness FROM known) OR (SELECT count(*) FROM known) < $5 THEN $3
                ELSE $6 END AS likeness),
            joined AS (INSERT INTO causes (channel, code, likeness, open, first_at, last_at)
                SELECT whose.channel, $2, named.likeness, 1, $4, $4 FROM whose, named
                ON CONFLICT (channel, code, likeness) DO UPDATE
                    SET open = causes.open + 1, last_at = greatest(causes.last_at, excluded.last_at) RETURNING id)
            UPDATE states SET cause = joined.id FROM joined WHERE delivery = $1",
        &[&delivery, &code, &text(likeness), &at.as_millis(), &APART, &OTHERS],
    )
    .await?;
    Ok(())
}

/// Counts deliveries out that are retried or removed.
pub(super) async fn leave(tx: &Tx<'_>, deliveries: &[i64]) -> Result<(), Fault> {
    let left = tx
        .execute(
            "WITH gone AS (SELECT delivery, cause FROM states WHERE delivery = ANY ($1) AND cause IS NOT NULL),
                cleared AS (UPDATE states s SET cause = NULL FROM gone WHERE s.delivery = gone.delivery),
                counts AS (SELECT cause, count(*) AS left FROM gone GROUP BY cause)
                UPDATE causes SET open = open - counts.left FROM counts WHERE id = counts.cause",
            &[&deliveries],
        )
        .await?;
    if left > 0 {
        tx.execute("DELETE FROM causes WHERE open <= 0", &[]).await?;
    }
    Ok(())
}
