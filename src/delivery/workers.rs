//! The bound on attempts in flight over all channels, shared out so that no channel can take it all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of `delivery.workers`: half of them set aside in equal parts for each lane, the rest for whoever comes.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    common: Arc<Semaphore>,
    own: Arc<Semaphore>,
    /// Lanes that wait for a common place.
    waiting: Arc<AtomicUsize>,
}

impl Workers {
    /// The shares of `lanes` lanes in `workers` places.
    pub(super) fn share(workers: usize, lanes: usize) -> Vec<Self> {
        let reserved = (workers / 2).checked_div(lanes).unwrap_or(0);
        let common = Arc::new(Semaphore::new(workers - reserved * lanes));
        let waiting = Arc::new(AtomicUsize::new(0));
        let lane = || Self {
            common: Arc::clone(&common),
            own: Arc::new(Semaphore::new(reserved)),
            waiting: Arc::clone(&waiting),
        };
        (0..lanes).map(|_| lane()).collect()
    }

    /// A place, if one is free: the lane's own first.
    pub(super) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.own).try_acquire_owned().or_else(|_| Arc::clone(&self.common).try_acquire_owned()).ok()
    }

    /// Waits for one of the common places. The lane's own come free only by its own attempts, and it knows of those.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::new(&self.waiting);
        Arc::clone(&self.common).acquire_owned().await.ok()
    }

    /// Whether some lane waits for a place: one that is done gives its own back then.
    pub(super) fn is_awaited(&self) -> bool {
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

    #[test]
    fn a_greedy_lane_leaves_the_others_their_share_and_the_sum_is_kept() {
        let lanes = Workers::share(16, 4);
        let greedy: Vec<_> = std::iter::from_fn(|| lanes[0].try_take()).collect();
        assert_eq!(greedy.len(), 2 + 8);
        let others: Vec<_> = lanes[1..].iter().flat_map(|lane| std::iter::from_fn(|| lane.try_take())).collect();
        assert_eq!(others.len(), 3 * 2);
        drop(greedy);
        let rest: Vec<_> = std::iter::from_fn(|| lanes[3].try_take()).collect();
        assert_eq!(rest.len(), 10 - 2);
    }

    #[test]
    fn more_lanes_than_workers_share_them_all() {
        let lanes = Workers::share(3, 10);
        let taken: Vec<_> = lanes.iter().filter_map(Workers::try_take).collect();
        assert_eq!(taken.len(), 3);
    }
}
