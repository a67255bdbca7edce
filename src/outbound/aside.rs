//! Long work, done aside: on threads that nothing else waits for, a few pieces of it at a time.

use tokio::sync::Semaphore;

use crate::system::processors;

/// Does work that takes its processor for more than a millisecond, so that the thread of the caller, with all its lanes,
/// goes on meanwhile. As much is done at once as there are processors, less one; the rest waits. A caller that is
/// dropped leaves its work to end by itself, so that the work has to be bounded. `None` where it panicked, or where the
/// runtime ends.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static SLOTS: std::sync::LazyLock<Semaphore> =
        std::sync::LazyLock::new(|| Semaphore::new(processors().saturating_sub(1).max(1)));
    let slot = SLOTS.acquire().await.ok()?;
    let work = move || {
        let done = work();
        drop(slot);
        done
    };
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_is_done_at_once_than_there_are_processors_and_a_panic_frees_its_slot() {
        static NOW: AtomicUsize = AtomicUsize::new(0);
        let allowed = processors().saturating_sub(1).max(1);
        let work = |number: usize| {
            move || {
                let now = NOW.fetch_add(1, Ordering::SeqCst) + 1;
                std::thread::yield_now();
                NOW.fetch_sub(1, Ordering::SeqCst);
                assert!(!number.is_multiple_of(8), "one of eight panics");
                now
            }
        };
        let all: Vec<_> = (0..64).map(|number| tokio::spawn(aside(work(number)))).collect();
        let mut done = 0;
        for one in all {
            if let Some(now) = one.await.expect("an end") {
                assert!(now <= allowed, "{now} at once");
                done += 1;
            }
        }
        assert_eq!(done, 56);
    }
}
