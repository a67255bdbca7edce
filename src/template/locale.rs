//! Dates and date-times as a locale writes them.
//!
//! Only merge fields are written so, and only text that is a date (`2026-11-21`) or a date-time of RFC 3339 as a
//! whole. The length is the locale's medium one: `Nov 21, 2026` and `Nov 21, 2026, 2:05:09 PM` for `en-US`. A date-time
//! shows the clock of its own offset; nothing is converted. What is no date of the calendar stays as it came.

use std::fmt;
use std::sync::Arc;

use icu_calendar::{Date, Gregorian};
use icu_datetime::fieldsets::{YMD, YMDT};
use icu_datetime::input::{DateTime, Time};
use icu_datetime::{DateTimeFormatterPreferences, FixedCalendarDateTimeFormatter};

/// A locale whose dates are known. Cheap to clone.
#[derive(Clone)]
pub struct Locale {
    name: Arc<str>,
    formats: Arc<Formats>,
}

struct Formats {
    date: FixedCalendarDateTimeFormatter<Gregorian, YMD>,
    date_time: FixedCalendarDateTimeFormatter<Gregorian, YMDT>,
}

impl Locale {
    /// The locale of that name, as in BCP 47: `en-US`, `de`, `pt-BR`. `None` where there is none of that name.
    pub fn new(name: &str) -> Option<Self> {
        let known: icu_locale_core::Locale = name.parse().ok()?;
        let formats = Formats::new(&known)?;
        // A language that nobody wrote down gets the forms of no language: `2026 M11 21`.
        let neutral = Formats::new(&icu_locale_core::Locale::UNKNOWN)?;
        let sample = Date::try_new_gregorian(2026, 11, 21).ok()?;
        let known = formats.date.format(&sample).to_string() != neutral.date.format(&sample).to_string();
        known.then(|| Self { name: name.into(), formats: Arc::new(formats) })
    }

    /// A date or date-time as this locale writes it; `None` for any other text.
    pub(super) fn write(&self, text: &str) -> Option<String> {
        let date = date(text.get(..10)?)?;
        let written = match text.get(10..)? {
            "" => self.formats.date.format(&date).to_string(),
            rest => self.formats.date_time.format(&DateTime { date, time: time(rest)? }).to_string(),
        };
        // Some locales put a narrow no-break space before AM and PM, which few receivers expect.
        Some(written.replace('\u{202f}', " "))
    }
}

impl Formats {
    fn new(locale: &icu_locale_core::Locale) -> Option<Self> {
        let preferences = || DateTimeFormatterPreferences::from(locale);
        Some(Self {
            date: FixedCalendarDateTimeFormatter::try_new(preferences(), YMD::medium()).ok()?,
            date_time: FixedCalendarDateTimeFormatter::try_new(preferences(), YMDT::medium()).ok()?,
        })
    }
}

impl fmt::Debug for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name, f)
    }
}

/// `2026-11-21`.
fn date(text: &str) -> Option<Date<Gregorian>> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Date::try_new_gregorian(digits(year, 4)? as i32, digits(month, 2)? as u8, digits(day, 2)? as u8).ok()
}

/// `T14:05:09`, with a fraction and an offset or without.
fn time(text: &str) -> Option<Time> {
    let clock = text.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = clock.split_at_checked(8)?;
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let offset = match rest.strip_prefix(['+', '-']) {
        Some(offset) => {
            let (hours, minutes) = offset.split_at_checked(2)?;
            digits(hours, 2)? < 24 && digits(minutes.strip_prefix(':').unwrap_or(minutes), 2)? < 60
        }
        None => matches!(rest, "" | "Z" | "z"),
    };
    let time = Time::try_new(digits(hour, 2)? as u8, digits(minute, 2)? as u8, digits(second, 2)? as u8, 0).ok()?;
    offset.then_some(time)
}

/// A number of just so many digits.
fn digits(text: &str, many: usize) -> Option<u32> {
    (text.len() == many && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(locale: &str, text: &str) -> Option<String> {
        Locale::new(locale).expect(locale).write(text)
    }

    #[test]
    fn dates_are_written_as_the_locale_writes_them() {
        for (locale, text, expected) in [
            ("en-US", "2026-11-21", "Nov 21, 2026"),
            ("en-GB", "2026-11-21", "21 Nov 2026"),
            ("de", "2026-11-21", "21.11.2026"),
            ("fr-FR", "2026-11-21", "21 nov. 2026"),
            ("ja-JP", "2026-11-21", "2026/11/21"),
            ("en-US", "2026-11-21T14:05:09Z", "Nov 21, 2026, 2:05:09 PM"),
            ("en-US", "2026-11-21T14:05:09.123456+02:00", "Nov 21, 2026, 2:05:09 PM"),
            ("de-DE", "2026-11-21T14:05:09-0330", "21.11.2026, 14:05:09"),
            ("de-DE", "2026-11-21 14:05:09", "21.11.2026, 14:05:09"),
        ] {
            assert_eq!(write(locale, text).as_deref(), Some(expected), "{locale} {text}");
        }
    }

    #[test]
    fn what_is_no_date_stays() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-11-21T",
            "2026-11-21T25:00:00Z",
            "2026-11-21T14:05Z",
            "2026-11-21T14:05:09X",
            "2026-11-21T14:05:09+2",
            "2026-11-21x",
            "20261121",
            "+026-11-21",
            "2026-11-21-",
            "２０26-11-21",
            "ab 2026-11-21",
        ] {
            assert_eq!(write("en-US", text), None, "{text}");
        }
    }

    #[test]
    fn a_locale_that_nobody_knows_is_none() {
        for name in ["xx", "qq-US", "english", "en US", "", "und", "1"] {
            assert!(Locale::new(name).is_none(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_date_or_is_left_alone(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]{0,9}[Z+-]?[0-9:]{0,5})?|\\PC{0,30}") {
            let _ = write("en-US", &text);
        }
    }
}
