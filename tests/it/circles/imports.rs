//! The imports of a crate's files, read from its source.
//!
//! A file depends on another when it names an item that the other defines, by `use` or by a path in its code. A
//! re-export is followed to the file that defines the item, and is no dependency in itself: `mod.rs` may list what its
//! files define. Tests (`#[cfg(test)]`) are left out.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path, without `crate`.
type ModulePath = Vec<String>;

/// One name that a `use` brings in.
struct Import {
    /// The name in this file; `*` for all names of a module.
    name: String,
    path: Vec<String>,
    public: bool,
}

/// A source file, read.
struct Source {
    file: String,
    module: ModulePath,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// Paths in the code outside of `use`, each with two segments at least.
    paths: BTreeSet<Vec<String>>,
}

pub(super) struct Crate {
    sources: Vec<Source>,
    modules: BTreeMap<ModulePath, usize>,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code without comments and the contents of strings.
fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let mut code = String::new();
    let mut at = 0;
    while at < chars.len() {
        if starts(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "r\"") || starts(at, "r#\"") || starts(at, "r##\"") {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            at += hashes + 2;
            while at < chars.len() && !starts(at, &end) {
                at += 1;
            }
            at += end.len();
            code.push_str("\"\"");
        } else if chars[at] == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
            code.push_str("\"\"");
        } else if chars[at] == '\'' && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'')) {
            at += 2;
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
            code.push(' ');
        } else {
            code.push(chars[at]);
            at += 1;
        }
    }
    code
}

/// The end of the item that begins at `from`: after its `;`, or after the brace that closes it.
fn end_of_item(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return from + at + 1;
                }
            }
            ';' if depth == 0 => return from + at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Removes what is compiled for tests alone. Returns the modules so removed that have a file of their own.
fn remove_tests(code: &mut String) -> Vec<String> {
    let mut removed = Vec::new();
    for mark in ["#[cfg(test)]", "#[cfg(all(test", "#[cfg(any(test", "#[cfg(any(fuzzing", "#[cfg(fuzzing)]"] {
        while let Some(start) = code.find(mark) {
            let attribute = start + code[start..].find(']').unwrap_or_default() + 1;
            let end = end_of_item(code, attribute);
            let item = code[attribute..end].to_owned();
            let words: Vec<_> = item.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).collect();
            let module = words.iter().position(|word| *word == "mod").and_then(|at| words.get(at + 1));
            if item.trim_end().ends_with(';') {
                removed.extend(module.map(|name| (*name).to_owned()));
            }
            code.replace_range(start..end, "");
        }
    }
    removed
}

/// Splits `a, b::{c, d}` at the commas of its own level.
fn split_list(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Unfolds the tree of a `use` into single names.
fn unfold(tree: &str, prefix: &[String], public: bool, imports: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some((head, list)) = tree.split_once('{') {
        let mut prefix = prefix.to_vec();
        prefix.extend(head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
        for part in split_list(list.trim_end().trim_end_matches('}')) {
            // The brace cut off may belong to the part.
            let opened = part.matches('{').count().saturating_sub(part.matches('}').count());
            unfold(&format!("{part}{}", "}".repeat(opened)), &prefix, public, imports);
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut full = prefix.to_vec();
    full.extend(path.split("::").map(|part| part.trim().to_owned()));
    if full.len() > 1 && full.last().is_some_and(|last| last == "self") {
        full.pop();
    }
    let name = alias.map_or_else(|| full.last().cloned().unwrap_or_default(), str::to_owned);
    imports.push(Import { name, path: full, public });
}

/// Takes the `use` declarations out of the code.
fn take_imports(code: &mut String) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let declared = trimmed.strip_prefix("use ").map(|tree| (tree, false)).or_else(|| {
            let (visibility, tree) = trimmed.strip_prefix("pub")?.split_once("use ")?;
            let is_visibility = visibility.trim().is_empty() || visibility.starts_with('(');
            (is_visibility && !visibility.contains('{')).then_some((tree, true))
        });
        let Some((tree, public)) = declared else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line);
        }
        unfold(tree.split(';').next().unwrap_or_default(), &[], public, &mut imports);
    }
    *code = rest;
    imports
}

/// The names of the items that the file defines.
fn items(code: &str) -> BTreeSet<String> {
    let kinds = ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules"];
    let (mut found, mut depth, mut rest, mut before) = (BTreeSet::new(), 0_usize, code, "");
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if end == 0 {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            rest = &rest[c.len_utf8()..];
            continue;
        }
        if depth == 0 && kinds.contains(&before) {
            found.insert(rest[..end].to_owned());
        }
        before = &rest[..end];
        rest = &rest[end..];
    }
    found
}

/// The paths of the code.
fn paths(code: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        // A field or a method belongs to a value.
        let is_member = rest[..start].ends_with('.') && !rest[..start].ends_with("..");
        rest = &rest[start..];
        let mut path = Vec::new();
        loop {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            path.push(rest[..end].to_owned());
            rest = &rest[end..];
            match rest.strip_prefix("::") {
                Some(more) if more.starts_with(is_word) => rest = more,
                _ => break,
            }
        }
        if !is_member {
            found.insert(path);
        }
    }
    found
}

impl Source {
    /// Reads a file. Returns the modules that are compiled for tests alone, too.
    fn read(file: &str, text: &str) -> (Source, Vec<ModulePath>) {
        let mut module: ModulePath = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        let mut code = without_comments(text);
        let tests = remove_tests(&mut code);
        let tests = tests.into_iter().map(|name| [module.clone(), vec![name]].concat()).collect();
        let imports = take_imports(&mut code);
        let source = Source { file: file.to_owned(), items: items(&code), paths: paths(&code), module, imports };
        (source, tests)
    }

    fn mentions(&self, name: &str) -> bool {
        self.paths.iter().any(|path| path.first().is_some_and(|first| first == name))
    }
}

impl Crate {
    pub(super) fn new(files: &[(String, String)]) -> Crate {
        let read: Vec<_> = files.iter().map(|(file, text)| Source::read(file, text)).collect();
        let tests: Vec<ModulePath> = read.iter().flat_map(|(_, tests)| tests.clone()).collect();
        let sources: Vec<Source> = read
            .into_iter()
            .map(|(source, _)| source)
            .filter(|source| !tests.iter().any(|test| source.module.starts_with(test)))
            .collect();
        let modules = sources.iter().enumerate().map(|(at, source)| (source.module.clone(), at)).collect();
        Crate { sources, modules }
    }

    /// Returns the file that defines what `path` names as seen from `module`, and whether that is a module itself.
    /// `None` where the path leaves the crate.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<(usize, bool)> {
        let mut current = module.to_vec();
        let mut inside = false;
        for (at, segment) in path.iter().enumerate() {
            match segment.as_str() {
                "crate" => current.clear(),
                "self" => {}
                "super" => drop(current.pop()),
                _ => {
                    let child = [current.clone(), vec![segment.clone()]].concat();
                    let last = at + 1 == path.len();
                    let source = *self.modules.get(&current)?;
                    let defined = self.sources[source].items.contains(segment);
                    if self.modules.contains_key(&child) && !(last && defined) {
                        current = child;
                    } else if defined {
                        return Some((source, false));
                    } else if let Some(found) = self.imported(source, segment, &path[at + 1..], depth) {
                        return Some(found);
                    } else if inside {
                        // Made by a macro, or a variant of an enum.
                        return Some((source, false));
                    } else {
                        return None;
                    }
                }
            }
            inside = true;
        }
        self.modules.get(&current).map(|source| (*source, true))
    }

    /// Follows a name through the imports of a file.
    fn imported(&self, source: usize, name: &str, rest: &[String], depth: usize) -> Option<(usize, bool)> {
        if depth == 0 {
            return None;
        }
        let Source { module, imports, .. } = &self.sources[source];
        let named = imports.iter().filter(|import| import.name == name);
        for import in named {
            let path = [import.path.as_slice(), rest].concat();
            if let Some(found) = self.resolve(module, &path, depth - 1) {
                return Some(found);
            }
        }
        for import in imports.iter().filter(|import| import.name == "*") {
            let parts = import.path.split_last()?.1;
            let Some((target, true)) = self.resolve(module, parts, depth - 1) else { continue };
            let known = &self.sources[target];
            if target == source {
                continue;
            }
            if known.items.contains(name) || known.imports.iter().any(|import| import.public && import.name == name) {
                let path = [&[name.to_owned()], rest].concat();
                return self.resolve(&known.module, &path, depth - 1);
            }
            if let Some(found) = self.imported(target, name, rest, depth - 1) {
                return Some(found);
            }
        }
        None
    }

    /// Whether a file uses an imported name as a module although an item has the same name.
    fn is_module_of_same_name(&self, source: &Source, import: &Import) -> bool {
        source.paths.iter().any(|path| path.len() > 1 && path[0] == import.name)
            && import.path.split_last().is_some_and(|(last, parents)| {
                let parent: Vec<_> =
                    parents.iter().filter(|part| *part != "super" && *part != "self").cloned().collect();
                let end = [parent, vec![last.clone()]].concat();
                self.modules.keys().any(|module| module.ends_with(&end))
            })
    }

    /// The files that a file depends on, each with the path that says so.
    fn dependencies(&self, source: &Source) -> BTreeMap<usize, String> {
        const DEPTH: usize = 6;
        let mut found = BTreeMap::new();
        for import in &source.imports {
            if import.name == "*" || (import.public && !source.mentions(&import.name)) {
                continue;
            }
            // A module that is imported is followed where it is used.
            if let Some((target, false)) = self.resolve(&source.module, &import.path, DEPTH)
                && !self.is_module_of_same_name(source, import)
            {
                found.insert(target, import.path.join("::"));
            }
        }
        for path in &source.paths {
            let relative = ["crate", "self", "super"].contains(&path[0].as_str());
            let glob = source.imports.iter().any(|import| import.name == "*");
            if path.len() < 2 && !glob || source.items.contains(&path[0]) && !relative {
                continue;
            }
            if let Some((target, false)) = self.resolve(&source.module, path, DEPTH) {
                found.entry(target).or_insert_with(|| path.join("::"));
            }
        }
        found
    }

    /// The circles, each by its imports: files each of which depends on every other, directly or not.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        let edges: Vec<BTreeMap<usize, String>> = self.sources.iter().map(|source| self.dependencies(source)).collect();
        let reach: Vec<BTreeSet<usize>> = (0..edges.len()).map(|from| reachable(&edges, from)).collect();
        let mut circles: BTreeMap<BTreeSet<usize>, Vec<String>> = BTreeMap::new();
        for from in 0..edges.len() {
            if edges[from].is_empty() {
                continue;
            }
            let group: BTreeSet<usize> = (0..edges.len())
                .filter(|to| *to != from && reach[from].contains(to) && reach[*to].contains(&from))
                .collect();
            if group.is_empty() {
                continue;
            }
            let group: BTreeSet<usize> = group.into_iter().chain([from]).collect();
            for (to, path) in edges[from].iter().filter(|(to, _)| **to != from && group.contains(to)) {
                let (from, to) = (&self.sources[from].file, &self.sources[*to].file);
                circles.entry(group.clone()).or_default().push(format!("{from} -> {to}: {path}"));
            }
        }
        circles.into_values().collect()
    }
}

fn reachable(edges: &[BTreeMap<usize, String>], from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        open.extend(edges[next].keys().filter(|to| found.insert(**to)));
    }
    found
}
