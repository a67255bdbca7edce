//! Admission: how many orders of each chain run at once.
//!
//! A chain has two bounds of its own, each of `delivery.chain_concurrency` orders: one for orders whose caller still
//! waits, one for orders that run on in the background (behind their last critical step, or after a crash). So a chain
//! whose callout hangs holds up no other chain, and a background step holds up no caller.
//!
//! An order is durable before it asks for a permit. One that gets none in the background goes back to the store and
//! resumes once a permit is free, so waiting orders cost no memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::semaphore::ResizableSemaphore;

/// The bounds of every chain, by name. They outlive a reload.
#[derive(Debug)]
pub struct Admission {
    chains: Mutex<Chains>,
    freed: Arc<Freed>,
}

#[derive(Debug)]
struct Chains {
    size: usize,
    by_name: HashMap<String, Arc<ChainPlaces>>,
}

/// Tells the resumer that a permit is free for an order that went back to the store.
#[derive(Debug, Default)]
struct Freed {
    awaited: AtomicBool,
    notify: Notify,
}

/// The bounds of one chain.
#[derive(Debug)]
pub(super) struct ChainPlaces {
    foreground: ResizableSemaphore,
    background: ResizableSemaphore,
    freed: Arc<Freed>,
}

/// The right to run one order in the background, released when dropped.
#[derive(Debug)]
pub(super) struct BackgroundPermit {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Freed>,
}

impl Drop for BackgroundPermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        if self.freed.awaited.swap(false, Ordering::AcqRel) {
            self.freed.notify.notify_one();
        }
    }
}

/// The right to run an order.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is dropped")]
pub(super) enum Permit {
    Foreground(OwnedSemaphorePermit),
    Background(BackgroundPermit),
}

impl Admission {
    /// Admits `size` orders of each chain in the foreground, and as many in the background.
    pub fn new(size: usize) -> Self {
        Self { chains: Mutex::new(Chains { size, by_name: HashMap::new() }), freed: Arc::default() }
    }

    /// Changes the bound of every chain; orders that run keep their permits. Needs a runtime around it.
    pub fn resize(&self, size: usize) {
        let mut chains = self.chains.lock();
        chains.size = size;
        for places in chains.by_name.values() {
            places.foreground.resize(size);
            places.background.resize(size);
        }
    }

    /// Waits until a permit is free for which an order went back to the store.
    pub async fn freed(&self) {
        self.freed.notify.notified().await;
    }

    /// Reports that a permit is free.
    pub(super) fn report_free(&self) {
        self.freed.notify.notify_one();
    }

    /// The bounds of a chain.
    pub(super) fn of(&self, chain: &str) -> Arc<ChainPlaces> {
        let mut chains = self.chains.lock();
        if let Some(places) = chains.by_name.get(chain) {
            return Arc::clone(places);
        }
        let (foreground, background) = (ResizableSemaphore::new(chains.size), ResizableSemaphore::new(chains.size));
        let places = Arc::new(ChainPlaces { foreground, background, freed: Arc::clone(&self.freed) });
        chains.by_name.insert(chain.to_owned(), Arc::clone(&places));
        places
    }
}

impl ChainPlaces {
    /// Waits for a permit of an order whose caller waits. `None` once the service has closed.
    pub(super) async fn foreground(&self) -> Option<Permit> {
        Arc::clone(&self.foreground).acquire_owned().await.ok().map(Permit::Foreground)
    }

    /// A permit of an order that nobody waits for, if one is free. After `None`, [`Admission::freed`] reports the next
    /// one.
    pub(super) fn background(&self) -> Option<Permit> {
        let acquire = || Arc::clone(&self.background).try_acquire_owned().ok();
        let permit = acquire().or_else(|| {
            self.freed.awaited.store(true, Ordering::Release);
            // One that was released in between has notified nobody.
            acquire()
        })?;
        Some(Permit::Background(BackgroundPermit { permit: Some(permit), freed: Arc::clone(&self.freed) }))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_chain_takes_no_permit_of_another_and_the_background_none_of_the_foreground() {
        let admission = Admission::new(1);
        let (one, other) = (admission.of("one"), admission.of("other"));
        let held = (one.background().expect("free"), one.foreground().now_or_never().flatten().expect("free"));
        assert!(one.background().is_none() && one.foreground().now_or_never().is_none());
        assert!(other.background().is_some() && other.foreground().now_or_never().flatten().is_some());
        assert!(admission.of("one").background().is_none(), "the same bounds for the same name");
        drop(held);
        assert!(one.background().is_some());
    }

    #[test]
    fn a_permit_that_was_refused_is_reported_once_it_is_free() {
        let admission = Admission::new(1);
        let places = admission.of("one");
        drop(places.background());
        assert!(admission.freed().now_or_never().is_none(), "nobody was refused");
        let held = places.background();
        assert!(places.background().is_none());
        assert!(admission.freed().now_or_never().is_none());
        drop(held);
        assert!(admission.freed().now_or_never().is_some());
    }
}
