//! The steps and deliveries of an order as bars on one axis.

use maud::{Markup, html};

use crate::domain::Timestamp;

use super::data::Order;
use super::layout::{badge, channel_link, code, delivery_link, duration, exact, time, why};
use super::state::Visitor;

/// The width of the axis, in units of its drawing.
const WIDTH: u64 = 1000;

/// The parts of the axis between its marks.
const MARKS: u64 = 4;

/// The narrowest bar.
const NARROWEST: u64 = 6;

/// The time that an order takes up.
struct Axis {
    from: Timestamp,
    ms: u64,
}

impl Axis {
    fn of(order: &Order, now: Timestamp) -> Self {
        let steps = order.steps.iter().filter_map(|step| Some(after(step.started_at?, step.duration_ms)));
        let deliveries = order.deliveries.iter().map(|delivery| end(&delivery.status, delivery.updated_at, now));
        let next = order.deliveries.iter().filter_map(|delivery| delivery.next_attempt_at);
        let last = steps.chain(deliveries).chain(next).chain(order.ended_at).max().unwrap_or(order.received_at);
        Self { from: order.received_at, ms: millis(order.received_at, last).max(1) }
    }

    fn at(&self, at: Timestamp) -> u64 {
        (millis(self.from, at) * WIDTH / self.ms).min(WIDTH)
    }

    /// A bar, and a mark for what comes next.
    fn bar(&self, from: Timestamp, to: Timestamp, status: &str, next: Option<Timestamp>) -> Markup {
        let start = self.at(from).min(WIDTH - NARROWEST);
        let width = (self.at(to).saturating_sub(start)).max(NARROWEST);
        html! {
            svg.bar viewBox="0 0 1000 20" preserveAspectRatio="none" aria-hidden="true" {
                rect.line x="0" y="9" width="1000" height="2" {}
                @for mark in 0..=MARKS { rect.mark x=((mark * WIDTH / MARKS).min(WIDTH - 1)) y="0" width="1" height="20" {} }
                rect class={ "span " (status) } x=(start) y="3" width=(width) height="14" {}
                @if let Some(next) = next { rect.next x=(self.at(next).min(WIDTH - NARROWEST)) y="0" width=(NARROWEST) height="20" {} }
            }
        }
    }
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX / WIDTH).min(u64::MAX / WIDTH)
}

fn after(start: Timestamp, ms: u64) -> Timestamp {
    start.after(std::time::Duration::from_millis(ms))
}

/// When a delivery ended: now, for one that has not.
fn end(status: &str, updated: Timestamp, now: Timestamp) -> Timestamp {
    if status == "pending" { now.max(updated) } else { updated }
}

pub(super) fn table(order: &Order, visitor: &Visitor) -> Markup {
    let axis = Axis::of(order, visitor.now);
    html! {
        @if order.steps.is_empty() && order.deliveries.is_empty() && order.channels.is_empty() {
            p.muted { "The order has no steps and no deliveries: no chain and no channel is configured for it." }
        } @else {
            div.wide {
                table.timeline {
                    thead { tr {
                        th { "What" } th { "Status" } th { "Code" } th { "Began" } th.number { "Took" }
                        th.axis {
                            div.marks { @for mark in 0..=MARKS { span { @if mark == 0 { "0" } @else { "+" (duration(axis.ms * mark / MARKS)) } } } }
                        }
                    } }
                    tbody {
                        @for step in &order.steps {
                            tr {
                                th scope="row" {
                                    "Step " (step.step) @if step.critical { " (critical)" }
                                    br; span.muted { (step.plugin) }
                                    @if let Some(error) = &step.error { br; span.error { (error) } }
                                }
                                td { (badge(&step.status)) }
                                td { (code(step.code)) }
                                td { @match step.started_at { Some(at) => (exact(at)), None => "–" } }
                                td.number { (duration(step.duration_ms)) }
                                td.axis { @if let Some(at) = step.started_at { (axis.bar(at, after(at, step.duration_ms), &step.status, None)) } }
                            }
                        }
                        @for delivery in &order.deliveries {
                            @let end = end(&delivery.status, delivery.updated_at, visitor.now);
                            tr {
                                th scope="row" {
                                    "Delivery to " (channel_link(&delivery.channel)) br; (delivery_link(&delivery.id))
                                    @if let Some(next) = delivery.next_attempt_at { br; span.muted { "next attempt " (time(next, visitor)) } }
                                }
                                td { (badge(&delivery.status)) @if delivery.late { " " span.badge.warn { "late" } } }
                                td { (code(delivery.last_code)) }
                                td { (exact(delivery.created_at)) }
                                td.number { (duration(millis(delivery.created_at, end))) }
                                td.axis { (axis.bar(delivery.created_at, end, &delivery.status, delivery.next_attempt_at)) }
                            }
                        }
                        @for got in order.channels.iter().filter(|got| got.status == "skipped") {
                            tr.skipped {
                                th scope="row" { "No delivery to " (channel_link(&got.channel)) }
                                td { (badge("skipped")) }
                                td colspan="4" { (why(got.reason.as_deref().unwrap_or_default())) @if let Some(detail) = &got.detail { " (" (detail) ")" } }
                            }
                        }
                    }
                }
            }
        }
    }
}
