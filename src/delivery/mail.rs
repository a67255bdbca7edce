//! Mails: of the event itself (channels of kind `email`), and of the text by which a request was accepted.
//!
//! The second kind is a delivery of its own, born in the transaction that records the acceptance: after a crash there
//! are both or none. What it says is kept with it; to whom it goes and what stands around it is filled in at each
//! attempt, so that a configuration put right helps what failed.

use std::sync::Arc;

use crate::config::settings::{Channel, ChannelKind, Email};
use crate::domain::{Outcomes, PreparedDelivery, Timestamp};
use crate::outbound::mail::{Mail, Sent};
use crate::store::{Leased, NewDelivery};
use crate::template::{Scope, Template};

use super::context::Context;
use super::sender::ChannelSender;

/// Whether a delivery goes out as a mail.
pub(super) fn is_mail(channel: &Channel, delivery: &Leased) -> bool {
    channel.kind == ChannelKind::Email || delivery.prepared.as_deref().is_some_and(|prepared| prepared.mail)
}

/// What the codes of a channel's attempts mean: those of mails are not HTTP's.
pub(super) fn outcomes(channel: &Channel, mails: bool) -> &Outcomes {
    channel.email.as_ref().filter(|_| mails).map_or(&channel.outcomes, |email| &email.outcomes)
}

/// The mail of a response by which a delivery was accepted, about the same items. One that has no text fails with that
/// as its reason.
pub(super) fn of_response(
    context: &Context,
    channel: &Channel,
    delivery: &Leased,
    said: Option<Result<String, String>>,
    now: Timestamp,
) -> NewDelivery {
    let prepared = prepared_of_response(delivery, said);
    NewDelivery {
        id: context.ids.next(),
        channel: Arc::clone(&delivery.channel),
        event: Arc::clone(&delivery.event),
        prepared: Some(Arc::new(prepared)),
        once: None,
        due_at: channel.schedule.as_ref().map_or(now, |schedule| schedule.run_for(now, now)),
        ordering_key: channel.holding.ordering.as_ref().and_then(|ordering| ordering.mail_key(&delivery.event)),
        promised_at: channel.holding.promise.map(|promise| now.after(promise)),
        slot: None,
    }
}

/// What such a mail carries.
pub(super) fn prepared_of_response(delivery: &Leased, said: Option<Result<String, String>>) -> PreparedDelivery {
    let about = delivery.prepared.as_deref().cloned().unwrap_or_default();
    let (text, fault) = match said {
        Some(Ok(text)) => (text, None),
        Some(Err(fault)) => (String::new(), Some(fault)),
        None => (String::new(), None),
    };
    PreparedDelivery { mail: true, text: Some(text.into()), fault, ..about }
}

/// Fills in what a mail says. `Err` says why it cannot be.
pub(super) fn draft(sender: &ChannelSender, delivery: &Leased, scope: &Scope) -> Result<Mail, String> {
    if let Some(fault) = delivery.prepared.as_deref().and_then(|prepared| prepared.fault.clone()) {
        return Err(fault);
    }
    let email = sender.channel.email.as_ref().ok_or("the channel no longer has an `email` block")?;
    fill(email, delivery, scope)
}

/// Makes one attempt at a mail.
pub(super) async fn send(sender: &ChannelSender, mail: Result<Mail, String>) -> Sent {
    match (&sender.mailer, mail) {
        (Some(mailer), Ok(mail)) => mailer.send(mail).await,
        (Some(mailer), Err(error)) => mailer.refused(error),
        (None, Ok(_)) => Sent::not_built(String::new(), "the channel no longer sends mails".to_owned()),
        (None, Err(error)) => Sent::not_built(String::new(), error),
    }
}

fn fill(email: &Email, delivery: &Leased, scope: &Scope) -> Result<Mail, String> {
    let filled =
        |name: &str, template: &Template| template.render(scope).map_err(|error| format!("email.{name}: {error}"));
    let to = filled("to", &email.to)?;
    let to = to.parse().map_err(|error| match error {
        crate::domain::NoMailbox::Empty => "email.to: the order has no e-mail address there".to_owned(),
        error => format!("email.to: {:?}: {error}", to.chars().take(100).collect::<String>()),
    })?;
    let subject = numbered(filled("subject", &email.subject)?.trim(), email, delivery);
    let carried = delivery.prepared.as_deref().and_then(|prepared| prepared.text.clone());
    let (instructions, text) = match (carried, &email.body) {
        (Some(text), _) => {
            (email.instructions.as_ref().map(|template| filled("instructions", template)).transpose()?, text)
        }
        (None, Some(body)) => (None, filled("body", body)?.into()),
        (None, None) => return Err("email.body: the channel is no longer of kind email".to_owned()),
    };
    let (id, date) = (delivery.id.to_string(), delivery.id.time());
    Ok(Mail { to, subject, id, date, instructions, text })
}

/// The subject with `(1 of 3)` after it for one unit of several, unless the template says so itself.
fn numbered(subject: &str, email: &Email, delivery: &Leased) -> String {
    let prepared = delivery.prepared.as_deref();
    match prepared.and_then(|prepared| Some((prepared.unit?, prepared.units?))) {
        Some((unit, units)) if units > 1 && !email.subject.source().contains("unit") => {
            format!("{subject} ({unit} of {units})")
        }
        _ => subject.to_owned(),
    }
}
