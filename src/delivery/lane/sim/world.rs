//! The world around the machines: what happens, and what must hold.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;

use crate::domain::{BreakerPolicy, Code, DeliveryId, Rate, Sign, Timestamp};
use crate::store::{ChannelState, Lease, Leased, Which};

use super::super::events::{LaneEffect, LaneEvent, LaneSettings, Now, Ticket};
use super::super::machine::LaneMachine;
use super::super::queue::bytes;
use super::replica::{Attempt, Message, Replica, Write};
use super::store::{Flaw, Store, Then, ms};

const MEMORY: usize = 20 * 1024;
const COOLDOWN: Duration = Duration::from_secs(5);
const FAILURES: u32 = 4;

pub(super) struct World {
    rng: Rng,
    now: Now,
    /// The latest time that the wall clock has shown.
    latest: Timestamp,
    store: Store,
    replicas: Vec<Replica>,
    replicas_made: usize,
    /// Cancels that have been answered: nothing starts under an older lease.
    cancelled: HashMap<DeliveryId, i64>,
    in_flight: HashSet<Lease>,
    failing: bool,
    faults: bool,
    story: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, flaw: Flaw) -> Self {
        let now = Now { wall: Timestamp::from_millis(1_700_000_000_000), mono: ms(0) };
        let mut world = Self {
            rng: Rng::with_seed(seed),
            now,
            latest: now.wall,
            store: Store::new(flaw),
            replicas: Vec::new(),
            replicas_made: 0,
            cancelled: HashMap::new(),
            in_flight: HashSet::new(),
            failing: false,
            faults: true,
            story: Vec::new(),
        };
        for _ in 0..2 {
            let replica = world.replica();
            world.replicas.push(replica);
        }
        world
    }

    pub(super) fn story(&self) -> impl Iterator<Item = &String> {
        self.story.iter()
    }

    fn replica(&mut self) -> Replica {
        let settings = self.settings();
        let mut machine = LaneMachine::new(self.now);
        machine.step(LaneEvent::SetMemory(MEMORY), self.now);
        machine.step(LaneEvent::Configure(Some(settings.clone())), self.now);
        machine.step(LaneEvent::SetState { state: ChannelState::Enabled, gently: false }, self.now);
        self.replicas_made += 1;
        Replica {
            number: self.replicas_made,
            machine,
            mailbox: VecDeque::new(),
            attempts: Vec::new(),
            writes: Vec::new(),
            settings,
            state: ChannelState::Enabled,
            paused: false,
            failures: 0,
            opened: None,
            starts: VecDeque::new(),
        }
    }

    fn settings(&mut self) -> LaneSettings {
        let rate: Option<Rate> = self.rng.bool().then(|| "20/s".parse().expect("a rate"));
        LaneSettings {
            concurrency: self.rng.usize(1..5),
            schedule: None,
            rate_limit: rate,
            breaker: Some(BreakerPolicy { failures: FAILURES, cooldown: COOLDOWN }),
        }
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        let line = format!("{:>8} {}", self.now.mono.as_millis(), what());
        self.story.push(line);
    }

    /// One thing happens.
    pub(super) fn step(&mut self) -> Result<(), String> {
        let at = self.rng.usize(0..self.replicas.len());
        match self.rng.u32(0..100) {
            0..20 => self.accept(at),
            20..45 => self.read(at)?,
            45..65 => self.write(at)?,
            65..80 => self.end(at),
            80..90 => {
                let by = ms(self.rng.u64(1..3000));
                self.pass(by);
            }
            90..93 => self.cancel(),
            93..95 => self.retry(),
            95 => self.pause_or_resume(),
            96 => {
                let settings = self.settings();
                self.tell(|| format!("reload of {at}: {settings:?}"));
                self.replicas[at].mailbox.push_back(Message::Event(LaneEvent::Configure(Some(settings))));
            }
            97 => self.crash(at),
            98 => self.failing = self.rng.bool(),
            _ => {
                let jump = self.rng.i64(-3_600_000..3_600_000);
                self.now.wall = Timestamp::from_millis(self.now.wall.as_millis() + jump);
                self.latest = self.latest.max(self.now.wall);
                if jump < 0 && self.store.flaw != Flaw::NoSetBack {
                    self.set_back(ms(jump.unsigned_abs()));
                }
                self.tell(|| format!("the wall clock jumps by {jump} ms"));
            }
        }
        Ok(())
    }

    /// The store moves due times along with the wall clock. What is on its way there is recorded before that: the service takes
    /// note of the clock every few seconds only.
    fn set_back(&mut self, by: Duration) {
        let now = self.now.wall;
        self.store.set_back(now, by);
        for write in self.replicas.iter_mut().flat_map(|replica| &mut replica.writes) {
            if let Write::Record { then: Then::Wait(due) | Then::Keep(due), .. } = write
                && *due > now
            {
                *due = due.before(by);
            }
        }
    }

    /// No more faults: everything must end, and soon, however far the wall clock was set back.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        (self.failing, self.faults) = (false, false);
        self.set_state(ChannelState::Enabled);
        for _ in 0..600 {
            for at in 0..self.replicas.len() {
                self.read(at)?;
                while !self.replicas[at].writes.is_empty() {
                    self.write(at)?;
                }
                while !self.replicas[at].attempts.is_empty() {
                    self.end(at);
                    self.write(at)?;
                }
            }
            if self.store.is_all_ended() {
                return Ok(());
            }
            self.pass(ms(3_000));
        }
        let left: Vec<_> = self
            .store
            .rows
            .iter()
            .filter(|(id, _)| !self.is_ended(**id))
            .take(3)
            .map(|(id, row)| (*id, row.clone()))
            .collect();
        Err(format!("everything ends: these do not: {left:?}"))
    }

    fn is_ended(&self, id: u128) -> bool {
        matches!(self.store.rows[&id].state, super::store::State::Ended | super::store::State::Cancelled)
    }

    fn pass(&mut self, by: Duration) {
        self.now = Now { wall: self.now.wall.after(by), mono: self.now.mono + by };
        self.latest = self.latest.max(self.now.wall);
    }

    fn accept(&mut self, at: usize) {
        let key = self.rng.bool().then(|| self.rng.u8(0..3));
        let room = self.rng.bool() && self.replicas[at].state == ChannelState::Enabled;
        let number = self.replicas[at].number;
        let (id, leased) = self.store.insert(key, self.now.wall, room.then_some(number));
        self.tell(|| format!("{id} accepted by {number}, key {key:?}, leased {leased}"));
        let event = if leased {
            LaneEvent::HandedOver(vec![self.store.leased(id)])
        } else {
            LaneEvent::StoreHas(self.now.wall)
        };
        self.replicas[at].mailbox.push_back(Message::Event(event));
    }

    /// A lane reads its mailbox, and does what its machine says.
    fn read(&mut self, at: usize) -> Result<(), String> {
        self.replicas[at].take_in(self.now, &mut self.cancelled);
        let mut effects = Vec::new();
        self.replicas[at].machine.act(self.now, &mut effects);
        for effect in effects {
            self.replicas[at].writes.push(match effect {
                LaneEffect::Claim { epoch, first, retries, .. } => Write::Claim { epoch, first, retries },
                LaneEffect::PutBack(deliveries) => Write::PutBack(deliveries),
                LaneEffect::Run { .. } => unreachable!("no lane has a schedule"),
            });
        }
        while let Some((deliveries, ticket)) = self.replicas[at].machine.start(self.now) {
            for delivery in deliveries {
                self.start(at, ticket, delivery)?;
            }
        }
        Ok(())
    }

    /// An attempt starts: here is where most invariants are checked.
    fn start(&mut self, at: usize, ticket: Ticket, delivery: Leased) -> Result<(), String> {
        let (id, lease) = (delivery.id.as_u128(), delivery.lease());
        let number = self.replicas[at].number;
        self.tell(|| format!("{id} starts at {number} under lease {}", lease.number));
        if self.cancelled.get(&delivery.id).is_some_and(|newer| lease.number < *newer) {
            return Err(format!("nothing starts after a cancel's answer: {id}"));
        }
        if !self.in_flight.insert(lease) {
            return Err(format!("nothing is in flight twice under one lease: {id}"));
        }
        if self.store.is_current(lease) {
            if let Some(before) = self.store.before_in_line(id) {
                return Err(format!("order by key: {id} starts before {before} has ended"));
            }
            // A wall clock that was set back makes nothing start earlier than it had come to.
            if delivery.due_at > self.latest {
                return Err(format!("nothing starts before it is due: {id}"));
            }
        }
        let replica = &mut self.replicas[at];
        if replica.paused {
            return Err(format!("nothing starts after a pause's answer: {id}"));
        }
        if replica.attempts.len() >= 5 {
            return Err(format!("no more attempts than the concurrency: {id}"));
        }
        if let Some(opened) = replica.opened
            && self.now.mono < opened + COOLDOWN
        {
            return Err(format!("nothing starts while the breaker is open: {id}"));
        }
        if replica.settings.rate_limit.is_some() {
            replica.starts.push_back(self.now.mono);
            while replica.starts.front().is_some_and(|first| *first + ms(1000) < self.now.mono) {
                replica.starts.pop_front();
            }
            if replica.starts.len() > 26 {
                return Err(format!("the pace holds: {} starts in a second", replica.starts.len()));
            }
        }
        replica.attempts.push(Attempt { ticket, delivery, probe_allowed: ticket.probe });
        Ok(())
    }

    /// An attempt ends; its record goes to the store.
    fn end(&mut self, at: usize) {
        if self.replicas[at].attempts.is_empty() {
            return;
        }
        let which = self.rng.usize(0..self.replicas[at].attempts.len());
        let Attempt { ticket, delivery, probe_allowed } = self.replicas[at].attempts.swap_remove(which);
        self.in_flight.remove(&delivery.lease());
        let fails = if self.failing { self.rng.u32(0..4) > 0 } else { self.faults && self.rng.u32(0..8) == 0 };
        let replica = &mut self.replicas[at];
        if fails {
            replica.failures += 1;
            if (replica.opened.is_none() && replica.failures >= FAILURES) || probe_allowed {
                replica.opened = Some(self.now.mono);
            }
        } else {
            (replica.failures, replica.opened) = (0, None);
        }
        let due = self.now.wall.after(ms(self.rng.u64(10..20_000)));
        let then = match fails {
            false => Then::End,
            true if self.rng.bool() && replica.machine.may_keep(&delivery) => Then::Keep(due),
            true => Then::Wait(due),
        };
        let (sign, code) = if fails { (Sign::Failure, Code::status(503)) } else { (Sign::Answer, Code::status(200)) };
        let event = LaneEvent::Ended { ticket, sign, code, accepted: !fails, records: 1, bytes: bytes(&delivery) };
        replica.machine.step(event, self.now);
        replica.writes.push(Write::Record { delivery, then });
    }

    /// The store takes one of a lane's writes, or refuses it.
    fn write(&mut self, at: usize) -> Result<(), String> {
        let count = self.replicas[at].writes.len();
        if count == 0 {
            return Ok(());
        }
        let refused = self.faults && self.rng.u32(0..10) == 0;
        // Records are written in their order, other writes in any.
        let first = self.replicas[at].writes.iter().position(|write| matches!(write, Write::Record { .. }));
        let mut which = self.rng.usize(0..count);
        if matches!(self.replicas[at].writes[which], Write::Record { .. }) {
            which = first.unwrap_or(which);
        }
        let write = self.replicas[at].writes.remove(which);
        let (number, now) = (self.replicas[at].number, self.now);
        let event = match write {
            Write::Claim { .. } if refused => LaneEvent::ClaimFailed,
            Write::Claim { epoch, first, retries } => {
                let mut deliveries = self.store.claim(number, Which::First, now.wall, first);
                deliveries.extend(self.store.claim(number, Which::Retries, now.wall, retries));
                LaneEvent::Claimed { epoch, deliveries, next: self.store.next_due() }
            }
            Write::PutBack(deliveries) if refused => LaneEvent::NotPutBack(deliveries),
            Write::PutBack(deliveries) => {
                for delivery in &deliveries {
                    self.store.put_back(delivery.lease());
                }
                self.replicas[at].machine.put_back(now);
                return Ok(());
            }
            Write::Record { delivery, then } if refused => {
                self.replicas[at].writes.insert(0, Write::Record { delivery, then });
                return Ok(());
            }
            Write::Record { delivery, then } => self.record(at, delivery, then)?,
        };
        // The answer takes its way: it is read behind what is there.
        self.replicas[at].mailbox.push_back(Message::Event(event));
        Ok(())
    }

    fn record(&mut self, at: usize, mut delivery: Leased, then: Then) -> Result<LaneEvent, String> {
        let lease = delivery.lease();
        let current = self.store.is_current(lease);
        let (counts, released) = self.store.record(lease, then);
        if counts && !current {
            return Err(format!("fence: a result under an old lease has counted: {}", delivery.id.as_u128()));
        }
        if released {
            let at = self.now.wall;
            self.replicas.iter_mut().for_each(|it| it.mailbox.push_back(Message::Event(LaneEvent::StoreHas(at))));
        }
        let number = self.replicas[at].number;
        self.tell(|| format!("{} recorded by {number}: {then:?}, counts {counts}", lease.delivery.as_u128()));
        let size = bytes(&delivery);
        let (mut kept, mut waits) = (Vec::new(), None);
        match then {
            Then::Keep(due) if counts => {
                delivery.lease += 1;
                delivery.attempts += 1;
                delivery.due_at = due;
                kept.push(delivery);
            }
            Then::Wait(due) if counts => waits = Some(due),
            _ => {}
        }
        Ok(LaneEvent::Recorded { records: 1, bytes: size, kept, waits })
    }

    fn any(&mut self) -> Option<u128> {
        let ids: Vec<_> = self.store.rows.keys().rev().take(20).copied().collect();
        self.rng.choice(ids)
    }

    fn cancel(&mut self) {
        let Some(id) = self.any() else { return };
        let Some((number, released)) = self.store.cancel(id) else { return };
        self.tell(|| format!("{id} cancelled: lease {number}"));
        let lease = Lease { delivery: DeliveryId::from_u128(id), number };
        let wall = self.now.wall;
        for replica in &mut self.replicas {
            if self.store.flaw != Flaw::NoForget {
                replica.mailbox.push_back(Message::Event(LaneEvent::Forget(lease)));
            }
            if released {
                replica.mailbox.push_back(Message::Event(LaneEvent::StoreHas(wall)));
            }
        }
        // Its caller has an answer once every lane has taken note of it.
        let mut others = self.replicas.iter_mut().rev();
        if let Some(last) = others.next() {
            last.mailbox.push_back(Message::Cancelled(lease));
        }
        others.for_each(|replica| replica.take_in(self.now, &mut self.cancelled));
    }

    fn retry(&mut self) {
        let Some(id) = self.any() else { return };
        self.store.retry(id, self.now.wall);
        self.tell(|| format!("{id} retried"));
        let hasten = |replica: &mut Replica| {
            replica.mailbox.push_back(Message::Event(LaneEvent::Hasten(DeliveryId::from_u128(id))));
        };
        self.replicas.iter_mut().for_each(hasten);
    }

    fn pause_or_resume(&mut self) {
        let paused = self.replicas.iter().any(|replica| replica.state == ChannelState::Paused);
        self.set_state(if paused { ChannelState::Enabled } else { ChannelState::Paused });
    }

    fn set_state(&mut self, state: ChannelState) {
        self.tell(|| format!("channel {}", state.as_str()));
        for replica in &mut self.replicas {
            replica.state = state;
            replica.mailbox.push_back(Message::Event(LaneEvent::SetState { state, gently: true }));
            replica.mailbox.push_back(Message::Paused);
        }
    }

    /// A replica dies: what it had under way is lost, what it held is free once its lease has run out.
    fn crash(&mut self, at: usize) {
        let number = self.replicas[at].number;
        self.tell(|| format!("{number} dies"));
        for attempt in &self.replicas[at].attempts {
            self.in_flight.remove(&attempt.delivery.lease());
        }
        let state = self.replicas[at].state;
        let mut fresh = self.replica();
        fresh.state = state;
        fresh.machine.step(LaneEvent::SetState { state, gently: false }, self.now);
        self.replicas[at] = fresh;
        self.store.release(number);
    }
}
