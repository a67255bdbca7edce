//! docs/http-api.md: it lists the routes that there are, with their methods and parameters.

use std::collections::{BTreeMap, BTreeSet};

use orderhook::domain::order::SkipReason;
use orderhook::domain::{DeliveryStatus, OrderStatus, Outcome};

use crate::harness::Service;

const PAGE: &str = include_str!("../../docs/http-api.md");
const ROUTER: &str = include_str!("../../src/api/mod.rs");

/// The sections about calls: method, path and text.
fn calls() -> Vec<(&'static str, &'static str, &'static str)> {
    let sections = PAGE.split("\n### `").skip(1);
    let calls = sections.map(|section| {
        let (head, text) = section.split_once("`\n").expect("a heading that is a call");
        let (method, path) = head.split_once(' ').expect("a method and a path");
        (method, path, text.split("\n## ").next().unwrap_or(text))
    });
    calls.collect()
}

/// A path with something in place of its names.
fn target(path: &str) -> String {
    path.replace("{id}", "x").replace("{name}", "x")
}

#[test]
fn the_page_lists_every_route() {
    let routes: BTreeSet<&str> = ROUTER
        .split(".route(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        // With a slash at its end a route is the same call.
        .map(|route| if route == "/" { route } else { route.trim_end_matches('/') })
        .collect();
    assert!(routes.len() > 20, "{routes:?}");
    let listed: BTreeSet<&str> = calls().iter().map(|(_, path, _)| *path).collect();
    assert_eq!(listed, routes);
}

#[tokio::test]
async fn the_page_lists_every_method_and_parameter() {
    let service = Service::start("").await;
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (method, path, text) in calls() {
        methods.entry(path).or_default().insert(method);
        if method == "GET" && text.contains("Parameters:") {
            let problem = service.api.get(&format!("{}?nope=1", target(path))).await.problem(400);
            let message = problem["errors"][0]["message"].as_str().expect("a message");
            let known = message.split_once("known are ").expect("names").1.split(';').next().expect("names");
            let listed = text.split("Parameters:").nth(1).expect("names");
            for name in known.split(", ") {
                assert!(listed.contains(&format!("`{name}`")), "{path}: {name} is not on the page: {known}");
            }
        }
    }
    for (path, methods) in methods {
        let answer = service.api.call("PATCH", &target(path), &[], b"").await;
        assert_eq!(answer.status, 405, "{path}: {answer}");
        let allowed: BTreeSet<&str> = answer
            .header("allow")
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|method| *method != "HEAD")
            .collect();
        assert_eq!(methods, allowed, "{path}");
    }
    service.stop().await;
}

#[test]
fn the_page_lists_every_status_and_reason() {
    let names = SkipReason::ALL.iter().map(|reason| reason.as_str());
    let names = names.chain(OrderStatus::ALL.iter().map(|status| status.as_str()));
    let names = names.chain(DeliveryStatus::ALL.iter().map(|status| status.as_str()));
    for name in names.chain(Outcome::ALL.iter().map(|outcome| outcome.as_str())) {
        assert!(PAGE.contains(&format!("`{name}`")), "{name} is not on the page");
    }
}
