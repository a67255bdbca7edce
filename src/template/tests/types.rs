//! Values of the wrong type, digits of numbers, and bounds on nesting.

use super::super::*;
use super::{ORDER, holds, scope};

#[test]
fn a_comparison_with_a_missing_or_null_field_is_false_and_so_is_its_negation() {
    for field in ["order.missing", "order.empty"] {
        for source in [
            "{} > 5",
            "not {} > 5",
            "not (5 <= {})",
            "{} in [1]",
            "{} not in [1]",
            "1 not in {}",
            "{} * 2 > 5",
            "not (-{} < 5)",
            "{} + order.total > 0",
        ] {
            let source = source.replace("{}", field);
            assert!(!holds(&source), "{source}");
        }
        assert!(holds(&format!("not {field}")));
    }
}

#[test]
fn text_that_is_a_number_counts_as_the_number() {
    let scope = scope(r#"{"t": "150.00", "n": 9, "d": 99999999999999999.99, "p": 1.10}"#);
    for (source, expected) in [
        ("order.t > 100", true),
        ("order.t > 150", false),
        ("order.t >= 150", true),
        ("100 < order.t", true),
        ("order.t > '20'", true),
        ("order.t * 2 == 300", true),
        ("order.t in [150]", true),
        ("order.n in ['9.0', 'x']", true),
        ("order.t not in [150]", false),
        ("order.d > 99999999999999999.98", true),
        ("order.d < 100000000000000000", true),
        ("order.d == 99999999999999999.99", true),
        ("-order.d > -99999999999999999.98", false),
        ("order.p == 1.1 and order.p <= 1.1 and order.p is number and order.p is float", true),
        ("order.p + 1 == 2.1 and order.p | round == 1 and [order.p, 1, 0.5] | max == 1.1", true),
        ("[order.p, 10, 9] | sort | last == 10 and [order.p, order.p] | sum == 2.2", true),
    ] {
        let expression = Expression::compile(source).expect(source);
        assert_eq!(expression.holds(&scope), Ok(expected), "{source}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_that_names_the_part() {
    for (source, expected) in [
        ("order.type > 5", "text that is not a number cannot be compared with a number, in `order.type > 5`"),
        ("order.type < 5", "text that is not a number cannot be compared with a number, in `order.type < 5`"),
        ("not order.type < 5", "text that is not a number cannot be compared with a number, in `order.type < 5`"),
        ("order.paid < 5", "true or false cannot be compared with a number, in `order.paid < 5`"),
        ("order.customer > 5", "an object cannot be compared with a number, in `order.customer > 5`"),
        ("5 in order.type", "a number cannot be a part of text, in `5 in order.type`"),
        ("5 in order.total", "a number has no elements, in `5 in order.total`"),
        ("order.customer in order.type", "an object cannot be a part of text, in `order.customer in order.type`"),
        ("order.type in [1, 2]", "text that is not a number cannot be in a list of numbers, in `order.type in [1, 2]`"),
        (
            "order.type + 1 > 5",
            "text that is not a number and a number cannot be calculated with `+`, in `order.type + 1`",
        ),
    ] {
        let error = Expression::compile(source).expect(source).holds(&scope(ORDER)).expect_err(source);
        let (what, part) = expected.split_once(", in ").expect("a part");
        let error = error.to_string();
        assert!(error.starts_with(what) && error.contains(part.trim_matches('`')), "{source}: {error}");
    }
}

#[test]
fn numbers_keep_the_digits_that_came() {
    let order = r#"{"total":1.10,"b":10.00,"c":1E+2,"d":99999999999999999.99,"e":0.1234567890123456789,"f":1e-400,"g":-0,"h":1.5}"#;
    let scope = scope(order);
    for target in [Target::Json, Target::Text, Target::Xml, Target::Markup] {
        let source = "{{ order.total }} {{ order.b }} {{ order.c }} {{ order.d }} {{ order.e }} {{ order.f }} {{ order.g }} {{ order.h }}";
        let text = Template::compile(Syntax::Jinja, source, target).expect("a template").render(&scope);
        let expected = "1.10 10.00 1E+2 99999999999999999.99 0.1234567890123456789 1e-400 -0 1.5";
        assert_eq!(text.as_deref(), Ok(expected), "{target:?}");
    }
    let whole = Template::compile(Syntax::Jinja, "{{ order }}", Target::Json).expect("a template").render(&scope);
    assert_eq!(whole.as_deref(), Ok(order));
    let url = Template::compile(Syntax::Placeholder, "/x", Target::Url).expect("a template");
    assert_eq!(url.render(&scope).as_deref(), Ok("/x"));
    let url = Template::compile(Syntax::Jinja, "/{{ order.total }}/{{ order.c }}", Target::Url).expect("a template");
    assert_eq!(url.render(&scope).as_deref(), Ok("/1.10/1E%2B2"));
    let merged =
        Template::compile(Syntax::MergeFields, "<DataSource.total> <DataSource.c> <DataSource.d>", Target::Text)
            .expect("a template");
    assert_eq!(merged.render(&scope).as_deref(), Ok("1.10 1E+2 99999999999999999.99"));
}

#[test]
fn nesting_without_end_is_refused_before_it_is_read() {
    for source in [
        "not ".repeat(8000) + "order.paid",
        "(".repeat(20_000),
        "-".repeat(30_000) + "1",
        "[".repeat(20_000),
        "-(".repeat(60),
        "order.id ".to_owned() + &"+ 1 ".repeat(20_000),
        "order".to_owned() + &".a".repeat(20_000),
        "order".to_owned() + &"[0]".repeat(20_000),
        "order".to_owned() + &" | upper".repeat(20_000),
        "1 if 1 else ".repeat(20_000) + "1",
        "2 ** ".repeat(20_000) + "2",
        "1 is eq ".repeat(20_000) + "1",
    ] {
        let start: String = source.chars().take(20).collect();
        assert!(Expression::compile(&source).is_err(), "{start}");
        for template in [format!("{{{{ {source} }}}}"), format!("{{% if {source} %}}x{{% endif %}}")] {
            assert!(Template::compile(Syntax::Jinja, &template, Target::Text).is_err(), "{start}");
        }
    }
    for source in
        ["{% if order %}".repeat(20_000), "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(20_000) + "{% endif %}"]
    {
        assert!(Template::compile(Syntax::Jinja, &source, Target::Text).is_err());
    }
}

#[test]
fn what_is_nested_or_long_within_bounds_is_read() {
    let source = "not ".repeat(60) + "order.paid";
    assert!(holds(&source));
    let longest = "order.total > 5 or ".repeat(130) + "order.paid";
    assert!(holds(&longest));
    assert!(holds(&("1 + ".repeat(399) + "1 > 5").replacen("1 + ", "", 1)));
    let many = "{{ order.id }}{# ( #}{{ '((((' }}{% if order.paid %}x{% else %}y{% endif %}{% set a = 1 %}".repeat(200);
    let text = Template::compile(Syntax::Jinja, &many, Target::Text).expect("a template").render(&scope(ORDER));
    assert_eq!(text, Ok("4711((((x".repeat(200)));
}

#[test]
fn calculations_do_not_round_what_has_an_end() {
    let scope = scope(
        r#"{"a": 0.1, "b": 0.2, "p": 1.10, "q": 2.20, "t": "1.15", "big": 20261129000000000001, "neg": -1.10,
            "lines": [{"price": 0.10}, {"price": 0.20}, {"price": "19.90"}]}"#,
    );
    for (source, expected) in [
        ("{{ order.a + order.b }}", "0.3"),
        ("{{ order.p + order.q }}", "3.30"),
        ("{{ order.p * 3 }}", "3.30"),
        ("{{ order.t * 100 }}", "115.00"),
        ("{{ order.q - order.p }}", "1.10"),
        ("{{ 0.3 / order.a }}", "3.0"),
        ("{{ order.p % 0.05 }}", "0.00"),
        ("{{ order.p ** 2 }}", "1.2100"),
        ("{{ -order.p }}", "-1.10"),
        ("{{ order.neg | abs }}", "1.10"),
        ("{{ order.big + 0.5 }}", "20261129000000000001.5"),
        ("{{ order.lines | sum('price') }}", "20.20"),
        ("{{ order.lines | sum(attribute='price') }}", "20.20"),
        ("{{ order.t | round(1) }}", "1.2"),
        ("{{ (order.p * 1.5) | round(2) }}", "1.65"),
        ("{{ 2 + 3 }}", "5"),
        ("{{ 1.5 + 1.5 }}", "3.0"),
        ("{{ 6 / 3 }}", "2.0"),
    ] {
        let template = Template::compile(Syntax::Jinja, source, Target::Text).unwrap();
        assert_eq!(template.render(&scope).unwrap(), expected, "{source}");
    }
    for source in ["order.a + order.b == 0.3", "order.lines | sum('price') == 20.2", "order.p * 3 <= 3.3"] {
        assert!(Expression::compile(source).unwrap().holds(&scope).unwrap(), "{source}");
    }
}
