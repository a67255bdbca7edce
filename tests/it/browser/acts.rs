//! What a person does in the browser has the effect of the API's call: with scripts, without, and by keyboard alone.

use serde_json::json;
use thirtyfour::Key;

use super::driver::{Browser, Look, browse};
use super::pages::log_in;
use super::world::{TOKEN, World};
use crate::harness::text;

/// Presses Tab until the element that a CSS selector finds has the focus.
async fn tab_to(browser: &Browser, selector: &str) {
    for _ in 0..200 {
        browser.press(Key::Tab).await;
        let there = browser.evaluate(&format!("document.activeElement.matches({selector:?})")).await;
        if there == true {
            return;
        }
    }
    panic!("{selector} on {} cannot be reached by Tab", browser.target().await);
}

/// Every action of every page, where `click` presses what a selector finds.
async fn act(world: &World, browser: &Browser, click: impl AsyncFn(&str)) {
    let api = &world.api;
    let page = |path: &str, id: &str| format!("/dashboard/{path}/{id}");
    let button = |path: &str| format!("form[action='{path}'] button");
    let done = async || browser.shows("p[role=status]", 1).await;

    let delivery = page("deliveries", &world.dispatched);
    browser.open(&delivery).await;
    click(&button(&format!("{delivery}/accept"))).await;
    done().await;
    assert_eq!(api.delivery(&world.dispatched).await["status"], "accepted");

    let delivery = page("deliveries", &world.pending);
    browser.open(&delivery).await;
    click(&button(&format!("{delivery}/cancel"))).await;
    done().await;
    assert_eq!(api.delivery(&world.pending).await["status"], "cancelled");

    let delivery = page("deliveries", &world.failed);
    browser.open(&delivery).await;
    click(&button(&format!("{delivery}/retry"))).await;
    done().await;
    let settled = api.settled(&world.failed).await;
    assert_eq!((&settled["status"], settled["attempt_count"].as_u64()), (&json!("accepted"), Some(3)));

    for (act, state) in [("pause", "paused"), ("resume", "enabled")] {
        browser.open("/dashboard/channels/erp").await;
        let form = format!("form[action='/dashboard/channels/erp/{act}']");
        browser.fill(&format!("{form} input[name=reason]"), "stocktaking").await;
        click(&format!("{form} button")).await;
        done().await;
        assert_eq!(api.get("/v1/channels/erp").await.expect(200)["state"], state);
    }
    browser.open("/").await;
    click(&button("/dashboard/channels/archive/resume")).await;
    done().await;
    assert_eq!(api.get("/v1/channels/archive").await.expect(200)["state"], "enabled");

    let order = page("orders", &world.order);
    browser.open(&order).await;
    click(&button(&format!("{order}/deliver"))).await;
    done().await;
    let detail = api.order_detail(&world.order).await;
    assert_eq!(detail["deliveries"].as_array().expect("deliveries").len(), 6);

    let rejected = page("orders", &world.rejected);
    browser.open(&rejected).await;
    click(&button(&format!("{rejected}/rerun"))).await;
    done().await;
    assert_eq!(api.ended(&world.rejected).await["status"], "completed");

    for (press, title) in [("button.primary", "Preview of crm"), ("button[formaction]", "Test of crm")] {
        browser.open("/dashboard/channels/crm").await;
        browser.fill("textarea", r#"{"id": "T-1"}"#).await;
        click(&format!(".trial {press}")).await;
        browser.reads(title).await;
        browser.reads("T-1").await;
    }
    browser.open("/dashboard/configuration").await;
    click(&button("/dashboard/configuration/reload")).await;
    done().await;

    browser.open("/dashboard/deliveries?channel=billing&status=failed").await;
    click("a[href*='act=cancel']").await;
    click("a[href='/dashboard/deliveries?channel=billing&status=failed']").await;
    click("a[href*='act=retry']").await;
    let count = api.list("/v1/deliveries?channel=billing&status=failed").await.len();
    browser.fill("input[name=count]", &count.to_string()).await;
    browser.fill("main input[name=reason]", "the account exists").await;
    click(&button("/dashboard/deliveries/bulk")).await;
    browser.reads(&format!("{count} deliveries were retried")).await;

    let audit = api.list("/v1/audit").await;
    let acts: Vec<_> = audit.iter().map(|act| text(act, "act")).collect();
    let made = [
        "retry", "reload", "test", "rerun", "deliver", "resume", "resume", "pause", "retry", "cancel", "accept",
        "pause", "retry",
    ];
    assert_eq!(acts, made);
    assert_eq!((&audit[0]["count"], &audit[0]["reason"]), (&json!(count), &json!("the account exists")));
    browser.open("/dashboard/audit").await;
    browser.shows("tbody tr", made.len()).await;
}

#[tokio::test]
async fn each_action_has_its_effect_with_scripts_and_without() {
    for scripts in [true, false] {
        let world = World::start().await;
        browse(&world.service, Look { scripts, ..Look::PLAIN }, async |browser| {
            log_in(&browser, TOKEN).await;
            act(&world, &browser, async |selector| browser.click(selector).await).await;
            browser.click("form.who button").await;
            browser.shows("#token", 1).await;
        })
        .await;
        world.stop().await;
    }
}

#[tokio::test]
async fn each_action_can_be_reached_and_done_by_keyboard_alone_on_a_narrow_screen() {
    let world = World::start().await;
    browse(&world.service, Look { width: 400, ..Look::PLAIN }, async |browser| {
        browser.open("/").await;
        // The field of the token has the focus.
        browser.press(TOKEN).await;
        browser.press(Key::Enter + "").await;
        browser.reads("need you").await;
        act(&world, &browser, async |selector| {
            tab_to(&browser, selector).await;
            browser.press(Key::Enter + "").await;
        })
        .await;
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn the_search_box_leads_to_orders_and_deliveries() {
    let world = World::start().await;
    browse(&world.service, Look::PLAIN, async |browser| {
        log_in(&browser, TOKEN).await;
        for (text, target) in [
            ("SO-1003", format!("/dashboard/orders/{}", world.order)),
            (&world.failed, format!("/dashboard/deliveries/{}", world.failed)),
            ("customer3@example.com", "/dashboard/orders?q=customer3%40example.com".to_owned()),
        ] {
            browser.open("/").await;
            browser.fill("input[type=search]", text).await;
            browser.click(".search button").await;
            browser.is_at(&target).await;
        }
        browser.shows("tbody tr", 2).await;
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_token_that_only_reads_sees_every_page_and_no_button() {
    let world = World::start().await;
    browse(&world.service, Look::PLAIN, async |browser| {
        log_in(&browser, "read-token-0123456789").await;
        for (page, target) in world.pages().into_iter().filter(|(page, _)| *page != "bulk") {
            browser.open(&target).await;
            assert_eq!(browser.count("main form[method=post]").await, 0, "{page}");
        }
    })
    .await;
    assert_eq!(world.api.list("/v1/audit").await.len(), 2, "those of the world itself");
    world.stop().await;
}
