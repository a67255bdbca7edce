//! Circles of imports between the files of `src`, read from the source: none is allowed.

mod imports;

use std::fs;
use std::path::Path;

use imports::Crate;

fn files() -> Vec<(String, String)> {
    fn walk(directory: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push((file, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found
}

fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let root = ("lib.rs", "");
    let files: Vec<_> =
        files.iter().chain([&root]).map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    Crate::new(&files).circles()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles: Vec<_> = Crate::new(&files()).circles().iter().map(|imports| imports.join("\n")).collect();
    assert!(circles.is_empty(), "{} circles of imports:\n\n{}\n", circles.len(), circles.join("\n\n"));
}

#[test]
fn a_circle_is_found_by_its_imports() {
    let two = [
        ("a/mod.rs", "mod b; mod c;"),
        ("a/b.rs", "use super::c::C;\npub struct B;"),
        ("a/c.rs", "fn c(_: crate::a::b::B) {}\nstruct C;"),
    ];
    assert_eq!(circles_of(&two), [["a/b.rs -> a/c.rs: super::c::C", "a/c.rs -> a/b.rs: crate::a::b::B"]]);
    let parent = [("a/mod.rs", "mod b;\nstruct A;\nfn f() { b::g(); }"), ("a/b.rs", "use super::A;\npub fn g() {}")];
    assert_eq!(circles_of(&parent), [["a/mod.rs -> a/b.rs: b::g", "a/b.rs -> a/mod.rs: super::A"]]);
    let listed = [
        ("a.rs", "use crate::{\n    b::{B, X as Y},\n    d::D,\n};\nstruct A;"),
        ("b.rs", "use crate::c;\nstruct B(c::C);"),
        ("c.rs", "use crate::a::{self, A};\nstruct C;"),
    ];
    assert_eq!(circles_of(&listed).concat().len(), 3, "{:?}", circles_of(&listed));
}

#[test]
fn a_re_export_is_followed_and_is_no_dependency_itself() {
    let list = ("a/mod.rs", "mod b;\nmod c;\npub use b::*;\npub use c::C;\nuse b::B;");
    let files = [list, ("a/b.rs", "pub struct B;"), ("a/c.rs", "use super::B;\npub struct C;")];
    assert_eq!(circles_of(&files).len(), 0);
    let files = [list, ("a/b.rs", "use super::C;\npub struct B;"), ("a/c.rs", "use crate::a::B;\npub struct C;")];
    assert_eq!(circles_of(&files).len(), 1);
}

#[test]
fn comments_strings_and_tests_are_no_imports() {
    let text =
        "// use crate::b::B;\nconst A: &str = \"crate::b::B {\";\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n";
    let files = [("a.rs", text), ("b.rs", "use crate::a::A;\nstruct B;")];
    assert_eq!(circles_of(&files).len(), 0);
    let files = [
        ("a/mod.rs", "#[cfg(test)]\nmod tests;\npub struct A;\nfn f() { tests::t() }"),
        ("a/tests.rs", "use super::A;\nfn t() {}"),
    ];
    assert_eq!(circles_of(&files).len(), 0);
}
