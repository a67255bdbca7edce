//! The egress guard: which addresses a connection may go to.
//!
//! It looks at the address that is connected to, after names have been resolved: the connector gets exactly the
//! addresses that were checked, so a name cannot change its mind in between. One forbidden address among a name's
//! answers refuses the name. The check costs nothing on a connection that is open already.
//!
//! `config/ranges.rs` is the table of what is not public; `route.rs` checks each connection of an HTTP client, through a proxy or
//! not. [`Guard::resolve`] serves whoever connects by other means.

mod guard;
mod route;

#[cfg(test)]
pub(super) use guard::Lookup;
pub(super) use guard::{Forbidden, Guard, NoAddress, Unreachable};
pub(super) use route::{ProxyFailed, Target, proxy, secrets};
