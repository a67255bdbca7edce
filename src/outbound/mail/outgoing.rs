//! A mail, and what became of it.

use std::sync::Arc;

use crate::domain::{Code, Exchange, Mailbox, Timestamp};

/// What stands for the method in the record of a mail.
pub const METHOD: &str = "MAIL";

/// A mail to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// To whom.
    pub to: Mailbox,
    /// The subject, one line.
    pub subject: String,
    /// What is unique to it and the same at every attempt: names the message.
    pub id: String,
    /// When it was written.
    pub date: Timestamp,
    /// HTML in front of the text.
    pub instructions: Option<String>,
    /// What it says, in Markdown.
    pub text: Arc<str>,
}

/// What became of a mail.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The server's last reply, or below zero why there was none.
    pub code: Code,
    /// Whether the server refused our credentials.
    pub auth: bool,
    /// Whether this machine could open no connection for it.
    pub starved: bool,
    /// What went wrong, in a sentence.
    pub error: Option<String>,
    /// What was sent and what the server said.
    pub exchange: Exchange,
}

impl Sent {
    /// What becomes of a mail that cannot be written: `error` says why, `url` where it would have gone.
    pub fn not_built(url: String, error: String) -> Self {
        let exchange = Exchange { method: METHOD.to_owned(), url, ..Exchange::default() };
        Self { code: Code::NOT_BUILT, auth: false, starved: false, error: Some(error), exchange }
    }
}
