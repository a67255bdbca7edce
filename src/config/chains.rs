//! Chains: their steps, and each plugin's options.

use std::sync::Arc;
use std::time::Duration;

use super::auth::{self, Providers};
use super::field::Field;
use super::fingerprints::Fingerprint;
use super::read::Reader;
use super::requests;
use super::schema::CALLOUT;
use super::settings::{CalloutOptions, Chain, Format, Payload, PluginOptions, Step};
use super::unique::Unique;
use super::{shown, tls, urls, words};
use crate::template::Language;

/// The chains, in the order of the configuration.
pub(crate) fn chains(root: &Reader<'_>, providers: &Providers, egress: Fingerprint) -> Option<Vec<Arc<Chain>>> {
    let mut names = Unique::new("a chain");
    // Once its files have been read.
    let fingerprint = |field: &Field<'_>| {
        Fingerprint::all([
            egress,
            Fingerprint::of(Some(field.node()), field.report()),
            providers.print_for(field.node()),
        ])
    };
    let read: Vec<_> = root
        .items("chains")
        .iter()
        .map(|field| chain(&field.block()?, &mut names, providers, || fingerprint(field)))
        .collect();
    read.into_iter().map(|chain| chain.map(Arc::new)).collect()
}

fn chain(
    block: &Reader<'_>,
    names: &mut Unique,
    providers: &Providers,
    fingerprint: impl FnOnce() -> Fingerprint,
) -> Option<Chain> {
    let name = block.get("name").and_then(|field| names.claim(field, words::name(field)?));
    let when = block.optional("when", Field::expression);
    let mut ids = Unique::new("a step of this chain");
    let plugins: Vec<_> =
        block.items("plugins").iter().enumerate().map(|(at, field)| step(field, at + 1, &mut ids, providers)).collect();
    let plugins: Option<Vec<Step>> = plugins.into_iter().collect();
    Some(Chain { name: name?, when: when?, plugins: plugins?, fingerprint: fingerprint() })
}

fn step(field: &Field<'_>, position: usize, ids: &mut Unique, providers: &Providers) -> Option<Step> {
    let block = field.block()?;
    let plugin = block.get("name").and_then(|field| field.choice(|name| Some(name.to_owned())));
    let critical = block.get("critical").and_then(Field::boolean);
    let when = block.optional("when", Field::expression);
    let id = match block.get("id") {
        Some(id) => id.text_as(step_id).and_then(|name| ids.claim(id, name)),
        None => plugin.as_ref().and_then(|plugin| ids.claim(field, format!("{plugin}-{position}"))),
    };
    let options = match plugin.as_deref() {
        Some("calloutPlugin") => block
            .get("options")
            .and_then(|field| callout(&field.block_as(&CALLOUT)?, providers))
            .map(Box::new)
            .map(PluginOptions::Callout),
        _ => None,
    };
    Some(Step { id: id?, plugin: plugin?, critical: critical?, when: when?, options: options? })
}

fn step_id(text: &str) -> Option<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!text.is_empty() && text.chars().all(fine)).then(|| text.to_owned())
}

fn callout(block: &Reader<'_>, providers: &Providers) -> Option<CalloutOptions> {
    let language = Language::default();
    let endpoint = block.get("endpoint").and_then(|field| urls::url(field, &language));
    let shown_endpoint = block.get("endpoint").map(|field| shown::url(field.node())).unwrap_or_default();
    let method = block.get("method").and_then(requests::method);
    let body = block.optional("body", |field| requests::body(field, &language, Format::Json));
    let payload = block.get("payload").and_then(|field| field.choice(Payload::from_name));
    let headers = requests::headers(block, &language);
    let auth = auth::auth(block, providers);
    let tls = block.optional("tls", |field| tls::tls(&field.block()?));
    let timeout = block.get("timeoutValue").and_then(Field::integer::<u64>).map(Duration::from_millis);
    let reject_on = block.optional("shouldRejectOn", |field| {
        let classes: Vec<_> = field.block()?.items("status").iter().map(words::class).collect();
        classes.into_iter().collect()
    });
    let capture: Vec<_> = block
        .entries("capture")
        .into_iter()
        .map(|(name, field)| words::pointer(&field).map(|pointer| (name, pointer)))
        .collect();
    let capture: Option<Vec<_>> = capture.into_iter().collect();
    Some(CalloutOptions {
        endpoint: endpoint?,
        shown_endpoint,
        method: method?,
        body: body?,
        payload: payload?,
        headers: headers?,
        auth: auth?,
        tls: tls?.map(Arc::new),
        timeout: timeout?,
        reject_on: reject_on?.unwrap_or_default(),
        capture: capture?,
    })
}
