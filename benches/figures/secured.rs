//! Throughput of a channel that signs, authenticates, or has a long list of egress rules, against one that does none of
//! it, in turns.
//!
//! On a machine that changes its pace from one window to the next the rates say little. What the service's CPU is to that
//! of the tools hardly moves; the notes have the share of the throughput that follows from it.
//!
//! The guard cannot be turned off. What it costs is what a list of many rules adds to a list of one; the connections
//! are kept, as they are in use.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Flow, Plan, Result, Row};
use crate::support::latency::median;
use crate::support::report::Requirement::{AtLeast, Shown};
use crate::support::service::{Channel, Service, empty_folder};
use crate::support::sink::{Sink, Temper};
use crate::support::tally::Tally;

/// The least share of the plain channel's throughput.
const KEPT: f64 = 0.9;

/// Egress rules of the guard's round: ranges and names, allowed and denied.
const RULES: usize = 400;

/// A way to secure a channel.
struct Way {
    name: &'static str,
    /// Keys of the channel.
    keys: &'static [&'static str],
    /// How many rules the guard has beside the one that allows the sink.
    rules: usize,
    required: bool,
}

const WAYS: &[Way] = &[
    Way { name: "guard with 400 rules", keys: &[], rules: RULES, required: true },
    Way {
        name: "signed (HMAC-SHA256)",
        keys: &["signing: {secrets: [whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=]}"],
        rules: 0,
        required: true,
    },
    Way {
        name: "auth basic, preemptive",
        keys: &["auth: {type: basic, username: shop, password: secret, preemptive: true}"],
        rules: 0,
        required: true,
    },
    Way { name: "auth bearer", keys: &["auth: {type: bearer, token: 0123456789abcdef}"], rules: 0, required: true },
    Way { name: "auth oauth2", keys: &["auth: {type: oauth2, provider: bench}"], rules: 0, required: true },
    Way {
        name: "all of these",
        keys: &[
            "signing: {secrets: [whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=]}",
            "auth: {type: oauth2, provider: bench}",
        ],
        rules: RULES,
        required: true,
    },
    Way {
        name: "signed (Ed25519)",
        keys: &["signing: {secrets: [whsk_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=]}"],
        rules: 0,
        required: false,
    },
];

const PLAIN: Way = Way { name: "plain", keys: &[], rules: 0, required: false };

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let mut ratios = vec![vec![]; WAYS.len()];
    let mut at_one_pace = vec![vec![]; WAYS.len()];
    let mut plains = vec![];
    for _ in 0..plan.rounds {
        let mut before = round(plan, &PLAIN)?;
        for (way, (ratios, at_one_pace)) in WAYS.iter().zip(ratios.iter_mut().zip(&mut at_one_pace)) {
            let secured = round(plan, way)?;
            // The plain one before and after, so that a machine that changes its pace does not favour one side.
            let after = round(plan, &PLAIN)?;
            ratios.push(secured.rate / f64::midpoint(before.rate, after.rate));
            at_one_pace.push(f64::midpoint(before.work, after.work) / secured.work);
            plains.push(after.rate);
            before = after;
        }
    }
    let row = |((way, ratios), at_one_pace): ((&Way, Vec<f64>), Vec<f64>)| Row {
        figure: format!("{} / a plain channel", way.name),
        required: if way.required { AtLeast(KEPT) } else { Shown },
        measured: median(ratios.clone()),
        unit: "",
        notes: format!("of {:.0}/s; ratios {ratios:.3?}, by CPU {at_one_pace:.3?}", median(plains.clone())),
    };
    Ok(WAYS.iter().zip(ratios).zip(at_one_pace).map(row).collect())
}

/// What one window came to.
struct Window {
    /// Orders delivered a second.
    rate: f64,
    /// CPU of service and tools, in that of the tools.
    work: f64,
}

fn round(plan: &Plan, way: &Way) -> Result<Window> {
    println!("   {}", way.name);
    let tally = Arc::new(Tally::new());
    let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
    let provider = Sink::start(Temper::GivesTokens, Arc::new(Tally::new()))?;
    let channel = Channel { more: way.keys, ..Channel::live(sink.address) };
    let folder = empty_folder(&plan.folder, "secured")?;
    let service = Service::start_with(plan, &folder, &[channel], &sections(way.rules, provider.address))?;
    let flow = Flow::through(&service, &tally, plan, plan.window)?;
    service.kill();
    let work = 1.0 + flow.cpu.child.as_secs_f64() / flow.cpu.own.as_secs_f64();
    Ok(Window { rate: flow.rate(), work })
}

/// The egress rules and the provider of tokens.
fn sections(rules: usize, provider: SocketAddr) -> String {
    let (mut allow, mut deny) = (String::from("127.0.0.0/8"), String::new());
    for number in 0..rules / 4 {
        let _ = write!(allow, ", 10.{number}.0.0/16, shop-{number}.internal");
        let _ = write!(deny, "203.0.{number}.0/24, '*.shop-{number}.example.com', ");
    }
    format!(
        "egress:\n  allow: [{allow}]\n  deny: [{deny}]\n\
         oauth_providers: [{{name: bench, token_url: 'http://{provider}/token', client_id: shop, client_secret: secret}}]\n"
    )
}
