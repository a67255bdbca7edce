//! Merge fields and placeholders: what is a field, what fills it, and that nothing breaks out of its target.

use proptest::prelude::*;

use super::super::*;
use super::{ORDER, any_json, scope};

fn filled(syntax: Syntax, target: Target, source: &str, order: &str) -> Result<String, RenderError> {
    Template::compile(syntax, source, target).expect(source).render(&scope(order))
}

fn wrong(syntax: Syntax, target: Target, source: &str) -> SyntaxError {
    Template::compile(syntax, source, target).expect_err(source)
}

#[test]
fn merge_fields_are_looked_up_in_the_order_the_context_and_the_event() {
    for (source, expected) in [
        ("<DataSource.Total> <total.x>|", "120.5 |"),
        ("<orderdata.NAME>, <OrderData.Name>", "Ann, Ann"),
        ("<Items.1.Sku><DataSource.items.0.sku><Items.2.Sku><Items.-1.Sku>", "BA"),
        ("<Context.userId> <context.USERID> <Context.nothing>", "u-1 u-1 "),
        ("<Event.type> <event.TYPE>", "order.completed order.completed"),
        ("<DataSource.paid><DataSource.empty>", "true"),
        ("<DataSource.items>", r#"[{"sku":"A"},{"sku":"B"}]"#),
    ] {
        assert_eq!(filled(Syntax::MergeFields, Target::Text, source, ORDER).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn tags_and_other_angle_brackets_stay() {
    for source in [
        "<b>bold</b> <br/> <a href=\"x.y\">",
        "<DataSource>",
        "a < b.c and d > e",
        "<<>>",
        "<.x>",
        "<1.5>",
        "<a@b.example>",
        "<https://a.example>",
        "<a.b",
        "<a.b c>",
        "</a.b>",
        "<é>",
        "",
        "<",
        "x<",
        "<Data Source.Id>",
    ] {
        let template = Template::compile(Syntax::MergeFields, source, Target::Text).expect(source);
        assert_eq!(template.as_static(), Some(source));
    }
}

#[test]
fn a_field_at_the_very_start_of_a_url_is_its_base_and_no_other() {
    let order = r#"{"a": {"b": "https://x.example/?q", "c": "d/e"}}"#;
    let url = |source| filled(Syntax::MergeFields, Target::Url, source, order);
    assert_eq!(url("<a.b>/<a.b>").as_deref(), Ok("https://x.example/?q/https%3A%2F%2Fx.example%2F%3Fq"));
    assert_eq!(url("https://y/<a.c>").as_deref(), Ok("https://y/d%2Fe"));
    assert_eq!(url("https://y/<a.d>"), Err(RenderError("`a.d` is missing".into())));
    assert_eq!(url("<A.D>"), Err(RenderError("`A.D` is missing".into())));
}

#[test]
fn placeholders_are_the_few_that_there_are() {
    let scope = scope(ORDER).with_delivery(crate::domain::DeliveryId::from_u128(9), None);
    let source = "${orderId} ${eventType} ${orderUrl} ${eventId} ${deliveryId} {orderId} $orderId $ {";
    let text = Template::compile(Syntax::Placeholder, source, Target::Text).expect(source).render(&scope);
    let zeros = "00000000-0000-0000-0000-00000000000";
    let expected = format!(
        "4711 order.completed https://shop.example/v1/orders/ord_{zeros}7 evt_{zeros}8 dlv_{zeros}9 {{orderId}} $orderId $ {{"
    );
    assert_eq!(text, Ok(expected));
}

#[test]
fn what_is_written_wrongly_is_told_with_a_caret() {
    let error = wrong(Syntax::Placeholder, Target::Json, "{\n  \"id\": \"${orderld}\"}");
    assert_eq!(
        error.to_string(),
        "unknown placeholder `${orderld}`; did you mean `${orderId}`?, at line 2, column 10\n  \"id\": \"${orderld}\"}\n         ^"
    );
    for (source, said, column) in [
        ("x ${order id}", "cannot contain spaces", 3),
        ("${}", "there is ${orderId}, ", 1),
        ("${orderId", "not closed", 1),
    ] {
        let error = wrong(Syntax::Placeholder, Target::Text, source);
        assert!(error.message.contains(said) && error.column == column, "{error}");
    }
    for (source, said, column) in [
        ("a <Context.>", "a name is missing", 12),
        ("<DataSource.a..b>", "a name is missing", 15),
        ("<DataSource.a", "not closed", 14),
        ("< DataSource.a >", "cannot contain spaces", 2),
        ("<Event.idd>", "did you mean <Event.id>?", 8),
        ("<Delivery.a.b>", "there is <Delivery.id>", 11),
    ] {
        let error = wrong(Syntax::MergeFields, Target::Text, source);
        assert!(error.message.contains(said) && error.column == column, "{source}: {error}");
    }
    let error = wrong(Syntax::MergeFields, Target::Json, r#"{"a": "\<a.b>"}"#);
    assert!(error.message.contains("backslash"), "{error}");
}

#[test]
fn text_out_of_quotes_must_be_json_by_itself() {
    let order = r#"{"v": {"number": "12", "yes": "true", "word": "x", "list": "1,2", "space": " 1", "null": null}}"#;
    let body = |name: &str| filled(Syntax::MergeFields, Target::Json, &format!("{{\"a\": <v.{name}>}}"), order);
    assert_eq!(body("number").as_deref(), Ok("{\"a\": 12}"));
    assert_eq!(body("yes").as_deref(), Ok("{\"a\": true}"));
    assert_eq!(body("null").as_deref(), Ok("{\"a\": null}"));
    assert_eq!(body("gone").as_deref(), Ok("{\"a\": }"));
    for name in ["word", "list", "space"] {
        let expected = format!("`v.{name}` is text, which needs quotes around it in JSON");
        assert_eq!(body(name), Err(RenderError(expected)), "{name}");
    }
}

#[test]
fn an_order_that_cannot_be_read_is_an_error() {
    assert!(filled(Syntax::MergeFields, Target::Text, "<a.b>", "{").is_err());
    assert_eq!(filled(Syntax::Placeholder, Target::Text, "${orderId}", "{").as_deref(), Ok("4711"));
    let long = format!("{{\"a\": {{\"b\": \"{}\"}}}}", "x".repeat(700_000));
    let error = filled(Syntax::MergeFields, Target::Text, "<a.b><a.b>", &long).expect_err("a bound").to_string();
    assert_eq!(error, "more than 1048576 bytes are filled in");
}

const TARGETS: [Target; 5] = [Target::Url, Target::Json, Target::Form, Target::Xml, Target::Text];

proptest! {
    #[test]
    fn any_text_compiles_or_is_an_error_with_a_caret_inside_its_line(source in prop_oneof![
        ".{0,60}",
        "(<|>|\\.|DataSource|Context|Event|Delivery|id|a|0|-| |\n|ä|\"|\\\\){0,14}",
        "(\\$|\\{|\\}|orderId|order|Id| |\n|ä|\"|\\\\){0,14}",
    ]) {
        let scope = scope(ORDER);
        for (syntax, target) in [Syntax::MergeFields, Syntax::Placeholder].into_iter().flat_map(|syntax| TARGETS.map(|target| (syntax, target))) {
            match Template::compile(syntax, &source, target) {
                Ok(template) => {
                    let text = template.render(&scope);
                    if let Some(fixed) = template.as_static() {
                        prop_assert_eq!(fixed, &source);
                        prop_assert_eq!(text, Ok(source.clone()));
                    }
                }
                Err(error) => {
                    let line = source.split('\n').nth(error.line - 1).expect("a line of the source");
                    prop_assert!(error.column >= 1 && error.column <= line.chars().count() + 1, "{:?}", error);
                    prop_assert!(error.excerpt.ends_with('^'));
                }
            }
        }
    }

    #[test]
    fn text_without_marks_stays_unchanged(source in "[^<$\\{\\}]{0,40}") {
        for syntax in [Syntax::MergeFields, Syntax::Placeholder] {
            for target in TARGETS {
                let template = Template::compile(syntax, &source, target).expect("text");
                prop_assert_eq!(template.as_static(), Some(source.as_str()));
            }
        }
    }

    #[test]
    fn no_value_breaks_out_of_json(value in any_json()) {
        let order = serde_json::json!({"o": {"v": value}}).to_string();
        let text = filled(Syntax::MergeFields, Target::Json, r#"{"a": "x<o.v>y", "b": [1]}"#, &order).expect("filled");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(read.as_object().map(serde_json::Map::len), Some(2));
        prop_assert_eq!(&read["b"], &serde_json::json!([1]));
        if let Some(text) = value.as_str() {
            prop_assert_eq!(&read["a"], &format!("x{text}y"));
        }
        if let Ok(text) = filled(Syntax::MergeFields, Target::Json, r#"{"a": [<o.v>], "b": [1]}"#, &order) {
            let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(read.as_object().map(serde_json::Map::len), Some(2));
            prop_assert!(read["a"].as_array().is_some_and(|items| items.len() <= 1), "{}", text);
        }
    }

    #[test]
    fn no_value_breaks_out_of_xml_forms_or_urls(value in any_json()) {
        let order = serde_json::json!({"o": {"v": value}}).to_string();
        let text = filled(Syntax::MergeFields, Target::Xml, "<r a=\"<o.v>\"><t><o.v></t></r>", &order).expect("filled");
        let read = roxmltree::Document::parse(&text).expect("XML");
        let names: Vec<_> = read.descendants().filter(roxmltree::Node::is_element).map(|node| node.tag_name().name()).collect();
        prop_assert_eq!(names, ["r", "t"]);
        prop_assert_eq!(read.root_element().attributes().len(), 1);

        let text = filled(Syntax::MergeFields, Target::Form, "a=<o.v>&b=1", &order).expect("filled");
        let names: Vec<_> = url::form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect();
        prop_assert_eq!(names, ["a", "b"]);

        if let Ok(text) = filled(Syntax::MergeFields, Target::Url, "https://a.example/<o.v>", &order) {
            let value = text.strip_prefix("https://a.example/").expect("the fixed part");
            prop_assert!(!value.contains(['/', '?', '#', ':', '@', '&', '\\']) && !value.contains(char::is_whitespace), "{}", text);
        }
    }
}
