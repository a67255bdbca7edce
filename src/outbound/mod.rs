//! Requests to the world: the only room that makes them, and the only one that knows reqwest.
//!
//! A [`Client`] belongs to one channel or one step of a chain, and to one runtime: it has its own connections, its
//! own credentials and its own limits, none of them shared. [`Client::send`] never fails: whatever happens ends as a
//! [`Reply`] with a [`Code`](crate::domain::Code), within the time and memory that [`ClientOptions`] allow.
//!
//! Nothing connects to an address that the egress guard (`egress/`) refuses.
//!
//! `client.rs` sends and `received.rs` reads, over connections that `dialer.rs` makes; `call.rs` keeps what has come so
//! far; `phase.rs` tells connecting from transferring, each with its own limit; `fault.rs` makes a code of what went
//! wrong, by its type, never by its text; `exchange.rs` makes the record of it all, `mask.rs` takes secrets out of it,
//! whose forms `finder.rs` finds under all `encodings.rs`; `aside.rs` does long work on other threads,
//! `starved.rs` waits where this machine can open no connection.
//!
//! `auth` proves who sends: a file for each way. To add one, see there. `mail/` sends mail over SMTP instead, with
//! lettre.

mod aside;
mod auth;
mod call;
mod client;
mod collector;
mod dialer;
mod egress;
mod encodings;
mod exchange;
mod fault;
mod finder;
#[doc(hidden)]
pub mod fuzzed;
pub mod mail;
mod mask;
mod phase;
mod received;
mod remote;
mod reply;
mod request;
mod retry_after;
mod self_signed;
mod starved;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod transport;

use crate::config::is_secret_name;

pub use aside::aside;
pub use client::Client;
pub use collector::Collector;
pub use exchange::{exchange, hide};
pub use mask::MASK;
pub use remote::{Lines, Remote};
pub use request::{ClientError, ClientOptions, Reply, Request};
pub use reqwest::Url;
pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use text::text;

/// A header's value. `Err` says what is wrong with it, as nobody may add headers of their own by a line break.
pub fn header_value(text: &str) -> Result<HeaderValue, &'static str> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| "a header's value cannot hold line breaks or control characters")
}

/// The value of a header of that name, marked as sensitive where the name says that it is secret.
pub fn named_value(name: &str, text: &str) -> Result<HeaderValue, String> {
    let mut value = header_value(text).map_err(|error| format!("headers.{name}: {error}"))?;
    value.set_sensitive(is_secret_name(name));
    Ok(value)
}
