//! One-offs: a channel gets one event for each value, whoever asks and whenever.

use std::sync::Arc;

use orderhook::domain::{DeliveryStatus, OrderStatus};
use orderhook::store::{
    Acceptance, Idempotency, JournalEntry, Journaled, NewEvent, NewOrder, Next, Once, OrderEnd, OrderKey,
};

use super::world::*;

/// An order with a delivery to each channel that is a one-off for `value`.
fn one_off<B: Backend>(world: &World<B>, value: &str, channels: &[&str]) -> NewOrder {
    let mut order = world.order(&world.subject(""), channels);
    for delivery in &mut order.deliveries {
        delivery.once = once(value, true);
    }
    order
}

#[allow(clippy::unnecessary_wraps, reason = "as the field wants it")]
fn once(value: &str, takes: bool) -> Option<Arc<Once>> {
    Some(Arc::new(Once { value: value.to_owned(), takes }))
}

fn late(order: &NewOrder, at: usize) -> Acceptance {
    let delivery = &order.deliveries[at];
    Acceptance::OnceConflict(vec![(Arc::clone(&delivery.channel), delivery.event.id)])
}

pub(super) async fn a_one_off_is_had_once_by_each_channel<B: Backend>(world: World<B>) {
    assert_eq!(world.accept(one_off(&world, "sub-1", &["keys", "keys"])).await, Acceptance::New, "a set of two");
    let mut again = one_off(&world, "sub-1", &["mail", "keys"]);
    again.deliveries[1].slot = Some(world.slot());
    again.idempotency = Some(Idempotency { answer: Some(answer("not yet")), ..key("k", 1) });
    let (id, expected) = (again.subject.order().expect("an order"), late(&again, 1));
    assert_eq!(world.accept(again).await, expected);
    assert_eq!(world.slots.available_permits(), SLOTS);
    assert!(world.store.history.order(OrderKey::Id(id)).await.expect("a find").is_none(), "nothing was written");
    let mut without = one_off(&world, "sub-1", &["mail"]);
    without.idempotency = Some(Idempotency { answer: Some(answer("at last")), ..key("k", 1) });
    assert_eq!(world.accept(without).await, Acceptance::New, "the key was not used up");
    assert_eq!(world.accept(one_off(&world, "sub-2", &["keys"])).await, Acceptance::New, "another value");
    assert_eq!(world.claimed(world.claim("keys")).await.len(), 3);
    assert_eq!(world.claimed(world.claim("mail")).await.len(), 1);
}

pub(super) async fn of_orders_at_the_same_moment_one_has_the_one_off<B: Backend>(world: World<B>) {
    let orders = (0..50).map(|_| world.accept(one_off(&world, "sub-1", &["keys"])));
    let results = futures_util::future::join_all(orders).await;
    assert_eq!(results.iter().filter(|result| **result == Acceptance::New).count(), 1);
    assert_eq!(results.iter().filter(|result| matches!(result, Acceptance::OnceConflict(_))).count(), 49);
    assert_eq!(world.claimed(world.claim("keys")).await.len(), 1);
}

pub(super) async fn a_one_off_outlives_restarts_and_retention<B: Backend>(world: World<B>) {
    let order = one_off(&world, "sub-1", &["keys"]);
    let id = order.deliveries[0].id;
    world.accept(order).await;
    assert_eq!(world.claimed(world.claim("keys")).await, [id]);
    world.record(world.finished(id, 1, Next::End(DeliveryStatus::Failed))).await;
    world.advance(10);
    assert_eq!(world.store.queue.remove_finished(world.now()).await.expect("removed"), 1);
    let world = world.reopen();
    let again = one_off(&world, "sub-1", &["keys"]);
    let expected = late(&again, 0);
    assert_eq!(world.accept(again).await, expected);
}

pub(super) async fn of_events_in_one_call_the_first_has_the_one_off<B: Backend>(world: World<B>) {
    let event = |value: &str| {
        let event = world.plain_event("sub.renewed");
        let mut delivery = world.delivery(&event, "keys");
        delivery.once = once(value, true);
        NewEvent { event, deliveries: vec![delivery], own_id: None }
    };
    let events = vec![event("a"), event("b"), event("a")];
    let third = events[2].event.id;
    let result = world.store.ledger.accept_events(of_events(events)).await.expect("an answer");
    assert_eq!(result, Acceptance::OnceConflict(vec![("keys".into(), third)]));
    assert!(world.claimed(world.claim("keys")).await.is_empty());
    let result = world.store.ledger.accept_events(of_events(vec![event("a"), event("b")])).await.expect("an answer");
    assert_eq!(result, Acceptance::New);
}

pub(super) async fn what_only_fails_leaves_the_one_off_to_others<B: Backend>(world: World<B>) {
    let mut failing = one_off(&world, "sub-1", &["keys"]);
    failing.deliveries[0].once = once("sub-1", false);
    assert_eq!(world.accept(failing).await, Acceptance::New);
    assert_eq!(world.accept(one_off(&world, "sub-1", &["keys"])).await, Acceptance::New);
    let mut failing = one_off(&world, "sub-1", &["keys"]);
    failing.deliveries[0].once = once("sub-1", false);
    let expected = late(&failing, 0);
    assert_eq!(world.accept(failing).await, expected, "too late too");
}

pub(super) async fn an_order_at_its_end_may_come_too_late<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    world.accept(world.processing(&subject)).await;
    world.accept(one_off(&world, "sub-1", &["keys"])).await;
    let end = |deliveries| JournalEntry {
        end: Some(OrderEnd { status: OrderStatus::Completed, at: world.now(), skipped: vec![] }),
        steps: vec![(0, world.step("one"))],
        deliveries,
        ..blank(&subject)
    };
    let event = world.event(&subject, "order.completed", "{}");
    let mut delivery = world.delivery(&event, "keys");
    delivery.once = once("sub-1", true);
    let result = world.store.ledger.journal(end(vec![delivery])).await.expect("an answer");
    assert_eq!(result, Journaled::OnceConflict(vec![("keys".into(), event.id)]));
    let found = world.store.history.order(OrderKey::Id(subject.order().expect("an order"))).await.expect("a find");
    assert_eq!(found.expect("the order").steps, []);
    assert_eq!(world.store.ledger.journal(end(vec![])).await.expect("an answer"), Journaled::Done);
}

pub(super) async fn own_events_leave_out_what_was_had<B: Backend>(world: World<B>) {
    let delivery = |value: &str| {
        let mut delivery = world.delivery(&world.plain_event("channel.disabled"), "keys");
        delivery.once = once(value, true);
        delivery
    };
    world.store.queue.insert(vec![delivery("a"), delivery("b"), delivery("a")]).await.expect("inserted");
    assert_eq!(world.claimed(world.claim("keys")).await.len(), 2);
    let id = world.leased("erp").await;
    let mut finished = world.finished(id, 1, Next::End(DeliveryStatus::Failed));
    finished.deliveries = vec![delivery("b"), delivery("c")];
    world.record(finished).await;
    assert_eq!(world.claimed(world.claim("keys")).await.len(), 1);
}
