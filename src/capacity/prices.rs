//! The price list: the built-in one, and a file in the same format. Used by `plan_capacity`. Pure.

use super::model::{Prices, UnitPrice};
use crate::iothub::limits::Tier;
use crate::units::grouped;
use jiff::civil::Date;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Spanned, Value};

/// The fixes.
const CURRENCY: &str = "write the currency of the prices, such as currency = \"USD\"";
const AS_OF: &str = "write the date of the prices, such as as_of = \"2026-11-28\"";
const PRICE: &str = "write the price of a unit for a month, such as price = 25.00";

/// The built-in price list. Nothing in it was verified with Microsoft.
const BUILT_IN: &str = include_str!("prices.toml");

/// The status of the built-in list.
pub(super) const UNVERIFIED: &str = "unverified";
/// The status of a list from a file.
const FROM_FILE: &str = "from_file";

/// Formats an amount of money: `2,500 USD`, `7,819.50 EUR`.
#[must_use]
pub fn money(amount: f64, currency: &str) -> String {
    let digits = if amount.fract() == 0.0 { 0 } else { 2 };
    format!("{} {currency}", grouped(&format!("{amount:.digits$}")))
}

/// A price list cannot be used. The text begins with the place in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct PriceError {
    file: String,
    line: usize,
    column: usize,
    what: String,
}

/// Prices per unit and month.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceList {
    prices: Prices,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    currency: Option<Spanned<Value>>,
    as_of: Option<Spanned<Value>>,
    #[serde(default)]
    tier: BTreeMap<Spanned<String>, Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    price: Option<Spanned<Value>>,
    source: Option<String>,
}

impl PriceList {
    /// Returns the built-in price list.
    ///
    /// # Panics
    /// Panics if the built-in list is invalid, which a test prevents.
    #[must_use]
    pub fn built_in() -> PriceList {
        PriceList::read("prices.toml", BUILT_IN, UNVERIFIED).expect("a test reads the built-in list")
    }

    /// Parses a price list. `file` is its name for errors.
    ///
    /// # Errors
    /// Returns an error if the text is not a price list, or if it has no currency, no date or no price.
    pub fn parse(file: &str, text: &str) -> Result<PriceList, PriceError> {
        PriceList::read(file, text, FROM_FILE)
    }

    fn read(file: &str, text: &str, status: &str) -> Result<PriceList, PriceError> {
        let at = |offset: usize, what: String| {
            let before = text.get(..offset).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let line = before.matches('\n').count() + 1;
            let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
            PriceError { file: file.to_owned(), line, column, what }
        };
        let parsed: File = toml::from_str(text)
            .map_err(|error| at(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        let needed = |key: &str, value: Option<Spanned<Value>>, fix: &str| match value {
            None => Err(at(0, format!("{key}: missing; {fix}"))),
            Some(value) => match written(value.get_ref()) {
                None => Err(at(value.span().start, format!("{key}: {}; {fix}", not_a("string", &value)))),
                Some(text) if text.trim().is_empty() => {
                    Err(at(value.span().start, format!("{key}: must not be empty; {fix}")))
                }
                Some(text) => Ok((value.span().start, text)),
            },
        };
        let (_, currency) = needed("currency", parsed.currency, CURRENCY)?;
        let (place, as_of) = needed("as_of", parsed.as_of, AS_OF)?;
        if !is_date(&as_of) {
            return Err(at(place, format!("as_of: {as_of:?} is not a date; {AS_OF}")));
        }
        let mut units = Vec::new();
        for (name, row) in &parsed.tier {
            let tiers: Vec<&str> = Tier::ALL.iter().map(|tier| tier.name()).collect();
            let Some(tier) = Tier::from_name(name.get_ref()) else {
                let what = format!("tier.{}: unknown tier; allowed: {}", name.get_ref(), tiers.join(", "));
                return Err(at(name.span().start, what));
            };
            let price = row.price.as_ref().map_or(Err((name.span().start, "missing".to_owned())), |price| {
                price_of(price.get_ref()).map_err(|what| (price.span().start, what))
            });
            let price = price
                .map_err(|(place, what)| at(place, format!("tier.{}.price: {what}; {PRICE}", tier.name())))?;
            units.push(UnitPrice { tier: tier.name().to_owned(), price, source: row.source.clone() });
        }
        if units.is_empty() {
            return Err(at(
                0,
                "tier: no prices; add a table such as [tier.S1] with price = 25.00".to_owned(),
            ));
        }
        Ok(PriceList { prices: Prices { status: status.to_owned(), currency, as_of, units } })
    }

    /// Returns the list as a plan shows it.
    #[must_use]
    pub fn into_model(self) -> Prices {
        self.prices
    }
}

/// Returns a text. A TOML date needs no quotation marks.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Datetime(date) => Some(date.to_string()),
        _ => None,
    }
}

/// Returns whether a text is a date such as `2026-11-28`, without a time.
fn is_date(text: &str) -> bool {
    text.parse::<Date>().is_ok_and(|date| date.to_string() == text)
}

fn not_a(expected: &str, value: &Spanned<Value>) -> String {
    format!("the {} {} is not a {expected}", value.get_ref().type_str(), value.get_ref())
}

#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52")]
fn price_of(value: &Value) -> Result<f64, String> {
    let price = match value {
        Value::Integer(price) => Some(*price as f64),
        Value::Float(price) => Some(*price),
        _ => None,
    };
    price.filter(|price| price.is_finite() && *price >= 0.0).ok_or_else(|| format!("{value} is not a price"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_dated_and_has_a_source_per_row() {
        let prices = PriceList::built_in().into_model();
        assert_eq!((prices.status.as_str(), prices.currency.as_str()), ("unverified", "USD"));
        assert!(prices.as_of.len() == 10 && prices.as_of.starts_with("2026-"), "{}", prices.as_of);
        let tiers: Vec<&str> = prices.units.iter().map(|row| row.tier.as_str()).collect();
        assert_eq!(tiers, ["B1", "B2", "B3", "F1", "S1", "S2", "S3"]);
        for row in prices.units {
            assert!(row.source.as_ref().is_some_and(|source| source.len() > 20), "{}", row.tier);
        }
    }

    #[test]
    fn invalid_lists_are_refused_with_a_place_and_a_fix() {
        let row = "[tier.S1]\nprice = 25\n";
        for (text, expected) in [
            (format!("as_of = \"2026-01-01\"\n{row}"), "p.toml:1:1: currency: missing; write the currency"),
            (
                format!("currency = \" \"\nas_of = \"2026-01-01\"\n{row}"),
                "p.toml:1:12: currency: must not be empty",
            ),
            (format!("currency = \"EUR\"\n{row}"), "p.toml:1:1: as_of: missing; write the date"),
            (
                "currency = \"EUR\"\nas_of = \"2026-01-01\"\n".to_owned(),
                "p.toml:1:1: tier: no prices; add a table",
            ),
            (
                format!("currency = \"EUR\"\nas_of = \"2026-01-01\"\n{row}[tier.S9]\nprice = 1\n"),
                "p.toml:5:7: tier.S9: unknown tier; allowed: F1, B1",
            ),
            (
                "currency = \"EUR\"\nas_of = \"2026-01-01\"\n[tier.S1]\nprice = -1\n".to_owned(),
                "p.toml:4:9: tier.S1.price: -1 is not a price",
            ),
            (
                "currency = \"EUR\"\nas_of = \"2026-01-01\"\n[tier.S1]\nprice = \"25\"\n".to_owned(),
                "p.toml:4:9: tier.S1.price: \"25\" is not a price; write the price of a unit for a month",
            ),
            (
                "currency = \"EUR\"\nas_of = \"2026-01-01\"\n[tier.S1]\nprise = 1\n".to_owned(),
                "p.toml:4:1: unknown field `prise`",
            ),
            (
                "currency = \"EUR\"\nas_of = \"2026-01-01\"\n[tier.S1]\n".to_owned(),
                "p.toml:3:7: tier.S1.price: missing; write the price of a unit for a month",
            ),
            (
                format!("currency = \"EUR\"\nas_of = \"2026-13-28\"\n{row}"),
                "p.toml:2:9: as_of: \"2026-13-28\" is not a date; write the date of the prices, such as as_of = \"2026-11-28\"",
            ),
            (
                format!("currency = \"EUR\"\nas_of = 2026-01-01T00:00:00Z\n{row}"),
                "p.toml:2:9: as_of: \"2026-01-01T00:00:00Z\" is not a date",
            ),
            (
                format!("currency = \"EUR\"\nas_of = 2026\n{row}"),
                "p.toml:2:9: as_of: the integer 2026 is not a string; write the date",
            ),
            (
                format!("currency = true\nas_of = 2026\n{row}"),
                "p.toml:1:12: currency: the boolean true is not a string; write the currency",
            ),
            ("currency = EUR\n".to_owned(), "p.toml:1:12: "),
        ] {
            let error = PriceList::parse("p.toml", &text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_date_may_have_no_quotation_marks() {
        let text = "currency = \"EUR\"\nas_of = 2026-01-01\n[tier.S1]\nprice = 25\n";
        let prices = PriceList::parse("p.toml", text).unwrap().into_model();
        assert_eq!(prices.as_of, "2026-01-01");
        assert_eq!((prices.units[0].tier.as_str(), prices.units[0].price), ("S1", 25.0));
        assert_eq!(prices.status, "from_file");
    }
}
