//! Inserts deliveries, and the events that they are about: with an order, with an event, with another delivery's failure.

use std::collections::HashSet;

use super::lines::{self, Line};
use super::once;
use super::text::{Text, text};
use super::tx::{Fault, Tx};
use crate::domain::{Origin, Subject, Timestamp};
use crate::store::rows::{self, EMPTY, state};
use crate::store::{NewDelivery, Replica, StoreError};

/// A delivery to be inserted.
pub(super) struct Birth<'a> {
    pub(super) delivery: &'a NewDelivery,
    /// The replica that leases it if it has a slot, if any.
    pub(super) replica: Option<Replica>,
    /// Whether the row of its origin, or of its origin's end, lists it.
    pub(super) listed: bool,
}

/// What became of a delivery that was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It belongs to this replica.
    Leased,
    /// It belongs to nobody.
    Waiting,
    /// It waits for the deliveries before it in the line of its key.
    Held,
}

/// The list of deliveries in the row of their origin; nothing where there are none.
pub(super) fn list(deliveries: &[NewDelivery], origin: Origin) -> Option<String> {
    let mut keys = deliveries
        .iter()
        .filter(|delivery| delivery.event.subject.origin == origin)
        .map(|delivery| delivery.id.sequence().to_string())
        .peekable();
    keys.peek()?;
    Some(format!("{{{}}}", keys.collect::<Vec<_>>().join(",")))
}

/// Inserts deliveries, in their order; says what became of each.
pub(super) async fn insert(tx: &Tx<'_>, births: &[Birth<'_>]) -> Result<Vec<Placed>, Fault> {
    if births.is_empty() {
        return Ok(Vec::new());
    }
    let mut placed = place(tx, births).await?;
    let mut columns = Columns::default();
    let mut states = States::default();
    for (birth, placed) in births.iter().zip(&mut placed) {
        let delivery = birth.delivery;
        let seq = delivery.id.sequence();
        let lean = delivery.ordering_key.is_none() && delivery.promised_at.is_none();
        let mut leased = birth.replica.filter(|_| *placed == Placed::Leased);
        let mut born = None;
        if let Some(replica) = leased.filter(|_| lean) {
            if tx.open(seq) {
                born = Some(replica.0);
            } else {
                *placed = Placed::Waiting;
                leased = None;
            }
        }
        let channel = tx.channels.number(&delivery.channel)?;
        columns.push(birth, channel, born)?;
        if born.is_none() {
            states.push(delivery, channel, *placed, leased);
        }
    }
    tokio::try_join!(biased; columns.insert(tx), states.insert(tx))?;
    once::take(tx, births.iter().map(|birth| birth.delivery)).await?;
    Ok(placed)
}

/// Inserts what may be left out: one-offs that their channels had before are. Deliveries in the answer were inserted.
pub(super) async fn insert_free<'a>(
    tx: &Tx<'_>,
    deliveries: impl Iterator<Item = &'a NewDelivery>,
) -> Result<Vec<(&'a NewDelivery, Placed)>, Fault> {
    let mut deliveries: Vec<&NewDelivery> = deliveries.collect();
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let taken = once::taken(tx, deliveries.iter().copied()).await?;
    deliveries.retain(|delivery| !once::is_late(delivery, &taken));
    let births: Vec<_> = deliveries.iter().map(|delivery| Birth { delivery, replica: None, listed: false }).collect();
    events(tx, births.iter().map(|birth| (&*birth.delivery.event.subject, EventKeys::default()))).await?;
    let placed = insert(tx, &births).await?;
    Ok(deliveries.into_iter().zip(placed).collect())
}

/// Where each delivery goes. Of one line at most one is claimable or leased.
async fn place(tx: &Tx<'_>, births: &[Birth<'_>]) -> Result<Vec<Placed>, Fault> {
    let mut lines = Vec::new();
    for birth in births {
        if let Some(key) = &birth.delivery.ordering_key {
            lines.push(Line { channel: tx.channels.number(&birth.delivery.channel)?, key: text(key).into_owned() });
        }
    }
    let mut taken = if lines.is_empty() { HashSet::new() } else { lines::lock_and_find_taken(tx, &lines).await? };
    let mut lines = lines.into_iter();
    let place = |birth: &Birth<'_>| {
        let held = birth.delivery.ordering_key.is_some() && lines.next().is_some_and(|line| !taken.insert(line));
        match birth.replica {
            _ if held => Placed::Held,
            Some(_) if tx.leases(birth.delivery) => Placed::Leased,
            _ => Placed::Waiting,
        }
    };
    Ok(births.iter().map(place).collect())
}

/// The columns of rows of `deliveries`.
#[derive(Default)]
struct Columns<'a> {
    seq: Vec<i64>,
    rest: Vec<i64>,
    channel: Vec<i32>,
    origin: Vec<i64>,
    late: Vec<Option<i64>>,
    born: Vec<Option<i64>>,
    due_at: Vec<i64>,
    event_id: Vec<Option<Vec<u8>>>,
    event_type: Vec<Option<Text<'a>>>,
    event_at: Vec<i64>,
    step: Vec<Option<Text<'a>>>,
    context: Vec<Option<&'a str>>,
    steps: Vec<Option<String>>,
    parcel: Vec<Option<String>>,
    mail: Vec<Option<Text<'a>>>,
    ordering_key: Vec<Option<Text<'a>>>,
    promised_at: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, birth: &Birth<'a>, channel: i32, born: Option<i64>) -> Result<(), StoreError> {
        let delivery = birth.delivery;
        let event = &*delivery.event;
        let origin = event.subject.origin;
        let event_id = Some(event.id).filter(|id| *id != rows::origin_id(origin));
        self.seq.push(delivery.id.sequence());
        self.rest.push(delivery.id.rest());
        self.channel.push(channel);
        self.origin.push(rows::origin_key(origin));
        self.late.push((!birth.listed).then(|| rows::origin_key(origin)));
        self.born.push(born);
        self.due_at.push(delivery.due_at.as_millis());
        self.event_id.push(event_id.map(|id| id.to_bytes().to_vec()));
        self.event_type.push(Some(&*event.kind).filter(|kind| **kind != event.subject.kind).map(text));
        self.event_at.push(event.at.as_millis());
        self.step.push(event.step.as_deref().map(text));
        self.context.push(Some(&*event.context).filter(|context| *context != EMPTY));
        self.steps.push(rows::steps_text(&event.steps)?);
        self.parcel.push(delivery.prepared.as_deref().map(rows::prepared_text).transpose()?);
        self.mail.push(delivery.prepared.as_deref().and_then(|prepared| prepared.text.as_deref()).map(text));
        self.ordering_key.push(delivery.ordering_key.as_deref().map(text));
        self.promised_at.push(delivery.promised_at.map(Timestamp::as_millis));
        Ok(())
    }

    async fn insert(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        tx.execute(
            "INSERT INTO deliveries (seq, rest, channel, origin, late, born, due_at, event_id, event_type, event_at, step,
                context, steps, parcel, mail, ordering_key, promised_at)
                SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[],
                    $7::bigint[], $8::bytea[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[],
                    $14::text[], $15::text[], $16::text[], $17::bigint[])",
            &[
                &self.seq,
                &self.rest,
                &self.channel,
                &self.origin,
                &self.late,
                &self.born,
                &self.due_at,
                &self.event_id,
                &self.event_type,
                &self.event_at,
                &self.step,
                &self.context,
                &self.steps,
                &self.parcel,
                &self.mail,
                &self.ordering_key,
                &self.promised_at,
            ],
        )
        .await?;
        Ok(())
    }
}

/// The columns of rows of `states`.
#[derive(Default)]
struct States<'a> {
    delivery: Vec<i64>,
    channel: Vec<i32>,
    state: Vec<i16>,
    owner: Vec<Option<i64>>,
    lease: Vec<i64>,
    due_at: Vec<i64>,
    created_at: Vec<i64>,
    ordering_key: Vec<Option<Text<'a>>>,
    promised_at: Vec<Option<i64>>,
}

impl<'a> States<'a> {
    fn push(&mut self, delivery: &'a NewDelivery, channel: i32, placed: Placed, owner: Option<Replica>) {
        let state = match placed {
            Placed::Leased => state::LEASED,
            Placed::Waiting => state::FIRST,
            Placed::Held => state::HELD,
        };
        self.delivery.push(delivery.id.sequence());
        self.channel.push(channel);
        self.state.push(i16::try_from(state).unwrap_or_default());
        self.owner.push(owner.map(|replica| replica.0));
        self.lease.push(i64::from(owner.is_some()));
        self.due_at.push(delivery.due_at.as_millis());
        self.created_at.push(delivery.id.time().as_millis());
        self.ordering_key.push(delivery.ordering_key.as_deref().map(text));
        self.promised_at.push(delivery.promised_at.map(Timestamp::as_millis));
    }

    async fn insert(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        if self.delivery.is_empty() {
            return Ok(());
        }
        tx.execute(
            "INSERT INTO states (delivery, channel, state, owner, lease, attempts, round_start, due_at, updated_at,
                ordering_key, place, in_line, promised_at)
                SELECT d, c, s, o, l, 0, 0, due, created, k, CASE WHEN k IS NOT NULL THEN nextval('places') END,
                    k IS NOT NULL, p
                FROM unnest($1::bigint[], $2::integer[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[],
                    $7::bigint[], $8::text[], $9::bigint[]) t (d, c, s, o, l, due, created, k, p)",
            &[
                &self.delivery,
                &self.channel,
                &self.state,
                &self.owner,
                &self.lease,
                &self.due_at,
                &self.created_at,
                &self.ordering_key,
                &self.promised_at,
            ],
        )
        .await?;
        Ok(())
    }
}

/// What stands in an event's row next to the event itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EventKeys<'a> {
    /// The key of the request that brought it.
    pub(super) key: Option<&'a str>,
    /// The key of its own id.
    pub(super) own: Option<&'a str>,
    /// The deliveries that came with it.
    pub(super) deliveries: Option<&'a str>,
}

/// Inserts events without an order; those that are already there stay as they are.
pub(super) async fn events<'a>(
    tx: &Tx<'_>,
    events: impl Iterator<Item = (&'a Subject, EventKeys<'a>)>,
) -> Result<(), Fault> {
    let (mut seq, mut rest, mut received_at, mut kind, mut chain) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut order_id, mut arrival, mut body) = (vec![], vec![], vec![]);
    let (mut key, mut own_key, mut deliveries) = (vec![], vec![], vec![]);
    for (subject, keys) in events {
        let Origin::Event(id) = subject.origin else { continue };
        if seq.contains(&id.sequence()) {
            continue;
        }
        seq.push(id.sequence());
        rest.push(id.rest());
        received_at.push(subject.received_at.as_millis());
        kind.push(text(&subject.kind));
        chain.push(subject.chain.as_deref().map(text));
        order_id.push(rows::own_id(subject).map(text));
        key.push(keys.key.map(text));
        own_key.push(keys.own.map(text));
        deliveries.push(keys.deliveries);
        arrival.push(rows::arrival_text(subject)?);
        body.push(&subject.body[..]);
    }
    if seq.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO events (seq, rest, received_at, kind, chain, order_id, key, own_key, deliveries, arrival, body)
            SELECT s, r, at, k, c, o, i, w, d::bigint[], a, b
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::text[], $11::bytea[]) t (s, r, at, k, c, o, i, w, d, a, b)
            ON CONFLICT DO NOTHING",
        &[&seq, &rest, &received_at, &kind, &chain, &order_id, &key, &own_key, &deliveries, &arrival, &body],
    )
    .await?;
    Ok(())
}
