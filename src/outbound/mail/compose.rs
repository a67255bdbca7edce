//! From a mail to the message that goes over the wire: headers, and the text in two forms of which a reader shows one.
//!
//! Nothing here depends on the attempt: a retry sends the same bytes, with the same `Message-ID`.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox as LettreMailbox, Message as LettreMessage, MultiPart, MultiPartKind, SinglePart};
use lettre::{Address, message::header::ContentType};

use super::{Mail, Page};
use crate::domain::{HeaderLines, Mailbox, Timestamp};

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) envelope: Envelope,
    /// All of it.
    pub(super) bytes: Vec<u8>,
    /// Its headers, as the record shows them.
    pub(super) headers: HeaderLines,
    /// What follows the headers.
    pub(super) body: Vec<u8>,
}

/// Writes a mail. `Err` says why it cannot be written.
pub(super) fn compose(from: &Mailbox, mail: &Mail) -> Result<Message, String> {
    if mail.subject.chars().any(char::is_control) {
        return Err("subject: line breaks and control characters are refused".to_owned());
    }
    let instructions = mail.instructions.as_deref().map(Page::of_html).unwrap_or_default();
    let page = instructions.and(Page::of_markdown(&mail.text));
    if page.is_empty() {
        return Err("the mail has no text".to_owned());
    }
    let failed = |error: lettre::error::Error| format!("the mail cannot be written: {error}");
    let sender = mailbox(from).map_err(|error| format!("smtp.from: {error}"))?;
    let recipient = mailbox(&mail.to).map_err(|error| format!("to: {error}"))?;
    let envelope = Envelope::new(Some(sender.email.clone()), vec![recipient.email.clone()]).map_err(failed)?;
    let id = format!("<{}@{}>", mail.id, sender.email.domain());
    let parts = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("part-{}", mail.id))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(page.text.clone()))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(page.document(&mail.subject)));
    let message = LettreMessage::builder()
        .from(sender)
        .to(recipient)
        .subject(mail.subject.clone())
        .message_id(Some(id.clone()))
        .date(system_time(mail.date))
        // Out-of-office answers are not wanted (RFC 3834).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .multipart(parts)
        .map_err(failed)?;
    let bytes = message.formatted();
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let body = bytes.get(at..).unwrap_or_default().to_vec();
    let (from, to) = (from.to_string(), mail.to.to_string());
    let mut headers: HeaderLines =
        [("From", &from), ("To", &to), ("Subject", &mail.subject), ("Message-ID", &id)].into_iter().collect();
    for name in ["Date", "Content-Type"] {
        if let Some(value) = message.headers().get_raw(name) {
            headers.push(name, value);
        }
    }
    Ok(Message { envelope, bytes, headers, body })
}

/// The same as lettre has it, the domain in ASCII.
fn mailbox(mailbox: &Mailbox) -> Result<LettreMailbox, String> {
    let wrong = || format!("{:?} is not a valid e-mail address", mailbox.address());
    let Ok(url::Host::Domain(domain)) = url::Host::parse(&mailbox.domain) else { return Err(wrong()) };
    let address = Address::new(&mailbox.local, domain).map_err(|_| wrong())?;
    Ok(LettreMailbox::new(mailbox.name.clone(), address))
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(to: &str, subject: &str) -> Mail {
        Mail {
            to: to.parse().expect("a mailbox"),
            subject: subject.to_owned(),
            id: "dlv_1".to_owned(),
            date: Timestamp::from_millis(1_769_860_800_000),
            instructions: None,
            text: "**Key**: `A_B`".into(),
        }
    }

    fn from() -> Mailbox {
        "Shop <orders@example.com>".parse().expect("a mailbox")
    }

    #[test]
    fn a_message_is_the_same_every_time_it_is_written() {
        let mail = mail("Jane <jane@example.org>", "Your order");
        let one = compose(&from(), &mail).expect("a message");
        assert_eq!(one.bytes, compose(&from(), &mail).expect("a message").bytes);
        let text = String::from_utf8(one.bytes).expect("ASCII");
        assert!(text.contains("Message-ID: <dlv_1@example.com>\r\n"), "{text}");
        assert!(text.contains("Date: Sat, 31 Jan 2026 12:00:00 +0000\r\n"), "{text}");
        assert!(text.ends_with(&String::from_utf8(one.body).expect("ASCII")));
        let to = one.headers.iter().find(|(name, _)| *name == "To");
        assert_eq!(to, Some(("To", "\"Jane\" <jane@example.org>")));
    }

    #[test]
    fn a_subject_is_one_line() {
        for subject in ["a\r\nBcc: eve@example.com", "a\nb", "a\u{0}b"] {
            assert!(compose(&from(), &mail("jane@example.org", subject)).is_err(), "{subject:?}");
        }
    }

    #[test]
    fn other_alphabets_travel_encoded() {
        let message = compose(&from(), &mail("jane@münchen.de", "Grüße 你好")).expect("a message");
        assert!(message.bytes.is_ascii());
        assert_eq!(message.envelope.to()[0].to_string(), "jane@xn--mnchen-3ya.de");
    }
}
