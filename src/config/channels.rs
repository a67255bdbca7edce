//! Channels: a block over its preset's, and what it comes to.

use std::sync::Arc;

use super::auth::{self, Providers};
use super::faults::{Path, Report};
use super::field::Field;
use super::fingerprints::Fingerprint;
use super::limits::Limits;
use super::mail::{self, MailServer};
use super::node::{Data, Node};
use super::read::Reader;
use super::requests;
use super::schema::{CHANNEL, EMAIL_KEYS, one_of};
use super::settings::{Channel, ChannelKind, Format, Items, Method, Multibuy, Parameter, Payload, Timeout};
use super::unique::Unique;
use super::{holding, presets, schedules, shown, tls, urls, words};
use crate::domain::{Backoff, HeaderSet, Outcome, Outcomes, RetryPolicy, Rule};
use crate::template::{Language, Locale, Syntax, Target};

/// What all channels share.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    /// The ceilings; `None` where they are wrong.
    pub(crate) limits: Option<&'a Limits>,
    /// The locale of the top level.
    pub(crate) locale: Option<&'a Locale>,
    /// Who gives out tokens.
    pub(crate) providers: &'a Providers,
    /// The mail server.
    pub(crate) smtp: &'a MailServer,
    /// Of the other sections that all channels take something from.
    pub(crate) fingerprint: Fingerprint,
}

/// The channels, in the order of the configuration.
pub(crate) fn channels(root: &Reader<'_>, around: Around<'_>) -> Option<Vec<Arc<Channel>>> {
    let mut names = Unique::new("a channel");
    let read: Vec<_> = root.items("channels").iter().map(|field| channel(field, &mut names, around)).collect();
    read.into_iter().map(|channel| channel.map(Arc::new)).collect()
}

fn channel(field: &Field<'_>, names: &mut Unique, around: Around<'_>) -> Option<Channel> {
    let Around { limits, locale, providers, smtp, fingerprint } = around;
    if !matches!(field.node().data, Data::Map(_)) {
        return field.wrong();
    }
    let node = presets::effective(field.node(), field.report());
    let block = Reader::open(&CHANNEL, &node, field.path(), false, field.report());
    let name = block.get("name").and_then(|field| names.claim(field, words::name(field)?));
    let preset = block.get("preset").and_then(|field| {
        let name = field.text()?;
        if presets::preset(name).is_some() {
            return Some(name.to_owned());
        }
        let known: Vec<&str> = presets::preset_names().collect();
        let near = super::faults::nearest(name, known.iter().copied());
        let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        field.fault(format!("found {}, allowed: {}{hint}", field.found(), one_of(&known)));
        None
    });
    let kind = mail::kind(&block);
    let enabled = block.get("enabled").and_then(Field::boolean);
    let events = block.get("events").and_then(|field| field.some(words::event));
    let when = block.optional("when", Field::expression);
    let items = items(&block);
    let once_per = block.optional("once_per", words::pointer);
    let filter = schedules::filter(&block);
    let granularity = schedules::granularity(&block);
    let syntax = block
        .get("syntax")
        .and_then(|field| field.choice(|word| Syntax::ALL.iter().copied().find(|syntax| syntax.as_str() == word)));
    let own = block.optional("locale", words::locale);
    let locale = own.clone().flatten().or_else(|| locale.cloned());
    let empty_as_null = block.get("empty_as_null").and_then(Field::boolean);
    let language = Language { syntax: syntax.unwrap_or_default(), empty_as_null: false, locale };
    let filled = Language { empty_as_null: empty_as_null.unwrap_or_default(), ..language.clone() };
    let url_rules = block.optional("url_rules", |field| urls::rules(&field.block()?)).map(Option::unwrap_or_default);
    let url = kind.and_then(|kind| match kind {
        ChannelKind::Email => mail::url(smtp),
        ChannelKind::Http => match block.get("url") {
            Some(field) => urls::ruled(field, &language, url_rules.unwrap_or_default()),
            None => block.missing("url"),
        },
    });
    let method = method(&block);
    let format = block
        .get("format")
        .and_then(|field| field.choice(|word| Format::ALL.iter().copied().find(|format| format.as_str() == word)));
    let parameters = |key| -> Option<Vec<_>> {
        let read = |(name, field): (String, Field<'_>)| Some((name, parameter(&field, &filled)?));
        let read: Vec<_> = block.entries(key).into_iter().map(read).collect();
        read.into_iter().collect()
    };
    let defaults = parameters("default_parameters");
    let parameters =
        parameters("parameters").and_then(|own| defaults.map(|defaults| if own.is_empty() { defaults } else { own }));
    let body = block.optional("body", |field| requests::body(field, &filled, format.unwrap_or_default()));
    let payload = block.get("payload").and_then(|field| field.choice(Payload::from_name));
    let headers = requests::headers(&block, &language);
    let auth = auth::auth(&block, providers);
    let tls = block.optional("tls", |field| tls::tls(&field.block()?));
    let signing = block.optional("signing", |field| requests::signing(&field.masked(), true));
    let timeout = block.get("timeout").and_then(|field| timeout(&field.block()?));
    let url = url.filter(|url| {
        let needed = syntax == Some(Syntax::Placeholder) && method == Some(Method::Get) && !url.has_order_id();
        if needed && let Some(field) = block.get("url") {
            field.fault(format!(
                "found {}, which has no ${{orderId}}; a GET with placeholders needs it in the URL",
                field.found()
            ));
        }
        !needed
    });
    let max_response = block.get("max_response").and_then(Field::size);
    let require_text = block.get("require_text").and_then(Field::boolean);
    let outcomes = block.get("outcomes").and_then(outcomes);
    let schedule = schedules::schedule(&block);
    let scheduled = block.get("schedule").is_some();
    let limits = limits.and_then(|limits| limits.within(&block));
    let retry = block.get("retry").and_then(|field| retry(&field.block()?, &limits?, scheduled));
    let confirm_body = block.get("confirm_body").and_then(Field::boolean);
    let header_set: Vec<_> = block.items("header_set").iter().map(|field| field.choice(HeaderSet::from_name)).collect();
    let header_set: Option<Vec<_>> = header_set.into_iter().collect();
    let takes_buckets = schedules::takes_buckets(
        &block,
        schedule.as_ref().and_then(Option::as_ref),
        method,
        url.as_ref(),
        headers.as_deref(),
    );
    let concurrency = block.get("concurrency").and_then(Field::integer);
    let mails_units = block.get("email").is_some()
        && items.as_ref().and_then(Option::as_ref).is_some_and(|items| items.multibuy == Some(Multibuy::Separate));
    let holding = holding::holding(&block, schedule.as_ref().and_then(Option::as_ref), mails_units);
    own?;
    takes_buckets?;
    let fine = match kind {
        Some(ChannelKind::Email) => {
            let known = |name: &str| CHANNEL.keys.iter().any(|key| key.name == name);
            mail::refuse_http_keys(field, known, field.report())
        }
        _ => Some(()),
    };
    let of_mails = match kind {
        Some(ChannelKind::Email) => outcomes.clone(),
        _ => mail_outcomes(field.report()),
    };
    let email = kind.and_then(|kind| mail::email(&block, kind, &language, smtp, of_mails));
    fine?;
    let email = email?;
    let fingerprint = Fingerprint::all([
        fingerprint,
        Fingerprint::of(Some(&node), field.report()),
        providers.print_for(&node),
        email.as_ref().map_or_else(|| Fingerprint::all([]), |_| smtp.fingerprint()),
    ]);
    Some(Channel {
        name: name?.into(),
        kind: kind?,
        preset: preset?,
        enabled: enabled?,
        events: events?,
        when: when?,
        items: items?,
        once_per: once_per?,
        filter: filter?,
        granularity: granularity?,
        url: url?,
        method: method?,
        format: format?,
        syntax: syntax?,
        parameters: parameters?,
        body: body?,
        payload: payload?,
        empty_as_null: empty_as_null?,
        url_rules: url_rules?,
        headers: headers?,
        auth: auth?,
        timeout: timeout?,
        tls: tls?.map(Arc::new),
        signing: signing?,
        max_response: max_response? as usize,
        require_text: require_text?,
        outcomes: outcomes?,
        confirm_body: confirm_body?,
        header_set: header_set?,
        retry: retry?,
        schedule: schedule?,
        concurrency: concurrency?,
        holding: holding?,
        email,
        fingerprint,
        shown: shown(&node, kind?),
        file: node.get("name").map_or_else(|| Arc::clone(&node.from), |name| Arc::clone(&name.from)),
    })
}

/// What a channel gets of an order's items: nothing of the kind, unless a key asks for it.
#[expect(clippy::option_option, reason = "wrong is not the same as absent")]
fn items(block: &Reader<'_>) -> Option<Option<Items>> {
    let products = block.optional("products", |field| field.some(words::product));
    let multibuy = block.optional("multibuy", |field| {
        field.choice(|word| match word {
            "single" => Some(Multibuy::Single),
            "separate" => Some(Multibuy::Separate),
            _ => None,
        })
    });
    let multibuy_limit = block.get("multibuy_limit").and_then(Field::integer);
    let (products, multibuy, multibuy_limit) = (products?, multibuy?, multibuy_limit?);
    if products.is_none() && multibuy.is_none() {
        return Some(None);
    }
    Some(Some(Items { products: products.unwrap_or_default(), multibuy, multibuy_limit }))
}

/// The block as the API shows it; nothing about requests where there are none.
fn shown(node: &Node, kind: ChannelKind) -> serde_json::Value {
    let mut shown = shown::masked(node, &CHANNEL);
    if let (ChannelKind::Email, serde_json::Value::Object(keys)) = (kind, &mut shown) {
        keys.retain(|name, _| EMAIL_KEYS.contains(&name.as_str()));
    }
    shown
}

fn outcomes(field: &Field<'_>) -> Option<Outcomes> {
    field.some(|field| rule(&field.block()?)).map(Outcomes::new)
}

/// What a mail server's replies mean where the channel's own outcomes are about HTTP.
fn mail_outcomes(report: &Report) -> Option<Outcomes> {
    let node = presets::keys(presets::EMAIL, report);
    let key = CHANNEL.keys.iter().find(|key| key.name == "outcomes")?;
    let field = Field::new(node.get(key.name)?.clone(), &key.kind, Path::default(), false, report);
    outcomes(&field)
}

/// The method, which must be one of `methods` where that is given.
fn method(block: &Reader<'_>) -> Option<Method> {
    let methods = block.optional("methods", |field| field.some(requests::method));
    let field = block.get("method")?;
    let method = requests::method(field)?;
    let methods = methods?;
    if methods.as_ref().is_some_and(|methods| !methods.contains(&method)) {
        let names: Vec<&str> = methods.iter().flatten().map(|method| method.as_str()).collect();
        field.fault(format!("found {}, allowed: {} (methods)", field.found(), one_of(&names)));
        return None;
    }
    Some(method)
}

fn parameter(field: &Field<'_>, language: &Language) -> Option<Parameter> {
    match &field.node().data {
        Data::Text(_) => field.template(language, Target::Text).map(Parameter::Template),
        Data::Integer(_) | Data::Number(_) if !shown::has_its_digits(field.node()) => {
            field.wrong_with("JSON cannot hold this number as written; put it in quotes to make it text")
        }
        Data::Null | Data::Boolean(_) | Data::Integer(_) | Data::Number(_) => {
            Some(Parameter::Literal(shown::plain(field.node())))
        }
        _ => field.wrong(),
    }
}

fn timeout(block: &Reader<'_>) -> Option<Timeout> {
    let total = block.optional("total", Field::duration);
    let connect = block.optional("connect", Field::duration);
    let transfer = block.optional("transfer", Field::duration);
    match (total?, connect?, transfer?) {
        (Some(total), None, None) => Some(Timeout::Total(total)),
        (None, Some(connect), Some(transfer)) => Some(Timeout::Phases { connect, transfer }),
        (None, None, None) => block.refuse("needs total, or connect and transfer"),
        (None, Some(_), None) => block.refuse("has connect; also needs transfer"),
        (None, None, Some(_)) => block.refuse("has transfer; also needs connect"),
        (Some(_), _, _) => {
            block.refuse("has total next to connect or transfer; give either total, or connect and transfer")
        }
    }
}

fn rule(block: &Reader<'_>) -> Option<Rule> {
    let on = block.get("on").and_then(|field| field.some(words::class));
    let then = block.get("then").and_then(|field| field.choice(Outcome::from_name));
    Some(Rule { on: on?, then: then? })
}

fn retry(block: &Reader<'_>, limits: &Limits, scheduled: bool) -> Option<RetryPolicy> {
    let attempts = block.get("attempts").and_then(|field| {
        let attempts: u32 = field.integer()?;
        let limit = limits.attempts;
        if attempts > limit.max {
            field.fault(format!("found {}, allowed: {} at most ({})", field.found(), limit.max, limit.by));
            return None;
        }
        Some(attempts)
    });
    let wait = |field: &Field<'_>| {
        let wait = field.duration()?;
        let limit = limits.interval;
        if wait > limit.max {
            let longest = super::schema::duration(limit.max);
            field.fault(format!("found {}, allowed: {longest} at most ({})", field.found(), limit.by));
            return None;
        }
        Some(wait)
    };
    let interval = block.optional("interval", wait);
    let schedule = block.optional("schedule", |field| field.some(wait));
    let jitter = block.get("jitter").and_then(Field::number);
    let respect = block.get("respect_retry_after").and_then(Field::boolean);
    let from_start = block.get("from").and_then(|field| field.choice(|word| Some(word == "start")));
    let backoff = match (interval?, schedule?) {
        (Some(interval), None) => Backoff::Interval(interval),
        (None, Some(schedule)) => Backoff::Schedule(schedule),
        (None, None) if scheduled => Backoff::Runs,
        (None, None) => {
            return block.refuse("needs interval or schedule; only a channel that has a schedule itself needs neither");
        }
        (Some(_), Some(_)) => return block.refuse("has interval and schedule; give only one of the two"),
    };
    RetryPolicy::new(attempts?, backoff, jitter?, respect?, limits.interval.max)
        .map_err(|error| block.refuse::<()>(error.to_string()))
        .ok()
        .and_then(|policy| Some(policy.counted_from_start(from_start?)))
}
