//! Text files: bytes in, text or lines out. Every file that a user writes passes through here: scenarios, lists of devices,
//! key files, payload files, results and CA files. Callers read the bytes themselves.
//!
//! Text is UTF-8, with or without a byte order mark. This room must not depend on any other room, and must not open files.

use std::ops::Range;

/// U+FEFF in UTF-8, which some editors write at the start of a file.
const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
/// U+FEFF in UTF-16, little and big endian. PowerShell's `>` writes the little-endian one.
const UTF16_BOMS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A file that is not UTF-8. The message never contains bytes from the file, because they may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// The file begins with a UTF-16 byte order mark.
    #[error("encoded as UTF-16; save the file as UTF-8")]
    Utf16,
    /// The file contains bytes that are not UTF-8.
    #[error("not UTF-8 at byte {byte} of line {line}; save the file as UTF-8")]
    NotUtf8 {
        /// Line number, from 1.
        line: usize,
        /// Position of the first invalid byte within its line, from 1.
        byte: usize,
    },
}

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// A ZIP archive.
    Zip,
}

impl Compression {
    /// Returns the command that decompresses a file.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Compression::Gzip => "gunzip",
            Compression::Zip => "unzip",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zip => "ZIP",
        })
    }
}

/// Returns the compression format of a file, according to its first bytes.
#[must_use]
pub fn compression(bytes: &[u8]) -> Option<Compression> {
    match bytes {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        [b'P', b'K', 3, 4, ..] => Some(Compression::Zip),
        _ => None,
    }
}

/// Returns true for an HTML page, including XHTML. Other text that starts with `<` is XML.
#[must_use]
pub fn is_html(text: &str) -> bool {
    let head: String = text.trim_start().chars().take(1000).collect::<String>().to_ascii_lowercase();
    head.starts_with('<') && (head.contains("<!doctype html") || head.contains("<html"))
}

impl From<EncodingError> for std::io::Error {
    fn from(error: EncodingError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// Returns the text of a file, without its byte order mark.
///
/// # Errors
/// The file is not UTF-8, or it is UTF-16 without a byte order mark: its first two ASCII characters have NULs between them.
pub fn decode(bytes: &[u8]) -> Result<&str, EncodingError> {
    let bytes = skip_bom(bytes)?;
    if matches!(bytes, [a, 0, b, 0, ..] | [0, a, 0, b, ..] if *a != 0 && *b != 0) {
        return Err(EncodingError::Utf16);
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let end = line_end(bytes);
        let line = before.split(|byte| *byte == end).count();
        let start = before.iter().rposition(|byte| *byte == end).map_or(0, |at| at + 1);
        EncodingError::NotUtf8 { line, byte: before.len() - start + 1 }
    })
}

/// Returns the bytes of a file, without its byte order mark. Unlike [`decode`], it does not check that they are UTF-8.
///
/// # Errors
/// The file begins with a UTF-16 byte order mark.
pub fn skip_bom(bytes: &[u8]) -> Result<&[u8], EncodingError> {
    if UTF16_BOMS.iter().any(|bom| bytes.starts_with(bom)) {
        return Err(EncodingError::Utf16);
    }
    Ok(bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes))
}

/// Returns the lines of `text` without their line endings. Lines end with LF or CR LF. If there is no LF at all, they end with CR,
/// as on classic Mac OS. Otherwise, a CR within a line is part of the line.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    line_ranges(text).map(|range| &text[range])
}

/// Returns the byte ranges of the [`lines`] of `text`.
pub fn line_ranges(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let end = line_end(text);
    let mut next = 0;
    text.split(move |byte| *byte == end).map(move |line| {
        let start = next;
        next += line.len() + 1;
        start..start + line.strip_suffix(b"\r").unwrap_or(line).len()
    })
}

fn line_end(text: &[u8]) -> u8 {
    if text.contains(&b'\n') { b'\n' } else { b'\r' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn byte_order_mark_is_removed() {
        assert_eq!(decode(b"\xef\xbb\xbfone"), Ok("one"));
        assert_eq!(decode(b"one\xef\xbb\xbf"), Ok("one\u{feff}"), "only at the start");
        assert_eq!(decode(b"\xef\xbb\xbf"), Ok(""));
        assert_eq!(skip_bom(b"\xef\xbb\xbf\xff"), Ok(&b"\xff"[..]));
    }

    #[test]
    fn utf16_is_recognized() {
        for bytes in [&b"\xff\xfen\0"[..], b"\xfe\xff\0n", b"\xff\xfe"] {
            assert_eq!(decode(bytes), Err(EncodingError::Utf16), "{bytes:?}");
            assert_eq!(skip_bom(bytes), Err(EncodingError::Utf16), "{bytes:?}");
        }
        for bytes in [&b"i\0d\0"[..], b"\0i\0d"] {
            assert_eq!(decode(bytes), Err(EncodingError::Utf16), "without a mark: {bytes:?}");
            assert_eq!(skip_bom(bytes), Ok(bytes), "a payload may contain any bytes");
        }
        assert_eq!(EncodingError::Utf16.to_string(), "encoded as UTF-16; save the file as UTF-8");
    }

    #[test]
    fn invalid_utf8_is_located_by_line_and_byte() {
        for (bytes, line, byte) in [
            (&b"\xff"[..], 1, 1),
            (b"seed = 1\nname = \"K\xfcche\"\n", 2, 10),
            (b"a\r\n\xc3", 2, 1),
            (b"a\rb\rc\xc3", 3, 2),
            (b"\xef\xbb\xbfa\xff", 1, 2),
        ] {
            assert_eq!(decode(bytes), Err(EncodingError::NotUtf8 { line, byte }), "{bytes:?}");
        }
    }

    #[test]
    fn lines_end_with_lf_crlf_or_cr() {
        let all = |text: &'static [u8]| lines(text).collect::<Vec<_>>();
        assert_eq!(all(b"a\n\nb"), [&b"a"[..], b"", b"b"]);
        assert_eq!(all(b"a\r\nb\r\n"), [&b"a"[..], b"b", b""]);
        assert_eq!(all(b"a\rb\r"), [&b"a"[..], b"b", b""]);
        assert_eq!(all(b"a\rb\nc"), [&b"a\rb"[..], b"c"], "a CR within a line of a file with LF");
        assert_eq!(all(b""), [&b""[..]]);
    }

    #[test]
    fn other_file_types_are_recognized() {
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08"[..], Some(Compression::Gzip)),
            (b"PK\x03\x04", Some(Compression::Zip)),
            (b"PK", None),
            (b"", None),
        ] {
            assert_eq!(compression(bytes), expected);
        }
        for (text, expected) in [
            ("\n<!DOCTYPE html>", true),
            ("<html lang=en>", true),
            ("<?xml version=\"1.0\"?><html>", true),
            ("<?xml version=\"1.0\"?><testsuites>", false),
            ("seed = \"<html>\"", false),
        ] {
            assert_eq!(is_html(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            match decode(&bytes) {
                Ok(text) => prop_assert!(bytes.ends_with(text.as_bytes())),
                Err(EncodingError::Utf16) => prop_assert!(skip_bom(&bytes).is_err() || bytes.contains(&0)),
                Err(EncodingError::NotUtf8 { line, byte }) => {
                    let line = lines(skip_bom(&bytes).unwrap()).nth(line - 1).unwrap();
                    prop_assert!(std::str::from_utf8(&line[..byte - 1]).is_ok());
                }
            }
        }
    }
}
