//! The journal of chains, and chains that are taken up again.

use std::sync::Arc;

use orderhook::domain::event::EventStep;
use orderhook::domain::order::SkipReason;
use orderhook::domain::{OrderStatus, Skip, StepStatus};
use orderhook::store::{Change, DeliveryFilter, JournalEntry, OrderDetail, OrderEnd, OrderKey, StoreError};

use super::world::*;

async fn detail<B: Backend>(world: &World<B>, subject: &orderhook::domain::Subject) -> OrderDetail {
    let key = OrderKey::Id(subject.order().expect("an order"));
    world.store.history.order(key).await.expect("a read").expect("the order")
}

fn end<B: Backend>(world: &World<B>, status: OrderStatus) -> OrderEnd {
    let skipped = vec![Skip { channel: "crm".into(), reason: SkipReason::Event, detail: None }];
    OrderEnd { status, at: world.now(), skipped }
}

pub(super) async fn steps_and_context_are_kept_as_journaled<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    world.accept(world.processing(&subject)).await;
    let mut failed = world.step("billing");
    failed.status = StepStatus::Failed;
    failed.error = Some("callout plugin failed due to response status: [404]".into());
    let steps = [world.step("account"), failed, world.step("mail")];
    let entries = [
        JournalEntry { steps: vec![(0, steps[0].clone())], context: Some("{\"a\": 1}".into()), ..blank(&subject) },
        JournalEntry { steps: vec![(1, steps[1].clone()), (2, steps[2].clone())], ..blank(&subject) },
    ];
    for entry in entries {
        world.store.ledger.journal(entry).await.expect("journaled");
    }
    let detail = detail(&world, &subject).await;
    assert_eq!(detail.steps, steps);
    assert_eq!(&*detail.context, "{\"a\": 1}");
    assert_eq!(detail.summary.status, OrderStatus::Processing);
    assert_eq!(detail.summary.ended_at, None);
}

pub(super) async fn an_order_ends_with_its_deliveries_and_its_answer_in_one<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    let mut order = world.processing(&subject);
    order.idempotency = Some(key("k", 1));
    world.accept(order).await;
    world.advance(3);
    let event = world.event(&subject, "order.completed", "{\"x\": 1}");
    let mut deliveries = vec![world.delivery(&event, "erp"), world.delivery(&event, "mail")];
    deliveries[0].slot = Some(world.slot());
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
    let entry = JournalEntry {
        steps: vec![(0, world.step("one"))],
        context: Some("{\"x\": 1}".into()),
        deliveries,
        end: Some(end(&world, OrderStatus::Completed)),
        answer: Some(("k".into(), answer("done"))),
        ..blank(&subject)
    };
    world.store.ledger.journal(entry).await.expect("journaled");
    let born = world.lane.take();
    assert_eq!(born.iter().map(|leased| leased.id).collect::<Vec<_>>(), ids[..1]);
    let detail = detail(&world, &subject).await;
    assert_eq!(detail.summary.status, OrderStatus::Completed);
    assert_eq!(detail.summary.ended_at, Some(world.now()));
    assert_eq!(detail.deliveries.len(), 2);
    assert_eq!(detail.skipped.len(), 1);
    let claimed = world.store.queue.claim(world.claim("mail")).await.expect("a claim");
    assert_eq!((claimed[0].id, &claimed[0].event), (ids[1], &event));
}

pub(super) async fn an_event_keeps_the_context_of_its_time<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    let mut order = world.processing(&subject);
    let received = world.event(&subject, "order.received", "{}");
    order.deliveries = vec![world.delivery(&received, "erp")];
    world.accept(order).await;
    let mut failed = (*world.event(&subject, "order.step_failed", "{\"a\":1}")).clone();
    failed.step = Some("billing".into());
    failed.steps = [world.step("account"), world.step("billing")].iter().map(EventStep::from).collect();
    let failed = Arc::new(failed);
    let entry = JournalEntry {
        steps: vec![(0, world.step("account"))],
        context: Some("{\"a\":1}".into()),
        deliveries: vec![world.delivery(&failed, "erp")],
        ..blank(&subject)
    };
    world.store.ledger.journal(entry).await.expect("journaled");
    // The end brings no context of its own: the one before stands. An event may have seen another one.
    let completed = world.event(&subject, "order.completed", "{\"a\":1}");
    let odd = world.event(&subject, "order.completed", "{\"a\":2}");
    let entry = JournalEntry {
        deliveries: vec![world.delivery(&completed, "erp"), world.delivery(&odd, "erp")],
        end: Some(end(&world, OrderStatus::Completed)),
        ..blank(&subject)
    };
    world.store.ledger.journal(entry).await.expect("journaled");
    let claimed = world.store.queue.claim(world.claim("erp")).await.expect("a claim");
    let events: Vec<_> = claimed.into_iter().map(|leased| leased.event).collect();
    assert_eq!(events, [received, failed, completed, odd]);
    assert_eq!(&*detail(&world, &subject).await.context, "{\"a\":1}");
}

pub(super) async fn a_rejected_order_says_so<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    world.accept(world.processing(&subject)).await;
    let entry = JournalEntry { end: Some(end(&world, OrderStatus::Rejected)), ..blank(&subject) };
    world.store.ledger.journal(entry).await.expect("journaled");
    assert_eq!(detail(&world, &subject).await.summary.status, OrderStatus::Rejected);
}

pub(super) async fn a_journal_of_an_order_that_belongs_to_another_is_fenced<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    world.accept(world.processing(&subject)).await;
    let mut delivery = world.delivery(&world.event(&subject, "order.completed", "{}"), "erp");
    delivery.slot = Some(world.slot());
    let entry = JournalEntry {
        replica: OTHER,
        steps: vec![(0, world.step("one"))],
        deliveries: vec![delivery],
        end: Some(end(&world, OrderStatus::Completed)),
        ..blank(&subject)
    };
    assert!(matches!(world.store.ledger.journal(entry).await, Err(StoreError::Fenced)));
    let detail = detail(&world, &subject).await;
    assert_eq!(detail.summary.status, OrderStatus::Processing);
    assert!(detail.steps.is_empty() && detail.deliveries.is_empty());
    assert!(world.lane.take().is_empty());
    assert_eq!(world.slots.available_permits(), SLOTS);
    let unknown = blank(&world.subject(""));
    assert!(matches!(world.store.ledger.journal(unknown).await, Err(StoreError::Fenced)));
}

pub(super) async fn a_journal_after_the_end_is_fenced<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    world.accept(world.processing(&subject)).await;
    let entry = || JournalEntry { end: Some(end(&world, OrderStatus::Completed)), ..blank(&subject) };
    world.store.ledger.journal(entry()).await.expect("journaled");
    assert!(matches!(world.store.ledger.journal(entry()).await, Err(StoreError::Fenced)));
}

pub(super) async fn an_interrupted_order_is_resumed_once_with_its_steps<B: Backend>(world: World<B>) {
    let subject = world.subject("A-7");
    let mut order = world.processing(&subject);
    order.idempotency = Some(key("k", 1));
    world.accept(order).await;
    let step = world.step("one");
    let entry =
        JournalEntry { steps: vec![(0, step.clone())], context: Some("{\"one\":{}}".into()), ..blank(&subject) };
    world.store.ledger.journal(entry).await.expect("journaled");
    assert!(world.store.ledger.resume(ME, "main", 10).await.expect("resumed").is_empty(), "somebody works on it");
    let world = world.reopen();
    for time in 1..=2 {
        let resumed = world.store.ledger.resume(ME, "main", 10).await.expect("resumed");
        assert_eq!(resumed.len(), 1);
        assert_eq!(resumed[0].subject, subject);
        assert_eq!(&*resumed[0].context, "{\"one\":{}}");
        assert_eq!(resumed[0].steps, std::slice::from_ref(&step));
        assert_eq!(resumed[0].resumed, 1, "giving it up interrupts nothing");
        assert_eq!(resumed[0].unanswered.as_deref(), Some("k").filter(|_| time == 1));
        assert!(world.store.ledger.resume(OTHER, "main", 10).await.expect("resumed").is_empty());
        let entry = JournalEntry { answer: Some(("k".into(), answer("late"))), ..blank(&subject) };
        world.store.ledger.journal(entry).await.expect("it is ours");
        world.store.ledger.give_up(ME, subject.order().expect("an order")).await.expect("given up");
    }
}

pub(super) async fn an_order_given_up_can_be_resumed<B: Backend>(world: World<B>) {
    let subject = world.subject("");
    let id = subject.order().expect("an order");
    world.accept(world.processing(&subject)).await;
    world.store.ledger.give_up(OTHER, id).await.expect("not theirs");
    assert!(world.store.ledger.resume(OTHER, "main", 10).await.expect("resumed").is_empty());
    world.store.ledger.give_up(ME, id).await.expect("given up");
    assert_eq!(world.store.ledger.interrupted().await.expect("listed"), [("main".to_owned(), 1)]);
    assert!(world.store.ledger.resume(OTHER, "other", 10).await.expect("resumed").is_empty(), "of another chain");
    assert!(matches!(world.store.ledger.journal(blank(&subject)).await, Err(StoreError::Fenced)));
    assert_eq!(world.store.ledger.resume(OTHER, "main", 10).await.expect("resumed").len(), 1);
    assert!(world.store.ledger.interrupted().await.expect("listed").is_empty());
    let entry = JournalEntry { replica: OTHER, ..blank(&subject) };
    world.store.ledger.journal(entry).await.expect("theirs now");
}

pub(super) async fn orders_are_resumed_oldest_first_up_to_the_limit<B: Backend>(world: World<B>) {
    let mut subjects = Vec::new();
    for _ in 0..5 {
        subjects.push(world.subject(""));
        world.accept(world.processing(&subjects[subjects.len() - 1])).await;
    }
    let world = world.reopen();
    for expected in [&subjects[..2], &subjects[2..4], &subjects[4..], &[]] {
        let resumed = world.store.ledger.resume(ME, "main", 2).await.expect("resumed");
        assert_eq!(resumed.into_iter().map(|order| order.subject).collect::<Vec<_>>(), expected);
    }
}

pub(super) async fn deliveries_of_every_part_of_its_way_belong_to_the_order<B: Backend>(world: World<B>) {
    let subject = world.subject("A-1");
    let mut ids = Vec::new();
    let mut born = |kind: &str, channel: &str| {
        let delivery = world.delivery(&world.event(&subject, kind, "{}"), channel);
        ids.push(delivery.id);
        delivery
    };
    let mut order = world.processing(&subject);
    order.deliveries = vec![born("order.received", "erp")];
    let step_failed = JournalEntry { deliveries: vec![born("order.step_failed", "erp")], ..blank(&subject) };
    let completed = JournalEntry {
        deliveries: vec![born("order.completed", "erp"), born("order.completed", "mail")],
        end: Some(end(&world, OrderStatus::Completed)),
        ..blank(&subject)
    };
    let failed = born("delivery.failed", "alarm");
    world.accept(order).await;
    for entry in [step_failed, completed] {
        world.store.ledger.journal(entry).await.expect("journaled");
    }
    world.store.queue.insert(vec![failed]).await.expect("inserted");
    let found = detail(&world, &subject).await.deliveries;
    assert_eq!(found.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), ids);
    let own = DeliveryFilter { order_id: Some("A-1".into()), ..DeliveryFilter::default() };
    let listed = world.store.history.deliveries(own, ALL).await.expect("a page").data;
    assert_eq!(listed.iter().rev().map(|delivery| delivery.id).collect::<Vec<_>>(), ids);
    // The order stays while any of them is open, and goes with all of them.
    let now = world.advance(1);
    for id in &ids {
        assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), 0);
        world.store.queue.change(*id, Change::Cancel, now.into()).await.expect("a change");
    }
    assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), 1);
    assert!(world.store.history.deliveries(DeliveryFilter::default(), ALL).await.expect("a page").data.is_empty());
}
