//! Every key there is, as data: what kind of value it takes, its range, its default, and a line that explains it.
//!
//! Reading, the names in error messages and `docs/configuration.md` all come from here, so that they cannot differ.
//! To add a key, add it to its block's table, read it where the block is resolved, and run the tests with
//! `UPDATE_DOCS=1`. A key with a default that stands in a section of the file's top level belongs in
//! `config/default.yaml` too; a test says so.

mod auth;
mod chains;
mod channels;
mod holding;
mod kinds;
mod mail;
mod network;
mod relationships;
mod schedules;
mod sections;
mod shared;

pub(crate) use chains::CALLOUT;
pub(crate) use channels::CHANNEL;
pub(crate) use kinds::{Block, Key, Kind, duration, one_of, size};
pub(crate) use mail::EMAIL_KEYS;
pub(crate) use sections::ROOT;
