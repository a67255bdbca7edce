//! What an order's items become.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn orders() -> Orders {
    Orders {
        id: "/id".into(),
        kind: "/type".into(),
        items: "/items".into(),
        quantity: "/quantity".into(),
        product: vec!["/product_id".into(), "/plan_id".into()],
        customer_email: "/customer/email".into(),
    }
}

fn rules(products: &[&str], multibuy: Option<Multibuy>) -> Items {
    Items { products: products.iter().map(|&id| id.to_owned()).collect(), multibuy, multibuy_limit: 1000 }
}

fn prepare(order: &Value, items: &Items) -> Result<Vec<PreparedDelivery>, Option<String>> {
    let mut prepared = Lines::read(&order.to_string(), &orders()).prepare(items)?;
    let units = prepared.iter().filter(|prepared| prepared.unit.is_some()).count() as u64;
    for prepared in &mut prepared {
        assert_eq!(prepared.units.take(), prepared.unit.map(|_| units), "each unit knows how many there are");
    }
    Ok(prepared)
}

fn prepared(items: &[u32], quantity: Option<u64>, unit: Option<u64>) -> PreparedDelivery {
    PreparedDelivery { items: Some(items.to_vec()), quantity, unit, ..PreparedDelivery::default() }
}

/// The sentences of the prepared deliveries that cannot be sent.
fn faults(prepared: &Result<Vec<PreparedDelivery>, Option<String>>) -> Vec<String> {
    prepared.iter().flatten().filter_map(|prepared| prepared.fault.clone()).collect()
}

const SINGLE: Option<Multibuy> = Some(Multibuy::Single);
const SEPARATE: Option<Multibuy> = Some(Multibuy::Separate);

#[test]
fn products_pick_items_by_product_or_plan_as_text() {
    let order = json!({"plan_id": "P-ORDER", "items": [
        {"product_id": "A"}, {"plan_id": 42}, {"product_id": null, "plan_id": "A"}, {"product_id": "B", "plan_id": "A"}, {},
    ]});
    let picked = |products: &[&str]| prepare(&order, &rules(products, None));
    assert_eq!(picked(&["A"]), Ok(vec![prepared(&[0, 2], None, None)]));
    assert_eq!(picked(&["42", "B"]), Ok(vec![prepared(&[1, 3], None, None)]));
    assert_eq!(picked(&["P-ORDER"]), Ok(vec![prepared(&[4], None, None)]), "the order's product is that of its items");
    assert_eq!(picked(&["a"]), Err(None));
    assert_eq!(picked(&[]), Ok(vec![prepared(&[0, 1, 2, 3, 4], None, None)]));
}

#[test]
fn an_order_without_a_list_is_its_own_item() {
    let order = json!({"product_id": 7, "quantity": 2, "items": null});
    assert_eq!(prepare(&order, &rules(&["7"], SINGLE)), Ok(vec![prepared(&[], Some(2), None)]));
    let units = vec![prepared(&[], Some(1), Some(1)), prepared(&[], Some(1), Some(2))];
    assert_eq!(prepare(&order, &rules(&["7"], SEPARATE)), Ok(units));
    assert_eq!(prepare(&order, &rules(&["8"], SINGLE)), Err(None));
}

#[test]
fn multibuy_is_one_delivery_or_one_for_each_unit() {
    let order = json!({"items": [{"quantity": 2}, {"quantity": 0}, {}, {"quantity": 1.0}, {"quantity": "2"}]});
    assert_eq!(prepare(&order, &rules(&[], SINGLE)), Ok(vec![prepared(&[0, 2, 3, 4], Some(6), None)]));
    let units: Vec<_> =
        (1..).zip([0, 0, 2, 3, 4, 4]).map(|(unit, item)| prepared(&[item], Some(1), Some(unit))).collect();
    assert_eq!(prepare(&order, &rules(&[], SEPARATE)), Ok(units));
}

#[test]
fn nothing_to_send_says_so() {
    assert_eq!(prepare(&json!({"items": []}), &rules(&[], SINGLE)), Err(Some("the order has no items".into())));
    let none = Err(Some("the quantity of each of its items is 0".into()));
    assert_eq!(prepare(&json!({"items": [{"quantity": 0}, {"quantity": -0.0}]}), &rules(&[], SEPARATE)), none);
}

#[test]
fn a_quantity_that_is_none_fails_for_its_item_and_the_others_go_out() {
    for (found, sentence) in [
        (json!(-3), "/items/1/quantity is -3: a quantity is a whole number, 0 or more"),
        (json!(1.5), "/items/1/quantity is 1.5: a quantity is a whole number, 0 or more"),
        (json!("two"), "/items/1/quantity is \"two\": a quantity is a whole number, 0 or more"),
        (json!("NaN"), "/items/1/quantity is \"NaN\": a quantity is a whole number, 0 or more"),
        (json!(true), "/items/1/quantity is true: a quantity is a whole number, 0 or more"),
        (json!([1]), "/items/1/quantity is a list: a quantity is a whole number, 0 or more"),
        (json!(1e300), "/items/1/quantity is 1e+300: a quantity is no larger than 9007199254740991"),
        (json!(u64::MAX), "/items/1/quantity is 18446744073709551615: a quantity is no larger than 9007199254740991"),
    ] {
        let order = json!({"items": [{"quantity": 1}, {"quantity": found}]});
        for multibuy in [SINGLE, SEPARATE] {
            let made = prepare(&order, &rules(&[], multibuy));
            assert_eq!(faults(&made), [sentence], "{found}");
            let made = made.expect("deliveries");
            assert_eq!((made[0].items.as_deref(), made[0].quantity), (Some(&[0][..]), Some(1)));
            assert_eq!((made.len(), made[1].items.as_deref()), (2, Some(&[1][..])));
        }
    }
    let huge = r#"{"quantity": 1e400}"#;
    let made = Lines::read(huge, &orders()).prepare(&rules(&[], SINGLE));
    assert_eq!(faults(&made), ["/quantity is 1e400: a quantity is no larger than 9007199254740991"]);
    assert!(faults(&prepare(&json!({"items": [{"quantity": -1}]}), &rules(&[], None))).is_empty(), "nobody asks");
}

#[test]
fn units_above_the_limit_fail_and_those_below_go_out() {
    let order = json!({"items": [{"quantity": 999}, {"quantity": 3}, {"quantity": 5}]});
    let made = prepare(&order, &rules(&[], SEPARATE));
    let sentence = "item 1 is about 3 units, and a channel takes 1000 of an order (multibuy_limit); 7 units are not sent; \
                    and 1 more item";
    assert_eq!(faults(&made), [sentence]);
    let made = made.expect("deliveries");
    assert_eq!(made.len(), 1001);
    assert_eq!(made[999], prepared(&[1], Some(1), Some(1000)));
    assert_eq!((made[1000].items.as_deref(), made[1000].quantity), (Some(&[1, 2][..]), Some(7)));
    let made = prepare(&json!({"quantity": 1_000_000_000}), &rules(&[], SINGLE)).expect("deliveries");
    assert_eq!(made[0], prepared(&[], Some(1000), None));
    assert_eq!(made[1].quantity, Some(999_999_000));
}

#[test]
fn items_that_are_no_list_of_objects_are_a_recorded_failure() {
    for (items, sentence) in [
        (json!({"a": 1}), "/items is an object: the items of an order are a list"),
        (json!("A-1"), "/items is \"A-1\": the items of an order are a list"),
        (json!(["A-1"]), "/items/0 is \"A-1\": an item is an object"),
        (json!([null]), "/items/0 is null: an item is an object"),
    ] {
        let order = json!({"items": items});
        for products in [&[][..], &["A-1"]] {
            assert_eq!(faults(&prepare(&order, &rules(products, SINGLE))), [sentence]);
            assert_eq!(faults(&prepare(&order, &rules(products, None))), [sentence]);
        }
    }
    let many = json!({"items": vec![5; 3000]});
    let made = prepare(&many, &rules(&[], SINGLE)).expect("deliveries");
    assert_eq!(made[0].items.as_ref().map(Vec::len), Some(NAMED));
    assert!(made[0].fault.as_ref().is_some_and(|fault| fault.ends_with("and 2999 more items")));
}

proptest! {
    #[test]
    fn every_unit_goes_out_once_or_is_on_record(
        quantities in proptest::collection::vec(0u64..40, 0..8),
        limit in 1u64..60,
        separate: bool,
    ) {
        let list: Vec<_> = quantities.iter().map(|units| json!({"quantity": units})).collect();
        let multibuy = if separate { SEPARATE } else { SINGLE };
        let items = Items { products: Vec::new(), multibuy, multibuy_limit: limit };
        let made = prepare(&json!({"items": list}), &items).unwrap_or_default();
        let total: u64 = quantities.iter().sum();
        let sum = |failing: bool| -> u64 {
            made.iter().filter(|prepared| prepared.fault.is_some() == failing).filter_map(|prepared| prepared.quantity).sum()
        };
        prop_assert_eq!(sum(false), total.min(limit));
        prop_assert_eq!(sum(true), total - total.min(limit));
        let sent: Vec<_> = made.iter().filter(|prepared| prepared.fault.is_none()).collect();
        if separate {
            let units: Vec<_> = sent.iter().map(|prepared| prepared.unit.unwrap_or_default()).collect();
            prop_assert_eq!(units, (1..=total.min(limit)).collect::<Vec<_>>());
            for (position, units) in quantities.iter().enumerate() {
                let here = sent.iter().filter(|prepared| prepared.items == Some(vec![position as u32])).count() as u64;
                prop_assert!(here <= *units);
            }
        } else {
            prop_assert!(sent.len() <= 1);
        }
    }

    #[test]
    fn any_order_is_planned_without_harm(items in "[ -~]{0,30}", quantity in "[-+0-9.eE\"]{0,12}") {
        let _ = Lines::read(&items, &orders()).prepare(&rules(&["A"], SEPARATE));
        let order = format!("{{\"items\": [{{\"quantity\": {quantity}}}]}}");
        let made = Lines::read(&order, &orders()).prepare(&rules(&[], SEPARATE));
        prop_assert!(made.map_or(0, |made| made.len()) <= 1002);
    }
}
