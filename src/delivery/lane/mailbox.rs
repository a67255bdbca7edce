//! What is sent to a lane's task from outside.

use parking_lot::Mutex;

use tokio::sync::{Notify, oneshot};

use super::events::LaneEvent;

/// A message to a lane's task.
#[derive(Debug)]
pub(super) enum Message {
    /// Something has happened.
    Event(LaneEvent),
    /// To be answered once everything sent before has taken effect.
    Settle(oneshot::Sender<()>),
}

/// A lane's mailbox. Unbounded: a lane's memory bounds the deliveries in it, its callers the rest.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    messages: Mutex<Messages>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Messages {
    waiting: Vec<Message>,
    closed: bool,
}

impl Mailbox {
    /// Sends an event. After the task's end it is dropped.
    pub(super) fn post(&self, event: LaneEvent) {
        self.send(Message::Event(event));
    }

    /// Waits until everything sent before has taken effect.
    pub(super) async fn settle(&self) {
        let (settled, wait) = oneshot::channel();
        self.send(Message::Settle(settled));
        // An error: the task has ended, and nothing takes effect any more.
        let _ = wait.await;
    }

    /// Takes what is there, in order.
    pub(super) fn take(&self, into: &mut Vec<Message>) {
        into.append(&mut self.messages.lock().waiting);
    }

    /// Waits until something is there.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        let mut messages = self.messages.lock();
        messages.closed = true;
        messages.waiting.clear();
    }

    fn send(&self, message: Message) {
        let mut messages = self.messages.lock();
        if messages.closed {
            return;
        }
        messages.waiting.push(message);
        let first = messages.waiting.len() == 1;
        drop(messages);
        if first {
            self.filled.notify_one();
        }
    }
}
