//! The sender of a channel: its clients, and the fixed part of its requests.

use std::sync::Arc;

use crate::config::settings::{Channel, Settings};
use crate::domain::Clock;
use crate::outbound::mail::Mailer;
use crate::outbound::{Client, ClientOptions};
use crate::template::Host;

use super::request::RequestTemplate;

/// Sends the requests and mails of one channel.
pub(super) struct ChannelSender {
    pub(super) channel: Arc<Channel>,
    /// The fixed part of its requests, or the reason why none can be built.
    pub(super) request_template: Result<RequestTemplate, String>,
    pub(super) client: Client,
    /// Its mail client, if it sends mails.
    pub(super) mailer: Option<Mailer>,
}

impl ChannelSender {
    /// Builds the sender of a channel. `Err` says what its settings lack.
    pub(super) fn new(channel: &Arc<Channel>, settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        let client = Client::new(&ClientOptions {
            timeout: channel.timeout,
            max_response: channel.max_response,
            // Half a text is not to be mailed.
            refuse_large: channel.require_text || channel.email.is_some(),
            pool: channel.concurrency,
            resend: false, // its attempts are on record, and tried again by its rules
            auth: channel.auth.clone(),
            shared: channel.signing.as_ref().map(|keys| keys.secrets().to_vec()).unwrap_or_default(),
            egress: Arc::clone(&settings.egress),
            covered: channel.url.host() == Host::Filled,
            clock: Arc::clone(clock),
            tls: channel.tls.clone(),
        });
        let client = client.map_err(|error| format!("channel {}: {error}", channel.name))?;
        let mailer =
            channel.email.as_ref().map(|email| Mailer::new(&email.smtp, channel.timeout, &settings.egress)).transpose();
        let mailer = mailer.map_err(|error| format!("channel {}: smtp: {error}", channel.name))?;
        Ok(Self { channel: Arc::clone(channel), request_template: RequestTemplate::new(channel), client, mailer })
    }
}
