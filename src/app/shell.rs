//! Words of shell commands that hubstorm prints. Used by `init` and `certs`.

/// Quotes a word for a shell, if necessary.
#[must_use]
pub(super) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words_are_quoted_if_necessary() {
        for (word, quoted) in [("a/b-c.toml", "a/b-c.toml"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(shell_word(word), quoted);
        }
    }
}
