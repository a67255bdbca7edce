//! Arithmetic on decimal numbers without rounding, for as many digits as money has and more.

use super::decimal;

/// A number of up to 38 digits: `mantissa` times ten to the power of `exponent`. Zeros behind the point are kept, so
/// that `1.10 + 2.20` is `3.30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exact {
    mantissa: i128,
    exponent: i32,
}

/// Digits that are written out before an exponent is used instead.
const PLAIN: u32 = 60;

/// Bytes of a number at most, so that reading one costs little: more than 38 digits with sign, point and exponent.
const LONGEST: usize = 128;

impl Exact {
    /// Reads a number as JSON writes it. `None` for any other text, and for one of too many digits.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        decimal::Decimal::read(text)?;
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = i32::try_from(fraction.len()).ok()?;
        Some(Self {
            mantissa: format!("{whole}{fraction}").parse().ok()?,
            exponent: exponent.parse::<i32>().ok()?.checked_sub(digits)?,
        })
    }

    /// The number as JSON writes it.
    pub(super) fn text(self) -> String {
        let digits = self.mantissa.unsigned_abs().to_string();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let places = self.exponent.unsigned_abs() as usize;
        if self.mantissa == 0 && self.exponent >= 0 {
            "0".to_owned()
        } else if self.exponent.unsigned_abs() > PLAIN {
            format!("{sign}{digits}e{}", self.exponent)
        } else if self.exponent >= 0 {
            format!("{sign}{digits}{}", "0".repeat(places))
        } else {
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            format!("{sign}{whole}.{fraction}")
        }
    }

    /// The number with `places` digits behind the point at most; half of a unit is rounded away from zero. One digit
    /// stays, as of a float.
    pub(super) fn round(self, places: u32) -> Option<Self> {
        let kept = i32::try_from(places).ok()?;
        let dropped = u32::try_from(self.exponent.checked_add(kept)?.checked_neg()?).unwrap_or(0);
        if dropped == 0 {
            return Some(self);
        }
        let unit = 10_i128.checked_pow(dropped)?;
        let (quotient, rest) = (self.mantissa / unit, self.mantissa % unit);
        let up = if rest.unsigned_abs() >= unit.unsigned_abs() / 2 { rest.signum() } else { 0 };
        let mantissa = quotient.checked_add(up)?;
        if kept == 0 {
            return Some(Self { mantissa: mantissa.checked_mul(10)?, exponent: -1 });
        }
        Some(Self { mantissa, exponent: -kept })
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let (a, b, exponent) = aligned(self, other)?;
        Some(Self { mantissa: a.checked_add(b)?, exponent })
    }

    pub(super) fn sub(self, other: Self) -> Option<Self> {
        let (a, b, exponent) = aligned(self, other)?;
        Some(Self { mantissa: a.checked_sub(b)?, exponent })
    }

    pub(super) fn mul(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.checked_add(other.exponent)?;
        Some(Self { mantissa: self.mantissa.checked_mul(other.mantissa)?, exponent })
    }

    /// The quotient with one place behind the point at least; `None` where its digits have no end, or for zero.
    pub(super) fn div(self, other: Self) -> Option<Self> {
        let (mut a, b, _) = aligned(self, other)?;
        let mut exponent = 0;
        while exponent == 0 || a.checked_rem(b)? != 0 {
            a = a.checked_mul(10)?;
            exponent -= 1;
        }
        Some(Self { mantissa: a.checked_div(b)?, exponent })
    }

    /// The whole quotient, as of a division whose remainder is not negative; `None` for zero.
    pub(super) fn int_div(self, other: Self) -> Option<Self> {
        let (a, b, _) = aligned(self, other)?;
        Some(Self { mantissa: a.checked_div_euclid(b)?, exponent: 0 })
    }

    /// The remainder of that division.
    pub(super) fn rem(self, other: Self) -> Option<Self> {
        let (a, b, exponent) = aligned(self, other)?;
        Some(Self { mantissa: a.checked_rem_euclid(b)?, exponent })
    }

    /// The power, for an exponent that is a whole number and not negative.
    pub(super) fn pow(self, other: Self) -> Option<Self> {
        let power = u32::try_from(other.mantissa).ok().filter(|_| other.exponent == 0)?;
        let exponent = self.exponent.checked_mul(i32::try_from(power).ok()?)?;
        Some(Self { mantissa: self.mantissa.checked_pow(power)?, exponent })
    }
}

/// Both mantissas for the smaller of the exponents, which is zero at most.
fn aligned(a: Exact, b: Exact) -> Option<(i128, i128, i32)> {
    let exponent = a.exponent.min(b.exponent).min(0);
    let shifted = |number: Exact| {
        if number.mantissa == 0 {
            return Some(0);
        }
        let by = u32::try_from(i64::from(number.exponent) - i64::from(exponent)).ok()?;
        number.mantissa.checked_mul(10_i128.checked_pow(by)?)
    };
    Some((shifted(a)?, shifted(b)?, exponent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Exact {
        Exact::read(text).expect(text)
    }

    #[test]
    fn sums_and_products_keep_their_digits() {
        let text = |result: Option<Exact>| result.expect("an exact result").text();
        assert_eq!(text(number("1.10").add(number("2.20"))), "3.30");
        assert_eq!(text(number("0.1").add(number("0.2"))), "0.3");
        assert_eq!(text(number("1").sub(number("0.99"))), "0.01");
        assert_eq!(text(number("0.01").sub(number("1"))), "-0.99");
        assert_eq!(text(number("99999999999999999.99").mul(number("3"))), "299999999999999999.97");
        assert_eq!(text(number("1E+2").add(number("1"))), "101");
        assert_eq!(text(number("2e300").mul(number("3"))), "6e300");
        assert_eq!(text(number("0.3").div(number("0.1"))), "3.0");
        assert_eq!(text(number("1").div(number("8"))), "0.125");
        assert_eq!(text(number("6").div(number("3"))), "2.0");
        assert_eq!(text(number("1.10").rem(number("0.05"))), "0.00");
        assert_eq!(text(number("-7.5").int_div(number("2"))), "-4");
        assert_eq!(text(number("1.1").pow(number("2"))), "1.21");
        assert_eq!(text(number("2.675").round(2)), "2.68");
        assert_eq!(text(number("-2.675").round(2)), "-2.68");
        assert_eq!(text(number("2.674").round(2)), "2.67");
        assert_eq!(text(number("2.5").round(0)), "3.0");
        assert_eq!(text(number("2.5").round(4)), "2.5");
        assert_eq!(text(number("0.00").mul(number("5"))), "0.00");
    }

    #[test]
    fn what_cannot_be_exact_is_left_to_others() {
        for (a, b) in [("1", "3"), ("1", "0"), ("1", "0.00"), ("0", "0")] {
            assert_eq!(number(a).div(number(b)), None, "{a} / {b}");
        }
        assert_eq!(number("1e30").add(number("1e-30")), None);
        assert_eq!(number("2").pow(number("0.5")), None);
        assert_eq!(number("10").pow(number("99999")), None);
        for text in ["1e99999999999", &"9".repeat(40), "x", "", "+1", "1_0", "NaN"] {
            assert_eq!(Exact::read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn results_are_those_of_whole_numbers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000) {
            let [x, y] = [a, b].map(|number| Exact { mantissa: i128::from(number), exponent: -2 });
            prop_assert_eq!(x.add(y).map(|sum| sum.mantissa), Some(i128::from(a + b)));
            prop_assert_eq!(x.mul(y).map(|product| product.mantissa), Some(i128::from(a * b)));
            prop_assert_eq!(Exact::read(&x.text()), Some(x));
        }

        #[test]
        fn any_text_is_read_without_panic(a in "-?[0-9]{0,40}([.][0-9]{0,9})?(e[+-]?[0-9]{0,11})?", b in "[0-9.e-]{0,9}") {
            if let (Some(a), Some(b)) = (Exact::read(&a), Exact::read(&b)) {
                for result in [a.add(b), a.sub(b), a.mul(b), a.div(b), a.int_div(b), a.rem(b), a.pow(b)] {
                    let text = result.map(Exact::text).unwrap_or_default();
                    prop_assert!(text.is_empty() || decimal::Decimal::read(&text).is_some(), "{}", text);
                }
            }
        }
    }
}
