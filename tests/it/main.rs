//! The black-box tests: the promises of the documentation, driven through the real service against a real receiver.
//!
//! A file for each group of promises, a sentence for each test's name. `harness` runs the service, `receiver` is the
//! world it talks to, `client` is its caller. `CONTRIBUTING.md` says how to run one of them alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "a test that meets the unexpected has failed"
)]

mod client;
mod harness;
mod payloads;
mod peers;
mod receiver;
mod smtp;

mod again;
mod architecture;
mod auth;
mod bad_input;
mod browser;
mod byte_order_marks;
mod callers;
mod callouts;
mod chain;
mod channels;
mod circles;
mod cli;
mod clocks;
mod cloudevents;
mod commands;
mod compose;
mod conditions;
mod config;
mod conformance;
mod container;
mod crash;
mod dashboard;
mod deliveries_api;
mod documents;
mod egress;
mod english;
mod events;
mod fulfillment;
mod holding;
mod http2;
mod http_api;
mod idempotency;
mod lanes;
mod limits;
mod logs;
mod mail;
mod metrics;
mod misbehave;
mod ntlm;
mod oauth;
mod openapi;
mod operations;
mod orderful;
mod orders_api;
mod outcomes;
mod plan;
mod previews;
mod problems;
mod proxies;
mod reload;
mod replicas;
mod requests;
mod retries;
mod schedules;
mod search;
mod secrets;
mod secured;
mod secutix;
mod shutdown;
mod signing;
mod starved;
mod store_contract;
mod store_faults;
mod stream;
mod supervision;
mod template_work;
mod templates;
mod tls;
mod tokens;
mod traces;
mod unreadable;
mod walkthroughs;
mod zuora;
