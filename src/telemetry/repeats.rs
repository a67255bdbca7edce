//! The same warning or error once in ten seconds: what comes again meanwhile is counted, and the count is a line of its own.
//!
//! Lines are the same where the place in the code, the message and all fields but numbers are: a line about another delivery or with
//! another error is another line.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// How long a line keeps the same ones away.
const QUIET: Duration = Duration::from_secs(10);
/// Lines that are remembered; beyond that every line is written.
const REMEMBERED: usize = 1024;
/// How often counts are looked through.
const LOOK: Duration = Duration::from_secs(1);
/// Of the lines that tell counts.
const TARGET: &str = "orderhook::repeats";

/// A filter that lets the same line through once in ten seconds. All clones remember together.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats(Arc<Mutex<HashMap<u64, Seen>>>);

/// A line that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    at: Instant,
    level: Level,
    message: String,
    /// Its fields but numbers, as text.
    details: String,
    /// How often it came again since.
    repeats: u64,
}

impl Repeats {
    /// Writes counts from a thread of its own, as long as the process lives.
    pub(super) fn report(&self) -> std::io::Result<()> {
        let repeats = self.clone();
        let report = move || {
            loop {
                std::thread::sleep(LOOK);
                repeats.take_due(Instant::now()).iter().for_each(Seen::tell);
            }
        };
        std::thread::Builder::new().name("log-repeats".into()).spawn(report).map(drop)
    }

    /// Whether a line is to be written at `now`. One that is not is counted.
    fn admits(&self, line: Line, now: Instant) -> bool {
        let mut seen = self.0.lock();
        let full = seen.len() >= REMEMBERED;
        match seen.entry(line.key) {
            Entry::Occupied(mut known) => {
                known.get_mut().repeats += 1;
                false
            }
            Entry::Vacant(_) if full => true,
            Entry::Vacant(free) => {
                let Line { level, message, details, .. } = line;
                free.insert(Seen { at: now, level, message, details, repeats: 0 });
                true
            }
        }
    }

    /// Forgets lines whose time is up. Returns those that came again.
    fn take_due(&self, now: Instant) -> Vec<Seen> {
        let mut due = Vec::new();
        self.0.lock().retain(|_, seen| {
            let stays = now.saturating_duration_since(seen.at) < QUIET;
            if !stays && seen.repeats > 0 {
                due.push(seen.clone());
            }
            stays
        });
        due
    }
}

impl Seen {
    fn tell(&self) {
        let Self { message, details, repeats, .. } = self;
        if self.level == Level::ERROR {
            tracing::error!(target: TARGET, repeats, details, "{message} (repeated)");
        } else {
            tracing::warn!(target: TARGET, repeats, details, "{message} (repeated)");
        }
    }
}

impl<S: Subscriber> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return true;
        }
        self.admits(Line::of(event), Instant::now())
    }
}

/// A line as it is told from others.
struct Line {
    key: u64,
    level: Level,
    message: String,
    details: String,
}

impl Line {
    fn of(event: &Event<'_>) -> Self {
        let mut text = Text::default();
        event.record(&mut text);
        let mut hash = DefaultHasher::new();
        event.metadata().callsite().hash(&mut hash);
        (&text.message, &text.details).hash(&mut hash);
        Self { key: hash.finish(), level: *event.metadata().level(), message: text.message, details: text.details }
    }
}

/// Collects an event's message and its fields but numbers.
#[derive(Default)]
struct Text {
    message: String,
    details: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let gap = if self.details.is_empty() { "" } else { " " };
        let _ = write!(self.details, "{gap}{}={value:?}", field.name());
    }

    fn record_i64(&mut self, _: &Field, _: i64) {}
    fn record_u64(&mut self, _: &Field, _: u64) {}
    fn record_f64(&mut self, _: &Field, _: f64) {}
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Layer;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn lines(work: impl FnOnce(&Repeats)) -> Vec<String> {
        let (lines, repeats) = (Lines::default(), Repeats::default());
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false).without_time();
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(repeats.clone()));
        tracing::subscriber::with_default(subscriber, || work(&repeats));
        let text = lines.0.lock().clone();
        String::from_utf8(text).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_same_warning_is_written_once_and_then_its_count() {
        let written = lines(|repeats| {
            for probe in 0..200 {
                tracing::warn!(probe, error = "the disk is full", "the store is not ready");
            }
            assert!(repeats.take_due(Instant::now()).is_empty());
            repeats.take_due(Instant::now() + QUIET).iter().for_each(Seen::tell);
            tracing::warn!(probe = 200, error = "the disk is full", "the store is not ready");
        });
        assert_eq!(written.len(), 3, "{written:#?}");
        assert!(written[0].contains("the store is not ready"), "{written:#?}");
        assert!(written[1].contains("repeats=199") && written[1].contains("the disk is full"), "{written:#?}");
        assert!(written[2].contains("probe=200"), "after ten seconds it is written again: {written:#?}");
    }

    #[test]
    fn other_lines_are_written_all() {
        let written = lines(|repeats| {
            for delivery in ["dlv_1", "dlv_2"] {
                tracing::warn!(delivery, "not delivered");
                tracing::error!(delivery, "not delivered");
                for _ in 0..2 {
                    tracing::info!("configuration reloaded");
                }
            }
            assert!(repeats.take_due(Instant::now() + QUIET).is_empty());
        });
        assert_eq!(written.len(), 8, "{written:#?}");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let repeats = Repeats::default();
        let now = Instant::now();
        for key in 0..2 * REMEMBERED as u64 {
            assert!(
                repeats.admits(Line { key, level: Level::WARN, message: String::new(), details: String::new() }, now)
            );
        }
        assert_eq!(repeats.0.lock().len(), REMEMBERED);
    }
}
