//! The documents: bounds with the tests that prove them, links that lead somewhere, pages that are listed.

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

#[test]
fn the_page_about_the_store_names_every_table_and_index_of_both_backends() {
    let text = page("store.md");
    let (postgres, sqlite) = text.split_once("\n## SQLite\n").expect("two sections");
    for (backend, page) in [("postgres", postgres), ("sqlite", sqlite)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(backend).join("migrations");
        let mut found = 0;
        for entry in fs::read_dir(folder).expect("a folder") {
            let sql = fs::read_to_string(entry.expect("a file").path()).expect("a migration");
            for statement in sql.lines().filter_map(|line| line.strip_prefix("CREATE ")) {
                let kinds = ["TABLE", "INDEX", "UNIQUE INDEX", "VIEW", "SEQUENCE"];
                let name = kinds.iter().find_map(|kind| statement.strip_prefix(kind)).expect("a kind that is known");
                let name = name.trim().split([' ', ';', '(']).next().expect("a name");
                assert!(page.contains(&format!("`{name}`")), "{backend}: {name} is not on the page");
                found += 1;
            }
        }
        assert!(found > 20, "{backend}: {found}");
    }
}

#[test]
fn the_messages_of_a_start_on_the_page_about_replicas_are_those_of_the_program() {
    let (sources, page) = (sources(), page("replicas.md"));
    let (_, section) = page.split_once("\n## What a start says\n").expect("the section");
    let messages: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(messages.len() > 8, "{messages:?}");
    for message in messages {
        // What the program itself says: not the server's words, nor what is filled in.
        let own = message.trim_start_matches("PostgreSQL: ").trim_start_matches("store.url: ");
        let parts = own.split('…').map(|part| part.trim_matches([' ', ':']));
        let longest = parts.max_by_key(|part| part.len()).expect("a part");
        assert!(sources.contains(longest), "no message says {longest:?}");
    }
}

#[test]
fn every_page_is_listed_and_every_link_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_docs = fs::read_dir(root.join("docs")).expect("a folder").map(|entry| entry.expect("a file").path());
    let in_docs: Vec<_> = in_docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    let contents = page("README.md");
    for path in &in_docs {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(name == "README.md" || contents.contains(&format!("]({name})")), "docs/README.md does not list {name}");
    }
    let at_top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root.join(name));
    let mut broken = Vec::new();
    for path in in_docs.iter().chain(&at_top) {
        let text = fs::read_to_string(path).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            let headings = fs::read_to_string(&target).map(|text| anchors(&text));
            if !target.exists() || !heading.is_empty() && !headings.is_ok_and(|all| all.iter().any(|it| it == heading))
            {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// The anchors of a page's headings, as GitHub forms them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
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
