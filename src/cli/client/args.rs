//! The arguments of the commands that ask a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::domain::{Clock, Timestamp};
use crate::system::SystemClock;

/// Which server, and how results are printed.
#[derive(Debug, Args)]
pub(in crate::cli) struct ClientArgs {
    /// The URL of the server.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "ORDERHOOK_SERVER")]
    pub(super) server: String,
    /// The token, where the server needs one. Others on this machine can see it; prefer --token-file.
    #[arg(long, global = true, value_name = "TOKEN", env = "ORDERHOOK_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// A file with the token.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Print a line of JSON for each entry instead of a table.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// How much of a list.
#[derive(Debug, Args)]
pub(in crate::cli) struct PageArgs {
    /// Entries at most.
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "all")]
    pub(super) limit: usize,
    /// All entries, however many.
    #[arg(long)]
    pub(super) all: bool,
}

/// Why something is changed.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReasonArgs {
    /// Why; kept with the change.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// A time range.
#[derive(Debug, Args)]
pub(in crate::cli) struct TimeArgs {
    /// At that time or later: RFC 3339, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<String>,
    /// Before that time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) until: Option<String>,
}

/// A time as the API takes it.
pub(in crate::cli) fn time(text: &str) -> Result<String, String> {
    if text.parse::<Timestamp>().is_ok() {
        return Ok(text.to_owned());
    }
    let ago = humantime::parse_duration(text)
        .map_err(|_| "expected an RFC 3339 time such as 2026-01-31T12:00:00Z, or a duration such as 2h".to_owned())?;
    Ok(SystemClock.now().before(ago).to_string())
}

/// The filters of orders.
#[derive(Debug, Args)]
pub(in crate::cli) struct OrderFilters {
    /// processing, completed or rejected; repeatable.
    #[arg(long)]
    status: Vec<String>,
    /// The order's type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// The order's own id, or `ord_…`.
    #[arg(long, value_name = "ID")]
    order_id: Option<String>,
    /// A text in the order's id, the customer's e-mail or the body.
    #[arg(long, short, value_name = "TEXT")]
    q: Option<String>,
    #[command(flatten)]
    time: TimeArgs,
}

/// The filters of deliveries.
#[derive(Debug, Args)]
pub(in crate::cli) struct DeliveryFilters {
    /// pending, accepted, dispatched, rejected, failed or cancelled; repeatable.
    #[arg(long)]
    pub(super) status: Vec<String>,
    /// The channel.
    #[arg(long)]
    pub(super) channel: Option<String>,
    /// The order's own id, or `ord_…`.
    #[arg(long, value_name = "ID")]
    pub(super) order_id: Option<String>,
    /// The code of the last attempt: 503, 5xx, -5; repeatable.
    #[arg(long, allow_hyphen_values = true)]
    pub(super) code: Vec<String>,
    /// The number of a cause in `orderhook problems --json`.
    #[arg(long)]
    pub(super) cause: Option<String>,
    /// A text in the order's id, the customer's e-mail or the body.
    #[arg(long, short, value_name = "TEXT")]
    pub(super) q: Option<String>,
    #[command(flatten)]
    pub(super) time: TimeArgs,
}

impl OrderFilters {
    pub(super) fn query(&self) -> Vec<(String, String)> {
        let mut pairs = several("status", &self.status);
        pairs.extend(one("type", self.kind.as_ref()));
        pairs.extend(one("order_id", self.order_id.as_ref()));
        pairs.extend(one("q", self.q.as_ref()));
        pairs.extend(self.time.query());
        pairs
    }
}

impl TimeArgs {
    fn query(&self) -> Vec<(String, String)> {
        one("since", self.since.as_ref()).into_iter().chain(one("until", self.until.as_ref())).collect()
    }
}

impl DeliveryFilters {
    pub(super) fn query(&self) -> Vec<(String, String)> {
        let mut pairs = several("status", &self.status);
        pairs.extend(one("channel", self.channel.as_ref()));
        pairs.extend(one("order_id", self.order_id.as_ref()));
        pairs.extend(several("code", &self.code));
        pairs.extend(one("cause", self.cause.as_ref()));
        pairs.extend(one("q", self.q.as_ref()));
        pairs.extend(self.time.query());
        pairs
    }

    /// As the body of a bulk call.
    pub(super) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        for (name, value) in self.query() {
            match body.get_mut(&name) {
                Some(Value::Array(values)) => values.push(value.into()),
                _ if name == "status" || name == "code" => _ = body.insert(name, vec![value].into()),
                _ => _ = body.insert(name, value.into()),
            }
        }
        body
    }
}

fn one(name: &str, value: Option<&String>) -> Option<(String, String)> {
    value.map(|value| (name.to_owned(), value.clone()))
}

fn several(name: &str, values: &[String]) -> Vec<(String, String)> {
    values.iter().map(|value| (name.to_owned(), value.clone())).collect()
}

/// Many deliveries at once.
#[derive(Debug, Args)]
pub(in crate::cli) struct ManyArgs {
    /// Deliveries, `dlv_…`; without any, all that the filters take.
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) filters: DeliveryFilters,
    #[command(flatten)]
    pub(super) reason: ReasonArgs,
    /// Do not ask before many are changed.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Only count, and show three.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// `orderhook orders …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OrdersCommand {
    /// List orders, the newest first.
    #[command(after_help = "Example:\n  orderhook orders list --status rejected --since 2h")]
    List {
        #[command(flatten)]
        filters: OrderFilters,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an order with its steps and deliveries.
    #[command(after_help = "Example:\n  orderhook orders show SO-1")]
    Show {
        /// The order's own id, or `ord_…`.
        id: String,
    },
    /// Deliver an order's last event once more, to one channel.
    #[command(after_help = "Example:\n  orderhook orders deliver SO-1 --channel crm --reason 'new customer system'")]
    Deliver {
        /// The order's own id, or `ord_…`.
        id: String,
        /// The channel.
        #[arg(long)]
        channel: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Run the chain of a rejected order again, from the step that failed.
    #[command(after_help = "Example:\n  orderhook orders rerun SO-1 --reason 'limit raised'")]
    Rerun {
        /// The order's own id, or `ord_…`.
        id: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Retry deliveries of an order that failed, were rejected or cancelled.
    #[command(after_help = "Example:\n  orderhook orders retry SO-1")]
    Retry {
        /// The order's own id, or `ord_…`.
        id: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Cancel the open deliveries of an order.
    #[command(after_help = "Example:\n  orderhook orders cancel SO-1 --reason 'order withdrawn'")]
    Cancel {
        /// The order's own id, or `ord_…`.
        id: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

/// `orderhook deliveries …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeliveriesCommand {
    /// List deliveries, the newest first.
    #[command(after_help = "Example:\n  orderhook deliveries list --status failed --code 5xx --since 2h")]
    List {
        #[command(flatten)]
        filters: DeliveryFilters,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a delivery with its attempts.
    #[command(after_help = "Example:\n  orderhook deliveries show dlv_0198f0a2-7c1e-7000-8000-0123456789ab")]
    Show {
        /// The delivery, `dlv_…`.
        id: String,
    },
    /// Start a new round of attempts.
    #[command(after_help = "Example:\n  orderhook deliveries retry --channel erp --code 5xx --since 2h")]
    Retry(ManyArgs),
    /// Make no further attempt.
    #[command(after_help = "Example:\n  orderhook deliveries cancel --channel old-erp --yes --reason 'replaced'")]
    Cancel(ManyArgs),
    /// Mark dispatched deliveries as accepted.
    #[command(after_help = "Example:\n  orderhook deliveries accept dlv_0198f0a2-7c1e-7000-8000-0123456789ab")]
    Accept {
        /// Deliveries, `dlv_…`.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Mark dispatched deliveries as failed.
    #[command(
        after_help = "Example:\n  orderhook deliveries fail dlv_0198f0a2-7c1e-7000-8000-0123456789ab --reason lost"
    )]
    Fail {
        /// Deliveries, `dlv_…`.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

/// `orderhook channels …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ChannelsCommand {
    /// List channels.
    #[command(after_help = "Example:\n  orderhook channels list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a channel with its configuration.
    #[command(after_help = "Example:\n  orderhook channels show erp")]
    Show {
        /// The channel.
        name: String,
    },
    /// Stop channels for a while; their deliveries wait.
    #[command(after_help = "Example:\n  orderhook channels pause erp --reason 'inventory'")]
    Pause {
        /// Channels.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Give the pending deliveries of a channel to another one.
    #[command(after_help = "Example:\n  orderhook channels move old-erp --to erp --reason renamed")]
    Move {
        /// The channel that they wait for; it need not be configured any more.
        name: String,
        /// The channel that gets them.
        #[arg(long, value_name = "CHANNEL")]
        to: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Let paused or disabled channels deliver again.
    #[command(after_help = "Example:\n  orderhook channels resume erp")]
    Resume {
        /// Channels.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}
