//! Any value of `WWW-Authenticate`: never a panic, and no more challenges than are looked at.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::outbound::fuzzed;

fuzz_target!(|data: &[u8]| {
    let schemes = fuzzed::challenges(data);
    // A comma may be all that stood between two of them.
    assert!(schemes.len() <= 2 * data.len());
});
