//! What the demo shows: a picture drawn anew on a terminal, a line for each thing that happens elsewhere.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::cli::output;

use super::happening::Happening;
use super::orders;

/// Lines of what happened last, on a terminal.
const LAST: usize = 10;

/// What is known so far, and how it is shown.
pub(super) struct Show {
    live: bool,
    address: SocketAddr,
    other_port: bool,
    completed: u64,
    rejected: u64,
    processing: u64,
    unanswered: u64,
    fastest_ms: Vec<f64>,
    calls: BTreeMap<&'static str, (u64, u64)>,
    /// Attempts seen of each order by each receiver.
    seen: HashMap<(&'static str, String), u32>,
    channels: Vec<Value>,
    last: VecDeque<String>,
    drawn: usize,
}

fn paint(color: AnsiColor, text: &str) -> String {
    let style = Style::new().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}

fn bold(text: &str) -> String {
    let style = Style::new().bold();
    format!("{style}{text}{style:#}")
}

impl Show {
    pub(super) fn new(address: SocketAddr, other_port: bool) -> Self {
        Self {
            live: std::io::stdout().is_terminal(),
            address,
            other_port,
            completed: 0,
            rejected: 0,
            processing: 0,
            unanswered: 0,
            fastest_ms: Vec::new(),
            calls: BTreeMap::new(),
            seen: HashMap::new(),
            channels: Vec::new(),
            last: VecDeque::new(),
            drawn: 0,
        }
    }

    /// What is running, and what to try.
    pub(super) fn begin(&self) {
        let base = format!("http://{}", self.address);
        let other = if self.other_port { " (the usual port is taken)" } else { "" };
        output::line(&format!(
            "{} at {base}{other}\n\n\
             chain    checkout: stock (critical, rejects sold-out products), loyalty (slow, runs in the background)\n\
             channels erp (good), shipping (flaky: every third attempt fails and is retried)\n\n\
             try      curl -s {base}/v1/orders?limit=3\n         \
                      curl -s {base}/v1/orders/A-1001\n         \
                      curl -s '{base}/v1/deliveries?channel=shipping&limit=3'\n         \
                      curl -s {base}/v1/orders -H 'content-type: application/json' -d '{{\"id\": \"mine\"}}'\n         \
                      curl -s {base}/metrics\n",
            bold("orderhook demo"),
        ));
    }

    pub(super) fn happened(&mut self, happening: Happening) {
        let line = match happening {
            Happening::Order { id, result, took } => self.order(&id, result, took),
            Happening::Received { receiver, order, status } => self.received(receiver, &order, status),
        };
        if self.live {
            if self.last.len() == LAST {
                self.last.pop_front();
            }
            self.last.push_back(line);
        } else {
            output::line(&line);
        }
    }

    fn order(&mut self, id: &str, result: Result<(u16, Value), String>, took: Duration) -> String {
        let ms = took.as_secs_f64() * 1000.0;
        self.fastest_ms.push(ms);
        let (color, text) = match result {
            Ok((201, _)) => {
                self.completed += 1;
                (AnsiColor::Green, "201 completed".to_owned())
            }
            Ok((202, _)) => {
                self.processing += 1;
                (AnsiColor::Green, "202 accepted, its last step goes on".to_owned())
            }
            Ok((status, answer)) => {
                self.rejected += 1;
                let detail = answer.get("detail").and_then(Value::as_str).unwrap_or_default().to_owned();
                (AnsiColor::Yellow, format!("{status} rejected: {detail}"))
            }
            Err(error) => {
                self.unanswered += 1;
                (AnsiColor::Red, format!("no answer: {error}"))
            }
        };
        format!("order    {id}  {} {ms:>7.1} ms", paint(color, &text))
    }

    fn received(&mut self, receiver: &'static str, order: &str, status: u16) -> String {
        let calls = self.calls.entry(receiver).or_default();
        calls.0 += 1;
        calls.1 += u64::from(status >= 300);
        let attempt = self.seen.entry((receiver, order.to_owned())).and_modify(|seen| *seen += 1).or_insert(1);
        let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
        let color = if status < 300 { AnsiColor::Green } else { AnsiColor::Yellow };
        format!("{receiver:<8} {order}  {}{again}", paint(color, &format!("answered {status}")))
    }

    pub(super) fn channels(&mut self, channels: Vec<Value>) {
        self.channels = channels;
    }

    /// Whether every delivery has reached its end.
    pub(super) fn is_settled(&self) -> bool {
        let open = |channel: &Value, name| channel.get(name).and_then(Value::as_u64).unwrap_or(1);
        !self.channels.is_empty()
            && self.channels.iter().all(|c| open(c, "waiting") == 0 && open(c, "in_flight") == 0)
            && self.is_whole()
    }

    /// Whether each order that was accepted has reached both channels.
    pub(super) fn is_whole(&self) -> bool {
        let orders = self.completed + self.processing;
        // Orders that somebody posts by hand meanwhile are welcome, and not counted.
        let reached = |receiver| {
            let of_ours = |(name, order): &&(&str, String)| *name == receiver && order.starts_with(orders::PREFIX);
            self.seen.keys().filter(of_ours).count() as u64
        };
        self.unanswered == 0 && reached("erp") == orders && reached("shipping") == orders
    }

    /// The picture, on a terminal; elsewhere lines have been written as things happened.
    pub(super) fn draw(&mut self) {
        if !self.live {
            return;
        }
        let picture = self.picture();
        let mut out = String::new();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A\x1b[0J", self.drawn);
        }
        out.push_str(&picture);
        self.drawn = picture.lines().count();
        let mut stdout = anstream::stdout();
        let _ = stdout.write_all(out.as_bytes());
        let _ = stdout.flush();
    }

    fn picture(&self) -> String {
        let mut out = self.counts();
        let _ = writeln!(out);
        for line in &self.last {
            let _ = writeln!(out, "{line}");
        }
        let _ = writeln!(out, "\nCtrl-C ends the demo.");
        out
    }

    fn counts(&self) -> String {
        let mut out = String::new();
        let mut times = self.fastest_ms.clone();
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let answered = self.completed + self.processing + self.rejected;
        let _ = writeln!(
            out,
            "{} {answered} answered, median {median:.1} ms: {} accepted, {} rejected, {} without an answer",
            bold("orders  "),
            self.completed + self.processing,
            self.rejected,
            self.unanswered
        );
        for (receiver, (calls, failed)) in &self.calls {
            let of = self.channels.iter().find(|channel| channel.get("name").and_then(Value::as_str) == Some(receiver));
            let number = |name| of.and_then(|channel| channel.get(name)).and_then(Value::as_u64).unwrap_or_default();
            let kind = if of.is_some() {
                format!("{} waiting, {} in flight", number("waiting"), number("in_flight"))
            } else {
                "callout".to_owned()
            };
            let orders = self.seen.keys().filter(|(name, _)| name == receiver).count();
            let _ = writeln!(
                out,
                "{} {orders} orders in {calls} calls, {failed} refused ({kind})",
                bold(&format!("{receiver:<8}"))
            );
        }
        out
    }

    /// The summary.
    pub(super) fn end(&mut self) {
        if self.live {
            self.draw();
        }
        let whole = if self.is_whole() {
            paint(AnsiColor::Green, "every accepted order has reached every channel")
        } else {
            paint(AnsiColor::Yellow, "deliveries were still under way")
        };
        let counts = if self.live { String::new() } else { format!("\n{}", self.counts()) };
        output::line(&format!("{counts}{whole}"));
    }
}
