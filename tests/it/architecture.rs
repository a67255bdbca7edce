//! The walls between the rooms, read off the source: see `docs/architecture.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms and their ranks. A file uses only rooms of a lower rank, or its own.
const ROOMS: &[(&str, u8)] = &[
    ("domain", 1),
    ("semaphore", 2),
    ("system", 2),
    ("telemetry", 2),
    ("template", 2),
    ("config", 3),
    ("store", 4),
    ("outbound", 5),
    ("routing", 6),
    ("chain", 7),
    ("delivery", 8),
    ("intake", 8),
    ("api", 9),
    ("app", 10),
    ("cli", 11),
];

/// Lines that a source file may have.
const LONGEST: usize = 450;

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The code: without comments, and without the tests at the file's end.
    fn code(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        lines.join(
            "
",
        )
    }

    /// The room it belongs to; none for `main.rs` and `lib.rs`.
    fn room(&self) -> Option<&'static (&'static str, u8)> {
        let first = self.path.components().next()?.as_os_str().to_string_lossy().into_owned();
        let name = first.trim_end_matches(".rs").to_owned();
        ROOMS.iter().find(|(room, _)| *room == name)
    }

    fn is_within(&self, place: &str) -> bool {
        self.path.starts_with(place)
    }

    /// The rooms that it names.
    fn uses(&self) -> Vec<String> {
        let code = self.code();
        let mut found = Vec::new();
        for part in code.split("crate::").skip(1) {
            match part.strip_prefix('{') {
                Some(list) => {
                    let list = list.split('}').next().unwrap_or_default();
                    found.extend(list.split(',').map(|name| first_word(name.trim())));
                }
                None => found.push(first_word(part)),
            }
        }
        found
    }
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root).unwrap().to_owned(), text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 30, "the sources are there");
    found
}

/// Names a file that uses a room it may not use.
fn trespasses(source: &Source) -> Vec<String> {
    let Some((room, rank)) = source.room() else { return Vec::new() };
    let forbidden = |name: &String| ROOMS.iter().any(|(other, above)| other == name && other != room && above >= rank);
    source.uses().into_iter().filter(forbidden).map(|name| format!("{} uses {name}", source.path.display())).collect()
}

/// Files outside `places` whose code has one of these words.
fn strays(words: &[&str], places: &[&str]) -> Vec<String> {
    sources()
        .iter()
        .filter(|source| !places.iter().any(|place| source.is_within(place)))
        .flat_map(|source| {
            let code = source.code();
            let found: Vec<_> = words.iter().filter(|word| code.contains(**word)).collect();
            found.into_iter().map(|word| format!("{} has {word}", source.path.display())).collect::<Vec<_>>()
        })
        .collect()
}

const NONE: Vec<String> = Vec::new();

#[test]
fn a_room_uses_only_rooms_of_a_lower_rank() {
    let found: Vec<_> = sources().iter().flat_map(trespasses).collect();
    assert_eq!(found, NONE);
}

#[test]
fn the_check_of_ranks_sees_what_is_forbidden() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    assert_eq!(trespasses(&source("store/sqlite/mod.rs", "use crate::intake::Intake;\n")).len(), 1);
    assert_eq!(trespasses(&source("intake/mod.rs", "use crate::{domain::Order, delivery::Lanes};\n")).len(), 1);
    assert_eq!(trespasses(&source("app.rs", "fn f() { crate::cli::run(); }\n")).len(), 1);
    assert_eq!(trespasses(&source("store/mod.rs", "use crate::domain::Order;\nuse crate::store::Page;\n")), NONE);
    assert_eq!(
        trespasses(&source("store/mod.rs", "// crate::api\n#[cfg(test)]\nmod tests {\n use crate::api;\n}\n")),
        NONE
    );
}

#[test]
fn every_source_belongs_to_a_room() {
    let outside = ["main.rs", "lib.rs"];
    let strangers: Vec<_> = sources()
        .iter()
        .filter(|source| source.room().is_none() && !outside.iter().any(|name| source.is_within(name)))
        .map(|source| source.path.display().to_string())
        .collect();
    assert_eq!(strangers, NONE);
}

#[test]
fn only_outbound_knows_the_http_client() {
    assert_eq!(strays(&["reqwest::", "use reqwest"], &["outbound", "outbound.rs"]), NONE);
}

#[test]
fn only_the_mail_in_outbound_knows_smtp_and_what_mails_are_made_of() {
    assert_eq!(strays(&["lettre", "ammonia", "pulldown_cmark"], &["outbound/mail"]), NONE);
}

#[test]
fn only_the_store_knows_sql() {
    assert_eq!(strays(&["rusqlite", "SELECT ", "INSERT INTO", "DELETE FROM", "PRAGMA "], &["store"]), NONE);
}

#[test]
fn the_statuses_of_errors_stand_in_one_table() {
    let words =
        ["BAD_", "UNAUTHORIZED", "FORBIDDEN", "NOT_FOUND", "CONFLICT", "UNPROCESSABLE", "SERVICE_UN", "GATEWAY"];
    let words = words.map(|word| format!("StatusCode::{word}"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // `outbound` reads the statuses of others, the demo plays the others.
    assert_eq!(strays(&words, &["api/problem.rs", "outbound", "cli/demo"]), NONE);
}

#[test]
fn the_domain_knows_no_runtime_and_no_io() {
    let found: Vec<_> = sources()
        .iter()
        .filter(|source| source.is_within("domain"))
        .filter(|source| {
            ["tokio", "std::fs", "std::net", "axum", "hyper"].iter().any(|word| source.code().contains(word))
        })
        .map(|source| source.path.display().to_string())
        .collect();
    assert_eq!(found, NONE);
}

#[test]
fn every_file_teaches_and_has_one_idea() {
    let mut found = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            found.push(format!("{} does not open with //!", source.path.display()));
        }
        let lines = source.text.lines().count();
        if lines > LONGEST {
            found.push(format!("{} has {lines} lines", source.path.display()));
        }
    }
    assert_eq!(found, NONE);
}

#[test]
fn nothing_is_left_for_later() {
    assert_eq!(strays(&["todo!", "unimplemented!", "FIXME", "dbg!("], &[]), NONE);
}
