//! How TLS is spoken with a receiver: certificates and keys, read from their PEM files and checked.

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::field::Field;
use super::read::Reader;

/// How TLS is spoken with a receiver.
#[derive(Debug)]
pub struct Tls {
    /// The authorities that vouch for the receiver, instead of those that the system knows.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// What proves to it who we are.
    pub identity: Option<Identity>,
}

/// A certificate of our own.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, and those between it and its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key. Shows itself nowhere.
    pub key: PrivateKeyDer<'static>,
}

/// The block `tls`.
pub(crate) fn tls(block: &Reader<'_>) -> Option<Tls> {
    let authorities = block.optional("ca_file", authorities);
    let chain = block.optional("client_cert_file", certificates);
    let key = block.optional("client_key_file", private_key);
    let identity = match (chain?, key?) {
        (None, None) => None,
        (Some(chain), Some(key)) => Some(identity(block, chain, key)?),
        (Some(_), None) => return block.refuse("has client_cert_file; also needs client_key_file"),
        (None, Some(_)) => return block.refuse("has client_key_file; also needs client_cert_file"),
    };
    Some(Tls { authorities: authorities?, identity })
}

fn read<'f>(field: &'f Field<'_>) -> Option<(&'f str, Vec<u8>)> {
    let path = field.text()?;
    if path.contains("-----BEGIN") || path.contains('\n') {
        field.fault("found ***, which is the content of the file, not its path; save it in a file and give the path");
        return None;
    }
    match field.report().read(path) {
        Ok(bytes) => Some((path, bytes)),
        Err(error) => {
            field.fault(format!("the file {path:?} cannot be read: {error}"));
            None
        }
    }
}

fn certificates(field: &Field<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let (path, pem) = read(field)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Some(found),
        _ => {
            field.fault(format!("the file {path:?} contains no certificates in PEM (-----BEGIN CERTIFICATE-----)"));
            None
        }
    }
}

fn authorities(field: &Field<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let found = certificates(field)?;
    let mut roots = RootCertStore::empty();
    for (at, certificate) in found.iter().enumerate() {
        if let Err(error) = roots.add(certificate.clone()) {
            let path = field.text()?;
            field.fault(format!("certificate {} in the file {path:?} cannot be used: {error}", at + 1));
            return None;
        }
    }
    Some(found)
}

fn private_key(field: &Field<'_>) -> Option<PrivateKeyDer<'static>> {
    let (path, pem) = read(field)?;
    if let Ok(key) = PrivateKeyDer::from_pem_slice(&pem) {
        return Some(key);
    }
    let encrypted = b"ENCRYPTED";
    if pem.windows(encrypted.len()).any(|window| window == encrypted) {
        field.fault(format!(
            "the key in the file {path:?} is encrypted; store it without a passphrase, readable only by the service"
        ));
    } else {
        field.fault(format!("the file {path:?} contains no private key in PEM (-----BEGIN PRIVATE KEY-----)"));
    }
    None
}

fn identity(block: &Reader<'_>, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Option<Identity> {
    let (certificate, key_file) = (block.get("client_cert_file")?, block.get("client_key_file")?);
    let (cert_path, key_path) = (certificate.text()?, key_file.text()?);
    let Ok(signing) = any_supported_type(&key) else {
        key_file.fault(format!(
            "the key in the file {key_path:?} is not of a supported kind; expected RSA, ECDSA (P-256, P-384) or Ed25519"
        ));
        return None;
    };
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        Ok(()) => Some(Identity { chain: pair.cert, key }),
        Err(rustls::Error::InconsistentKeys(_)) => {
            key_file.fault(format!("the key in the file {key_path:?} is not that of the certificate in {cert_path:?}"));
            None
        }
        Err(error) => {
            certificate.fault(format!("the certificate in the file {cert_path:?} cannot be used: {error}"));
            None
        }
    }
}
