//! The order that everything here sends: about 1 KB of JSON with a number of its own.
//!
//! The number stands at the front as `"n":1000000042`, always ten digits, so that a prepared request is patched in
//! place and the sink finds it again within the first bytes of whatever carries the order.

/// What stands in front of an order's number. The number's first digit is always 1.
const MARK: &[u8] = b"\"n\":1";
/// Digits behind the leading 1.
const DIGITS: usize = 9;

const TEMPLATE: &str = r#"{"n":1000000000,"id":"SO-1000000000","type":"new","created_at":"2025-11-20T09:41:07Z","currency":"EUR","total":148.7,"customer":{"id":"C-77120","name":"Annegret Köhler","email":"annegret.koehler@example.com","phone":"+49 30 5550142","language":"de-DE"},"billing_address":{"street":"Lindenallee 14","postal_code":"10115","city":"Berlin","country":"DE"},"shipping_address":{"street":"Hafenstrasse 3","postal_code":"20457","city":"Hamburg","country":"DE"},"items":[{"product_id":"LICENSE-PRO","description":"Professional license, one year","quantity":1,"unit_price":99.0,"tax_rate":0.19},{"product_id":"SUPPORT-12","description":"Support with answers the same day","quantity":1,"unit_price":39.9,"tax_rate":0.19},{"product_id":"CARD-A5","description":"Printed welcome card","quantity":2,"unit_price":4.9,"tax_rate":0.07}],"payment":{"method":"sepa","reference":"MND-2025-004417","status":"authorised"},"channel":"web","note":"Please ring twice, the bell is quiet.","tags":["returning","newsletter"],"accepted_terms":true}"#;

/// A prepared message that carries an order; only the number changes.
#[derive(Debug, Clone)]
pub struct Prepared {
    bytes: Vec<u8>,
    numbers: [usize; 2],
}

impl Prepared {
    /// The bare order.
    pub fn body() -> Self {
        Self::with_head(String::new())
    }

    /// A whole POST request to `path` that carries the order.
    pub fn request(host: &str, path: &str) -> Self {
        Self::with_head(format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            TEMPLATE.len()
        ))
    }

    fn with_head(head: String) -> Self {
        let at = |text: &str| head.len() + TEMPLATE.find(text).unwrap_or_default() + text.len();
        let numbers = [at("\"n\":1"), at("\"id\":\"SO-1")];
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(TEMPLATE.as_bytes());
        Self { bytes, numbers }
    }

    /// The message for order `number`, below 10⁹.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        for at in self.numbers {
            let mut rest = number;
            for digit in self.bytes[at..at + DIGITS].iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
        }
        &self.bytes
    }
}

/// The number of the order that `message` carries.
pub fn number(message: &[u8]) -> Option<u64> {
    let at = message.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = message.get(at..at + DIGITS)?;
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}
