//! What orderhook talks about: orders, events, deliveries, attempts, and the rules that move them.
//!
//! Everything here is a value or a pure function: no I/O, no runtime, no wall clock of its own. Time comes in as
//! [`Timestamp`], chance as a number between 0 and 1. To add a rule of delivery, write it here as a small type with
//! a constructor that refuses what cannot be, and give it a property test.

pub mod arrival;
pub mod clock;
pub mod code;
pub mod delivery;
pub mod event;
pub mod granularity;
pub mod header_set;
pub mod headers;
pub mod holding;
pub mod ids;
pub mod json;
pub mod likeness;
pub mod mailbox;
pub mod order;
pub mod outcomes;
pub mod pointer;
pub mod rate;
pub mod retry;
pub mod schedule;
pub mod settle;
pub mod signing;
mod tenure;
pub mod trace;
pub mod url_rules;

pub use arrival::Arrival;
pub use clock::{Clock, CorrectedClock, ManualClock, Setbacks, Timestamp};
pub use code::{Code, Codes};
pub use delivery::{Attempt, Body, DeliveryStatus, Exchange, Outcome, PreparedDelivery, Times};
pub use event::{Event, EventPattern, Origin, Subject};
pub use granularity::Granularity;
pub use header_set::HeaderSet;
pub use headers::HeaderLines;
pub use holding::{AfterFailure, BreakerPolicy, OrderingKey, OrderingPolicy, Sign};
pub use ids::{AttemptId, DeliveryId, EventId, IdSource, OrderId};
pub use mailbox::{Mailbox, NoMailbox};
pub use order::{OrderStatus, Skip, StepRecord, StepStatus};
pub use outcomes::{Class, Outcomes, Rule};
pub use rate::Rate;
pub use retry::{Backoff, RetryPolicy};
pub use schedule::{RunClock, Runs, Schedule};
pub use settle::SettleKeys;
pub use signing::SigningKeys;
pub use tenure::Tenure;
pub use trace::TraceContext;
pub use url_rules::UrlRules;
