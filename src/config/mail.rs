//! Mail: the section `smtp`, a channel's `email` block, and what a channel of kind `email` may not say.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::{Host, Url};

use super::faults::Report;
use super::field::Field;
use super::fingerprints::Fingerprint;
use super::node::{Data, Node, present};
use super::read::Reader;
use super::schema::EMAIL_KEYS;
use super::secrets::credentials;
use super::settings::{ChannelKind, Email, MailSecurity, Smtp};
use crate::domain::{Mailbox, Outcomes};
use crate::template::{Language, Syntax, Target, Template};

/// The mail server, as far as it is known when channels are read.
pub(crate) enum MailServer {
    /// There is none.
    None,
    /// Something is wrong with it, and reported.
    Wrong,
    /// This one.
    Known(Arc<Smtp>, Fingerprint),
}

impl MailServer {
    /// The section `smtp`.
    pub(crate) fn read(root: &Reader<'_>) -> Self {
        match root.optional("smtp", |field| smtp(&field.masked().block()?)) {
            Some(None) => Self::None,
            Some(Some(smtp)) => {
                let fingerprint = Fingerprint::of(root.get("smtp").map(Field::node), root.report());
                Self::Known(Arc::new(smtp), fingerprint)
            }
            None => Self::Wrong,
        }
    }

    /// The server itself; `None` where it is wrong.
    #[expect(clippy::option_option, reason = "wrong is not the same as absent")]
    pub(crate) fn known(&self) -> Option<Option<Arc<Smtp>>> {
        match self {
            Self::None => Some(None),
            Self::Wrong => None,
            Self::Known(smtp, _) => Some(Some(Arc::clone(smtp))),
        }
    }

    /// Of all that is known of it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        if let Self::Known(_, fingerprint) = self { *fingerprint } else { Fingerprint::all([]) }
    }
}

fn smtp(block: &Reader<'_>) -> Option<Smtp> {
    let server = block.get("url").and_then(server);
    let from: Option<Mailbox> = block.get("from").and_then(|field| {
        field.text()?.parse().map_err(|error: crate::domain::NoMailbox| field.wrong_with::<()>(&error.to_string())).ok()
    });
    let username = block.optional("username", |field| field.text().map(str::to_owned));
    let password = block.optional("password", Field::filled_secret);
    let ca = block.optional("ca_file", certificates);
    let hello_name = block.optional("hello_name", |field| {
        let fine = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        field.text_as(|text| fine(text).then(|| text.to_owned()))
    });
    let ((security, host, port), from) = (server?, from?);
    let refuse = |key: &str, message: &str| block.get(key).map(|field| field.fault(message));
    let credentials = match (username?, password?) {
        (Some(_), Some(_)) if security == MailSecurity::None && !is_this_machine(&host) => {
            refuse(
                "url",
                "a password would travel unprotected; use smtp+starttls:// or smtps:// (smtp:// with a password is for this machine only)",
            )?;
            return None;
        }
        (Some(username), Some(password)) => Some((username, password)),
        (None, None) => None,
        (Some(_), None) => {
            refuse("username", "also needs password (or password_file)")?;
            return None;
        }
        (None, Some(_)) => {
            refuse("password", "also needs username")?;
            return None;
        }
    };
    let own = Host::parse(&from.domain).map_or_else(|_| from.domain.clone(), |domain| domain.to_string());
    Some(Smtp {
        host,
        port,
        security,
        hello_name: hello_name?.unwrap_or(own),
        from,
        credentials,
        ca: ca?.unwrap_or_default(),
    })
}

/// When TLS begins, the host and the port, by a URL.
fn server(field: &Field<'_>) -> Option<(MailSecurity, String, u16)> {
    let text = field.text()?;
    if credentials(text).is_some() {
        return field.wrong_with("credentials belong in username and password");
    }
    let Some(url) = Url::parse(text).ok().filter(|_| text.contains("://")) else { return field.wrong() };
    let security = MailSecurity::ALL.iter().copied().find(|security| security.scheme() == url.scheme());
    let (Some(security), Some(host)) = (security, url.host_str().filter(|host| !host.is_empty())) else {
        return field.wrong();
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return field.wrong_with("nothing follows the port");
    }
    let port = url.port().unwrap_or(security.default_port());
    if port == 0 { field.wrong_with("0 is not a valid port") } else { Some((security, host.to_owned(), port)) }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The certificates in a PEM file, in DER.
fn certificates(field: &Field<'_>) -> Option<Vec<Vec<u8>>> {
    let path = field.text()?;
    let pem =
        field.report().read(path).map_err(|error| field.fault(format!("the file cannot be read: {error}"))).ok()?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(found) if !found.is_empty() => Some(found.iter().map(|certificate| certificate.to_vec()).collect()),
        _ => {
            field.fault("the file contains no certificates in PEM");
            None
        }
    }
}

/// What kind of channel it is.
pub(crate) fn kind(block: &Reader<'_>) -> Option<ChannelKind> {
    block.get("kind")?.choice(|word| match word {
        "http" => Some(ChannelKind::Http),
        "email" => Some(ChannelKind::Email),
        _ => None,
    })
}

/// Where a channel of kind `email` sends to.
pub(crate) fn url(smtp: &MailServer) -> Option<Template> {
    let url = smtp.known()?.map_or_else(String::new, |smtp| smtp.url());
    Template::compile(Syntax::Jinja, &url, Target::Text).ok()
}

/// Whether a block, as merged or written, is that of a channel of kind `email`.
pub(crate) fn is_email(node: &Node) -> bool {
    node.get("kind").is_some_and(|kind| kind.data == Data::Text("email".to_owned()))
}

/// Reports the keys that a channel of kind `email` names although they are about HTTP.
pub(crate) fn refuse_http_keys(own: &Field<'_>, known: impl Fn(&str) -> bool, report: &Report) -> Option<()> {
    let mut fine = Some(());
    for (name, node) in own.node().entries() {
        if known(name) && !EMAIL_KEYS.contains(&name.as_str()) && present(Some(node)).is_some() {
            report.fault(&node.from, &own.path().key(name), "is for channels of kind http; this one is of kind email");
            fine = None;
        }
    }
    fine
}

/// A channel's `email` block, where it has one. `outcomes` are those of its mails.
#[expect(clippy::option_option, reason = "wrong is not the same as absent")]
pub(crate) fn email(
    channel: &Reader<'_>,
    kind: ChannelKind,
    language: &Language,
    server: &MailServer,
    outcomes: Option<Outcomes>,
) -> Option<Option<Email>> {
    let Some(field) = channel.get("email") else {
        return match kind {
            ChannelKind::Http => Some(None),
            ChannelKind::Email => channel.refuse("is of kind email; needs email: {to, subject, body}"),
        };
    };
    let block = field.block()?;
    let text = |name: &str, target| block.optional(name, |field| field.template(language, target));
    let to = block.optional("to", |field| {
        let template = field.template(language, Target::Text)?;
        match template.as_static().map(str::parse::<Mailbox>) {
            Some(Err(error)) => field.wrong_with(&error.to_string()),
            _ => Some(template),
        }
    });
    let subject = text("subject", Target::Text);
    let (body, instructions) = (text("body", Target::Markup), text("instructions", Target::Markup));
    let (mut to, mut subject, body, instructions) = (to?, subject?, body?, instructions?);
    let default = |source| Template::compile(Syntax::Jinja, source, Target::Text).ok();
    match kind {
        ChannelKind::Http if body.is_some() => {
            return block.refuse("has body, which is for channels of kind email; here the response is the text");
        }
        ChannelKind::Email if instructions.is_some() => {
            return block.refuse("has instructions, which are for channels of kind http; here all text is in body");
        }
        ChannelKind::Email if body.is_none() => return block.refuse("needs body: the channel is of kind email"),
        ChannelKind::Email if subject.is_none() => return block.refuse("needs subject: the channel is of kind email"),
        ChannelKind::Http => subject = subject.or_else(|| default("Your order {{ order.id }}")),
        ChannelKind::Email => {}
    }
    to = to.or_else(|| default("{{ customer_email }}"));
    let Some(smtp) = server.known()? else {
        field.fault("sends e-mail, which needs a mail server: smtp: {url, from} at the top level");
        return None;
    };
    Some(Some(Email { smtp, to: to?, subject: subject?, body, instructions, outcomes: outcomes? }))
}
