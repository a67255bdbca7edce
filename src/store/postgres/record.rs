//! What attempts came to: the attempt goes into the history, and with it the end of a delivery that was accepted at once. All others
//! have a row in `states`, which moves on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::births::{self, Placed};
use super::causes;
use super::lines::{self, Line};
use super::states;
use super::text::text;
use super::tx::{Fault, Tx, Write};
use crate::domain::{Attempt, DeliveryStatus, Timestamp};
use crate::store::rows::{self, state};
use crate::store::{Finished, Next, Recorded, StoreError};

/// [`crate::store::Queue::record`].
pub(super) struct Record(pub(super) Arc<Vec<Finished>>);

/// What became of a group.
#[derive(Default)]
pub(super) struct Outcome {
    /// Of each.
    pub(super) recorded: Vec<Recorded>,
    /// Deliveries that have ended or have a row in `states` now.
    pub(super) closed: Vec<i64>,
    /// Channels with deliveries that can be claimed now.
    pub(super) waiting: Vec<(Arc<str>, Timestamp)>,
}

#[async_trait]
impl Write for Record {
    type Output = Outcome;

    fn writes(&self) -> usize {
        self.0.len()
    }

    fn channels(&self) -> Vec<Arc<str>> {
        let born = self.0.iter().flat_map(|one| &one.deliveries);
        let names: HashSet<&Arc<str>> = born.map(|delivery| &delivery.channel).collect();
        names.into_iter().map(Arc::clone).collect()
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Outcome, Fault> {
        let mut outcome = Outcome { recorded: vec![Recorded::Fenced; self.0.len()], ..Outcome::default() };
        let all: Vec<(usize, &Finished, u32)> =
            self.0.iter().enumerate().map(|(at, one)| (at, one, one.attempt.number)).collect();
        let may_be_first = |one: &Finished| {
            one.lease.number == 1 && one.attempt.number == 1 && tx.tracker.is_open(one.lease.delivery.sequence())
        };
        let others = self.0.iter().filter(|one| !may_be_first(one)).map(|one| one.lease.delivery.sequence());
        let others: Vec<i64> = others.collect();
        if !others.is_empty() {
            states::make(tx, &others).await?;
        }
        let new = insert_attempts(tx, &all).await?;
        let (mut first, mut further) = (Vec::new(), Vec::new());
        for (at, one, number) in all {
            let is_new = new.contains(&(one.lease.delivery.sequence(), i32::try_from(number).unwrap_or(i32::MAX)));
            // While it is open here and its first attempt was not there, it has no row in `states`.
            if is_new && may_be_first(one) {
                first.push((at, one));
            } else {
                further.push((at, one, is_new));
            }
        }
        record_first(tx, &first, &mut outcome).await?;
        if !further.is_empty() {
            record_further(tx, further, &mut outcome).await?;
        }
        let done = self.0.iter().zip(&outcome.recorded).filter(|(_, recorded)| **recorded == Recorded::Done);
        let born = done.flat_map(|(one, _)| &one.deliveries);
        for (delivery, placed) in births::insert_free(tx, born).await? {
            if placed == Placed::Waiting {
                outcome.waiting.push((Arc::clone(&delivery.channel), delivery.due_at));
            }
        }
        Ok(outcome)
    }
}

/// The first attempts of deliveries that were born leased and have no row in `states`.
async fn record_first(tx: &Tx<'_>, first: &[(usize, &Finished)], outcome: &mut Outcome) -> Result<(), Fault> {
    let mut rows = StateRows::default();
    let mut failed = Vec::new();
    for (at, one) in first {
        let seq = one.lease.delivery.sequence();
        if let Some(recorded) = outcome.recorded.get_mut(*at) {
            *recorded = Recorded::Done;
        }
        outcome.closed.push(seq);
        // Lists by code find the others by their rows.
        let happy = one.attempt.code.http_status().is_some_and(|status| (200..300).contains(&status));
        if one.next == Next::End(DeliveryStatus::Accepted) && happy {
            continue;
        }
        let (next, due_at) = moves_on(one.next, None);
        rows.push(one, next, due_at);
        if matches!(next, state::FAILED | state::REJECTED) {
            failed.push(*one);
        }
    }
    rows.insert(tx).await?;
    for one in failed {
        join_cause(tx, one).await?;
    }
    Ok(())
}

async fn join_cause(tx: &Tx<'_>, one: &Finished) -> Result<(), Fault> {
    let attempt = &one.attempt;
    let likeness = causes::of_attempt(attempt);
    causes::join(tx, one.lease.delivery.sequence(), Some(attempt.code), &likeness, ended_at(attempt)).await
}

/// The state that follows, and when the next attempt is due.
fn moves_on(next: Next, early: Option<i64>) -> (i64, Option<i64>) {
    match next {
        Next::End(DeliveryStatus::Dispatched) => (early.unwrap_or(state::DISPATCHED), None),
        Next::End(status) => (rows::states(status).first().copied().unwrap_or(state::FAILED), None),
        Next::Wait(at) => (state::RETRY, Some(at.as_millis())),
        Next::Keep(at) => (state::LEASED, Some(at.as_millis())),
    }
}

/// Rows of `states` of deliveries that had none.
#[derive(Default)]
struct StateRows {
    delivery: Vec<i64>,
    state: Vec<i16>,
    keeps: Vec<bool>,
    due_at: Vec<Option<i64>>,
    updated_at: Vec<i64>,
    code: Vec<i32>,
}

impl StateRows {
    fn push(&mut self, one: &Finished, next: i64, due_at: Option<i64>) {
        self.delivery.push(one.lease.delivery.sequence());
        self.state.push(i16::try_from(next).unwrap_or_default());
        self.keeps.push(matches!(one.next, Next::Keep(_)));
        self.due_at.push(due_at);
        self.updated_at.push(ended_at(&one.attempt).as_millis());
        self.code.push(one.attempt.code.as_i32());
    }

    async fn insert(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        if self.delivery.is_empty() {
            return Ok(());
        }
        tx.execute(
            "INSERT INTO states (delivery, channel, state, owner, lease, attempts, round_start, due_at, updated_at,
                last_code)
                SELECT d.seq, d.channel, t.state, CASE WHEN t.keeps THEN d.born END, CASE WHEN t.keeps THEN 2 ELSE 1 END,
                    1, 0, coalesce(t.due_at, d.due_at), t.updated_at, t.code
                FROM unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::bigint[], $5::bigint[], $6::integer[])
                    t (delivery, state, keeps, due_at, updated_at, code)
                JOIN deliveries d ON d.seq = t.delivery",
            &[&self.delivery, &self.state, &self.keeps, &self.due_at, &self.updated_at, &self.code],
        )
        .await?;
        Ok(())
    }
}

/// A row of `states` as a record finds it.
struct Found {
    state: i64,
    lease: i64,
    early: Option<i64>,
    line: Option<Line>,
}

/// Attempts of deliveries that have a row in `states`, or have ended.
async fn record_further(
    tx: &Tx<'_>,
    further: Vec<(usize, &Finished, bool)>,
    outcome: &mut Outcome,
) -> Result<(), Fault> {
    let mut numbers = HashMap::new();
    for (at, one, is_new) in &further {
        let number = if *is_new { one.attempt.number } else { settle_number(tx, one).await? };
        numbers.insert(*at, number);
    }
    let mut keys: Vec<i64> = further.iter().map(|(_, one, _)| one.lease.delivery.sequence()).collect();
    keys.sort_unstable();
    let found = find(tx, &keys).await?;
    let lines: Vec<Line> = found.values().filter_map(|row| row.line.clone()).collect();
    lines::lock(tx, &lines).await?;
    let mut moved = Moved::default();
    let mut ended = Vec::new();
    for (at, one, _) in &further {
        let seq = one.lease.delivery.sequence();
        let number = numbers.get(at).copied().unwrap_or(one.attempt.number);
        outcome.closed.push(seq);
        let Some(row) = found.get(&seq) else { continue };
        if row.state != state::LEASED || row.lease != one.lease.number || moved.has(seq) {
            keep_fenced(tx, seq, number, row.state).await?;
            continue;
        }
        if let Some(recorded) = outcome.recorded.get_mut(*at) {
            *recorded = Recorded::Done;
        }
        let (next, due_at) = moves_on(one.next, row.early);
        moved.push(one, number, next, due_at);
        if !state::is_pending(next) {
            ended.push((*one, next, row.line.as_ref()));
        }
    }
    moved.update(tx).await?;
    for (one, next, line) in ended {
        let failed = matches!(next, state::FAILED | state::REJECTED);
        if failed {
            join_cause(tx, one).await?;
        }
        let Some(line) = line else { continue };
        let seq = one.lease.delivery.sequence();
        let freed =
            if failed && one.holds_key { lines::advance(tx, line).await? } else { lines::leave(tx, seq, line).await? };
        if let (Some(at), Some(channel)) = (freed, tx.channels.name(line.channel)) {
            outcome.waiting.push((channel, at));
        }
    }
    Ok(())
}

async fn find(tx: &Tx<'_>, keys: &[i64]) -> Result<HashMap<i64, Found>, Fault> {
    let rows = tx
        .query(
            "SELECT delivery, state, lease, CASE WHEN early_lease = lease THEN early_state END, channel,
                CASE WHEN in_line THEN ordering_key END
                FROM states WHERE delivery = ANY ($1) ORDER BY delivery FOR UPDATE",
            &[&keys],
        )
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let key: Option<String> = row.try_get(5)?;
        let channel = row.try_get(4)?;
        let early: Option<i16> = row.try_get(3)?;
        let line = key.map(|key| Line { channel, key });
        let state = i64::from(row.try_get::<_, i16>(1)?);
        found.insert(row.try_get(0)?, Found { state, lease: row.try_get(2)?, early: early.map(i64::from), line });
    }
    Ok(found)
}

/// Counts the attempt of a delivery that has moved on. Where that has ended (cancelled while under way), a further round does not
/// give the attempt's number away.
async fn keep_fenced(tx: &Tx<'_>, seq: i64, number: u32, now_state: i64) -> Result<(), Fault> {
    if !state::is_pending(now_state) {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        tx.execute("UPDATE states SET attempts = greatest(attempts, $2) WHERE delivery = $1", &[&seq, &number]).await?;
    }
    Ok(())
}

/// Rows of `states` that move on.
#[derive(Default)]
struct Moved {
    delivery: Vec<i64>,
    state: Vec<i16>,
    number: Vec<i32>,
    others: Vec<i32>,
    keeps: Vec<bool>,
    due_at: Vec<Option<i64>>,
    updated_at: Vec<i64>,
    code: Vec<i32>,
}

impl Moved {
    fn has(&self, seq: i64) -> bool {
        self.delivery.contains(&seq)
    }

    fn push(&mut self, one: &Finished, number: u32, next: i64, due_at: Option<i64>) {
        let attempt = &one.attempt;
        self.delivery.push(one.lease.delivery.sequence());
        self.state.push(i16::try_from(next).unwrap_or_default());
        self.number.push(i32::try_from(number).unwrap_or(i32::MAX));
        // Only an attempt under an older lease can have the number: it is none of this round.
        self.others.push(i32::try_from(number.saturating_sub(attempt.number)).unwrap_or(0));
        self.keeps.push(matches!(one.next, Next::Keep(_)));
        self.due_at.push(due_at);
        self.updated_at.push(ended_at(attempt).as_millis());
        self.code.push(attempt.code.as_i32());
    }

    async fn update(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        if self.delivery.is_empty() {
            return Ok(());
        }
        tx.execute(
            "UPDATE states s SET state = t.state, owner = CASE WHEN t.keeps THEN s.owner END, attempts = t.number,
                due_at = coalesce(t.due_at, s.due_at), updated_at = t.updated_at, last_code = t.code,
                round_start = s.round_start + t.others, lease = s.lease + t.keeps::integer,
                promised_at = CASE WHEN t.state IN (3, 4) AND t.updated_at <= s.promised_at THEN NULL ELSE s.promised_at END
                FROM unnest($1::bigint[], $2::smallint[], $3::integer[], $4::integer[], $5::boolean[], $6::bigint[],
                    $7::bigint[], $8::integer[]) t (delivery, state, number, others, keeps, due_at, updated_at, code)
                WHERE s.delivery = t.delivery",
            &[
                &self.delivery,
                &self.state,
                &self.number,
                &self.others,
                &self.keeps,
                &self.due_at,
                &self.updated_at,
                &self.code,
            ],
        )
        .await?;
        Ok(())
    }
}

/// Adds attempts to the history by their numbers; returns the deliveries and numbers of those that are there by that.
async fn insert_attempts(tx: &Tx<'_>, attempts: &[(usize, &Finished, u32)]) -> Result<HashSet<(i64, i32)>, Fault> {
    let (mut delivery, mut number, mut id, mut started_at) = (vec![], vec![], vec![], vec![]);
    let (mut duration_ms, mut code, mut outcome, mut error) = (vec![], vec![], vec![], vec![]);
    let (mut exchange, mut head, mut tail, mut response) = (vec![], vec![], vec![], vec![]);
    for (_, one, with) in attempts {
        let attempt = &one.attempt;
        let body = &attempt.exchange.request_body;
        delivery.push(one.lease.delivery.sequence());
        number.push(i32::try_from(*with).unwrap_or(i32::MAX));
        id.push(attempt.id.to_bytes().to_vec());
        started_at.push(attempt.started_at.as_millis());
        duration_ms.push(i64::try_from(attempt.duration_ms).unwrap_or(i64::MAX));
        code.push(attempt.code.as_i32());
        outcome.push(attempt.outcome.as_str());
        error.push(attempt.error.as_deref().map(text));
        let written = serde_json::to_string(&attempt.exchange);
        exchange.push(written.map_err(|error| StoreError::Corrupt(error.to_string()))?);
        head.push(Some(&body.head[..]).filter(|head| !head.is_empty()));
        tail.push(body.spliced.as_deref());
        response.push(Some(&attempt.exchange.response_body[..]).filter(|body| !body.is_empty()));
    }
    let rows = tx
        .query(
            "INSERT INTO attempts (delivery, number, id, started_at, duration_ms, code, outcome, error, exchange,
                request_head, request_tail, response_body)
                SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bytea[], $4::bigint[], $5::bigint[], $6::integer[],
                    $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::bytea[])
                ON CONFLICT DO NOTHING RETURNING delivery, number",
            &[
                &delivery,
                &number,
                &id,
                &started_at,
                &duration_ms,
                &code,
                &outcome,
                &error,
                &exchange,
                &head,
                &tail,
                &response,
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Adds an attempt whose number is taken: by the mark of a row in `states`, which it replaces, by itself, or by another attempt, when it
/// gets the next free number. Returns its number.
async fn settle_number(tx: &Tx<'_>, one: &Finished) -> Result<u32, Fault> {
    let seq = one.lease.delivery.sequence();
    let number = one.attempt.number;
    let wanted = i32::try_from(number).unwrap_or(i32::MAX);
    let taken = "SELECT id FROM attempts WHERE delivery = $1 AND number = $2 FOR UPDATE";
    let Some(row) = tx.first(taken, &[&seq, &wanted]).await? else { return Ok(number) };
    let number = match row.try_get::<_, Option<&[u8]>>(0)? {
        Some(id) if id == one.attempt.id.to_bytes() => return Ok(number), // recorded before
        None => {
            tx.execute("DELETE FROM attempts WHERE delivery = $1 AND number = $2", &[&seq, &wanted]).await?;
            number
        }
        Some(_) => {
            let last = tx.first("SELECT max(number) FROM attempts WHERE delivery = $1", &[&seq]).await?;
            let last: Option<i32> = last.map(|row| row.try_get(0)).transpose()?.flatten();
            u32::try_from(last.unwrap_or(0)).unwrap_or(0).saturating_add(1)
        }
    };
    insert_attempts(tx, &[(0, one, number)]).await?;
    Ok(number)
}

fn ended_at(attempt: &Attempt) -> Timestamp {
    attempt.started_at.after(Duration::from_millis(attempt.duration_ms))
}
