//! The API described by itself: `/openapi.json` (OpenAPI 3.1), and `/docs`, a page made of it that needs no script and no
//! other server.
//!
//! `openapi.json` is written by hand; `tests/it/openapi.rs` holds its routes, methods and parameters to the router.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

const DOCUMENT: &str = include_str!("openapi.json");
const STYLE: &str = include_str!("style.css");

/// The document, with the version that runs.
static SERVED: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    if let Some(version) = document.pointer_mut("/info/version") {
        *version = env!("CARGO_PKG_VERSION").into();
    }
    document
});
static JSON: LazyLock<String> = LazyLock::new(|| SERVED.to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| page(&SERVED));

/// `GET /openapi.json`.
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], JSON.as_str()).into_response()
}

/// `GET /docs`.
pub(super) async fn docs() -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy)];
    (headers, PAGE.as_str()).into_response()
}

/// The document as a page: each call can be opened.
fn page(document: &Value) -> String {
    let mut calls = String::new();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, methods) in paths.into_iter().flatten() {
        for (method, call) in methods.as_object().into_iter().flatten() {
            show(&mut calls, &method.to_uppercase(), path, call);
        }
    }
    let mut schemas = String::new();
    let known = document.pointer("/components/schemas").and_then(Value::as_object);
    for (name, schema) in known.into_iter().flatten() {
        let json = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(
            schemas,
            "<details id=\"{0}\"><summary><code>{0}</code></summary><pre>{1}</pre></details>",
            escaped(name),
            escaped(&json)
        );
    }
    let text = |pointer: &str| escaped(document.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>orderhook API</title><style>{STYLE}</style></head><body><h1>orderhook API {}</h1><p>{}</p>\
         <p><a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1)</p><h2>Calls</h2>{calls}<h2>Schemas</h2>{schemas}</body></html>",
        text("/info/version"),
        text("/info/description"),
    )
}

fn show(page: &mut String, method: &str, path: &str, call: &Value) {
    let text = |value: &Value, member: &str| escaped(value.get(member).and_then(Value::as_str).unwrap_or_default());
    let _ = write!(
        page,
        "<details><summary><b>{method}</b> <code>{}</code> {}</summary><p>{}</p>",
        escaped(path),
        text(call, "summary"),
        text(call, "description")
    );
    let parameters = call.get("parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        page.push_str("<table><tr><th>parameter</th><th>in</th><th>what it is</th></tr>");
        for parameter in parameters {
            let _ = write!(
                page,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                text(parameter, "name"),
                text(parameter, "in"),
                text(parameter, "description")
            );
        }
        page.push_str("</table>");
    }
    if let Some(body) = call.get("requestBody") {
        let _ = write!(page, "<p>Body: {} {}</p>", text(body, "description"), schemas(body));
    }
    page.push_str("<table><tr><th>status</th><th>meaning</th><th>body</th></tr>");
    for (status, response) in call.get("responses").and_then(Value::as_object).into_iter().flatten() {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(status),
            text(response, "description"),
            schemas(response)
        );
    }
    page.push_str("</table></details>");
}

/// The content types of a body, each with its schema.
fn schemas(body: &Value) -> String {
    let mut shown = String::new();
    for (media, content) in body.get("content").and_then(Value::as_object).into_iter().flatten() {
        let schema = content.get("schema").unwrap_or(&Value::Null);
        let _ = match schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
            Some(name) => write!(shown, "<div>{0} <a href=\"#{1}\">{1}</a></div>", escaped(media), escaped(name)),
            None => write!(shown, "<div>{} <code>{}</code></div>", escaped(media), escaped(&schema.to_string())),
        };
    }
    shown
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
