//! What requests of chains and channels have in common: headers and body.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::field::Field;
use super::read::Reader;
use super::secrets::is_secret_name;
use super::settings::{Format, Method};
use crate::domain::SigningKeys;
use crate::template::{Language, Target, Template, check_document};

/// The method.
pub(crate) fn method(field: &Field<'_>) -> Option<Method> {
    field.choice(|word| Method::ALL.iter().copied().find(|method| method.as_str() == word))
}

/// A body: a document of that format once it is filled in, and at once where nothing is to be filled in.
pub(crate) fn body(field: &Field<'_>, language: &Language, format: Format) -> Option<Template> {
    let template = field.template(language, format.target())?;
    if let Some(Err(problem)) = template.as_static().map(|text| check_document(template.target(), text)) {
        field.fault(format!("the body {problem}"));
        return None;
    }
    Some(template)
}

/// Headers that belong to the connection, not to the request: the client writes them.
const CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that say which delivery and which trace a request belongs to: receivers rely on them.
const OWN: &[&str] =
    &["idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature", "traceparent", "tracestate"];

/// Further headers.
pub(crate) fn headers(block: &Reader<'_>, language: &Language) -> Option<Vec<(String, Template)>> {
    let mut seen: Vec<HeaderName> = Vec::new();
    let mut read = Vec::new();
    for (name, field) in block.entries("headers") {
        let field = if is_secret_name(&name) { field.masked() } else { field };
        match header_name(&name) {
            Ok(header) if seen.contains(&header) => {
                field.fault("this header is already set; header names are case-insensitive");
            }
            Ok(header) => seen.push(header),
            Err(problem) => field.fault(problem),
        }
        // A value is not shown: headers carry keys.
        let template = field.template(language, Target::Text).filter(|template| match template.as_static() {
            Some(text) if HeaderValue::from_bytes(text.as_bytes()).is_err() => {
                field.fault("the value of a header is text without line breaks and control characters");
                false
            }
            _ => true,
        });
        read.push(template.map(|template| (name, template)));
    }
    read.into_iter().collect()
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, &'static str> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "not the name of an HTTP header, such as X-Tenant: letters, digits and - only")?;
    if CONNECTION.contains(&header.as_str()) {
        return Err("the service sets this header itself");
    }
    if OWN.contains(&header.as_str()) {
        return Err("this header is reserved: the service sets it on each request; use another name");
    }
    Ok(header)
}

/// The secrets of a party; with `sign`, such as can sign.
pub(crate) fn signing(field: &Field<'_>, sign: bool) -> Option<Arc<SigningKeys>> {
    let block = field.block()?;
    let secrets = block.get("secrets")?;
    let texts = secrets.some(Field::secret)?;
    let wrong = |at: usize, problem: &str| {
        if let Some(secret) = secrets.items().get(at) {
            secret.fault(format!("found ***: {problem}"));
        }
    };
    let keys = SigningKeys::new(texts.iter().map(ExposeSecret::expose_secret));
    let keys = keys.map_err(|(at, problem)| wrong(at, problem)).ok()?;
    if sign && let Err(at) = keys.can_sign() {
        wrong(at, "a public key cannot sign; name the private one, whsk_…");
        return None;
    }
    Some(Arc::new(keys))
}
