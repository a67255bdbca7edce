//! What the documents promise is there: the tests that prove bounds, their keys and their defaults.

use std::fs;
use std::path::Path;

/// A row of a table of bounds.
struct Bound {
    text: String,
    key: Option<String>,
    default: String,
    tests: Vec<String>,
}

#[test]
fn every_bound_of_the_page_about_security_has_its_key_its_default_and_its_test() {
    let (sources, reference) = (sources(), page("configuration.md"));
    let bounds = bounds(&page("security.md"));
    assert!(bounds.len() > 40, "{} rows", bounds.len());
    for bound in bounds {
        assert!(!bound.tests.is_empty(), "no test: {}", bound.text);
        for test in &bound.tests {
            assert!(sources.contains(&format!("fn {test}")), "no test of the name {test}: {}", bound.text);
        }
        let Some(key) = &bound.key else { continue };
        let (section, name) = key.rsplit_once('.').expect("a section and a key");
        let rows = rows_of(&reference, section);
        let row = rows.iter().find(|row| row[0].trim_matches('`') == name);
        let row = row.unwrap_or_else(|| panic!("no key {key} in the reference: {}", bound.text));
        let default = row[3].trim_start_matches("the preset's: ").trim_matches('`');
        let said = bound.default.split([' ', ',', ':']).next().expect("a default");
        assert_eq!(said, default, "the default of {key}");
    }
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the tables whose head names a bound.
fn bounds(page: &str) -> Vec<Bound> {
    let bound = |row: Vec<String>| Bound {
        text: row.join(" | "),
        key: Some(row[1].trim_matches('`').to_owned()).filter(|key| !key.is_empty()),
        default: row[2].clone(),
        tests: row[4].split(", ").map(|test| test.trim_matches('`').to_owned()).collect(),
    };
    let heads = page.split("\n\n").filter(|block| block.starts_with("| bound |"));
    heads.flat_map(|table| table.lines().skip(2)).map(cells).map(bound).collect()
}

/// The rows of the table under that heading of the reference.
fn rows_of(reference: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = reference.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = below.split("\n## ").next().expect("a section");
    section.lines().filter(|line| line.starts_with("| `")).map(cells).collect()
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// All code, tests included.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut text, mut folders) = (String::new(), vec![root.join("src"), root.join("tests")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).expect("a file"));
            }
        }
    }
    text
}
