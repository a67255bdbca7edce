//! The channel of an order's relationship: by its sender, receiver and type.

use std::sync::Arc;

use serde_json::Value;

use crate::config::settings::Relationships;
use crate::domain::event::OWN_EVENTS;
use crate::domain::{Event, Origin};

/// The channel that alone gets the events of this one's order; `None` where the subscriptions hold.
///
/// Events posted without an order have a relationship by their data. The product's own events about deliveries and
/// channels have none, whatever their data looks like.
pub(super) fn channel<'a>(known: &'a Relationships, event: &Event) -> Option<&'a Arc<str>> {
    let posted = matches!(event.subject.origin, Origin::Event(_));
    if posted && OWN_EVENTS.contains(&&*event.kind) {
        return None;
    }
    let order: Value = serde_json::from_slice(&event.subject.body).ok()?;
    let parties = known.pointers.each_ref().map(|pointer| text(order.pointer(pointer.as_deref()?)?));
    if parties.iter().all(Option::is_none) {
        return None;
    }
    let fits = |wanted: &[Option<String>; 3]| {
        wanted.iter().zip(&parties).all(|(wanted, party)| wanted.is_none() || wanted == party)
    };
    let route = known.routes.iter().find(|route| fits(&route.parties));
    route.map(|route| &route.channel).or(known.default_channel.as_ref())
}

/// Text that is not empty, or a number as written.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::config::settings::Route;
    use crate::domain::{EventId, OrderId, Subject, Timestamp};

    use super::*;

    fn event(origin: Origin, kind: &str, order: &str) -> Event {
        let subject = Subject {
            origin,
            order_id: String::new(),
            kind: String::new(),
            received_at: Timestamp::default(),
            chain: None,
            body: Bytes::copy_from_slice(order.as_bytes()),
        };
        let id = EventId::from_u128(1);
        let context = Arc::from("{}");
        Event {
            id,
            kind: kind.into(),
            at: Timestamp::default(),
            subject: subject.into(),
            context,
            step: None,
            steps: Arc::default(),
        }
    }

    fn order(order: &str) -> Event {
        event(Origin::Order(OrderId::from_u128(1)), "order.completed", order)
    }

    fn known(routes: &[[&str; 3]], default: Option<&str>) -> Relationships {
        let route = |parties: &[&str; 3]| Route {
            parties: parties.map(|party| (!party.is_empty()).then(|| party.to_owned())),
            channel: parties.join("-").into(),
        };
        let mut routes: Vec<Route> = routes.iter().map(route).collect();
        routes.sort_by_key(|route| route.parties.iter().filter(|party| party.is_none()).count());
        let pointers = ["/s", "/r", "/t"].map(|pointer| Some(pointer.to_owned()));
        Relationships { pointers, default_channel: default.map(Arc::from), routes }
    }

    #[test]
    fn text_and_numbers_as_written_are_parties_and_nothing_else_is() {
        let known = known(&[["7", "", ""], ["1.50", "", ""], ["a b", "", ""]], Some("default"));
        for (body, expected) in [
            (r#"{"s":7}"#, Some("7--")),
            (r#"{"s":"7"}"#, Some("7--")),
            (r#"{"s":1.50}"#, Some("1.50--")),
            (r#"{"s":1.5}"#, Some("default")),
            (r#"{"s":"a\u0020b"}"#, Some("a b--")),
            (r#"{"s":["a b"]}"#, None),
            (r#"{"s":"","r":null,"t":{}}"#, None),
            (r#"{"r":"somebody"}"#, Some("default")),
            ("{}", None),
            ("[1]", None),
        ] {
            assert_eq!(channel(&known, &order(body)).map(|name| &**name), expected, "{body}");
        }
    }

    #[test]
    fn events_of_deliveries_and_channels_have_no_relationship() {
        let known = known(&[], Some("default"));
        let origin = Origin::Event(EventId::from_u128(1));
        assert!(channel(&known, &event(origin, "delivery.failed", r#"{"s":"a"}"#)).is_none());
        assert!(channel(&known, &event(origin, "invoice.paid", r#"{"s":"a"}"#)).is_some());
    }

    proptest! {
        #[test]
        fn the_route_that_names_the_most_and_comes_first_counts(
            routes in proptest::collection::vec(proptest::array::uniform3("[ab]?"), 0..8),
            parties in proptest::array::uniform3("[ab]?"),
            default in proptest::option::of(Just("default")),
        ) {
            let as_refs: Vec<[&str; 3]> = routes.iter().map(|route| route.each_ref().map(String::as_str)).collect();
            let [s, r, t] = &parties;
            let body = serde_json::json!({"s": s, "r": r, "t": t}).to_string();
            let got = channel(&known(&as_refs, default), &order(&body)).map(ToString::to_string);
            let mut best: Option<(usize, String)> = None;
            for route in &as_refs {
                let fits = route.iter().zip(&parties).all(|(wanted, party)| wanted.is_empty() || wanted == party);
                let named = route.iter().filter(|party| !party.is_empty()).count();
                if fits && best.as_ref().is_none_or(|(most, _)| named > *most) {
                    best = Some((named, route.join("-")));
                }
            }
            let none = parties.iter().all(String::is_empty);
            let expected = best.map(|(_, name)| name).or(default.map(str::to_owned)).filter(|_| !none);
            prop_assert_eq!(got, expected);
        }
    }
}
