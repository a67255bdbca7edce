//! The reply of a call: its code, its text, and what it quotes, secrets masked.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};

use super::aside::aside;
use super::auth::Credentials;
use super::call::Call;
use super::fault::Fault;
use super::mask::{AT_ONCE, MASK, Secrets, hide, hide_headers, hide_text};
use super::request::{Reply, Request};
use crate::config::secrets_of_query;
use crate::domain::Code;

/// Makes the reply of a call that has ended. Secrets that a receiver repeats are masked.
pub(super) async fn of(mut call: Call<'_>, result: Result<(), Fault>, credentials: &Credentials) -> Reply {
    let code = match (&result, call.received.status) {
        (Err(fault), _) => fault.code(),
        (Ok(()), Some(status)) => Code::status(status.as_u16()),
        (Ok(()), None) => Code::CLOSED,
    };
    // What was cut off by us, and what an error has cut off.
    let cut = call.received.truncated || result.is_err();
    let mut reply = Reply {
        code,
        elsewhere: result.as_ref().is_err_and(Fault::is_elsewhere),
        starved: result.as_ref().is_err_and(Fault::is_starved),
        auth: call.sent.is_some() && code == Code::status(401),
        truncated: call.received.truncated,
        times: call.received.times,
        headers: std::mem::take(&mut call.received.headers),
        body: call.received.body(cut),
        again: call.again,
        error: result.err().map(|fault| fault.to_string()).or(call.note),
        credentials: None,
    };
    mask(&mut reply, call.sent.as_ref().map(|(_, value)| value), call.request, credentials, cut).await;
    reply.credentials = call.sent.map(|(name, _)| name);
    reply
}

/// Masks in a reply what its request proved itself with: the header value `sent`, the request's own headers that are
/// marked as sensitive, secret fields of its query, and what credentials are made of.
async fn mask(reply: &mut Reply, sent: Option<&HeaderValue>, request: &Request, credentials: &Credentials, cut: bool) {
    let sensitive = || sent.into_iter().chain(request.headers.values().filter(|value| value.is_sensitive()));
    let mut secrets = Secrets::new(request.url.query().into_iter().flat_map(secrets_of_query));
    if credentials.secrets().is_empty() && secrets.is_empty() && sensitive().next().is_none() {
        return;
    }
    for value in sensitive() {
        secrets.add_header(value);
    }
    let all = [Arc::clone(credentials.secrets()), credentials.remembered(secrets)];
    let (mut headers, mut body, mut error) =
        (std::mem::take(&mut reply.headers), std::mem::take(&mut reply.body), reply.error.take());
    let size = headers.values().map(HeaderValue::len).sum::<usize>() + body.len();
    let hidden = move || {
        let all = all.each_ref().map(AsRef::as_ref);
        hide(&all, &mut body, cut);
        hide_headers(&all, &mut headers);
        if let Some(error) = &mut error {
            hide_text(&all, error);
        }
        (headers, body, error)
    };
    let hidden = if size <= AT_ONCE { Some(hidden()) } else { aside(hidden).await };
    // What could not be looked through is not shown.
    (reply.headers, reply.body, reply.error) =
        hidden.unwrap_or_else(|| (HeaderMap::new(), Bytes::from_static(MASK.as_bytes()), None));
}
