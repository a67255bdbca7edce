//! What templates and expressions promise.

mod syntaxes;
mod types;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::{DeliveryId, Event, EventId, OrderId, Origin, PreparedDelivery, Subject, Timestamp};

fn scope(order: &str) -> Scope {
    scope_within(order, Bounds::default())
}

fn scope_within(order: &str, bounds: Bounds) -> Scope {
    let subject = Subject {
        origin: Origin::Order(OrderId::from_u128(7)),
        order_id: "4711".into(),
        kind: "new".into(),
        received_at: Timestamp::from_millis(0),
        chain: None,
        body: Bytes::copy_from_slice(order.as_bytes()),
        arrival: None,
    };
    let event = Event {
        id: EventId::from_u128(8),
        kind: "order.completed".into(),
        at: Timestamp::from_millis(0),
        subject: Arc::new(subject),
        context: r#"{"userId": "u-1", "quote": "say \"hi\"\n"}"#.into(),
        step: None,
        steps: Arc::default(),
    };
    let places = Places {
        public_url: "https://shop.example/".to_owned(),
        customer_email: "/customer/email".to_owned(),
        items: "/items".to_owned(),
        product: vec!["/sku".to_owned(), "/plan".to_owned()],
        bounds,
    };
    Scope::new(&event, &Arc::new(places), Timestamp::from_millis(0))
}

const ORDER: &str = r#"{"id": 4711, "type": "new", "total": 120.5, "OrderData": {"Name": "Ann"}, "empty": null,
    "note": "a\"b\\c\nd/e?f#g h", "items": [{"sku": "A"}, {"sku": "B"}], "paid": true,
    "customer": {"email": "ann@example.com"}, "huge": 1e400,
    "long": 123456789012345678901234567890123456789012345678901234567890, "big": 123456789012345678901234567890}"#;

fn fill(target: Target, source: &str) -> Result<String, RenderError> {
    Template::compile(Syntax::Jinja, source, target).expect(source).render(&scope(ORDER))
}

fn holds(source: &str) -> bool {
    Expression::compile(source).expect(source).holds(&scope(ORDER)).expect(source)
}

fn wrong(source: &str) -> SyntaxError {
    Expression::compile(source).expect_err(source)
}

#[test]
fn text_in_json_is_escaped_for_the_inside_of_a_string() {
    let body = fill(Target::Json, r#"{"a": "{{ order.note }}", "b": "{{ context.quote }}"}"#).expect("filled");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body, json!({"a": "a\"b\\c\nd/e?f#g h", "b": "say \"hi\"\n"}));
}

#[test]
fn other_values_in_json_are_json() {
    let source =
        "[{{ order.total }}, {{ order.paid }}, {{ order.empty }}, {{ order['items'] }}, {{ order.note | tojson }}]";
    let body: serde_json::Value = serde_json::from_str(&fill(Target::Json, source).expect("filled")).expect("JSON");
    assert_eq!(body, json!([120.5, true, null, [{"sku": "A"}, {"sku": "B"}], "a\"b\\c\nd/e?f#g h"]));
}

#[test]
fn numbers_that_fit_no_machine_type_are_written_as_they_came() {
    let body = fill(Target::Json, "[{{ order.huge }}, {{ order.long }}, {{ order.big }}, {{ order | tojson }}]");
    let body = body.expect("filled");
    let long = "123456789012345678901234567890123456789012345678901234567890";
    assert!(body.starts_with(&format!("[1e400, {long}, 123456789012345678901234567890, {{")), "{body}");
    assert!(body.contains(&format!("\"huge\":1e400,\"long\":{long},")), "{body}");
    assert!(holds("order.huge > 5 and order.long > order.total and order.big > 1 and order.huge is number"));
}

#[test]
fn text_is_filled_in_as_it_is_and_a_missing_or_null_field_is_empty() {
    assert_eq!(fill(Target::Text, "{{ order.note }}").as_deref(), Ok("a\"b\\c\nd/e?f#g h"));
    assert_eq!(fill(Target::Text, "<{{ order.account.id }}{{ order.empty }}>\n").as_deref(), Ok("<>\n"));
    assert_eq!(fill(Target::Json, "<{{ order.account.id }}>").as_deref(), Ok("<>"));
    assert_eq!(fill(Target::Text, "{{ order.paid }} {{ order.total }}").as_deref(), Ok("true 120.5"));
}

#[test]
fn a_url_is_percent_encoded_and_needs_every_field() {
    let url = fill(Target::Url, "https://a.example/{{ order.id }}/{{ order.note }}?x={{ order.OrderData.Name }}");
    assert_eq!(url.as_deref(), Ok("https://a.example/4711/a%22b%5Cc%0Ad%2Fe%3Ff%23g%20h?x=Ann"));
    for (source, missing) in [
        ("https://a.example/{{ order.account }}", "`order.account` is missing"),
        ("https://a.example/{{ order.account.id }}", "`order.account.id` is missing"),
        ("https://a.example/{{ order.empty }}", "`order.empty` is missing"),
        ("https://a.example/{{ delivery.id }}", "`delivery.id` is missing"),
    ] {
        assert_eq!(fill(Target::Url, source), Err(RenderError(missing.into())), "{source}");
    }
    assert!(fill(Target::Url, "https://a.example/{{ order.account | upper }}").is_err());
    assert_eq!(fill(Target::Url, "/{{ order.account | default('x') }}").as_deref(), Ok("/x"));
}

#[test]
fn names_are_found_exactly_first_and_then_without_regard_to_case() {
    assert_eq!(fill(Target::Text, "{{ order.orderdata.NAME }}").as_deref(), Ok("Ann"));
    let both = scope(r#"{"A": 1, "a": 2, "Ä": 3, "c0":0,"c1":0,"c2":0,"c3":0,"c4":0,"c5":0,"c6":0,"C7":7}"#);
    let template =
        Template::compile(Syntax::Jinja, "{{ order.A }}{{ order.a }}{{ order['ä'] }}{{ order.c7 }}", Target::Text);
    assert_eq!(template.expect("a template").render(&both).as_deref(), Ok("1237"));
}

#[test]
fn of_two_fields_with_one_name_the_last_counts() {
    let twice = r#"{"a": 1, "b": 2, "a": 3}"#;
    let template = Template::compile(Syntax::Jinja, "{{ order | tojson }}", Target::Json).expect("a template");
    assert_eq!(template.render(&scope(twice)).as_deref(), Ok(r#"{"a":3,"b":2}"#));
}

#[test]
fn all_names_are_there() {
    let scope = scope(ORDER).with_delivery(DeliveryId::from_u128(9), None);
    let source = "{{ event.id }} {{ event.type }} {{ delivery.id }} {{ customer_email }} {{ order_url }} {{ now }} {{ context.userId }}";
    let text = Template::compile(Syntax::Jinja, source, Target::Text).expect("a template").render(&scope);
    let zeros = "00000000-0000-0000-0000-00000000000";
    let expected = format!(
        "evt_{zeros}8 order.completed dlv_{zeros}9 ann@example.com https://shop.example/v1/orders/ord_{zeros}7 \
         1970-01-01T00:00:00.000Z u-1"
    );
    assert_eq!(text, Ok(expected));
}

#[test]
fn a_delivery_of_some_items_has_names_for_them() {
    let source =
        "{{ items | map(attribute='sku') | join('+') }} {{ item.sku }} {{ product_id }} {{ quantity }} {{ unit }}";
    let fill = |order: &str, prepared: Option<PreparedDelivery>| {
        let scope = scope(order).with_delivery(DeliveryId::from_u128(9), prepared.map(Arc::new).as_ref());
        Template::compile(Syntax::Jinja, source, Target::Text).expect("a template").render(&scope)
    };
    let prepared = |items: &[u32]| {
        Some(PreparedDelivery { items: Some(items.to_vec()), quantity: Some(4), ..PreparedDelivery::default() })
    };
    assert_eq!(fill(ORDER, prepared(&[1, 0])).as_deref(), Ok("B+A B B 4 "));
    assert_eq!(fill(ORDER, None).as_deref(), Ok("    "));
    let long = "1234567890123456789012345678901234567890";
    let single = &format!("{{\"sku\": {long}}}");
    let unit =
        PreparedDelivery { items: Some(Vec::new()), quantity: Some(1), unit: Some(2), ..PreparedDelivery::default() };
    assert_eq!(fill(single, Some(unit)).as_deref(), Ok(&*format!("{long} {long} {long} 1 2")));
    assert_eq!(fill(r#"{"plan": "P", "items": [{"sku": {}}]}"#, prepared(&[0])).as_deref(), Ok("{} {} P 4 "));
}

#[test]
fn a_chain_sees_its_own_context() {
    let context = json!({"accountId": 7, "nested": {"Deep": [1e3]}});
    let scope = scope(ORDER).with_context(context.as_object().expect("an object"));
    let source = "{{ context.accountId }} {{ context.nested.deep[0] }} {{ context.userId }}|{{ order.id }}";
    let text = Template::compile(Syntax::Jinja, source, Target::Text).expect("a template").render(&scope);
    assert_eq!(text.as_deref(), Ok("7 1000.0 |4711"));
}

#[test]
fn an_order_that_cannot_be_read_is_an_error_only_where_it_is_needed() {
    let deep = "[".repeat(600) + &"]".repeat(600);
    for order in ["{\"a\": ", "{]", "\u{1}", &deep] {
        let scope = scope(order);
        let needs = Template::compile(Syntax::Jinja, "{{ order.a }}", Target::Text).expect("a template");
        assert!(needs.render(&scope).is_err(), "{order}");
        let other = Template::compile(Syntax::Jinja, "{{ event.type }}", Target::Text).expect("a template");
        assert_eq!(other.render(&scope).as_deref(), Ok("order.completed"));
    }
}

#[test]
fn a_deep_order_is_filled_in_without_overflow() {
    let order = "{\"a\":".repeat(500) + "1" + &"}".repeat(500);
    let template = Template::compile(Syntax::Jinja, "{{ order | tojson }}{{ order == context }}", Target::Json);
    let text = template.expect("a template").render(&scope(&order)).expect("filled");
    assert_eq!(text, order + "false");
}

#[test]
fn comparisons_hold_as_one_would_say() {
    for (source, expected) in [
        ("order.total > 100", true),
        ("order.total > 120.5", false),
        ("order.total >= 120.5 and order.id == 4711", true),
        ("order.type in [\"new\", \"renew\"]", true),
        ("order.type not in [\"new\", \"renew\"]", false),
        ("\"ew\" in order.type", true),
        ("\"TYPE\" in order", true),
        ("order.paid", true),
        ("not order.paid", false),
        ("order.empty", false),
        ("order.empty is none", true),
        ("order['items'] | length == 2", true),
        ("order['items'] | selectattr(\"sku\", \"eq\", \"B\") | list | length == 1", true),
        ("order['items'] | map(attribute=\"sku\") | join(\",\") == \"A,B\"", true),
        ("event.type == \"order.completed\"", true),
    ] {
        assert_eq!(holds(source), expected, "{source}");
    }
}

#[test]
fn a_missing_field_is_false_and_compares_to_nothing() {
    for source in [
        "order.missing",
        "order.missing.deeper",
        "order.missing > 0",
        "order.missing < 5",
        "order.missing <= 5",
        "5 > order.missing",
        "order.missing == order.gone",
        "order.missing == none",
        "order.missing in [1, 2]",
        "1 in order.missing",
        "order.missing is lt(5)",
        "order['items'] | selectattr(\"price\", \"lt\", 5) | list",
        "order.missing > 0 or order.gone < 0",
    ] {
        assert!(!holds(source), "{source}");
    }
    assert!(holds("order.missing != \"x\" and order.missing is undefined and (order.missing < 5 or order.total > 5)"));
}

#[test]
fn slips_are_found_when_compiling_with_the_place_and_the_nearest_name() {
    let error = wrong("order.total > 0 and\n  ordr.total > 100");
    assert_eq!(
        error.to_string(),
        "unknown name `ordr`; did you mean `order`?, at line 2, column 3\n  ordr.total > 100\n  ^"
    );
    for (source, message, column) in [
        ("order.type | uper == 'A'", "unknown filter `uper`; did you mean `upper`?", 14),
        ("order.total is nmber", "unknown test `nmber`; did you mean `number`?", 16),
        ("rnge(3)", "unknown function `rnge`; did you mean `range`?", 1),
        ("event.typ == 'x'", "unknown field of `event`; did you mean `type`?", 7),
        ("order.type.upper()", "values have no methods: `upper`; use a filter", 12),
        ("0 < order.total < 5", "comparisons cannot be chained: write `a < b and b < c`", 1),
        ("   ", "an expression is needed", 1),
    ] {
        let error = wrong(source);
        let message = message.replace("`event`;", "`event` `typ`;");
        assert_eq!((error.message.as_str(), error.line, error.column), (message.as_str(), 1, column), "{source}");
    }
    let error = wrong("order.total >");
    assert_eq!((error.line, error.column), (1, 13), "{error}");
}

#[test]
fn a_template_may_use_names_of_its_own() {
    let source = "{% for item in order['items'] %}{{ loop.index }}{{ item.sku }}{% if not loop.last %},{% endif %}{% endfor %}\
                  {% set n = order.id %}/{{ n }}";
    assert_eq!(fill(Target::Text, source).as_deref(), Ok("1A,2B/4711"));
    let error = Template::compile(Syntax::Jinja, "{{ line.sku }}", Target::Text).expect_err("no loop");
    assert!(error.message.starts_with("unknown name `line`; there is order, context,"), "{error}");
    assert!(Template::compile(Syntax::Jinja, "{% include 'x' %}", Target::Text).is_err());
}

#[test]
fn a_template_cannot_run_or_grow_without_end() {
    let endless = "{% for a in range(1000) %}{% for b in range(1000) %}{{ a }}{% endfor %}{% endfor %}";
    let error = fill(Target::Text, endless).expect_err("a bound");
    assert_eq!(error.to_string(), "the template takes too many steps (50000 at most, fewer with long fixed text)");
    let long = "x".repeat(300_000);
    for (source, filled) in [
        ("{% for a in range(10) %}{{ order.text }}{% endfor %}", None),
        ("{% for a in range(3) %}{{ order.text }}{% endfor %}", Some(900_000)),
        ("{{ [order.text, order.text, order.text, order.text] | tojson | length }}", None),
    ] {
        let template = Template::compile(Syntax::Jinja, source, Target::Text).expect("a template");
        let result = template.render(&scope(&format!("{{\"text\": \"{long}\"}}")));
        assert_eq!(result.as_ref().ok().map(String::len), filled, "{source}");
    }
    let fixed = format!("{{% for a in range(10000) %}}{}{{% endfor %}}", "y".repeat(100_000));
    assert!(fill(Target::Text, &fixed).is_err());
}

#[test]
fn an_expression_that_cannot_be_evaluated_says_which_part_and_shows_no_value() {
    let error = Expression::compile("order.note + 1 > 5").expect("an expression").holds(&scope(ORDER));
    let error = error.expect_err("no number").to_string();
    assert!(error.contains("order.note + 1") && !error.contains("a\"b"), "{error}");
}

#[test]
fn a_template_with_nothing_to_fill_in_is_static() {
    let template = Template::compile(Syntax::Jinja, "https://a.example/x", Target::Url).expect("a template");
    assert_eq!(template.as_static(), Some("https://a.example/x"));
    assert_eq!(template.render(&scope(ORDER)).as_deref(), Ok("https://a.example/x"));
    let template = Template::compile(Syntax::Jinja, "/{{ order.id }}", Target::Url).expect("a template");
    assert_eq!(template.as_static(), None);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof!["[a-zA-Z/?# \"\\\\]{0,6}", ".{0,6}", "\\PC{0,3}"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        (-1e9f64..1e9).prop_map(serde_json::Value::from),
        text.prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 40, 12, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..12).prop_map(serde_json::Value::from),
            proptest::collection::vec(("[a-c]{0,2}|.{0,3}", inner), 0..12)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_compiles_or_is_an_error_with_a_caret_inside_its_line(source in prop_oneof![
        ".{0,60}",
        "[a-z(){}%\"'|.,<>=! \n\t\\[\\]0-9+*~-]{0,40}",
        "(\\{\\{|\\{%|%\\}|\\}\\}|order|\\.|if|for|in| |\\||\n|ä|\"|[a-z])*",
    ]) {
        let errors = [
            Expression::compile(&source).err(),
            Template::compile(Syntax::Jinja, &source, Target::Json).err(),
            Template::compile(Syntax::Jinja, &format!("{{{{{source}}}}}"), Target::Url).err(),
        ];
        for (error, text) in errors.into_iter().zip([source.clone(), source.clone(), format!("{{{{{source}}}}}")]) {
            let Some(error) = error else { continue };
            let line = text.split('\n').nth(error.line - 1).expect("a line of the source");
            prop_assert!(error.column >= 1 && error.column <= line.chars().count() + 1, "{error:?}");
            let (excerpt, caret) = error.excerpt.rsplit_once('\n').expect("two lines");
            prop_assert!(caret.ends_with('^') && caret.chars().count() <= excerpt.chars().count() + 1);
        }
    }

    #[test]
    fn any_value_filled_into_json_keeps_the_document_and_its_shape(value in any_json()) {
        let scope = scope(&json!({"v": value}).to_string());
        let source = r#"{"a": "{{ order.v }}", "b": {{ order.v | tojson }}, "c": [1]}"#;
        let template = Template::compile(Syntax::Jinja, source, Target::Json).expect("a template");
        let text = template.render(&scope).expect("filled");
        // Lists and objects belong outside of quotes: there is nothing to hold on to inside of them.
        if value.is_object() || value.is_array() {
            let source = r#"{"a": {{ order.v }}, "b": {{ order.v | tojson }}}"#;
            let text = Template::compile(Syntax::Jinja, source, Target::Json).expect("a template").render(&scope).expect("filled");
            let filled: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(&filled["a"], &filled["b"]);
            prop_assert_eq!(filled.as_object().map(serde_json::Map::len), Some(2));
        } else {
            let filled: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(filled.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>()), Some(vec!["a".into(), "b".into(), "c".into()]));
            prop_assert_eq!(&filled["c"], &json!([1]));
            if let Some(text) = value.as_str() {
                prop_assert!(filled["a"] == text && filled["b"] == text);
            } else {
                prop_assert_eq!(filled["b"].as_f64(), value.as_f64());
            }
        }
    }

    #[test]
    fn any_value_filled_into_a_url_stays_within_its_segment(value in any_json()) {
        let scope = scope(&json!({"v": value}).to_string());
        let template = Template::compile(Syntax::Jinja, "{{ order.v }}{{ order.v | tojson | safe }}", Target::Url).expect("a template");
        match template.render(&scope) {
            Ok(text) => prop_assert!(!text.contains(['/', '?', '#', ':', '@', '&']) && !text.contains(char::is_whitespace), "{}", text),
            Err(error) => prop_assert!(value.is_null() || value == "", "{}", error),
        }
    }

    #[test]
    fn json_is_read_as_serde_reads_it(value in any_json()) {
        let read = json::parse(value.to_string().as_bytes()).expect("JSON");
        let mut text = String::new();
        json::write(&mut text, &read).expect("written");
        prop_assert_eq!(&read, &json::from_tree(&value));
        let back: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(json::from_tree(&back), read);
    }

    #[test]
    fn what_serde_takes_for_json_is_taken_here(text in "([\\[\\]{}:,\"\\\\eE0-9.+ -]|true|null|\\\\u00e4|\\\\ud83d\\\\ude00|\"a\"){0,12}") {
        let ours = json::parse(text.as_bytes());
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            prop_assert!(ours.is_ok(), "{:?}", ours);
        }
    }
}
