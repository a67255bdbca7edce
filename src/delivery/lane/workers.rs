//! The bound on attempts in flight over all channels, shared out so that no channel can take it all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// The places of `delivery.workers`: half of them set aside in equal parts for each lane, the rest for whoever comes.
#[derive(Debug)]
pub(in crate::delivery) struct Pool {
    common: Arc<Semaphore>,
    /// Lanes that wait for a place.
    waiting: Arc<AtomicUsize>,
    shares: Mutex<Shares>,
}

/// Who has how many places. What one is to have more, others must have given up before.
#[derive(Debug, Default)]
struct Shares {
    workers: usize,
    parts: Vec<Part>,
    /// Waits for the places of those that are to have fewer; ended by the next change.
    giving_up: JoinSet<()>,
    change: u64,
}

#[derive(Debug)]
struct Part {
    places: Arc<Semaphore>,
    size: usize,
    wanted: usize,
}

/// The places that a lane can take.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Workers {
    common: Arc<Semaphore>,
    own: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Pool {
    /// A pool without places.
    pub(in crate::delivery) fn new() -> Self {
        let common = Arc::new(Semaphore::new(0));
        let part = Part { places: Arc::clone(&common), size: 0, wanted: 0 };
        let shares = Mutex::new(Shares { parts: vec![part], ..Shares::default() });
        Self { common, waiting: Arc::default(), shares }
    }

    /// The places of one more lane: none of its own until [`Pool::share`].
    pub(in crate::delivery) fn lane(&self) -> Workers {
        let own = Arc::new(Semaphore::new(0));
        self.shares.lock().parts.push(Part { places: Arc::clone(&own), size: 0, wanted: 0 });
        Workers { common: Arc::clone(&self.common), own, waiting: Arc::clone(&self.waiting) }
    }

    /// Shares `workers` places out anew: `reserved` for each of these lanes; others keep none of their own. Places that are taken move on
    /// when they are given back: there are never more than `workers` in use, or than were before. Needs a runtime
    /// around it where places are taken.
    pub(in crate::delivery) fn share(self: &Arc<Self>, workers: usize, reserved: usize, lanes: &[&Workers]) {
        let mut shares = self.shares.lock();
        shares.workers = workers;
        shares.change += 1;
        shares.giving_up = JoinSet::new();
        let change = shares.change;
        for (at, part) in shares.parts.iter_mut().enumerate() {
            part.wanted = match at {
                0 => workers - reserved * lanes.len(),
                _ if lanes.iter().any(|lane| Arc::ptr_eq(&lane.own, &part.places)) => reserved,
                _ => 0,
            };
            part.size -= part.places.forget_permits(part.size.saturating_sub(part.wanted));
        }
        shares.hold_back();
        shares.hand_out();
        // Only now: places come back all the time, and what was held back is not to be waited for.
        let Shares { parts, giving_up, .. } = &mut *shares;
        for (at, part) in parts.iter().enumerate().filter(|(_, part)| part.size > part.wanted) {
            let (pool, places) = (Arc::clone(self), Arc::clone(&part.places));
            let count = u32::try_from(part.size - part.wanted).unwrap_or(u32::MAX);
            giving_up.spawn(async move {
                let taken = {
                    // Lanes that keep a place from one attempt to the next let go of it.
                    let _waiting = Waiting::new(&pool.waiting);
                    places.acquire_many(count).await
                };
                let Ok(taken) = taken else { return };
                let mut shares = pool.shares.lock();
                // Who comes too late gives them back.
                if shares.change == change
                    && let Some(part) = shares.parts.get_mut(at)
                {
                    taken.forget();
                    part.size -= count as usize;
                    shares.hand_out();
                }
            });
        }
    }
}

impl Shares {
    /// Takes from everybody what is free, as long as there are more places than there are to be: some that are taken are
    /// yet to be given up.
    fn hold_back(&mut self) {
        let used: usize = self.parts.iter().map(|part| part.size).sum();
        let mut excess = used.saturating_sub(self.workers);
        for part in &mut self.parts {
            let taken = part.places.forget_permits(excess);
            part.size -= taken;
            excess -= taken;
        }
    }

    /// Gives what is free to those that are to have more.
    fn hand_out(&mut self) {
        let used: usize = self.parts.iter().map(|part| part.size).sum();
        let mut free = self.workers.saturating_sub(used);
        for part in &mut self.parts {
            let more = part.wanted.saturating_sub(part.size).min(free);
            part.places.add_permits(more);
            part.size += more;
            free -= more;
        }
    }
}

impl Workers {
    /// A place, if one is free: the lane's own first.
    pub(in crate::delivery) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.own).try_acquire_owned().or_else(|_| Arc::clone(&self.common).try_acquire_owned()).ok()
    }

    /// Waits for a place: one of the lane's own, of which it may be given more, or a common one.
    pub(in crate::delivery) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::new(&self.waiting);
        tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_owned() => own.ok(),
            common = Arc::clone(&self.common).acquire_owned() => common.ok(),
        }
    }

    /// Whether some lane waits for a place: one that is done gives its own back then.
    pub(in crate::delivery) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Counts a lane that waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Delivery;

    fn pool(workers: usize, lanes: usize) -> (Arc<Pool>, Vec<Workers>) {
        let pool = Arc::new(Pool::new());
        let lanes: Vec<Workers> = (0..lanes).map(|_| pool.lane()).collect();
        share(&pool, workers, &lanes.iter().collect::<Vec<_>>());
        (pool, lanes)
    }

    fn share(pool: &Arc<Pool>, workers: usize, lanes: &[&Workers]) {
        let delivery = Delivery { workers, lane_memory: 0, chain_concurrency: 1 };
        pool.share(workers, delivery.worker_share(lanes.len()).unwrap_or(0), lanes);
    }

    fn all_of(lane: &Workers) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| lane.try_take()).collect()
    }

    #[test]
    fn a_greedy_lane_leaves_the_others_their_share_and_the_sum_is_kept() {
        let (_pool, lanes) = pool(16, 4);
        let greedy = all_of(&lanes[0]);
        assert_eq!(greedy.len(), 2 + 8);
        let others: Vec<_> = lanes[1..].iter().flat_map(all_of).collect();
        assert_eq!(others.len(), 3 * 2);
        drop(greedy);
        assert_eq!(all_of(&lanes[3]).len(), 10 - 2);
    }

    #[test]
    fn each_lane_has_a_worker_while_there_are_as_many() {
        for workers in 5..=10 {
            let (_pool, lanes) = pool(workers, 5);
            let greedy = all_of(&lanes[0]);
            assert_eq!(greedy.len(), workers - 4, "{workers} workers");
            assert!(lanes[1..].iter().all(|lane| lane.try_take().is_some()), "{workers} workers");
        }
    }

    #[test]
    fn more_lanes_than_workers_share_them_all() {
        let (_pool, lanes) = pool(3, 10);
        let taken: Vec<_> = lanes.iter().filter_map(Workers::try_take).collect();
        assert_eq!(taken.len(), 3);
    }

    #[tokio::test]
    async fn places_are_shared_out_anew_as_they_come_free_and_never_more_than_there_are() {
        let (pool, mut lanes) = pool(16, 2);
        let mut taken = all_of(&lanes[0]);
        assert_eq!(taken.len(), 4 + 8);
        lanes.extend([pool.lane(), pool.lane()]);
        share(&pool, 16, &lanes.iter().collect::<Vec<_>>());
        // Two of the second lane's own came free at once.
        let others: Vec<_> = lanes[1..].iter().flat_map(all_of).collect();
        assert_eq!(others.len(), 4, "no more than 16 altogether");
        taken.clear();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(lanes.iter().flat_map(all_of).collect::<Vec<_>>().len(), 12);
        drop(others);
        // Half of the workers for half of the lanes; the others have none of their own.
        share(&pool, 8, &[&lanes[0], &lanes[1]]);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let first = all_of(&lanes[0]);
        assert_eq!((first.len(), all_of(&lanes[1]).len(), all_of(&lanes[2]).len()), (2 + 4, 2, 0));
    }

    #[tokio::test]
    async fn where_there_are_to_be_fewer_nothing_starts_before_enough_have_ended() {
        let (pool, lanes) = pool(8, 2);
        let mut taken: Vec<_> = lanes.iter().filter_map(Workers::try_take).collect();
        share(&pool, 2, &lanes.iter().collect::<Vec<_>>());
        assert_eq!(lanes.iter().flat_map(all_of).collect::<Vec<_>>().len(), 0, "two are under way");
        for left in [1, 0] {
            taken.truncate(left);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(lanes.iter().flat_map(all_of).collect::<Vec<_>>().len(), 2 - left);
        }
    }

    #[tokio::test]
    async fn a_second_change_before_the_first_is_through_counts_alone() {
        let (pool, lanes) = pool(8, 1);
        let taken = all_of(&lanes[0]);
        assert_eq!(taken.len(), 8);
        share(&pool, 2, &[&lanes[0]]);
        tokio::task::yield_now().await;
        share(&pool, 8, &[&lanes[0]]);
        drop(taken);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(all_of(&lanes[0]).len(), 8);
    }

    #[tokio::test]
    async fn a_lane_that_waits_takes_a_place_of_its_own_that_it_is_given_meanwhile() {
        let (pool, mut lanes) = pool(4, 1);
        let mut taken = all_of(&lanes[0]);
        lanes.push(pool.lane());
        share(&pool, 4, &lanes.iter().collect::<Vec<_>>());
        let late = lanes[1].clone();
        let waiting = tokio::spawn(async move { late.take().await });
        tokio::task::yield_now().await;
        // The first lane's own: the common ones stay taken.
        drop(taken.remove(0));
        let place = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await.expect("a place");
        assert!(place.expect("no panic").is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn no_place_is_lost_that_comes_back_during_a_change() {
        for round in 0..100 {
            let (pool, lanes) = pool(400, 40);
            let mut taken: Vec<_> = lanes.iter().flat_map(all_of).collect();
            // The lanes' own first.
            taken.rotate_left(5 + 200);
            let both = Arc::new(std::sync::Barrier::new(2));
            let other = Arc::clone(&both);
            let given_back = std::thread::spawn(move || {
                other.wait();
                drop(taken);
            });
            both.wait();
            share(&pool, 1, &lanes.iter().collect::<Vec<_>>());
            given_back.join().expect("no panic");
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while lanes[0].is_awaited() || lanes.iter().flat_map(all_of).collect::<Vec<_>>().len() != 1 {
                assert!(std::time::Instant::now() < deadline, "round {round}: places are waited for that never come");
                tokio::task::yield_now().await;
            }
        }
    }
}
