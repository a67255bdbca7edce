//! URLs to send to: as much of them is checked as is known before they are filled in.

use std::net::IpAddr;

use url::Url;

use super::field::Field;
use super::read::Reader;
use super::secrets::credentials;
use crate::domain::UrlRules;
use crate::template::{Language, Target, Template};

/// A URL to send to.
pub(crate) fn url(field: &Field<'_>, language: &Language) -> Option<Template> {
    let text = field.text()?;
    if credentials(text).is_some() {
        return field.wrong_with("credentials belong into auth");
    }
    let template = field.template(language, Target::Url)?;
    check_url(&template).map_err(|problem| field.wrong_with::<()>(problem)).ok()?;
    Some(template)
}

/// What is wrong with a URL, templates in it aside. A part that a template fills may turn out to be a name or a
/// number, so a URL is refused only if it is wrong with both.
fn check_url(template: &Template) -> Result<(), &'static str> {
    if template.begins_filled() {
        return Ok(());
    }
    check_plain_url(&template.skeleton("x"))
        .or_else(|problem| check_plain_url(&template.skeleton("1")).map_err(|_| problem))
}

/// What is wrong with a URL.
fn check_plain_url(plain: &str) -> Result<(), &'static str> {
    if plain.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("a URL has no spaces or line breaks");
    }
    let url = Url::parse(plain).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => "it must begin with http:// or https://",
        url::ParseError::EmptyHost => "it has no host",
        url::ParseError::InvalidPort => "its port is no number from 0 to 65535",
        url::ParseError::IdnaError | url::ParseError::InvalidDomainCharacter => "its host is no valid name",
        url::ParseError::InvalidIpv4Address | url::ParseError::InvalidIpv6Address => "its host is no valid address",
        _ => "it is no URL",
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must begin with http:// or https://");
    }
    // Browsers put up with a missing or third slash and take what follows for the host; that is a slip here.
    match plain.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://")) {
        None => Err("the scheme is followed by ://"),
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#', '\\']) => Err("it has no host"),
        Some(_) => Ok(()),
    }
}

/// A URL of one's own, never filled in: http or https, nothing secret in it, no slash at its end.
pub(crate) fn base_url(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let trimmed = text.trim_end_matches('/');
    let fine = credentials(text).is_none() && !text.contains(['?', '#', '{']) && check_plain_url(trimmed).is_ok();
    if fine { Some(trimmed.to_owned()) } else { field.wrong() }
}

/// Returns a host name or IP address in lower case, an IPv6 address without its brackets.
pub(crate) fn host_name(field: &Field<'_>) -> Option<String> {
    field.text_as(|text| {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if bare.parse::<IpAddr>().is_ok() {
            return Some(bare.to_ascii_lowercase());
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        (text.len() <= 253 && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
    })
}

/// The rules for a channel's URLs.
pub(crate) fn rules(block: &Reader<'_>) -> Option<UrlRules> {
    let https = block.get("https").and_then(Field::boolean);
    let port = block.get("port").and_then(Field::boolean);
    let max_length = block.get("max_length").and_then(Field::integer);
    Some(UrlRules { https: https?, port: port?, max_length: max_length? })
}

/// The URL of a channel, if it does not break `rules` whatever is filled in.
pub(crate) fn ruled(field: &Field<'_>, language: &Language, rules: UrlRules) -> Option<Template> {
    let template = url(field, language)?;
    let start = if template.begins_filled() { Ok(()) } else { rules.check_start(&template.skeleton("x")) };
    let kept = start.map_err(str::to_owned).and_then(|()| rules.check_length(template.shortest()));
    kept.map_err(|problem| field.fault(format!("found {}; {problem}", field.found()))).ok()?;
    Some(template)
}

/// A URL of one's own, never filled in: http or https, nothing secret in it.
pub(crate) fn plain_url(field: &Field<'_>) -> Option<Url> {
    let text = field.text()?;
    if credentials(text).is_some() {
        return field.wrong();
    }
    match check_plain_url(text) {
        Ok(()) => Url::parse(text).ok().or_else(|| field.wrong()),
        Err(problem) => field.wrong_with(problem),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::template::Syntax;

    fn check(text: &str) -> Result<(), &'static str> {
        let template = Template::compile(Syntax::Jinja, text, Target::Url);
        template.map_or(Err("a syntax error"), |template| check_url(&template))
    }

    #[test]
    fn urls_are_checked_as_far_as_they_are_known() {
        for fine in [
            "https://example.com",
            "http://127.0.0.1:8080/a?b={{ order.id }}#c",
            "https://[::1]:9/",
            "https://{{ order.tenant }}.example.com/a b{{ now }}".replace("a b", "ab").as_str(),
            "https://example.{{ order.tld }}",
            "https://example.com:{{ order.port }}/x",
            "{{ context.url }}",
            "HTTPS://EXAMPLE.com/{# a note #}x",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for wrong in [
            "example.com/hook",
            "ftp://example.com",
            "https://",
            "http:///path",
            "https:example.com",
            "https://exa mple.com",
            "https://example.com/a b",
            "https://example.com:99999",
            "https://[::1/",
            "",
            "mailto:a@example.com",
            "https://example.com/\n",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_is_refused(text in "(https?://|[{]{2}|[}]{2}|[{]%|[ -~]|é){0,20}") {
            let _ = check(&text);
        }
    }
}
