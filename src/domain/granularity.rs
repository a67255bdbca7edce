//! How much of an order is seen: its head alone, or the lists below it down to some level.
//!
//! An order of operations, their movements and their tickets is trimmed by its lists of records (a list with an object
//! or a list in it). Each such list has a level: one whose name begins with `operation`, `movement` or `ticket`,
//! whatever its case, has that level; any other counts by how deep it stands: a list of the order itself is on the
//! level of operations, one within its records on that of movements, and so on. No list is on a higher level than the
//! list around it. What lies below the granularity is left out with its name; fields, objects and lists of plain values
//! stay.

use serde_json::{Map, Value};

use super::json::{self, Unreadable};
use super::order::names;

names! {
    /// How much of an order is seen.
    #[derive(Default)]
    Granularity {
        /// No lists of records.
        Order = "ORDER",
        /// Operations, without the lists below them.
        Operations = "OPERATIONS",
        /// Operations and their movements.
        Movements = "MOVEMENTS",
        /// Everything.
        #[default]
        Tickets = "TICKETS",
    }
}

impl Granularity {
    /// The level below this one; the lowest stays.
    const fn below(self) -> Self {
        match self {
            Self::Order => Self::Operations,
            Self::Operations => Self::Movements,
            Self::Movements | Self::Tickets => Self::Tickets,
        }
    }

    /// The level of a list of records of that name, within a list on the level `around`, or within the order itself
    /// (`Order`).
    #[must_use]
    pub fn of_list(name: &str, around: Self) -> Self {
        let begins = |word: &str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let named = [("operation", Self::Operations), ("movement", Self::Movements), ("ticket", Self::Tickets)];
        match named.into_iter().find(|(word, _)| begins(word)) {
            Some((_, level)) => level.max(around),
            None => around.below(),
        }
    }

    /// A JSON document with what lies below this granularity left out. A document that is a list counts as a list of
    /// orders. Numbers and the order of fields stay as they are. `Err` where the bytes are not JSON.
    pub fn trim(self, json: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut document = json::read(json, json::MAX_DEPTH)?;
        match &mut document {
            Value::Array(orders) => orders.iter_mut().for_each(|order| self.trim_value(order, Self::Order)),
            order => self.trim_value(order, Self::Order),
        }
        serde_json::to_vec(&document).map_err(|error| Unreadable::Invalid(error.to_string()))
    }

    fn trim_value(self, value: &mut Value, around: Self) {
        if let Value::Object(fields) = value {
            self.trim_fields(fields, around);
        }
    }

    fn trim_fields(self, fields: &mut Map<String, Value>, around: Self) {
        fields.retain(|name, value| {
            let Value::Array(items) = &*value else { return true };
            !items.iter().any(is_record) || Self::of_list(name, around) <= self
        });
        for (name, value) in fields {
            match value {
                Value::Array(items) => {
                    let level = Self::of_list(name, around);
                    for item in items {
                        self.trim_item(item, level);
                    }
                }
                value => self.trim_value(value, around),
            }
        }
    }

    /// A record, or the records of a list within a list.
    fn trim_item(self, item: &mut Value, level: Self) {
        match item {
            Value::Array(items) => items.iter_mut().for_each(|item| self.trim_item(item, level)),
            item => self.trim_value(item, level),
        }
    }
}

fn is_record(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn trimmed(granularity: Granularity, order: &Value) -> Value {
        let bytes = granularity.trim(order.to_string().as_bytes()).expect("JSON");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn each_granularity_shows_one_list_more() {
        let order = json!({"orderDetailsData": {
            "orderId": 7, "tags": ["a"],
            "operationDatas": [{"code": "X", "movementDatas": [{"seat": 1, "ticketDatas": [{"bar": "1"}]}]}],
        }});
        let at = |granularity| trimmed(granularity, &order);
        assert_eq!(at(Granularity::Order), json!({"orderDetailsData": {"orderId": 7, "tags": ["a"]}}));
        assert_eq!(
            at(Granularity::Operations),
            json!({"orderDetailsData": {"orderId": 7, "tags": ["a"], "operationDatas": [{"code": "X"}]}})
        );
        assert_eq!(
            at(Granularity::Movements),
            json!({"orderDetailsData": {"orderId": 7, "tags": ["a"],
                "operationDatas": [{"code": "X", "movementDatas": [{"seat": 1}]}]}})
        );
        assert_eq!(at(Granularity::Tickets), order);
    }

    #[test]
    fn lists_of_other_names_count_by_their_depth_and_named_ones_by_their_name() {
        let order =
            json!({"lines": [{"parts": [{"bits": [{"deep": [{"er": 1}]}]}]}], "movements": [{"of": [{"a": 1}]}]});
        assert_eq!(trimmed(Granularity::Order, &order), json!({}));
        assert_eq!(trimmed(Granularity::Operations, &order), json!({"lines": [{}]}));
        assert_eq!(trimmed(Granularity::Movements, &order), json!({"lines": [{"parts": [{}]}], "movements": [{}]}));
        assert_eq!(trimmed(Granularity::Tickets, &order), order);
        let tickets = json!({"tickets": [{"operations": [{"a": 1}]}], "TicketList": [[1]], "matrix": [[{"x": [{}]}]]});
        assert_eq!(trimmed(Granularity::Movements, &tickets), json!({"matrix": [[{"x": [{}]}]]}));
        assert_eq!(trimmed(Granularity::Operations, &tickets), json!({"matrix": [[{}]]}));
    }

    #[test]
    fn numbers_and_the_order_of_fields_stay_as_they_came() {
        let bytes = Granularity::Order.trim(br#"{"z":1.50,"a":12345678901234567890123,"l":[{}],"b":1e+400}"#);
        assert_eq!(bytes.expect("JSON"), br#"{"z":1.50,"a":12345678901234567890123,"b":1e+400}"#);
        assert!(Granularity::Order.trim(b"{").is_err());
        assert_eq!(Granularity::Order.trim(b"[{\"l\":[{}]},3]").expect("JSON"), b"[{},3]");
        assert_eq!(Granularity::Order.trim(b"7").expect("JSON"), b"7");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from)];
        leaf.prop_recursive(6, 64, 5, |inner| {
            let name = prop_oneof!["[a-c]", Just("operations".to_owned()), Just("TicketDatas".to_owned())];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((name, inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_finer_granularity_shows_all_that_a_coarser_one_does(order in any_json()) {
            let order = json!({ "order": order });
            let mut finer = order.clone();
            for granularity in Granularity::ALL.iter().rev() {
                let coarser = trimmed(*granularity, &order);
                prop_assert_eq!(&trimmed(*granularity, &finer), &coarser);
                prop_assert_eq!(&trimmed(*granularity, &coarser), &coarser, "trimming twice changes nothing");
                finer = coarser;
            }
            prop_assert_eq!(trimmed(Granularity::Tickets, &order), order);
        }
    }
}
