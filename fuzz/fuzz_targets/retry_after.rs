//! Any value of `Retry-After`, a number or an HTTP date: never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::domain::Timestamp;
use orderhook::outbound::fuzzed;

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_millis(1_800_000_000_000);
    if let Some(wait) = fuzzed::retry_after(data, now) {
        let _ = now.after(wait);
    }
});
