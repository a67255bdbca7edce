//! The texts that people read: phrases that once made them hard to read stay out of string literals and documents.

use std::fs;
use std::path::{Path, PathBuf};

/// A phrase to avoid, and what to write instead.
const AVOID: &[(&str, &str)] = &[
    ("is no ", "is not a …"),
    ("are no ", "are not …, or: there is no"),
    ("is none of", "is not one of"),
    ("what came", "the request, the response"),
    ("what comes back", "the response"),
    ("what was sent", "the request"),
    ("is told", "is notified, gets"),
    ("are told", "are notified, get"),
    ("tells more", "see …"),
    ("goes by", "uses"),
    ("anew", "again; reloaded, rebuilt"),
    ("at once", "immediately; at the same time"),
    ("for ever", "forever, permanently"),
    ("vouch", "authenticate, trust"),
    ("belongs into", "belongs in"),
    ("belong into", "belong in"),
    ("beside it", "also needs …"),
    ("name one at least", "needs at least one entry"),
    ("whoever", "the author, the caller, a user"),
    ("any more", "no longer"),
    ("nothing but", "only"),
    ("seed 00", "the subject itself"),
];

/// Words that contain such a phrase and are right.
const RIGHT: &[&str] = &[
    "is no longer",
    "are no longer",
    "is no larger",
    "for every",
    "there is no ",
    "there are no ",
    "There is no ",
    "There are no ",
];

#[test]
fn texts_for_people_avoid_phrases_that_are_hard_to_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in files(&root.join("src"), "rs") {
        if path.components().any(|part| ["tests", "tests.rs", "sim"].iter().any(|name| part.as_os_str() == *name)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        for literal in literals(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()) {
            found.extend(faults(&literal).map(|fault| format!("{}: {fault}: {literal:?}", path.display())));
        }
    }
    let pages =
        files(&root.join("docs"), "md").into_iter().chain(["README.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    for path in pages {
        let text = fs::read_to_string(&path).expect("a page");
        for line in text.lines() {
            // Code and the names of tests are in backticks.
            let prose: String = line.split('`').step_by(2).collect();
            found.extend(faults(&prose).map(|fault| format!("{}: {fault}: {line:?}", path.display())));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_check_of_phrases_sees_literals_and_leaves_code_and_comments() {
    let code =
        "// \"is no A\"\nlet a = 'x'; let quote = '\"'; f(\"it is no \\\n    URL\", \"an \\\"escape\\\"\"); // anew\n";
    assert_eq!(literals(code), ["it is no URL", "an \\\"escape\\\""]);
    assert_eq!(faults("it is no URL").count(), 1);
    assert_eq!(faults("it is no longer configured; there is no channel").count(), 0);
}

/// The phrases to avoid in a text.
fn faults(text: &str) -> impl Iterator<Item = String> {
    let text = RIGHT.iter().fold(text.to_owned(), |text, right| text.replace(right, ""));
    let wrong = AVOID.iter().filter(move |(phrase, _)| text.contains(phrase));
    wrong.map(|(phrase, better)| format!("{phrase:?} (better: {better})"))
}

/// The string literals of a source, lines that are joined by a backslash as one.
fn literals(code: &str) -> Vec<String> {
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let mut found = Vec::new();
    let mut rest = code.replace("'\"'", "").replace("b'\"'", "");
    while let Some(start) = rest.find('"') {
        let after = rest.split_off(start + 1);
        let mut escaped = false;
        let end = after.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        let (literal, beyond) = after.split_at(end);
        let joined: Vec<_> = literal
            .split("\\\n")
            .enumerate()
            .map(|(at, part)| if at == 0 { part } else { part.trim_start() })
            .collect();
        found.push(joined.concat());
        beyond.get(1..).unwrap_or_default().clone_into(&mut rest);
    }
    found
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found
}
