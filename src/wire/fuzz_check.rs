//! The rules that [`decode`] keeps for any bytes: the body of the fuzz target, and of the test that walks its corpus.

use super::decode::decode;
use super::strict::Strictness;
use bytes::BytesMut;

/// Small enough for a fuzzer to go beyond it.
const FRAME_BYTES_MAX: usize = 4096;

/// Reads `bytes` in both strictnesses.
///
/// # Panics
/// A rule is broken: an incomplete packet was touched, a packet consumed nothing, or strict read what lenient did not.
pub fn check_decode(bytes: &[u8]) {
    let mut strict = BytesMut::from(bytes);
    let mut lenient = BytesMut::from(bytes);
    let mut agree = true;
    loop {
        let before = lenient.len();
        let read = decode(&mut lenient, FRAME_BYTES_MAX, Strictness::Lenient);
        if agree {
            match decode(&mut strict, FRAME_BYTES_MAX, Strictness::Strict) {
                Err(_) => agree = false,
                same => assert_eq!(same, read, "strict accepts only what lenient does"),
            }
        }
        match read {
            Ok(Some(_)) => assert!(lenient.len() < before, "a packet consumes something"),
            Ok(None) => {
                assert_eq!(lenient.len(), before, "an incomplete packet is left as it is");
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
    fn the_fuzz_corpus() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode");
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            check_decode(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 20, "{files} files in {}", folder.display());
    }
}
