//! Retry or cancel many deliveries: those that are ticked in a list, or all that filters match, which are counted first, and
//! changed in the background once the count is typed.

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header::REFRESH;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::path::Named;
use super::super::problem::{Kind, Problem};
use super::data::{Count, Job};
use super::deliveries::table;
use super::form::{Fields, encoded};
use super::gate::{self, Guest};
use super::layout::{badge, counted, delivery_link, fact, failed, hidden, page, time, time_or_dash};
use super::state::{Dashboard, Failure, Visitor};

const PART: &str = "/dashboard/deliveries";

/// `GET /dashboard/deliveries/bulk`: what would be done.
pub(super) async fn ask(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    RawQuery(query): RawQuery,
) -> Response {
    let mut fields = Fields::of(query.as_deref().unwrap_or_default());
    let asked = async {
        let act = taken(&mut fields)?;
        let count = count(&dashboard, &visitor, act, &fields).await?;
        Ok(question(&visitor, act, &fields, &count, None))
    };
    shown(&visitor, asked.await)
}

/// `POST /dashboard/deliveries/bulk`: begins it, if the number typed is that of the deliveries.
pub(super) async fn act(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        let mut fields = gate::fields(&dashboard, &visitor, &headers, body).await?;
        let (typed, reason) = (fields.take("count").unwrap_or_default(), fields.take("reason"));
        let act = taken(&mut fields)?;
        let found = count(&dashboard, &visitor, act, &fields).await?;
        if typed.trim().parse() != Ok(found.count) {
            let wrong = format!("{typed:?} is not the number of deliveries, and nothing was changed.");
            return Ok(question(&visitor, act, &fields, &found, Some(&wrong)));
        }
        let mut body = fields.as_json();
        if let (Some(reason), Value::Object(members)) = (reason, &mut body) {
            members.insert("reason".to_owned(), reason.into());
        }
        if let Value::Object(members) = &mut body {
            members.insert("background".to_owned(), true.into());
        }
        let job: Job = dashboard.post(&visitor, &format!("/v1/deliveries/{act}"), body.to_string()).await?;
        Err(Done::Begun(fields.at(&format!("/dashboard/bulk/{}", encoded(&job.id)))))
    };
    match done.await {
        Err(Done::Begun(target)) => Redirect::to(&target).into_response(),
        Err(Done::Failed(failure)) => shown(&visitor, Err(failure)),
        Ok(question) => shown(&visitor, Ok(question)),
    }
}

/// Why there is no question.
enum Done {
    /// The change has begun; the page of its progress.
    Begun(String),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Done {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// `GET /dashboard/bulk/{id}`: how far it is. The page asks for itself again, also without scripts.
pub(super) async fn progress(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    let job: Job = match dashboard.read(&visitor, &format!("/v1/bulk/{}", encoded(&id))).await {
        Ok(job) => job,
        Err(failure) => return failed(&visitor, &failure),
    };
    let running = job.status == "running";
    let body = html! {
        h1 { @if job.act == "retry" { "Retry deliveries" } @else { "Cancel deliveries" } " " (badge(&job.status)) }
        @match job.status.as_str() {
            "running" => p role="status" {
                @if job.total == 0 { "The deliveries are being counted." }
                @else { (job.done) " of " (counted(job.total, "delivery", "deliveries")) }
                " " progress max=(job.total.max(1)) value=(job.done) {}
            },
            "done" => p.notice.good role="status" { "✓ " (counted(job.done, "delivery was", "deliveries were")) " " (past(&job.act)) "." },
            _ => p.notice.bad role="alert" {
                (counted(job.done, "delivery was", "deliveries were")) " " (past(&job.act)) ", then it failed: " (job.error.as_deref().unwrap_or("see the log"))
            },
        }
        dl.facts {
            (fact("Begun", &time(job.started_at, &visitor)))
            (fact("Ended", &time_or_dash(job.ended_at, &visitor)))
            (fact("By", &html! { (job.by.as_deref().unwrap_or("a caller without a token")) }))
            @for (name, value) in fields.iter() { (fact(name, &html! { code { (value) } })) }
        }
        p { a href=(fields.at(PART)) { "The list with these filters" } }
    };
    let mut response = page(&visitor, PART, "Change many deliveries", &body);
    if running {
        response.headers_mut().insert(REFRESH, HeaderValue::from_static("1"));
    }
    response
}

/// `POST /dashboard/deliveries/selected`: changes the deliveries that are ticked in a list, one by one.
pub(super) async fn selected(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        let mut fields = gate::fields(&dashboard, &visitor, &headers, body).await?;
        let act = taken(&mut fields)?;
        let ids: Vec<String> = std::iter::from_fn(|| fields.take("id")).collect();
        if ids.is_empty() {
            return Err(Problem::new(Kind::InvalidParameters, "id: tick at least one delivery").into());
        }
        let (mut count, mut refused) = (0, Vec::new());
        for id in &ids {
            let changed =
                dashboard.change(&visitor, &format!("/v1/deliveries/{}/{act}", encoded(id)), &json!({})).await;
            match changed {
                Ok(_) => count += 1,
                // It says nothing of the others.
                Err(failure) if [404, 409].contains(&failure.status) => refused.push((id, failure)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(html! {
            h1 { "Done" }
            p.notice.good role="status" { "✓ " (counted(count, "delivery was", "deliveries were")) " " (past(act)) "." }
            @for (id, failure) in &refused { p.notice.bad { (delivery_link(id)) ": " (failure.detail) } }
            p { a href=(fields.at(PART)) { "Back to the list" } }
        })
    };
    shown(&visitor, done.await)
}

fn shown(visitor: &Visitor, made: Result<Markup, Failure>) -> Response {
    match made {
        Ok(body) => page(visitor, PART, "Change many deliveries", &body),
        Err(failure) => failed(visitor, &failure),
    }
}

/// Takes out of the fields what is to be done, and what belongs to the list alone.
fn taken(fields: &mut Fields) -> Result<&'static str, Failure> {
    fields.take("cursor");
    fields.take("limit");
    match fields.take("act").as_deref() {
        Some("retry") => Ok("retry"),
        Some("cancel") => Ok("cancel"),
        _ => Err(Problem::new(Kind::InvalidParameters, "act: expected retry or cancel").into()),
    }
}

const fn past(act: &str) -> &'static str {
    match act.as_bytes() {
        b"retry" => "retried",
        _ => "cancelled",
    }
}

async fn count(dashboard: &Dashboard, visitor: &Visitor, act: &str, fields: &Fields) -> Result<Count, Failure> {
    let mut body = fields.as_json();
    if let Value::Object(members) = &mut body {
        members.insert("dry_run".to_owned(), true.into());
    }
    let answer = dashboard.change(visitor, &format!("/v1/deliveries/{act}"), &body).await?;
    serde_json::from_value(answer).map_err(|error| {
        tracing::error!(%error, "the dashboard cannot read a response of the API");
        Problem::internal().into()
    })
}

fn question(visitor: &Visitor, act: &str, fields: &Fields, count: &Count, wrong: Option<&str>) -> Markup {
    html! {
        h1 { @if act == "retry" { "Retry " } @else { "Cancel " } (counted(count.count, "delivery", "deliveries")) }
        @if let Some(wrong) = wrong { p.notice.bad role="alert" { (wrong) } }
        dl.facts { @for (name, value) in fields.iter() { div { dt { (name) } dd { code { (value) } } } } }
        @if act == "retry" && fields.get("status").is_none() {
            p.muted { "Without a status among the filters: those that failed, were rejected or cancelled." }
        }
        @if count.count == 0 {
            p.muted { "No delivery matches, so there is nothing to do." }
        } @else {
            h2 { "Examples" }
            (table(&count.examples, visitor, false))
            form.act method="post" action="/dashboard/deliveries/bulk" {
                (hidden(visitor))
                @for (name, value) in fields.iter() { input type="hidden" name=(name) value=(value); }
                input type="hidden" name="act" value=(act);
                label { "Reason " input name="reason" maxlength="1000" size="30"; }
                label { "Type " b { (count.count) } " to confirm " input name="count" inputmode="numeric" required size="10" autocomplete="off"; }
                button class=(if act == "cancel" { "danger" } else { "primary" }) {
                    @if act == "retry" { "Retry them" } @else { "Cancel them" }
                }
            }
        }
        p { a href=(fields.at(PART)) { "Back to the list" } }
    }
}
