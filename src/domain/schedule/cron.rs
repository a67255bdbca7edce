//! Cron expressions as Vixie's cron reads them: minute, hour, day of month, month, day of week.
//!
//! Where day of month and day of week are both restricted, a day matches if either does. A field that begins with `*`
//! counts as not restricted, also with a step (`*/2`): then a day must match both.

use jiff::civil::{Date, DateTime};

/// The days after which a search for the next run ends: a 29 February on a given weekday may be 40 years away.
const LONGEST: usize = 41 * 366;

/// A field: its name, its least and greatest number, and names for numbers from the least on.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of month", least: 1, most: 31, names: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // 7 is Sunday too.
    Field { name: "day of week", least: 0, most: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// A cron expression. Each field is a set of numbers, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day must match day of month and day of week.
    both: bool,
    /// Whether minute or hour begins with `*`: it runs by the time that passes, also in an hour that the clocks show twice.
    steady: bool,
}

impl Cron {
    /// Reads an expression. `Err` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > 256 {
            return Err("it is longer than 256 characters".to_owned());
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            let names = FIELDS.map(|field| field.name).join(", ");
            return Err(format!("it has {} fields, not five ({names})", parts.len()));
        };
        let [minutes, hours, days, months, weekdays] = FIELDS;
        let mut weekdays = weekdays.read(weekday)?;
        if weekdays >> 7 == 1 {
            weekdays |= 1;
        }
        Ok(Self {
            text: parts.join(" "),
            minutes: minutes.read(minute)?,
            hours: hours.read(hour)?,
            days: days.read(day)?,
            months: months.read(month)?,
            weekdays,
            both: day.starts_with('*') || weekday.starts_with('*'),
            steady: minute.starts_with('*') || hour.starts_with('*'),
        })
    }

    /// The expression, with one space between its fields.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first run after a time of the clock on the wall. `None` where no day matches.
    pub(super) fn next_after(&self, time: DateTime) -> Option<DateTime> {
        let mut date = time.date();
        if self.matches(date)
            && let Some((hour, minute)) = self.time_after(time)
        {
            return Some(date.at(hour, minute, 0, 0));
        }
        for _ in 0..LONGEST {
            date = date.tomorrow().ok()?;
            if self.matches(date) {
                return Some(date.at(lowest(self.hours)?, lowest(self.minutes)?, 0, 0));
            }
        }
        None
    }

    /// Whether it also runs in an hour that the clocks show a second time.
    pub(super) fn is_steady(&self) -> bool {
        self.steady
    }

    /// Whether it runs in the minute of a time of the clock on the wall.
    pub(super) fn runs_at(&self, time: DateTime) -> bool {
        self.matches(time.date()) && has(self.hours, time.hour()) && has(self.minutes, time.minute())
    }

    fn matches(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.both { day && weekday } else { day || weekday }
    }

    /// The next hour and minute on the same day.
    fn time_after(&self, time: DateTime) -> Option<(i8, i8)> {
        let (hour, minute) = (time.hour(), time.minute());
        if has(self.hours, hour)
            && let Some(minute) = lowest(above(self.minutes, minute))
        {
            return Some((hour, minute));
        }
        Some((lowest(above(self.hours, hour))?, lowest(self.minutes)?))
    }
}

/// Whether a number is in a set.
fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set & (1 << number) != 0)
}

/// The least number of a set.
fn lowest(set: u64) -> Option<i8> {
    if set == 0 { None } else { i8::try_from(set.trailing_zeros()).ok() }
}

/// The numbers of a set that are greater than one of 0 to 59.
fn above(set: u64, number: i8) -> u64 {
    u32::try_from(number).map_or(set, |number| set & (u64::MAX << 1 << number))
}

impl Field {
    /// The set that a list of numbers and ranges names.
    fn read(&self, text: &str) -> Result<u64, String> {
        let entries = text.split(',').map(|entry| self.entry(entry));
        let set = entries.reduce(|one, other| Ok(one? | other?)).unwrap_or(Ok(0));
        set.map_err(|why| format!("its {} cannot be {text:?}: {why}", self.name))
    }

    /// The set of one entry: `*`, a number or a range, the first and the last with a step or not.
    fn entry(&self, entry: &str) -> Result<u64, String> {
        let (range, step) = match entry.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (entry, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.least, self.most),
            (_, Some((from, to))) => (self.number(from)?, self.number(to)?),
            (number, None) => {
                let number = self.number(number)?;
                if step.is_some() {
                    return Err(format!(
                        "a step needs a range, such as {number}-{}/{}",
                        self.most,
                        step.unwrap_or("2")
                    ));
                }
                (number, number)
            }
        };
        if from > to {
            return Err(format!("the range {range} runs backwards"));
        }
        let step = match step {
            Some(step) => digits(step).filter(|step| *step > 0).ok_or("a step is a whole number from 1")?,
            None => 1,
        };
        Ok((from..=to).step_by(step as usize).fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        if text.is_empty() {
            return Err("a number is missing".to_owned());
        }
        let named = (self.least..).zip(self.names).find(|(_, name)| text.eq_ignore_ascii_case(name));
        if let Some((number, _)) = named {
            return Ok(number);
        }
        let Some(number) = digits(text) else {
            let alternative = match self.names {
                [first, .., last] => format!(" or a name from {first} to {last}"),
                _ => String::new(),
            };
            return Err(format!("{text} is not a number{alternative}"));
        };
        let fits = (self.least..=self.most).contains(&number);
        if fits { Ok(number) } else { Err(format!("{text} is not from {} to {}", self.least, self.most)) }
    }
}

/// A number of digits alone, without a sign; one that is too large is the largest.
fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the code of Debian's cron makes of expressions: see the head of the file.
    const DEBIAN: &str = include_str!("debian.txt");

    #[test]
    fn runs_are_those_of_debians_cron() {
        let lines = DEBIAN.lines().filter(|line| !line.starts_with('#'));
        let mut compared = 0;
        for line in lines {
            let (expression, runs) = line.split_once(" | ").expect("an expression and its runs");
            let cron = Cron::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
            let mut found = Vec::new();
            for after in ["2026-02-01T00:00", "2026-12-01T23:59"] {
                let mut time: DateTime = after.parse().expect("a time");
                for _ in 0..3 {
                    let Some(next) = cron.next_after(time) else { break };
                    time = next;
                    found.push(next.strftime("%Y-%m-%dT%H:%M").to_string());
                }
            }
            assert_eq!(found.join(" "), runs, "{expression}");
            compared += 1;
        }
        assert!(compared > 40);
    }

    #[test]
    fn wrong_fields_are_refused_with_the_reason() {
        for (expression, reason) in [
            ("1,2,,3 * * * *", "its minute cannot be \"1,2,,3\": a number is missing"),
            (",1 * * * *", "a number is missing"),
            ("1, * * * *", "a number is missing"),
            ("5/15 * * * *", "a step needs a range, such as 5-59/15"),
            ("*/0 * * * *", "a step is a whole number from 1"),
            ("*/+2 * * * *", "a step is a whole number from 1"),
            ("*/ * * * *", "a step is a whole number from 1"),
            ("1-5/ * * * *", "a step is a whole number from 1"),
            ("60 * * * *", "60 is not from 0 to 59"),
            ("* 24 * * *", "24 is not from 0 to 23"),
            ("* * 0 * *", "0 is not from 1 to 31"),
            ("* * 32 * *", "32 is not from 1 to 31"),
            ("* * * 0 *", "0 is not from 1 to 12"),
            ("* * * 13 *", "13 is not from 1 to 12"),
            ("* * * * 8", "8 is not from 0 to 7"),
            ("* * * * moo", "moo is not a number or a name from sun to sat"),
            ("* * * january *", "january is not a number or a name from jan to dec"),
            ("1- * * * *", "a number is missing"),
            ("-1 * * * *", "a number is missing"),
            ("1-70 * * * *", "70 is not from 0 to 59"),
            ("10-5 * * * *", "the range 10-5 runs backwards"),
            ("* * * * sat-sun", "the range sat-sun runs backwards"),
            ("mon * * * *", "mon is not a number"),
            ("*5 * * * *", "*5 is not a number"),
            ("0 0 L * *", "L is not a number"),
            ("0 0 ? * 1", "? is not a number"),
            ("0 0 * * 5#2", "5#2 is not a number"),
            ("0 0 15W * *", "15W is not a number"),
        ] {
            let error = Cron::parse(expression).expect_err(expression);
            assert!(error.contains(reason), "{expression}: {error}");
        }
    }

    #[test]
    fn a_day_that_never_comes_has_no_run() {
        let never = Cron::parse("0 6 30 2 *").expect("an expression");
        assert_eq!(never.next_after("2026-01-01T00:00".parse().expect("a time")), None);
    }

    #[test]
    fn the_rarest_day_is_found() {
        // A 29 February that is a Sunday, across 2100, which is not a leap year.
        let rare = Cron::parse("0 0 29 2 */7").expect("an expression");
        let next = rare.next_after("2088-03-01T00:00".parse().expect("a time"));
        assert_eq!(next.map(|time| time.to_string()).as_deref(), Some("2128-02-29T00:00:00"));
    }
}
