//! The document of the API: it is the router's, down to methods and parameters, and the page is made of it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Service;

const ROUTER: &str = include_str!("../../src/api/mod.rs");

/// A path with something in place of its names.
fn target(path: &str) -> String {
    path.replace("{id}", "x").replace("{name}", "x")
}

#[tokio::test]
async fn the_document_has_the_routes_of_the_router() {
    let service = Service::start("").await;
    let document = service.api.get("/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().expect("paths");
    let listed: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let routes: BTreeSet<&str> = ROUTER
        .split(".route(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        // With a slash at its end a route is the same call.
        .map(|route| if route == "/" { route } else { route.trim_end_matches('/') })
        .collect();
    assert_eq!(listed, routes);
    for (path, calls) in paths {
        let methods: BTreeSet<String> =
            calls.as_object().expect("calls").keys().map(|name| name.to_uppercase()).collect();
        let answer = service.api.call("PATCH", &target(path), &[], b"").await;
        let allow = answer.header("allow").unwrap_or_default();
        let allowed: BTreeSet<String> =
            allow.split(',').map(|name| name.trim().to_owned()).filter(|name| name != "HEAD").collect();
        assert_eq!(methods, allowed, "{path}");
        let Some(get) = calls.get("get").filter(|_| path.starts_with("/v1/")) else { continue };
        let problem = service.api.get(&format!("{}?nope=1", target(path))).await.problem(400);
        let message = problem["errors"][0]["message"].as_str().expect("a message");
        let known: BTreeSet<&str> = match message.split_once("known are ") {
            Some((_, names)) => names.split(';').next().expect("names").split(", ").collect(),
            None => BTreeSet::new(),
        };
        let parameters = get["parameters"].as_array().expect("parameters");
        let described: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(described, known, "{path}");
    }
    service.stop().await;
}

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn what_the_document_refers_to_is_in_it_and_the_page_needs_nobody_else() {
    let service = Service::start("").await;
    let document = service.api.get("/openapi.json").await.expect(200);
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    let page = service.api.get("/docs").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    for path in document["paths"].as_object().expect("paths").keys() {
        assert!(html.contains(&format!("<code>{path}</code>")), "{path} is not on the page");
    }
    assert!(
        !html.contains("<script") && !html.contains("src=") && !html.contains("http://") && !html.contains("https://")
    );
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
    service.stop().await;
}
