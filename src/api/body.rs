//! A request's body and the headers that belong to it: read once, capped, within a time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::domain::{TraceContext, json};

use super::problem::{Fault, Kind, Problem};
use super::state::Api;

/// The header by which a caller makes a repeat harmless.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest `Idempotency-Key`, in bytes.
const MAX_KEY: usize = 255;

/// Most that is set aside for a body before any of it has come, in bytes: a length that is only claimed costs nothing.
const FIRST_CAPACITY: usize = 64 * 1024;

/// Reads a body of `max` bytes at most, which must arrive `within` a time. A byte order mark before it is left out.
pub(super) async fn read(body: Body, max: usize, within: Duration) -> Result<Bytes, Problem> {
    read_signed(body, max, within).await.map(without_bom)
}

/// A text without the byte order mark that some programs put before it.
pub(super) fn without_bom(mut text: Bytes) -> Bytes {
    if text.starts_with(json::BOM) {
        text.advance(json::BOM.len());
    }
    text
}

/// The trace that a request belongs to, by its `traceparent` and `tracestate`; `None` where they are not valid.
pub(super) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let (parent, None) = (parents.next()?, parents.next()) else { return None };
    let states: Vec<&str> = headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()).collect();
    TraceContext::read(parent.to_str().ok()?, (!states.is_empty()).then(|| states.join(",")).as_deref())
}

/// The same with every byte as it came: a signature covers them all.
pub(super) async fn read_signed(body: Body, max: usize, within: Duration) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    match tokio::time::timeout(within, gather(body, max)).await {
        Ok(gathered) => gathered,
        Err(_) => Err(Problem::new(
            Kind::RequestTimeout,
            format!("the body was not complete within {} (server.body_timeout)", humantime::format_duration(within)),
        )),
    }
}

/// Reads a body that must be JSON where there is one.
pub(super) async fn typed(api: &Api, request: Request) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    let typed = media(&head.headers)?;
    let view = api.view();
    let body = read(body, view.max_body, view.body_timeout).await?;
    if typed.is_none() && !body.is_empty() {
        return Err(untyped());
    }
    Ok(body)
}

fn too_large(max: usize) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("the body is larger than {max} bytes (server.max_body)"))
}

async fn gather(mut body: Body, max: usize) -> Result<Bytes, Problem> {
    let Some(first) = data(&mut body).await? else { return Ok(Bytes::new()) };
    // A body that came in one piece is used as it is.
    let mut whole = BytesMut::new();
    while let Some(next) = if first.len() > max { return Err(too_large(max)) } else { data(&mut body).await? } {
        if whole.is_empty() {
            let expected = first.len().saturating_add(usize::try_from(body.size_hint().lower()).unwrap_or(0));
            whole.reserve(expected.max(first.len() + next.len()).min(FIRST_CAPACITY.max(first.len() + next.len())));
            whole.extend_from_slice(&first);
        }
        if whole.len() + next.len() > max {
            return Err(too_large(max));
        }
        whole.extend_from_slice(&next);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// The next piece that is not empty.
async fn data(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
            Err(error) => {
                tracing::debug!(%error, "a body broke off");
                return Err(Problem::new(Kind::IncompleteBody, "the body ended before it was complete"));
            }
        }
    }
    Ok(None)
}

/// What a body holds, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`, or another type that is written in JSON.
    Json,
    /// `application/cloudevents+json`.
    CloudEvent,
    /// `application/cloudevents-batch+json`.
    CloudEventBatch,
}

/// The media type of a JSON body. `None`: the request has no `Content-Type`, which is fine where it has no body.
pub(super) fn media(headers: &HeaderMap) -> Result<Option<Media>, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(unsupported(&format!("the body is encoded as {}", shown(encoding.as_bytes()))));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    if value == "application/json" {
        return Ok(Some(Media::Json));
    }
    let not_json = || unsupported(&format!("the body is {}", shown(value.as_bytes())));
    let text = value.to_str().map_err(|_| not_json())?;
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let charset = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
        {
            return Err(unsupported(&format!("the body is in {}", shown(charset.as_bytes()))));
        }
    }
    match essence.as_str() {
        "application/cloudevents+json" => Ok(Some(Media::CloudEvent)),
        "application/cloudevents-batch+json" => Ok(Some(Media::CloudEventBatch)),
        "application/json" => Ok(Some(Media::Json)),
        other if other.starts_with("application/") && other.ends_with("+json") => Ok(Some(Media::Json)),
        _ => Err(not_json()),
    }
}

/// Refuses a body that came without a `Content-Type`.
pub(super) fn untyped() -> Problem {
    unsupported("the request has no Content-Type")
}

fn unsupported(found: &str) -> Problem {
    Problem::new(Kind::UnsupportedMediaType, format!("{found}; this call takes JSON in UTF-8 as application/json"))
}

/// A piece of outside text in an error: short, and printable.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let short: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    format!("{short:?}")
}

/// The `Idempotency-Key`, where there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = |message: &str| Problem::faults(Kind::InvalidHeader, vec![Fault::new("Idempotency-Key", message)]);
    if values.next().is_some() {
        return Err(wrong("is given twice"));
    }
    match value.to_str() {
        Ok("") => Err(wrong("is empty")),
        Ok(key) if key.len() > MAX_KEY => Err(wrong("is longer than 255 bytes")),
        Ok(key) => Ok(Some(key.to_owned())),
        Err(_) => Err(wrong("has characters other than printable ASCII")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    fn pieces(pieces: Vec<Vec<u8>>) -> Body {
        Body::from_stream(stream::iter(pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)))))
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
    }

    proptest! {
        #[test]
        fn a_body_is_the_sum_of_its_pieces_or_too_large(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6), max in 0usize..120) {
            let whole = parts.concat();
            match block_on(read(pieces(parts), max, Duration::from_secs(60))) {
                Ok(body) => prop_assert!(whole.len() <= max && body == whole),
                Err(problem) => prop_assert!(whole.len() > max && problem.kind() == Kind::BodyTooLarge),
            }
        }

        #[test]
        fn no_content_type_breaks_the_reader(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let headers: HeaderMap = [(CONTENT_TYPE, value)].into_iter().collect();
                let _ = media(&headers);
            }
        }
    }

    #[test]
    fn content_types_are_told_apart() {
        for (value, expected) in [
            ("application/json", Some(Media::Json)),
            ("Application/JSON; charset=UTF-8", Some(Media::Json)),
            ("application/json;charset=\"utf-8\"", Some(Media::Json)),
            ("application/vnd.shop.order+json", Some(Media::Json)),
            ("application/cloudevents+json; charset=utf-8", Some(Media::CloudEvent)),
            ("application/cloudevents-batch+json", Some(Media::CloudEventBatch)),
            ("application/json; charset=latin1", None),
            ("application/xml", None),
            ("text/json", None),
            ("", None),
        ] {
            let headers: HeaderMap = [(CONTENT_TYPE, HeaderValue::from_static(value))].into_iter().collect();
            let found = media(&headers).map_err(|problem| problem.kind());
            assert_eq!(found, expected.map(Some).ok_or(Kind::UnsupportedMediaType), "{value}");
        }
        assert_eq!(media(&HeaderMap::new()).expect("no type"), None);
        let gzip: HeaderMap = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))].into_iter().collect();
        assert_eq!(media(&gzip).expect_err("encoded").kind(), Kind::UnsupportedMediaType);
    }

    #[test]
    fn an_idempotency_key_is_one_short_printable_text() {
        let key = |values: &[&[u8]]| {
            let value = |value: &&[u8]| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).expect("a header"));
            idempotency_key(&values.iter().map(value).collect()).map_err(|problem| problem.kind())
        };
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"A-1"]), Ok(Some("A-1".to_owned())));
        for wrong in [&[&b""[..]][..], &[&[b'a'; 256]], &[b"a", b"a"], &["ä".as_bytes()]] {
            assert_eq!(key(wrong), Err(Kind::InvalidHeader), "{wrong:?}");
        }
    }
}
