//! Orders and events come in once, whole, and are handed over.

use std::sync::Arc;

use orderhook::domain::order::SkipReason;
use orderhook::domain::{OrderStatus, Skip};
use orderhook::store::{Acceptance, Idempotency, NewEvent, OrderKey};

use super::world::*;

pub(super) async fn a_new_order_is_there_with_everything_it_came_with<B: Backend>(world: World<B>) {
    let subject = world.subject("A-1");
    let mut order = world.order(&subject, &["erp", "mail"]);
    order.skipped = vec![Skip { channel: "crm".into(), reason: SkipReason::When, detail: Some("no total".into()) }];
    let skipped = order.skipped.clone();
    let ids: Vec<_> = order.deliveries.iter().map(|delivery| delivery.id).collect();
    let event = Arc::clone(&order.deliveries[0].event);
    assert_eq!(world.accept(order).await, Acceptance::New);
    let key = OrderKey::Id(subject.order().expect("an order"));
    let detail = world.store.history.order(key).await.expect("a read").expect("the order");
    assert_eq!(detail.body, subject.body);
    assert_eq!(&*detail.context, "{}");
    assert_eq!(detail.skipped, skipped);
    assert!(detail.steps.is_empty());
    assert_eq!(detail.summary.order_id, "A-1");
    assert_eq!(detail.summary.kind, "new");
    assert_eq!(detail.summary.status, OrderStatus::Completed);
    assert_eq!(detail.summary.chain.as_deref(), Some("main"));
    assert_eq!(detail.summary.received_at, subject.received_at);
    assert_eq!(detail.summary.ended_at, Some(subject.received_at));
    assert_eq!(detail.deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), ids);
    let delivery = &detail.deliveries[1];
    assert_eq!(&*delivery.channel, "mail");
    assert_eq!(delivery.event, (event.id, Arc::clone(&event.kind)));
    assert_eq!((delivery.order, delivery.order_id.as_deref()), (subject.order(), Some("A-1")));
    assert_eq!((delivery.attempts, delivery.last_code), (0, None));
    assert_eq!(delivery.next_attempt_at, Some(world.now()));
    assert_eq!(delivery.created_at, delivery.id.time());
}

pub(super) async fn a_delivery_born_with_a_slot_is_handed_over_before_the_answer<B: Backend>(world: World<B>) {
    let mut order = world.order(&world.subject(""), &["erp"]);
    order.deliveries[0].slot = Some(world.slot());
    let (id, event) = (order.deliveries[0].id, Arc::clone(&order.deliveries[0].event));
    world.accept(order).await;
    let born = world.lane.take();
    assert_eq!(born.len(), 1);
    assert_eq!((born[0].id, &*born[0].channel, born[0].attempts, born[0].round_start), (id, "erp", 0, 0));
    assert_eq!(born[0].event, event);
    assert!(born[0].slot.is_some());
    assert_eq!(world.slots.available_permits(), SLOTS - 1);
    assert!(world.claimed(world.claim("erp")).await.is_empty(), "it is leased");
    drop(born);
    assert_eq!(world.slots.available_permits(), SLOTS);
}

pub(super) async fn deliveries_are_handed_over_in_the_order_of_their_orders<B: Backend>(world: World<B>) {
    let mut expected = Vec::new();
    for _ in 0..5 {
        let mut calls = Vec::new();
        for _ in 0..50 {
            let mut order = world.order(&world.subject(""), &["erp", "mail"]);
            for delivery in &mut order.deliveries {
                delivery.slot = Some(world.slot());
                expected.push(delivery.id);
            }
            let mut call = world.store.ledger.accept_order(order);
            assert!(futures_util::poll!(call.as_mut()).is_pending());
            calls.push(call);
        }
        for accepted in futures_util::future::join_all(calls).await {
            assert_eq!(accepted.expect("accepted"), Acceptance::New);
        }
    }
    let born: Vec<_> = world.lane.take().into_iter().map(|leased| leased.id).collect();
    assert!(born == expected, "{} of {}", born.len(), expected.len());
}

pub(super) async fn a_delivery_without_a_slot_or_not_yet_due_waits_and_gives_its_slot_back<B: Backend>(
    world: World<B>,
) {
    let mut order = world.order(&world.subject(""), &["erp", "erp"]);
    let later = world.now().after(std::time::Duration::from_secs(60));
    order.deliveries[1].slot = Some(world.slot());
    order.deliveries[1].due_at = later;
    let ids: Vec<_> = order.deliveries.iter().map(|delivery| delivery.id).collect();
    let now = world.now();
    world.accept(order).await;
    assert!(world.lane.take().is_empty());
    assert_eq!(world.lane.told(), [("erp".to_owned(), now), ("erp".to_owned(), later)]);
    assert_eq!(world.slots.available_permits(), SLOTS);
    assert_eq!(world.claimed(world.claim("erp")).await, [ids[0]]);
    world.advance(60);
    assert_eq!(world.claimed(world.claim("erp")).await, [ids[1]]);
}

pub(super) async fn without_anybody_connected_deliveries_wait<B: Backend>(world: World<B>) {
    let world = world.reopen();
    let mut order = world.order(&world.subject(""), &["erp"]);
    order.deliveries[0].slot = Some(world.slot());
    let id = order.deliveries[0].id;
    world.accept(order).await;
    assert_eq!(world.slots.available_permits(), SLOTS);
    assert_eq!(world.claimed(world.claim("erp")).await, [id]);
}

pub(super) async fn a_key_gets_its_first_answer_again<B: Backend>(world: World<B>) {
    for (name, known_at_once) in [("at-once", true), ("later", false)] {
        let mut order = world.order(&world.subject(""), &[]);
        let first = known_at_once.then(|| answer("first"));
        order.idempotency = Some(Idempotency { answer: first, ..key(name, 1) });
        assert_eq!(world.accept(order).await, Acceptance::New);
        if !known_at_once {
            let stands = world.store.ledger.answer(name.into(), answer("first")).await.expect("answered");
            assert_eq!(stands, answer("first"));
        }
        let stands = world.store.ledger.answer(name.into(), answer("second")).await.expect("answered");
        assert_eq!(stands, answer("first"), "the second caller gets the answer that each repetition gets");
        let mut again = world.order(&world.subject(""), &[]);
        again.idempotency = Some(Idempotency { answer: Some(answer("third")), ..key(name, 1) });
        assert_eq!(world.accept(again).await, Acceptance::Replay(answer("first")));
    }
}

pub(super) async fn a_key_whose_answer_comes_later_is_under_way_until_then<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    let mut order = world.processing(&subject);
    order.idempotency = Some(key("k", 1));
    assert_eq!(world.accept(order).await, Acceptance::New);
    for expected in [Acceptance::UnderWay, Acceptance::Replay(answer("done"))] {
        let mut again = world.order(&world.subject(""), &[]);
        again.idempotency = Some(key("k", 1));
        assert_eq!(world.accept(again).await, expected);
        let mut entry = blank(&subject);
        entry.answer = Some(("k".into(), answer("done")));
        world.store.ledger.journal(entry).await.expect("journaled");
    }
}

pub(super) async fn a_key_with_another_body_is_a_mismatch<B: Backend>(world: World<B>) {
    let mut order = world.order(&world.subject(""), &[]);
    order.idempotency = Some(Idempotency { answer: Some(answer("first")), ..key("k", 1) });
    world.accept(order).await;
    let mut other = world.order(&world.subject(""), &[]);
    other.idempotency = Some(key("k", 2));
    assert_eq!(world.accept(other).await, Acceptance::Mismatch);
    let mut another_key = world.order(&world.subject(""), &[]);
    another_key.idempotency = Some(key("K", 2));
    assert_eq!(world.accept(another_key).await, Acceptance::New);
}

pub(super) async fn a_replay_makes_no_delivery_and_gives_slots_back<B: Backend>(world: World<B>) {
    for expected in [true, false] {
        let mut order = world.order(&world.subject(""), &["erp"]);
        let subject = Arc::clone(&order.subject);
        order.deliveries[0].slot = Some(world.slot());
        order.idempotency = Some(Idempotency { answer: Some(answer("first")), ..key("k", 1) });
        assert_eq!(world.accept(order).await == Acceptance::New, expected);
        let found = world.store.history.order(OrderKey::Id(subject.order().expect("an order"))).await.expect("a read");
        assert_eq!(found.is_some(), expected);
        assert_eq!(world.lane.take().len(), usize::from(expected));
        assert_eq!(world.slots.available_permits(), SLOTS);
    }
}

pub(super) async fn the_same_key_twice_at_once_is_accepted_once<B: Backend>(world: World<B>) {
    let calls = (0..50).map(|_| {
        let mut order = world.order(&world.subject(""), &["erp"]);
        order.idempotency = Some(Idempotency { answer: Some(answer("first")), ..key("k", 1) });
        world.store.ledger.accept_order(order)
    });
    let results: Vec<_> =
        futures_util::future::join_all(calls).await.into_iter().map(|result| result.expect("accepted")).collect();
    assert_eq!(results.iter().filter(|result| **result == Acceptance::New).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == Acceptance::Replay(answer("first"))).count(), 49);
    assert_eq!(world.claimed(world.claim("erp")).await.len(), 1);
}

pub(super) async fn events_come_in_together_with_their_deliveries<B: Backend>(world: World<B>) {
    let mut events = Vec::new();
    let mut ids = Vec::new();
    for kind in ["invoice.paid", "order.completed"] {
        let event = world.plain_event(kind);
        let mut delivery = world.delivery(&event, "erp");
        delivery.slot = Some(world.slot());
        ids.push(delivery.id);
        events.push(NewEvent { event, deliveries: vec![delivery], own_id: None });
    }
    assert_eq!(world.store.ledger.accept_events(of_events(events)).await.expect("accepted"), Acceptance::New);
    let born = world.lane.take();
    assert_eq!(born.iter().map(|leased| leased.id).collect::<Vec<_>>(), ids);
    for leased in born {
        let summary = world.summary(leased.id).await;
        assert_eq!(summary.event, (leased.event.id, Arc::clone(&leased.event.kind)));
        assert_eq!((summary.order, summary.order_id), (None, None));
    }
    assert_eq!(world.store.ledger.accept_events(of_events(vec![])).await.expect("accepted"), Acceptance::New);
}

pub(super) async fn an_events_key_is_answered_like_an_orders<B: Backend>(world: World<B>) {
    let mut results = Vec::new();
    for body in [1, 1, 2] {
        let events =
            (0..2).map(|_| NewEvent { event: world.plain_event("a.b"), deliveries: vec![], own_id: None }).collect();
        let mut events = of_events(events);
        events.idempotency = Some(Idempotency { answer: Some(answer("first")), ..key("e", body) });
        results.push(world.store.ledger.accept_events(events).await.expect("accepted"));
    }
    assert_eq!(results, [Acceptance::New, Acceptance::Replay(answer("first")), Acceptance::Mismatch]);
}

pub(super) async fn a_caller_who_goes_away_loses_nothing<B: Backend>(world: World<B>) {
    let mut orders = Vec::new();
    for _ in 0..50 {
        let mut order = world.order(&world.subject(""), &["erp"]);
        order.deliveries[0].slot = Some(world.slot());
        orders.push(OrderKey::Id(order.subject.order().expect("an order")));
        let mut call = world.store.ledger.accept_order(order);
        // Polled once, then dropped: it may or may not have been sent.
        let _ = futures_util::poll!(call.as_mut());
    }
    world.store.history.ping().await.expect("everything before is done");
    let mut kept = 0;
    for key in orders {
        kept += usize::from(world.store.history.order(key).await.expect("a read").is_some());
    }
    assert_eq!(world.lane.take().len(), kept, "an order that is kept has handed over its delivery");
    assert_eq!(world.slots.available_permits(), SLOTS);
    let id = world.waiting("mail").await;
    {
        let mut claim = world.store.queue.claim(world.claim("mail"));
        let _ = futures_util::poll!(claim.as_mut());
    }
    world.store.history.ping().await.expect("everything before is done");
    world.store.history.ping().await.expect("and what followed from it");
    // Where several connections write, a moment later.
    let mut claimed = world.claimed(world.claim("mail")).await;
    for _ in 0..200 {
        if !claimed.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        claimed = world.claimed(world.claim("mail")).await;
    }
    assert_eq!(claimed, [id], "a claim that nobody heard of is undone");
}

pub(super) async fn an_order_that_is_already_there_fails_alone<B: Backend>(world: World<B>) {
    let subject = world.subject("twice");
    world.accept(world.order(&subject, &[])).await;
    let mut calls = Vec::new();
    for at in 0..20 {
        let mut order =
            if at == 10 { world.order(&subject, &["erp"]) } else { world.order(&world.subject(""), &["erp"]) };
        order.deliveries[0].slot = Some(world.slot());
        calls.push(world.store.ledger.accept_order(order));
    }
    let results = futures_util::future::join_all(calls).await;
    assert_eq!(results.iter().position(Result::is_err), Some(10));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 19);
    assert_eq!(world.lane.take().len(), 19);
    assert_eq!(world.slots.available_permits(), SLOTS);
    assert_eq!(world.store.history.backlog().await.expect("a read")[0].pending, 19);
}
