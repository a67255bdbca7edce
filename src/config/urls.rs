//! URLs to send to: as much of them is checked as is known before they are filled in.

use std::net::IpAddr;

use url::Url;

use super::field::Field;
use super::read::Reader;
use super::secrets::credentials;
use crate::domain::UrlRules;
use crate::template::{Host, Language, Target, Template};

/// What to do about a value next to a host's own text.
const MIXED: &str = "a value next to the host's own text, its port or a user name can make another host of it; fill in the \
    whole host, which egress.allow must cover, or have a channel for each host";

/// A URL to send to.
pub(crate) fn url(field: &Field<'_>, language: &Language) -> Option<Template> {
    let text = field.text()?;
    if credentials(text).is_some() {
        return field.wrong_with("credentials belong in auth");
    }
    let template = field.template(language, Target::Url)?;
    if template.host() == Host::Mixed {
        return field.wrong_with(MIXED);
    }
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
        url::ParseError::InvalidPort => "its port is not a number from 0 to 65535",
        url::ParseError::IdnaError | url::ParseError::InvalidDomainCharacter => "its host is not a valid name",
        url::ParseError::InvalidIpv4Address | url::ParseError::InvalidIpv6Address => "its host is not a valid address",
        _ => "it is not a valid URL",
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
            "https://{{ order.host }}/a",
            "https://{{ order.host }}:8443/a",
            "https://{{ order.host }}:{{ order.port }}/a",
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

    #[test]
    fn a_value_is_the_whole_host_or_no_part_of_it() {
        let host = |syntax: Syntax, text: &str| Template::compile(syntax, text, Target::Url).map(|url| url.host());
        let jinja = |text: &str| host(Syntax::Jinja, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for fixed in [
            "https://example.com/{{ order.id }}",
            "https://example.com?{{ order.id }}",
            "https://example.com",
            "https://{% if order.test %}test.{% endif %}example.com/{{ order.id }}",
            "{% if order.test %}https://test.example.com{% else %}https://example.com{% endif %}/{{ order.id }}",
        ] {
            assert_eq!(jinja(fixed), Host::Fixed, "{fixed}");
        }
        for filled in [
            "{{ context.url }}",
            "{{ context.base }}/x/{{ order.id }}",
            "https://{{ order.host }}",
            "http://{{ order.h }}:80/x",
        ] {
            assert_eq!(jinja(filled), Host::Filled, "{filled}");
        }
        for mixed in [
            "http://api{{ order.h }}/",
            "http://{{ order.h }}.example.com/",
            "http://{{ order.a }}{{ order.b }}/",
            "http://{{ order.a }}@example.com/",
            "http://example.com:{{ order.port }}/",
            "http://example.com:80{{ order.port }}",
            "{{ context.base }}.evil.com/x",
            "{{ context.base }}{{ order.x }}",
            "{{ order.scheme }}://example.com",
            "https://{% if order.h %}{{ order.h }}{% endif %}.example.com/",
        ] {
            assert_eq!(jinja(mixed), Host::Mixed, "{mixed}");
        }
        for (syntax, text, expected) in [
            (Syntax::MergeFields, "https://<Account.Base>.evil.com/x", Host::Mixed),
            (Syntax::MergeFields, "https://api<Account.Base>/x", Host::Mixed),
            (Syntax::MergeFields, "<Account.Base>.evil.com/x", Host::Mixed),
            (Syntax::MergeFields, "<Account.Base>/x", Host::Filled),
            (Syntax::MergeFields, "https://<Account.Host>/x", Host::Filled),
            (Syntax::Placeholder, "https://example.com/${orderId}", Host::Fixed),
            (Syntax::Placeholder, "https://${orderId}.example.com/", Host::Mixed),
            (Syntax::Placeholder, "https://example.com:${orderId}/", Host::Mixed),
        ] {
            assert_eq!(host(syntax, text), Ok(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_is_refused(text in "(https?://|[{]{2}|[}]{2}|[{]%|[ -~]|é){0,20}") {
            let _ = check(&text);
        }
    }
}
