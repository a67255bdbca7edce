//! Decimal numbers of any size, compared by value without rounding.

use std::cmp::Ordering;

/// A decimal number: its digits without zeros at either end, and the power of ten of the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a number as JSON writes it; zeros before it are allowed. `None` for any other text.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if !is_digits(unsigned) {
                    return None;
                }
                let largest = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
                (mantissa, exponent.parse::<i64>().unwrap_or(largest))
            }
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        if !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let kept = all.trim_end_matches('0');
        let shift = i64::try_from(all.len() - kept.len()).ok()? - i64::try_from(fraction.len()).ok()?;
        let digits = kept.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent: exponent.saturating_add(shift) })
    }

    /// The power of ten just above the number, whatever its sign.
    fn magnitude(&self) -> i64 {
        self.exponent.saturating_add(i64::try_from(self.digits.len()).unwrap_or(i64::MAX))
    }

    fn cmp_unsigned(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Without zeros at their ends, digits of one magnitude compare like text.
            (false, false) => self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_unsigned(other),
            (true, true) => other.cmp_unsigned(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::read(text).expect(text)
    }

    #[test]
    fn numbers_compare_by_value_however_they_are_written() {
        let ascending = [
            "-1e99999999999999999999",
            "-10.5",
            "-10",
            "-0.1",
            "0",
            "1e-99999999999999999999",
            "1e-400",
            "0.1",
            "1.1",
            "9",
            "10",
            "99",
            "99999999999999999.98",
            "99999999999999999.99",
            "1e17",
            "1e400",
        ];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        for (a, b) in [("1.10", "1.1"), ("1E+2", "100.0"), ("-0", "0e5"), ("01234", "1234"), ("10.00", "1e1")] {
            assert_eq!(number(a), number(b));
        }
        for text in ["", "-", "1e", "1e+", ".5", "5.", "+1", "1_000", " 1", "0x1", "NaN", "inf", "1e1.0", "١"] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_machine_integers(a in any::<i64>(), b in any::<i64>(), zeros in 0usize..4) {
            let written = format!("{b}.{}", "0".repeat(zeros + 1));
            prop_assert_eq!(number(&a.to_string()).cmp(&number(&written)), a.cmp(&b));
        }
    }
}
