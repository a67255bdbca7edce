//! The context of an order: what its steps found out, a JSON object that grows from step to step and is stored as text.

use serde_json::{Map, Value};

use crate::domain::json::{self, Unreadable};

use super::plugin::StepResult;

/// The most that a context may grow to, as JSON text.
const MAX_CONTEXT: usize = 4 * 1024 * 1024;

/// Merges the result of a step: the whole response under the step's name, the names captured by configuration, and the
/// response's top-level strings and numbers where their name is free. `size` is that of the context's text.
pub(super) fn merge(context: &mut Map<String, Value>, step: &str, result: StepResult, size: usize) {
    let Some(answer) = result.answer else { return };
    if size > MAX_CONTEXT {
        tracing::warn!(step, "the context is too large: this step's response is not added to it");
        return;
    }
    for (name, value) in result.captured {
        context.insert(name, value);
    }
    if let Value::Object(fields) = &answer {
        for (name, value) in fields {
            if (value.is_string() || value.is_number()) && !context.contains_key(name) && name != step {
                context.insert(name.clone(), value.clone());
            }
        }
    }
    context.insert(step.to_owned(), answer);
}

/// Returns the context as it is stored and sent.
pub(super) fn text(context: &Map<String, Value>) -> String {
    serde_json::to_string(context).unwrap_or_else(|error| {
        // Writing text keys into memory does not fail.
        tracing::error!(%error, "the context cannot be written");
        "{}".to_owned()
    })
}

/// Reads a stored context.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, Unreadable> {
    match json::read(text.as_bytes(), json::MAX_DEPTH)? {
        Value::Object(context) => Ok(context),
        _ => Err(Unreadable::Invalid("expected an object".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_merged_can_be_read_again() {
        let answer = format!(r#"{{"x":{}1{},"$serde_json::private::Number":"zz"}}"#, "[".repeat(127), "]".repeat(127));
        let answer = json::read(answer.as_bytes(), 128).expect("JSON");
        let mut context = Map::new();
        merge(&mut context, "check", StepResult { answer: Some(answer), ..StepResult::default() }, 2);
        assert_eq!(read(&text(&context)).as_ref(), Ok(&context));
        assert_eq!(context.get("$serde_json::private::Number"), Some(&Value::from("zz")));
    }

    #[test]
    fn a_stored_text_that_is_not_an_object_is_an_error() {
        for text in ["", "{", "null", "[]", "7"] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert_eq!(read("{}"), Ok(Map::new()));
    }
}
