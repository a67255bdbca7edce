//! How much each lane may hold in memory: a permit a kibibyte, given back when a delivery is done.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::domain::Event;
use crate::store::Slot;

/// What a delivery costs beside its body: its ids, its place in a queue, its attempt's record.
const OVERHEAD: usize = 1024;

/// The lanes' budgets, by channel name.
#[derive(Debug)]
pub struct LaneMemory {
    lanes: HashMap<Arc<str>, Lane>,
}

#[derive(Debug)]
struct Lane {
    room: Arc<Semaphore>,
    open: AtomicBool,
}

impl LaneMemory {
    /// A budget of `bytes` for each of these channels.
    pub fn new(channels: impl Iterator<Item = Arc<str>>, bytes: usize) -> Self {
        let permits = (bytes / 1024).clamp(1, Semaphore::MAX_PERMITS);
        let lane = || Lane { room: Arc::new(Semaphore::new(permits)), open: AtomicBool::new(true) };
        Self { lanes: channels.map(|name| (name, lane())).collect() }
    }

    /// Room for a delivery of that event, unless the lane is full or closed.
    pub fn reserve(&self, channel: &str, event: &Event) -> Option<Slot> {
        let lane = self.lanes.get(channel)?;
        if !lane.open.load(Ordering::Acquire) {
            return None;
        }
        let kibibytes = u32::try_from(cost(event).div_ceil(1024)).ok()?;
        Arc::clone(&lane.room).try_acquire_many_owned(kibibytes).ok()
    }

    /// Bytes that a lane has room for now.
    pub fn room(&self, channel: &str) -> usize {
        self.lanes.get(channel).map_or(0, |lane| lane.room.available_permits() * 1024)
    }

    /// Lets deliveries into a lane's memory, or no longer: those of a paused channel wait in the store.
    pub fn set_open(&self, channel: &str, open: bool) {
        if let Some(lane) = self.lanes.get(channel) {
            lane.open.store(open, Ordering::Release);
        }
    }
}

fn cost(event: &Event) -> usize {
    OVERHEAD + event.subject.body.len() + event.context.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::domain::{EventId, Origin, Subject, Timestamp};

    use super::*;

    fn event(bytes: usize) -> Event {
        let id = EventId::from_u128(1);
        let subject = Subject {
            origin: Origin::Event(id),
            order_id: String::new(),
            kind: String::new(),
            received_at: Timestamp::default(),
            chain: None,
            body: Bytes::from(vec![b'x'; bytes]),
        };
        let (kind, context) = (Arc::from("a"), Arc::from(""));
        Event { id, kind, at: Timestamp::default(), subject: Arc::new(subject), context, step: None }
    }

    #[test]
    fn a_lane_holds_what_its_budget_says_and_gets_it_back() {
        let memory = LaneMemory::new([Arc::from("erp")].into_iter(), 8 * 1024);
        let slots: Vec<_> = std::iter::from_fn(|| memory.reserve("erp", &event(1024))).collect();
        assert_eq!(slots.len(), 4, "a kibibyte of body and one of overhead each");
        assert_eq!(memory.room("erp"), 0);
        drop(slots);
        assert_eq!(memory.room("erp"), 8 * 1024);
        assert!(memory.reserve("erp", &event(100_000)).is_none(), "larger than the lane");
        assert!(memory.reserve("other", &event(1)).is_none(), "no such lane");
    }

    #[test]
    fn a_closed_lane_takes_nothing() {
        let memory = LaneMemory::new([Arc::from("erp")].into_iter(), 8 * 1024);
        memory.set_open("erp", false);
        assert!(memory.reserve("erp", &event(1)).is_none());
        memory.set_open("erp", true);
        assert!(memory.reserve("erp", &event(1)).is_some());
    }
}
