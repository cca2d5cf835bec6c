//! Quotes text from a scenario in error messages. Used by the other files in this folder.

/// Returns the text in double quotes, shortened to fit on a line.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() == text.len() {
        return format!("{short:?}");
    }
    format!("{short:?}... ({} characters)", text.chars().count())
}
