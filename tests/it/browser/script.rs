//! What the script adds to the pages: they keep up to date, and keys lead through them.

use serde_json::json;
use thirtyfour::Key;

use super::driver::{Look, browse};
use super::pages::log_in;
use super::world::{TOKEN, World};

#[tokio::test]
async fn open_pages_keep_up_with_what_happens() {
    let world = World::start().await;
    browse(&world.service, Look::PLAIN, async |browser| {
        log_in(&browser, TOKEN).await;
        let api = &world.api;
        browser.reads("5 things need you").await;
        browser.reads(", live").await;
        api.post("/v1/channels/wine/pause", &json!({"reason": "harvest"})).await.expect(200);
        browser.reads("6 things need you").await;
        browser.reads("harvest").await;
        api.post("/v1/channels/wine/resume", &json!({})).await.expect(200);
        browser.reads("5 things need you").await;

        browser.open(&format!("/dashboard/deliveries/{}", world.pending)).await;
        browser.reads(", live").await;
        // What a person has opened stays open, and the focus where it is.
        browser.click("details[open] details[data-key^=request-headers] summary").await;
        api.post(&format!("/v1/deliveries/{}/cancel", world.pending), &json!({"reason": "withdrawn"}))
            .await
            .expect(200);
        browser.reads("withdrawn").await;
        assert_eq!(browser.count("details[data-key^=request-headers][open]").await, 1);

        browser.open("/dashboard/channels/wine").await;
        browser.reads(", live").await;
        browser.fill("input[name=reason]", "half a sen").await;
        api.post("/v1/channels/wine/pause", &json!({"reason": "harvest"})).await.expect(200);
        browser.reads("harvest").await;
        assert_eq!(browser.evaluate("document.querySelector('input[name=reason]').value").await, "half a sen");
        api.post("/v1/channels/wine/resume", &json!({})).await.expect(200);

        browser.open("/dashboard/orders").await;
        browser.reads(", live").await;
        api.order(&json!({"id": "SO-NEW"})).await;
        browser.reads("SO-NEW").await;
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn keys_lead_through_the_pages() {
    let world = World::start().await;
    browse(&world.service, Look::PLAIN, async |browser| {
        log_in(&browser, TOKEN).await;
        let focus = async |expression: &str| browser.evaluate(&format!("document.activeElement.{expression}")).await;
        browser.press("/").await;
        assert_eq!(focus("name").await, "q");
        browser.press("SO-1003").await;
        browser.press(Key::Enter + "").await;
        browser.is_at(&format!("/dashboard/orders/{}", world.order)).await;

        browser.open("/dashboard/deliveries?channel=erp&status=failed").await;
        let place = "document.activeElement.closest('tr')?.sectionRowIndex";
        for (key, row) in [("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)] {
            browser.press(key).await;
            assert_eq!(browser.evaluate(place).await, row, "{key}");
        }
        browser.press("r").await;
        assert_eq!((focus("innerText").await, browser.evaluate(place).await), (json!("Retry"), json!(1)));
        // Letters are letters in a field.
        browser.press("/").await;
        browser.press("jkr/").await;
        assert_eq!(focus("value").await, "jkr/");
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_request_is_copied_as_a_command() {
    let world = World::start().await;
    browse(&world.service, Look::PLAIN, async |browser| {
        log_in(&browser, TOKEN).await;
        browser.open(&format!("/dashboard/deliveries/{}", world.failed)).await;
        browser.click("details[data-key=curl-2] summary").await;
        browser.reads("set these variables first: AUTHORIZATION").await;
        browser.click("button[data-copy=curl-2]").await;
        let button = "document.querySelector('button[data-copy=curl-2]').textContent";
        let told = async || (browser.evaluate(button).await != "Copy").then_some(());
        crate::harness::eventually("the copy", told).await;
        // The order was retried after the receiver had changed.
        browser.click("details[data-key=difference-2] summary").await;
        browser.reads("+   \"customer\": \"C-2003\"").await;
    })
    .await;
    world.stop().await;
}
