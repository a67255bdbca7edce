//! The table that the matrix prints, and the one in `docs/misbehaviour.md`.

use std::fmt;

use super::fault::{Fault, Outcome};

/// What a kind of call had on record.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) part: &'static str,
    pub(super) what: &'static str,
    pub(super) kind: &'static str,
    pub(super) code: i64,
    pub(super) error: String,
    /// The longest of them.
    pub(super) millis: u64,
    /// Its timeout.
    pub(super) limit: u64,
    /// By how much the process grew meanwhile, at the most.
    pub(super) grown: u64,
    /// Deliveries that a healthy channel ended meanwhile.
    pub(super) beside: usize,
}

/// Above the rows.
pub(super) const HEAD: &str = "fault | kind | code | ms (limit) | memory KB | beside | error";

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, what, kind, code, error, millis, limit, grown, beside } = self;
        write!(f, "{part}: {what} | {kind} | {code} | {millis} ({limit}) | {grown} | {beside} | {error}")
    }
}

/// The tables of the documentation: what is recorded for each fault, without what differs from run to run.
pub(super) fn documented(faults: &[Fault]) -> String {
    let mut text = String::new();
    let mut part = "";
    for fault in faults {
        if fault.part != part {
            part = fault.part;
            text.push_str(&format!(
                "\n### {part}\n\n| the receiver | a channel records | a callout |\n|---|---|---|\n"
            ));
        }
        let callout = if same(&fault.channel, fault.callout()) { "the same".to_owned() } else { cell(fault.callout()) };
        text.push_str(&format!("| {} | {} | {callout} |\n", fault.what, cell(&fault.channel)));
    }
    text
}

fn same(one: &[Outcome], other: &[Outcome]) -> bool {
    let shown = |outcomes: &[Outcome]| cell(outcomes);
    shown(one) == shown(other)
}

fn cell(outcomes: &[Outcome]) -> String {
    let one = |outcome: &Outcome| {
        let Outcome { code, error, kept } = outcome;
        match kept {
            Some(bytes) => format!("{code}; {bytes} bytes of the body are kept"),
            None => format!("{code} `{}`", error.replace('|', "\\|")),
        }
    };
    outcomes.iter().map(one).collect::<Vec<_>>().join(", or ")
}
