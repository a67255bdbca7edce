//! The demo's order system: a steady flow of orders.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::config::settings::Method;

use super::client::Client;
use super::happening::Happening;

/// How the ids of the demo's orders begin.
pub(super) const PREFIX: &str = "A-";

const GOODS: [(&str, u32); 5] = [
    ("Espresso machine", 34_900),
    ("Coffee beans, 1 kg", 1_890),
    ("Milk jug", 2_450),
    ("Cleaning tablets", 990),
    ("Gift card", 5_000),
];

/// Posts `count` orders, or orders without end, `rate` a second, and tells of each how it went.
pub(super) async fn post(client: Arc<Client>, count: Option<u64>, rate: u64, events: UnboundedSender<Happening>) {
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1)));
    let mut under_way = tokio::task::JoinSet::new();
    let mut number = 0;
    while count.is_none_or(|count| number < count) {
        tick.tick().await;
        number += 1;
        let (client, events) = (Arc::clone(&client), events.clone());
        under_way.spawn(async move { one(&client, number, &events).await });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn one(client: &Client, number: u64, events: &UnboundedSender<Happening>) {
    let id = format!("{PREFIX}{:04}", 1000 + number);
    let body = order(&id, number);
    let begun = Instant::now();
    let result = client.call(Method::Post, "/v1/orders", Some(body)).await;
    let _ = events.send(Happening::Order { id, result, took: begun.elapsed() });
}

fn order(id: &str, number: u64) -> String {
    let mut total = 0;
    let items: Vec<_> = (0..=number % 3)
        .filter_map(|line| {
            let (name, cents) = GOODS.get(((number * 7 + line * 3) % GOODS.len() as u64) as usize)?;
            total += cents;
            Some(serde_json::json!({ "sku": format!("SKU-{:03}", number % 37), "name": name, "quantity": 1, "price": f64::from(*cents) / 100.0 }))
        })
        .collect();
    serde_json::json!({
        "id": id,
        "type": "new",
        "customer": { "email": format!("customer{number}@example.com"), "country": "FR" },
        "items": items,
        "total": f64::from(total) / 100.0,
        "sold_out": number.is_multiple_of(9),
    })
    .to_string()
}
