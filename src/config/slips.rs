//! Slips that would otherwise pass without notice or with an error that does not help.

use std::collections::BTreeMap;

use super::environment::PREFIX;
use super::faults::{Path, Report};
use super::schema::{Block, Kind, ROOT};

/// Reports variables that read like `ORDERHOOK__SECTION__KEY` with single underscores. Others are left alone: a
/// container platform sets `ORDERHOOK_PORT` and the like itself.
pub(crate) fn report(environment: &BTreeMap<String, String>, report: &Report) {
    for variable in environment.keys().filter(|name| name.starts_with("ORDERHOOK_")) {
        if let Some(meant) = meant(variable).filter(|meant| meant != variable) {
            let message =
                format!("this variable is not read; did you mean {meant}, with two underscores between its parts?");
            report.fault(&format!("environment {variable}"), &Path::default(), message);
        }
    }
}

fn meant(variable: &str) -> Option<String> {
    let parts = |text: &str| text.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    let wanted = parts(variable.strip_prefix("ORDERHOOK_")?).to_lowercase();
    let found = find(&ROOT, &wanted, 0)?;
    Some(format!("{PREFIX}{}", found.join("__").to_uppercase()))
}

/// The names of blocks and a key that `wanted` spells with single underscores.
fn find(block: &Block, wanted: &str, depth: usize) -> Option<Vec<String>> {
    for key in block.keys {
        if let Kind::Block(inner) = key.kind {
            let rest = wanted.strip_prefix(key.name).and_then(|rest| rest.strip_prefix('_'));
            if let Some(mut names) = rest.and_then(|rest| find(inner, rest, depth + 1)) {
                names.insert(0, key.name.to_owned());
                return Some(names);
            }
        } else if depth > 0 {
            let file = format!("{}_file", key.name);
            if key.name == wanted || (key.kind.may_be_in_a_file() && file == wanted) {
                return Some(vec![wanted.to_owned()]);
            }
        }
    }
    None
}

/// What to do about `${NAME}` without quotes between braces or brackets, where YAML takes its brace for a block; empty
/// where a text has none.
pub(crate) fn unquoted_reference(yaml: &str) -> String {
    for (at, line) in yaml.lines().enumerate() {
        let (mut quote, mut open) = (None, 0_usize);
        for (byte, c) in line.char_indices() {
            match (quote, c) {
                (Some(mark), c) if c == mark => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, '#') => break,
                (None, '$') if open > 0 => {
                    let rest = line.get(byte..).unwrap_or_default();
                    let name = rest.strip_prefix("${").and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
                    if let Some(name) = name {
                        return format!(
                            "; line {}: put ${{{name}}} in quotes, \"${{{name}}}\", for inside braces and brackets YAML takes its own brace for a block",
                            at + 1
                        );
                    }
                }
                (None, '{' | '[') => open += 1,
                (None, '}' | ']') => open = open.saturating_sub(1),
                _ => {}
            }
        }
    }
    String::new()
}
