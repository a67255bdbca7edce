//! What an attempt sent and got otherwise than the one before it.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::data::Attempt;

/// Bytes of a text that are compared.
const COMPARED: usize = 64 * 1024;
/// How long a comparison may take; what is left is shown as replaced.
const PATIENCE: Duration = Duration::from_millis(20);
/// Equal lines around a difference.
const AROUND: usize = 2;

/// The differences of both requests and both responses.
pub(super) fn between(before: &Attempt, attempt: &Attempt) -> Markup {
    let requests = (request(before), request(attempt));
    let responses = (response(before), response(attempt));
    let same = |(old, new): &(String, String)| old == new;
    html! {
        details data-key={ "difference-" (attempt.number) } {
            summary {
                @match (same(&requests), same(&responses)) {
                    (true, true) => { "Same request and response as attempt " (before.number) },
                    (true, false) => { "Same request as attempt " (before.number) ", another response" },
                    (false, true) => { "Another request than attempt " (before.number) ", same response" },
                    (false, false) => { "Another request and response than attempt " (before.number) },
                }
            }
            div.exchange {
                section { h3 { "Request" } (lines(&requests)) }
                section { h3 { "Response" } (lines(&responses)) }
            }
        }
    }
}

fn lines((old, new): &(String, String)) -> Markup {
    if old == new {
        return html! { p.muted { "No difference." } };
    }
    let difference = TextDiff::configure().timeout(PATIENCE).diff_lines(old.as_str(), new.as_str());
    html! {
        pre.difference tabindex="0" {
            @for (at, group) in difference.grouped_ops(AROUND).iter().enumerate() {
                @if at > 0 { span.muted { "…\n" } }
                @for change in group.iter().flat_map(|operation| difference.iter_changes(operation)) {
                    @let line = change.value().trim_end_matches('\n');
                    @match change.tag() {
                        ChangeTag::Delete => del { "- " (line) "\n" },
                        ChangeTag::Insert => ins { "+ " (line) "\n" },
                        ChangeTag::Equal => span { "  " (line) "\n" },
                    }
                }
            }
        }
    }
}

fn request(attempt: &Attempt) -> String {
    let Some(request) = &attempt.request else { return String::new() };
    format!("{} {}\n{}\n{}", request.method, request.url, headers(&request.headers), laid_out(&request.body))
}

fn response(attempt: &Attempt) -> String {
    let Some(response) = &attempt.response else {
        return format!("{} {}\n", attempt.code, attempt.error.as_deref().unwrap_or_default());
    };
    format!("{}\n{}\n{}", attempt.code, headers(&response.headers), laid_out(&response.body))
}

fn headers(headers: &Map<String, Value>) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {}\n", value.as_str().unwrap_or_default())).collect()
}

/// JSON line by line, anything else as it is.
fn laid_out(body: &str) -> String {
    let json = serde_json::from_str::<Value>(body).ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    let mut text = json.unwrap_or_else(|| body.to_owned());
    if text.len() > COMPARED {
        let end = (0..=COMPARED).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
