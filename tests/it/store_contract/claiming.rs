//! Who has a delivery, and who gets it next.

use std::sync::Arc;
use std::time::Duration;

use orderhook::domain::{DeliveryStatus, PreparedDelivery, Timestamp};
use orderhook::store::{Backlog, Change, Claim, Finished, JournalEntry, Lease, Next, NextDue, Recorded, Which};

use super::world::*;

pub(super) async fn the_longest_due_is_claimed_first<B: Backend>(world: World<B>) {
    let mut expected = Vec::new();
    for seconds in [30, 10, 20, 10] {
        let mut order = world.order(&world.subject(""), &["erp"]);
        order.deliveries[0].due_at = world.now().after(Duration::from_secs(seconds));
        expected.push((seconds, order.deliveries[0].id));
        world.accept(order).await;
    }
    expected.sort();
    world.advance(60);
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(world.claimed(world.claim("erp")).await, expected);
}

pub(super) async fn a_claim_takes_no_more_than_its_limit_and_its_bytes<B: Backend>(world: World<B>) {
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(world.waiting("erp").await);
    }
    assert_eq!(world.claimed(Claim { limit: 2, ..world.claim("erp") }).await, ids[..2]);
    // Each brings its body of `{"id": ""}` and its context of `{}`.
    assert_eq!(world.claimed(Claim { max_bytes: 36, ..world.claim("erp") }).await, ids[2..5]);
    assert_eq!(world.claimed(world.claim("erp")).await, ids[5..]);
    assert!(world.claimed(world.claim("erp")).await.is_empty());
}

pub(super) async fn the_first_of_a_claim_may_be_larger_than_its_bytes<B: Backend>(world: World<B>) {
    let first = world.waiting("erp").await;
    world.waiting("erp").await;
    assert_eq!(world.claimed(Claim { max_bytes: 1, ..world.claim("erp") }).await, [first]);
}

pub(super) async fn first_attempts_and_retries_are_claimed_apart<B: Backend>(world: World<B>) {
    let retry = world.leased("erp").await;
    assert_eq!(world.record(world.finished(retry, 1, Next::Wait(world.now()))).await, Recorded::Done);
    let first = world.waiting("erp").await;
    assert_eq!(world.claimed(world.claim("erp")).await, [first]);
    let claimed = world.claim_all(Claim { which: Which::Retries, ..world.claim("erp") }).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].id, claimed[0].attempts, claimed[0].round_start), (retry, 1, 0));
}

pub(super) async fn nothing_is_claimed_before_its_time_or_from_another_channel<B: Backend>(world: World<B>) {
    let mut order = world.order(&world.subject(""), &["erp"]);
    order.deliveries[0].due_at = world.now().after(Duration::from_millis(1));
    let id = order.deliveries[0].id;
    world.accept(order).await;
    assert!(world.claimed(world.claim("erp")).await.is_empty());
    world.clock.advance(Duration::from_millis(1));
    assert!(world.claimed(world.claim("mail")).await.is_empty());
    assert_eq!(world.claimed(world.claim("erp")).await, [id]);
}

pub(super) async fn what_is_claimed_is_as_it_was_born<B: Backend>(world: World<B>) {
    let subject = world.subject("A-1");
    let mut order = world.order(&subject, &["erp", "erp"]);
    let mut own = (*world.event(&subject, "shop.odd", "{\"c\": 1}")).clone();
    own.step = Some("billing".into());
    order.deliveries[1].event = Arc::new(own);
    let mut same = (*world.event(&subject, "order.received", "{}")).clone();
    same.id = subject.order().expect("an order").cast();
    let mut third = world.delivery(&Arc::new(same), "erp");
    third.due_at = Timestamp::from_millis(START - 1);
    order.deliveries.push(third);
    let mut born: Vec<_> = order
        .deliveries
        .iter()
        .map(|delivery| (delivery.due_at, delivery.id, Arc::clone(&delivery.channel), Arc::clone(&delivery.event)))
        .collect();
    born.sort_by_key(|(due_at, id, ..)| (*due_at, *id));
    world.accept(order).await;
    let claimed = world.claim_all(world.claim("erp")).await;
    let claimed: Vec<_> =
        claimed.into_iter().map(|leased| (leased.due_at, leased.id, leased.channel, leased.event)).collect();
    assert_eq!(claimed, born);
}

pub(super) async fn the_text_of_a_mail_comes_with_a_claim_and_counts_but_not_with_a_list<B: Backend>(world: World<B>) {
    let text = || Some(Arc::from("x".repeat(1000)));
    let mail = PreparedDelivery { mail: true, text: text(), ..PreparedDelivery::default() };
    let finished = world.finished(world.leased("erp").await, 1, Next::End(DeliveryStatus::Accepted));
    let mut births = world.order(&world.subject(""), &["erp", "erp"]).deliveries;
    for birth in &mut births {
        birth.prepared = Some(Arc::new(mail.clone()));
    }
    let ids: Vec<_> = births.iter().map(|birth| birth.id).collect();
    world.accept(world.order(&births[0].event.subject, &[])).await;
    assert_eq!(world.record(Finished { deliveries: births, ..finished }).await, Recorded::Done);
    let world = world.reopen();
    let claim = Claim { max_bytes: 1500, ..world.claim("erp") };
    let claimed = world.claim_all(claim).await;
    let claimed: Vec<_> = claimed.into_iter().map(|leased| (leased.id, leased.prepared)).collect();
    assert_eq!(claimed, [(ids[0], Some(Arc::new(mail.clone())))], "one fills what there is room for");
    let listed = PreparedDelivery { text: None, ..mail };
    assert_eq!(world.summary(ids[0]).await.prepared, Some(Arc::new(listed)));
}

pub(super) async fn what_a_delivery_carries_survives_claims_and_restarts<B: Backend>(world: World<B>) {
    let prepared = |unit| {
        Some(Arc::new(PreparedDelivery {
            items: Some(vec![0, 2]),
            quantity: Some(3),
            unit: Some(unit),
            fault: Some("items[2].quantity is -1".into()),
            ..PreparedDelivery::default()
        }))
    };
    let mut order = world.order(&world.subject(""), &["erp", "erp", "erp"]);
    order.deliveries[0].prepared = prepared(1);
    order.deliveries[1].prepared = prepared(2);
    order.deliveries[0].slot = Some(world.slot());
    let ids: Vec<_> = order.deliveries.iter().map(|delivery| delivery.id).collect();
    world.accept(order).await;
    let born: Vec<_> = world.lane.take().into_iter().map(|leased| (leased.id, leased.prepared)).collect();
    assert_eq!(born, [(ids[0], prepared(1))], "born with a slot");
    world.put_back(&[ids[0]]).await;
    let world = world.reopen();
    let claimed = world.claim_all(world.claim("erp")).await;
    let claimed: Vec<_> = claimed.into_iter().map(|leased| (leased.id, leased.prepared)).collect();
    assert_eq!(claimed, [(ids[0], prepared(1)), (ids[1], prepared(2)), (ids[2], None)]);
    assert_eq!(world.summary(ids[1]).await.prepared, prepared(2));
    assert_eq!(world.summary(ids[2]).await.prepared, None);
}

pub(super) async fn two_replicas_never_claim_the_same<B: Backend>(world: World<B>) {
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(world.waiting("erp").await);
    }
    let claims = (0..20).map(|at| {
        let replica = if at % 2 == 0 { ME } else { OTHER };
        world.store.queue.claim(Claim { replica, limit: 7, ..world.claim("erp") })
    });
    let mut claimed = Vec::new();
    for claim in futures_util::future::join_all(claims).await {
        claimed.extend(claim.expect("a claim").into_iter().map(|leased| leased.id));
    }
    claimed.sort();
    assert_eq!(claimed, ids);
}

pub(super) async fn next_due_knows_first_attempts_and_retries_apart<B: Backend>(world: World<B>) {
    let next = || world.store.queue.next_due("erp".into());
    assert_eq!(next().await.expect("a read"), NextDue::default());
    let retry = world.leased("erp").await;
    assert_eq!(next().await.expect("a read"), NextDue::default(), "what is leased does not wait");
    let later = world.now().after(Duration::from_secs(30));
    world.record(world.finished(retry, 1, Next::Wait(later))).await;
    assert_eq!(next().await.expect("a read"), NextDue { first: None, retry: Some(later) });
    world.waiting("erp").await;
    world.waiting("mail").await;
    assert_eq!(next().await.expect("a read"), NextDue { first: Some(world.now()), retry: Some(later) });
}

pub(super) async fn what_is_put_back_can_be_claimed_by_anybody<B: Backend>(world: World<B>) {
    let (first, retry) = (world.leased("erp").await, world.leased("erp").await);
    let due = world.now().after(Duration::from_secs(5));
    world.record(world.finished(retry, 1, Next::Keep(due))).await;
    world.put_back(&[first, retry]).await;
    let theirs = Claim { replica: OTHER, ..world.claim("erp") };
    assert_eq!(world.claimed(theirs).await, [first]);
    let theirs = Claim { replica: OTHER, which: Which::Retries, ..world.claim("erp") };
    assert!(world.claimed(theirs.clone()).await.is_empty(), "its time has not come");
    assert_eq!(world.claimed(Claim { now: due, ..theirs }).await, [retry]);
    assert_eq!(world.summary(retry).await.attempts, 1);
    assert_eq!(world.summary(first).await.attempts, 0);
}

pub(super) async fn only_who_holds_a_delivery_can_put_it_back<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let unknown = world.ids.next();
    let older = Lease { number: world.lease(id).number - 1, ..world.lease(id) };
    world.store.queue.put_back(vec![older, world.lease(unknown)]).await.expect("nothing to put back");
    assert!(world.claimed(world.claim("erp")).await.is_empty());
    let ended = world.leased("erp").await;
    world.record(world.finished(ended, 1, Next::End(orderhook::domain::DeliveryStatus::Accepted))).await;
    world.put_back(&[ended]).await;
    assert_eq!(world.status(ended).await, orderhook::domain::DeliveryStatus::Accepted);
}

pub(super) async fn what_a_silent_replica_held_moves_on<B: Backend>(world: World<B>) {
    let queue = &world.store.queue;
    queue.heartbeat(ME).await.expect("a heartbeat");
    let subject = world.subject("");
    world.accept(world.processing(&subject)).await;
    let (lost, theirs) = (world.leased("erp").await, world.waiting("mail").await);
    queue.heartbeat(OTHER).await.expect("a heartbeat");
    assert_eq!(world.claimed(Claim { replica: OTHER, ..world.claim("mail") }).await, [theirs]);
    world.advance(9);
    assert_eq!(queue.release_expired(OTHER).await.expect("nobody is silent"), 0);
    queue.heartbeat(OTHER).await.expect("a heartbeat");
    queue.retire(ME, false).await.expect("one has stopped");
    assert_eq!(queue.release_expired(OTHER).await.expect("one is silent"), 2);
    assert!(world.claimed(Claim { replica: OTHER, ..world.claim("mail") }).await.is_empty(), "the other one lives");
    assert_eq!(world.claimed(Claim { replica: OTHER, ..world.claim("erp") }).await, [lost]);
    assert_eq!(world.store.ledger.resume(OTHER, "main", 9).await.expect("resumed").len(), 1);
    // What the silent one still writes is refused.
    assert_eq!(world.record_late(world.finished(lost, 1, Next::Wait(world.now()))).await, Recorded::Fenced);
    assert!(world.store.ledger.journal(JournalEntry { ..blank(&subject) }).await.is_err());
    assert_eq!(queue.release_expired(OTHER).await.expect("nothing is left"), 0);
}

pub(super) async fn the_backlog_counts_what_is_pending<B: Backend>(world: World<B>) {
    let backlog = || world.store.history.backlog();
    assert!(backlog().await.expect("a read").is_empty());
    let leased = world.leased("erp").await;
    let waiting = world.waiting("mail").await;
    world.waiting("mail").await;
    let row = |channel: &str, pending, due| Backlog { channel: channel.into(), pending, oldest_due: Some(due) };
    let now = world.now();
    assert_eq!(backlog().await.expect("a read"), [row("erp", 1, now), row("mail", 2, now)]);
    let later = now.after(Duration::from_secs(9));
    world.record(world.finished(leased, 1, Next::Wait(later))).await;
    world.store.queue.change(waiting, Change::Cancel, now.into()).await.expect("a change");
    assert_eq!(backlog().await.expect("a read"), [row("erp", 1, later), row("mail", 1, now)]);
    world.store.queue.change(waiting, Change::Retry, now.into()).await.expect("a change");
    world.store.queue.change(leased, Change::Cancel, now.into()).await.expect("a change");
    assert_eq!(backlog().await.expect("a read"), [row("mail", 2, now)]);
}
