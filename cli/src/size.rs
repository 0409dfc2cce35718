//! Sizes and addresses as people write them.

use serde::Deserializer;
use serde::de::{Error, Visitor};
use std::fmt;

/// Reads a size from a configuration file: a number, or a text as [`parse`] takes it.
///
/// # Errors
/// When it is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(Figure(parse)).map(Some)
}

/// Reads an address from a configuration file: a number, or a text as [`address`] takes it.
///
/// # Errors
/// When it is neither.
pub fn deserialize_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(Figure(address)).map(Some)
}

/// A number, or a text that is read as flags are.
struct Figure(fn(&str) -> Result<u64, String>);

impl Visitor<'_> for Figure {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text, as in 1048576 or \"512M\"")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        self.0(text).map_err(E::custom)
    }
}

/// Reads a size in bytes: `1G`, `256M`, `512 KiB`, `4096`. The units are powers of 1,024.
///
/// # Errors
/// A line that names the text.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no size: write for example 512M or 1G");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Reads an address: `0xffffffd000000000`, underscores allowed.
///
/// # Errors
/// A line that names the text.
pub fn address(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let parsed = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    parsed.map_err(|_| format!("\"{text}\" is no address: write for example 0xffffffd000000000"))
}

/// Writes a size as short as it is exact.
pub fn show(bytes: u64) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!(parse("1G"), Ok(1 << 30));
        assert_eq!(parse("256m"), Ok(256 << 20));
        assert_eq!(parse("512 KiB"), Ok(512 << 10));
        assert_eq!(parse("4096"), Ok(4096));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "G", "-1M", "1.5G", "1X", "99999999999T"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(address("ffff").is_err());
        assert!(address("0x1_0000_0000_0000_0000").is_err());
    }

    #[test]
    fn addresses_are_hexadecimal_with_a_prefix() {
        assert_eq!(address("0xffff_ffd0_0000_0000"), Ok(0xffff_ffd0_0000_0000));
        assert_eq!(address("10"), Ok(10));
    }

    #[test]
    fn sizes_are_shown_exactly() {
        assert_eq!(show(1 << 30), "1G");
        assert_eq!(show(3 << 20), "3M");
        assert_eq!(show(1025), "1025");
        assert_eq!(show(0), "0");
    }
}
