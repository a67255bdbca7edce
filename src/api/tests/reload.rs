//! A configuration that is read anew, and cannot be used.

use async_trait::async_trait;

use super::super::{NotReloaded, Reload};
use super::fakes::*;
use crate::config::{Changes, load_text};

/// A configuration that is always wrong.
pub(super) struct FakeReload;

#[async_trait]
impl Reload for FakeReload {
    async fn reload(&self, _: bool) -> Result<Changes, NotReloaded> {
        let environment = crate::config::Environment::default();
        let faults = load_text("shop.yaml", "server: {max_body: 0, listn: x}", &environment).expect_err("wrong");
        Err(faults.into())
    }
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_a_problem_with_every_error() {
    let world = World::new();
    let problem = world.post("/v1/config/reload", &[], "").await.problem(422, "wrong-configuration");
    let paths: Vec<_> = problem["errors"].as_array().expect("errors").iter().map(|error| &error["path"]).collect();
    assert_eq!(paths, ["server.listn", "server.max_body"]);
    assert_eq!(problem["errors"][0]["file"], "shop.yaml");
    for body in [r#"{"force": 1}"#, r#"{"froce": true}"#] {
        let headers = [("content-type", "application/json")];
        world.post("/v1/config/reload", &headers, body).await.problem(400, "invalid-fields");
    }
    world.post("/v1/config/reload?dry_run=1", &[], "").await.problem(400, "invalid-parameters");
    let guarded = World::with(TOKENS);
    for token in ["ingest-token", "read-token"] {
        let authorization = format!("Bearer {token}");
        guarded.post("/v1/config/reload", &[("authorization", &authorization)], "").await.problem(403, "forbidden");
    }
}
