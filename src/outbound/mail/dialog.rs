//! The dialog with the mail server: greeting, STARTTLS and credentials where they are wanted, and one mail.

use std::fmt;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};

use super::compose::Message;
use super::fault::{MailFault, one_line};
use super::tls::Tls;
use super::wire::Wire;
use crate::config::settings::{MailSecurity, Smtp};

/// The ways to authenticate that are known, the better one first. Both send the password itself: the configuration
/// allows credentials only under TLS or to this machine.
const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

/// How long the farewell may take: the mail is taken by then.
const FAREWELL: Duration = Duration::from_secs(1);

/// A positive reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    text: String,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl From<&Response> for Reply {
    fn from(response: &Response) -> Self {
        let text = response.message().collect::<Vec<_>>().join(" ");
        Self { code: response.code().into(), text: one_line(&text) }
    }
}

/// Hands a message in, and returns what the server says to it.
pub(super) async fn hand_in(
    wire: Wire,
    smtp: &Smtp,
    tls: Option<&Tls>,
    message: &Message,
    deadline: Instant,
) -> Result<Reply, MailFault> {
    let hello = ClientId::Domain(smtp.hello_name.clone());
    let greeted = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello).await;
    let mut server = greeted.map_err(|error| MailFault::of(&error, "the connection"))?;
    if let (MailSecurity::StartTls, Some(tls)) = (smtp.security, tls) {
        let failed = |why: String| MailFault::Tls(smtp.host_and_port(), why);
        if !server.can_starttls() {
            return Err(failed("the server does not offer STARTTLS".to_owned()));
        }
        server.starttls(tls.parameters.clone(), &hello).await.map_err(|error| match error.status() {
            Some(_) => MailFault::of(&error, "STARTTLS"),
            None => failed(innermost(&error)),
        })?;
    }
    log_in(&mut server, smtp).await?;
    let reply = mail(&mut server, message).await?;
    // Taken is taken, however the farewell goes.
    let _ = timeout_at((Instant::now() + FAREWELL).min(deadline), server.quit()).await;
    Ok(reply)
}

async fn log_in(server: &mut AsyncSmtpConnection, smtp: &Smtp) -> Result<(), MailFault> {
    let Some((username, password)) = &smtp.credentials else { return Ok(()) };
    if server.server_info().get_auth_mechanism(MECHANISMS).is_none() {
        return Err(MailFault::NoMechanism);
    }
    let credentials = Credentials::new(username.clone(), password.expose_secret().to_owned());
    match server.auth(MECHANISMS, &credentials).await {
        Ok(_) => Ok(()),
        // What the server says to credentials is not shown: it may repeat them.
        Err(error) => Err(match error.status() {
            Some(code) => {
                let (stage, text) = ("the user name or password", String::new());
                MailFault::Refused { stage, code: code.into(), text, auth: error.is_permanent() }
            }
            None => MailFault::of(&error, "the credentials"),
        }),
    }
}

async fn mail(server: &mut AsyncSmtpConnection, message: &Message) -> Result<Reply, MailFault> {
    let envelope = &message.envelope;
    let mut parameters = Vec::new();
    if envelope.to().iter().chain(envelope.from()).any(|address| !address.to_string().is_ascii()) {
        if !server.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(MailFault::NotAscii);
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let refused = |stage| move |error: lettre::transport::smtp::Error| MailFault::of(&error, stage);
    server.command(Mail::new(envelope.from().cloned(), parameters)).await.map_err(refused("the sender"))?;
    for to in envelope.to() {
        server.command(Rcpt::new(to.clone(), Vec::new())).await.map_err(refused("the recipient"))?;
    }
    let ready = server.command(Data).await.map_err(refused("the mail"))?;
    if !ready.has_code(354) {
        return Err(MailFault::Closed("before it was done", format!("{} in answer to DATA", ready.code())));
    }
    let taken = server.message(&message.bytes).await.map_err(refused("the mail"))?;
    let reply = Reply::from(&taken);
    if reply.code >= 300 {
        return Err(MailFault::Closed("before it was done", format!("{reply} in answer to the mail")));
    }
    Ok(reply)
}

/// The cause at the bottom of an error.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}
