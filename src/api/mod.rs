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
mod connection;
mod guard;
mod orders;
mod problem;
mod serve;
mod state;
mod tokens;

use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::post;

pub use answer::JsonAnswers;
pub use problem::{Fault, Kind, Problem};
pub use serve::{Limits, serve};
pub use state::{Api, ChannelOverview, Ingest, Lanes, Rooms};
pub use tokens::Tokens;

/// All routes.
pub fn router(api: Api) -> Router {
    // These look at the caller's token themselves: they need its name.
    let ingest = Router::new().route("/v1/orders", post(orders::post));
    ingest.fallback(unknown_route).method_not_allowed_fallback(method_not_allowed).with_state(api)
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(Kind::UnknownRoute, format!("{:?} is none of this service's paths", uri.path()))
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::method_not_allowed(&method, None)
}
