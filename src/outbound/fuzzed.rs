//! What fuzz targets and tests see of the readers of this module.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::{auth, retry_after as reader};
use crate::domain::Timestamp;

fn headers(name: &HeaderName, value: &[u8]) -> HeaderMap {
    HeaderValue::from_bytes(value).into_iter().map(|value| (name.clone(), value)).collect()
}

/// Returns how long `Retry-After` asks to wait.
pub fn retry_after(value: &[u8], now: Timestamp) -> Option<std::time::Duration> {
    reader::retry_after(&headers(&RETRY_AFTER, value), now)
}

/// Returns the first schemes that `WWW-Authenticate` offers, as a sentence has them.
pub fn challenges(value: &[u8]) -> String {
    auth::fuzzed::challenges(&headers(&WWW_AUTHENTICATE, value))
}

/// Returns message 3 of NTLM in answer to message 2, if that can be read.
pub fn ntlm(message: &[u8]) -> Option<Vec<u8>> {
    auth::fuzzed::ntlm(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = retry_after(&bytes, Timestamp::from_millis(0));
            let _ = challenges(&bytes);
            let _ = ntlm(&[b"NTLMSSP\0\x02\0\0\0", &bytes[..]].concat());
        }
    }
}
