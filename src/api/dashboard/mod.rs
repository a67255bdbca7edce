//! The dashboard: pages for people, made on the server, that work without JavaScript.
//!
//! A page is made of the same calls that everybody else makes ([`state`]), so what it shows, what it may do and what the
//! audit keeps are those of the API. [`gate`] lets visitors in, [`layout`] has what all pages share, and each page is a
//! file of its own. To add a page: a file with a handler, and its route in [`pages`].

mod about;
mod acts;
mod audit;
mod bulk;
mod channel;
mod configuration;
mod curl;
mod data;
mod deliveries;
mod delivery;
mod difference;
mod form;
mod gate;
mod home;
mod layout;
mod live;
mod order;
mod orders;
mod preview;
mod search;
mod sessions;
mod spark;
mod state;
mod timeline;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub(super) use gate::{enter, protect};
pub(super) use home::home;
pub(super) use state::Dashboard;

/// Every page but the home page, which is `/`.
pub(super) fn pages(dashboard: &Dashboard) -> Router<Dashboard> {
    let open = Router::new()
        .route("/dashboard/style.css", get(style))
        .route("/dashboard/script.js", get(script))
        .route("/dashboard/login", post(gate::log_in))
        .route("/dashboard/logout", post(gate::log_out));
    Router::new()
        .route("/dashboard/search", get(search::search))
        .route("/dashboard/orders", get(orders::page))
        .route("/dashboard/orders/{id}", get(order::page))
        .route("/dashboard/orders/{id}/rerun", post(acts::rerun))
        .route("/dashboard/orders/{id}/deliver", post(acts::deliver))
        .route("/dashboard/deliveries", get(deliveries::page))
        .route("/dashboard/deliveries/bulk", get(bulk::ask).post(bulk::act))
        .route("/dashboard/deliveries/selected", post(bulk::selected))
        .route("/dashboard/bulk/{id}", get(bulk::progress))
        .route("/dashboard/deliveries/{id}", get(delivery::page))
        .route("/dashboard/deliveries/{id}/{act}", post(acts::delivery))
        .route("/dashboard/channels/{name}", get(channel::page))
        .route("/dashboard/channels/{name}/preview", post(preview::preview))
        .route("/dashboard/channels/{name}/test", post(preview::test))
        .route("/dashboard/channels/{name}/{act}", post(acts::channel))
        .route("/dashboard/audit", get(audit::page))
        .route("/dashboard/configuration", get(configuration::page))
        .route("/dashboard/configuration/reload", post(configuration::reload))
        .route("/dashboard/about", get(about::about))
        .route("/dashboard/live", get(live::live))
        .route_layer(from_fn_with_state(dashboard.clone(), enter))
        .merge(open)
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("style.css"))
}

async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("script.js"))
}

fn asset(media: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, media), (CACHE_CONTROL, "max-age=300")], text).into_response()
}
