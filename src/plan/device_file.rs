//! Reads a file that lists devices with their keys, for `hubstorm emulator --devices`. The bytes of the file come in, and the list or all
//! problems go out. Called by `app`. `credentials` parses the lines, as it does for the fleets of a scenario.
//!
//! Must not access the file system.

use super::credentials::{self, BadLine, CredentialFormat, DeviceList, REPORTED_LINES_MAX, WITHOUT_KEYS_FIX};

/// The problems of a file that lists devices, one per line. Never quotes the file, which contains keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct DeviceFileError(Vec<String>);

/// Parses a file that lists devices with their keys. `file` names it in errors and in the notes of the list.
///
/// # Errors
/// A line is invalid, or the file contains no device with a key.
pub fn parse_device_file(file: &str, bytes: &[u8]) -> Result<DeviceList, DeviceFileError> {
    let format = CredentialFormat::Keys { hosts: &[] };
    let parsed = credentials::parse(bytes, format);
    if !parsed.bad_lines.is_empty() {
        let problem = |bad: &BadLine| {
            format!("{}: {}; {}", credentials::place(file, bad), bad.refusal.what, bad.refusal.fix)
        };
        let mut problems: Vec<String> =
            parsed.bad_lines.iter().take(REPORTED_LINES_MAX).map(problem).collect();
        if let Some(more) = parsed.bad_lines.len().checked_sub(REPORTED_LINES_MAX).filter(|more| *more > 0) {
            problems.push(format!("{file}: {more} more invalid lines"));
        }
        if parsed.bad_lines.iter().any(|bad| bad.refusal.is_format) {
            problems.push(format!("a line may be {}", format.allowed()));
        }
        return Err(DeviceFileError(problems));
    }
    if let Some(what) = credentials::without_keys(&parsed) {
        return Err(DeviceFileError(vec![format!("{file} {what}; {WITHOUT_KEYS_FIX}")]));
    }
    if parsed.devices.is_empty() {
        let skipped = credentials::skipped(&parsed.oddities);
        let skipped = skipped.map_or_else(String::new, |skipped| format!(" (skipped: {skipped})"));
        let problem =
            format!("{file} contains no devices{skipped}; add a line for each device: {}", format.allowed());
        return Err(DeviceFileError(vec![problem]));
    }
    let notes = credentials::notes(&parsed.oddities, file);
    Ok(parsed.devices.with_messages(Vec::new(), notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "aHVudGVyMmh1bnRlcjJ4eA==";

    fn parse(text: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let list = parse_device_file("d.csv", text.replace("KEY", KEY).as_bytes());
        let list = list.map_err(|error| error.to_string())?;
        let ids = (0..).map(|index| list.id(index).to_owned()).take_while(|id| !id.is_empty()).collect();
        Ok((ids, list.notes().to_vec()))
    }

    #[test]
    fn csv_connection_strings_and_exports_list_devices() {
        for text in [
            "d1,KEY\nd2,KEY\n",
            "deviceId;primaryKey\nd1;KEY\nd2;KEY\n",
            "HostName=a.example;DeviceId=d1;SharedAccessKey=KEY\nHostName=b.example;DeviceId=d2;SharedAccessKey=KEY\n",
            "{\"id\":\"d1\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"KEY\"}}}\n\
             {\"id\":\"d2\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"KEY\"}}}\n",
        ] {
            let (ids, notes) = parse(text).unwrap();
            assert_eq!((ids, notes), (vec!["d1".to_owned(), "d2".to_owned()], vec![]), "{text}");
        }
        let (ids, notes) = parse("id,key,status\nd1,KEY,enabled\nd2,KEY,disabled\n").unwrap();
        assert_eq!(
            (ids.len(), notes[0].as_str()),
            (1, "d.csv: skipped identities that cannot connect: 1 disabled")
        );
    }

    #[test]
    fn useless_files_are_refused_with_a_fix() {
        let many = "d,\n".repeat(7);
        for (text, parts) in [
            ("", &["d.csv contains no devices; add a line for each device: id,key"][..]),
            (
                "{\"id\":\"d1\"}\n",
                &["d.csv contains identities, but not their keys; write all devices with their keys"],
            ),
            (
                "[{\"deviceId\":\"d1\",\"authenticationType\":\"sas\"}]",
                &["d.csv contains twins", "twins contain no keys"],
            ),
            (
                "d1,KEY\nd1,KEY\n",
                &["d.csv:2: duplicate id, first used in line 1; remove this line or line 1"],
            ),
            (
                "d1\nd2\n",
                &[
                    "d.csv:1: expected 2 fields (id, key), found 1",
                    "\na line may be id,key; a connection string",
                ],
            ),
            (&many, &["d.csv:1: the key is missing", "\nd.csv:5: ", "\nd.csv: 2 more invalid lines"]),
        ] {
            let error = parse(text).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
            assert!(!error.contains("aHVu"), "{error}");
        }
    }
}
