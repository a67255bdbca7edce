//! What requests of chains and channels have in common: URL, headers, body, authentication.

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::field::Field;
use super::node::credentials;
use super::read::Reader;
use super::settings::{Auth, Format, Method};
use crate::template::{Language, Target, Template, check_document};

/// A URL to send to: as much of it is checked as is known before it is filled in.
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

/// The method.
pub(crate) fn method(field: &Field<'_>) -> Option<Method> {
    field.choice(|word| Method::ALL.iter().copied().find(|method| method.as_str() == word))
}

/// A body: a document of that format once it is filled in, and at once where nothing is to be filled in.
pub(crate) fn body(field: &Field<'_>, language: &Language, format: Format) -> Option<Template> {
    let template = field.template(language, format.target())?;
    if let Some(Err(problem)) = template.as_static().map(|text| check_document(template.target(), text)) {
        field.fault(format!("the body is {problem}"));
        return None;
    }
    Some(template)
}

/// Headers that belong to the connection, not to the request: the client writes them.
const CONNECTION: &[&str] =
    &["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"];

/// Further headers.
pub(crate) fn headers(block: &Reader<'_>, language: &Language) -> Option<Vec<(String, Template)>> {
    let mut seen: Vec<HeaderName> = Vec::new();
    let mut read = Vec::new();
    for (name, field) in block.entries("headers") {
        let field = if is_secret_header(&name) { field.masked() } else { field };
        match header_name(&name) {
            Ok(header) if seen.contains(&header) => {
                field.fault("this header is there already; upper and lower case are the same");
            }
            Ok(header) => seen.push(header),
            Err(problem) => field.fault(problem),
        }
        // A value is not shown: headers carry keys.
        let template = field.template(language, Target::Text).filter(|template| match template.as_static() {
            Some(text) if HeaderValue::from_str(text).is_err() => {
                field.fault("the value of a header is text without line breaks and control characters");
                false
            }
            _ => true,
        });
        read.push(template.map(|template| (name, template)));
    }
    read.into_iter().collect()
}

fn header_name(name: &str) -> Result<HeaderName, &'static str> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "not the name of an HTTP header, such as X-Tenant: letters, digits and - only")?;
    if CONNECTION.contains(&header.as_str()) {
        return Err("the service itself writes this header");
    }
    Ok(header)
}

/// Whether a header of that name is taken to hold a secret, so that its value is not shown.
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "key", "token", "secret", "password", "signature", "credential"]
        .iter()
        .any(|part| name.contains(part))
        && name != "idempotency-key"
        && name != "webhook-signature"
}

/// How a request proves who sent it; not at all where the block is left out.
pub(crate) fn auth(block: &Reader<'_>) -> Option<Auth> {
    let Some(field) = block.get("auth") else { return Some(Auth::None) };
    let (kind, reader) = field.variant()?;
    match kind {
        "basic" => {
            let username = reader.get("username").and_then(|field| {
                field.text_as(|text| {
                    let fine = !text.contains(':') && !text.chars().any(char::is_control);
                    fine.then(|| text.to_owned())
                })
            });
            let password = reader.get("password").and_then(Field::secret);
            let preemptive = reader.get("preemptive").and_then(Field::boolean);
            Some(Auth::Basic { username: username?, password: password?, preemptive: preemptive? })
        }
        "bearer" => Some(Auth::Bearer { token: reader.get("token").and_then(header_secret)? }),
        "header" => {
            let name = reader.get("name").and_then(|field| {
                let name = field.text()?;
                header_name(name).map_err(|problem| field.fault(problem)).ok().map(|_| name.to_owned())
            });
            let value = reader.get("value").and_then(header_secret);
            Some(Auth::Header { name: name?, value: value? })
        }
        _ => Some(Auth::None),
    }
}

/// A secret that travels in a header.
fn header_secret(field: &Field<'_>) -> Option<SecretString> {
    let secret = field.secret()?;
    let text = secret.expose_secret();
    if text.trim().is_empty() {
        field.fault("is empty");
        return None;
    }
    if HeaderValue::from_str(text).is_err() {
        field.fault("has characters that a header cannot carry, such as a line break");
        return None;
    }
    Some(secret)
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

    #[test]
    fn headers_that_carry_secrets_are_known_by_name() {
        for name in ["Authorization", "X-Api-Key", "cookie", "Proxy-Authorization", "X-Auth-Token"] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in ["Content-Type", "X-Shop", "Idempotency-Key", "webhook-signature", "traceparent"] {
            assert!(!is_secret_header(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_is_refused(text in "(https?://|[{]{2}|[}]{2}|[{]%|[ -~]|é){0,20}") {
            let _ = check(&text);
        }
    }
}
