//! What is allowed but probably not meant: shown by `check`, each as a sentence.

use url::Url;

use super::public_url;
use super::reach::Reach;
use super::settings::{Auth, ChannelKind, PluginOptions, Settings};

/// The warnings about a configuration.
pub(super) fn of(settings: &Settings) -> Vec<String> {
    let mut warnings = settings.overrides.clone();
    warnings.extend(lenient_steps(settings));
    warnings.extend(unreachable(settings));
    warnings.extend(public_url::warnings(settings));
    warnings
}

/// Critical steps that let every response pass.
fn lenient_steps(settings: &Settings) -> impl Iterator<Item = String> {
    settings.chains.iter().flat_map(|chain| {
        let lenient = chain.plugins.iter().filter(|step| {
            let PluginOptions::Callout(options) = &step.options;
            step.critical && options.reject_on.is_empty()
        });
        lenient.map(|step| {
            format!(
                "chain {}, step {}: it is critical and has no shouldRejectOn, so every response passes, also 500; list the statuses that reject an order, such as shouldRejectOn: {{status: [4xx, 5xx]}}",
                chain.name, step.id
            )
        })
    })
}

/// Hosts that the egress guard refuses.
fn unreachable(settings: &Settings) -> Vec<String> {
    let egress = &settings.egress;
    let mut found = Vec::new();
    let mut look = |who: &str, reach: Option<Reach>| {
        found.extend(reach.and_then(|reach| reach.warning()).map(|warning| format!("{who}: {warning}")));
    };
    if let Some(proxy) = &egress.proxy {
        look("egress.proxy", Some(Reach::of_host(&proxy.host, egress)));
    }
    for chain in &settings.chains {
        for step in &chain.plugins {
            let PluginOptions::Callout(options) = &step.options;
            let who = format!("chain {}, step {}", chain.name, step.id);
            look(&who, Some(Reach::of_template(&options.endpoint, egress)));
            look(&format!("{who}, token_url"), token_url(&options.auth).and_then(|url| Reach::of_url(url, egress)));
        }
    }
    let mut mailed = Vec::new();
    for channel in settings.channels.iter().filter(|channel| channel.enabled) {
        let who = format!("channel {}", channel.name);
        if channel.kind == ChannelKind::Http {
            look(&who, Some(Reach::of_template(&channel.url, egress)));
            look(&format!("{who}, token_url"), token_url(&channel.auth).and_then(|url| Reach::of_url(url, egress)));
        }
        if let Some(email) = channel.email.as_ref().filter(|email| !mailed.contains(&email.smtp.host)) {
            look("smtp.url", Some(Reach::of_host(&email.smtp.host, egress)));
            mailed.push(email.smtp.host.clone());
        }
    }
    found
}

fn token_url(auth: &Auth) -> Option<&Url> {
    match auth {
        Auth::OAuth2(credentials) => Some(&credentials.token_url),
        Auth::JwtBearer(bearer) => Some(&bearer.token_url),
        Auth::None | Auth::Basic { .. } | Auth::Bearer { .. } | Auth::Header { .. } | Auth::Ntlm { .. } => None,
    }
}
