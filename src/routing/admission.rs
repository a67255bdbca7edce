//! Admission of new deliveries into the memory of lanes: a permit a kibibyte, given back when a delivery is done.
//!
//! A lane is *backlogged* while first attempts may wait in the store. Until it has worked them off, new deliveries go to
//! the store too, even if there is room by now: they would overtake those that have waited longer. The flag is set where
//! a delivery finds no room, where one has become durable in the store, and where a lane is opened or gives back what
//! it holds; it is cleared once a scan of the store has found nothing due ([`LaneMemory::scan_empty`]). A scan takes
//! time, so it begins with [`LaneMemory::begin_scan`]: a delivery that comes into the store after that keeps the flag
//! set. A delivery that was refused and becomes durable only after the flag was cleared sets it again before its caller
//! has an answer, so only deliveries that came in at the same time can overtake it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::domain::Event;
use crate::semaphore::ResizableSemaphore;
use crate::store::Slot;

/// What a delivery costs beside its body: its ids, its place in a queue, its attempt's record.
const OVERHEAD: usize = 1024;

/// The bit that says whether a lane is backlogged; the bits above count how often it was set.
const BACKLOGGED: u64 = 1;

/// The lanes' budgets, by channel name.
#[derive(Debug)]
pub struct LaneMemory {
    /// Grows by what a reload adds. A lane whose channel is gone stays, closed.
    lanes: ArcSwap<HashMap<Arc<str>, Arc<Lane>>>,
}

#[derive(Debug)]
struct Lane {
    room: ResizableSemaphore,
    open: AtomicBool,
    /// Whether this replica delivers anything of the channel.
    served: AtomicBool,
    backlogged: AtomicU64,
}

impl Lane {
    fn new(permits: usize, open: bool) -> Arc<Self> {
        Arc::new(Self {
            room: ResizableSemaphore::new(permits),
            open: AtomicBool::new(open),
            served: AtomicBool::new(true),
            backlogged: AtomicU64::new(0),
        })
    }

    fn hold(&self, event: &Event) -> Option<Slot> {
        let kibibytes = u32::try_from(cost(event).div_ceil(1024)).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(kibibytes).ok()
    }

    fn mark_backlogged(&self) {
        let raise = |flag: u64| Some(flag.wrapping_add(BACKLOGGED << 1) | BACKLOGGED);
        let _ = self.backlogged.fetch_update(Ordering::AcqRel, Ordering::Acquire, raise);
    }
}

/// A scan of the store that has begun, for [`LaneMemory::scan_empty`].
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Scan(u64);

impl LaneMemory {
    /// A budget of `bytes` for each of these channels.
    pub fn new(channels: impl Iterator<Item = Arc<str>>, bytes: usize) -> Self {
        let permits = permits(bytes);
        let lanes = channels.map(|name| (name, Lane::new(permits, true))).collect();
        Self { lanes: ArcSwap::from_pointee(lanes) }
    }

    /// Makes every budget one of `bytes`, and adds those of channels that are new. They are closed, until their lanes
    /// are there.
    pub fn reload(&self, channels: impl Iterator<Item = Arc<str>>, bytes: usize) {
        let permits = permits(bytes);
        let mut lanes = HashMap::clone(&self.lanes.load());
        for lane in lanes.values() {
            lane.room.resize(permits);
        }
        for name in channels {
            lanes.entry(name).or_insert_with(|| Lane::new(permits, false));
        }
        self.lanes.store(Arc::new(lanes));
    }

    /// Returns room for a new delivery of that event, unless the lane is full, closed or backlogged.
    pub fn reserve(&self, channel: &str, event: &Event) -> Option<Slot> {
        let lanes = self.lanes.load();
        let lane = lanes.get(channel)?;
        if !lane.open.load(Ordering::Acquire)
            || !lane.served.load(Ordering::Acquire)
            || lane.backlogged.load(Ordering::Acquire) & BACKLOGGED != 0
        {
            return None;
        }
        let slot = lane.hold(event);
        if slot.is_none() {
            lane.mark_backlogged();
        }
        slot
    }

    /// Returns room for a delivery from the store, unless the lane is full.
    pub fn hold(&self, channel: &str, event: &Event) -> Option<Slot> {
        self.lanes.load().get(channel)?.hold(event)
    }

    /// Sets the flag: first attempts are due in the store, so new deliveries go there until [`LaneMemory::scan_empty`].
    pub fn mark_backlogged(&self, channel: &str) {
        if let Some(lane) = self.lanes.load().get(channel) {
            lane.mark_backlogged();
        }
    }

    /// Begins a scan. To be called before the store is asked for due deliveries.
    pub fn begin_scan(&self, channel: &str) -> Scan {
        Scan(self.lanes.load().get(channel).map_or(0, |lane| lane.backlogged.load(Ordering::Acquire)))
    }

    /// Ends a scan that found no first attempt due. Clears the flag unless a delivery has come into the store since the
    /// scan began.
    pub fn scan_empty(&self, channel: &str, scan: Scan) {
        if let Some(lane) = self.lanes.load().get(channel) {
            let _ = lane.backlogged.compare_exchange(scan.0, scan.0 & !BACKLOGGED, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Returns how many bytes a lane has room for now.
    pub fn room(&self, channel: &str) -> usize {
        self.lanes.load().get(channel).map_or(0, |lane| lane.room.available_permits() * 1024)
    }

    /// Lets deliveries into a lane's memory, or no longer: this replica delivers nothing of the channel. Otherwise as
    /// [`LaneMemory::set_open`].
    pub fn set_served(&self, channel: &str, served: bool) {
        if let Some(lane) = self.lanes.load().get(channel)
            && lane.served.swap(served, Ordering::AcqRel) != served
            && served
        {
            lane.mark_backlogged();
        }
    }

    /// Lets deliveries into a lane's memory, or no longer: those of a paused channel wait in the store. A lane that is
    /// opened is backlogged: what has come meanwhile, or before the start, goes first.
    pub fn set_open(&self, channel: &str, open: bool) {
        if let Some(lane) = self.lanes.load().get(channel) {
            if open {
                lane.mark_backlogged();
            }
            lane.open.store(open, Ordering::Release);
        }
    }
}

fn permits(bytes: usize) -> usize {
    (bytes / 1024).clamp(1, Semaphore::MAX_PERMITS)
}

fn cost(event: &Event) -> usize {
    OVERHEAD + event.subject.body.len() + event.context.len()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use bytes::Bytes;
    use proptest::prelude::*;

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
            arrival: None,
        };
        let (kind, context) = (Arc::from("a"), Arc::from(""));
        Event {
            id,
            kind,
            at: Timestamp::default(),
            subject: Arc::new(subject),
            context,
            step: None,
            steps: Arc::default(),
        }
    }

    fn memory() -> LaneMemory {
        LaneMemory::new([Arc::from("erp")].into_iter(), 8 * 1024)
    }

    #[test]
    fn a_lane_holds_what_its_budget_says_and_gets_it_back() {
        let memory = memory();
        let slots: Vec<_> = std::iter::from_fn(|| memory.reserve("erp", &event(1024))).collect();
        assert_eq!(slots.len(), 4, "a kibibyte of body and one of overhead each");
        assert_eq!(memory.room("erp"), 0);
        assert!(memory.hold("erp", &event(1)).is_none(), "full");
        drop(slots);
        assert_eq!(memory.room("erp"), 8 * 1024);
        assert!(memory.hold("erp", &event(100_000)).is_none(), "larger than the lane");
        assert!(memory.reserve("other", &event(1)).is_none(), "no such lane");
    }

    #[test]
    fn a_lane_that_had_no_room_takes_nothing_until_it_has_caught_up() {
        let memory = memory();
        let slots: Vec<_> = std::iter::from_fn(|| memory.reserve("erp", &event(1024))).collect();
        drop(slots);
        assert!(memory.reserve("erp", &event(1)).is_none(), "older ones may wait in the store");
        assert!(memory.hold("erp", &event(1)).is_some(), "and those are let in");
        let early = memory.begin_scan("erp");
        memory.mark_backlogged("erp");
        memory.scan_empty("erp", early);
        assert!(memory.reserve("erp", &event(1)).is_none(), "one has come since the store was asked");
        memory.scan_empty("erp", memory.begin_scan("erp"));
        assert!(memory.reserve("erp", &event(1)).is_some());
    }

    #[test]
    fn a_closed_lane_takes_nothing_and_an_opened_one_nothing_before_what_has_waited() {
        let memory = memory();
        memory.set_open("erp", false);
        assert!(memory.reserve("erp", &event(1)).is_none());
        let while_closed = memory.begin_scan("erp");
        memory.set_open("erp", true);
        memory.scan_empty("erp", while_closed);
        assert!(memory.reserve("erp", &event(1)).is_none());
        memory.scan_empty("erp", memory.begin_scan("erp"));
        assert!(memory.reserve("erp", &event(1)).is_some());
    }

    #[tokio::test]
    async fn a_reload_moves_the_budgets_and_adds_lanes_that_are_closed() {
        let memory = memory();
        let held = memory.hold("erp", &event(1024));
        memory.reload(["erp", "crm"].into_iter().map(Arc::from), 4 * 1024);
        assert_eq!((memory.room("erp"), memory.room("crm")), (2 * 1024, 4 * 1024));
        assert!(memory.reserve("crm", &event(1)).is_none(), "its lane is not there yet");
        memory.set_open("crm", true);
        memory.scan_empty("crm", memory.begin_scan("crm"));
        assert!(memory.reserve("crm", &event(1)).is_some());
        drop(held);
        memory.reload(std::iter::empty(), 8 * 1024);
        assert_eq!(memory.room("erp"), 8 * 1024);
    }

    /// A delivery in the model: its number, and the times at which it was born, was answered and reached the queue.
    #[derive(Debug, Default, Clone, Copy)]
    struct Life {
        born: usize,
        answered: Option<usize>,
        queued: Option<usize>,
    }

    /// A lane, its store and its callers, a step at a time.
    struct Model {
        memory: LaneMemory,
        lives: Vec<Life>,
        /// Born, not durable yet.
        under_way: Vec<(usize, Option<Slot>)>,
        stored: BTreeSet<usize>,
        held: VecDeque<Option<Slot>>,
        /// A look into the store under way, and whether it found something.
        look: Option<(Scan, bool)>,
        time: usize,
    }

    impl Model {
        fn new() -> Self {
            let (lives, under_way, held) = (Vec::new(), Vec::new(), VecDeque::new());
            Self { memory: memory(), lives, under_way, stored: BTreeSet::new(), held, look: None, time: 0 }
        }

        fn tick(&mut self) -> usize {
            self.time += 1;
            self.time
        }

        fn birth(&mut self) {
            let born = self.tick();
            self.under_way.push((self.lives.len(), self.memory.reserve("erp", &event(1024))));
            self.lives.push(Life { born, ..Life::default() });
        }

        /// The writer commits them in any order; who has no slot is told as waiting, and then each caller is answered.
        fn commit(&mut self, which: usize) {
            if self.under_way.is_empty() {
                return;
            }
            let (number, slot) = self.under_way.remove(which % self.under_way.len());
            if slot.is_some() {
                self.queue(number, slot);
            } else {
                self.stored.insert(number);
                self.memory.mark_backlogged("erp");
            }
            self.lives[number].answered = Some(self.tick());
        }

        fn queue(&mut self, number: usize, slot: Option<Slot>) {
            assert!(self.lives[number].queued.is_none(), "{number} twice");
            self.lives[number].queued = Some(self.tick());
            self.held.push_back(slot);
        }

        /// A look begins, or ends: by a claim of so many, or by having caught up.
        fn look(&mut self, limit: usize) {
            match self.look.take() {
                None => self.look = Some((self.memory.begin_scan("erp"), !self.stored.is_empty())),
                Some((mark, false)) => self.memory.scan_empty("erp", mark),
                Some((_, true)) => {
                    self.memory.mark_backlogged("erp");
                    for _ in 0..limit {
                        let Some(number) = self.stored.pop_first() else { break };
                        let slot = self.memory.hold("erp", &event(1024));
                        self.queue(number, slot);
                    }
                }
            }
        }

        fn done(&mut self) {
            self.held.pop_front();
        }
    }

    proptest! {
        #[test]
        fn who_was_answered_before_another_was_born_starts_before_it(
            steps in proptest::collection::vec((0u8..6, 0usize..6), 1..300),
        ) {
            let mut model = Model::new();
            for (step, number) in steps {
                match step {
                    0 | 1 => model.birth(),
                    2 => model.commit(number),
                    3 | 4 => model.look(number),
                    _ => model.done(),
                }
            }
            while !model.under_way.is_empty() {
                model.commit(0);
            }
            while !model.stored.is_empty() {
                model.look(1);
            }
            model.held.clear();
            model.look = None;
            model.look(0);
            model.look(0);
            prop_assert!(model.memory.reserve("erp", &event(1)).is_some(), "nothing waits, so there is room again");
            for (number, life) in model.lives.iter().enumerate() {
                prop_assert!(life.queued.is_some(), "{} was lost", number);
                let later = model.lives.iter().filter(|other| life.answered < Some(other.born));
                prop_assert!(later.clone().all(|other| life.queued < other.queued), "{} was overtaken", number);
            }
        }
    }
}
