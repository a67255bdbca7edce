//! What one rendering or condition may cost: work by the size of what is touched and made, and time.
//!
//! The engine counts its steps, but a filter is one step however much it does. So every filter, test, function and
//! operator pays here for the bytes and elements that it touches and makes, before it makes them. The meter belongs to
//! the thread, as the engine hands nothing of ours to its filters.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::json::{self, LongNumber};

/// Instructions that one rendering may take; the meter bounds what each may do.
pub(super) const FUEL: u64 = 50_000;

/// The most work of a rendering: a unit for each byte, [`ELEMENT`] for each element of a list or object.
pub(super) const WORK: u64 = 32 << 20;

/// What an element of a list or object costs.
pub(super) const ELEMENT: u64 = 64;

/// The largest text that a filter or operator may make, in bytes: 1 MiB.
pub(super) const MAX_MADE: u64 = 1 << 20;

/// Units between two looks at the time.
const LOOK: u64 = 64 << 10;

/// How long a rendering may take, and what its time is measured by. The default sets no limit.
#[derive(Clone, Copy)]
pub struct Bounds {
    timeout: Duration,
    timer: fn() -> Duration,
}

impl Bounds {
    /// `timeout` as `timer` measures it: processor time of the thread, so that a busy machine makes nothing fail.
    pub fn new(timeout: Duration, timer: fn() -> Duration) -> Self {
        Self { timeout, timer }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { timeout: Duration::MAX, timer: || Duration::ZERO }
    }
}

impl fmt::Debug for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounds").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Meter {
    spent: u64,
    bounds: Bounds,
    began: Duration,
    /// The time was up when it was last looked at.
    late: bool,
}

thread_local! {
    static METER: Cell<Option<Meter>> = const { Cell::new(None) };
}

/// Starts the meter of this thread. To be called before each rendering.
pub(super) fn begin(bounds: Bounds) {
    METER.set(Some(Meter { spent: 0, bounds, began: (bounds.timer)(), late: false }));
}

/// Does `work` without its time: reading an order is no work of the template that happens to need it first.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let Some(timer) = METER.get().map(|meter| meter.bounds.timer) else { return work() };
    let before = timer();
    let result = work();
    if let Some(meter) = METER.get() {
        METER.set(Some(Meter { began: meter.began.saturating_add(timer().saturating_sub(before)), ..meter }));
    }
    result
}

/// Units spent since [`begin`].
#[cfg(test)]
pub(super) fn spent() -> u64 {
    METER.get().map_or(0, |meter| meter.spent)
}

/// Pays `units`. Returns whether the rendering may go on; if not, [`check`] says why.
pub(super) fn spend(units: u64) -> bool {
    let Some(mut meter) = METER.get() else { return true };
    let before = meter.spent;
    meter.spent = before.saturating_add(units);
    if before / LOOK != meter.spent / LOOK {
        meter.late |= (meter.bounds.timer)().saturating_sub(meter.began) > meter.bounds.timeout;
    }
    METER.set(Some(meter));
    meter.spent <= WORK && !meter.late
}

/// `Err` where the work or the time is used up.
pub(super) fn check() -> Result<(), Error> {
    let Some(meter) = METER.get() else { return Ok(()) };
    if meter.spent > WORK {
        let what = "reads and creates more than 32 MiB of values";
        return Err(Error::new(ErrorKind::OutOfFuel, what));
    }
    if meter.late {
        let what = format!("takes longer than template.timeout ({:?})", meter.bounds.timeout);
        return Err(Error::new(ErrorKind::OutOfFuel, what));
    }
    Ok(())
}

/// Pays `units`; `Err` where that is more than is left.
pub(super) fn charge(units: u64) -> Result<(), Error> {
    if spend(units) { Ok(()) } else { check() }
}

/// Pays for a text of `bytes` that is about to be made; `Err` where it is too long.
pub(super) fn charge_text(bytes: u64) -> Result<(), Error> {
    if bytes > MAX_MADE { Err(too_long()) } else { charge(bytes) }
}

fn too_long() -> Error {
    Error::new(ErrorKind::OutOfFuel, "creates text of more than 1 MiB")
}

/// A text that is being made, [`MAX_MADE`] bytes at most.
#[derive(Default)]
pub(super) struct Made(String);

impl Made {
    /// Writes by `write`; an error of its own where the text is too long.
    pub(super) fn by(write: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<String, Error> {
        let mut made = Self::default();
        let result = write(&mut made);
        charge(units(made.0.len()))?;
        match result {
            Err(error) if error.kind() == ErrorKind::WriteFailure => Err(too_long()),
            other => other.map(|()| made.0),
        }
    }
}

impl fmt::Write for Made {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if units(self.0.len() + text.len()) > MAX_MADE {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// A count as units.
pub(super) fn units(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The cost of a list, an object, a text or a number without what is in its elements.
pub(super) fn shallow(value: &Value) -> u64 {
    match value.kind() {
        ValueKind::String => units(value.as_str().unwrap_or_default().len()),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => ELEMENT.saturating_mul(units(elements(value))),
        _ => value.downcast_object_ref::<LongNumber>().map_or(0, |number| units(number.digits())),
    }
}

/// How many elements a list or object has, or characters a text.
pub(super) fn elements(value: &Value) -> usize {
    match value.kind() {
        ValueKind::Iterable => value.len().or_else(|| value.try_iter().ok().map(Iterator::count)).unwrap_or(0),
        ValueKind::Seq | ValueKind::Map | ValueKind::String => value.len().unwrap_or(0),
        _ => 0,
    }
}

/// Pays for a value and all that is in it; `Err` as soon as that is more than is left.
pub(super) fn charge_deep(value: &Value) -> Result<(), Error> {
    let mut open = vec![value.clone()];
    while let Some(value) = open.pop() {
        charge(ELEMENT)?;
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => open.extend(value.try_iter()?),
            ValueKind::Map => {
                for name in value.try_iter()? {
                    charge(shallow(&name))?;
                    open.push(value.get_item(&name)?);
                }
            }
            _ => charge(shallow(&value))?,
        }
    }
    Ok(())
}

/// The rounds of a sort of so many elements.
pub(super) fn rounds(elements: usize) -> u64 {
    u64::from(usize::BITS - elements.leading_zeros())
}

/// A value as the text that it is filled in as; the engine's own words for lists and objects.
pub(super) fn joined(a: &Value, b: &Value) -> Result<String, Error> {
    charge_deep(a)?;
    charge_deep(b)?;
    Made::by(|made| Ok(fmt::Write::write_fmt(made, format_args!("{a}{b}"))?))
}

/// A value as JSON.
pub(super) fn json(value: &Value) -> Result<String, Error> {
    Made::by(|made| json::write(made, value))
}
