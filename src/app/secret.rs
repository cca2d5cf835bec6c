//! Reads secrets by reference (`env:NAME` or `file:PATH`), because other users can see a command line. Used by `emulator` and `token`.

use super::AppError;
use crate::scenario::looks_like_key;
use crate::text_file;
use std::io;
use zeroize::Zeroizing;

/// Why a secret cannot be read. The text never quotes the argument, which contains the secret after a mistake such as `env:$KEY` or
/// `file:$KEY`; it quotes only valid variable names.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// Neither `env:NAME` nor `file:PATH`.
    #[error("pass {0} as env:NAME or file:PATH; other users can read a secret on the command line")]
    Literal(&'static str),
    /// An environment variable that is not set.
    #[error("the environment variable {name} is not set; set it to {what}")]
    NoVariable {
        /// Name of the variable.
        name: String,
        /// Name of the secret.
        what: &'static str,
    },
    /// A file that cannot be read.
    #[error("cannot read {what} from file:PATH: {source}")]
    File {
        /// Name of the secret.
        what: &'static str,
        /// Cause.
        source: io::Error,
    },
}

/// A literal secret is a usage error. A missing file or variable is an environment error.
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

/// Reads `env:NAME` or `file:PATH` and trims white space. `what` names the secret in errors.
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

/// Returns true for a shell variable name that does not look like a key.
fn is_variable_name(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && !looks_like_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_by_reference() {
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
