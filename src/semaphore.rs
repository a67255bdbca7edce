//! A semaphore whose number of permits a reload can change while it is in use.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A semaphore that can be resized.
#[derive(Debug)]
pub struct ResizableSemaphore {
    places: Arc<Semaphore>,
    size: Mutex<usize>,
}

impl ResizableSemaphore {
    /// Returns a semaphore with `size` permits.
    pub fn new(size: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(size)), size: Mutex::new(size) }
    }

    /// Changes the number of permits to `size`. Where too few are free to be taken away, the rest goes as permits are
    /// given back, after the callers that already wait for one. Must be called within a Tokio runtime.
    pub fn resize(&self, size: usize) {
        let mut now = self.size.lock();
        let before = std::mem::replace(&mut *now, size);
        if size >= before {
            // Permits that are still to be taken away are taken from these first.
            return self.places.add_permits(size - before);
        }
        let rest = before - size - self.places.forget_permits(before - size);
        if let (Ok(rest @ 1..), places) = (u32::try_from(rest), Arc::clone(&self.places)) {
            tokio::spawn(async move {
                if let Ok(taken) = places.acquire_many(rest).await {
                    taken.forget();
                }
            });
        }
    }
}

impl Deref for ResizableSemaphore {
    type Target = Arc<Semaphore>;

    fn deref(&self) -> &Arc<Semaphore> {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_become_more_and_fewer_while_they_are_taken() {
        let bound = ResizableSemaphore::new(3);
        let mut taken: Vec<_> = (0..3).map(|_| Arc::clone(&bound).try_acquire_owned().expect("a place")).collect();
        bound.resize(1);
        tokio::task::yield_now().await;
        taken.truncate(1);
        tokio::task::yield_now().await;
        assert_eq!(bound.available_permits(), 0, "one is taken, and there is one");
        taken.clear();
        tokio::task::yield_now().await;
        assert_eq!(bound.available_permits(), 1);
        let held = bound.try_acquire().expect("a place");
        bound.resize(0);
        tokio::task::yield_now().await;
        bound.resize(2);
        tokio::task::yield_now().await;
        assert_eq!(bound.available_permits(), 1, "two, of which one is taken");
        drop(held);
        assert_eq!(bound.available_permits(), 2);
    }
}
