//! The settings as the service uses them: typed, checked, templates compiled.

mod auth;
mod mail;
mod server;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::fingerprints::{Fingerprint, Fingerprints};
pub use super::holding::Holding;
pub use super::network::{Egress, Place, Proxy};
pub use super::tls::{Identity, Tls};
use crate::domain::{EventPattern, Granularity, HeaderSet, Outcomes, RetryPolicy, Schedule, SigningKeys, UrlRules};
use crate::template::{Expression, PathFilter, Syntax, Target, Template};
pub use auth::{Auth, ClientCredentials, JwtBearer, JwtUse};

pub use mail::{ChannelKind, Email, MailSecurity, Smtp};
pub use server::{Scope, Server, Token};
pub use telemetry::Otlp;

/// Everything that a configuration says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The HTTP server.
    pub server: Server,
    pub store: Store,
    /// Bounds over all channels.
    pub delivery: Delivery,
    /// What outbound connections may reach.
    pub egress: Arc<Egress>,
    /// Where an order says what it is.
    pub orders: Orders,
    /// The longest processor time of one template or condition.
    pub template_timeout: Duration,
    /// The chains, in the order in which they are tried.
    pub chains: Vec<Arc<Chain>>,
    /// The channels, in the order of the configuration.
    pub channels: Vec<Arc<Channel>>,
    /// Which channel an order's trading partners use; none: the subscriptions hold.
    pub relationships: Option<Relationships>,
    /// The collector of traces; `None`: no spans are recorded.
    pub otlp: Option<Otlp>,
    /// Keys of a file that a later file replaces, each as a sentence.
    pub overrides: Vec<String>,
    /// What all other keys said, to be compared with what they say next time.
    pub fingerprints: Fingerprints,
}

/// Which channel the orders of two trading partners go to.
#[derive(Debug, Clone)]
pub struct Relationships {
    /// Pointers to the sender, the receiver and the type of an order.
    pub pointers: [Option<String>; 3],
    /// The channel of a relationship that no route fits.
    pub default_channel: Option<Arc<str>>,
    /// The routes: those that name more before those that name less, else in the order of the configuration.
    pub routes: Vec<Route>,
}

/// A route of relationships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The sender, the receiver and the type that it fits; `None` fits any, also none.
    pub parties: [Option<String>; 3],
    pub channel: Arc<str>,
}

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    /// `sqlite://PATH` or `postgres://USER@HOST/DATABASE`.
    pub url: String,
    /// The password of a PostgreSQL server, where the URL has none.
    pub password: Option<SecretString>,
    /// How long a start waits for a PostgreSQL server.
    pub connect_timeout: Duration,
    /// The most connections to a PostgreSQL server.
    pub connections: u16,
    /// How long completed orders are kept; `None` for ever.
    pub retention: Option<Duration>,
    /// The most that the database file may grow to, in bytes; `None` without bound.
    pub max_size: Option<u64>,
}

impl Store {
    /// Whether several replicas may work on it.
    pub fn is_shared(&self) -> bool {
        !self.url.starts_with("sqlite:")
    }
}

/// Bounds over all channels.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The most attempts in flight over all channels.
    pub workers: usize,
    /// Bytes of deliveries that a channel may hold in memory.
    pub lane_memory: usize,
    /// Orders of one chain that run at once while their caller waits, and as many in the background.
    pub chain_concurrency: usize,
}

impl Delivery {
    /// How many workers are reserved for each of `channels` enabled channels: half of all in equal parts, one at least
    /// while there are as many workers. The rest is shared by all. `None` without channels.
    pub fn worker_share(&self, channels: usize) -> Option<usize> {
        let share = (self.workers / 2).checked_div(channels)?;
        Some(if share == 0 { usize::from(self.workers >= channels) } else { share })
    }
}

/// Where an order says what it is: JSON pointers (RFC 6901).
#[derive(Debug, Clone)]
pub struct Orders {
    /// The order's own id.
    pub id: String,
    /// The order's type.
    pub kind: String,
    /// The list of its items.
    pub items: String,
    /// How many units of an item, within the item.
    pub quantity: String,
    /// An item's product, within the item or else within the order; the first of these that is there.
    pub product: Vec<String>,
    /// The customer's e-mail address.
    pub customer_email: String,
}

/// A chain of plugins.
#[derive(Debug, Clone)]
pub struct Chain {
    pub name: String,
    /// Which orders take it; none: all.
    pub when: Option<Expression>,
    /// Its steps, in order.
    pub plugins: Vec<Step>,
    /// Of all that it and its calls depend on.
    pub fingerprint: Fingerprint,
}

/// A step of a chain.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name within the chain: `id`, else the plugin's name and its position.
    pub id: String,
    /// The plugin's name.
    pub plugin: String,
    /// Whether its failure rejects the order.
    pub critical: bool,
    /// Whether it runs; none: always.
    pub when: Option<Expression>,
    /// What the plugin is told.
    pub options: PluginOptions,
}

/// The options of each kind of plugin.
#[derive(Debug, Clone)]
pub enum PluginOptions {
    /// Those of `calloutPlugin`.
    Callout(Box<CalloutOptions>),
}

/// The options of `calloutPlugin`.
#[derive(Debug, Clone)]
pub struct CalloutOptions {
    /// `endpoint`: the URL.
    pub endpoint: Template,
    /// The same as configured, without its secrets and without what the environment fills in.
    pub shown_endpoint: String,
    /// `method`.
    pub method: Method,
    /// `body`: replaces the default payload.
    pub body: Option<Template>,
    /// `payload`: what is sent without `body`.
    pub payload: Payload,
    /// `headers`.
    pub headers: Vec<(String, Template)>,
    /// `auth`.
    pub auth: Auth,
    /// `tls`.
    pub tls: Option<Arc<Tls>>,
    /// `timeoutValue`: for the whole exchange.
    pub timeout: Duration,
    /// `shouldRejectOn.status`.
    pub reject_on: Vec<crate::domain::Class>,
    /// `capture`: context names and the pointers into the response that fill them.
    pub capture: Vec<(String, String)>,
}

/// What is sent when no body is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The order with context and metadata.
    Envelope,
    /// The order as received.
    Order,
    /// The parameters as an object, `{}` without any. Of channels only.
    Parameters,
}

impl Payload {
    /// The payload that the configuration calls so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "envelope" => Some(Self::Envelope),
            "order" => Some(Self::Order),
            "parameters" => Some(Self::Parameters),
            _ => None,
        }
    }
}

/// An HTTP method that a request of ours can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// As in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a request with it carries a body: the parameters of the others go into the query.
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A JSON document.
    #[default]
    Json,
    /// Form fields.
    Form,
    /// An XML document.
    Xml,
}

impl Format {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Json, Self::Form, Self::Xml];

    /// Its name in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Form => "form",
            Self::Xml => "xml",
        }
    }

    /// The `Content-Type` of such a body.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Xml => "application/xml",
        }
    }

    /// How values are escaped that are filled into such a body.
    pub const fn target(self) -> Target {
        match self {
            Self::Json => Target::Json,
            Self::Form => Target::Form,
            Self::Xml => Target::Xml,
        }
    }
}

/// A channel.
#[derive(Debug, Clone)]
pub struct Channel {
    pub name: Arc<str>,
    /// How it delivers.
    pub kind: ChannelKind,
    /// The preset it builds on.
    pub preset: String,
    /// Switched on.
    pub enabled: bool,
    /// The events it subscribes to.
    pub events: Vec<EventPattern>,
    /// A condition on them.
    pub when: Option<Expression>,
    /// A further one on the order, as far as `granularity` shows it.
    pub filter: Option<PathFilter>,
    /// How much of the order `filter` and the payload see; `None`: all.
    pub granularity: Option<Granularity>,
    /// Which items of an order it gets, and in which deliveries; `None`: it is not about items.
    pub items: Option<Items>,
    /// A one-off: the pointer to the value that makes a delivery only once.
    pub once_per: Option<String>,
    /// Where it sends to; the mail server for kind `email`.
    pub url: Template,
    /// How.
    pub method: Method,
    /// How its body is written.
    pub format: Format,
    /// How its templates are written.
    pub syntax: Syntax,
    /// The request's fields, in order: those of `parameters`, else of `default_parameters`.
    pub parameters: Vec<(String, Parameter)>,
    /// Replaces the whole body.
    pub body: Option<Template>,
    /// What is sent without `body` and `parameters`.
    pub payload: Payload,
    /// Whether what is filled into parameters and body and is empty goes out as `null`.
    pub empty_as_null: bool,
    /// What its filled URLs must satisfy.
    pub url_rules: UrlRules,
    /// Further headers.
    pub headers: Vec<(String, Template)>,
    /// How it authenticates.
    pub auth: Auth,
    /// The time limit of an attempt.
    pub timeout: Timeout,
    /// By whose secrets its requests are signed.
    pub signing: Option<Arc<SigningKeys>>,
    /// How it speaks TLS; none: as the system says.
    pub tls: Option<Arc<Tls>>,
    /// Bytes of a response that are kept.
    pub max_response: usize,
    /// Whether a delivery is accepted with a text only; a response above `max_response` is refused then.
    pub require_text: bool,
    /// What responses mean.
    pub outcomes: Outcomes,
    /// Whether a 200 whose JSON says that it was no success is tried again.
    pub confirm_body: bool,
    /// Headers that tell a vendor's receivers of the request.
    pub header_set: Vec<HeaderSet>,
    /// When to try again.
    pub retry: RetryPolicy,
    /// When what waits is sent; `None`: at once.
    pub schedule: Option<Schedule>,
    /// Attempts in flight at most.
    pub concurrency: usize,
    /// What holds its deliveries back.
    pub holding: Holding,
    /// The mails it sends; none without.
    pub email: Option<Email>,
    /// Of all that its requests and mails depend on: its keys, and what it takes from other sections.
    pub fingerprint: Fingerprint,
    /// The block as configured, secrets masked: what the API shows.
    pub shown: serde_json::Value,
    /// Where the block is from: a file, or a variable of the environment.
    pub file: Arc<str>,
}

/// Which items of an order a channel gets, and in which deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    /// The products or plans meant; none: all.
    pub products: Vec<String>,
    /// How units become deliveries; `None`: quantities do not matter.
    pub multibuy: Option<Multibuy>,
    /// Units of an order that are sent at most.
    pub multibuy_limit: u64,
}

/// How the units of an order become deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multibuy {
    /// One delivery with the quantity.
    Single,
    /// A delivery for each unit.
    Separate,
}

/// A parameter's value.
#[derive(Debug, Clone)]
pub enum Parameter {
    /// Text to fill in.
    Template(Template),
    /// A number, `true`, `false` or `null`, as configured.
    Literal(serde_json::Value),
}

/// The time limit of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Altogether.
    Total(Duration),
    /// To connect; and from then on, until the response is complete.
    Phases {
        /// To connect, TLS included.
        connect: Duration,
        /// From then on.
        transfer: Duration,
    },
}
