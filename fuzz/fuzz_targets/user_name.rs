//! Any text as CONNECT's user name. It must not panic; the parts that it gives are parts of the text, the ids are ids, and
//! the name that a device of these parts would send means the same.
#![no_main]

use hubstorm::iothub::names::{API_VERSION, UserName, is_device_id, parse_user_name, user_name};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(UserName { host, device, module, .. }) = parse_user_name(text) else { return };
    assert!(text.starts_with(host) && !host.is_empty());
    assert!(is_device_id(device) && module.is_none_or(is_device_id), "{text:?}");
    let again = user_name(host, device);
    let expected = UserName { host, device, module: None, api_version: Some(API_VERSION.to_owned()) };
    assert_eq!(parse_user_name(&again), Ok(expected));
});
