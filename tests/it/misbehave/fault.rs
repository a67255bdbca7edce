//! A fault: what a receiver does, and what has to be on record for it.

use std::time::Duration;

use crate::receiver::{Accept, Act, Reply};

/// How long a call may take that is to end by itself: never reached.
const LONG: Duration = Duration::from_secs(20);

/// How long a call may take that only its timeout ends.
const SHORT: Duration = Duration::from_millis(700);

/// What a channel records for those, but for those that end while connecting.
const NOT_IN_TIME: &str = "no complete response within 700ms";

/// What a callout says when its time is up.
const ABORTED: &str = "This operation was aborted";

/// Where the receiver is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// At an address, in plain text.
    Plain,
    /// Behind TLS with this certificate.
    Tls(Certificate),
    /// Behind TLS, and it speaks HTTP/2.
    Http2,
    /// At a port where nobody listens.
    Nowhere,
    /// Behind a queue of connections that is full.
    BlackHole,
    /// At a name.
    Name(&'static str),
}

/// What a receiver shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificate {
    /// One that is as it should be.
    Good,
    Expired,
    ForAnotherHost,
    OfAnUnknownAuthority,
}

/// What is on record.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) code: i64,
    /// The whole text, with `HOST` for host and port; where it ends in `…`, its beginning. Empty: none.
    pub(super) error: &'static str,
    /// Bytes of the body that are kept.
    pub(super) kept: Option<usize>,
}

/// A fault.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// In which part of the table.
    pub(super) part: &'static str,
    /// What the receiver does.
    pub(super) what: &'static str,
    pub(super) place: Place,
    pub(super) accept: Accept,
    pub(super) reply: Reply,
    /// What a channel records: one of these.
    pub(super) channel: Vec<Outcome>,
    /// What a callout records, where that is something else.
    callout: Vec<Outcome>,
    /// The timeout of the call.
    pub(super) patience: Duration,
}

impl Fault {
    fn new(what: &'static str, place: Place) -> Self {
        Self {
            part: "",
            what,
            place,
            accept: Accept::Serve,
            reply: Reply::status(200),
            channel: Vec::new(),
            callout: Vec::new(),
            patience: LONG,
        }
    }

    /// A receiver at that place.
    pub(super) fn at(place: Place, what: &'static str) -> Self {
        Self::new(what, place)
    }

    /// A receiver in plain text that answers by these acts.
    pub(super) fn answer(what: &'static str, acts: impl Into<Vec<Act>>) -> Self {
        Self::new(what, Place::Plain).replies(Reply::Acts(acts.into()))
    }

    /// A receiver in plain text that answers with these bytes, and closes the connection.
    pub(super) fn bytes(what: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::answer(what, [Act::Send(bytes.into())])
    }

    /// The same for a response that comes to its end: the connection stays open, as anybody would expect.
    pub(super) fn response(what: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::answer(what, [Act::Send(bytes.into()), Act::Keep])
    }

    pub(super) fn replies(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }

    pub(super) fn accepts(self, accept: Accept) -> Self {
        Self { accept, ..self }
    }

    /// What is recorded for it, by either kind of call. Once more: or that.
    pub(super) fn is(mut self, code: i64, error: &'static str) -> Self {
        self.channel.push(Outcome { code, error, kept: None });
        self
    }

    /// What a callout records, where that is something else.
    pub(super) fn but_for_a_callout(mut self, code: i64, error: &'static str) -> Self {
        self.callout.push(Outcome { code, error, kept: None });
        self
    }

    /// A status is recorded, and so many bytes of the body.
    pub(super) fn keeps(mut self, code: i64, bytes: usize) -> Self {
        let error = match code {
            101 => "the receiver answered 101",
            302 => "the receiver answered 302, and redirects are not followed",
            304 => "the receiver answered 304",
            _ => "",
        };
        self.channel.push(Outcome { code, error, kept: Some(bytes) });
        if !error.is_empty() {
            // A step passes by every status that `shouldRejectOn` does not list.
            self.callout.push(Outcome { code, error: "", kept: Some(bytes) });
        }
        self
    }

    /// Only the timeout ends it.
    pub(super) fn takes_its_time(self) -> Self {
        let patient = Self { patience: SHORT, ..self };
        patient.is(-5, NOT_IN_TIME).but_for_a_callout(-5, ABORTED)
    }

    /// Only the timeout ends it, and before there is a connection.
    pub(super) fn never_connects(self) -> Self {
        let patient = Self { patience: SHORT, ..self };
        patient.is(-4, "no connection to HOST within 700ms").but_for_a_callout(-4, ABORTED)
    }

    /// In that part of the table.
    pub(super) fn within(self, part: &'static str) -> Self {
        Self { part, ..self }
    }

    /// Whether it ends before its timeout.
    pub(super) fn ends_by_itself(&self) -> bool {
        self.patience == LONG
    }

    /// Whether its connections have to be at their end with the calls: it goes on and on, or nothing came in time.
    pub(super) fn is_to_be_hung_up_on(&self) -> bool {
        let floods = |act: &Act| matches!(act, Act::Endless(_) | Act::Paced(_) | Act::Numbered(_));
        !self.ends_by_itself() || matches!(&self.reply, Reply::Acts(acts) if acts.iter().any(floods))
    }

    /// What a callout records: one of these.
    pub(super) fn callout(&self) -> &[Outcome] {
        if self.callout.is_empty() { &self.channel } else { &self.callout }
    }

    /// How many calls of a kind meet it at once. HTTP/2 is answered on its first stream alone.
    pub(super) fn calls(&self) -> usize {
        if matches!(self.place, Place::Http2) { 1 } else { 3 }
    }
}
