//! What intake and the store refuse, as problems.

use crate::intake::{NotAgain, Refusal};
use crate::store::StoreError;
use crate::telemetry::Throttle;

use super::problem::{Fault, Kind, Problem};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        note(&error);
        match error {
            StoreError::Full(_) => Self::new(Kind::StoreFull, "the store is full; try again later"),
            StoreError::Closed => Self::new(Kind::ShuttingDown, "the service is shutting down; try again"),
            StoreError::Locked(_)
            | StoreError::Unavailable(_)
            | StoreError::Corrupt(_)
            | StoreError::Fenced
            | StoreError::InUse { .. }
            | StoreError::Newer { .. }
            | StoreError::NotAStore { .. }
            | StoreError::Refused(_) => Self::new(Kind::StoreUnavailable, "the store is failing; try again later"),
        }
    }
}

/// Logs why the store refused, however many callers are refused, once in ten seconds.
fn note(error: &StoreError) {
    static LOG: Throttle = Throttle::new();
    if let Some(suppressed) = LOG.admit() {
        tracing::warn!(%error, suppressed, "the store refused a request");
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotJson(_) => Self::new(Kind::InvalidJson, detail),
            Refusal::NotAnObject(_) => Self::new(Kind::NotAnObject, detail),
            Refusal::TooDeep(_) => Self::new(Kind::TooDeep, detail),
            Refusal::BadField { path, message } => Self::faults(Kind::InvalidFields, vec![Fault::new(path, message)]),
            Refusal::Condition(_) => Self::new(Kind::Condition, detail),
            Refusal::Partners(_) => Self::new(Kind::PartnersUnreadable, detail),
            Refusal::KeyMismatch => Self::new(Kind::KeyMismatch, detail),
            Refusal::EventIdMismatch(_) => Self::new(Kind::EventIdReused, detail),
            Refusal::SignedBefore => Self::new(Kind::SignedIdReused, detail),
            Refusal::KeyUnderWay => Self::new(Kind::KeyUnderWay, detail),
            Refusal::Stopping => Self::new(Kind::ShuttingDown, detail),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<NotAgain> for Problem {
    fn from(not: NotAgain) -> Self {
        let detail = not.to_string();
        match not {
            NotAgain::NoChannel(_) => Self::new(Kind::UnknownChannel, detail),
            NotAgain::ChannelOff(_) | NotAgain::NoFailedStep => Self::new(Kind::Conflict, detail),
            NotAgain::Nothing { .. } => Self::new(Kind::NotBuilt, detail),
            NotAgain::NotRejected(status) => Self::new(Kind::Conflict, detail).member("order_status", status.as_str()),
            NotAgain::NoStep { .. } => Self::new(Kind::StepNotConfigured, detail),
            NotAgain::Stopping => Self::new(Kind::ShuttingDown, detail),
            NotAgain::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_error_never_tells_its_cause() {
        let secret = || "disk sda1 of host db-7".to_owned();
        for error in [StoreError::Full, StoreError::Locked, StoreError::Unavailable, StoreError::Corrupt] {
            let problem = Problem::from(error(secret()));
            assert_eq!(problem.kind().status(), 503);
            assert!(!String::from_utf8(problem.to_json()).expect("text").contains("sda1"));
        }
    }
}
