//! Every syntax over every target: compiling and filling in never panics, and what has no fields stays as it is.
//!
//! The input is a template, a NUL, and the order that fills it.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use orderhook::template::{Expression, Syntax, Target, Template, as_form, as_xml, check_document};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let source = parts.next().and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default();
    let order = parts.next().unwrap_or(b"{}");
    let scope = support::scope(order);
    for syntax in Syntax::ALL {
        for target in [Target::Url, Target::Json, Target::Form, Target::Xml, Target::Text] {
            match Template::compile(*syntax, source, target) {
                Ok(template) => {
                    let filled = template.render(&scope);
                    let _ = (template.skeleton("x"), template.shortest(), template.begins_filled());
                    if template.as_static().is_some() {
                        assert_eq!(filled.as_deref(), Ok(source));
                    }
                    let _ = filled.map(|text| check_document(target, &text));
                }
                Err(error) => assert!(error.line >= 1 && error.column >= 1 && error.excerpt.ends_with('^')),
            }
        }
    }
    if let Ok(expression) = Expression::compile(source) {
        let _ = expression.holds(&scope);
    }
    let _ = as_form(order);
    if let Ok(document) = as_xml(order) {
        assert_eq!(check_document(Target::Xml, &document), Ok(()));
    }
});
