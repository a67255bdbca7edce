//! The optional body of a call that changes something, such as `{"reason": "…"}`.

use std::sync::Arc;

use axum::extract::Request;

use super::body;
use super::object::{self, Members, Reader};
use super::problem::{Kind, Problem};
use super::state::Api;

/// Characters of a reason at most.
const MAX_REASON: usize = 1000;

/// The reason in a request's body; `None` where it has no body or no reason.
pub(super) async fn read(api: &Api, request: Request) -> Result<Option<Arc<str>>, Problem> {
    Ok(optional(api, request, &["reason"], member).await?.flatten())
}

/// Reads a body of these members; `None` where the request has no body.
pub(super) async fn optional<T>(
    api: &Api,
    request: Request,
    members: &'static [&'static str],
    take: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> Result<Option<T>, Problem> {
    let (head, body) = request.into_parts();
    let view = api.view();
    let body = body::read(body, view.max_body, view.body_timeout).await?;
    // Some clients post `null` where they have no body.
    if body.is_empty() || body.trim_ascii() == b"null" {
        return Ok(None);
    }
    if body::media(&head.headers)?.is_none() {
        return Err(body::untyped());
    }
    let found: Members<'_> = object::json(object::text(&body)?)?;
    let mut faults = Vec::new();
    let mut reader = Reader::new(found, String::new(), &mut faults);
    reader.only(members);
    let taken = take(&mut reader);
    if faults.is_empty() { Ok(Some(taken)) } else { Err(Problem::faults(Kind::InvalidFields, faults)) }
}

/// Reads a body with the text `name`, which must be there, and an optional reason.
pub(super) async fn with(
    api: &Api,
    request: Request,
    name: &'static str,
) -> Result<(String, Option<Arc<str>>), Problem> {
    let body = body::typed(api, request).await?;
    let found: Members<'_> = object::json(object::text(&body)?)?;
    let mut faults = Vec::new();
    let mut reader = Reader::new(found, String::new(), &mut faults);
    reader.only(&[name, "reason"]);
    let (text, reason) = (reader.required(name), member(&mut reader));
    match text {
        Some(text) if faults.is_empty() => Ok((text, reason)),
        _ => Err(Problem::faults(Kind::InvalidFields, faults)),
    }
}

/// The reason that a receiver gives. It may post whatever it likes: a body without a usable reason has none.
pub(super) async fn of_receiver(api: &Api, request: Request) -> Result<Option<Arc<str>>, Problem> {
    let view = api.view();
    let body = body::read(request.into_body(), view.max_body, view.body_timeout).await?;
    let Ok(members) = object::text(&body).and_then(object::json::<Members<'_>>) else { return Ok(None) };
    let mut faults = Vec::new();
    let reason = member(&mut Reader::new(members, String::new(), &mut faults));
    Ok(reason.filter(|_| faults.is_empty()))
}

/// The member `reason` of a body.
pub(super) fn member(reader: &mut Reader<'_, '_>) -> Option<Arc<str>> {
    let reason = reader.text("reason").filter(|reason| !reason.trim().is_empty())?;
    if reason.chars().count() > MAX_REASON {
        reader.fault("reason", format!("is longer than {MAX_REASON} characters"));
        return None;
    }
    Some(Arc::from(reason))
}
