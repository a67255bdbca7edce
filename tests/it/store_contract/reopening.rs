//! What outlives a process, and how a store ends.

use orderhook::domain::DeliveryStatus;
use orderhook::store::{Acceptance, Claim, DeliveryFilter, Next, OrderFilter, Recorded, StoreError};

use super::world::*;

pub(super) async fn everything_is_there_after_a_stop<B: Backend>(world: World<B>) {
    let mut ids = Vec::new();
    for status in DeliveryStatus::ALL {
        ids.push((*status, world.delivery_of("erp", *status).await));
    }
    let mut before = Vec::new();
    for (_, id) in &ids {
        before.push(world.detail(*id).await);
    }
    let orders = world.store.history.orders(OrderFilter::default(), ALL).await.expect("a page").data;
    world.store.close().await;
    let world = world.reopen();
    for ((status, id), before) in ids.iter().zip(before) {
        assert_eq!(world.detail(*id).await, before);
        assert_eq!(world.status(*id).await, *status);
    }
    assert_eq!(world.store.history.orders(OrderFilter::default(), ALL).await.expect("a page").data, orders);
    // What a process had belongs to nobody behind it, and what it still writes does not count.
    let pending = ids[0].1;
    assert_eq!(world.record(world.finished(pending, 1, Next::End(DeliveryStatus::Failed))).await, Recorded::Fenced);
    assert_eq!(world.claimed(Claim { replica: OTHER, ..world.claim("erp") }).await, [pending]);
}

pub(super) async fn what_was_answered_is_there_after_a_break<B: Backend>(world: World<B>) {
    let mut orders = Vec::new();
    for _ in 0..20 {
        let subject = world.subject("");
        world.accept(world.order(&subject, &["erp"])).await;
        orders.push(subject.order().expect("an order"));
    }
    let world = world.reopen();
    orders.reverse();
    let found = world.store.history.orders(OrderFilter::default(), ALL).await.expect("a page");
    assert_eq!(found.data.into_iter().map(|order| order.id).collect::<Vec<_>>(), orders);
    assert_eq!(world.claimed(world.claim("erp")).await.len(), 20);
}

pub(super) async fn a_secret_stays_with_its_store<B: Backend>(world: World<B>) {
    let secret = world.store.queue.secret().await.expect("a secret");
    assert!(secret.iter().any(|byte| *byte != 0));
    let world = world.reopen();
    assert_eq!(world.store.queue.secret().await.expect("a secret"), secret);
    let other = World::<B>::new();
    assert_ne!(other.store.queue.secret().await.expect("a secret"), secret, "another store has another one");
}

pub(super) async fn ids_go_on_behind_the_last_one<B: Backend>(world: World<B>) {
    // As if the clock had been set back in between.
    let ahead = orderhook::domain::IdSource::new(
        std::sync::Arc::new(orderhook::domain::ManualClock::new(
            world.now().after(std::time::Duration::from_secs(3600)),
        )),
        3,
    );
    let mut order = world.order(&world.subject(""), &["erp"]);
    order.deliveries[0].id = ahead.next();
    let last = order.deliveries[0].id;
    world.accept(order).await;
    let world = world.reopen();
    let next: orderhook::domain::OrderId = world.ids.next();
    assert!(next.sequence() > last.sequence() || !B::IS_ALONE && next.sequence() & 63 != last.sequence() & 63);
}

pub(super) async fn counts_are_right_after_a_reopening<B: Backend>(world: World<B>) {
    for status in DeliveryStatus::ALL {
        world.delivery_of("erp", *status).await;
        world.waiting("mail").await;
    }
    let before = world.store.history.backlog().await.expect("a read");
    let world = world.reopen();
    assert_eq!(world.store.history.backlog().await.expect("a read"), before);
    assert_eq!(before.iter().map(|row| row.pending).collect::<Vec<_>>(), [1, 6]);
}

pub(super) async fn a_closed_store_says_so<B: Backend>(world: World<B>) {
    world.waiting("erp").await;
    world.store.close().await;
    let order = world.order(&world.subject(""), &[]);
    assert!(matches!(world.store.ledger.accept_order(order).await, Err(StoreError::Closed)));
    assert!(matches!(world.store.history.ping().await, Err(StoreError::Closed)));
    let list = world.store.history.deliveries(DeliveryFilter::default(), ALL).await;
    assert!(matches!(list, Err(StoreError::Closed)));
    world.store.close().await;
    let world = world.reopen();
    world.store.history.ping().await.expect("open again");
}

pub(super) async fn a_store_finishes_what_was_sent_before_it_closes<B: Backend>(world: World<B>) {
    let calls: Vec<_> =
        (0..100).map(|_| world.store.ledger.accept_order(world.order(&world.subject(""), &["erp"]))).collect();
    let (results, ()) = futures_util::future::join(futures_util::future::join_all(calls), world.store.close()).await;
    let accepted = results.iter().filter(|result| matches!(result, Ok(Acceptance::New))).count();
    let refused = results.iter().filter(|result| matches!(result, Err(StoreError::Closed))).count();
    assert_eq!(accepted + refused, 100);
    let world = world.reopen();
    assert_eq!(world.claimed(world.claim("erp")).await.len(), accepted);
}

pub(super) async fn a_store_that_can_write_answers_a_ping<B: Backend>(world: World<B>) {
    world.store.history.ping().await.expect("it can");
}
