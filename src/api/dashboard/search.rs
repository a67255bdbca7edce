//! The search box: an id leads to its page, anything else to the list of orders.

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::data::{List, Listed};
use super::form::{Fields, encoded};
use super::gate::Guest;
use super::layout::failed;
use super::state::Dashboard;

/// `GET /dashboard/search`.
pub(super) async fn search(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    let q = fields.get("q").unwrap_or_default().trim();
    if q.is_empty() {
        return Redirect::to("/dashboard/orders").into_response();
    }
    if q.starts_with("dlv_") {
        return Redirect::to(&format!("/dashboard/deliveries/{}", encoded(q))).into_response();
    }
    // An order's own id leads to the newest order with it, which links to the others.
    let mut asked = Fields::default();
    asked.set("order_id", q);
    asked.set("limit", "1");
    match dashboard.read::<List<Listed>>(&visitor, &asked.at("/v1/orders")).await {
        Ok(list) => match list.data.first() {
            Some(order) => Redirect::to(&format!("/dashboard/orders/{}", encoded(&order.id))).into_response(),
            None => Redirect::to(&format!("/dashboard/orders?q={}", encoded(q))).into_response(),
        },
        Err(failure) => failed(&visitor, &failure),
    }
}
