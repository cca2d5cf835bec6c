//! Checks properties that must hold when [`decode`] reads any input. Used by the fuzz target `decode` and by the test that runs its corpus.

use super::decode::decode;
use super::strict::Strictness;
use bytes::BytesMut;

/// A small limit, so that the fuzzer finds frames that exceed it.
const FRAME_BYTES_MAX: usize = 4096;

/// Decodes `bytes` leniently and strictly.
///
/// # Panics
/// If an incomplete packet changed the input, a packet consumed no bytes, or the strict decoder returned something other than the
/// lenient one.
pub fn check_decode(bytes: &[u8]) {
    let mut strict = BytesMut::from(bytes);
    let mut lenient = BytesMut::from(bytes);
    let mut strict_has_failed = false;
    loop {
        let before = lenient.len();
        let read = decode(&mut lenient, FRAME_BYTES_MAX, Strictness::Lenient);
        if !strict_has_failed {
            match decode(&mut strict, FRAME_BYTES_MAX, Strictness::Strict) {
                Err(_) => strict_has_failed = true,
                same => assert_eq!(same, read, "both decoders return the same packet"),
            }
        }
        match read {
            Ok(Some(_)) => assert!(lenient.len() < before, "a packet consumes bytes"),
            Ok(None) => {
                assert_eq!(lenient.len(), before, "an incomplete packet leaves the input unchanged");
                return;
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn decoder_rules_hold_for_the_fuzz_corpus() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode");
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            check_decode(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 20, "{files} files in {}", folder.display());
    }
}
