//! What runs here: version, store, replicas, addresses of the documentation.

use axum::extract::{Extension, State};
use axum::response::Response;
use maud::html;

use crate::telemetry::VERSION;

use super::gate::Guest;
use super::layout::{duration, fact, page};
use super::state::Dashboard;

/// `GET /dashboard/about`.
pub(super) async fn about(State(dashboard): State<Dashboard>, Extension(visitor): Guest) -> Response {
    let api = dashboard.api();
    let (view, history) = (api.view(), &api.components.history);
    let (bytes, replicas) = (history.bytes().await.ok(), history.replicas().await.ok());
    let about = &view.about;
    let size = |bytes: u64| bytesize::ByteSize::b(bytes).display().iec().to_string();
    let body = html! {
        h1 { "About" }
        dl.facts {
            (fact("Version", &html! { "orderhook " (VERSION) }))
            (fact("Store", &html! { code { (about.store) } }))
            (fact("Size of the store", &html! {
                @match bytes { Some(bytes) => (size(bytes)), None => "the store does not answer" }
                @if let Some(most) = about.max_size { ", at most " (size(most)) }
            }))
            (fact("Orders are kept", &html! {
                @match about.retention {
                    Some(time) => { "for " (duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))) },
                    None => "forever",
                }
            }))
            (fact("Replicas", &html! { @match replicas { Some(count) => (count), None => "the store does not answer" } }))
            (fact("Channels", &html! { (view.channels.len()) }))
            (fact("Chains", &html! { (about.chains.len()) }))
        }
        h2 { "For machines" }
        ul {
            li { a href="/docs" { "The API" } ", as OpenAPI: " a href="/openapi.json" { "openapi.json" } }
            li { a href="/metrics" { "Metrics" } " for Prometheus" }
            li { a href="/healthz" { "Liveness" } " and " a href="/readyz" { "readiness" } }
        }
    };
    page(&visitor, "/dashboard/about", "About", &body)
}
