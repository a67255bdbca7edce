//! Headers by which a vendor's receivers trace requests: a channel names the set, the values come from its ids.

use super::ids::DeliveryId;
use super::order::names;

names! {
    /// A set of headers that a channel's requests can carry.
    HeaderSet {
        /// `Zuora-Request-Id`, new for every request; `X-Amzn-Trace-Id`, the same id as a trace; and
        /// `Zuora-Notification-Id`, the delivery's id.
        Zuora = "zuora",
    }
}

impl HeaderSet {
    /// The names, as a configuration may say them.
    pub const NAMES: &'static [&'static str] = &["zuora"];

    /// Names and values for one request of a delivery. `request` is an id that no other request has.
    pub fn headers(self, delivery: DeliveryId, request: u128) -> [(&'static str, String); 3] {
        let Self::Zuora = self;
        let id = format!("{request:032x}");
        let (time, rest) = id.split_at(8);
        let trace = format!("Root=1-{time}-{rest}");
        [("zuora-notification-id", delivery.to_string()), ("x-amzn-trace-id", trace), ("zuora-request-id", id)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_set_can_be_named() {
        let names: Vec<_> = HeaderSet::ALL.iter().map(|set| set.as_str()).collect();
        assert_eq!(names, HeaderSet::NAMES);
    }

    proptest! {
        #[test]
        fn a_trace_is_made_of_its_request(request: u128, delivery: u128) {
            let delivery = DeliveryId::from_u128(delivery);
            let [notification, trace, id] = HeaderSet::Zuora.headers(delivery, request).map(|(_, value)| value);
            prop_assert_eq!(notification, delivery.to_string());
            prop_assert_eq!(u128::from_str_radix(&id, 16).ok().filter(|_| id.len() == 32), Some(request));
            let parts: Vec<&str> = trace.split('-').collect();
            prop_assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [6, 8, 24]);
            prop_assert_eq!(parts.concat(), format!("Root=1{id}"));
        }
    }
}
