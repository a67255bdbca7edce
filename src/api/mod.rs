//! The HTTP API: what is called becomes a call of intake, the store or the lanes, and what comes back becomes JSON.
//!
//! [`router`] has the routes, [`serve()`] the connections. Whatever goes wrong leaves as a problem of `problem.rs`, the
//! only file that knows HTTP statuses of errors. The one call that must be fast is `POST /v1/orders`: it reads the
//! headers it needs, the body in one piece, and sends the bytes that intake answers with.
//!
//! To add a call: write its handler beside its kind (`orders.rs`, `deliveries.rs`, …), returning `Result<Response,
//! Problem>`, and put it into the group of its scope in [`router`].

mod access;
mod again;
mod answer;
mod audit;
mod body;
mod bulk;
mod bulk_jobs;
mod changes;
mod channels;
mod cloudevents;
mod connection;
mod connection_limits;
mod dashboard;
mod deliveries;
mod event_fields;
mod events;
#[doc(hidden)]
pub mod fuzzed;
mod guard;
mod health;
mod hosts;
mod limits;
mod list;
mod moving;
mod object;
mod openapi;
mod orders;
mod pace;
mod path;
mod ports;
mod previews;
mod problem;
mod problems;
mod query;
mod readiness;
mod reason;
mod refusals;
mod reload;
mod serve;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod tokens;
mod watch;

use axum::Router;
use axum::extract::{Extension, RawQuery, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{get, post};

use crate::store::Change;

use dashboard::Dashboard;
use path::Named;
use tokens::Caller;

pub use answer::JsonAnswers;
pub use connection_limits::ConnectionLimits;
pub use deliveries::delivery_json;
pub(crate) use health::waiting;
pub use orders::order_json;
pub use ports::{Ingest, Lanes, NotReloaded, Reload};
pub use problem::{Fault, Kind, Problem};
pub use serve::serve;
pub use state::{Api, Components, View};
pub use tokens::Tokens;

/// All routes.
pub fn router(api: Api) -> Router {
    // These look at the caller's token themselves: they need its name.
    let ingest = Router::new().route("/v1/orders", post(orders::post)).route("/v1/events", post(events::post));
    // Clients that join a base and a path often leave a slash behind.
    let ingest = ingest.route("/v1/orders/", post(orders::post)).route("/v1/events/", post(events::post));
    // And these may be called with a key instead.
    let settle = |verdict| {
        post(move |api: State<Api>, name: Named, query: RawQuery, request: Request| {
            changes::settle(api, name, query, request, verdict)
        })
    };
    let settle = Router::new()
        .route("/v1/deliveries/{id}/accept", settle(Change::Accept))
        .route("/v1/deliveries/{id}/fail", settle(Change::Fail));
    let read = Router::new()
        .route("/v1/orders", get(orders::page))
        .route("/v1/orders/", get(orders::page))
        .route("/v1/orders/{id}", get(orders::one))
        .route("/v1/deliveries", get(deliveries::page))
        .route("/v1/deliveries/{id}", get(deliveries::one))
        .route("/v1/bulk/{id}", get(bulk::get))
        .route("/v1/channels", get(channels::page))
        .route("/v1/channels/{name}", get(channels::one))
        .route("/v1/audit", get(audit::page))
        .route("/v1/problems", get(problems::page))
        .route("/v1/stream", get(stream::get))
        .route_layer(from_fn_with_state(api.clone(), access::read));
    let open = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::docs));
    let manage = manage().route_layer(from_fn_with_state(api.clone(), access::manage));
    // The dashboard makes the same calls as everybody else, within the process.
    let calls = settle.merge(read).merge(manage);
    let dashboard = Dashboard::new(api.clone(), calls.clone().with_state(api.clone()));
    let home = Router::new()
        .route("/", get(dashboard::home))
        .route_layer(from_fn_with_state(dashboard.clone(), dashboard::enter));
    let pages = home.merge(dashboard::pages(&dashboard)).layer(map_response(dashboard::protect)).with_state(dashboard);
    ingest
        .merge(calls)
        .merge(open)
        .merge(pages)
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(api.clone(), watch::watch))
        .with_state(api)
}

/// The routes that change something.
fn manage() -> Router<Api> {
    let one = |change| {
        post(move |api: State<Api>, name: Named, caller: Extension<Caller>, request: Request| {
            changes::one(api, name, caller, request, change)
        })
    };
    let all = |change| {
        post(move |api: State<Api>, caller: Extension<Caller>, request: Request| {
            bulk::post(api, caller, request, change)
        })
    };
    let switch = |pause| {
        post(move |api: State<Api>, name: Named, caller: Extension<Caller>, request: Request| {
            channels::switch(api, name, caller, request, pause)
        })
    };
    Router::new()
        .route("/v1/orders/{id}/deliver", post(again::deliver))
        .route("/v1/orders/{id}/rerun", post(again::rerun))
        .route("/v1/deliveries/retry", all(Change::Retry))
        .route("/v1/deliveries/cancel", all(Change::Cancel))
        .route("/v1/deliveries/{id}/retry", one(Change::Retry))
        .route("/v1/deliveries/{id}/cancel", one(Change::Cancel))
        .route("/v1/channels/{name}/preview", post(previews::preview))
        .route("/v1/channels/{name}/test", post(previews::test))
        .route("/v1/channels/{name}/pause", switch(true))
        .route("/v1/channels/{name}/resume", switch(false))
        .route("/v1/channels/{name}/move", post(moving::post))
        .route("/v1/config/reload", post(reload::post))
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(Kind::UnknownRoute, format!("no route matches {:?}", uri.path()))
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::method_not_allowed(&method, None)
}
