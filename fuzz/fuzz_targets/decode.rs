//! Any bytes into `wire::decode`, in both strictnesses. It must not panic, must not consume what is incomplete, and
//! strict must never accept what lenient does not.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hubstorm::wire::check_decode(data));
