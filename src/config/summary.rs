//! A configuration in short, for a person who checks it: its chains and channels as tables of plain text.

use comfy_table::{ContentArrangement, Table, presets};

use super::reach::Reach;
use super::schema::duration;
use super::settings::{
    Channel, ChannelKind, Egress, Email, Holding, Multibuy, PluginOptions, Relationships, Settings, Step, Timeout,
};
use super::warnings;
use crate::domain::{Backoff, BreakerPolicy, EventPattern, OrderingPolicy, RetryPolicy, Runs};
use crate::template::Expression;

/// The settings as lines and tables, `width` characters wide at most; as wide as they need to be without.
pub fn summary(settings: &Settings, width: Option<u16>) -> String {
    let server = &settings.server;
    let tokens = match server.tokens.len() {
        0 => "no tokens: loopback only".to_owned(),
        1 => "1 token".to_owned(),
        many => format!("{many} tokens"),
    };
    let kept = settings.store.retention.map_or_else(|| "forever".to_owned(), |time| format!("for {}", duration(time)));
    let mut text = format!(
        "listens on {}, {tokens}\nstores in {}, completed orders are kept {kept}\nat most {} attempts in flight{}\n",
        server.listen,
        settings.store.url,
        settings.delivery.workers,
        shares(settings)
    );
    text.push_str(&egress(&settings.egress));
    text.push_str("\nChains\n");
    let mut chains = table(width, &["chain", "step", "sends to"]);
    for chain in &settings.chains {
        for (at, step) in chain.plugins.iter().enumerate() {
            let name = if at == 0 { with_condition(&chain.name, chain.when.as_ref()) } else { String::new() };
            let critical = if step.critical { "critical" } else { "not critical" };
            let what = format!("{}\n{}, {critical}", step.id, step.plugin);
            chains.add_row([name, with_condition(&what, step.when.as_ref()), target(step, &settings.egress)]);
        }
    }
    push(&mut text, &chains, "none: orders run no plugins");
    text.push_str("\nChannels\n");
    let mut channels = table(width, &["channel", "gets", "sends to", "attempts"]);
    for channel in &settings.channels {
        channels.add_row(row(channel, &settings.egress));
    }
    push(&mut text, &channels, "none: events are not delivered");
    if let Some(known) = &settings.relationships {
        text.push_str("\nRelationships\n");
        push(&mut text, &relationships(known, width), "");
    }
    let warnings = warnings::of(settings);
    if !warnings.is_empty() {
        text.push_str("\nWarnings\n");
        for warning in warnings {
            text.push_str(&warning);
            text.push('\n');
        }
    }
    text
}

/// What outbound requests may reach, and how.
fn egress(egress: &Egress) -> String {
    let list =
        |places: &[super::settings::Place]| places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = "outbound requests reach public addresses".to_owned();
    if !egress.allow.is_empty() {
        text.push_str(&format!(" and {}", list(&egress.allow)));
    }
    if !egress.deny.is_empty() {
        text.push_str(&format!(", never {}", list(&egress.deny)));
    }
    if let Some(proxy) = &egress.proxy {
        text.push_str(&format!(", through the proxy {}", proxy.url));
    }
    text.push('\n');
    text
}

/// Which channel gets the orders of which partners, the routes in the order in which they are tried.
fn relationships(known: &Relationships, width: Option<u16>) -> Table {
    let header = ["sender", "receiver", "type"].into_iter().zip(&known.pointers);
    let header: Vec<String> =
        header.map(|(name, pointer)| format!("{name}\n{}", pointer.as_deref().unwrap_or("not used"))).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).chain(["channel"]).collect();
    let mut table = table(width, &header);
    for route in &known.routes {
        let parties = route.parties.iter().map(|party| party.as_deref().unwrap_or("any"));
        table.add_row(parties.chain([&*route.channel]));
    }
    let rest = known.default_channel.as_deref().unwrap_or("as the channels subscribe");
    table.add_row(["any", "any", "any", rest]);
    table
}

/// What of the workers each channel has for itself.
fn shares(settings: &Settings) -> String {
    let enabled = settings.channels.iter().filter(|channel| channel.enabled).count();
    match settings.delivery.worker_share(enabled) {
        Some(share) => format!(", {share} of them reserved for each channel"),
        None => String::new(),
    }
}

fn row(channel: &Channel, egress: &Egress) -> [String; 4] {
    let off = if channel.enabled { "" } else { "\nnot enabled" };
    let events: Vec<&str> = channel.events.iter().map(EventPattern::as_str).collect();
    let timeout = match channel.timeout {
        Timeout::Total(total) => duration(total),
        Timeout::Phases { connect, transfer } => format!("{} + {}", duration(connect), duration(transfer)),
    };
    // As configured: what the environment fills in may be secret.
    let url = channel.shown.get("url").and_then(serde_json::Value::as_str).unwrap_or_default();
    let by_mail = |email: &Email| format!("by {}", email.smtp.url());
    let sends_to = match (channel.kind, &channel.email) {
        (ChannelKind::Email, email) => format!("mail\n{}", email.as_ref().map(by_mail).unwrap_or_default()),
        (ChannelKind::Http, email) => {
            let mut request = format!("{} {url}", channel.method.as_str());
            if !channel.method.has_body() && !channel.parameters.is_empty() {
                let names: Vec<&str> = channel.parameters.iter().map(|(name, _)| name.as_str()).collect();
                request.push_str(&format!("\nquery {}", names.join(", ")));
            }
            let signed =
                channel.signing.as_ref().map_or("unsigned".to_owned(), |keys| format!("signed by {}", keys.describe()));
            let reach = Reach::of_template(&channel.url, egress);
            request.push_str(&format!("\nauth {}, {signed}\n{reach}", channel.auth.kind()));
            if let Some(email) = email {
                request.push_str(&format!("\nmails the response {}", by_mail(email)));
            }
            request
        }
    };
    let mut gets = with_condition(&events.join("\n"), channel.when.as_ref());
    if let Some(filter) = &channel.filter {
        gets.push_str(&format!("\nfilter {}", filter.source()));
    }
    if let Some(items) = &channel.items {
        if !items.products.is_empty() {
            gets.push_str(&format!("\nproducts {}", items.products.join(", ")));
        }
        match items.multibuy {
            Some(Multibuy::Single) => gets.push_str("\none delivery with the quantity"),
            Some(Multibuy::Separate) => gets.push_str("\none delivery for each unit"),
            None => {}
        }
    }
    if let Some(pointer) = &channel.once_per {
        gets.push_str(&format!("\nonce per {pointer}"));
    }
    if let Some(granularity) = channel.granularity {
        gets.push_str(&format!("\ngranularity {granularity}"));
    }
    [
        format!("{}\npreset {}{off}", channel.name, channel.preset),
        gets,
        sends_to,
        format!(
            "{}\n{timeout} each, {} at a time{}{}",
            retries(&channel.retry),
            channel.concurrency,
            runs(channel),
            holding(&channel.holding)
        ),
    ]
}

/// What holds deliveries back, each on a line of its own.
fn holding(holding: &Holding) -> String {
    let lines = [
        holding.ordering.as_ref().map(OrderingPolicy::describe),
        holding.rate_limit.map(|rate| format!("at most {rate}")),
        holding.breaker.map(|BreakerPolicy { failures, cooldown }| {
            format!("breaker: {} for {}", counted(failures), duration(cooldown))
        }),
        holding.disable_after.map(|after| format!("disabled after {} of failure", duration(after))),
        holding.promise.map(|promise| format!("late after {}", duration(promise))),
    ];
    lines.into_iter().flatten().map(|line| format!("\n{line}")).collect()
}

/// `1 failure`, `10 failures`.
fn counted(failures: u32) -> String {
    if failures == 1 { "1 failure".to_owned() } else { format!("{failures} failures") }
}

/// `60 every 15m`, on a line of its own.
fn runs(channel: &Channel) -> String {
    let Some(schedule) = &channel.schedule else { return String::new() };
    let when = match &schedule.runs {
        Runs::Every(period) => format!("every {}", duration(*period)),
        Runs::Cron(cron, zone) => format!("at {} {}", cron.as_str(), zone.iana_name().unwrap_or("UTC")),
    };
    let together = if schedule.bucket == 1 { String::new() } else { format!(", {} in a request", schedule.bucket) };
    format!("\n{} {when}{together}", schedule.batch)
}

fn with_condition(text: &str, when: Option<&Expression>) -> String {
    match when {
        Some(when) => format!("{text}\nwhen {}", when.source()),
        None => text.to_owned(),
    }
}

/// `8 attempts, 5s to 10h apart`.
fn retries(policy: &RetryPolicy) -> String {
    let apart = match policy.backoff() {
        Backoff::Interval(interval) => format!("{} apart", duration(*interval)),
        Backoff::Schedule(waits) => {
            let (least, most) = (waits.iter().min().copied(), waits.iter().max().copied());
            let (least, most) = (duration(least.unwrap_or_default()), duration(most.unwrap_or_default()));
            if least == most { format!("{least} apart") } else { format!("{least} to {most} apart") }
        }
        Backoff::Runs => "one per run".to_owned(),
    };
    match policy.attempts() {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts, {apart}"),
    }
}

fn target(step: &Step, egress: &Egress) -> String {
    let PluginOptions::Callout(options) = &step.options;
    let reach = Reach::of_template(&options.endpoint, egress);
    format!("{} {}\nauth {}\n{reach}", options.method.as_str(), options.shown_endpoint, options.auth.kind())
}

fn table(width: Option<u16>, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

fn push(text: &mut String, table: &Table, none: &str) {
    if table.row_count() == 0 {
        text.push_str(none);
        text.push('\n');
        return;
    }
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
