//! Formats numbers with units for the page. Called by the parts of `page`. Independent of results.

/// Splits `67.8 ms` into number and unit. If there is no unit, returns the whole text.
pub(super) fn split(text: &str) -> (String, &'static str) {
    for (suffix, unit) in [(" µs", "µs"), (" ms", "ms"), (" s", "s")] {
        if let Some(number) = text.strip_suffix(suffix) {
            return (number.to_owned(), unit);
        }
    }
    (text.to_owned(), "")
}

/// Keeps number and unit on one line.
pub(super) fn keep_together(text: &str) -> String {
    text.replace(" µs", "\u{a0}µs").replace(" ms", "\u{a0}ms").replace(" s", "\u{a0}s")
}
