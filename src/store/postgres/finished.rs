//! Retention: what is finished and old.

use super::connections::Loan;
use super::rows;
use crate::store::StoreError;

/// Where a removal looks: orders, or events without an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    Orders,
    Events,
}

/// Rows looked at in one read.
const WINDOW: i64 = 5000;

/// Whether a delivery with the key `$key` is open: it waits, is under way, is to be settled, or holds the key of a line.
macro_rules! open {
    ($key:literal) => {
        concat!(
            "coalesce((SELECT s.state IN (-1, 0, 1, 2, 4) OR s.in_line FROM states s WHERE s.delivery = ",
            $key,
            "), (SELECT false FROM attempts a WHERE a.delivery = ",
            $key,
            " AND a.number = 1), (SELECT d.born IS NOT NULL FROM deliveries d WHERE d.seq = ",
            $key,
            "), false)"
        )
    };
}

/// The records `r`, each with whether no delivery of its lists, or late for it, is open.
macro_rules! closed {
    ($late:literal) => {
        concat!(
            "NOT coalesce((SELECT bool_or(",
            open!("l.key"),
            ") FROM (SELECT unnest(r.deliveries) AS key
                UNION ALL SELECT seq FROM deliveries WHERE late = ",
            $late,
            ") l), false)"
        )
    };
}

const ORDERS: &str = concat!(
    "SELECT r.seq, (r.status = 2 OR r.ended) AND ",
    closed!("r.seq"),
    " FROM (SELECT o.seq, o.status, e.seq IS NOT NULL AS ended, o.deliveries || e.deliveries AS deliveries
        FROM (SELECT seq, status, deliveries FROM orders WHERE seq > $1 AND seq < $2 ORDER BY seq LIMIT $3) o
        LEFT JOIN LATERAL (SELECT seq, deliveries FROM order_ends WHERE order_ends.seq = o.seq LIMIT 1) e ON true
    ) r ORDER BY r.seq"
);

const EVENTS: &str = concat!(
    "SELECT r.seq, ",
    closed!("-r.seq"),
    " FROM (SELECT seq, deliveries FROM events WHERE seq > $1 AND seq < $2 ORDER BY seq LIMIT $3) r ORDER BY r.seq"
);

/// The next finished records with keys after `after` and before `before`; and where to go on, if anywhere.
pub(super) async fn find_finished(
    loan: &Loan,
    records: Records,
    after: i64,
    before: i64,
) -> Result<(Vec<i64>, Option<i64>), StoreError> {
    let sql = match records {
        Records::Orders => ORDERS,
        Records::Events => EVENTS,
    };
    let found = loan.query(sql, &[&after, &before, &WINDOW]).await?;
    let (mut finished, mut last) = (Vec::new(), None);
    for row in &found {
        let seq: i64 = rows::get(row, 0)?;
        last = Some(seq);
        if rows::get(row, 1)? {
            finished.push(seq);
        }
    }
    let more = i64::try_from(found.len()).is_ok_and(|found| found >= WINDOW);
    Ok((finished, last.filter(|_| more)))
}
