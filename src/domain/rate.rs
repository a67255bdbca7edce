//! A rate: so many in a second, a minute or an hour.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// So many in a time, written `50/s`, `600/m` or `1000/h`. So many may come at once after a time of rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In what time.
    pub per: Per,
}

/// The time of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// `/s`.
    Second,
    /// `/m`.
    Minute,
    /// `/h`.
    Hour,
}

impl Per {
    /// How long it is.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
        })
    }
}

impl Rate {
    /// The time in which room for one more comes.
    pub fn interval(self) -> Duration {
        self.per.duration() / self.count.get()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// The text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a rate such as 50/s, 600/m or 1000/h")]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (count, unit) = text.split_once('/').ok_or(NotARate)?;
        let count = count.trim();
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotARate);
        }
        let per = match unit.trim() {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(NotARate),
        };
        Ok(Self { count: count.parse().map_err(|_| NotARate)?, per })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_number_in_a_second_a_minute_or_an_hour() {
        let rate: Rate = "600 / m".parse().expect("a rate");
        assert_eq!((rate.count.get(), rate.per, rate.interval()), (600, Per::Minute, Duration::from_millis(100)));
        for wrong in ["", "50", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "50/d", "50/s/s", "4294967296/s", "1/sec"] {
            assert_eq!(wrong.parse::<Rate>(), Err(NotARate), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_rate_reads_back_as_it_is_written(count in 1u32.., unit in "[smh]") {
            let text = format!("{count}/{unit}");
            prop_assert_eq!(text.parse::<Rate>().expect("a rate").to_string(), text);
        }
    }
}
