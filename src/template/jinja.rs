//! Jinja, by minijinja.
//!
//! The engine compiles to instructions, which are looked through once: unknown names are errors then and there, and
//! operators are put on our own meaning of them (`operators.rs`). That needs the engine's machinery, which is why its
//! version is pinned. Instructions borrow from their source; sources therefore live as long as the process, each
//! distinct text once.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::machinery::{self, CodeGenerator, CompiledTemplate, Instruction, Instructions, TemplateConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, Value};
use parking_lot::Mutex;

use super::fill::Filler;
use super::json::{self, LongNumber};
use super::meter::FUEL;
use super::operators::Sum;
use super::structures;
use super::words::{self, nearest_word};
use super::{RenderError, Scope, SyntaxError, Target, depth, fault, fill, meter};

/// What the fixed text of a template may come to, by loops: with [`FUEL`] used for nothing else.
const MAX_FIXED: u64 = 16 << 20;

pub(super) struct Program {
    instructions: Instructions<'static>,
    environment: Environment<'static>,
}

impl Program {
    pub(super) fn compile(source: &str, filler: Filler) -> Result<Self, SyntaxError> {
        depth::check_template(source)?;
        check(source, &template(source).map_err(|error| SyntaxError::of_engine(source, &error))?)?;
        let kept = keep(source);
        let mut instructions = template(kept).map_err(|error| SyntaxError::of_engine(source, &error))?;
        let longest = all(&instructions).map(|instruction| match instruction {
            Instruction::EmitRaw(text) => text.len() as u64,
            _ => 0,
        });
        let fuel = FUEL.min(MAX_FIXED / longest.max().unwrap_or(0).max(1)).max(2 * all(&instructions).count() as u64);
        take_operators(&mut instructions);
        Ok(Self { instructions, environment: words::environment(filler, fuel, false) })
    }

    pub(super) fn render(&self, scope: &Scope) -> Result<String, RenderError> {
        let mut text = String::with_capacity(self.instructions.source().len() * 2);
        run(&self.environment, &self.instructions, None, scope, &mut text)?;
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
        depth::check_expression(source)?;
        check(source, &expression(source).map_err(|error| SyntaxError::of_engine(source, &error))?)?;
        let kept = keep(source);
        let mut instructions = expression(kept).map_err(|error| SyntaxError::of_engine(source, &error))?;
        take_operators(&mut instructions);
        Ok(Self { instructions })
    }

    pub(super) fn holds(&self, scope: &Scope) -> Result<bool, RenderError> {
        static ENVIRONMENT: LazyLock<Environment<'static>> =
            LazyLock::new(|| words::environment(Filler { target: Target::Text, empty_as_null: false }, FUEL, true));
        let value = run(&ENVIRONMENT, &self.instructions, Some(self.instructions.source()), scope, &mut String::new())?;
        Ok(value.is_some_and(|value| value.is_true()))
    }
}

fn run(
    environment: &Environment<'static>,
    instructions: &Instructions<'static>,
    whole: Option<&str>,
    scope: &Scope,
    text: &mut String,
) -> Result<Option<Value>, RenderError> {
    fill::begin();
    meter::begin(scope.bounds());
    let mut out = machinery::make_string_output(text);
    machinery::eval(environment, instructions, scope.root(), &BTreeMap::new(), &mut out, AutoEscape::None)
        .map(|(value, _)| value)
        .map_err(|error| fault::render_error(instructions.source(), whole, &error))
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
    let mut kept = KEPT.lock();
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
                    && !words::is_extension(root, name)
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

/// Puts our operators in the place of the engine's, and numbers as they are written in that of its floats.
fn take_operators(instructions: &mut Instructions<'_>) {
    /// Tells the engine not to remember the filter.
    const NOT_CACHED: u8 = u8::MAX;
    let written: Vec<Value> = depth::fractions(instructions.source()).map(json::number).collect();
    let mut at = 0;
    while let Some(instruction) = instructions.get_mut(at) {
        let operator = match instruction {
            Instruction::Eq => Some(("==", 2)),
            Instruction::Ne => Some(("!=", 2)),
            Instruction::Lt => Some(("<", 2)),
            Instruction::Lte => Some(("<=", 2)),
            Instruction::Gt => Some((">", 2)),
            Instruction::Gte => Some((">=", 2)),
            Instruction::In => Some(("in'", 2)),
            Instruction::Not => Some(("not'", 1)),
            Instruction::Neg => Some(("neg'", 1)),
            Instruction::Add => Some((Sum::Add.name(), 2)),
            Instruction::Sub => Some((Sum::Sub.name(), 2)),
            Instruction::Mul => Some((Sum::Mul.name(), 2)),
            Instruction::Div => Some((Sum::Div.name(), 2)),
            Instruction::IntDiv => Some((Sum::IntDiv.name(), 2)),
            Instruction::Rem => Some((Sum::Rem.name(), 2)),
            Instruction::Pow => Some((Sum::Pow.name(), 2)),
            Instruction::LoadConst(value) => {
                *value = as_written(value, &written);
                None
            }
            Instruction::GetItem => Some((structures::ITEM, 2)),
            Instruction::Slice => Some((structures::SLICE, 4)),
            Instruction::StringConcat => Some((structures::JOIN, 2)),
            Instruction::BuildMap(pairs) => u16::try_from(*pairs * 2).ok().map(|pairs| (structures::OBJECT, pairs)),
            Instruction::CallMethod(name, arguments) => {
                let name = if *name == "cycle" { structures::CYCLE } else { structures::CHANGED };
                *instruction = Instruction::ApplyFilter(name, *arguments, NOT_CACHED);
                None
            }
            _ => None,
        };
        if let Some((name, arguments)) = operator {
            *instruction = Instruction::ApplyFilter(name, Some(arguments), NOT_CACHED);
        }
        at += 1;
    }
}

/// The number that is nearest to this float among those `written`; lists are looked into.
fn as_written(value: &Value, written: &[Value]) -> Value {
    if value.kind() == ValueKind::Seq {
        return value
            .try_iter()
            .map_or_else(|_| value.clone(), |items| items.map(|item| as_written(&item, written)).collect());
    }
    let Some(float) = f64::try_from(value.clone()).ok().filter(|_| value.is_number() && !value.is_integer()) else {
        return value.clone();
    };
    let long = written.iter().filter_map(|number| number.downcast_object_ref::<LongNumber>());
    let mut nearest = long.filter(|long| long.nearest().to_bits() == float.abs().to_bits());
    match nearest.next() {
        Some(long) if float.is_sign_negative() => long.negative(),
        Some(long) => long.value(),
        None => value.clone(),
    }
}
