//! Secrets that a command line names and never holds: `env:NAME` or `file:PATH`. Used by `emulator` and `token`.

use super::AppError;
use crate::scenario::looks_like_key;
use crate::text_file;
use std::io;
use zeroize::Zeroizing;

/// A secret cannot be had. No error repeats what was typed, but for a variable's name: `env:$KEY` and `file:$KEY` are slips.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// A secret given by value.
    #[error(
        "{0} is given as env:NAME or file:PATH, never itself on the command line, where others can read it"
    )]
    Literal(&'static str),
    /// An environment variable that is not set.
    #[error("the environment variable {name} is not set; it should hold {what}")]
    NoVariable {
        /// Which variable.
        name: String,
        /// What should be in it.
        what: &'static str,
    },
    /// A file with a secret.
    #[error("{what} cannot be read from the file that was given as file:PATH: {source}")]
    File {
        /// What should be in it.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A literal is wrong usage; a file or a variable that is not there is the environment's.
impl From<SecretError> for AppError {
    fn from(error: SecretError) -> AppError {
        match error {
            SecretError::Literal(_) => AppError::Usage(error.to_string()),
            SecretError::NoVariable { .. } | SecretError::File { .. } => {
                AppError::Environment(error.to_string())
            }
        }
    }
}

/// Reads `env:NAME` or `file:PATH`, without white space around it; `what` names the secret in errors.
pub(super) fn read(reference: &str, what: &'static str) -> Result<Zeroizing<String>, SecretError> {
    let text = if let Some(name) = reference.strip_prefix("env:") {
        let missing = |_| match is_variable_name(name) {
            true => SecretError::NoVariable { name: name.to_owned(), what },
            false => SecretError::Literal(what),
        };
        Zeroizing::new(std::env::var(name).map_err(missing)?)
    } else {
        let path = reference.strip_prefix("file:").ok_or(SecretError::Literal(what))?;
        let failed = |source| SecretError::File { what, source };
        let bytes = Zeroizing::new(std::fs::read(path).map_err(failed)?);
        let text = text_file::decode(&bytes).map_err(|error| failed(error.into()))?;
        Zeroizing::new(text.to_owned())
    };
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// As a shell knows them, and not by chance a key's.
fn is_variable_name(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && !looks_like_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_references() {
        let literal = read("AAEC", "the key").unwrap_err().to_string();
        assert!(literal.contains("env:NAME") && !literal.contains("AAEC"), "{literal}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "\u{feff}AAEC\n").unwrap();
        assert_eq!(read(&format!("file:{}", path.display()), "the key").unwrap().as_str(), "AAEC");
        let unset = read("env:HUBSTORM_NO_SUCH_VARIABLE", "the key").unwrap_err();
        assert!(matches!(unset, SecretError::NoVariable { .. }), "{unset}");
        for expanded in
            ["", "1A", "A-B", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "TUFSS0VELVNFQ1JFVC0wMS1h"]
        {
            let error = read(&format!("env:{expanded}"), "the key").unwrap_err();
            assert!(matches!(error, SecretError::Literal(_)), "{expanded}: {error}");
            let error = read(&format!("file:{expanded}"), "the key").unwrap_err().to_string();
            assert!(expanded.is_empty() || !error.contains(expanded), "{error}");
        }
    }
}
