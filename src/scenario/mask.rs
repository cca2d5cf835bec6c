//! Hides secrets in messages. This is the last line of defense: messages leave out known secrets, but users also paste keys into values
//! that are not secret. Used by `error` for every message about a scenario, and by `app` for error messages and other output. This file
//! must not depend on the format's keys.

pub(super) const HIDDEN: &str = "<hidden>";

/// The names that precede a secret in connection strings and tokens.
const NAMES: [&str; 2] = ["sharedaccesskey=", "sig="];

/// The minimum number of base64 characters in a key, which is at least 16 bytes long.
const KEY_CHARS_MIN: usize = 22;

/// Returns `text` with secrets replaced: the values of `SharedAccessKey=` and `sig=`, and every word that looks like a base64 key with
/// padding.
#[must_use]
pub fn masked(text: &str) -> String {
    let ends_word = |c: char| c.is_whitespace() || c.is_control() || ";&\"'`,\\".contains(c);
    let mask = |piece: &str| {
        let word = piece.trim_end_matches(ends_word);
        let secret = named_secret(word).or_else(|| padded_key(word)).unwrap_or(word.len()..word.len());
        if secret.is_empty() {
            return piece.to_owned();
        }
        format!("{}{HIDDEN}{}", &piece[..secret.start], &piece[secret.end..])
    };
    text.split_inclusive(ends_word).map(mask).collect()
}

/// Returns the range in `word` after one of [`NAMES`], if it may be a secret.
fn named_secret(word: &str) -> Option<std::ops::Range<usize>> {
    let lower = word.to_ascii_lowercase();
    let start = NAMES.iter().filter_map(|name| lower.find(name).map(|at| at + name.len())).min()?;
    // "SharedAccessKey=.." describes the format and contains no key.
    word[start..].contains(|c: char| c.is_ascii_alphanumeric()).then_some(start..word.len())
}

/// Returns the range in `word` that looks like a padded base64 key.
fn padded_key(word: &str) -> Option<std::ops::Range<usize>> {
    word.match_indices('=').find_map(|(at, _)| {
        let start = word[..at].trim_end_matches(is_base64).len();
        let behind = word[at..].trim_start_matches('=');
        let is_key = is_long_and_mixed(&word[start..at]) && !behind.starts_with(is_base64);
        is_key.then_some(start..word.len() - behind.len())
    })
}

/// Returns true if `text` looks like a base64 key. For names and paths that do not exist, which may be misplaced keys.
#[must_use]
pub fn looks_like_key(text: &str) -> bool {
    let key = text.trim_end_matches('=');
    key.chars().all(is_base64)
        && is_long_and_mixed(key)
        && (key.len() < text.len() || key.len().is_multiple_of(4))
}

/// Returns true if a word may be a base64 key, with or without padding. Messages must not repeat such a word. Long names can match
/// too, so check only unknown words.
#[must_use]
pub fn may_be_key(word: &str) -> bool {
    let key = word.trim_end_matches('=');
    key.chars().all(is_base64) && is_long_and_mixed(key)
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '+' || c == '/'
}

/// Returns true for long words with uppercase and lowercase letters. Names of environment variables rarely have both; random keys almost
/// always do.
fn is_long_and_mixed(text: &str) -> bool {
    text.len() >= KEY_CHARS_MIN
        && text.contains(|c: char| c.is_ascii_lowercase())
        && text.contains(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn value_after_a_secret_name_is_hidden() {
        for (text, expected) in [
            (
                "\"HostName=h;SharedAccessKey=ab/c+d==;X=y\" is",
                "\"HostName=h;SharedAccessKey=<hidden>;X=y\" is",
            ),
            ("sharedaccesskey=x", "sharedaccesskey=<hidden>"),
            ("sr=h&sig=a%2Bb&se=5", "sr=h&sig=<hidden>&se=5"),
            ("HostName=..;SharedAccessKey=..), or", "HostName=..;SharedAccessKey=..), or"),
            ("SharedAccessKeyName=owner", "SharedAccessKeyName=owner"),
            ("design=5\n", "design=5\n"),
        ] {
            assert_eq!(masked(text), expected);
            assert_eq!(masked(expected), expected, "masking twice changes nothing");
        }
    }

    #[test]
    fn padded_keys_are_hidden_anywhere_in_a_text() {
        for (before, after) in
            [("", ""), ("ü", "ü"), ("cannot read /a/b.c/", ": x"), ("id=", " x"), ("(", ")")]
        {
            let text = masked(&format!("{before}{KEY}{after}"));
            assert!(!text.contains("CAwQFBgcICQ") && text.ends_with(&format!("{HIDDEN}{after}")), "{text}");
        }
        for text in
            ["fleet.meter.devices=500", "/home/Someone/projects/hubstorm/scenarios", "x=", "=", "a==b", "ü="]
        {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn unpadded_keys_may_be_keys() {
        for length in KEY_CHARS_MIN..=KEY.len() {
            assert!(may_be_key(&KEY[..length]), "{length} characters");
        }
        for name in ["devices", "fleet", "HUBSTORM_GROUP_KEY", "meter-With-A-Name-Of-Many-Words", ""] {
            assert!(!may_be_key(name), "{name}");
        }
    }

    #[test]
    fn names_do_not_look_like_keys() {
        assert!(
            looks_like_key(KEY) && looks_like_key(&KEY[..40]) && looks_like_key("aA/+aA/+aA/+aA/+aA/+aA==")
        );
        for name in ["HUBSTORM_GROUP_KEY", "IOTHUBDEVICEKEYNUMBERONE", "key.txt", "keys/meters", ""] {
            assert!(!looks_like_key(name), "{name}");
        }
    }
}
