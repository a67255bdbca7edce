//! What the commands do: show one thing, or change some.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::args::{ChannelsCommand, DeliveriesCommand, ManyArgs, OrdersCommand, ReasonArgs};
use super::connection::{Client, Done, Stop};
use super::{lists, shown};
use crate::cli::output;

pub(super) async fn orders(client: &Client, command: OrdersCommand) -> Done {
    match command {
        OrdersCommand::List { filters, page } => {
            lists::list(client, "orders", filters.query(), &page, lists::ORDERS).await
        }
        OrdersCommand::Show { id } => show(client, "orders", &id).await,
        OrdersCommand::Deliver { id, channel, reason } => {
            let mut body = because(&reason);
            body.insert("channel".to_owned(), channel.into());
            let made = client.post(&["v1", "orders", &id, "deliver"], &body.into()).await?;
            shown::one(client, &made);
            Ok(())
        }
        OrdersCommand::Rerun { id, reason } => {
            let order = client.post(&["v1", "orders", &id, "rerun"], &because(&reason).into()).await?;
            shown::one(client, &order);
            Ok(())
        }
        OrdersCommand::Retry { id, reason } => of_order(client, "retry", &id, &reason).await,
        OrdersCommand::Cancel { id, reason } => of_order(client, "cancel", &id, &reason).await,
    }
}

/// Changes the deliveries of one order.
async fn of_order(client: &Client, act: &str, id: &str, reason: &ReasonArgs) -> Done {
    client.get(&["v1", "orders", id], &[]).await?;
    let mut body = because(reason);
    body.insert("order_id".to_owned(), id.into());
    let changed = client.post(&["v1", "deliveries", act], &body.into()).await?;
    count(client, act, &changed);
    Ok(())
}

pub(super) async fn deliveries(client: &Client, command: DeliveriesCommand) -> Done {
    match command {
        DeliveriesCommand::List { filters, page } => {
            lists::list(client, "deliveries", filters.query(), &page, lists::DELIVERIES).await
        }
        DeliveriesCommand::Show { id } => show(client, "deliveries", &id).await,
        DeliveriesCommand::Retry(many) => change(client, "retry", many).await,
        DeliveriesCommand::Cancel(many) => change(client, "cancel", many).await,
        DeliveriesCommand::Accept { ids, reason } => each(client, "deliveries", "accept", &ids, &reason).await,
        DeliveriesCommand::Fail { ids, reason } => each(client, "deliveries", "fail", &ids, &reason).await,
    }
}

pub(super) async fn channels(client: &Client, command: ChannelsCommand) -> Done {
    match command {
        ChannelsCommand::List { page } => lists::list(client, "channels", Vec::new(), &page, lists::CHANNELS).await,
        ChannelsCommand::Show { name } => show(client, "channels", &name).await,
        ChannelsCommand::Pause { names, reason } => each(client, "channels", "pause", &names, &reason).await,
        ChannelsCommand::Move { name, to, reason } => {
            let mut body = because(&reason);
            body.insert("to".to_owned(), to.as_str().into());
            let moved = client.post(&["v1", "channels", &name, "move"], &body.into()).await?;
            if client.json {
                output::line(&moved.to_string());
                return Ok(());
            }
            let number = |member: &str| moved.get(member).and_then(Value::as_u64).unwrap_or(0);
            output::line(&format!("{} moved from {name} to {to}", deliveries_of(number("count"))));
            if number("left") > 0 {
                output::line(&format!("{} under way; move again when they have ended", deliveries_of(number("left"))));
            }
            Ok(())
        }
        ChannelsCommand::Resume { names, reason } => each(client, "channels", "resume", &names, &reason).await,
    }
}

async fn show(client: &Client, what: &str, id: &str) -> Done {
    shown::one(client, &client.get(&["v1", what, id], &[]).await?);
    Ok(())
}

/// Changes named things one by one. What fails is reported, the others are changed all the same.
async fn each(client: &Client, what: &str, act: &str, names: &[String], reason: &ReasonArgs) -> Done {
    let body = Value::from(because(reason));
    let mut failed = Vec::new();
    for name in names {
        match client.post(&["v1", what, name, act], &body).await {
            Ok(changed) if client.json => output::line(&changed.to_string()),
            Ok(changed) => {
                let now = changed.get("status").or_else(|| changed.get("state")).and_then(Value::as_str);
                output::line(&format!("{name} is {} now", now.unwrap_or("changed")));
            }
            Err(Stop::Failed(why)) => failed.push(format!("{name}: {why}")),
            Err(other) => return Err(other),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Stop::Failed(failed.join("\n"))) }
}

/// Changes the deliveries that are named, or all that the filters take once a person has agreed.
async fn change(client: &Client, act: &str, many: ManyArgs) -> Done {
    let ManyArgs { ids, filters, reason, yes, dry_run } = many;
    let filter = filters.body();
    if !ids.is_empty() {
        if !filter.is_empty() || dry_run {
            return Err(Stop::Misused("give deliveries or filters, not both".to_owned()));
        }
        return each(client, "deliveries", act, &ids, &reason).await;
    }
    if filter.is_empty() {
        return Err(Stop::Misused("give deliveries, or filters such as --channel or --status".to_owned()));
    }
    let path = ["v1", "deliveries", act];
    if dry_run || !yes {
        let mut body = filter.clone();
        body.insert("dry_run".to_owned(), true.into());
        let found = client.post(&path, &body.into()).await?;
        let number = found.get("count").and_then(Value::as_u64).unwrap_or(0);
        if dry_run {
            if client.json {
                output::line(&found.to_string());
                return Ok(());
            }
            output::line(&format!("{} would be changed by {act}", deliveries_of(number)));
            let examples = found.get("examples").and_then(Value::as_array).cloned().unwrap_or_default();
            shown::table(lists::DELIVERIES, &examples);
            return Ok(());
        }
        if number > 0 && !agreed(act, number)? {
            return Err(Stop::Failed("nothing was changed".to_owned()));
        }
    }
    let mut body = filter;
    body.extend(because(&reason));
    body.insert("background".to_owned(), true.into());
    let job = client.post(&path, &body.into()).await?;
    let done = followed(client, job).await?;
    count(client, act, &json!({"count": done}));
    Ok(())
}

/// Waits for the end of a change in the background, and shows how far it is on a terminal. Returns how many were changed.
async fn followed(client: &Client, mut job: Value) -> Result<u64, Stop> {
    let number = |job: &Value, member: &str| job.get(member).and_then(Value::as_u64).unwrap_or(0);
    let text = |job: &Value, member: &str| job.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, seen) = (text(&job, "id"), std::io::stderr().is_terminal() && !client.json);
    let mut pause = Duration::from_millis(20);
    while text(&job, "status") == "running" {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
        job = client.get(&["v1", "bulk", &id], &[]).await?;
        if seen {
            let _ = write!(anstream::stderr(), "\r{} of {}", number(&job, "done"), number(&job, "total"));
        }
    }
    if seen {
        let _ = write!(anstream::stderr(), "\r\x1b[K");
    }
    let done = number(&job, "done");
    if text(&job, "status") == "failed" {
        return Err(Stop::Failed(format!("{} changed, then it failed: {}", deliveries_of(done), text(&job, "error"))));
    }
    Ok(done)
}

/// Whether a person agrees to a change of many.
fn agreed(act: &str, number: u64) -> Result<bool, Stop> {
    if !std::io::stdin().is_terminal() {
        return Err(Stop::Misused(format!("{} would be changed by {act}: confirm with --yes", deliveries_of(number))));
    }
    let _ = write!(anstream::stderr(), "{act} {}? [y/N] ", deliveries_of(number));
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn count(client: &Client, act: &str, changed: &Value) {
    if client.json {
        return output::line(&changed.to_string());
    }
    let number = changed.get("count").and_then(Value::as_u64).unwrap_or(0);
    let done = if act == "cancel" { "cancelled" } else { "retried" };
    output::line(&format!("{} {done}", deliveries_of(number)));
}

fn deliveries_of(number: u64) -> String {
    format!("{number} {}", if number == 1 { "delivery" } else { "deliveries" })
}

fn because(reason: &ReasonArgs) -> Map<String, Value> {
    match json!({"reason": reason.reason}) {
        Value::Object(body) => body,
        _ => Map::new(),
    }
}
