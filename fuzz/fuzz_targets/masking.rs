//! Any secret in any record: never a panic, and nothing of the secret is left as it is.
//!
//! The input is a secret, a NUL, and the response that repeats it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::domain::Exchange;
use orderhook::outbound::hide;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let secret = parts.next().and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default();
    let text = parts.next().unwrap_or_default().to_vec();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for truncated in [false, true] {
        let exchange = Exchange { response_body: text.clone().into(), truncated, ..Exchange::default() };
        let (shown, _) = runtime.block_on(hide(exchange, None, secret.to_owned()));
        // A mask next to what was there may read like a secret that has asterisks.
        if secret.len() >= 4 && !secret.contains('*') {
            let shown = shown.response_body;
            assert!(!shown.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
});
