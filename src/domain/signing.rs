//! Signatures of Standard Webhooks: who has the secret can tell that a request is ours, or that one is an order
//! system's, and when it was sent.
//!
//! What is signed is `id.timestamp.body`. A secret `whsec_…` (base64 of 24 to 64 bytes) makes HMAC-SHA256 signatures
//! (`v1,`); a key `whsk_…` (base64 of an Ed25519 seed of 32 bytes, or of seed and public key) makes Ed25519 ones
//! (`v1a,`). While a secret is changed there are several: a request carries a signature of each, and one that holds
//! suffices.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use secrecy::SecretSlice;
use sha2::Sha256;

use super::clock::Timestamp;

/// How far the time of a signature may be from now, either way: against requests that are played back.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The secrets of one party, in their order.
pub struct SigningKeys {
    keys: Vec<Key>,
    secrets: Vec<SecretSlice<u8>>,
}

enum Key {
    Symmetric(Box<Hmac<Sha256>>),
    Pair(Box<Ed25519KeyPair>),
    /// Can check, but not sign.
    Public([u8; 32]),
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// A header is missing.
    #[error("webhook-id, webhook-timestamp and webhook-signature are required")]
    Missing,
    /// The time is no number of seconds.
    #[error("webhook-timestamp is not a number of seconds since 1970")]
    Time,
    /// The time is too far away.
    #[error("webhook-timestamp is more than 5 minutes from now")]
    Stale,
    /// No signature is by a secret known here.
    #[error("no signature in webhook-signature matches a secret")]
    Unknown,
}

impl SigningKeys {
    /// Reads secrets as they are configured. `Err` is the position of the first wrong one, and what is wrong with it.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, &'static str)> {
        let mut all = Self { keys: Vec::new(), secrets: Vec::new() };
        for (at, secret) in secrets.into_iter().enumerate() {
            let key = key(secret).map_err(|problem| (at, problem))?;
            if !matches!(key, Key::Public(_)) {
                let (_, text) = secret.split_once('_').unwrap_or_default();
                let bytes = STANDARD.decode(text).unwrap_or_default();
                all.secrets
                    .extend([secret.as_bytes().to_vec(), text.as_bytes().to_vec(), bytes].map(SecretSlice::from));
            }
            all.keys.push(key);
        }
        Ok(all)
    }

    /// What must not be shown: the secrets and private keys as configured, without their prefix, and decoded.
    pub fn secrets(&self) -> &[SecretSlice<u8>] {
        &self.secrets
    }

    /// What there is of each kind: `2 HMAC secrets, 1 Ed25519 key`.
    pub fn describe(&self) -> String {
        let pairs = self.keys.iter().filter(|key| !matches!(key, Key::Symmetric(_))).count();
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            many => Some(format!("{many} {what}s")),
        };
        let secrets = counted(self.keys.len() - pairs, "HMAC secret");
        secrets.into_iter().chain(counted(pairs, "Ed25519 key")).collect::<Vec<_>>().join(", ")
    }

    /// Whether there are only keys that can sign. `Err` is the position of one that cannot.
    pub fn can_sign(&self) -> Result<(), usize> {
        self.keys.iter().position(|key| matches!(key, Key::Public(_))).map_or(Ok(()), Err)
    }

    /// The value of `webhook-signature`: a signature by each key.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut text = String::with_capacity(self.keys.len() * 96);
        let head = format!("{id}.{seconds}.");
        for key in &self.keys {
            let (version, signature) = match key {
                Key::Symmetric(mac) => {
                    let code = Hmac::clone(mac).chain_update(head.as_bytes()).chain_update(body).finalize();
                    ("v1,", STANDARD.encode(code.into_bytes()))
                }
                Key::Pair(pair) => ("v1a,", STANDARD.encode(pair.sign(&[head.as_bytes(), body].concat()))),
                Key::Public(_) => continue,
            };
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(version);
            text.push_str(&signature);
        }
        text
    }

    /// Checks that one of the signatures holds and is of this time. Returns until when it holds. The parts are the
    /// headers' values.
    pub fn verify(
        &self,
        id: Option<&str>,
        seconds: Option<&str>,
        signatures: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Timestamp, SignatureFault> {
        let (Some(id), Some(seconds), Some(signatures)) = (id, seconds, signatures) else {
            return Err(SignatureFault::Missing);
        };
        let at: i64 = seconds.parse().map_err(|_| SignatureFault::Time)?;
        if now.as_secs().abs_diff(at) > TOLERANCE.as_secs() {
            return Err(SignatureFault::Stale);
        }
        let head = format!("{id}.{seconds}.");
        let mut holds = false;
        for signature in signatures.split_ascii_whitespace().take(16) {
            let Some((version, code)) = signature.split_once(',') else { continue };
            let Ok(code) = STANDARD.decode(code) else { continue };
            for key in &self.keys {
                holds |= match (version, key) {
                    ("v1", Key::Symmetric(mac)) => {
                        Hmac::clone(mac).chain_update(head.as_bytes()).chain_update(body).verify_slice(&code).is_ok()
                    }
                    ("v1a", Key::Pair(pair)) => holds_by(pair.public_key().as_ref(), &head, body, &code),
                    ("v1a", Key::Public(public)) => holds_by(public, &head, body, &code),
                    _ => false,
                };
            }
        }
        if !holds {
            return Err(SignatureFault::Unknown);
        }
        // It is taken in the whole second in which it runs out.
        Ok(Timestamp::from_millis(at.saturating_mul(1000)).after(TOLERANCE + Duration::from_secs(1)))
    }
}

fn holds_by(public: &[u8], head: &str, body: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(&[head.as_bytes(), body].concat(), signature).is_ok()
}

fn key(secret: &str) -> Result<Key, &'static str> {
    let decode = |text: &str| {
        STANDARD.decode(text).map_err(|_| "the text after the prefix is not base64; copy the whole secret")
    };
    if let Some(text) = secret.strip_prefix("whsec_") {
        let secret = decode(text)?;
        if !(24..=64).contains(&secret.len()) {
            return Err("a secret is 24 to 64 bytes, in base64");
        }
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&secret).map_err(|_| "not a secret of HMAC")?;
        Ok(Key::Symmetric(Box::new(mac)))
    } else if let Some(text) = secret.strip_prefix("whsk_") {
        let bytes = decode(text)?;
        let pair = match bytes.split_at_checked(32) {
            Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
            Some((seed, public)) if public.len() == 32 => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            _ => return Err("a private key is an Ed25519 seed of 32 bytes, or that and the public key, in base64"),
        };
        pair.map(|pair| Key::Pair(Box::new(pair)))
            .map_err(|_| "the seed and the public key do not match; give only the seed")
    } else if let Some(text) = secret.strip_prefix("whpk_") {
        let public = decode(text)?.try_into().map_err(|_| "a public key is 32 bytes, in base64")?;
        Ok(Key::Public(public))
    } else {
        Err("begins with whsec_ (a shared secret) or whsk_ (an Ed25519 key)")
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({} ***)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);

    fn keys(secrets: &[&str]) -> SigningKeys {
        SigningKeys::new(secrets.iter().copied()).unwrap()
    }

    fn check(keys: &SigningKeys, seconds: i64, signatures: &str, body: &[u8]) -> Result<(), SignatureFault> {
        keys.verify(Some("msg_p5jXN8AQM9LWM0D4loKWxJek"), Some(&seconds.to_string()), Some(signatures), body, NOW)
            .map(|until| assert!(until > NOW, "{until:?}"))
    }

    #[test]
    fn the_specifications_example_is_signed_as_there() {
        // The example of the Standard Webhooks specification and of its libraries' tests.
        let signature = keys(&[SECRET]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_of_the_wrong_form_are_refused_and_never_shown() {
        let seed = STANDARD.encode([7; 32]);
        let public = STANDARD.encode(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap().public_key().as_ref());
        let both = STANDARD.encode(
            [&[7; 32][..], Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap().public_key().as_ref()].concat(),
        );
        for fine in [SECRET.to_owned(), format!("whsk_{seed}"), format!("whsk_{both}"), format!("whpk_{public}")] {
            assert!(SigningKeys::new([fine.as_str()]).is_ok(), "{fine}");
        }
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_c2hvcnQ="]
        {
            assert_eq!(SigningKeys::new([SECRET, wrong]).unwrap_err().0, 1, "{wrong}");
        }
        let other = format!("whsk_{}", STANDARD.encode([7; 64]));
        assert!(SigningKeys::new([other.as_str()]).is_err(), "a public key of another seed");
        assert_eq!(format!("{:?}", keys(&[SECRET])), "SigningKeys(1 ***)");
        assert_eq!(keys(&[SECRET, &format!("whpk_{public}")]).can_sign(), Err(1));
    }

    #[test]
    fn while_a_secret_is_changed_the_old_and_the_new_one_hold() {
        let (old, new) = (SECRET, "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        let signed = keys(&[new, old]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{}");
        assert_eq!(signed.split(' ').count(), 2);
        for receiver in [&[old][..], &[new], &[old, new]] {
            assert_eq!(check(&keys(receiver), 1_614_265_330, &signed, b"{}"), Ok(()));
        }
        assert_eq!(check(&keys(&[old]), 1_614_265_330, &signed, b"{ }"), Err(SignatureFault::Unknown));
        assert_eq!(check(&keys(&[old]), 1_614_265_331, &signed, b"{}"), Err(SignatureFault::Unknown));
        assert_eq!(check(&keys(&[old]), 1_614_265_029, &signed, b"{}"), Err(SignatureFault::Stale));
        assert_eq!(check(&keys(&[old]), 1_614_265_631, &signed, b"{}"), Err(SignatureFault::Stale));
        assert_eq!(check(&keys(&[old]), -1_614_265_330, &signed, b"{}"), Err(SignatureFault::Stale));
        assert_eq!(keys(&[old]).verify(None, Some("1"), Some("v1,"), b"", NOW), Err(SignatureFault::Missing));
        assert_eq!(keys(&[old]).verify(Some("a"), Some("x"), Some("v1,"), b"", NOW), Err(SignatureFault::Time));
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_check(id in ".{0,20}", seconds in "-?[0-9]{0,25}|.{0,9}", signatures in "(v1,|v1a,|[A-Za-z0-9+/=]{1,50}| |.){0,9}") {
            let known = keys(&[SECRET, "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="]);
            let checked = known.verify(Some(&id), Some(&seconds), Some(&signatures), b"{}", NOW);
            prop_assert!(checked.is_err());
        }
    }
}
