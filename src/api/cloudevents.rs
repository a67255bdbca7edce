//! CloudEvents 1.0 over HTTP: structured, in batches, or with their attributes in `ce-` headers. Only JSON data.
//!
//! An event is told from another by its `source` and `id` together, so the two become the event's id. The extension
//! `deliverat` is what `deliver_at` is in our own form: attribute names have no underscores.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::intake::PostedEvent;

use super::body;
use super::event_fields::{check_id, check_kind, kind, wrong};
use super::object::{self, Members, Reader};
use super::problem::{Fault, Kind, Problem};

/// The one version there is.
const VERSION: &str = "1.0";

/// How the header of an attribute begins.
const PREFIX: &str = "ce-";

/// Bytes of an event's attributes at most: what CloudEvents asks every intermediary to forward.
const MAX_ATTRIBUTES: usize = 64 * 1024;
const TOO_LONG: &str = "the attributes are longer than 65536 bytes";

/// Attributes that differ between two attempts to send one event.
const TRACING: [&str; 2] = ["ce-traceparent", "ce-tracestate"];

/// An event by itself.
pub(super) fn structured(body: &Bytes) -> Result<PostedEvent, Problem> {
    let members: Members<'_> = object::json(object::text(body)?)?;
    let mut faults = Vec::new();
    let event = read(body, members, String::new(), &mut faults);
    event.filter(|_| faults.is_empty()).ok_or_else(|| wrong(faults))
}

/// Events in an array, all or none.
pub(super) fn batch(body: &Bytes) -> Result<Vec<PostedEvent>, Problem> {
    let entries: Vec<&RawValue> = object::json(object::text(body)?)?;
    let mut faults = Vec::new();
    let mut events = Vec::with_capacity(entries.len());
    for (at, entry) in entries.into_iter().enumerate() {
        match serde_json::from_str(entry.get()) {
            Ok(members) => events.extend(read(body, members, format!("[{at}]."), &mut faults)),
            Err(_) if faults.len() < object::MAX_FAULTS => {
                faults.push(Fault::new(
                    format!("[{at}]"),
                    format!("must be an object, is {}", object::kind(entry.get())),
                ));
            }
            Err(_) => {}
        }
    }
    if faults.is_empty() { Ok(events) } else { Err(wrong(faults)) }
}

fn read(body: &Bytes, members: Members<'_>, prefix: String, faults: &mut Vec<Fault>) -> Option<PostedEvent> {
    let mut reader = Reader::new(members, prefix, faults);
    if let Some(version) = reader.required("specversion")
        && version != VERSION
    {
        reader.fault("specversion", "must be 1.0");
    }
    let id = reader.required("id");
    let source = reader.required("source");
    let kind = kind(&mut reader);
    let at = reader.time("time");
    let deliver_at = reader.time("deliverat");
    let data = data(body, &mut reader);
    let attributes = reader.others(&["data", "data_base64"]);
    if is_too_long(&attributes) {
        reader.fault("", TOO_LONG);
    }
    let id = match identity(&source?, &id?) {
        Ok(id) => id,
        Err(fault) => {
            reader.fault(&fault.path, fault.message);
            return None;
        }
    };
    Some(PostedEvent { kind: kind?, id: Some(id), at, deliver_at, data: data?, cloudevent: Some(attributes) })
}

/// The data, as JSON.
fn data(content: &Bytes, reader: &mut Reader<'_, '_>) -> Option<Bytes> {
    let Some(encoded) = reader.text("data_base64") else {
        let data = reader.whole("data").map_or("null", RawValue::get);
        return Some(if reader.whole("data").is_some() {
            content.slice_ref(data.as_bytes())
        } else {
            Bytes::from_static(b"null")
        });
    };
    if reader.whole("data").is_some() {
        reader.fault("data_base64", "cannot be combined with data");
        return None;
    }
    let json = STANDARD
        .decode(encoded)
        .ok()
        .map(|bytes| body::without_bom(bytes.into()))
        .filter(|bytes| serde_json::from_slice::<&RawValue>(bytes).is_ok());
    if json.is_none() {
        reader.fault("data_base64", "must be the base64 of a JSON value");
    }
    json
}

/// Whether attributes are longer than what may be kept of them.
fn is_too_long(attributes: &Map<String, Value>) -> bool {
    let size: usize = attributes
        .iter()
        .map(|(name, value)| name.len() + value.as_str().map_or_else(|| value.to_string().len(), str::len))
        .sum();
    size > MAX_ATTRIBUTES
}

/// All attributes in the headers as text, and the content type of the data.
fn in_headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        Some(Value::from(percent_decode_str(text).decode_utf8().ok()?.into_owned()))
    };
    let attributes = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(PREFIX)?;
        Some((name.to_owned(), text(value)?))
    });
    let media = headers.get(CONTENT_TYPE).and_then(|value| Some(("datacontenttype".to_owned(), text(value)?)));
    attributes.chain(media).collect()
}

fn identity(source: &str, id: &str) -> Result<String, Fault> {
    check_id(id).map_err(|message| Fault::new("id", message))?;
    check_id(source).map_err(|message| Fault::new("source", message))?;
    // A URI reference has no space, so that no two pairs become the same text.
    Ok(format!("{source} {id}"))
}

/// Whether the attributes of an event are in the headers.
pub(super) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion") || headers.contains_key("ce-type")
}

/// Whether any attribute of an event is in the headers.
pub(super) fn has_attributes(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// Returns the `ce-` headers in a canonical form, to tell a repeated request from another one. Those that trace a
/// request (`ce-traceparent`, `ce-tracestate`) are left out: they differ each time.
pub(super) fn attributes(headers: &HeaderMap) -> Vec<u8> {
    let mut found: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .filter(|(name, _)| name.starts_with(PREFIX) && !TRACING.contains(name))
        .collect();
    // Stable: values of one name keep their order.
    found.sort_by_key(|(name, _)| *name);
    found.iter().flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\n"].concat()).collect()
}

/// An event whose attributes are in the headers and whose data is the body.
pub(super) fn binary(headers: &HeaderMap, content: &Bytes) -> Result<PostedEvent, Problem> {
    let mut faults = Vec::new();
    let mut attribute = |name: &'static str, required: bool| {
        let value = headers
            .get(name)
            .map(|value| value.to_str().ok().and_then(|text| percent_decode_str(text).decode_utf8().ok()));
        match value {
            Some(Some(text)) => return Some(text.into_owned()),
            Some(None) => faults.push(Fault::new(name, "must be ASCII, anything else percent-encoded as UTF-8")),
            None if required => faults.push(Fault::new(name, "is missing")),
            None => {}
        }
        None
    };
    let version = attribute("ce-specversion", true);
    let (id, source, kind) = (attribute("ce-id", true), attribute("ce-source", true), attribute("ce-type", true));
    let (at, deliver_at) = (attribute("ce-time", false), attribute("ce-deliverat", false));
    let mut time = |name: &str, text: Option<String>| {
        text.and_then(|text| {
            text.parse()
                .map_err(|error: crate::domain::clock::NotATime| faults.push(Fault::new(name, error.to_string())))
                .ok()
        })
    };
    let (at, deliver_at) = (time("ce-time", at), time("ce-deliverat", deliver_at));
    if version.is_some_and(|version| version != VERSION) {
        faults.push(Fault::new("ce-specversion", "must be 1.0"));
    }
    if let Some(Err(message)) = kind.as_deref().map(check_kind) {
        faults.push(Fault::new("ce-type", message));
    }
    let id = match source.zip(id).map(|(source, id)| identity(&source, &id)) {
        Some(Err(fault)) => {
            faults.push(Fault::new(format!("ce-{}", fault.path), fault.message));
            None
        }
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let attributes = in_headers(headers);
    if is_too_long(&attributes) {
        faults.push(Fault::new("ce-", TOO_LONG));
    }
    let (true, Some(kind), id @ Some(_)) = (faults.is_empty(), kind, id) else {
        return Err(Problem::faults(Kind::InvalidHeader, faults));
    };
    let data = if content.is_empty() {
        Bytes::from_static(b"null")
    } else {
        let json = object::text(content).and_then(object::json::<&RawValue>);
        // Some libraries send no Content-Type with JSON.
        if json.is_err() && !headers.contains_key(CONTENT_TYPE) {
            return Err(body::untyped());
        }
        json?;
        content.clone()
    };
    Ok(PostedEvent { kind, id, at, deliver_at, data, cloudevent: Some(attributes) })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn told(problem: &Problem) -> String {
        String::from_utf8(problem.to_json()).expect("text")
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    const COMPLETE: &str = r#""specversion":"1.0","type":"com.shop.paid","source":"/shop","id":"7""#;

    fn event(more: &str) -> Bytes {
        Bytes::from(format!("{{{COMPLETE}{more}}}"))
    }

    #[test]
    fn a_structured_event_is_read_with_all_that_matters() {
        let body = event(
            r#","time":"2026-01-31T12:00:00Z","deliverat":"2026-02-01T00:00:00Z","subject":"x","traceparent":"y","data":{"a":1.0}"#,
        );
        let read = structured(&body).expect("an event");
        assert_eq!((read.kind.as_str(), read.id.as_deref()), ("com.shop.paid", Some("/shop 7")));
        assert_eq!(read.at, "2026-01-31T12:00:00Z".parse().ok());
        assert_eq!(read.deliver_at, "2026-02-01T00:00:00Z".parse().ok());
        assert_eq!(&read.data[..], br#"{"a":1.0}"#);
        assert_eq!(&structured(&event("")).expect("an event").data[..], b"null");
        assert_eq!(&structured(&event(r#","data_base64":"eyJhIjoxfQ==""#)).expect("an event").data[..], br#"{"a":1}"#);
    }

    #[test]
    fn a_structured_event_that_is_wrong_names_every_field() {
        let problem = structured(&Bytes::from_static(
            br#"{"specversion":"0.3","type":"a b","id":"","time":"x","data_base64":"!"}"#,
        ))
        .expect_err("wrong");
        let told = told(&problem);
        for path in ["specversion", "type", "source", "time", "data_base64"] {
            assert!(told.contains(&format!(r#"{{"path":"{path}""#)), "{path} is not in {told}");
        }
        let problem = structured(&event(r#","data":1,"data_base64":"MQ==""#)).expect_err("both");
        assert_eq!(problem.kind(), Kind::InvalidFields);
    }

    #[test]
    fn a_batch_is_read_whole_or_refused_whole() {
        let one = String::from_utf8(event("").to_vec()).expect("text");
        assert_eq!(batch(&Bytes::from(format!("[{one},{one}]"))).expect("events").len(), 2);
        assert!(batch(&Bytes::from_static(b"[]")).expect("none").is_empty());
        let problem = batch(&Bytes::from(format!("[{one},5,{{\"type\":\"x\"}}]"))).expect_err("wrong");
        let told = told(&problem);
        assert!(told.contains(r#""path":"[1]""#) && told.contains(r#""path":"[2].source""#), "{told}");
        assert_eq!(batch(&event("")).expect_err("no array").kind(), Kind::InvalidJson);
    }

    #[test]
    fn a_binary_event_has_its_attributes_in_the_headers() {
        let complete =
            [("ce-specversion", "1.0"), ("ce-type", "paid"), ("ce-source", "/shop%20two"), ("ce-id", "%C3%A4")];
        let read = binary(&headers(&complete), &Bytes::from_static(b"[1]")).expect("an event");
        assert_eq!((read.kind.as_str(), read.id.as_deref()), ("paid", Some("/shop two ä")));
        assert_eq!(&read.data[..], b"[1]");
        assert_eq!(&binary(&headers(&complete), &Bytes::new()).expect("an event").data[..], b"null");
        let refused = |pairs: &[(&'static str, &'static str)]| {
            binary(&headers(pairs), &Bytes::from_static(b"{")).expect_err("no JSON").kind()
        };
        assert_eq!(refused(&complete), Kind::UnsupportedMediaType, "nothing says that it is JSON");
        assert_eq!(refused(&[&complete[..], &[("content-type", "application/json")]].concat()), Kind::InvalidJson);
    }

    #[test]
    fn a_binary_event_that_is_wrong_names_every_header() {
        let problem = binary(&headers(&[("ce-type", ""), ("ce-time", "now"), ("ce-id", "%ff")]), &Bytes::new())
            .expect_err("wrong");
        assert_eq!(problem.kind(), Kind::InvalidHeader);
        let told = told(&problem);
        for path in ["ce-specversion", "ce-type", "ce-source", "ce-time", "ce-id"] {
            assert!(told.contains(&format!(r#"{{"path":"{path}""#)), "{path} is not in {told}");
        }
    }
}
