//! The HTTP API: what is called becomes a call of intake, the store or the lanes, and what comes back becomes JSON.
//!
//! [`router`] has the routes, [`serve`] the connections. Whatever goes wrong leaves as a problem of `problem.rs`, the
//! only file that knows HTTP statuses of errors. The one call that must be fast is `POST /v1/orders`: it reads the
//! headers it needs, the body in one piece, and sends the bytes that intake answers with.
//!
//! To add a call: write its handler beside its kind (`orders.rs`, `deliveries.rs`, …), returning `Result<Response,
//! Problem>`, and put it into the group of its scope in [`router`].

mod answer;
mod body;
mod channels;
mod cloudevents;
mod connection;
mod deliveries;
mod events;
mod guard;
mod health;
mod hosts;
mod list;
mod object;
mod orders;
mod pace;
mod path;
mod problem;
mod query;
mod readiness;
mod reason;
mod reload;
mod serve;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod trials;
mod watch;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

pub use answer::JsonAnswers;
pub use problem::{Fault, Kind, Problem};
pub use serve::{Limits, serve};
pub use state::{Api, ChannelOverview, Ingest, Lanes, NotReloaded, Reload, Rooms, View};
pub use tokens::Tokens;

/// All routes.
pub fn router(api: Api) -> Router {
    // These look at the caller's token themselves: they need its name.
    let ingest = Router::new().route("/v1/orders", post(orders::post)).route("/v1/events", post(events::post));
    // And these may be called with a key instead.
    let settle = Router::new()
        .route("/v1/deliveries/{id}/accept", post(deliveries::accept))
        .route("/v1/deliveries/{id}/fail", post(deliveries::fail));
    let read = Router::new()
        .route("/v1/orders", get(orders::page))
        .route("/v1/orders/{id}", get(orders::one))
        .route("/v1/deliveries", get(deliveries::page))
        .route("/v1/deliveries/{id}", get(deliveries::one))
        .route("/v1/channels", get(channels::page))
        .route("/v1/channels/{name}", get(channels::one))
        .route_layer(from_fn_with_state(api.clone(), tokens::read));
    let manage = Router::new()
        .route("/v1/deliveries/retry", post(deliveries::retry_all))
        .route("/v1/deliveries/cancel", post(deliveries::cancel_all))
        .route("/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .route("/v1/channels/{name}/preview", post(trials::preview))
        .route("/v1/channels/{name}/test", post(trials::test))
        .route("/v1/channels/{name}/pause", post(channels::pause))
        .route("/v1/channels/{name}/resume", post(channels::resume))
        .route("/v1/config/reload", post(reload::post))
        .route_layer(from_fn_with_state(api.clone(), tokens::manage));
    let open = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics));
    ingest
        .merge(settle)
        .merge(read)
        .merge(manage)
        .merge(open)
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(api.clone(), watch::watch))
        .with_state(api)
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(Kind::UnknownRoute, format!("{:?} is none of this service's paths", uri.path()))
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::method_not_allowed(&method, None)
}
