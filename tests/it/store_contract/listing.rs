//! Lists and finds, against a naive model of what is there.

use std::sync::Arc;
use std::time::Duration;

use orderhook::domain::{DeliveryId, DeliveryStatus, OrderId, OrderStatus, Timestamp};
use orderhook::store::{DeliveryFilter, JournalEntry, NewEvent, OrderEnd, OrderFilter, OrderKey, OrderSummary, Page};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::world::*;

const CHANNELS: [&str; 3] = ["erp", "mail", "crm"];

/// Deliveries of every status, channel and time, of orders with own ids, shared ids and none, and of events.
async fn many<B: Backend>(world: &World<B>) -> Vec<(DeliveryId, &'static str, Option<(OrderId, String)>)> {
    let mut model = Vec::new();
    let mut endings = DeliveryStatus::ALL.iter().cycle();
    for round in 0..60 {
        let channels = &CHANNELS[..=round % 3];
        let subject = world.subject(["", "A", "B"][round % 3]);
        let mut deliveries = Vec::new();
        if round % 5 == 4 {
            let event = world.plain_event("invoice.paid");
            let mut made: Vec<_> = channels.iter().map(|channel| world.delivery(&event, channel)).collect();
            for delivery in &mut made {
                delivery.slot = Some(world.slot());
                deliveries.push((delivery.id, None));
            }
            let events = of_events(vec![NewEvent { event, deliveries: made, own_id: None }]);
            world.store.ledger.accept_events(events).await.expect("accepted");
        } else {
            let mut order = world.order(&subject, channels);
            for delivery in &mut order.deliveries {
                delivery.slot = Some(world.slot());
                deliveries.push((delivery.id, Some((subject.order().expect("an order"), subject.order_id.clone()))));
            }
            world.accept(order).await;
        }
        for (channel, (id, origin)) in channels.iter().zip(deliveries) {
            let status = *endings.next().expect("a status");
            if status == DeliveryStatus::Cancelled {
                let change = orderhook::store::Change::Cancel;
                world.store.queue.change(id, change, world.now().into()).await.expect("a change");
            } else if status != DeliveryStatus::Pending {
                world.record(world.finished(id, 1, orderhook::store::Next::End(status))).await;
            }
            model.push((id, *channel, origin));
        }
        world.advance(1);
    }
    model
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    proptest::option::weighted(0.4, (0..65i64).prop_map(|seconds| Timestamp::from_millis(START + seconds * 1000)))
}

fn within(at: Timestamp, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}

pub(super) async fn lists_equal_a_naive_model<B: Backend>(world: World<B>) {
    let model = many(&world).await;
    let some_order = model.iter().find_map(|(_, _, order)| order.as_ref()).expect("an order").0.to_string();
    let mut rows = Vec::new();
    for (id, channel, order) in &model {
        rows.push((world.summary(*id).await, *channel, order.clone()));
    }
    rows.sort_by_key(|(summary, ..)| std::cmp::Reverse(summary.id));
    let order_ids = [Some("A".to_owned()), Some("B".into()), Some("none".into()), Some(some_order)];
    let filters = (
        proptest::collection::vec(proptest::sample::select(DeliveryStatus::ALL), 0..4),
        proptest::option::of(proptest::sample::select(&["erp", "mail", "crm", "none"][..])),
        proptest::option::weighted(0.3, proptest::sample::select(order_ids.to_vec())),
        (time(), time(), 1usize..40),
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..150 {
        let (status, channel, order_id, (since, until, limit)) =
            filters.new_tree(&mut runner).expect("a filter").current();
        let filter = DeliveryFilter {
            status,
            channel: channel.map(str::to_owned),
            order_id: order_id.flatten(),
            since,
            until,
            ..DeliveryFilter::default()
        };
        let expected: Vec<_> = rows
            .iter()
            .filter(|(summary, channel, order)| {
                (filter.status.is_empty() || filter.status.contains(&summary.status))
                    && filter.channel.as_ref().is_none_or(|wanted| wanted == channel)
                    && filter.order_id.as_ref().is_none_or(|wanted| {
                        order.as_ref().is_some_and(|(id, own)| own == wanted || id.to_string() == *wanted)
                    })
                    && within(summary.created_at, since, until)
            })
            .map(|(summary, ..)| summary.clone())
            .collect();
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = world.store.history.deliveries(filter.clone(), Page { limit, before }).await.expect("a page");
            assert!(page.data.len() <= limit);
            found.extend(page.data);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}

pub(super) async fn order_lists_equal_a_naive_model<B: Backend>(world: World<B>) {
    let mut rows: Vec<OrderSummary> = Vec::new();
    for round in 0..60 {
        let mut subject = (*world.subject(["", "A", "B"][round % 3])).clone();
        ["new", "renew"][round % 2].clone_into(&mut subject.kind);
        subject.chain = None;
        let subject = Arc::new(subject);
        let status = OrderStatus::ALL[round % 3];
        if status == OrderStatus::Completed {
            world.accept(world.order(&subject, &[])).await;
        } else {
            world.accept(world.processing(&subject)).await;
        }
        if status == OrderStatus::Rejected {
            let end = Some(OrderEnd { status, at: world.now(), skipped: vec![] });
            world.store.ledger.journal(JournalEntry { end, ..blank(&subject) }).await.expect("journaled");
        }
        rows.push(OrderSummary {
            id: subject.order().expect("an order"),
            order_id: subject.order_id.clone(),
            kind: subject.kind.clone(),
            status,
            chain: None,
            received_at: world.now(),
            ended_at: (status != OrderStatus::Processing).then(|| world.now()),
        });
        world.advance(1);
    }
    rows.reverse();
    let order_ids = ["A".to_owned(), "B".into(), "none".into(), rows[2].id.to_string(), rows[1].id.to_string()];
    let filters = (
        proptest::collection::vec(proptest::sample::select(OrderStatus::ALL), 0..3),
        proptest::option::of(proptest::sample::select(&["new", "renew", "none"][..])),
        proptest::option::weighted(0.3, proptest::sample::select(order_ids.to_vec())),
        (time(), time(), 1usize..40),
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..150 {
        let (status, kind, order_id, (since, until, limit)) =
            filters.new_tree(&mut runner).expect("a filter").current();
        let filter =
            OrderFilter { status, kind: kind.map(str::to_owned), order_id, since, until, ..OrderFilter::default() };
        let expected: Vec<_> = rows
            .iter()
            .filter(|row| {
                (filter.status.is_empty() || filter.status.contains(&row.status))
                    && filter.kind.as_ref().is_none_or(|wanted| *wanted == row.kind)
                    && filter
                        .order_id
                        .as_ref()
                        .is_none_or(|wanted| *wanted == row.order_id || *wanted == row.id.to_string())
                    && within(row.received_at, since, until)
            })
            .cloned()
            .collect();
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = world.store.history.orders(filter.clone(), Page { limit, before }).await.expect("a page");
            assert!(page.data.len() <= limit);
            found.extend(page.data);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}

pub(super) async fn an_order_is_found_by_either_id<B: Backend>(world: World<B>) {
    for own in ["A-1", ""] {
        let subject = world.subject(own);
        let id = subject.order().expect("an order");
        world.accept(world.order(&subject, &["erp"])).await;
        let by_id = world.store.history.order(OrderKey::Id(id)).await.expect("a read").expect("the order");
        let by_own = world.store.history.order(OrderKey::Own(subject.order_id.clone())).await.expect("a read");
        assert_eq!(by_own, Some(by_id));
        let text = world.store.history.order(OrderKey::Own(id.to_string())).await.expect("a read");
        assert_eq!(text.map(|order| order.summary.id), Some(id));
    }
}

pub(super) async fn of_orders_with_one_id_the_newest_is_found<B: Backend>(world: World<B>) {
    let mut last = None;
    for _ in 0..3 {
        let subject = world.subject("same");
        last = subject.order();
        world.accept(world.order(&subject, &[])).await;
    }
    let found = world.store.history.order(OrderKey::Own("same".into())).await.expect("a read").expect("an order");
    assert_eq!(Some(found.summary.id), last);
}

pub(super) async fn nothing_is_found_by_an_id_that_only_looks_the_same<B: Backend>(world: World<B>) {
    let subject = world.subject("A-1");
    let order = world.order(&subject, &["erp"]);
    let (id, delivery) = (subject.order().expect("an order"), order.deliveries[0].id);
    world.accept(order).await;
    let almost = OrderId::from_u128(id.as_u128() ^ 1);
    assert_eq!(almost.sequence(), id.sequence());
    assert_eq!(world.store.history.order(OrderKey::Id(almost)).await.expect("a read"), None);
    assert_eq!(world.store.history.order(OrderKey::Own("a-1".into())).await.expect("a read"), None);
    let almost = DeliveryId::from_u128(delivery.as_u128() ^ 1);
    assert_eq!(world.store.history.delivery(almost).await.expect("a read"), None);
    assert_eq!(world.store.history.delivery(id.cast()).await.expect("a read"), None);
}

pub(super) async fn a_list_of_nothing_has_no_next_page<B: Backend>(world: World<B>) {
    let page = world.store.history.deliveries(DeliveryFilter::default(), ALL).await.expect("a page");
    assert!(page.data.is_empty() && page.next.is_none());
    let page = world.store.history.orders(OrderFilter::default(), ALL).await.expect("a page");
    assert!(page.data.is_empty() && page.next.is_none());
    world.waiting("erp").await;
    let page = Page { limit: 1, before: None };
    assert_eq!(world.store.history.orders(OrderFilter::default(), page).await.expect("a page").next, None);
}

pub(super) async fn a_filter_that_takes_few_of_many_comes_to_an_end<B: Backend>(world: World<B>) {
    let wanted = world.waiting("mail").await;
    let channels = vec!["erp"; 500];
    for _ in 0..60 {
        world.clock.advance(Duration::from_millis(1));
        world.accept(world.order(&world.subject(""), &channels)).await;
    }
    for status in [vec![], vec![DeliveryStatus::Pending]] {
        let filter = DeliveryFilter { channel: Some("mail".into()), status, ..DeliveryFilter::default() };
        let (mut found, mut before, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = Page { limit: 10, before };
            let page = world.store.history.deliveries(filter.clone(), page).await.expect("a page");
            found.extend(page.data.into_iter().map(|delivery| delivery.id));
            before = page.next;
            pages += 1;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, [wanted]);
        assert!(pages < 10);
    }
}
