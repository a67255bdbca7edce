//! What people and receivers do to deliveries and channels.

use std::sync::Arc;

use orderhook::domain::DeliveryStatus;
use orderhook::store::{BulkChanged, Change, Changed, ChannelState, Claim, DeliveryFilter, Next, Recorded, Which};

use super::world::*;

const CHANGES: [Change; 4] = [Change::Accept, Change::Fail, Change::Retry, Change::Cancel];

pub(super) async fn every_change_is_allowed_exactly_where_the_contract_says<B: Backend>(world: World<B>) {
    use DeliveryStatus::*;
    for change in CHANGES {
        for status in DeliveryStatus::ALL {
            let id = world.delivery_of("erp", *status).await;
            let result = match (change, status) {
                (Change::Accept, Dispatched) => Some(Accepted),
                (Change::Fail, Dispatched) => Some(Failed),
                (Change::Retry, _) => Some(Pending),
                (Change::Cancel, Pending | Dispatched) => Some(Cancelled),
                _ => None,
            };
            let now = world.advance(1);
            let changed =
                world.store.queue.change(id, change, now.into()).await.expect("a change").expect("a delivery");
            let summary = world.summary(id).await;
            if let Some(result) = result {
                assert!(
                    matches!(&changed, Changed::Done(status, channel, _) if *status == result && **channel == *"erp"),
                    "{changed:?}"
                );
                assert_eq!(summary.status, result);
                if change != Change::Retry {
                    assert_eq!(summary.updated_at, now);
                }
            } else {
                assert_eq!(changed, Changed::Refused(*status), "{change:?} of {status}");
                assert_eq!(summary.status, *status);
            }
        }
    }
}

pub(super) async fn a_change_of_nothing_answers_none<B: Backend>(world: World<B>) {
    let id = world.waiting("erp").await;
    let almost = orderhook::domain::DeliveryId::from_u128(id.as_u128() ^ 1);
    for id in [almost, world.ids.next()] {
        for change in CHANGES {
            assert_eq!(world.store.queue.change(id, change, world.now().into()).await.expect("a change"), None);
        }
    }
}

pub(super) async fn a_retry_begins_a_new_round_at_once<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    world.record(world.finished(id, 1, Next::Keep(world.now()))).await;
    world.record(world.finished(id, 2, Next::End(DeliveryStatus::Failed))).await;
    let now = world.advance(100);
    world.store.queue.change(id, Change::Retry, now.into()).await.expect("a change");
    assert!(world.claimed(world.claim("erp")).await.is_empty(), "it goes behind what is new");
    let claimed = world.claim_all(Claim { which: Which::Retries, ..world.claim("erp") }).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].attempts, claimed[0].round_start, claimed[0].due_at), (2, 2, now));
    assert_eq!(world.record(world.finished(id, 3, Next::End(DeliveryStatus::Accepted))).await, Recorded::Done);
    assert_eq!(world.detail(id).await.1.len(), 3);
    // One that never had an attempt waits for its first.
    let untried = world.waiting("mail").await;
    for change in [Change::Cancel, Change::Retry] {
        world.store.queue.change(untried, change, world.now().into()).await.expect("a change");
    }
    assert_eq!(world.claimed(world.claim("mail")).await, [untried]);
    // Every attempt of a further round is a retry.
    let id = world.delivery_of("crm", DeliveryStatus::Failed).await;
    world.store.queue.change(id, Change::Retry, now.into()).await.expect("a change");
    let retries = || Claim { which: Which::Retries, ..world.claim("crm") };
    assert_eq!(world.claimed(retries()).await, [id]);
    world.put_back(&[id]).await;
    assert_eq!(world.claimed(retries()).await, [id]);
    assert_eq!(world.record(world.finished(id, 2, Next::Wait(now))).await, Recorded::Done);
    assert!(world.claimed(world.claim("crm")).await.is_empty());
    assert_eq!(world.claimed(retries()).await, [id]);
}

pub(super) async fn a_retry_of_a_pending_delivery_is_due_in_its_round<B: Backend>(world: World<B>) {
    let id = world.leased("erp").await;
    let later = world.now().after(std::time::Duration::from_secs(3600));
    world.record(world.finished(id, 1, Next::Wait(later))).await;
    let retries = || Claim { which: Which::Retries, ..world.claim("erp") };
    assert!(world.claimed(retries()).await.is_empty());
    let pending = world.store.history.backlog().await.expect("a read")[0].pending;
    let now = world.advance(100);
    world.store.queue.change(id, Change::Retry, now.into()).await.expect("a change");
    let claimed = world.claim_all(retries()).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].attempts, claimed[0].round_start, claimed[0].due_at), (1, 0, now));
    // While somebody has it, it stays with them.
    world.store.queue.change(id, Change::Retry, world.now().into()).await.expect("a change");
    assert_eq!(world.record(world.finished(id, 2, Next::End(DeliveryStatus::Failed))).await, Recorded::Done);
    assert_eq!(pending, 1, "it is counted once");
    assert!(world.store.history.backlog().await.expect("a read").is_empty());
}

pub(super) async fn a_cancelled_delivery_is_not_claimed<B: Backend>(world: World<B>) {
    let id = world.waiting("erp").await;
    world.store.queue.change(id, Change::Cancel, world.now().into()).await.expect("a change");
    assert!(world.claimed(world.claim("erp")).await.is_empty());
}

pub(super) async fn a_bulk_change_takes_what_the_filter_takes_and_the_change_allows<B: Backend>(world: World<B>) {
    let queue = &world.store.queue;
    let mut ids = Vec::new();
    for status in DeliveryStatus::ALL {
        for channel in ["erp", "mail"] {
            ids.push((*status, channel, world.delivery_of(channel, *status).await));
        }
    }
    let erp = DeliveryFilter { channel: Some("erp".into()), ..DeliveryFilter::default() };
    let failed = DeliveryFilter { status: vec![DeliveryStatus::Failed], ..erp };
    let done = queue.change_all(failed, Change::Retry, world.now().into(), false).await.expect("a change");
    assert_eq!(done, BulkChanged { count: 1, channels: vec![("erp".into(), 1)], examples: vec![] });
    for (status, channel, id) in &ids {
        let retried = *status == DeliveryStatus::Failed && *channel == "erp";
        assert_eq!(world.status(*id).await, if retried { DeliveryStatus::Pending } else { *status });
    }
    let done =
        queue.change_all(DeliveryFilter::default(), Change::Cancel, world.now().into(), false).await.expect("a change");
    // Two pending, one retried, two dispatched.
    assert_eq!(done.count, 5);
    let mut channels = done.channels;
    channels.sort();
    assert_eq!(channels, [(Arc::from("erp"), 3), (Arc::from("mail"), 2)]);
    let none = DeliveryFilter { status: vec![DeliveryStatus::Failed], ..DeliveryFilter::default() };
    assert_eq!(
        queue.change_all(none, Change::Cancel, world.now().into(), false).await.expect("a change"),
        BulkChanged::default()
    );
}

pub(super) async fn a_bulk_change_goes_beyond_one_group<B: Backend>(world: World<B>) {
    for _ in 0..25 {
        let channels = vec!["erp"; 100];
        world.accept(world.order(&world.subject(""), &channels)).await;
    }
    let queue = &world.store.queue;
    for change in [Change::Cancel, Change::Retry] {
        let dry = queue.change_all(DeliveryFilter::default(), change, world.now().into(), true).await.expect("a count");
        assert_eq!((dry.count, dry.examples.len()), (2500, 3));
        assert!(dry.examples[0].id > dry.examples[1].id, "the newest first");
        let done =
            queue.change_all(DeliveryFilter::default(), change, world.now().into(), false).await.expect("a change");
        assert_eq!(done, BulkChanged { count: 2500, channels: vec![("erp".into(), 2500)], examples: vec![] });
    }
    assert_eq!(world.store.history.backlog().await.expect("a read")[0].pending, 2500);
}

pub(super) async fn a_dry_run_counts_and_changes_nothing<B: Backend>(world: World<B>) {
    let id = world.waiting("erp").await;
    let filter = DeliveryFilter::default();
    let shown = world.store.history.delivery(id).await.expect("a read").expect("a delivery").summary;
    let dry = world.store.queue.change_all(filter, Change::Cancel, world.now().into(), true).await.expect("a count");
    assert_eq!(dry, BulkChanged { count: 1, channels: vec![("erp".into(), 1)], examples: vec![shown] });
    assert_eq!(world.status(id).await, DeliveryStatus::Pending);
}

pub(super) async fn channel_states_are_kept<B: Backend>(world: World<B>) {
    let queue = &world.store.queue;
    assert!(queue.channel_states().await.expect("a read").is_empty());
    for (channel, state) in
        [("mail", ChannelState::Paused), ("erp", ChannelState::Paused), ("erp", ChannelState::Disabled)]
    {
        queue.set_channel_state(channel.into(), state, world.now().into(), Vec::new()).await.expect("kept");
    }
    let world = world.reopen();
    let queue = &world.store.queue;
    let mut states = queue.channel_states().await.expect("a read");
    states.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(states, [("erp".into(), ChannelState::Disabled), ("mail".into(), ChannelState::Paused)]);
    queue.set_channel_state("erp".into(), ChannelState::Enabled, world.now().into(), Vec::new()).await.expect("kept");
    assert_eq!(queue.channel_states().await.expect("a read"), [("mail".into(), ChannelState::Paused)]);
}

pub(super) async fn own_events_are_inserted_waiting<B: Backend>(world: World<B>) {
    let event = world.plain_event("channel.disabled");
    let mut deliveries = vec![world.delivery(&event, "erp"), world.delivery(&event, "erp")];
    deliveries[0].slot = Some(world.slot());
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
    world.store.queue.insert(deliveries).await.expect("inserted");
    assert!(world.lane.take().is_empty());
    assert_eq!(world.slots.available_permits(), SLOTS);
    let claimed = world.claim_all(world.claim("erp")).await;
    assert_eq!(claimed.iter().map(|leased| leased.id).collect::<Vec<_>>(), ids);
    assert!(claimed.iter().all(|leased| leased.event == event));
}
