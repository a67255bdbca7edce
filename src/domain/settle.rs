//! Keys by which a receiver that answered 202 says later what became of a delivery, without a token of the API.
//!
//! A delivery's key is the HMAC-SHA256 of its id under the store's secret: it holds across restarts and replicas,
//! nothing has to be kept for it, and it is of no use for any other delivery.

use std::fmt;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::ids::DeliveryId;

/// Makes and checks the keys of deliveries.
#[derive(Clone)]
pub struct SettleKeys(Hmac<Sha256>);

impl SettleKeys {
    /// The keys under a store's secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        // HMAC fills a key up with zeroes to the hash's block of 64 bytes.
        let mut block = [0; 64];
        block.split_at_mut(secret.len()).0.copy_from_slice(secret);
        Self(Hmac::new(&block.into()))
    }

    /// The key of a delivery: 64 hexadecimal digits.
    pub fn key(&self, delivery: DeliveryId) -> String {
        let code = self.of(delivery).finalize().into_bytes();
        code.iter().fold(String::with_capacity(64), |mut key, byte| {
            key.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
            key
        })
    }

    /// Whether `key` is that of this delivery. Takes as long for any wrong key.
    pub fn is_key(&self, key: &str, delivery: DeliveryId) -> bool {
        let mut code = [0u8; 32];
        if key.len() != 2 * code.len() || !key.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return false;
        }
        for (byte, digits) in code.iter_mut().zip(key.as_bytes().chunks(2)) {
            let text = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(text, 16).unwrap_or_default();
        }
        self.of(delivery).verify_slice(&code).is_ok()
    }

    fn of(&self, delivery: DeliveryId) -> Hmac<Sha256> {
        self.0.clone().chain_update(delivery.to_bytes())
    }
}

impl fmt::Debug for SettleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettleKeys(***)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_the_hmac_of_the_id() {
        // Made with Python's hmac.new(bytes(range(32)), bytes(16), "sha256").
        let keys = SettleKeys::new(&std::array::from_fn(|at| at as u8));
        let key = keys.key(DeliveryId::from_u128(0));
        assert_eq!(key, "ff921230177d146ee8401eb82173128410002ba6f997e8e837e804407c8cdd38");
    }

    proptest! {
        #[test]
        fn a_key_opens_its_own_delivery_alone(secret: [u8; 32], other: [u8; 32], one: u128, two: u128) {
            let keys = SettleKeys::new(&secret);
            let (one, two) = (DeliveryId::from_u128(one), DeliveryId::from_u128(two));
            let key = keys.key(one);
            prop_assert_eq!(key.len(), 64);
            prop_assert!(keys.is_key(&key, one));
            prop_assert_eq!(keys.is_key(&key, two), one == two);
            prop_assert_eq!(SettleKeys::new(&other).is_key(&key, one), secret == other);
            prop_assert!(!keys.is_key(&key.to_uppercase(), one) || key.chars().all(|c| c.is_ascii_digit()));
        }

        #[test]
        fn any_text_is_a_key_or_is_not(text in ".{0,70}|[0-9a-f]{64}|[0-9a-f]{62}.") {
            prop_assert!(!SettleKeys::new(&[1; 32]).is_key(&text, DeliveryId::from_u128(1)));
        }
    }
}
