//! A lane's task: the machine's only owner. Messages, ended attempts and the store's answers go into it; its effects are done here.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::{Code, Sign};
use crate::store::{Leased, News};
use crate::system::failpoint;

use super::super::attempt::{self, Tried};
use super::super::bucket;
use super::super::context::Context;
use super::super::mail;
use super::super::sender::ChannelSender;
use super::breaker::Flip;
use super::claims::{self, Done};
use super::events::{LaneEffect, LaneEvent, Now, Ticket};
use super::handle::Lane;
use super::machine::LaneMachine;
use super::mailbox::Message;
use super::recorder::Recorder;

/// An attempt that has ended, with everything that it was made of.
struct Ended {
    ticket: Ticket,
    sender: Arc<ChannelSender>,
    deliveries: Vec<Leased>,
    /// One for each delivery, in the same order.
    tried: Vec<Tried>,
    permit: OwnedSemaphorePermit,
}

/// Runs a lane until the stop, and until its attempts under way have ended.
pub(super) async fn drive(lane: Arc<Lane>, context: Arc<Context>, recorder: Recorder) {
    let mut task = Task {
        machine: LaneMachine::new(context.time()),
        attempts: FuturesUnordered::new(),
        jobs: FuturesUnordered::new(),
        idle: Vec::new(),
        messages: Vec::new(),
        effects: Vec::new(),
        lane,
        context,
        recorder,
    };
    task.run().await;
    task.lane.mailbox.close();
}

struct Task<A> {
    lane: Arc<Lane>,
    context: Arc<Context>,
    recorder: Recorder,
    machine: LaneMachine,
    attempts: FuturesUnordered<A>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Workers that an attempt has just given back.
    idle: Vec<OwnedSemaphorePermit>,
    messages: Vec<Message>,
    effects: Vec<LaneEffect>,
}

impl Task<BoxFuture<'static, Ended>> {
    async fn run(&mut self) {
        let (lane, context) = (Arc::clone(&self.lane), Arc::clone(&self.context));
        let mut stopping = false;
        let mut timer = context.clock.sleep_until(Duration::ZERO);
        let mut armed = None;
        loop {
            self.read();
            self.act();
            let now = context.time();
            let wants_worker = self.machine.wants_worker(now);
            let wake = self.machine.next_wake(now);
            if armed != Some(wake) {
                timer = context.clock.sleep_until(now.mono_at(wake));
                armed = Some(wake);
            }
            lane.show(self.machine.view(now));
            if stopping && self.machine.is_done() && self.jobs.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = context.hard.cancelled() => return,
                () = context.soft.cancelled(), if !stopping => {
                    stopping = true;
                    self.step(LaneEvent::Stop);
                }
                () = lane.mailbox.filled() => {}
                Some(ended) = self.attempts.next(), if !self.attempts.is_empty() => {
                    self.ended(ended);
                    while let Some(Some(ended)) = self.attempts.next().now_or_never() {
                        self.ended(ended);
                    }
                }
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => match done {
                    Done::Event(event) => self.step(event),
                    Done::PutBack => self.machine.put_back(context.time()),
                },
                permit = lane.workers.take(), if wants_worker => self.idle.extend(permit),
                () = &mut timer => armed = None,
            }
        }
    }

    /// Reads the mailbox. Whoever waits for what was sent to take effect is answered.
    fn read(&mut self) {
        self.lane.mailbox.take(&mut self.messages);
        for message in std::mem::take(&mut self.messages) {
            match message {
                Message::Event(event) => self.step(event),
                Message::Settle(settled) => _ = settled.send(()),
            }
        }
    }

    fn step(&mut self, event: LaneEvent) {
        let now = self.context.time();
        match self.machine.step(event, now) {
            None => {}
            Some(Flip::Opened) => {
                let view = self.machine.view(now).breaker;
                let until = view.and_then(|breaker| breaker.open_until);
                if let Some(at) = until {
                    self.context.store.queue.publish(News::BreakerOpened(Arc::clone(&self.lane.name), at.as_millis()));
                }
                let until = until.map(|at| at.to_string());
                let code = view.and_then(|breaker| breaker.code).map(Code::as_i32);
                let failures = view.map(|breaker| breaker.failures);
                tracing::warn!(channel = &*self.lane.name, until, code, failures, "breaker opened: the receiver fails");
            }
            Some(Flip::Closed) => {
                self.context.store.queue.publish(News::BreakerClosed(Arc::clone(&self.lane.name)));
                tracing::info!(channel = &*self.lane.name, "breaker closed: the receiver answers again");
            }
        }
    }

    /// Does what the machine asks for, and starts what can start.
    fn act(&mut self) {
        failpoint("lane");
        let now = self.context.time();
        self.machine.act(now, &mut self.effects);
        for effect in self.effects.drain(..) {
            if matches!(effect, LaneEffect::PutBack(_)) {
                self.context.memory.mark_backlogged(&self.lane.name);
            }
            self.jobs.push(claims::perform(Arc::clone(&self.lane), Arc::clone(&self.context), effect).boxed());
        }
        while self.context.tenure.holds() && self.machine.wants_worker(now) {
            let Some(permit) = self.idle.pop().or_else(|| self.lane.workers.try_take()) else { break };
            let Some(sender) = self.lane.sender() else { break };
            let Some((deliveries, ticket)) = self.machine.start(now) else { break };
            self.attempts.push(self.attempt(sender, deliveries, ticket, permit));
        }
        // What cannot start now needs no worker.
        self.idle.clear();
    }

    fn attempt(
        &self,
        sender: Arc<ChannelSender>,
        deliveries: Vec<Leased>,
        ticket: Ticket,
        permit: OwnedSemaphorePermit,
    ) -> BoxFuture<'static, Ended> {
        let (context, under_way) = (Arc::clone(&self.context), self.context.tasks.token());
        async move {
            let _under_way = under_way;
            let begun = attempt::begin(&context, deliveries.len());
            let tried = AssertUnwindSafe(make(&context, &sender, &deliveries, &begun)).catch_unwind().await;
            let tried = tried.unwrap_or_else(|_| begun.into_iter().map(Tried::panicked).collect());
            Ended { ticket, sender, deliveries, tried, permit }
        }
        .boxed()
    }

    /// An attempt has ended: its records go to the store, its worker to whoever waits for one.
    fn ended(&mut self, ended: Ended) {
        let Ended { ticket, sender, deliveries, tried, permit } = ended;
        if !self.lane.workers.is_awaited() {
            self.idle.push(permit);
        }
        let (mut records, mut bytes, mut sign, mut code, mut accepted) = (0, 0, Sign::None, None, false);
        for (delivery, tried) in deliveries.into_iter().zip(tried) {
            let mails = mail::is_mail(&sender.channel, &delivery);
            let one = Sign::of(tried.sent.code, mails);
            if one != Sign::None && !tried.sent.is_not_the_receiver() {
                (sign, code) = (one, Some(tried.sent.code));
            }
            let keep = self.machine.may_keep(&delivery);
            let finished = attempt::end(&self.context, &self.lane, &sender, &delivery, tried, keep);
            accepted |= finished.attempt.outcome.is_success();
            records += 1;
            bytes += finished.bytes();
            self.recorder.send(&self.lane, &sender, finished, delivery);
        }
        let code = code.unwrap_or(Code::NOT_BUILT);
        self.step(LaneEvent::Ended { ticket, sign, code, accepted, records, bytes });
    }
}

async fn make(
    context: &Context,
    sender: &ChannelSender,
    deliveries: &[Leased],
    begun: &[attempt::Started],
) -> Vec<Tried> {
    failpoint("attempt");
    let in_buckets = sender.channel.schedule.as_ref().is_some_and(|schedule| schedule.bucket > 1);
    match (deliveries, begun) {
        ([delivery], [begun]) if !in_buckets => vec![attempt::run(context, sender, delivery, begun).await],
        _ => bucket::run(context, sender, deliveries, begun).await,
    }
}

impl super::super::context::Context {
    /// The time by both clocks.
    fn time(&self) -> Now {
        let (wall, mono) = self.clock.both();
        Now { wall, mono }
    }
}
