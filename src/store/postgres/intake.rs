//! Takes in orders and events: while some are written, the next gather, and are written together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::accept::{Accept, Intake};
use super::handoff::Handoff;
use super::news::Sender;
use super::tx::Writes;
use crate::store::{Acceptance, StoreError};

/// The largest group, in orders and in bytes.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 4 << 20;

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// One who waits for an order or events to be accepted.
struct Caller {
    intake: Intake,
    answer: oneshot::Sender<Result<Acceptance, StoreError>>,
}

/// Where orders and events come in.
#[derive(Clone)]
pub(super) struct Door(mpsc::UnboundedSender<Caller>);

impl Door {
    /// Opens it: a task of the present runtime writes.
    pub(super) fn open(writes: Arc<Writes>, news: Sender) -> Self {
        let (sender, callers) = mpsc::unbounded_channel();
        tokio::spawn(take_in(writes, callers, news));
        Self(sender)
    }

    /// Has something accepted.
    pub(super) async fn accept(&self, intake: Intake) -> Result<Acceptance, StoreError> {
        let (answer, accepted) = oneshot::channel();
        self.0.send(Caller { intake, answer }).map_err(|_| StoreError::Closed)?;
        // A server that is away may be away for long: whoever waits no longer is passed over.
        match tokio::time::timeout(PATIENCE, accepted).await {
            Ok(accepted) => accepted.map_err(|_| StoreError::Closed)?,
            Err(_) => Err(StoreError::Unavailable("PostgreSQL does not answer".to_owned())),
        }
    }
}

async fn take_in(writes: Arc<Writes>, mut callers: mpsc::UnboundedReceiver<Caller>, news: Sender) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(caller) => caller,
            None => match callers.recv().await {
                Some(caller) => caller,
                None => return,
            },
        };
        let mut group = Vec::with_capacity(16);
        next = gather(first, &mut callers, &mut group);
        write(&writes, group, &news).await;
    }
}

/// Gathers what can be written in one transaction; returns what cannot.
fn gather(first: Caller, callers: &mut mpsc::UnboundedReceiver<Caller>, group: &mut Vec<Caller>) -> Option<Caller> {
    let replica = first.intake.replica();
    let (mut bytes, mut keys) = (0, HashSet::new());
    let mut next = Some(first);
    while let Some(caller) = next.take().or_else(|| callers.try_recv().ok()) {
        // Whoever has gone away would not learn of it.
        if caller.answer.is_closed() {
            continue;
        }
        bytes += caller.intake.weight();
        let full = group.len() >= GROUP || bytes > GROUP_BYTES && !group.is_empty();
        let own: Vec<String> = caller.intake.keys().map(str::to_owned).collect();
        // The second with a key is to find what became of the first.
        if full || caller.intake.replica() != replica || own.iter().any(|key| keys.contains(key)) {
            return Some(caller);
        }
        keys.extend(own);
        group.push(caller);
    }
    None
}

async fn write(writes: &Writes, group: Vec<Caller>, news: &Sender) {
    let Some(first) = group.first() else { return };
    let replica = first.intake.replica();
    let (intakes, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|caller| (caller.intake, caller.answer)).unzip();
    let accept = Accept { replica, intakes };
    match writes.run(&accept).await {
        Ok(accepted) => {
            let mut handoff = Handoff::default();
            let (mut outcomes, mut answers) = (Vec::new(), answers);
            for (intake, (acceptance, placed)) in accept.intakes.into_iter().zip(accepted) {
                if acceptance == Acceptance::New {
                    handoff.take(intake.into_deliveries(), &placed);
                }
                outcomes.push(acceptance);
            }
            // Before the answers: what is accepted is on its way.
            news.waiting(handoff.tell(writes.handover.get()));
            for (answer, outcome) in answers.drain(..).zip(outcomes) {
                let _ = answer.send(Ok(outcome));
            }
        }
        Err(error) if error.is_passing() || answers.len() == 1 => {
            drop(accept);
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
        // One of them is at fault: each by itself.
        Err(_) => {
            for (intake, answer) in accept.intakes.into_iter().zip(answers) {
                Box::pin(write(writes, vec![Caller { intake, answer }], news)).await;
            }
        }
    }
}
