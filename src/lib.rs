//! orderhook: order callouts and webhook delivery from one binary with an embedded store.
//!
//! The path of an order, module by module:
//!
//! 1. [`api`] reads the request, checks the caller and hands the order to [`intake`].
//! 2. [`intake`] selects a chain. An order without steps is [routed](routing) to its channels and stored with its
//!    deliveries in one commit; an order with steps is stored first.
//! 3. [`chain`] runs the steps, each through a plugin, and journals every result in the [`store`]. The last step's
//!    commit brings the deliveries.
//! 4. [`store`] commits writes in groups, makes each group durable, and hands new deliveries to their lanes.
//! 5. [`delivery`] has a lane for each channel. The lane builds a request by [`template`], sends it through
//!    [`outbound`] and records the attempt; a retry waits in the lane or in the store.
//! 6. The caller has its answer once the order is durable, or once the chain's foreground steps have ended.
//!
//! [`app`] builds all of it from one [configuration](config) and replaces it at a reload; [`cli`] is the command line.
//! [`domain`] holds the types and rules that all share, without I/O; [`system`], [`telemetry`] and [`semaphore`] are
//! what they run on. A module uses only modules above it in the list below, and no two files import each other.
//! `docs/architecture.md` says more.
//!
//! Errors, from the lowest module up:
//!
//! | module | error | becomes |
//! |---|---|---|
//! | [`template`] | [`SyntaxError`](template::SyntaxError) | a fault of the configuration, with line and caret |
//! | [`template`] | [`RenderError`](template::RenderError) | an attempt with the code -2000, a step that fails |
//! | [`config`] | [`Faults`](config::Faults) | the output of `check`, a start or reload that is refused |
//! | [`store`] | [`StoreError`](store::StoreError) | 503; lanes try again |
//! | [`outbound`] | [`Reply`](outbound::Reply) with a [`Code`](domain::Code) below zero | an attempt's record; never an error |
//! | [`intake`] | [`Refusal`](intake::Refusal) | a problem of the API |
//! | [`delivery`] | [`LanesError`](delivery::LanesError) | a start or reload that fails |
//! | [`app`] | [`StartError`](app::StartError) | exit code 1 |
//!
//! A configuration is checked as a whole; every fault is reported at once:
//!
//! ```
//! use orderhook::config::{Environment, load_text};
//!
//! let faults = load_text("hooks.yaml", "channels: [{name: erp, url: ftp://erp.example}]", &Environment::default())
//!     .expect_err("the scheme is wrong");
//! assert!(faults.to_string().contains("channels[0].url"));
//! ```
//!
//! A condition is compiled once and says where it is wrong:
//!
//! ```
//! use orderhook::template::Expression;
//!
//! assert!(Expression::compile("order.total > 100").is_ok());
//! let error = Expression::compile("oder.total > 100").expect_err("a slip of the pen");
//! assert!(error.message.contains("did you mean `order`?"));
//! ```

pub mod domain;

pub mod semaphore;
pub mod system;
pub mod telemetry;
pub mod template;

pub mod config;

pub mod store;

pub mod outbound;

pub mod routing;

pub mod chain;

pub mod delivery;
pub mod intake;

pub mod api;

pub mod app;

pub mod cli;
