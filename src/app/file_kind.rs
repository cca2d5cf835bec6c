//! The kinds of JSON files that hubstorm writes, recognized by their schema. Used by the commands that read files, to name a file of the wrong
//! kind and the command for it.

use super::shell::shell_word;
use crate::text_file;

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// The result of `run`.
    Run,
    /// The comparison of two runs.
    Comparison,
    /// The result of `capacity`.
    Capacity,
    /// The comparison of two capacity results.
    CapacityComparison,
    /// The output of `plan`.
    Plan,
}

impl FileKind {
    /// Returns the kind of a file with this content. `None` if it is not JSON, or has another schema.
    pub(super) fn of(bytes: &[u8]) -> Option<FileKind> {
        #[derive(serde::Deserialize)]
        struct Head {
            schema: String,
        }
        let text = text_file::decode(bytes).ok()?;
        FileKind::of_schema(&serde_json::from_str::<Head>(text).ok()?.schema)
    }

    /// Returns the kind with this schema, of any version.
    fn of_schema(schema: &str) -> Option<FileKind> {
        let (name, version) = schema.rsplit_once(".v")?;
        version.parse::<u32>().ok()?;
        match name {
            "hubstorm.result" => Some(FileKind::Run),
            "hubstorm.compare" => Some(FileKind::Comparison),
            "hubstorm.capacity" => Some(FileKind::Capacity),
            "hubstorm.capacity-comparison" => Some(FileKind::CapacityComparison),
            "hubstorm.plan" => Some(FileKind::Plan),
            _ => None,
        }
    }

    /// Says that a file of this kind is not the expected one, and which command to use instead.
    pub(super) fn instead_of(self, expected: &str, file: &str) -> String {
        let word = shell_word(file);
        let (name, fix) = match self {
            FileKind::Run => ("a result file", format!("To render it:  hubstorm report {word}")),
            FileKind::Capacity => ("a capacity result", format!("To render it:  hubstorm report {word}")),
            FileKind::Comparison => (
                "a comparison",
                "To render a comparison:  hubstorm compare BASE.json NEW.json --export FILE".to_owned(),
            ),
            FileKind::CapacityComparison => (
                "a comparison of capacity results",
                "To render a comparison:  hubstorm compare BASE.json NEW.json --export FILE".to_owned(),
            ),
            FileKind::Plan => {
                ("a capacity plan", "To render a plan:  hubstorm plan SCENARIO --export FILE".to_owned())
            }
        };
        format!("{file} is {name}, not {expected}. {fix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_recognized_by_their_schema() {
        for (text, expected) in [
            (r#"{"verdict": {}, "schema": "hubstorm.result.v1"}"#, Some(FileKind::Run)),
            (r#"{"schema": "hubstorm.compare.v1"}"#, Some(FileKind::Comparison)),
            ("\u{feff}{\"schema\": \"hubstorm.capacity.v2\"}", Some(FileKind::Capacity)),
            (r#"{"schema":"hubstorm.capacity-comparison.v1"}"#, Some(FileKind::CapacityComparison)),
            (r#"{"schema": "hubstorm.plan.v1"}"#, Some(FileKind::Plan)),
            (r#"{"schema": "hubstorm.plan.vx"}"#, None),
            (r#"{"schema": 1}"#, None),
            (r#"{"schema": "hubstorm.plan.v1""#, None),
            ("seed = 1", None),
        ] {
            assert_eq!(FileKind::of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn mistaken_file_has_its_command() {
        assert_eq!(
            FileKind::Capacity.instead_of("a scenario", "a b.json"),
            "a b.json is a capacity result, not a scenario. To render it:  hubstorm report 'a b.json'"
        );
        assert!(FileKind::Plan.instead_of("a result", "p.json").contains("hubstorm plan SCENARIO --export"));
    }
}
