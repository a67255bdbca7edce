//! The runs of a channel's schedule: each begins once, with the oldest of what waits.

use std::time::Duration;

use orderhook::domain::Timestamp;
use orderhook::store::{ChannelState, Claim, Next, Run, Which};

use super::world::*;

fn any<B: Backend>(world: &World<B>) -> Claim {
    Claim { which: Which::Any, ..world.claim("erp") }
}

async fn begun<B: Backend>(world: &World<B>, run: Run, claim: Claim) -> Option<Vec<orderhook::domain::DeliveryId>> {
    let claimed = world.store.queue.begin_run(run, claim).await.expect("a run");
    claimed.map(|claimed| claimed.into_iter().map(|leased| leased.id).collect())
}

pub(super) async fn a_run_takes_the_longest_due_whatever_attempt_they_wait_for<B: Backend>(world: World<B>) {
    let last = world.store.queue.last_run("erp".into(), world.now()).await.expect("a time");
    let (early, late) = (world.leased("erp").await, world.leased("erp").await);
    let due = |seconds| world.now().after(Duration::from_secs(seconds));
    world.record(world.finished(early, 1, Next::Wait(due(10)))).await;
    world.record(world.finished(late, 1, Next::Wait(due(30)))).await;
    let mut first = Vec::new();
    for seconds in [20, 40, 20, 90] {
        let mut order = world.order(&world.subject(""), &["erp"]);
        order.deliveries[0].due_at = due(seconds);
        first.push(order.deliveries[0].id);
        world.accept(order).await;
    }
    let at = world.advance(60);
    let run = Run { last, at };
    let claimed = begun(&world, run, Claim { limit: 4, ..any(&world) }).await;
    assert_eq!(claimed, Some(vec![early, first[0], first[2], late]));
    assert_eq!(world.claimed(any(&world)).await, [first[1]], "the rest of the run; one is not due");
}

pub(super) async fn a_run_begins_once<B: Backend>(world: World<B>) {
    let queue = &world.store.queue;
    let start = world.now();
    assert_eq!(queue.last_run("erp".into(), start).await.expect("a time"), start);
    let later = world.advance(900);
    assert_eq!(queue.last_run("erp".into(), later).await.expect("a time"), start, "the first stays on record");
    let id = world.waiting("erp").await;
    let run = Run { last: start, at: later };
    assert_eq!(begun(&world, run, any(&world)).await, Some(vec![id]));
    let other = world.waiting("erp").await;
    assert_eq!(begun(&world, run, Claim { replica: OTHER, ..any(&world) }).await, None, "it has begun");
    assert_eq!(queue.last_run("erp".into(), Timestamp::default()).await.expect("a time"), later);
    assert_eq!(begun(&world, Run { last: later, at: world.advance(900) }, any(&world)).await, Some(vec![other]));
    let unknown = Claim { channel: "mail".into(), ..any(&world) };
    assert_eq!(begun(&world, run, unknown).await, None, "a channel without any run");
}

pub(super) async fn a_run_stays_on_record_and_what_it_took_waits_again<B: Backend>(world: World<B>) {
    let start = world.store.queue.last_run("erp".into(), world.now()).await.expect("a time");
    let id = world.waiting("erp").await;
    let at = world.advance(900);
    world
        .store
        .queue
        .set_channel_state("erp".into(), ChannelState::Paused, world.now().into(), Vec::new())
        .await
        .expect("a state");
    assert_eq!(begun(&world, Run { last: start, at }, any(&world)).await, Some(vec![id]));
    let world = world.reopen();
    assert_eq!(world.store.queue.last_run("erp".into(), world.now()).await.expect("a time"), at);
    assert_eq!(world.claimed(any(&world)).await, [id]);
    let states = world.store.queue.channel_states().await.expect("states");
    assert_eq!(states, [("erp".into(), ChannelState::Paused)]);
}
