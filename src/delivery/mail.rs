//! Mails: of the event itself (channels of kind `email`), and of the text by which a request was accepted.
//!
//! The second kind is a delivery of its own, born in the transaction that records the acceptance: after a crash there
//! are both or none. What it says is kept with it; to whom it goes and what stands around it is filled in at each
//! attempt, so that a configuration put right helps what failed.

use std::sync::Arc;

use crate::config::settings::{Channel, ChannelKind, Email};
use crate::domain::{DeliveryId, Mailbox, Outcomes, Parcel, Timestamp};
use crate::outbound::mail::{Mail, Page, Sent};
use crate::store::{Leased, NewDelivery};
use crate::template::{Scope, Template};

use super::lanes::Shared;
use super::outlet::Outlet;

/// Whether a delivery goes out as a mail.
pub(super) fn is_mail(channel: &Channel, delivery: &Leased) -> bool {
    channel.kind == ChannelKind::Email || delivery.parcel.as_deref().is_some_and(|parcel| parcel.mail)
}

/// What the codes of a channel's attempts mean: those of mails are not HTTP's.
pub(super) fn outcomes(channel: &Channel, mails: bool) -> &Outcomes {
    channel.email.as_ref().filter(|_| mails).map_or(&channel.outcomes, |email| &email.outcomes)
}

/// The mail of a response by which a delivery was accepted, about the same items. One that has no text fails with that
/// as its reason.
pub(super) fn of_response(
    shared: &Shared,
    channel: &Channel,
    delivery: &Leased,
    said: Option<Result<String, String>>,
    now: Timestamp,
) -> NewDelivery {
    let about = delivery.parcel.as_deref().cloned().unwrap_or_default();
    let (text, fault) = match said {
        Some(Ok(text)) => (text, None),
        Some(Err(fault)) => (String::new(), Some(fault)),
        None => (String::new(), None),
    };
    let parcel = Parcel { mail: true, text: Some(text.into()), fault, ..about };
    NewDelivery {
        id: shared.ids.next(),
        channel: Arc::clone(&delivery.channel),
        event: Arc::clone(&delivery.event),
        parcel: Some(Arc::new(parcel)),
        once: None,
        due_at: channel.schedule.as_ref().map_or(now, |schedule| schedule.run_for(now, now)),
        slot: None,
    }
}

/// Fills in what a mail says. `Err` says why it cannot be.
pub(super) fn draft(outlet: &Outlet, delivery: &Leased, scope: &Scope) -> Result<Draft, String> {
    if let Some(fault) = delivery.parcel.as_deref().and_then(|parcel| parcel.fault.clone()) {
        return Err(fault);
    }
    let email = outlet.channel.email.as_ref().ok_or("the channel has no `email` block any more")?;
    fill(email, delivery, scope)
}

/// Makes one attempt at a mail.
pub(super) async fn send(outlet: &Outlet, draft: Result<Draft, String>) -> Sent {
    let written = match draft {
        Ok(draft) => draft.written().await,
        Err(error) => Err(error),
    };
    match (&outlet.mailer, written) {
        (Some(mailer), Ok(mail)) => mailer.send(&mail).await,
        (Some(mailer), Err(error)) => mailer.refused(error),
        (None, Ok(_)) => Sent::not_built(String::new(), "the channel sends no mails any more".to_owned()),
        (None, Err(error)) => Sent::not_built(String::new(), error),
    }
}

/// A mail whose templates are filled in.
pub(super) struct Draft {
    id: DeliveryId,
    to: Mailbox,
    subject: String,
    /// HTML.
    instructions: Option<String>,
    /// Markdown.
    text: Arc<str>,
}

fn fill(email: &Email, delivery: &Leased, scope: &Scope) -> Result<Draft, String> {
    let filled =
        |name: &str, template: &Template| template.render(scope).map_err(|error| format!("email.{name}: {error}"));
    let to = filled("to", &email.to)?;
    let to = to.parse().map_err(|error| match error {
        crate::domain::NoMailbox::Empty => "email.to: the order has no e-mail address there".to_owned(),
        error => format!("email.to: {:?}: {error}", to.chars().take(100).collect::<String>()),
    })?;
    let subject = filled("subject", &email.subject)?.trim().to_owned();
    let carried = delivery.parcel.as_deref().and_then(|parcel| parcel.text.clone());
    let (instructions, text) = match (carried, &email.body) {
        (Some(text), _) => {
            (email.instructions.as_ref().map(|template| filled("instructions", template)).transpose()?, text)
        }
        (None, Some(body)) => (None, filled("body", body)?.into()),
        (None, None) => return Err("email.body: the channel is not of kind email any more".to_owned()),
    };
    Ok(Draft { id: delivery.id, to, subject, instructions, text })
}

impl Draft {
    /// The mail, both forms of its text made aside: a long one takes its time, and other lanes live on this thread.
    pub(super) async fn written(self) -> Result<Mail, String> {
        let Self { id, to, subject, instructions, text } = self;
        let page = move || {
            let instructions = instructions.map(|html| Page::of_html(&html)).unwrap_or_default();
            instructions.and(Page::of_markdown(&text))
        };
        let page = tokio::task::spawn_blocking(page).await.map_err(|_| "the mail could not be written".to_owned())?;
        if page.is_empty() {
            return Err("the mail has no text".to_owned());
        }
        Ok(Mail { to, subject, id: id.to_string(), date: id.time(), page })
    }
}
