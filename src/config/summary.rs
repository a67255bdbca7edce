//! A configuration in short, for a person who checks it: its chains and channels as tables of plain text.

use comfy_table::{ContentArrangement, Table, presets};

use super::public_url;
use super::schema::duration;
use super::settings::{Channel, ChannelKind, Egress, Email, Holding, PluginOptions, Settings, Step, Timeout};
use crate::domain::{Backoff, BreakerPolicy, EventPattern, OrderingPolicy, RetryPolicy, Runs};
use crate::template::{Expression, Host, Template};

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
    let warnings = public_url::warnings(settings);
    if !warnings.is_empty() {
        text.push_str("\nWarnings\n");
        for warning in warnings {
            text.push_str(&warning);
            text.push('\n');
        }
    }
    text
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
            let host = filled_host(&channel.url, egress);
            let request =
                format!("{} {}{host}\nauth {}", channel.method.as_str(), without_query(url), channel.auth.kind());
            email.as_ref().map_or(request.clone(), |email| format!("{request}\nmails the response {}", by_mail(email)))
        }
    };
    let mut gets = with_condition(&events.join("\n"), channel.when.as_ref());
    if let Some(filter) = &channel.filter {
        gets.push_str(&format!("\nfilter {}", filter.source()));
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

/// A query may carry a key.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
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
    let url = without_query(options.endpoint.source());
    let host = filled_host(&options.endpoint, egress);
    format!("{} {url}{host}\nauth {}", options.method.as_str(), options.auth.kind())
}

/// Which hosts are reached where an order fills in the host.
fn filled_host(url: &Template, egress: &Egress) -> &'static str {
    match (url.host() == Host::Filled, egress.allow.is_empty()) {
        (false, _) => "",
        (true, false) => "\nto hosts in egress.allow",
        (true, true) => "\nto no host: egress.allow is empty",
    }
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
