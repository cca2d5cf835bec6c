//! Any bytes as input of `wire::decode`, strict and lenient. It must not panic or consume an incomplete packet, and
//! strict decoding must accept nothing that lenient decoding refuses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hubstorm::wire::check_decode(data));
