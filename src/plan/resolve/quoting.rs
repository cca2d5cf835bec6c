//! Text of the scenario as errors repeat it.

/// In double quotes, shortened to what fits on a line.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() == text.len() {
        return format!("{short:?}");
    }
    format!("{short:?}... ({} characters)", text.chars().count())
}
