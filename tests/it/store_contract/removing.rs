//! Retention.

use orderhook::domain::{DeliveryStatus, OrderStatus};
use orderhook::store::{
    Acceptance, Change, DeliveryFilter, Idempotency, JournalEntry, NewEvent, OrderEnd, OrderFilter, OrderKey,
};

use super::world::*;

pub(super) async fn what_is_finished_and_old_goes_with_all_that_belongs_to_it<B: Backend>(world: World<B>) {
    let subject = world.subject("A-1");
    world.accept(world.processing(&subject)).await;
    let end = OrderEnd { status: OrderStatus::Rejected, at: world.now(), skipped: vec![] };
    let entry = JournalEntry { steps: vec![(0, world.step("one"))], end: Some(end), ..blank(&subject) };
    world.store.ledger.journal(entry).await.expect("journaled");
    let mut ids = Vec::new();
    for status in
        [DeliveryStatus::Accepted, DeliveryStatus::Failed, DeliveryStatus::Rejected, DeliveryStatus::Cancelled]
    {
        ids.push(world.delivery_of("erp", status).await);
    }
    let now = world.advance(10);
    assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), 5);
    assert_eq!(world.store.history.order(OrderKey::Own("A-1".into())).await.expect("a read"), None);
    for id in ids {
        assert_eq!(world.store.history.delivery(id).await.expect("a read"), None);
    }
    assert!(world.store.history.orders(OrderFilter::default(), ALL).await.expect("a page").data.is_empty());
    assert!(world.store.history.deliveries(DeliveryFilter::default(), ALL).await.expect("a page").data.is_empty());
    assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), 0);
}

pub(super) async fn what_is_open_or_new_stays<B: Backend>(world: World<B>) {
    let open = [
        world.waiting("erp").await,
        world.delivery_of("erp", DeliveryStatus::Pending).await,
        world.delivery_of("erp", DeliveryStatus::Dispatched).await,
    ];
    world.accept(world.processing(&world.subject("at-work"))).await;
    let boundary = world.advance(10);
    let new = world.delivery_of("erp", DeliveryStatus::Accepted).await;
    world.advance(10);
    assert_eq!(world.store.queue.remove_finished(boundary).await.expect("removed"), 0);
    assert_eq!(world.store.history.orders(OrderFilter::default(), ALL).await.expect("a page").data.len(), 5);
    assert_eq!(world.status(new).await, DeliveryStatus::Accepted);
    for id in open {
        world.store.queue.change(id, Change::Cancel, world.now().into()).await.expect("a change");
    }
    assert_eq!(world.store.queue.remove_finished(boundary).await.expect("removed"), 3);
}

pub(super) async fn removal_goes_beyond_one_group<B: Backend>(world: World<B>) {
    let orders = (0..1200).map(|_| world.store.ledger.accept_order(world.order(&world.subject("same"), &[])));
    for accepted in futures_util::future::join_all(orders).await {
        accepted.expect("accepted");
    }
    let now = world.advance(1);
    assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), 1200);
    assert_eq!(world.store.history.order(OrderKey::Own("same".into())).await.expect("a read"), None);
}

pub(super) async fn a_key_is_free_again_when_its_order_is_gone<B: Backend>(world: World<B>) {
    let with_key = || {
        let mut order = world.order(&world.subject(""), &[]);
        order.idempotency = Some(Idempotency { answer: Some(answer("first")), ..key("k", 1) });
        order
    };
    assert_eq!(world.accept(with_key()).await, Acceptance::New);
    assert_eq!(world.accept(with_key()).await, Acceptance::Replay(answer("first")));
    let now = world.advance(1);
    world.store.queue.remove_finished(now).await.expect("removed");
    assert_eq!(world.accept(with_key()).await, Acceptance::New);
}

pub(super) async fn removed_events_are_counted<B: Backend>(world: World<B>) {
    for _ in 0..2 {
        let event = world.plain_event("invoice.paid");
        let mut delivery = world.delivery(&event, "erp");
        delivery.slot = Some(world.slot());
        let mut events = of_events(vec![NewEvent { event, deliveries: vec![delivery], own_id: None }]);
        events.idempotency = Some(key("e", 1));
        assert_eq!(world.store.ledger.accept_events(events).await.expect("accepted"), Acceptance::New);
        let id = world.lane.take()[0].id;
        let now = world.advance(1);
        assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), 0, "its delivery is open");
        world.store.queue.change(id, Change::Cancel, now.into()).await.expect("a change");
        assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), 1);
        assert_eq!(world.store.history.delivery(id).await.expect("a read"), None);
    }
}
