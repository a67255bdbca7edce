//! The key that signs assertions (JWS, RFC 7515): read from PEM where the configuration is loaded, so that a wrong one is
//! a fault of the configuration and not of the first order.
//!
//! Signed with AWS-LC, which TLS brings along: all that is needed here is one signature over two pieces of base64. The
//! crates for whole JWTs bring an RSA of their own, or a second TLS library's arithmetic, mostly for reading tokens.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;

/// The shortest secret of HS256, in bytes (RFC 7518, section 3.2).
const SHORTEST_SECRET: usize = 32;

/// How a JWT is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256 (PKCS #1 v1.5).
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Rs256, Self::Es256, Self::EdDsa, Self::Hs256];

    /// Its name, in a configuration and in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    const fn needs(self) -> &'static str {
        match self {
            Self::Rs256 => "an RSA key of 2048 to 8192 bits",
            Self::Es256 => "an EC key on P-256",
            Self::EdDsa => "an Ed25519 key",
            Self::Hs256 => "a secret",
        }
    }
}

/// A key that signs.
#[derive(Clone)]
pub struct JwtKey(Signer);

#[derive(Clone)]
enum Signer {
    Rsa(Arc<RsaKeyPair>),
    Ec(Arc<EcdsaKeyPair>),
    Ed(Arc<Ed25519KeyPair>),
    Hmac(Arc<aws_lc_rs::hmac::Key>, SecretString),
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtKey({})", self.algorithm().as_str())
    }
}

impl JwtKey {
    /// Reads a key: PEM, or for HS256 the secret itself. `Err` says what is wrong, without any of it.
    pub(crate) fn read(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        if algorithm == Algorithm::Hs256 {
            if text.contains("-----BEGIN ") {
                return Err("holds a PEM, but HS256 takes a secret; choose RS256, ES256 or EdDSA".to_owned());
            }
            if text.len() < SHORTEST_SECRET {
                return Err(format!("is too short: HS256 needs a secret of {SHORTEST_SECRET} bytes at least"));
            }
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, text.as_bytes());
            return Ok(Self(Signer::Hmac(Arc::new(key), text.into())));
        }
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| no_key(text).to_owned())?;
        let found = kinds().into_iter().find_map(|(kind, read)| Some((kind, read(&der)?)));
        match found {
            Some((_, signer)) if signer.algorithm() == algorithm => Ok(Self(signer)),
            Some((kind, _)) => Err(format!("holds {kind}, but {} needs {}", algorithm.as_str(), algorithm.needs())),
            None => Err(format!("holds a key that cannot be used; {} needs {}", algorithm.as_str(), algorithm.needs())),
        }
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// The secret of HS256, which whoever checks the signature knows as well.
    pub fn secret(&self) -> Option<&SecretString> {
        match &self.0 {
            Signer::Hmac(_, secret) => Some(secret),
            Signer::Rsa(_) | Signer::Ec(_) | Signer::Ed(_) => None,
        }
    }

    /// The signature of a message, as a JWS carries it.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let failed = |_| "the assertion could not be signed".to_owned();
        match &self.0 {
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Signer::Ec(key) => Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Signer::Ed(key) => Ok(key.sign(message).as_ref().to_vec()),
            Signer::Hmac(key, _) => Ok(aws_lc_rs::hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

impl Signer {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Ec(_) => Algorithm::Es256,
            Self::Ed(_) => Algorithm::EdDsa,
            Self::Hmac(..) => Algorithm::Hs256,
        }
    }
}

type Read = fn(&PrivateKeyDer<'_>) -> Option<Signer>;

/// What a private key may be, and how it is read.
fn kinds() -> [(&'static str, Read); 3] {
    [("an RSA key", rsa), ("an EC key on P-256", ec), ("an Ed25519 key", ed25519)]
}

fn rsa(key: &PrivateKeyDer<'_>) -> Option<Signer> {
    let key = match key {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return None,
    };
    Some(Signer::Rsa(Arc::new(key.ok()?)))
}

fn ec(key: &PrivateKeyDer<'_>) -> Option<Signer> {
    const ES256: &EcdsaSigningAlgorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = match key {
        PrivateKeyDer::Pkcs8(key) => EcdsaKeyPair::from_pkcs8(ES256, key.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(key) => EcdsaKeyPair::from_private_key_der(ES256, key.secret_sec1_der()),
        _ => return None,
    };
    Some(Signer::Ec(Arc::new(key.ok()?)))
}

fn ed25519(key: &PrivateKeyDer<'_>) -> Option<Signer> {
    let PrivateKeyDer::Pkcs8(key) = key else { return None };
    Some(Signer::Ed(Arc::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()).ok()?)))
}

/// Why a text holds no private key.
fn no_key(text: &str) -> &'static str {
    if text.contains("ENCRYPTED") {
        "holds a key that is encrypted with a password; decrypt it first (openssl pkey -in KEY -out PLAIN)"
    } else if text.contains("PUBLIC KEY") || text.contains("CERTIFICATE") {
        "holds a public key or a certificate; the private key is needed"
    } else {
        "contains no private key in PEM (-----BEGIN PRIVATE KEY-----)"
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----")
    }

    fn private(key: &rcgen::KeyPair) -> String {
        pem("PRIVATE KEY", &key.serialize_der())
    }

    fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> rcgen::KeyPair {
        rcgen::KeyPair::generate_for(algorithm).expect("a key")
    }

    #[test]
    fn keys_sign_by_their_algorithm() {
        let (ec, ed) = (made(&rcgen::PKCS_ECDSA_P256_SHA256), made(&rcgen::PKCS_ED25519));
        let signature =
            JwtKey::read(Algorithm::Es256, &private(&ec)).and_then(|key| key.sign(b"message")).expect("signed");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, ec.public_key_raw())
            .verify(b"message", &signature)
            .expect("right");
        let signature =
            JwtKey::read(Algorithm::EdDsa, &private(&ed)).and_then(|key| key.sign(b"message")).expect("signed");
        UnparsedPublicKey::new(&ED25519, ed.public_key_raw()).verify(b"message", &signature).expect("right");
    }

    #[test]
    fn a_key_of_an_older_frame_is_read_as_well() {
        // A PKCS #8 of P-256 holds that frame behind 29 bytes of its own.
        let der = made(&rcgen::PKCS_ECDSA_P256_SHA256).serialize_der();
        let pem = pem("EC PRIVATE KEY", &der[29..]);
        assert_eq!(JwtKey::read(Algorithm::Es256, &pem).map(|key| key.algorithm()), Ok(Algorithm::Es256));
    }

    #[test]
    fn what_is_no_key_for_it_is_told_without_any_of_it() {
        let (ec, p384) = (made(&rcgen::PKCS_ECDSA_P256_SHA256), made(&rcgen::PKCS_ECDSA_P384_SHA384));
        for (algorithm, text, expected) in [
            (
                Algorithm::Rs256,
                private(&ec),
                "holds an EC key on P-256, but RS256 needs an RSA key of 2048 to 8192 bits",
            ),
            (Algorithm::EdDsa, private(&ec), "holds an EC key on P-256, but EdDSA needs an Ed25519 key"),
            (Algorithm::Es256, private(&p384), "holds a key that cannot be used; ES256 needs an EC key on P-256"),
            (
                Algorithm::Es256,
                pem("PUBLIC KEY", ec.public_key_raw()),
                "holds a public key or a certificate; the private key is needed",
            ),
            (Algorithm::Rs256, "hunter2".to_owned(), "contains no private key in PEM (-----BEGIN PRIVATE KEY-----)"),
            (Algorithm::Hs256, "hunter2".to_owned(), "is too short: HS256 needs a secret of 32 bytes at least"),
            (Algorithm::Hs256, private(&ec), "holds a PEM, but HS256 takes a secret; choose RS256, ES256 or EdDSA"),
        ] {
            assert_eq!(JwtKey::read(algorithm, &text).map(|_| ()), Err(expected.to_owned()));
        }
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
        assert!(JwtKey::read(Algorithm::Rs256, encrypted).unwrap_err().contains("decrypt it first"));
    }
}
