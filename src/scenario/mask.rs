//! What is left of a text once its secrets are hidden. The last line of defence: whoever writes a message leaves a secret out
//! of it; this is for the keys that people put where nobody expects one. Used by `error` for every message about a scenario,
//! and by `app` for every message that ends a command.

pub(super) const HIDDEN: &str = "<hidden>";

/// What a secret follows, in connection strings and tokens.
const NAMES: [&str; 2] = ["sharedaccesskey=", "sig="];

/// A key has at least 16 bytes: so many characters of base64.
const KEY_CHARS_MIN: usize = 22;

/// `text` without what follows `SharedAccessKey=` and `sig=`, and without what looks like a key in base64 with its padding.
#[must_use]
pub fn masked(text: &str) -> String {
    let ends_word = |c: char| c.is_whitespace() || c.is_control() || ";&\"'`,\\".contains(c);
    let mask = |piece: &str| {
        let word = piece.trim_end_matches(ends_word);
        let secret = named(word).or_else(|| padded(word)).unwrap_or(word.len()..word.len());
        if secret.is_empty() {
            return piece.to_owned();
        }
        format!("{}{HIDDEN}{}", &piece[..secret.start], &piece[secret.end..])
    };
    text.split_inclusive(ends_word).map(mask).collect()
}

/// Where a word holds what follows one of the names.
fn named(word: &str) -> Option<std::ops::Range<usize>> {
    let lower = word.to_ascii_lowercase();
    let start = NAMES.iter().filter_map(|name| lower.find(name).map(|at| at + name.len())).min()?;
    // "SharedAccessKey=.." tells the form, and no key.
    word[start..].contains(|c: char| c.is_ascii_alphanumeric()).then_some(start..word.len())
}

/// Where a word holds what is long enough for a key and padded like one.
fn padded(word: &str) -> Option<std::ops::Range<usize>> {
    word.match_indices('=').find_map(|(at, _)| {
        let start = word[..at].trim_end_matches(is_base64).len();
        let behind = word[at..].trim_start_matches('=');
        let is_key = is_long_and_mixed(&word[start..at]) && !behind.starts_with(is_base64);
        is_key.then_some(start..word.len() - behind.len())
    })
}

/// True for what could be a key in base64: where a name or a path is wanted, and there is none of this name.
#[must_use]
pub fn looks_like_key(text: &str) -> bool {
    let key = text.trim_end_matches('=');
    key.chars().all(is_base64)
        && is_long_and_mixed(key)
        && (key.len() < text.len() || key.len().is_multiple_of(4))
}

/// True if a word may be a base64 key, with or without its padding, so that messages must not repeat it. Known names can match too:
/// check unknown words only.
#[must_use]
pub fn may_be_key(word: &str) -> bool {
    let key = word.trim_end_matches('=');
    key.chars().all(is_base64) && is_long_and_mixed(key)
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '+' || c == '/'
}

/// Names of variables are of one case; a random key hardly is.
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
    fn what_follows_a_secrets_name_is_hidden_and_the_rest_stays() {
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
            assert_eq!(masked(expected), expected, "once more changes nothing");
        }
    }

    #[test]
    fn keys_are_hidden_wherever_they_stand() {
        for (before, after) in
            [("", ""), ("ü", "ü"), ("cannot read /a/b.c/", ": x"), ("id=", " x"), ("(", ")")]
        {
            let shown = masked(&format!("{before}{KEY}{after}"));
            assert!(
                !shown.contains("CAwQFBgcICQ") && shown.ends_with(&format!("{HIDDEN}{after}")),
                "{shown}"
            );
        }
        for text in
            ["fleet.meter.devices=500", "/home/Someone/projects/hubstorm/scenarios", "x=", "=", "a==b", "ü="]
        {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_key_without_its_padding_may_be_a_key() {
        for length in KEY_CHARS_MIN..=KEY.len() {
            assert!(may_be_key(&KEY[..length]), "{length} characters");
        }
        for name in ["devices", "fleet", "HUBSTORM_GROUP_KEY", "meter-With-A-Name-Of-Many-Words", ""] {
            assert!(!may_be_key(name), "{name}");
        }
    }

    #[test]
    fn keys_are_told_from_names() {
        assert!(
            looks_like_key(KEY) && looks_like_key(&KEY[..40]) && looks_like_key("aA/+aA/+aA/+aA/+aA/+aA==")
        );
        for name in ["HUBSTORM_GROUP_KEY", "IOTHUBDEVICEKEYNUMBERONE", "key.txt", "keys/meters", ""] {
            assert!(!looks_like_key(name), "{name}");
        }
    }
}
