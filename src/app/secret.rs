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
    /// An environment variable with an empty value.
    #[error(
        "the environment variable {name} is empty; set it to {what} (in CI, check that the secret is defined)"
    )]
    EmptyVariable {
        /// Name of the variable.
        name: String,
        /// Name of the secret.
        what: &'static str,
    },
    /// A path whose `~` the shell has not replaced. A key contains no `~`, so the text quotes the path.
    #[error(
        "cannot read {what} from the file {path}: {source}. The shell does not expand ~ after file: ; write $HOME"
    )]
    Tilde {
        /// Name of the secret.
        what: &'static str,
        /// Path, which begins with `~`.
        path: String,
        /// Cause.
        source: io::Error,
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
            SecretError::NoVariable { .. }
            | SecretError::EmptyVariable { .. }
            | SecretError::Tilde { .. }
            | SecretError::File { .. } => AppError::Environment(error.to_string()),
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
        let value = Zeroizing::new(std::env::var(name).map_err(missing)?);
        if value.trim().is_empty() && is_variable_name(name) {
            return Err(SecretError::EmptyVariable { name: name.to_owned(), what });
        }
        value
    } else {
        let path = reference.strip_prefix("file:").ok_or(SecretError::Literal(what))?;
        let failed = |source| match path.starts_with("~/") {
            true => SecretError::Tilde { what, path: path.to_owned(), source },
            false => SecretError::File { what, source },
        };
        let bytes = Zeroizing::new(std::fs::read(path).map_err(failed)?);
        let text = text_file::decode(&bytes).map_err(|error| failed(error.into()))?;
        if text.trim().is_empty() {
            return Err(failed(io::Error::other("the file is empty")));
        }
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
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let empty = read(&format!("file:{}", empty.display()), "the key").unwrap_err().to_string();
        assert_eq!(empty, "cannot read the key from file:PATH: the file is empty");
        let tilde = read("file:~/no-such-key", "the key").unwrap_err().to_string();
        assert!(
            tilde.starts_with("cannot read the key from the file ~/no-such-key: ")
                && tilde.ends_with(". The shell does not expand ~ after file: ; write $HOME"),
            "{tilde}"
        );
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
