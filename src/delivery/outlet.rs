//! What attempts are made with: an [`Outlet`] for each channel, and one [`Kit`] for all.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::config::settings::{Channel, Settings};
use crate::domain::{Clock, IdSource, SettleKeys};
use crate::outbound::mail::Mailer;
use crate::outbound::{Client, ClientOptions};
use crate::routing::Router;
use crate::template::Host;

use super::request::Blueprint;
use super::suspects::Suspects;

/// Where a channel's requests and mails go out.
pub(super) struct Outlet {
    pub(super) channel: Arc<Channel>,
    /// What of its requests is always the same, or why there can be none.
    pub(super) blueprint: Result<Blueprint, String>,
    pub(super) client: Client,
    /// Where it sends mails.
    pub(super) mailer: Option<Mailer>,
}

impl Outlet {
    /// The outlet of a channel. `Err` says what cannot be built of its settings.
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
        Ok(Self { channel: Arc::clone(channel), blueprint: Blueprint::new(channel), client, mailer })
    }
}

/// What every attempt needs of the rest.
pub(super) struct Kit {
    /// Of the configuration that holds now.
    router: ArcSwap<Router>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: IdSource,
    pub(super) settle_keys: Arc<SettleKeys>,
    /// Deliveries that were under way when the process died.
    pub(super) suspects: Suspects,
}

impl Kit {
    pub(super) fn new(router: Arc<Router>, clock: Arc<dyn Clock>, ids: IdSource, settle_keys: Arc<SettleKeys>) -> Self {
        let suspects = Suspects::new(clock.now());
        Self { router: ArcSwap::new(router), clock, ids, settle_keys, suspects }
    }

    /// Where events go, and what templates can name. To be let go of soon.
    pub(super) fn router(&self) -> Guard<Arc<Router>> {
        self.router.load()
    }

    /// Goes by another router from now on.
    pub(super) fn route_by(&self, router: Arc<Router>) {
        self.router.store(router);
    }
}
