//! Which items of an order a channel gets, and into which deliveries they are put: `products` and `multibuy`.
//!
//! An order's lines are read once for all channels ([`Lines::read`]); what a channel makes of them is a pure function
//! ([`Lines::prepare`]). What is wrong with an order (items that are no list, a quantity that is no number of units,
//! more units than allowed) becomes a prepared delivery that fails at its first attempt, so that it is on record and nothing is
//! lost silently; what is right goes out all the same.

use std::borrow::Cow;

use crate::config::settings::{Items, Multibuy, Orders};
use crate::domain::{PreparedDelivery, pointer};

/// The largest whole number that JSON is sure to carry.
const LARGEST: u64 = (1 << 53) - 1;

/// Items that a failing prepared delivery names at most.
const NAMED: usize = 100;

/// The lines of an order.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// The order has no list of items: it is its own single line.
    itself: bool,
    /// Why there are no lines.
    fault: Option<String>,
}

#[derive(Debug)]
struct Line {
    position: u32,
    product: Option<String>,
    /// How many units. `Err` says what is wrong.
    quantity: Result<u64, String>,
    /// What is wrong with the line itself.
    fault: Option<String>,
}

impl Lines {
    /// The lines of an order, a JSON text.
    pub(super) fn read(order: &str, orders: &Orders) -> Self {
        let whole = product(order, orders);
        let Some(items) = pointer::find(order, &orders.items) else {
            let line = Line { position: 0, product: whole, quantity: quantity(order, orders, ""), fault: None };
            return Self { lines: vec![line], itself: true, fault: None };
        };
        let Some(items) = pointer::elements(items) else {
            let fault = format!("{} is {}: the items of an order are a list", orders.items, shown(items));
            return Self { lines: Vec::new(), itself: false, fault: Some(fault) };
        };
        let line = |(position, item): (u32, &str)| {
            let place = format!("{}/{position}", orders.items);
            let object = item.starts_with('{');
            Line {
                position,
                product: product(item, orders).or_else(|| whole.clone()),
                fault: (!object).then(|| format!("{place} is {}: an item is an object", shown(item))),
                quantity: quantity(item, orders, &place),
            }
        };
        Self { lines: (0..).zip(items).map(line).collect(), itself: false, fault: None }
    }

    /// What a channel gets of them. `Err` where it gets nothing, with more about why where there is more to say.
    pub(super) fn prepare(&self, items: &Items) -> Result<Vec<PreparedDelivery>, Option<String>> {
        if let Some(fault) = &self.fault {
            return Ok(vec![PreparedDelivery { fault: Some(fault.clone()), ..PreparedDelivery::default() }]);
        }
        if self.lines.is_empty() {
            return Err(Some("the order has no items".to_owned()));
        }
        let wanted = |line: &&Line| {
            items.products.is_empty()
                || line.fault.is_some()
                || line.product.as_ref().is_some_and(|product| items.products.contains(product))
        };
        let (mut good, mut wrong, mut excess) = (Vec::new(), Failing::default(), Failing::default());
        let mut room = items.multibuy_limit;
        let mut some = false;
        for line in self.lines.iter().filter(wanted) {
            some = true;
            if let Some(fault) = &line.fault {
                wrong.add(line.position, || fault.clone());
            } else if items.multibuy.is_none() {
                good.push((line.position, 0));
            } else {
                match &line.quantity {
                    Err(fault) => wrong.add(line.position, || fault.clone()),
                    Ok(units) => {
                        let fit = (*units).min(room);
                        room -= fit;
                        if fit > 0 {
                            good.push((line.position, fit));
                        }
                        if fit < *units {
                            excess.units = excess.units.saturating_add(units - fit);
                            excess.add(line.position, || self.excess(line.position, *units, items.multibuy_limit));
                        }
                    }
                }
            }
        }
        let mut prepared = self.sent(&good, items.multibuy);
        prepared.extend(excess.prepare(|positions| self.positions(positions)));
        prepared.extend(wrong.prepare(|positions| self.positions(positions)));
        match (prepared.is_empty(), some) {
            (false, _) => Ok(prepared),
            (true, true) => Err(Some("the quantity of each of its items is 0".to_owned())),
            (true, false) => Err(None),
        }
    }

    fn sent(&self, good: &[(u32, u64)], multibuy: Option<Multibuy>) -> Vec<PreparedDelivery> {
        let all = || self.positions(good.iter().map(|(position, _)| *position).collect());
        match multibuy {
            _ if good.is_empty() => Vec::new(),
            None => vec![PreparedDelivery { items: all(), ..PreparedDelivery::default() }],
            Some(Multibuy::Single) => {
                let quantity = good.iter().map(|(_, units)| units).sum();
                vec![PreparedDelivery { items: all(), quantity: Some(quantity), ..PreparedDelivery::default() }]
            }
            Some(Multibuy::Separate) => {
                let all = good.iter().map(|(_, units)| units).sum();
                let units = good.iter().flat_map(|(position, units)| (0..*units).map(|_| *position));
                let prepared = |(unit, position)| PreparedDelivery {
                    items: self.positions(vec![position]),
                    quantity: Some(1),
                    unit: Some(unit),
                    units: Some(all),
                    ..PreparedDelivery::default()
                };
                (1..).zip(units).map(prepared).collect()
            }
        }
    }

    /// Positions as a prepared delivery has them.
    #[allow(clippy::unnecessary_wraps, reason = "as the field wants it")]
    fn positions(&self, positions: Vec<u32>) -> Option<Vec<u32>> {
        Some(if self.itself { Vec::new() } else { positions })
    }

    fn excess(&self, position: u32, units: u64, limit: u64) -> String {
        let what = if self.itself { "the order".to_owned() } else { format!("item {position}") };
        format!("{what} is about {units} units, and a channel takes {limit} of an order (multibuy_limit)")
    }
}

/// What cannot be sent of an order, for one reason.
#[derive(Default)]
struct Failing {
    positions: Vec<u32>,
    count: usize,
    units: u64,
    first: Option<String>,
}

impl Failing {
    fn add(&mut self, position: u32, why: impl FnOnce() -> String) {
        self.count += 1;
        if self.positions.len() < NAMED {
            self.positions.push(position);
        }
        self.first.get_or_insert_with(why);
    }

    fn prepare(self, positions: impl FnOnce(Vec<u32>) -> Option<Vec<u32>>) -> Option<PreparedDelivery> {
        let mut fault = self.first?;
        if self.units > 0 {
            fault = format!("{fault}; {} units are not sent", self.units);
        }
        if self.count > 1 {
            let more = self.count - 1;
            fault = format!("{fault}; and {more} more item{}", if more == 1 { "" } else { "s" });
        }
        let quantity = (self.units > 0).then_some(self.units);
        Some(PreparedDelivery {
            items: positions(self.positions),
            quantity,
            fault: Some(fault),
            ..PreparedDelivery::default()
        })
    }
}

/// The product of an item, or of an order: text, or a number as it is written.
fn product(json: &str, orders: &Orders) -> Option<String> {
    let mut found = orders.product.iter().filter_map(|place| pointer::find(json, place).and_then(pointer::plain));
    found.next().map(Cow::into_owned)
}

/// How many units an item is about; 1 where it does not say.
fn quantity(item: &str, orders: &Orders, place: &str) -> Result<u64, String> {
    let Some(found) = pointer::find(item, &orders.quantity) else { return Ok(1) };
    let wrong = |what: &str| Err(format!("{place}{} is {}: {what}", orders.quantity, shown(found)));
    let whole = "a quantity is a whole number, 0 or more";
    let Some(text) = pointer::plain(found) else { return wrong(whole) };
    let units = match text.parse::<u64>() {
        Ok(units) => units,
        // 2.0 and 2e3 are whole numbers too.
        Err(_) => match text.parse::<f64>() {
            Ok(units) if units > LARGEST as f64 => LARGEST + 1,
            Ok(units) if units.fract() != 0.0 || units < 0.0 || units.is_nan() => return wrong(whole),
            Ok(units) => units as u64,
            Err(_) => return wrong(whole),
        },
    };
    if units > LARGEST { wrong("a quantity is no larger than 9007199254740991") } else { Ok(units) }
}

/// A value from outside in a sentence: short, and without control characters.
fn shown(json: &str) -> String {
    let kind = match json.as_bytes().first() {
        Some(b'{') => return "an object".to_owned(),
        Some(b'[') => return "a list".to_owned(),
        _ => json,
    };
    let mut text: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
    if text.len() < kind.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
