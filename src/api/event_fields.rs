//! The fields that events in every form have.

use super::object::Reader;
use super::problem::{Fault, Kind, Problem};

/// The longest type or id of an event, in characters.
const MAX_NAME: usize = 256;

/// That fields are wrong.
pub(super) fn wrong(faults: Vec<Fault>) -> Problem {
    Problem::faults(Kind::InvalidFields, faults)
}

/// The type of an event.
pub(super) fn kind(reader: &mut Reader<'_, '_>) -> Option<String> {
    let kind = reader.required("type")?;
    match check_kind(&kind) {
        Ok(()) => Some(kind),
        Err(message) => {
            reader.fault("type", message);
            None
        }
    }
}

/// The sender's id of an event, where it has one.
pub(super) fn id(reader: &mut Reader<'_, '_>) -> Option<String> {
    let id = reader.text("id")?;
    match check_id(&id) {
        Ok(()) => Some(id),
        Err(message) => {
            reader.fault("id", message);
            None
        }
    }
}

/// What channels can subscribe to: patterns are printable ASCII without spaces, so types are too.
pub(super) fn check_kind(kind: &str) -> Result<(), &'static str> {
    if kind.is_empty() || kind.len() > MAX_NAME || !kind.chars().all(|c| c.is_ascii_graphic()) {
        return Err("must be 1 to 256 printable ASCII characters without spaces");
    }
    Ok(())
}

/// Any short text without control characters.
pub(super) fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() || id.chars().count() > MAX_NAME || id.chars().any(char::is_control) {
        return Err("must be 1 to 256 characters without control characters");
    }
    Ok(())
}
