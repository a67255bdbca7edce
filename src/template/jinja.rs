//! Jinja, by minijinja.
//!
//! The engine compiles to instructions, which are looked through once: unknown names are errors then and there, and
//! comparisons are put on our own meaning of them (`words.rs`). That needs the engine's machinery, which is why its
//! version is pinned. Instructions borrow from their source; sources therefore live as long as the process, each
//! distinct text once.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use minijinja::machinery::{self, CodeGenerator, CompiledTemplate, Instruction, Instructions, TemplateConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, Value};

use super::fill::Filler;
use super::words::{self, nearest_word};
use super::{RenderError, Scope, SyntaxError, Target, fault, fill};

/// Instructions that one rendering may take.
const FUEL: u64 = 50_000;

/// What the fixed text of a template may come to, by loops: with [`FUEL`] used for nothing else.
const MAX_FIXED: u64 = 16 << 20;

pub(super) struct Program {
    instructions: Instructions<'static>,
    environment: Environment<'static>,
}

impl Program {
    pub(super) fn compile(source: &str, filler: Filler) -> Result<Self, SyntaxError> {
        check(source, &template(source).map_err(|error| SyntaxError::of_engine(source, &error))?)?;
        let kept = keep(source);
        let mut instructions = template(kept).map_err(|error| SyntaxError::of_engine(source, &error))?;
        let longest = all(&instructions).map(|instruction| match instruction {
            Instruction::EmitRaw(text) => text.len() as u64,
            _ => 0,
        });
        let fuel = FUEL.min(MAX_FIXED / longest.max().unwrap_or(0).max(1)).max(2 * all(&instructions).count() as u64);
        take_comparisons(&mut instructions);
        Ok(Self { instructions, environment: words::environment(filler, fuel) })
    }

    pub(super) fn render(&self, scope: &Scope) -> Result<String, RenderError> {
        let mut text = String::with_capacity(self.instructions.source().len() * 2);
        run(&self.environment, &self.instructions, scope, &mut text)?;
        Ok(text)
    }
}

pub(super) struct Condition {
    instructions: Instructions<'static>,
}

impl Condition {
    pub(super) fn compile(source: &str) -> Result<Self, SyntaxError> {
        if source.trim().is_empty() {
            return Err(SyntaxError::at(source, 0, "an expression is needed"));
        }
        check(source, &expression(source).map_err(|error| SyntaxError::of_engine(source, &error))?)?;
        let kept = keep(source);
        let mut instructions = expression(kept).map_err(|error| SyntaxError::of_engine(source, &error))?;
        take_comparisons(&mut instructions);
        Ok(Self { instructions })
    }

    pub(super) fn holds(&self, scope: &Scope) -> Result<bool, RenderError> {
        static ENVIRONMENT: LazyLock<Environment<'static>> =
            LazyLock::new(|| words::environment(Filler { target: Target::Text, empty_as_null: false }, FUEL));
        let value = run(&ENVIRONMENT, &self.instructions, scope, &mut String::new())?;
        Ok(value.is_some_and(|value| value.is_true()))
    }
}

fn run(
    environment: &Environment<'static>,
    instructions: &Instructions<'static>,
    scope: &Scope,
    text: &mut String,
) -> Result<Option<Value>, RenderError> {
    fill::begin();
    let mut out = machinery::make_string_output(text);
    machinery::eval(environment, instructions, scope.root(), &BTreeMap::new(), &mut out, AutoEscape::None)
        .map(|(value, _)| value)
        .map_err(|error| fault::render_error(instructions.source(), &error))
}

fn template(source: &str) -> Result<Instructions<'_>, Error> {
    let config = TemplateConfig {
        syntax_config: SyntaxConfig::builder().keep_trailing_newline(true).build()?,
        default_auto_escape: std::sync::Arc::new(|_| AutoEscape::None),
    };
    Ok(CompiledTemplate::new("template", source, &config)?.instructions)
}

fn expression(source: &str) -> Result<Instructions<'_>, Error> {
    let tree = machinery::parse_expr(source)?;
    let mut generator = CodeGenerator::new("expression", source);
    generator.compile_expr(&tree);
    Ok(generator.finish().0)
}

/// The same text with the lifetime of the process.
fn keep(source: &str) -> &'static str {
    static KEPT: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = kept.get(source) {
        return text;
    }
    let text: &'static str = Box::leak(source.into());
    kept.insert(text);
    text
}

fn all<'a, 's>(instructions: &'a Instructions<'s>) -> impl Iterator<Item = &'a Instruction<'s>> {
    (0..).map_while(|at| instructions.get(at))
}

/// Whether every word is known.
fn check(source: &str, instructions: &Instructions<'_>) -> Result<(), SyntaxError> {
    let mut own: HashSet<&str> = HashSet::new();
    for instruction in all(instructions) {
        match instruction {
            Instruction::StoreLocal(name) => drop(own.insert(name)),
            Instruction::PushLoop(_) => drop(own.insert("loop")),
            _ => {}
        }
    }
    let mut root = None;
    for (at, instruction) in (0..).zip(all(instructions)) {
        let range = || span(instructions, at);
        let before = root.take();
        match instruction {
            Instruction::Lookup(name) if !own.contains(name) => {
                known("name", name, words::ROOTS, source, range())?;
                root = Some(*name);
            }
            Instruction::GetAttr(name) => {
                if let Some((root, fields)) = words::FIXED.iter().find(|(root, _)| Some(*root) == before)
                    && !fields.contains(name)
                {
                    return unknown(&format!("field of `{root}`"), name, fields, source, range());
                }
            }
            Instruction::CallFunction(name, _) if !own.contains(name) => {
                known("function", name, words::FUNCTIONS, source, range())?;
            }
            Instruction::CallMethod(name, _) if !own.contains("loop") || !["cycle", "changed"].contains(name) => {
                let place = fault::place_of(source, range(), name);
                return Err(SyntaxError::at(source, place, format!("values have no methods: `{name}`; use a filter")));
            }
            Instruction::ApplyFilter(name, ..) => known("filter", name, words::FILTERS, source, range())?,
            Instruction::PerformTest(name, ..) => known("test", name, words::TESTS, source, range())?,
            Instruction::CompareAndPreserve(_) => {
                let message = "comparisons cannot be chained: write `a < b and b < c`";
                return Err(SyntaxError::at(source, range().map_or(0, |range| range.start), message));
            }
            _ => {}
        }
    }
    Ok(())
}

fn span(instructions: &Instructions<'_>, at: u32) -> Option<Range<usize>> {
    instructions.get_span(at).map(|span| span.start_offset as usize..span.end_offset as usize)
}

fn known(what: &str, name: &str, words: &[&str], source: &str, range: Option<Range<usize>>) -> Result<(), SyntaxError> {
    if words.contains(&name) { Ok(()) } else { unknown(what, name, words, source, range) }
}

fn unknown(
    what: &str,
    name: &str,
    words: &[&str],
    source: &str,
    range: Option<Range<usize>>,
) -> Result<(), SyntaxError> {
    let hint = match nearest_word(name, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("there is {}", words.join(", ")),
    };
    let place = fault::place_of(source, range, name);
    Err(SyntaxError::at(source, place, format!("unknown {what} `{name}`; {hint}")))
}

/// Puts our tests in the place of the engine's comparisons.
fn take_comparisons(instructions: &mut Instructions<'_>) {
    /// Tells the engine not to remember the test.
    const NOT_CACHED: u8 = u8::MAX;
    let mut at = 0;
    while let Some(instruction) = instructions.get_mut(at) {
        let test = match instruction {
            Instruction::Eq => Some("eq"),
            Instruction::Ne => Some("ne"),
            Instruction::Lt => Some("lt"),
            Instruction::Lte => Some("le"),
            Instruction::Gt => Some("gt"),
            Instruction::Gte => Some("ge"),
            Instruction::In => Some("in"),
            _ => None,
        };
        if let Some(test) = test {
            *instruction = Instruction::PerformTest(test, Some(2), NOT_CACHED);
        }
        at += 1;
    }
}
