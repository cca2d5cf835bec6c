//! Decimal numbers as integers in units of their last digit: `12.50` is 1250 with two decimals. Walks are exact, and numbers
//! are printed without floating point. Used by `parse` and `render`.

use std::io::{self, Write};

/// The maximum number of digits before, and also after, the decimal point. `10^(2 * DIGITS_MAX)` fits in 64 bits.
const DIGITS_MAX: usize = 9;

/// A decimal number as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    value: i64,
    /// Number of decimals.
    pub(super) digits: u8,
}

impl Fixed {
    /// Parses a number such as `-12.50`. Permits at most nine digits before and nine after the decimal point.
    pub(super) fn parse(text: &str) -> Option<Fixed> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let plain = |digits: &str| digits.len() <= DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(decimals) {
            return None;
        }
        let value: i64 = format!("{whole}{decimals}").parse().ok()?;
        let value = if text.starts_with('-') { -value } else { value };
        Some(Fixed { value, digits: u8::try_from(decimals.len()).ok()? })
    }

    /// Returns the value in units of the last of `digits` decimals. `digits` must not be less than the number's decimals.
    pub(super) fn at(self, digits: u8) -> i64 {
        self.value * 10_i64.pow(u32::from(digits.saturating_sub(self.digits)))
    }
}

/// Numbers from `min` to `max` with a fixed number of decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FixedRange {
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) digits: u8,
}

impl FixedRange {
    /// Appends a number with its decimals.
    pub(super) fn write(&self, out: &mut Vec<u8>, value: i64) -> io::Result<()> {
        let unit = 10_u64.pow(u32::from(self.digits));
        let sign = if value < 0 { "-" } else { "" };
        let (whole, decimals) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
        match usize::from(self.digits) {
            0 => write!(out, "{sign}{whole}"),
            digits => write!(out, "{sign}{whole}.{decimals:0digits$}"),
        }
    }

    /// Returns the maximum number of bytes that `write` appends: sign, digits, leading zero and decimal point.
    pub(super) fn bytes_max(&self) -> usize {
        let digits = self.min.unsigned_abs().max(self.max.unsigned_abs()).to_string().len();
        digits.max(usize::from(self.digits) + 1) + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_parsed_and_written_exactly() {
        for (text, digits, written) in [
            ("12.50", 2, "12.50"),
            ("12.5", 3, "12.500"),
            ("-0.05", 2, "-0.05"),
            ("7", 0, "7"),
            ("-7", 1, "-7.0"),
            ("999999999.999999999", 9, "999999999.999999999"),
        ] {
            let value = Fixed::parse(text).unwrap().at(digits);
            let mut out = Vec::new();
            let range = FixedRange { min: value, max: value, digits };
            range.write(&mut out, value).unwrap();
            assert_eq!(String::from_utf8(out.clone()).unwrap(), written);
            assert!(out.len() <= range.bytes_max());
        }
        for text in ["", "-", ".5", "1e3", "--1", "1.2.3", "9999999999", "0.0000000001", "1_0"] {
            assert_eq!(Fixed::parse(text), None, "{text}");
        }
    }
}
