//! Any query of a list, its cursor included: an error or a page, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::api::fuzzed;

fuzz_target!(|query: &str| {
    fuzzed::query(query);
    fuzzed::query(&format!("cursor={query}"));
});
