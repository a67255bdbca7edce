//! What templates may cost: work by size, and time.

use std::cell::Cell;
use std::time::Duration;

use minijinja::Value;
use proptest::prelude::*;

use super::*;
use crate::template::meter::{self, ELEMENT};

/// An order with `count` lines and the fields that a hostile caller chooses.
fn order(count: usize) -> String {
    let lines: Vec<_> = (0..count).map(|at| serde_json::json!({"a": at + 1, "text": "x".repeat(20)})).collect();
    serde_json::json!({
        "lines": lines, "n": 1_000_000_000_000_u64, "sep": "s".repeat(100_000), "text": "t".repeat(100_000),
        "format": "%999999999d", "star": "%*d", "digits": "9".repeat(100_000), "name": "abs", "list": ["9", 10, "8x"],
    })
    .to_string()
}

fn error_of(source: &str, order: &str) -> String {
    let template = Template::compile(Syntax::Jinja, source, Target::Text).expect(source);
    template.render(&scope(order)).expect_err(source).to_string()
}

#[test]
fn filters_and_operators_cost_what_they_touch_and_make() {
    let order = order(2000);
    let work = "the template reads and creates more than 32 MiB of values";
    let made = "the template creates text of more than 1 MiB";
    for (source, expected) in [
        ("{% for l in order.lines %}{{ l.a / (order.lines | sum(attribute='a')) }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.lines | sort(attribute='a') | length }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.lines | groupby('a') | length }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.lines | map(attribute='a') | length }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.lines | selectattr('a', 'in', [0]) | length }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.lines == order.lines }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ l in order.lines[1:] }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.text[99999] }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.text[1:2] }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.text | lower | length }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.text in order.sep }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.text == order.text }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ order.digits > 1 }}{% endfor %}", work),
        ("{% for l in order.lines %}{% if {order.text: 1} %}{% endif %}{% endfor %}", work),
        ("{% for l in order.lines %}{% if loop.changed(order.lines) %}{% endif %}{% endfor %}", work),
        ("{% for l in order.lines %}{{ (order.lines | tojson) | length }}{% endfor %}", work),
        ("{% for l in order.lines %}{{ dict(a=1, **order) | length }}{{ order.text | trim('tx') }}{% endfor %}", work),
        ("{{ order.lines | batch(order.n, 0) | length }}", work),
        ("{{ order.lines | slice(order.n) | length }}", work),
        ("{{ order.lines | join(order.sep) }}", made),
        ("{{ order.text | replace('t', order.sep) }}", made),
        ("{{ order.text | replace('', order.sep) }}", made),
        ("{{ order.text | indent(order.n) }}", made),
        ("{{ order.text | indent(width=order.n, first=true) }}", made),
        ("{% set a = order.text ~ order.text ~ order.text ~ order.text %}{{ a ~ a ~ a }}", made),
        ("{% set a = order.text + order.text + order.text + order.text %}{{ a + a + a }}", made),
        ("{{ order.format | format(1) }}", "a number in the text of `format` is larger than 10000"),
        ("{{ order.star | format(order.n, 1) }}", "a number in the text of `format` is larger than 10000"),
        ("{{ range(order.n) | list | length }}", "range has too many elements"),
        ("{{ range(9223372036854775807, -9223372036854775807, -1) | length }}", "a bound of `range` is too large"),
    ] {
        let error = error_of(source, &order);
        assert!(error.starts_with(expected), "{source}: {error}");
    }
}

#[test]
fn a_condition_is_bounded_like_a_template() {
    let condition = "order.lines | batch(order.n, 0) | length > 1";
    let error = Expression::compile(condition).expect("a condition").holds(&scope(&order(10))).expect_err("too much");
    let expected = "the expression reads and creates more than 32 MiB of values, in `batch(order.n, 0)";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn what_an_ordinary_template_does_to_a_large_order_is_within_bounds() {
    let order = order(10_000);
    for source in [
        "{{ order.lines | sum(attribute='a') }} {{ order.lines | map(attribute='a') | max }} {{ order.lines | length }}",
        "{% for line in order.lines[:100] %}{{ line.a }}/{{ order.lines | length }} {{ order.lines[5].text }}{% endfor %}",
        "{{ order.lines | sort(attribute='a', reverse=true) | first | tojson }}",
        "{{ order.lines | tojson }}",
        "{{ order.lines | map(attribute='text') | unique | join(', ') }}",
    ] {
        let template = Template::compile(Syntax::Jinja, source, Target::Text).expect(source);
        assert!(template.render(&scope(&order)).is_ok(), "{source}: {:?}", template.render(&scope(&order)));
    }
}

#[test]
fn a_slice_may_go_backwards() {
    for (slice, expected) in [
        ("[::-1]", "4,3,2,1,0"),
        ("[10:0:-2]", "4,2"),
        ("[-1:-9:-1]", "4,3,2,1,0"),
        ("[-2:1:-1]", "3,2"),
        ("[0:0:-1]", ""),
        ("[-9::-1]", ""),
        ("[:2:-1]", "4,3"),
    ] {
        let source = format!(
            "{{{{ order.list{slice} | join(',') }}}}{{{{ order.none{slice} | join }}}}{{{{ order.text{slice} }}}}"
        );
        let template = Template::compile(Syntax::Jinja, &source, Target::Text).expect("a template");
        let order = r#"{"list": [0, 1, 2, 3, 4], "none": [], "text": ""}"#;
        assert_eq!(template.render(&scope(order)).as_deref(), Ok(expected), "{slice}");
    }
}

thread_local! {
    static TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A millisecond later each time that it is asked.
fn ticking() -> Duration {
    TIME.set(TIME.get() + Duration::from_millis(1));
    TIME.get()
}

#[test]
fn a_template_that_takes_too_long_ends() {
    let bounded = |timeout| scope_within(&order(1000), Bounds::new(Duration::from_millis(timeout), ticking));
    let source = "{% for l in order.lines %}{{ order.lines | sum(attribute='a') | string | length }}{% endfor %}";
    let template = Template::compile(Syntax::Jinja, source, Target::Text).expect("a template");
    let error = template.render(&bounded(20)).expect_err("too long").to_string();
    assert!(error.starts_with("the template takes longer than template.timeout (20ms), in `"), "{error}");
    let short = Template::compile(Syntax::Jinja, "{{ order.lines | length }}", Target::Text).expect("a template");
    assert_eq!(short.render(&bounded(20)).as_deref(), Ok("1000"));
}

#[test]
fn mixed_values_have_one_order() {
    let order = r#"{"list": ["9", 10, "8x", "11", null, true, 1e400, [1], {"a": 1}, 2.5, "a"]}"#;
    let template =
        Template::compile(Syntax::Jinja, "{{ order.list | sort | tojson }}", Target::Text).expect("a template");
    let sorted = r#"[null,true,2.5,"9",10,"11",1e400,"8x","a",[1],{"a":1}]"#;
    assert_eq!(template.render(&scope(order)).as_deref(), Ok(sorted));
}

proptest! {
    #[test]
    fn a_slice_is_that_of_the_engine(
        length in 0_usize..8, start in proptest::option::of(-9_i64..9), stop in proptest::option::of(-9_i64..9),
        step in prop_oneof![-3_i64..0, 1_i64..4],
    ) {
        // The engine itself panics for some that go backwards.
        prop_assume!(step > 0 || (length > 0 && start.is_none_or(|start| (0..length as i64).contains(&start)) && stop.is_none()));
        let bound = |bound: Option<i64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        let slice = format!("[{}:{}:{step}]", bound(start), bound(stop));
        let (list, text): (Vec<usize>, String) = ((0..length).collect(), "äbcdefgh".chars().take(length).collect());
        let order = serde_json::json!({"list": list, "text": text});
        let known = Value::from_pairs([("order", json::parse(order.to_string().as_bytes()).expect("JSON"))]);
        let source = format!("{{{{ order.list{slice} | join(',') }}}} {{{{ order.text{slice} }}}}");
        let expected = minijinja::Environment::new().render_str(&source, known).expect("a slice");
        let template = Template::compile(Syntax::Jinja, &source, Target::Text).expect("a template");
        prop_assert_eq!(template.render(&scope(&order.to_string())).expect("a text"), expected);
    }

    #[test]
    fn work_is_linear_in_the_order(lines in 1_usize..300) {
        let template = Template::compile(
            Syntax::Jinja,
            "{{ order.lines | sum(attribute='a') }}{{ order.lines | join(',') }}{{ order.lines | tojson }}",
            Target::Text,
        )
        .expect("a template");
        template.render(&scope(&order(lines))).expect("a text");
        let each = 40 * ELEMENT;
        prop_assert!(meter::spent() < 1000 + each * (lines as u64), "{} for {}", meter::spent(), lines);
    }
}
