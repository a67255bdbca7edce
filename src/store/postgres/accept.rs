//! Orders and events coming in, each once for its idempotency key: as many at a time as wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::types::ToSql;

use super::births::{self, Birth, EventKeys, Placed};
use super::once;
use super::text::text;
use super::tx::{Fault, Tx, Write};
use crate::domain::OrderStatus;
use crate::store::rows;
use crate::store::{Acceptance, Answer, Idempotency, NewDelivery, NewEvents, NewOrder, Replica, SignedId, StoreError};

/// What comes in.
pub(super) enum Intake {
    /// As [`crate::store::Ledger::accept_order`].
    Order(NewOrder),
    /// As [`crate::store::Ledger::accept_events`].
    Events(NewEvents),
}

impl Intake {
    pub(super) fn replica(&self) -> Replica {
        match self {
            Self::Order(order) => order.replica,
            Self::Events(events) => events.replica,
        }
    }

    /// About how many bytes it brings.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Order(order) => 512 + order.subject.body.len() + 256 * order.deliveries.len(),
            Self::Events(events) => {
                events.events.iter().map(|new| 256 + new.event.subject.body.len() + 256 * new.deliveries.len()).sum()
            }
        }
    }

    fn deliveries(&self) -> Vec<&NewDelivery> {
        match self {
            Self::Order(order) => order.deliveries.iter().collect(),
            Self::Events(events) => events.events.iter().flat_map(|new| &new.deliveries).collect(),
        }
    }

    /// Every delivery, to be handed over.
    pub(super) fn into_deliveries(self) -> Vec<NewDelivery> {
        match self {
            Self::Order(order) => order.deliveries,
            Self::Events(events) => events.events.into_iter().flat_map(|new| new.deliveries).collect(),
        }
    }

    fn idempotency(&self) -> Option<&Idempotency> {
        match self {
            Self::Order(order) => order.idempotency.as_ref(),
            Self::Events(events) => events.idempotency.as_ref(),
        }
    }

    /// The keys that count once.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.idempotency().into_iter().chain(self.own_ids().map(|(_, own)| own)).map(|key| &*key.key)
    }

    fn signed(&self) -> Option<&SignedId> {
        match self {
            Self::Order(order) => order.signed.as_ref(),
            Self::Events(events) => events.signed.as_ref(),
        }
    }

    /// The keys of its events' own ids, with their positions.
    fn own_ids(&self) -> impl Iterator<Item = (usize, &Idempotency)> {
        let events = match self {
            Self::Order(_) => &[],
            Self::Events(events) => &events.events[..],
        };
        events.iter().enumerate().filter_map(|(at, new)| Some((at, new.own_id.as_ref()?)))
    }

    /// Whether it may be refused for what others have done.
    fn is_conditional(&self) -> bool {
        self.idempotency().is_some()
            || self.signed().is_some()
            || self.own_ids().next().is_some()
            || self.deliveries().iter().any(|delivery| delivery.once.is_some())
    }
}

/// What came in at the same time, for the same replica.
pub(super) struct Accept {
    pub(super) replica: Replica,
    pub(super) intakes: Vec<Intake>,
}

/// What became of one of them, and of its deliveries.
pub(super) type Accepted = (Acceptance, Vec<Placed>);

#[async_trait]
impl Write for Accept {
    type Output = Vec<Accepted>;

    fn replica(&self) -> Option<Replica> {
        Some(self.replica)
    }

    fn writes(&self) -> usize {
        self.intakes.len()
    }

    fn channels(&self) -> Vec<Arc<str>> {
        let names = self.intakes.iter().flat_map(Intake::deliveries).map(|delivery| &delivery.channel);
        let names: HashSet<&Arc<str>> = names.collect();
        names.into_iter().map(Arc::clone).collect()
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Vec<Accepted>, Fault> {
        let mut outcomes: Vec<Acceptance> = self.intakes.iter().map(|_| Acceptance::New).collect();
        if self.intakes.iter().any(Intake::is_conditional) {
            self.check(tx, &mut outcomes).await?;
        }
        let accepted = |at: &usize| outcomes.get(*at) == Some(&Acceptance::New);
        let taken: Vec<(usize, &Intake)> = self.intakes.iter().enumerate().filter(|(at, _)| accepted(at)).collect();
        let placed = insert(tx, &taken).await?;
        let mut placed = placed.into_iter();
        let mut accepted = Vec::with_capacity(outcomes.len());
        for (outcome, intake) in outcomes.into_iter().zip(&self.intakes) {
            let count = if outcome == Acceptance::New { intake.deliveries().len() } else { 0 };
            accepted.push((outcome, placed.by_ref().take(count).collect()));
        }
        Ok(accepted)
    }
}

impl Accept {
    /// Keeps the keys that are new, and says what becomes of those that are not.
    async fn check(&self, tx: &Tx<'_>, outcomes: &mut [Acceptance]) -> Result<(), Fault> {
        let keys: Vec<&Idempotency> = self
            .intakes
            .iter()
            .flat_map(|intake| intake.idempotency().into_iter().chain(intake.own_ids().map(|(_, own)| own)))
            .collect();
        let kept = keep(tx, &keys).await?;
        let new = |key: &Idempotency| !kept.contains_key(&*text(&key.key));
        let mut forgotten: Vec<&str> = Vec::new();
        for (intake, outcome) in self.intakes.iter().zip(outcomes) {
            *outcome = match refusal(intake, &kept) {
                Some(refusal) => refusal,
                None => match once::taken(tx, intake.deliveries().into_iter()).await? {
                    taken if !taken.is_empty() => Acceptance::OnceConflict(taken),
                    _ if !take_signed(tx, intake.signed()).await? => Acceptance::SignedBefore,
                    _ => {
                        take_once(tx, intake).await?;
                        continue;
                    }
                },
            };
            // Nothing came of it: keys that were new are new again.
            let own = intake.own_ids().map(|(_, own)| own);
            let keys = intake.idempotency().into_iter().chain(own);
            forgotten.extend(keys.filter(|key| new(key)).map(|key| &*key.key));
        }
        if !forgotten.is_empty() {
            tx.execute("DELETE FROM idempotency WHERE key = ANY ($1)", &[&forgotten]).await?;
        }
        Ok(())
    }
}

/// One-offs are used up before the next of the group is looked at.
async fn take_once(tx: &Tx<'_>, intake: &Intake) -> Result<(), Fault> {
    let deliveries = intake.deliveries();
    if deliveries.iter().all(|delivery| delivery.once.is_none()) {
        return Ok(());
    }
    once::take(tx, deliveries.into_iter()).await
}

/// A key that was used before.
struct Known {
    digest: Vec<u8>,
    answer: Option<Answer>,
}

impl Known {
    fn seen(&self, again: &Idempotency) -> Acceptance {
        if self.digest != again.digest {
            return Acceptance::Mismatch;
        }
        self.answer.clone().map_or(Acceptance::UnderWay, Acceptance::Replay)
    }
}

/// Why something is refused for its keys, if it is.
fn refusal(intake: &Intake, known: &HashMap<String, Known>) -> Option<Acceptance> {
    let find = |key: &Idempotency| known.get(&*text(&key.key)).map(|known| known.seen(key));
    if let Some(seen) = intake.idempotency().and_then(find) {
        return Some(seen);
    }
    let mut before = Vec::new();
    for (at, own) in intake.own_ids() {
        match find(own) {
            None => {}
            Some(Acceptance::Replay(answer)) => before.push((at, answer)),
            Some(_) => return Some(Acceptance::OwnIdMismatch(at)),
        }
    }
    (!before.is_empty()).then_some(Acceptance::Known(before))
}

/// Keeps keys that are new; returns those that are not.
async fn keep(tx: &Tx<'_>, keys: &[&Idempotency]) -> Result<HashMap<String, Known>, Fault> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    // Everybody takes keys in the same order, so that nobody waits for one who waits for him.
    let mut sorted = keys.to_vec();
    sorted.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let (mut key, mut digest, mut status, mut location, mut body) = (vec![], vec![], vec![], vec![], vec![]);
    for Idempotency { key: name, digest: of, answer } in sorted {
        key.push(text(name));
        digest.push(&of[..]);
        status.push(answer.as_ref().map(|answer| i32::from(answer.status)));
        location.push(answer.as_ref().and_then(|answer| answer.location.as_deref()).map(text));
        body.push(answer.as_ref().map(|answer| &answer.body[..]));
    }
    let rows = tx
        .query(
            "INSERT INTO idempotency (key, digest, status, location, body)
                SELECT * FROM unnest($1::text[], $2::bytea[], $3::integer[], $4::text[], $5::bytea[])
                ON CONFLICT (key) DO NOTHING RETURNING key",
            &[&key, &digest, &status, &location, &body],
        )
        .await?;
    let new: HashSet<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    key.retain(|key| !new.contains(&**key));
    if key.is_empty() {
        return Ok(HashMap::new());
    }
    let rows =
        tx.query("SELECT key, digest, status, location, body FROM idempotency WHERE key = ANY ($1)", &[&key]).await?;
    let mut known = HashMap::new();
    for row in rows {
        let status: Option<i32> = row.try_get(2)?;
        let body: Option<Vec<u8>> = row.try_get(4)?;
        let answer = status.map(|status| -> Result<Answer, Fault> {
            let status = u16::try_from(status).map_err(|_| StoreError::Corrupt("idempotency.status".to_owned()))?;
            Ok(Answer { status, location: row.try_get(3)?, body: body.unwrap_or_default().into() })
        });
        known.insert(row.try_get(0)?, Known { digest: row.try_get(1)?, answer: answer.transpose()? });
    }
    Ok(known)
}

/// Takes the id of a signed request. Returns `false` where it was taken before and its signature still holds.
async fn take_signed(tx: &Tx<'_>, signed: Option<&SignedId>) -> Result<bool, Fault> {
    let Some(SignedId { id, until }) = signed else { return Ok(true) };
    let taken = tx
        .execute(
            "INSERT INTO signed_requests (id, expires) VALUES ($1, $2)
                ON CONFLICT (id) DO UPDATE SET expires = excluded.expires WHERE signed_requests.expires < $3",
            &[&text(id), &until.as_millis(), &tx.now.as_millis()],
        )
        .await?;
    Ok(taken == 1)
}

/// Inserts what is accepted; says what became of the deliveries, in their order.
async fn insert(tx: &Tx<'_>, taken: &[(usize, &Intake)]) -> Result<Vec<Placed>, Fault> {
    let orders = taken.iter().filter_map(|(_, intake)| match intake {
        Intake::Order(order) => Some(order),
        Intake::Events(_) => None,
    });
    let orders: Vec<&NewOrder> = orders.collect();
    let mut lists = Vec::new();
    let mut events = Vec::new();
    let mut new_deliveries = Vec::new();
    for (_, intake) in taken {
        let replica = Some(intake.replica());
        new_deliveries.extend(intake.deliveries().into_iter().map(|delivery| Birth {
            delivery,
            replica,
            listed: true,
        }));
        let Intake::Events(new) = intake else { continue };
        let key = new.idempotency.as_ref().map(|idempotency| &*idempotency.key);
        let last = new.events.len().saturating_sub(1);
        for (at, one) in new.events.iter().enumerate() {
            // The key goes when its last event goes.
            let own = one.own_id.as_ref().map(|own| &*own.key);
            events.push((&*one.event.subject, key.filter(|_| at == last), own));
            lists.push(births::list(&one.deliveries, one.event.subject.origin));
        }
    }
    let events = events
        .into_iter()
        .zip(&lists)
        .map(|((subject, key, own), deliveries)| (subject, EventKeys { key, own, deliveries: deliveries.as_deref() }));
    let ((), (), placed) = tokio::try_join!(
        biased;
        insert_orders(tx, &orders),
        births::events(tx, events),
        births::insert(tx, &new_deliveries)
    )?;
    Ok(placed)
}

async fn insert_orders(tx: &Tx<'_>, orders: &[&NewOrder]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    let (mut seq, mut rest, mut status, mut received_at) = (vec![], vec![], vec![], vec![]);
    let (mut kind, mut chain, mut order_id, mut email) = (vec![], vec![], vec![], vec![]);
    let (mut key, mut skipped, mut deliveries, mut arrival, mut body) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut open, mut owners, mut open_chains) = (vec![], vec![], vec![]);
    for order in orders {
        let subject = &*order.subject;
        let Some(id) = subject.order() else {
            return Err(StoreError::Corrupt(format!("{} is not an order", subject.id())).into());
        };
        seq.push(id.sequence());
        rest.push(id.rest());
        status.push(i16::try_from(rows::progress_of(order.status)).unwrap_or_default());
        received_at.push(subject.received_at.as_millis());
        kind.push(text(&subject.kind));
        chain.push(subject.chain.as_deref().map(text));
        order_id.push(rows::own_id(subject).map(text));
        email.push(order.email.as_deref().map(text));
        key.push(order.idempotency.as_ref().map(|idempotency| text(&idempotency.key)));
        skipped.push(rows::skips(&order.skipped)?);
        deliveries.push(births::list(&order.deliveries, subject.origin));
        arrival.push(rows::arrival_text(subject)?);
        body.push(&subject.body[..]);
        if order.status == OrderStatus::Processing {
            open.push(id.sequence());
            owners.push(order.replica.0);
            open_chains.push(subject.chain.as_deref().map(text));
        }
    }
    let params: [&(dyn ToSql + Sync); 13] = [
        &seq,
        &rest,
        &status,
        &received_at,
        &kind,
        &chain,
        &order_id,
        &email,
        &key,
        &skipped,
        &deliveries,
        &arrival,
        &body,
    ];
    let orders = tx.execute(
        "INSERT INTO orders (seq, rest, status, received_at, kind, chain, order_id, email, key, skipped, deliveries,
            arrival, body)
            SELECT s, r, st, at, k, c, o, e, i, sk, d::bigint[], a, b
            FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[])
                t (s, r, st, at, k, c, o, e, i, sk, d, a, b)",
        &params,
    );
    let processing = async {
        if open.is_empty() {
            return Ok(0);
        }
        tx.execute(
            "INSERT INTO processing (seq, chain, owner, resumed)
                SELECT s, c, o, 0 FROM unnest($1::bigint[], $2::text[], $3::bigint[]) t (s, c, o)",
            &[&open, &open_chains, &owners],
        )
        .await
    };
    tokio::try_join!(biased; orders, processing)?;
    Ok(())
}
