//! The section `telemetry`.

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::field::Field;
use super::read::Reader;
use super::requests::header_name;
use super::settings::Otlp;
use super::urls;

/// Where a collector takes spans, below its base URL.
const PATH: &str = "/v1/traces";

/// The collector of traces.
pub(super) fn otlp(field: &Field<'_>) -> Option<Otlp> {
    let block = field.block()?;
    let endpoint = block.get("endpoint").and_then(|field| {
        let base = urls::base_url(field)?;
        let url = if base.ends_with(PATH) { base } else { format!("{base}{PATH}") };
        Url::parse(&url).ok().or_else(|| field.wrong())
    });
    let headers = headers(&block);
    let sample = block.get("sample").and_then(Field::number);
    Some(Otlp { endpoint: endpoint?, headers: headers?, sample: sample? })
}

fn headers(block: &Reader<'_>) -> Option<Vec<(String, SecretString)>> {
    let mut seen: Vec<HeaderName> = Vec::new();
    let mut read = Vec::new();
    for (name, field) in block.entries("headers") {
        let field = field.masked();
        match header_name(&name) {
            Ok(header) if seen.contains(&header) => {
                field.fault("this header is already set; header names are case-insensitive");
            }
            Ok(header) => seen.push(header),
            Err(problem) => field.fault(problem),
        }
        let value = field.secret().filter(|value| {
            let fine = HeaderValue::from_str(value.expose_secret()).is_ok();
            if !fine {
                field.fault("the value of a header is text without line breaks and control characters");
            }
            fine
        });
        read.push(value.map(|value| (name, value)));
    }
    read.into_iter().collect()
}
