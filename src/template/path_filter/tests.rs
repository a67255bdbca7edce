//! What path filters promise.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::domain::{Event, EventId, Origin, Subject, Timestamp};

/// The two filters of the document that this comes from.
const ANY: &str = "OrderDetailsData.OperationDatas(*).ProductCode=XXXX";
const SALE: &str = "OrderDetailsData.OperationDatas(ProductCode=XXXX).BasePrice=10000;OrderDetailsData.OrderType=SALE";

fn scope(body: &[u8]) -> Scope {
    let id = EventId::from_u128(1);
    let subject = Subject {
        origin: Origin::Event(id),
        order_id: String::new(),
        kind: String::new(),
        received_at: Timestamp::default(),
        chain: None,
        body: Bytes::copy_from_slice(body),
        arrival: None,
    };
    let (kind, context) = (Arc::from("a"), Arc::from("{}"));
    let event = Event {
        id,
        kind,
        at: Timestamp::default(),
        subject: Arc::new(subject),
        context,
        step: None,
        steps: Arc::default(),
    };
    Scope::new(&event, &Arc::default(), Timestamp::default())
}

#[track_caller]
fn compiled(filter: &str) -> PathFilter {
    PathFilter::compile(filter).unwrap_or_else(|error| panic!("{filter}: {error}"))
}

#[track_caller]
fn holds(filter: &str, order: &Json) -> bool {
    let scope = scope(order.to_string().as_bytes());
    compiled(filter).holds(&scope, Granularity::Tickets).expect("an order")
}

fn sale(operations: &Json) -> Json {
    json!({"orderDetailsData": {"orderType": "SALE", "operationDatas": operations}})
}

#[test]
fn any_operation_may_have_the_product_code() {
    assert!(holds(ANY, &sale(&json!([{"productCode": "YYYY"}, {"productCode": "XXXX"}]))));
    assert!(!holds(ANY, &sale(&json!([{"productCode": "YYYY"}]))));
    assert!(!holds(ANY, &sale(&json!([]))));
    assert!(!holds(ANY, &json!({"orderDetailsData": {}})));
    assert!(!holds(ANY, &json!([])));
}

#[test]
fn the_operation_of_the_product_code_must_have_the_price() {
    let price = |code: &str, price: Json| json!({"productCode": code, "basePrice": price});
    assert!(holds(SALE, &sale(&json!([price("YYYY", json!(1)), price("XXXX", json!(10000))]))));
    assert!(holds(SALE, &sale(&json!([price("XXXX", json!(1)), price("XXXX", json!(10000.0))]))), "one of two");
    assert!(holds(SALE, &sale(&json!([price("XXXX", json!("10000"))]))), "as text");
    assert!(
        !holds(SALE, &sale(&json!([price("YYYY", json!(10000)), price("XXXX", json!(1))]))),
        "of another operation"
    );
    let mut rental = sale(&json!([price("XXXX", json!(10000))]));
    rental["orderDetailsData"]["orderType"] = json!("RENTAL");
    assert!(!holds(SALE, &rental), "every condition must hold");
}

#[test]
fn values_are_compared_as_what_they_are() {
    let order = json!({"t": "x y", "e": "", "n": 10000, "f": 0.10, "big": 9_007_199_254_740_993_i64, "yes": true,
        "no": false, "nil": null, "code": "007", "o": {"a": 1}, "l": [1], "minus": -0.5});
    for filter in [
        "t=x y",
        " t = x y ",
        "e=",
        "e=\"\"",
        "n=10000",
        "n=10000.0",
        "n=1e4",
        "n=010000",
        "f=0.1",
        "f=1e-1",
        "yes=true",
        "big=9007199254740993",
        "no=false",
        "nil=null",
        "code=007",
        "minus=-0.50",
        "o.a=1",
        "t=\"x y\"",
        "T=x y",
        "l(*)=1",
        "n(*)=10000",
        "o(*).a=1",
        "o(a=1).a=1",
    ] {
        assert!(holds(filter, &order), "{filter}");
    }
    for filter in [
        "t=x  y",
        "t=X Y",
        "e=null",
        "n=10000.1",
        "n=",
        "n=ten",
        "big=9007199254740992",
        "yes=1",
        "yes=True",
        "no=",
        "nil=",
        "code=7",
        "o=",
        "o={}",
        "l=1",
        "l=",
        "missing=",
        "missing=null",
        "t.x=1",
        "n=1_0000",
        "n=+10000",
    ] {
        assert!(!holds(filter, &order), "{filter}");
    }
}

#[test]
fn huge_numbers_are_compared_by_value_too() {
    let order = scope(br#"{"a": 1e400, "b": 123456789012345678901234567890123456789012345}"#);
    for (filter, expected) in [
        ("a=10e399", true),
        ("a=1e401", false),
        ("b=123456789012345678901234567890123456789012345.0", true),
        ("b=123456789012345678901234567890123456789012346", false),
        ("a=1e99999999999999999999", false),
    ] {
        assert_eq!(compiled(filter).holds(&order, Granularity::Order), Ok(expected), "{filter}");
    }
}

#[test]
fn values_may_hold_marks() {
    let order =
        json!({"a": "b=c", "p": "f(x)", "q": "x;y", "l": [{"k": "a.b", "v": 1}, {"k": "m)n", "v": 2}], "s": " "});
    for filter in ["a=b=c", "p=f(x)", "q=\"x;y\"", "l(k=a.b).v=1", "l(k=\"m)n\").v=2", "s=\" \"", "a=\"b=c\" ; p=f(x)"]
    {
        assert!(holds(filter, &order), "{filter}");
    }
    assert!(holds("q=\"say \\\"\\\\\\\"\"", &json!({"q": "say \"\\\""})));
}

#[test]
fn a_path_may_go_through_several_lists() {
    let order =
        json!({"ops": [{"code": "A", "moves": [{"seat": 1}]}, {"code": "B", "moves": [{"seat": 2}, {"seat": 3}]}]});
    for (filter, expected) in [
        ("ops(*).moves(*).seat=3", true),
        ("ops(code=B).moves(*).seat=2", true),
        ("ops(code=A).moves(*).seat=2", false),
        ("ops(code=B).moves(seat=3).seat=3", true),
        ("ops.moves(*).seat=3", false),
        ("ops(*).moves.seat=3", false),
        ("ops(*)=1", false),
        ("ops(code=C).moves(*).seat=2", false),
    ] {
        assert_eq!(holds(filter, &order), expected, "{filter}");
    }
}

#[test]
fn a_name_matches_exactly_first_and_then_without_regard_to_case() {
    let order = json!({"Code": 1, "code": 2, "ÄB": 3});
    for (filter, expected) in [("Code=1", true), ("code=2", true), ("code=1", false), ("äb=3", true)] {
        assert_eq!(holds(filter, &order), expected, "{filter}");
    }
}

#[test]
fn what_the_granularity_leaves_out_is_not_there() {
    let order = json!({"d": {"operationDatas": [{"code": 1, "movementDatas": [{"seat": 2, "tickets": [{"bar": 3}]}]}],
        "tags": ["x"]}});
    let scope = scope(order.to_string().as_bytes());
    for (filter, seen_from) in [
        ("d.tags(*)=x", Granularity::Order),
        ("D.OperationDatas(*).code=1", Granularity::Operations),
        ("d.operationDatas(*).movementDatas(*).seat=2", Granularity::Movements),
        ("d.operationDatas(code=1).movementDatas(seat=2).tickets(*).bar=3", Granularity::Tickets),
    ] {
        for granularity in Granularity::ALL {
            let holds = compiled(filter).holds(&scope, *granularity);
            assert_eq!(holds, Ok(*granularity >= seen_from), "{filter} with {granularity}");
        }
    }
}

#[test]
fn a_syntax_error_says_where_with_a_caret() {
    for (wrong, column, part) in [
        ("", 1, "a condition is missing"),
        ("A=1;", 5, "a condition is missing"),
        ("A=1;;B=2", 5, "a condition is missing"),
        ("A", 2, "expected ="),
        ("A.B(*", 6, "expected )"),
        ("A.B(C=1", 8, "expected )"),
        ("A.B()=1", 5, "expected *"),
        ("A.B(C)=1", 6, "expected ="),
        ("A.(*)=1", 3, "name"),
        (".A=1", 1, "name"),
        ("A..B=1", 3, "name"),
        ("A.B(*)C=1", 7, "expected a ."),
        ("=1", 1, "name"),
        ("A=\"x", 3, "not closed"),
        ("A=\"x\"y", 6, "expected ;"),
        ("A=\"\\x\"", 4, "within quotes"),
        ("ä.b", 4, "expected ="),
    ] {
        let error = PathFilter::compile(wrong).expect_err(wrong);
        assert!(error.message.contains(part) && error.column == column, "{wrong:?}: {error}");
        assert_eq!(error.excerpt, format!("{wrong}\n{}^", " ".repeat(column - 1)));
    }
    assert!(PathFilter::compile(&"a.".repeat(100)).is_err());
    assert!(PathFilter::compile(&format!("a={}", "x".repeat(10_000))).is_err());
}

#[test]
fn an_order_that_is_no_json_is_an_error() {
    assert!(compiled("a=1").holds(&scope(b"{"), Granularity::Order).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_is_refused_within_it(text in "([A-Za-z.()=;*\" \\\\]|é){0,40}") {
        match PathFilter::compile(&text) {
            Ok(filter) => {
                let _ = filter.holds(&scope(b"{\"a\": [{\"b\": 1}], \"A\": null}"), Granularity::Tickets);
            }
            Err(error) => prop_assert!(error.line == 1 && error.column <= text.chars().count() + 1, "{error}"),
        }
    }

    #[test]
    fn every_field_of_a_flat_order_is_found_by_its_value(
        fields in proptest::collection::btree_map("[a-z]{1,8}", "[ -~]{0,12}", 1..8),
    ) {
        let order = Json::Object(fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect());
        let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let conditions: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        prop_assert!(holds(&conditions.join(";"), &order));
        for (name, value) in &fields {
            let other = format!("{name}={}", quoted(&format!("{value}.")));
            prop_assert!(!holds(&other, &order), "{}", other);
        }
    }

    #[test]
    fn a_filter_says_of_an_order_what_it_says_of_the_order_trimmed(
        names in proptest::collection::vec("a|b|operations|TicketDatas", 4),
        value in 0u8..3, at in 0usize..5, select in "[(][*][)]|",
    ) {
        let mut order = json!({&names[3]: value});
        for (depth, name) in names[..3].iter().enumerate() {
            order = if depth == at { json!({name: order}) } else { json!({name: [{"x": 1}, order]}) };
        }
        let path: Vec<_> = names.iter().take(3).rev().map(|name| format!("{name}{select}")).collect();
        let filter = compiled(&format!("{}.{}=1", path.join("."), names[3]));
        for granularity in Granularity::ALL {
            let trimmed = granularity.trim(order.to_string().as_bytes()).expect("JSON");
            prop_assert_eq!(
                filter.holds(&scope(order.to_string().as_bytes()), *granularity),
                filter.holds(&scope(&trimmed), Granularity::Tickets)
            );
        }
    }

    #[test]
    fn numbers_are_equal_by_value(number in any::<i32>(), zeros in 0usize..5) {
        let order = json!({"n": number});
        let filter = format!("n={number}.0{}", "0".repeat(zeros));
        prop_assert!(holds(&filter, &order));
        let other = format!("n={}", i64::from(number) + 1);
        prop_assert!(!holds(&other, &order));
    }
}
