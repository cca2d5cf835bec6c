//! Any text as the user name of a CONNECT. It must not panic. The parsed parts are parts of the text, the ids are valid
//! ids, and the user name of a device with these parts has the same meaning.
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
