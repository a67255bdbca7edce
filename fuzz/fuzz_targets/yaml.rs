//! Any text as a configuration: an error or settings, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::config::{self, Environment};

fuzz_target!(|text: &str| {
    // Files that a configuration names are those of the machine: not for a fuzzer to read.
    if text.contains("_file") {
        return;
    }
    if let Err(errors) = config::load_text("fuzz.yaml", text, &Environment::new()) {
        assert!(!errors.to_string().is_empty());
    }
});
