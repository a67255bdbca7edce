//! Orders and events coming in, each once for its idempotency key.

use rusqlite::{OptionalExtension, params};

use super::db::{Db, Terms};
use super::handoff::Handoff;
use super::insert::{self, Insertion};
use super::job::Write;
use super::once;
use super::rows::{self, EMPTY, progress};
use crate::domain::{OrderStatus, Origin};
use crate::store::{Acceptance, Answer, Idempotency, NewEvents, NewOrder, SignedId, StoreError};

/// [`crate::store::Ledger::accept_order`].
pub(super) struct AcceptOrder(pub(super) NewOrder);

impl Write for AcceptOrder {
    type Output = Acceptance;

    fn is_intake(&self) -> bool {
        true
    }

    fn weight(&self) -> usize {
        512 + self.0.subject.body.len() + 256 * self.0.deliveries.len()
    }

    fn apply(&self, db: &mut Db<'_>) -> Result<Acceptance, StoreError> {
        let order = &self.0;
        let subject = &*order.subject;
        let Origin::Order(id) = subject.origin else {
            return Err(StoreError::Corrupt(format!("{} is not an order", subject.id())));
        };
        if let Some(seen) = remember(db, order.idempotency.as_ref())? {
            return Ok(seen);
        }
        let taken = once::taken(db, order.deliveries.iter())?;
        if !taken.is_empty() {
            forget(db, order.idempotency.as_ref())?;
            return Ok(Acceptance::OnceConflict(taken));
        }
        if !take_signed(db, order.signed.as_ref())? {
            forget(db, order.idempotency.as_ref())?;
            return Ok(Acceptance::SignedBefore);
        }
        db.room.take(self.weight())?;
        let own_id = rows::own_id(subject);
        let email = order.email.as_deref();
        let slot = own_id.or(email).map(|_| db.slot());
        let processing = order.status == OrderStatus::Processing;
        db.hot.insert_order.execute(params![
            id.sequence(),
            id.to_bytes(),
            if processing { progress::OWNED } else { rows::progress_of(order.status) },
            processing.then_some(order.replica.0),
            subject.received_at.as_millis(),
            (!processing).then_some(subject.received_at.as_millis()),
            subject.kind,
            subject.chain,
            own_id,
            slot,
            order.idempotency.as_ref().map(|idempotency| &*idempotency.key),
            rows::skips(&order.skipped)?,
            insert::list(&order.deliveries, subject.origin),
            &subject.body[..],
            email,
            rows::arrival_text(subject)?,
        ])?;
        // The context of an order that is still processing changes; what its events saw must be kept apart.
        let inherited = (!processing).then_some(EMPTY);
        let insertion = Insertion { replica: Some(order.replica), inherited, listed: Some(subject.origin) };
        insert::insert_all(db, &order.deliveries, insertion)?;
        Ok(Acceptance::New)
    }

    fn hand_off(&mut self, output: &Acceptance, terms: Terms, handoff: &mut Handoff) {
        match output {
            Acceptance::New => handoff.take(&mut self.0.deliveries, terms),
            _ => self.0.deliveries.clear(),
        }
    }
}

/// [`crate::store::Ledger::accept_events`].
pub(super) struct AcceptEvents(pub(super) NewEvents);

impl Write for AcceptEvents {
    type Output = Acceptance;

    fn is_intake(&self) -> bool {
        true
    }

    fn weight(&self) -> usize {
        self.0.events.iter().map(|new| 256 + new.event.subject.body.len() + 256 * new.deliveries.len()).sum()
    }

    fn apply(&self, db: &mut Db<'_>) -> Result<Acceptance, StoreError> {
        if let Some(seen) = remember(db, self.0.idempotency.as_ref())? {
            return Ok(seen);
        }
        let (kept, refused) = self.remember_own_ids(db)?;
        if let Some(refused) = refused {
            self.forget(db, &kept)?;
            return Ok(refused);
        }
        let taken = once::taken(db, self.0.events.iter().flat_map(|new| &new.deliveries))?;
        if !taken.is_empty() {
            self.forget(db, &kept)?;
            return Ok(Acceptance::OnceConflict(taken));
        }
        if !take_signed(db, self.0.signed.as_ref())? {
            self.forget(db, &kept)?;
            return Ok(Acceptance::SignedBefore);
        }
        db.room.take(self.weight())?;
        let key = self.0.idempotency.as_ref().map(|idempotency| &*idempotency.key);
        let last = self.0.events.len().saturating_sub(1);
        for (at, new) in self.0.events.iter().enumerate() {
            // The key goes when its last event goes.
            let origin = new.event.subject.origin;
            let keys = insert::list(&new.deliveries, origin);
            let own_key = new.own_id.as_ref().map(|own| &*own.key);
            insert::insert_event(db, &new.event.subject, (key.filter(|_| at == last), own_key), keys.as_deref())?;
            let insertion = Insertion { replica: Some(self.0.replica), inherited: None, listed: Some(origin) };
            for delivery in &new.deliveries {
                insert::insert_delivery(db, delivery, insertion)?;
            }
        }
        Ok(Acceptance::New)
    }

    fn hand_off(&mut self, output: &Acceptance, terms: Terms, handoff: &mut Handoff) {
        for new in &mut self.0.events {
            match output {
                Acceptance::New => handoff.take(&mut new.deliveries, terms),
                _ => new.deliveries.clear(),
            }
        }
    }
}

impl AcceptEvents {
    /// Keeps the events' own ids that are new and returns them, with the refusal where one was used before.
    fn remember_own_ids(&self, db: &Db<'_>) -> Result<(Vec<&Idempotency>, Option<Acceptance>), StoreError> {
        let (mut kept, mut known) = (Vec::new(), Vec::new());
        for (at, new) in self.0.events.iter().enumerate() {
            let Some(own) = &new.own_id else { continue };
            match remember(db, Some(own))? {
                None => kept.push(own),
                Some(Acceptance::Replay(answer)) => known.push((at, answer)),
                Some(_) => return Ok((kept, Some(Acceptance::OwnIdMismatch(at)))),
            }
        }
        let refused = (!known.is_empty()).then_some(Acceptance::Known(known));
        Ok((kept, refused))
    }

    /// Lets go of the request's key and of `own` ids that were new, as nothing came of them.
    fn forget(&self, db: &Db<'_>, own: &[&Idempotency]) -> Result<(), StoreError> {
        forget(db, self.0.idempotency.as_ref())?;
        own.iter().try_for_each(|own| forget(db, Some(own)))
    }
}

/// [`crate::store::Ledger::answer`].
pub(super) struct SetAnswer {
    pub(super) key: String,
    pub(super) answer: Answer,
}

impl Write for SetAnswer {
    type Output = Answer;

    fn apply(&self, db: &mut Db<'_>) -> Result<Answer, StoreError> {
        set_answer(db, &self.key, &self.answer)?;
        let recorded = db
            .conn
            .prepare_cached("SELECT status, location, body FROM idempotency WHERE key = ?1")?
            .query_row([&self.key], |row| {
                let body: Vec<u8> = row.get::<_, Option<_>>(2)?.unwrap_or_default();
                Ok(Answer { status: row.get(0)?, location: row.get(1)?, body: body.into() })
            })
            .optional()?;
        Ok(recorded.unwrap_or_else(|| self.answer.clone()))
    }
}

/// Sets the first answer of a key that has none.
pub(super) fn set_answer(db: &Db<'_>, key: &str, answer: &Answer) -> Result<(), StoreError> {
    db.conn
        .prepare_cached(
            "UPDATE idempotency SET status = ?2, location = ?3, body = ?4 WHERE key = ?1 AND status IS NULL",
        )?
        .execute(params![key, answer.status, answer.location, &answer.body[..]])?;
    Ok(())
}

/// Takes the id of a signed request. Returns `false` where it was taken before and its signature still holds.
fn take_signed(db: &Db<'_>, signed: Option<&SignedId>) -> Result<bool, StoreError> {
    let Some(SignedId { id, until }) = signed else { return Ok(true) };
    let now = db.terms.now.as_millis();
    db.conn.prepare_cached("DELETE FROM signed_requests WHERE until < ?1")?.execute([now])?;
    let inserted = db
        .conn
        .prepare_cached("INSERT INTO signed_requests (id, until) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING")?
        .execute(params![id, until.as_millis()])?;
    Ok(inserted == 1)
}

/// Lets go of a key that was new, as nothing came of it.
fn forget(db: &Db<'_>, idempotency: Option<&Idempotency>) -> Result<(), StoreError> {
    if let Some(Idempotency { key, .. }) = idempotency {
        db.conn.prepare_cached("DELETE FROM idempotency WHERE key = ?1")?.execute([key])?;
    }
    Ok(())
}

/// Keeps a key that is new, and says what became of one that is not.
fn remember(db: &Db<'_>, idempotency: Option<&Idempotency>) -> Result<Option<Acceptance>, StoreError> {
    let Some(Idempotency { key, digest, answer }) = idempotency else { return Ok(None) };
    let inserted = db
        .conn
        .prepare_cached(
            "INSERT INTO idempotency (key, digest, status, location, body) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![
            key,
            digest,
            answer.as_ref().map(|answer| answer.status),
            answer.as_ref().and_then(|answer| answer.location.as_deref()),
            answer.as_ref().map(|answer| &answer.body[..]),
        ])?;
    if inserted == 1 {
        return Ok(None);
    }
    let seen = db
        .conn
        .prepare_cached("SELECT digest, status, location, body FROM idempotency WHERE key = ?1")?
        .query_row([key], |row| {
            if row.get_ref(0)?.as_blob()? != digest {
                return Ok(Acceptance::Mismatch);
            }
            let Some(status) = row.get(1)? else { return Ok(Acceptance::UnderWay) };
            let body: Vec<u8> = row.get::<_, Option<_>>(3)?.unwrap_or_default();
            Ok(Acceptance::Replay(Answer { status, location: row.get(2)?, body: body.into() }))
        })
        .optional()?;
    Ok(seen)
}
