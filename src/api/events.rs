//! `POST /v1/events`: events without a chain, in a form of our own or as CloudEvents.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;

use crate::intake::{Answered, Incoming, PostedEvent};
use crate::store::Answer;

use super::answer;
use super::body::{self, Media};
use super::cloudevents;
use super::event_fields::{id, kind, wrong};
use super::object::{self, Members, Reader};
use super::problem::{Fault, Kind, Problem};
use super::state::Api;

/// How the types of this service's own events begin.
const RESERVED: [&str; 3] = ["order.", "delivery.", "channel."];

/// `POST /v1/events`.
pub(super) async fn post(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let view = api.view();
    let caller = view.tokens.sender(&head.headers)?;
    let media = body::media(&head.headers)?;
    if media.is_none() && !body.is_end_stream() && !cloudevents::is_binary(&head.headers) {
        return Err(body::untyped());
    }
    let key = body::idempotency_key(&head.headers)?;
    let body = body::read_signed(body, view.max_body, view.body_timeout).await?;
    let signed = view.verify(&head.headers, &body, &api.components.clock)?;
    let body = body::without_bom(body);
    if view.verify.is_some() && cloudevents::has_attributes(&head.headers) {
        return Err(unsigned_attributes());
    }
    let (events, batch) = match media {
        Some(Media::CloudEvent) => (vec![cloudevents::structured(&body)?], false),
        Some(Media::CloudEventBatch) => (cloudevents::batch(&body)?, true),
        _ if cloudevents::is_binary(&head.headers) => (vec![cloudevents::binary(&head.headers, &body)?], false),
        _ => (vec![plain(&body)?], false),
    };
    check_not_reserved(&events)?;
    if events.is_empty() {
        return Ok(answer::respond(nothing()));
    }
    let answered = view
        .ingest
        .events(
            Incoming {
                signed,
                trace: body::trace(&head.headers),
                attributes: cloudevents::attributes(&head.headers),
                body,
                key,
                caller: Arc::clone(&caller),
            },
            events,
            batch,
        )
        .await?;
    Ok(answer::respond(answered))
}

/// A signature covers the body alone, so that `ce-` headers could be replaced.
fn unsigned_attributes() -> Problem {
    let fault = Fault::new(
        "ce-specversion",
        "CloudEvents in binary mode are not accepted while server.verify is set: a signature does not cover ce- headers; send the event in structured mode (application/cloudevents+json)",
    );
    Problem::faults(Kind::InvalidHeader, vec![fault])
}

/// Refuses types that only this service may give to an event.
fn check_not_reserved(events: &[PostedEvent]) -> Result<(), Problem> {
    let reserved = |event: &&PostedEvent| RESERVED.iter().any(|prefix| event.kind.starts_with(prefix));
    let Some(event) = events.iter().find(reserved) else { return Ok(()) };
    let detail = format!(
        "type {:?} is reserved: types that begin with order., delivery. or channel. belong to events of this service",
        event.kind
    );
    Err(Problem::new(Kind::ReservedType, detail))
}

/// The answer to a batch of no events, which CloudEvents allows.
fn nothing() -> Answered {
    let body = Bytes::from_static(br#"{"data":[]}"#);
    Answered { answer: Answer { status: 202, location: None, body }, replayed: false }
}

/// Our own form: `type`, `data`, and where wanted `id` and `deliver_at`.
fn plain(body: &Bytes) -> Result<PostedEvent, Problem> {
    let members: Members<'_> = object::json(object::text(body)?)?;
    let mut faults = Vec::new();
    let mut reader = Reader::new(members, String::new(), &mut faults);
    reader.only(&["type", "data", "id", "deliver_at"]);
    let kind = kind(&mut reader);
    let id = id(&mut reader);
    let deliver_at = reader.time("deliver_at");
    let data = reader.whole("data");
    if data.is_none() {
        reader.fault("data", "is missing");
    }
    match (faults.is_empty(), kind, data) {
        (true, Some(kind), Some(data)) => Ok(PostedEvent {
            kind,
            id,
            at: None,
            deliver_at,
            data: body.slice_ref(data.get().as_bytes()),
            cloudevent: None,
        }),
        _ => Err(wrong(faults)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_the_bytes_of_its_data() {
        let body = Bytes::from_static(
            br#" {"type":"invoice.paid", "data" : {"a":1.10, "a":2} ,"id":"e-1","deliver_at":"2026-01-31T12:00:00Z"}"#,
        );
        let event = plain(&body).expect("an event");
        assert_eq!((event.kind.as_str(), event.id.as_deref()), ("invoice.paid", Some("e-1")));
        assert_eq!(&event.data[..], br#"{"a":1.10, "a":2}"#);
        assert_eq!(event.deliver_at, "2026-01-31T12:00:00Z".parse().ok());
        assert_eq!(&plain(&Bytes::from_static(br#"{"type":"x","data":null}"#)).expect("an event").data[..], b"null");
    }

    #[test]
    fn a_wrong_event_names_its_fields() {
        let problem =
            plain(&Bytes::from_static(br#"{"type":"a b","id":7,"deliver_at":"soon","payload":1}"#)).expect_err("wrong");
        let told = String::from_utf8(problem.to_json()).expect("text");
        for path in ["payload", "type", "id", "deliver_at", "data"] {
            assert!(told.contains(&format!(r#"{{"path":"{path}""#)), "{path} is not in {told}");
        }
        assert_eq!(plain(&Bytes::from_static(b"[1]")).expect_err("no object").kind(), Kind::InvalidJson);
        assert_eq!(plain(&Bytes::from_static(b"\xff{}")).expect_err("no text").kind(), Kind::InvalidJson);
    }
}
