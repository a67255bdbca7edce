//! What fuzz targets see of the readers of challenges.

use reqwest::header::HeaderMap;

use super::{challenge, ntlm};

/// The schemes offered.
pub(in crate::outbound) fn challenges(headers: &HeaderMap) -> String {
    challenge::challenges(headers).schemes()
}

/// Message 3 in answer to message 2.
pub(in crate::outbound) fn ntlm(message: &[u8]) -> Option<Vec<u8>> {
    ntlm::fuzzed(message)
}
