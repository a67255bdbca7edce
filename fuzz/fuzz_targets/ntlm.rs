//! Any message 2 of NTLM: never a panic, and an answer of bounded length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::outbound::fuzzed;

fuzz_target!(|data: &[u8]| {
    if let Some(answer) = fuzzed::ntlm(data) {
        assert!(answer.starts_with(b"NTLMSSP\0\x03") && answer.len() < data.len() + 512);
    }
});
