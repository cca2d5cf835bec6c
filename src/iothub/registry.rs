//! Parses device identities in JSON. A registry export from the job `ExportDevices` has one object per line (Azure: "Import and export IoT
//! Hub device identities in bulk"); `az iot hub device-identity list` prints a list. Used by `plan` for credential files.
//!
//! Errors never repeat a value, because any value may be a secret. This file must not access the file system.

use serde::Deserialize;
use zeroize::Zeroizing;

/// The text is not a registry export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The text is not a JSON object with an id, or a known member has the wrong type.
    #[error("not an exported device: invalid JSON at character {column}")]
    Json {
        /// Character in the line at which the parser stopped.
        column: usize,
    },
}

/// An exported identity.
#[derive(PartialEq, Eq)]
pub enum Exported {
    /// A device that can connect with its key.
    Device {
        /// Device id.
        id: String,
        /// Primary key in base64, not checked yet.
        key: Zeroizing<String>,
    },
    /// An identity without a usable key: disabled, with a certificate, exported without keys, or a module.
    Unusable,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(alias = "deviceId")]
    id: String,
    #[serde(default)]
    module_id: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    authentication: Option<Authentication>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    #[serde(default)]
    symmetric_key: Option<SymmetricKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SymmetricKey {
    #[serde(default)]
    primary_key: Option<Zeroizing<String>>,
}

/// Parses one line. Ignores unknown members.
///
/// # Errors
/// The line is not an exported device; see [`ExportError`].
pub fn parse_line(line: &str) -> Result<Exported, ExportError> {
    serde_json::from_str(line).map(exported).map_err(|error| ExportError::Json { column: error.column() })
}

/// Parses a JSON list of identities.
///
/// # Errors
/// The text is not such a list. Returns the line at which the parser stopped, counted from 1, and the error.
pub fn parse_list(text: &str) -> Result<Vec<Exported>, (usize, ExportError)> {
    let lines: Vec<Line> = serde_json::from_str(text)
        .map_err(|error| (error.line(), ExportError::Json { column: error.column() }))?;
    Ok(lines.into_iter().map(exported).collect())
}

fn exported(line: Line) -> Exported {
    let enabled = line.status.is_none_or(|status| status.eq_ignore_ascii_case("enabled"));
    let module = line.module_id.is_some_and(|id| !id.is_empty());
    let key = line.authentication.and_then(|it| it.symmetric_key).and_then(|it| it.primary_key);
    match key.filter(|key| enabled && !module && !key.is_empty()) {
        Some(key) => Exported::Device { id: line.id, key },
        None => Exported::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_has_its_primary_key() {
        let line = r#"{"id":"dev-1","eTag":"MQ==","status":"enabled","twinETag":"AA==","tags":{"a":1},
            "authentication":{"symmetricKey":{"primaryKey":"AAEC","secondaryKey":"AwQF"},"type":"sas"}}"#;
        let Ok(Exported::Device { id, key }) = parse_line(line) else { panic!("a device") };
        assert_eq!((id.as_str(), key.as_str()), ("dev-1", "AAEC"));
    }

    #[test]
    fn identities_without_a_usable_key_are_not_errors() {
        for line in [
            r#"{"id":"d"}"#,
            r#"{"id":"d","authentication":{"symmetricKey":{"primaryKey":null}}}"#,
            r#"{"id":"d","authentication":{"symmetricKey":null,"x509Thumbprint":{}}}"#,
            r#"{"id":"d","status":"disabled","authentication":{"symmetricKey":{"primaryKey":"AAEC"}}}"#,
            r#"{"id":"d","moduleId":"m","authentication":{"symmetricKey":{"primaryKey":"AAEC"}}}"#,
        ] {
            assert!(parse_line(line) == Ok(Exported::Unusable), "{line}");
        }
    }

    #[test]
    fn list_errors_have_a_line_number() {
        let list = "[\n {\"deviceId\":\"a\",\"moduleId\":null,\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"AAEC\"}}},\n\
                    {\"deviceId\":\"b\",\"status\":\"disabled\"}]\n";
        let read = parse_list(list);
        let Ok([Exported::Device { id, .. }, Exported::Unusable]) = read.as_deref() else {
            panic!("a device and a disabled device")
        };
        assert_eq!(id, "a");
        assert!(matches!(parse_list("[]").as_deref(), Ok([])));
        assert_eq!(parse_list(&list.replace("\"b\"", "hunter2")).err().unwrap().0, 3);
        assert!(parse_list(&list[..40]).is_err() && parse_list(&format!("{list}x")).is_err());
    }

    #[test]
    fn errors_name_the_character_but_not_the_text() {
        for line in ["{", r#"{"id":5,"key":"hunter2"}"#, r#"{"key":"hunter2"}"#, "[]", r#"{"id":"hunter2"#] {
            let error = parse_line(line).err().unwrap().to_string();
            assert!(error.contains("at character") && !error.contains("hunter2"), "{error}");
        }
    }
}
