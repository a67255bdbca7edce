//! The channel of an order's relationship: by its sender, receiver and type.

use std::sync::Arc;

use crate::config::settings::Relationships;
use crate::domain::event::OWN_EVENTS;
use crate::domain::{Event, Origin, pointer};

/// The channel that alone gets the events of this one's order; `None` where the subscriptions hold. `Err` says which
/// of the three fields is neither text nor a number: such an order goes to no channel.
///
/// Events posted without an order have a relationship by their data. The product's own events about deliveries and
/// channels have none, whatever their data looks like.
pub(super) fn channel<'a>(known: &'a Relationships, event: &Event) -> Result<Option<&'a Arc<str>>, String> {
    let posted = matches!(event.subject.origin, Origin::Event(_));
    if posted && OWN_EVENTS.contains(&&*event.kind) {
        return Ok(None);
    }
    let order = std::str::from_utf8(&event.subject.body).map_err(|error| error.to_string())?;
    let [sender, receiver, kind] = known.pointers.each_ref().map(|pointer| match pointer {
        Some(pointer) => party(order, pointer),
        None => Ok(None),
    });
    let parties = [sender?, receiver?, kind?];
    if parties.iter().all(Option::is_none) {
        return Ok(None);
    }
    let fits = |wanted: &[Option<String>; 3]| {
        wanted.iter().zip(&parties).all(|(wanted, party)| wanted.is_none() || wanted == party)
    };
    let route = known.routes.iter().find(|route| fits(&route.parties));
    Ok(route.map(|route| &route.channel).or(known.default_channel.as_ref()))
}

/// Text that is not empty, or a number as written. A missing field, null and empty text are no party.
fn party(order: &str, pointer: &str) -> Result<Option<String>, String> {
    let Some(found) = pointer::find(order, pointer).filter(|found| *found != "\"\"") else { return Ok(None) };
    if let Some(text) = pointer::plain(found)
        && !text.contains(char::REPLACEMENT_CHARACTER)
    {
        return Ok(Some(text.into_owned()));
    }
    let kind = match found.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        _ => "text that is not valid Unicode",
    };
    Err(format!("{pointer} is {kind}; a trading partner is text or a number"))
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
            arrival: None,
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
            (r#"{"s":"","r":null}"#, None),
            (r#"{"x":{"$serde_json::private::Number":"zz"},"s":7}"#, Some("7--")),
            (r#"{"x":{"$serde_json::private::RawValue":"{"},"s":7}"#, Some("7--")),
            (r#"{"\ud800":1,"s":7}"#, Some("7--")),
            (r#"{"r":"somebody"}"#, Some("default")),
            ("{}", None),
            ("[1]", None),
        ] {
            assert_eq!(channel(&known, &order(body)).map(|name| name.map(|name| &**name)), Ok(expected), "{body}");
        }
    }

    #[test]
    fn a_party_that_is_neither_text_nor_a_number_is_an_error() {
        let known = known(&[["ACME", "", ""]], Some("default"));
        for body in [
            r#"{"s":["a b"]}"#,
            r#"{"s":"ACME","t":{}}"#,
            r#"{"r":true}"#,
            r#"{"s":{"$serde_json::private::RawValue":"\"ACME\""}}"#,
            r#"{"s":{"$serde_json::private::Number":"7"}}"#,
            r#"{"s":"\ud800"}"#,
        ] {
            assert!(channel(&known, &order(body)).is_err(), "{body}");
        }
        let deep = format!(r#"{{"x":{}{},"s":"ACME"}}"#, "[".repeat(127), "]".repeat(127));
        assert_eq!(channel(&known, &order(&deep)).map(|name| name.map(|name| &**name)), Ok(Some("ACME--")));
    }

    #[test]
    fn events_of_deliveries_and_channels_have_no_relationship() {
        let known = known(&[], Some("default"));
        let origin = Origin::Event(EventId::from_u128(1));
        assert_eq!(channel(&known, &event(origin, "delivery.failed", r#"{"s":["a"]}"#)), Ok(None));
        assert!(channel(&known, &event(origin, "invoice.paid", r#"{"s":"a"}"#)).is_ok_and(|name| name.is_some()));
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
            let known = known(&as_refs, default);
            let got = channel(&known, &order(&body)).expect("texts").map(ToString::to_string);
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
