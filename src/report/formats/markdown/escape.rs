//! Untrusted text (names, messages from a peer) in Markdown: it stays text, whatever it contains. Used by `markdown`. Independent of
//! results.
//!
//! CommonMark and GitHub's extensions are covered: no markup, HTML or table cells, and no links that GitHub adds to plain text, such as
//! mentions (`@name`), issues (`#1`), addresses and emoji codes.

use crate::report::format::{plain, shorten};
use std::fmt::Write as _;

/// The maximum number of characters of one text. The result file contains the whole text.
const CHARACTERS_MAX: usize = 240;

/// Separates a character from the next one without being visible, so that GitHub does not turn them into a link or an emoji.
const SEPARATOR: &str = "&#8203;";

/// Returns text for a table cell, a heading, or the middle of a line.
pub(in crate::report) fn prose(text: &str) -> String {
    let text = shorten(&plain(text), CHARACTERS_MAX);
    let mut escaped = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            // A numeric reference is never markup. A backslash would not be enough inside a table.
            '\\' | '`' | '*' | '_' | '[' | ']' | '{' | '<' | '#' | '|' | '~' | '&' | '$' | '@' => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
        if starts_link(c, rest.as_str()) || escaped.to_ascii_lowercase().ends_with("www") {
            escaped.push_str(SEPARATOR);
        }
    }
    escaped
}

/// Returns text for the start of a list item, where a number or a dash would start another list.
pub(in crate::report) fn item(text: &str) -> String {
    let escaped = prose(text);
    match escaped.chars().next() {
        Some(c) if c.is_ascii() && !c.is_ascii_alphabetic() && c != '&' => {
            format!("&#{};{}", u32::from(c), &escaped[1..])
        }
        _ => escaped,
    }
}

/// Returns a name as code. Text that code cannot contain inside a table is returned as prose.
pub(in crate::report) fn code(text: &str) -> String {
    let name = shorten(&plain(text), CHARACTERS_MAX);
    let is_plain = !name.contains(['`', '|', '\\']) && name.trim() == name && !name.is_empty();
    if is_plain { format!("`{name}`") } else { prose(text) }
}

/// Returns true if `c` and the text after it could become a link or an emoji.
fn starts_link(c: char, rest: &str) -> bool {
    let next = rest.chars().next();
    match c {
        '@' => next.is_some_and(char::is_alphanumeric),
        '#' => next.is_some_and(|next| next.is_ascii_digit()),
        ':' if next == Some('/') => true,
        ':' => rest.split_once(':').is_some_and(|(name, _)| is_emoji(name)),
        _ => false,
    }
}

/// Returns true if `:name:` may be the code of an emoji, unlike the minutes in `12:00:00`.
fn is_emoji(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-');
    name.chars().all(is_part) && name.contains(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        for (text, expected) in [
            ("p(99) < 500ms", "p(99) &#60; 500ms"),
            ("a|b`c\\|d", "a&#124;b&#96;c&#92;&#124;d"),
            ("line\r\n| x |", "line\u{fffd}\u{fffd}&#124; x &#124;"),
            ("@octocat #12 a@b.c", "&#64;&#8203;octocat &#35;&#8203;12 a&#64;&#8203;b.c"),
            ("https://x www.x", "https:&#8203;//x www&#8203;.x"),
            (":tada: 12:00:00, {phase:steady}", ":&#8203;tada: 12:00:00, &#123;phase:steady}"),
            (":+1:", ":&#8203;+1:"),
            ("[x](y) <b> &amp; *a* _b_", "&#91;x&#93;(y) &#60;b> &#38;amp; &#42;a&#42; &#95;b&#95;"),
        ] {
            assert_eq!(prose(text), expected, "{text}");
        }
    }

    #[test]
    fn list_items_start_no_other_block() {
        for (text, expected) in
            [("1. one", "&#49;. one"), ("- one", "&#45; one"), ("one", "one"), ("", ""), ("#", "&#35;")]
        {
            assert_eq!(item(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_code_if_code_can_contain_them() {
        for (text, expected) in [
            ("steady <b> @x #1", "`steady <b> @x #1`"),
            ("a`b", "a&#96;b"),
            ("a|b", "a&#124;b"),
            (" a", " a"),
            ("", ""),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
        assert!(prose(&"x".repeat(10_000)).chars().count() <= CHARACTERS_MAX);
    }
}
