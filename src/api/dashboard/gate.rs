//! Who may see a page: a session with a token of the scope `read`, a bearer token, or everybody where no token is needed.

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use subtle::ConstantTimeEq;

use crate::config::settings::Scope;
use crate::domain::Timestamp;

use super::super::problem::{Kind, Problem};
use super::super::tokens::{SessionToken, bearer};
use super::form::{Fields, LONGEST};
use super::layout::{bare, failed};
use super::sessions::Sessions;
use super::state::{Dashboard, Visitor};

/// What the form of the login has in place of a visitor.
const LOGIN: &[u8] = b"login";

/// Lets nothing into a page but what it has itself.
pub(in crate::api) async fn protect(mut response: Response) -> Response {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets visitors in who may read; others get the form of the login.
pub(in crate::api) async fn enter(State(dashboard): State<Dashboard>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    match visitor(&dashboard, headers) {
        Ok(visitor) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(problem) if headers.contains_key(AUTHORIZATION) || !takes(headers, &["text/html", "*/*"]) => {
            problem.into_response()
        }
        Err(problem) => {
            let page = request.method() == Method::GET;
            let next = if page { request.uri().path_and_query().map_or("/", |target| target.as_str()) } else { "/" };
            let status = if page && takes(headers, &["text/html"]) { 200 } else { problem.kind().status() };
            login_form(&dashboard, next, None, status)
        }
    }
}

/// Whether a request accepts one of these types, or does not say.
fn takes(headers: &HeaderMap, types: &[&str]) -> bool {
    let mut accepts = headers.get_all(ACCEPT).iter().peekable();
    if accepts.peek().is_none() {
        return types.contains(&"*/*");
    }
    accepts.filter_map(|value| value.to_str().ok()).any(|value| types.iter().any(|known| value.contains(known)))
}

/// Who sends a request.
fn visitor(dashboard: &Dashboard, headers: &HeaderMap) -> Result<Visitor, Problem> {
    let api = dashboard.api();
    let (view, now) = (api.view(), api.components.clock.now());
    let csrf = |of: &[u8]| dashboard.csrf(of).unwrap_or_default();
    if view.tokens.is_open() {
        return Ok(Visitor { token: None, session: None, name: None, may_act: true, csrf: csrf(b"open"), now });
    }
    let (session, token) = match (bearer(headers), dashboard.sessions().find(headers, now)) {
        (Some(presented), _) => (None, SessionToken::of(presented)),
        (None, Some((session, token))) if !headers.contains_key(AUTHORIZATION) => (Some(session), token),
        // Says which scope is missing.
        _ => return Err(view.tokens.caller(headers, Scope::Read).err().unwrap_or_else(Problem::internal)),
    };
    let known = view.tokens.holder(token, Scope::Read)?;
    Ok(Visitor {
        token: Some(token),
        session,
        name: Some(known.name().clone()),
        may_act: known.may(Scope::Manage),
        csrf: csrf(session.as_ref().unwrap_or(&token.0)),
        now,
    })
}

/// The fields of a form that a page of this visitor has sent.
pub(super) async fn fields(
    dashboard: &Dashboard,
    visitor: &Visitor,
    headers: &HeaderMap,
    body: Body,
) -> Result<Fields, Problem> {
    fields_up_to(dashboard, visitor, headers, body, LONGEST).await
}

/// The same of a form that may be longer.
pub(super) async fn fields_up_to(
    dashboard: &Dashboard,
    visitor: &Visitor,
    headers: &HeaderMap,
    body: Body,
    longest: usize,
) -> Result<Fields, Problem> {
    let mut fields = Fields::posted(dashboard.api(), body, longest).await?;
    let sent = fields.take("csrf").unwrap_or_default();
    genuine(dashboard, headers, &sent, &visitor.csrf)?;
    Ok(fields)
}

/// Refuses a form that no page of this server has sent.
fn genuine(dashboard: &Dashboard, headers: &HeaderMap, sent: &str, expected: &str) -> Result<(), Problem> {
    let same = bool::from(sent.as_bytes().ct_eq(expected.as_bytes()));
    if same && !expected.is_empty() && dashboard.api().view().hosts.is_own_form(headers) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::CrossSite,
        "the form was not sent from a current page of this dashboard; reload the page and try again",
    ))
}

/// `POST /dashboard/login`.
pub(super) async fn log_in(State(dashboard): State<Dashboard>, headers: HeaderMap, body: Body) -> Response {
    let api = dashboard.api();
    let fields = match Fields::posted(api, body, LONGEST).await {
        Ok(fields) => fields,
        Err(problem) => return login_form(&dashboard, "/", Some(&problem), problem.kind().status()),
    };
    let next = fields.get("next").filter(|next| is_page(next)).unwrap_or("/");
    let expected = dashboard.csrf(LOGIN).unwrap_or_default();
    let opened = genuine(&dashboard, &headers, fields.get("csrf").unwrap_or_default(), &expected).and_then(|()| {
        let view = api.view();
        if view.tokens.is_open() {
            return Ok(None);
        }
        let token = SessionToken::of(fields.get("token").unwrap_or_default().trim().as_bytes());
        let known = view.tokens.holder(token, Scope::Read)?;
        let cookie = dashboard.sessions().open(token, api.components.clock.now(), view.hosts.is_https(&headers));
        let cookie = cookie.map_err(|error| {
            tracing::error!(%error, "no session could be opened");
            Problem::internal()
        })?;
        tracing::info!(token = %known.name(), "a session of the dashboard was opened");
        Ok(Some(cookie))
    });
    match opened {
        Ok(cookie) => with_cookie(Redirect::to(next).into_response(), cookie.as_deref()),
        Err(problem) => login_form(&dashboard, next, Some(&problem), problem.kind().status()),
    }
}

/// `POST /dashboard/logout`.
pub(super) async fn log_out(State(dashboard): State<Dashboard>, headers: HeaderMap, body: Body) -> Response {
    if let Ok(visitor) = visitor(&dashboard, &headers) {
        if let Err(problem) = fields(&dashboard, &visitor, &headers, body).await {
            return failed(&visitor, &problem.into());
        }
        visitor.session.into_iter().for_each(|session| dashboard.sessions().close(session));
    }
    with_cookie(Redirect::to("/").into_response(), Some(&Sessions::removed()))
}

fn with_cookie(mut response: Response, cookie: Option<&str>) -> Response {
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(cookie).ok()) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whether a target is a page of the dashboard.
fn is_page(target: &str) -> bool {
    target == "/" || target.starts_with("/?") || target.starts_with("/dashboard/")
}

fn login_form(dashboard: &Dashboard, next: &str, problem: Option<&Problem>, status: u16) -> Response {
    let csrf = dashboard.csrf(LOGIN).unwrap_or_default();
    let markup = html! {
        main.login {
            h1 { "orderhook" }
            @if let Some(problem) = problem {
                p.notice.bad role="alert" {
                    @match problem.kind() {
                        Kind::Unauthorized => "This token is not known.",
                        Kind::Forbidden => "This token does not have the scope read.",
                        _ => (problem),
                    }
                }
            }
            form method="post" action="/dashboard/login" {
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="next" value=(next);
                label for="token" { "Token" }
                input #token type="password" name="token" required autofocus autocomplete="current-password";
                button.primary { "Log in" }
            }
            p.muted { "A token of " code { "server.tokens" } " with the scope " code { "read" } "; with " code { "manage" } " it may also change things." }
        }
    };
    bare("Log in", status, &markup)
}

/// The visitor that [`enter`] has let in.
pub(super) type Guest = Extension<Visitor>;

/// Whether a time is over.
pub(super) fn is_past(at: Timestamp, visitor: &Visitor) -> bool {
    at <= visitor.now
}
