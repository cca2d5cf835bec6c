//! Any text as a property bag. It must not panic, and decoded properties must survive encoding and decoding.
#![no_main]

use hubstorm::iothub::properties::{decode, encode};

libfuzzer_sys::fuzz_target!(|bag: &str| {
    let Ok(properties) = decode(bag) else { return };
    // The encoder has no properties without a value.
    let written: Vec<(String, String)> =
        properties.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    let read = decode(&encode(&written)).expect("encoded text is UTF-8");
    assert!(read.into_iter().map(|(name, value)| (name, value.expect("encoded with a value"))).eq(written));
});
