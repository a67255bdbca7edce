//! Mail to the world: the only place that knows lettre, and what makes HTML and plain text of Markdown.
//!
//! A [`Mailer`] belongs to one channel. [`Mailer::send`] never fails: whatever happens ends as a [`Sent`] with a
//! [`Code`] — the server's reply, or below zero why there was none — within the time that the channel
//! allows. Every mail has a connection of its own, so that a server that hangs holds nothing but its own attempt.
//!
//! `page.rs` makes both forms of a text, `plain.rs` the readable one, after `modest.rs` has seen what that would cost; `compose.rs` writes the message, the same bytes at
//! every attempt; `wire.rs` connects, `turns.rs` sees to it that nothing in the clear is taken for a reply under TLS;
//! `dialog.rs` speaks SMTP.

mod compose;
mod dialog;
mod fault;
mod modest;
mod outgoing;
mod page;
mod plain;
mod tls;
mod turns;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};

use crate::config::settings::{Egress, Smtp, Timeout};
use crate::domain::{Body, Code, Exchange};

use super::aside::aside;
use super::egress::Guard;
use super::mask::Secrets;
use super::starved;
use compose::Message;
use fault::MailFault;
use tls::Tls;

pub use outgoing::{METHOD, Mail, Sent};
pub use page::Page;

/// Sends mails for one channel.
pub struct Mailer {
    smtp: Arc<Smtp>,
    timeout: Timeout,
    guard: Guard,
    tls: Option<Tls>,
    /// What no reply is to be quoted with.
    secrets: Secrets,
}

impl Mailer {
    /// A mailer by these settings, each mail within `timeout`. It reaches what `egress` lets it; mail goes through no proxy.
    /// `Err` is a sentence.
    pub fn new(smtp: &Arc<Smtp>, timeout: Timeout, egress: &Arc<Egress>) -> Result<Self, String> {
        let tls = Tls::new(smtp)?;
        Ok(Self { smtp: Arc::clone(smtp), timeout, guard: Guard::new(egress), tls, secrets: secrets(smtp) })
    }

    /// What would go out, as the history would keep it. `Err` says why it cannot be written.
    pub async fn preview(&self, mail: Mail) -> Result<Exchange, String> {
        self.composed(mail).await.map(|message| self.exchange(message, None))
    }

    /// Composes a mail aside: a long one takes its time, and lanes live on this thread.
    async fn composed(&self, mail: Mail) -> Result<Message, String> {
        let from = self.smtp.from.clone();
        let composed = aside(move || compose::compose(&from, &mail)).await;
        composed.unwrap_or_else(|| Err("the mail could not be written".to_owned()))
    }

    /// Sends a mail. Composing it counts in its time.
    pub async fn send(&self, mail: Mail) -> Sent {
        let started = Instant::now();
        let limit = match self.timeout {
            Timeout::Total(total) => total,
            Timeout::Phases { transfer, .. } => transfer,
        };
        let message = match timeout_at(started + limit, self.composed(mail)).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => return self.refused(error),
            Err(_) => {
                let late = MailFault::Composing(limit);
                return Sent { code: late.code(), ..self.refused(late.to_string()) };
            }
        };
        let mut sent = match self.in_time(&message, started).await {
            Ok(reply) => Sent {
                code: Code::status(reply.code),
                auth: false,
                starved: false,
                error: None,
                exchange: self.exchange(message, Some(reply.to_string())),
            },
            Err(fault) => Sent {
                code: fault.code(),
                auth: fault.is_auth(),
                starved: matches!(fault, MailFault::Starved(..)),
                error: Some(fault.to_string()),
                exchange: self.exchange(message, fault.reply()),
            },
        };
        if let Some(error) = &mut sent.error {
            self.secrets.hide_text(error);
        }
        self.secrets.hide(&mut sent.exchange.response_body, false);
        sent
    }

    /// What becomes of a mail that cannot be written: `error` says why.
    pub fn refused(&self, error: String) -> Sent {
        Sent::not_built(self.smtp.url(), error)
    }

    async fn in_time(&self, message: &Message, begun: Instant) -> Result<dialog::Reply, MailFault> {
        let started = match self.timeout {
            Timeout::Total(_) => begun,
            Timeout::Phases { .. } => Instant::now(),
        };
        let (connect, transfer) = match self.timeout {
            Timeout::Total(total) => (total, total),
            Timeout::Phases { connect, transfer } => (connect, transfer),
        };
        let deadline = started + connect;
        let wire = loop {
            let connecting = wire::connect(&self.smtp, &self.guard, self.tls.as_ref(), deadline);
            match timeout_at(deadline, connecting).await.unwrap_or_else(|_| Err(self.late(connect))) {
                Err(fault @ MailFault::Starved(..)) => {
                    if timeout_at(deadline, starved::wait(&fault)).await.is_err() {
                        return Err(fault);
                    }
                }
                connected => break connected?,
            }
        };
        let deadline = match self.timeout {
            Timeout::Total(_) => deadline,
            Timeout::Phases { .. } => Instant::now() + transfer,
        };
        let talking = dialog::hand_in(wire, &self.smtp, self.tls.as_ref(), message, deadline);
        timeout_at(deadline, talking).await.unwrap_or(Err(MailFault::Timeout(transfer)))
    }

    fn late(&self, limit: Duration) -> MailFault {
        MailFault::ConnectTimeout(self.smtp.host_and_port(), limit)
    }

    fn exchange(&self, message: Message, reply: Option<String>) -> Exchange {
        Exchange {
            method: METHOD.to_owned(),
            url: self.smtp.url(),
            request_headers: message.headers,
            request_body: Body::whole(message.body),
            response_body: reply.map_or_else(Bytes::new, Bytes::from),
            ..Exchange::default()
        }
    }
}

/// The password, as it is and as the two ways to authenticate send it.
fn secrets(smtp: &Smtp) -> Secrets {
    let Some((username, password)) = &smtp.credentials else { return Secrets::default() };
    let password = password.expose_secret();
    let plain = format!("\0{username}\0{password}");
    Secrets::new([password.to_owned(), STANDARD.encode(password), STANDARD.encode(plain)])
}
