//! One write: what it does to the database, and how its caller learns of it.
//!
//! To add a write: give a type [`Write`], and send it to the [`super::writer::Writer`].

use tokio::sync::oneshot;

use super::db::{Db, Notes, Terms};
use super::handoff::Handoff;
use crate::store::StoreError;

/// Something to be written. Runs inside a transaction that it shares with others.
pub(super) trait Write: Send + 'static {
    /// What the caller learns.
    type Output: Send + 'static;

    /// Whether it brings orders or events. All else is what became of those, and may take the reserve.
    fn is_intake(&self) -> bool {
        false
    }

    /// About how many bytes it brings, so that a group does not grow without bound.
    fn weight(&self) -> usize {
        256
    }

    /// Does it. May be called again after the transaction was rolled back. What a caller did wrong is an output, not
    /// an error: an error undoes the work of everybody in the group.
    fn apply(&self, db: &mut Db<'_>) -> Result<Self::Output, StoreError>;

    /// Notes the deliveries that are durable now, takes out those that belong to this replica, and lets go of the others.
    fn hand_off(&mut self, _output: &Self::Output, _terms: Terms, _handoff: &mut Handoff) {}

    /// What is to be done when the caller went away before it could be told.
    fn unheard(&self, _output: Self::Output) -> Option<Box<dyn Job>> {
        None
    }
}

/// A [`Write`] with its caller, of whatever type.
pub(super) trait Job: Send {
    /// As [`Write::is_intake`].
    fn is_intake(&self) -> bool;
    /// As [`Write::weight`].
    fn weight(&self) -> usize;
    /// As [`Write::apply`]; keeps the output.
    fn apply(&mut self, db: &mut Db<'_>) -> Result<(), StoreError>;
    /// As [`Write::hand_off`].
    fn hand_off(&mut self, terms: Terms, handoff: &mut Handoff);
    /// Tells the caller; answers what is to be done where there is none any more.
    fn answer(self: Box<Self>, result: Result<(), StoreError>) -> Option<Box<dyn Job>>;
}

/// A write on its way.
pub(super) struct Task<W: Write> {
    work: W,
    output: Option<W::Output>,
    notes: Notes,
    caller: Option<oneshot::Sender<Result<W::Output, StoreError>>>,
}

impl<W: Write> Task<W> {
    /// A write, and where its result will be.
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<Result<W::Output, StoreError>>) {
        let (caller, result) = oneshot::channel();
        (Self { work, output: None, notes: Notes::default(), caller: Some(caller) }, result)
    }

    /// A write whose result nobody waits for.
    pub(super) fn alone(work: W) -> Self {
        Self { work, output: None, notes: Notes::default(), caller: None }
    }
}

impl<W: Write> Job for Task<W> {
    fn is_intake(&self) -> bool {
        self.work.is_intake()
    }

    fn weight(&self) -> usize {
        self.work.weight()
    }

    fn apply(&mut self, db: &mut Db<'_>) -> Result<(), StoreError> {
        self.output = Some(self.work.apply(db)?);
        self.notes = std::mem::take(&mut db.notes);
        Ok(())
    }

    fn hand_off(&mut self, terms: Terms, handoff: &mut Handoff) {
        if let Some(output) = &self.output {
            let Notes { held, waiting } = std::mem::take(&mut self.notes);
            handoff.held = held;
            self.work.hand_off(output, terms, handoff);
            handoff.waiting.extend(waiting);
        }
    }

    fn answer(self: Box<Self>, result: Result<(), StoreError>) -> Option<Box<dyn Job>> {
        let Self { work, output, caller, .. } = *self;
        let result = result.and_then(|()| output.ok_or(StoreError::Closed));
        let output = match (caller, result) {
            (Some(caller), Ok(output)) => caller.send(Ok(output)).err()?.ok()?,
            (None, Ok(output)) => output,
            (caller, Err(error)) => {
                // What the write held (slots) is free before its caller knows.
                drop(work);
                if let Some(caller) = caller {
                    let _ = caller.send(Err(error));
                }
                return None;
            }
        };
        work.unheard(output)
    }
}
