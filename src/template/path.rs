//! Paths into JSON: a name is found exactly first, and then without regard to case.
//!
//! So `OrderDetailsData.OperationDatas` finds `orderDetailsData.operationDatas`. This is the one place that says so:
//! templates, merge fields and whatever else walks through an order use [`find_name`] or [`walk`].

use minijinja::Value;
use minijinja::value::ValueKind;

/// Whether two names are the same but for upper and lower case.
pub fn same_but_for_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}

/// The entry of that name: the one that has it exactly, else the first that has it but for upper and lower case.
pub fn find_name<'a, T>(entries: impl Iterator<Item = (&'a str, T)> + Clone, name: &str) -> Option<T> {
    let exact = entries.clone().find(|(known, _)| *known == name);
    exact.or_else(move || entries.into_iter().find(|(known, _)| same_but_for_case(known, name))).map(|(_, found)| found)
}

/// The value below `value` at the end of `parts`: names of fields, and positions in lists, counted from 0.
pub(super) fn walk<'a>(value: &Value, parts: impl IntoIterator<Item = &'a str>) -> Option<Value> {
    let mut value = value.clone();
    for part in parts {
        value = match value.kind() {
            ValueKind::Map => value.get_attr(part).ok()?,
            ValueKind::Seq => value.get_item_by_index(part.parse().ok()?).ok()?,
            _ => return None,
        };
    }
    (!value.is_undefined()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::json;

    #[test]
    fn a_name_is_found_exactly_first_and_then_without_regard_to_case() {
        let entries = [("Name", 1), ("name", 2), ("ÄRGER", 3)];
        assert_eq!(find_name(entries.into_iter(), "name"), Some(2));
        assert_eq!(find_name(entries.into_iter(), "NAME"), Some(1));
        assert_eq!(find_name(entries.into_iter(), "ärger"), Some(3));
        assert_eq!(find_name(entries.into_iter(), "nam"), None);
    }

    #[test]
    fn a_path_goes_through_objects_and_lists() {
        let order = json::parse(br#"{"orderDetailsData": {"operationDatas": [{"a": 1}, {"a": {"0": 2}}]}}"#).unwrap();
        let at = |path: &str| walk(&order, path.split('.')).map(|found| found.to_string());
        assert_eq!(at("OrderDetailsData.OperationDatas.0.A").as_deref(), Some("1"));
        assert_eq!(at("orderDetailsData.operationDatas.1.a.0").as_deref(), Some("2"));
        for missing in ["orderDetailsData.operationDatas.2", "orderDetailsData.operationDatas.a", "x.y", ""] {
            assert_eq!(at(missing), None, "{missing}");
        }
        let deeper = "orderDetailsData.operationDatas.0.a.b";
        assert_eq!(at(deeper), None);
    }
}
