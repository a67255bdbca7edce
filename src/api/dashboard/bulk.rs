//! Retry or cancel all deliveries that filters match: counted first, done once the count is typed.

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::super::problem::{Kind, Problem};
use super::data::Count;
use super::deliveries::table;
use super::form::Fields;
use super::gate::{self, Guest};
use super::layout::{counted, failed, hidden, page};
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

/// `POST /dashboard/deliveries/bulk`: does it, if the number typed is that of the deliveries.
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
        let answer = dashboard.change(&visitor, &format!("/v1/deliveries/{act}"), &body).await?;
        let count = answer.get("count").and_then(Value::as_u64).unwrap_or_default();
        Ok(html! {
            h1 { "Done" }
            p.notice.good role="status" { "✓ " (counted(count, "delivery was", "deliveries were")) " " (past(act)) "." }
            p { a href=(fields.at(PART)) { "The list with these filters" } }
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
            (table(&count.examples, visitor))
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
