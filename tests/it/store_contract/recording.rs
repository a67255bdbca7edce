//! What attempts come to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orderhook::domain::{Attempt, Body, Code, DeliveryStatus};
use orderhook::store::{Change, Claim, Finished, Next, Recorded, Which};

use super::world::*;

pub(super) async fn an_attempt_is_kept_with_its_request_and_response<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let later = world.now().after(Duration::from_secs(5));
    let mut first = world.finished(id, 1, Next::Keep(later));
    first.attempt.error = Some("the connection closed".into());
    first.attempt.code = Code::CLOSED;
    first.attempt.exchange.response_body = Bytes::new();
    let mut second = world.finished(id, 2, Next::End(DeliveryStatus::Accepted));
    second.lease.number += 1; // a delivery that stays is leased again
    second.attempt.exchange.truncated = true;
    second.attempt.exchange.response_headers = [("x", "ä\""), ("x", "")].into_iter().collect();
    second.attempt.exchange.request_body = Body::whole(vec![0, 255, 1]);
    let expected = vec![first.attempt.clone(), second.attempt.clone()];
    assert_eq!(world.record(first).await, Recorded::Done);
    assert_eq!(world.record(second).await, Recorded::Done);
    let (summary, attempts) = world.detail(id).await;
    assert_eq!(attempts, expected);
    assert_eq!((summary.status, summary.attempts), (DeliveryStatus::Accepted, 2));
    assert_eq!(summary.last_code, Some(Code::status(200)));
    assert_eq!(summary.updated_at, world.now().after(Duration::from_millis(40)));
    assert_eq!(summary.next_attempt_at, None);
}

pub(super) async fn a_body_around_the_order_is_whole_again<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let mut finished = world.finished(id, 1, Next::End(DeliveryStatus::Accepted));
    finished.attempt.exchange.request_body =
        Body { head: Bytes::from_static(b"{\"order\":"), spliced: Some(Bytes::from_static(b"}")) };
    world.record(finished).await;
    let (_, attempts) = world.detail(id).await;
    let body = &attempts[0].exchange.request_body;
    assert_eq!((&body.head[..], &body.spliced), (&b"{\"order\":{\"id\": \"\"}}"[..], &None));
}

pub(super) async fn every_end_is_a_status<B: Backend>(world: World<B>) {
    use DeliveryStatus::*;
    for status in [Accepted, Dispatched, Rejected, Failed, Cancelled] {
        let id = world.leased("erp").await;
        assert_eq!(world.record(world.finished(id, 1, Next::End(status))).await, Recorded::Done);
        assert_eq!(world.status(id).await, status);
        assert_eq!(world.record(world.finished(id, 2, Next::End(Failed))).await, Recorded::Fenced);
        assert_eq!(world.status(id).await, status);
    }
    assert!(world.store.history.backlog().await.expect("a read").is_empty());
}

pub(super) async fn a_retry_waits_or_stays_with_its_replica<B: Backend>(world: World<B>) {
    let (waits, stays) = (world.leased("erp").await, world.leased("erp").await);
    let later = world.now().after(Duration::from_secs(5));
    world.record(world.finished(waits, 1, Next::Wait(later))).await;
    world.record(world.finished(stays, 1, Next::Keep(later))).await;
    for id in [waits, stays] {
        let summary = world.summary(id).await;
        assert_eq!((summary.status, summary.attempts), (DeliveryStatus::Pending, 1));
        assert_eq!((summary.next_attempt_at, summary.last_code), (Some(later), Some(Code::status(503))));
    }
    let retries = Claim { which: Which::Retries, now: later, ..world.claim("erp") };
    assert_eq!(world.claimed(retries).await, [waits]);
    assert_eq!(world.record(world.finished(stays, 2, Next::End(DeliveryStatus::Accepted))).await, Recorded::Done);
}

pub(super) async fn a_group_is_answered_one_by_one<B: Backend>(world: World<B>) {
    let mut ids = Vec::new();
    for _ in 0..9 {
        ids.push(world.leased("erp").await);
    }
    for id in &ids[..3] {
        world.store.queue.change(*id, Change::Cancel, world.now().into()).await.expect("a change");
    }
    let finished = ids.iter().rev().map(|id| world.finished(*id, 1, Next::End(DeliveryStatus::Accepted)));
    let recorded = world.store.queue.record(Arc::new(finished.collect())).await.expect("recorded");
    let expected: Vec<_> = (0..9).map(|at| if at < 6 { Recorded::Done } else { Recorded::Fenced }).collect();
    assert_eq!(recorded, expected);
    for (at, id) in ids.iter().enumerate() {
        let expected = if at < 3 { DeliveryStatus::Cancelled } else { DeliveryStatus::Accepted };
        assert_eq!(world.status(*id).await, expected);
    }
    assert!(world.store.queue.record(Arc::new(vec![])).await.expect("nothing").is_empty());
}

pub(super) async fn a_result_of_another_replica_is_fenced_and_kept<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let theirs = world.finished(id, 1, Next::End(DeliveryStatus::Failed));
    let attempt = theirs.attempt.clone();
    assert_eq!(world.record_late(theirs).await, Recorded::Fenced);
    let (summary, attempts) = world.detail(id).await;
    assert_eq!(attempts, [attempt]);
    assert_eq!((summary.status, summary.attempts, summary.last_code), (DeliveryStatus::Pending, 0, None));
}

pub(super) async fn a_result_under_an_older_lease_is_fenced<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let keep = world.finished(id, 1, Next::Keep(world.now()));
    let (lease, attempt) = (keep.lease, keep.attempt.clone());
    assert_eq!(world.record(keep).await, Recorded::Done);
    let again = Finished { lease, attempt, ..world.finished(id, 1, Next::Keep(world.now())) };
    assert_eq!(world.record(again).await, Recorded::Fenced, "once is enough");
    let (summary, attempts) = world.detail(id).await;
    assert_eq!((summary.status, summary.attempts, attempts.len()), (DeliveryStatus::Pending, 1, 1));
}

pub(super) async fn a_late_result_changes_nothing_after_a_cancel_and_a_retry<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let late = world.finished(id, 1, Next::End(DeliveryStatus::Rejected));
    for change in [Change::Cancel, Change::Retry] {
        world.store.queue.change(id, change, world.now().into()).await.expect("a change");
    }
    assert_eq!(world.claimed(world.claim("erp")).await, [id]);
    let second = world.finished(id, 1, Next::End(DeliveryStatus::Accepted));
    assert_eq!(world.record(late).await, Recorded::Fenced);
    assert_eq!(world.status(id).await, DeliveryStatus::Pending);
    assert_eq!(world.record(second).await, Recorded::Done);
    assert_eq!(world.status(id).await, DeliveryStatus::Accepted);
}

pub(super) async fn fenced_attempts_and_those_that_count_have_numbers_of_their_own<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let early = world.finished(id, 1, Next::End(DeliveryStatus::Failed));
    let mut expected = vec![early.attempt.clone()];
    world.record_late(early).await;
    let counted = world.finished(id, 1, Next::Keep(world.now()));
    expected.push(Attempt { number: 2, ..counted.attempt.clone() });
    assert_eq!(world.record(counted).await, Recorded::Done);
    let late = world.finished(id, 2, Next::End(DeliveryStatus::Failed));
    expected.push(Attempt { number: 3, ..late.attempt.clone() });
    assert_eq!(world.record_late(late).await, Recorded::Fenced);
    assert_eq!(world.detail(id).await.1, expected);
    assert_eq!(world.summary(id).await.attempts, 2);
}

pub(super) async fn an_attempt_under_way_while_cancelled_counts_for_the_next_round<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    world.store.queue.change(id, Change::Cancel, world.now().into()).await.expect("a change");
    let late = world.finished(id, 1, Next::End(DeliveryStatus::Accepted));
    let attempt = late.attempt.clone();
    assert_eq!(world.record(late).await, Recorded::Fenced);
    let (summary, attempts) = world.detail(id).await;
    assert_eq!((summary.status, summary.attempts), (DeliveryStatus::Cancelled, 1));
    assert_eq!(attempts, [attempt]);
    world.store.queue.change(id, Change::Retry, world.now().into()).await.expect("a change");
    let claimed = world.claim_all(Claim { which: Which::Retries, ..world.claim("erp") }).await;
    assert_eq!((claimed[0].attempts, claimed[0].round_start), (1, 1));
}

pub(super) async fn a_result_for_a_delivery_that_never_was_is_fenced<B: Backend>(world: World<B>) {
    let unknown = world.finished(world.ids.next(), 1, Next::End(DeliveryStatus::Accepted));
    assert_eq!(world.record(unknown).await, Recorded::Fenced);
}

fn with_event<B: Backend>(world: &World<B>, mut finished: Finished) -> Finished {
    let event = world.plain_event("delivery.failed");
    finished.deliveries = vec![world.delivery(&event, "alarm"), world.delivery(&event, "log")];
    finished
}

pub(super) async fn a_failure_brings_its_own_event<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let finished = with_event(&world, world.finished(id, 1, Next::End(DeliveryStatus::Failed)));
    let event = Arc::clone(&finished.deliveries[0].event);
    let ids: Vec<_> = finished.deliveries.iter().map(|delivery| delivery.id).collect();
    assert_eq!(world.record(finished).await, Recorded::Done);
    assert_eq!(world.lane.told(), [("alarm".to_owned(), world.now()), ("log".to_owned(), world.now())]);
    for (channel, id) in ["alarm", "log"].into_iter().zip(ids) {
        let claimed = world.claim_all(world.claim(channel)).await;
        assert_eq!((claimed[0].id, &claimed[0].event), (id, &event));
    }
    // An event about an order belongs to that order.
    let subject = world.subject("A-1");
    world.accept(world.order(&subject, &[])).await;
    let id = world.leased("erp").await;
    let mut finished = world.finished(id, 1, Next::End(DeliveryStatus::Failed));
    let about = world.event(&subject, "delivery.failed", "{}");
    finished.deliveries = vec![world.delivery(&about, "alarm")];
    let alarm = finished.deliveries[0].id;
    world.record(finished).await;
    assert_eq!(world.summary(alarm).await.order, subject.order());
}

pub(super) async fn a_fenced_failure_brings_no_event<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let finished = with_event(&world, world.finished(id, 1, Next::End(DeliveryStatus::Failed)));
    let alarm = finished.deliveries[0].id;
    assert_eq!(world.record_late(finished).await, Recorded::Fenced);
    assert!(world.lane.told().is_empty());
    assert!(world.store.history.delivery(alarm).await.expect("a read").is_none());
}
