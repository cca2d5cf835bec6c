//! Any text as a property bag. It must not panic, and what it says can be written and read again without a difference.
#![no_main]

use hubstorm::iothub::properties::{decode, encode};

libfuzzer_sys::fuzz_target!(|bag: &str| {
    let Ok(properties) = decode(bag) else { return };
    // Writing knows no property without a value.
    let written: Vec<(String, String)> =
        properties.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    let read = decode(&encode(&written)).expect("what is written here is UTF-8");
    assert!(read.into_iter().map(|(name, value)| (name, value.expect("written with one"))).eq(written));
});
