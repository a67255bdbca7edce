//! Any bytes as JSON: what is taken is what serde_json takes, and it is the same once it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::domain::json;
use serde::de::IgnoredAny;

fuzz_target!(|data: &[u8]| {
    // serde_json does not look into strings that it ignores.
    let taken = std::str::from_utf8(data).is_ok() && serde_json::from_slice::<IgnoredAny>(data).is_ok();
    match json::read(data, json::MAX_DEPTH) {
        Ok(value) => {
            assert!(taken);
            let written = serde_json::to_string(&value).expect("a value");
            assert_eq!(json::read(written.as_bytes(), json::MAX_DEPTH).as_ref(), Ok(&value));
        }
        Err(json::Unreadable::TooDeep(_)) => assert!(taken),
        Err(json::Unreadable::Invalid(_)) => assert!(!taken),
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(unquoted) = json::unquoted(text)
    {
        assert!(unquoted.len() <= text.len());
    }
});
