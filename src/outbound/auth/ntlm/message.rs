//! The three messages of NTLM (MS-NLMP), as far as a client of NTLMv2 needs them: it asks (1), is challenged (2), and
//! proves that it knows the password (3).
//!
//! By hand, over the hashes of RustCrypto: the crate `sspi` speaks Kerberos, CredSSP and smart cards too, and brings some
//! 150 further crates, a second RSA among them. Nothing is signed or sealed here but the handshake itself (its MIC), so no
//! session key is exchanged.

use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest, Md4};
use md5::Md5;

/// How every message begins.
const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Text in UTF-16; the target's name is wanted; NTLM; always sign; the stronger session; target information; 128 and 56
/// bits.
const FLAGS: u32 =
    0x0000_0001 | 0x0000_0004 | 0x0000_0200 | 0x0000_8000 | 0x0008_0000 | 0x0080_0000 | 0x2000_0000 | 0x8000_0000;

/// What a server must offer: UTF-16 and the stronger session.
const NEEDED: u32 = 0x0000_0001 | 0x0008_0000;

/// The ids of target information (`AV_PAIR`).
const AV_END: u16 = 0;
const AV_FLAGS: u16 = 6;
const AV_TIMESTAMP: u16 = 7;

/// Where message 3 has its MIC.
const MIC_AT: usize = 72;

/// The beginning of message 3, its MIC included.
const HEAD: usize = 88;

/// Message 1.
pub(super) fn negotiate() -> Vec<u8> {
    let mut message = Vec::with_capacity(40);
    message.extend_from_slice(SIGNATURE);
    message.extend_from_slice(&1u32.to_le_bytes());
    message.extend_from_slice(&FLAGS.to_le_bytes());
    // No domain and no workstation at this stage; version 0 says nothing.
    message.extend_from_slice(&[0; 24]);
    message
}

/// What is needed of message 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    flags: u32,
    nonce: [u8; 8],
    /// Target information, up to its end.
    pairs: Vec<(u16, Vec<u8>)>,
    whole: Vec<u8>,
}

impl Challenge {
    /// Reads message 2. `Err` says what is wrong with it.
    pub(super) fn read(message: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "its challenge is cut off";
        if message.get(..8) != Some(SIGNATURE.as_slice()) || u32_at(message, 8) != Some(2) {
            return Err("its challenge is not an NTLM message of type 2");
        }
        let flags = u32_at(message, 20).ok_or(SHORT)?;
        if flags & NEEDED != NEEDED {
            return Err("it does not offer NTLMv2 with Unicode; let it accept NTLMv2");
        }
        let nonce = message.get(24..32).and_then(|bytes| bytes.try_into().ok()).ok_or(SHORT)?;
        let length = usize::from(u16_at(message, 40).ok_or(SHORT)?);
        let from = u32_at(message, 44).ok_or(SHORT)? as usize;
        let info = from.checked_add(length).and_then(|to| message.get(from..to)).ok_or(SHORT)?;
        Ok(Self { flags, nonce, pairs: pairs(info).ok_or(SHORT)?, whole: message.to_vec() })
    }

    fn pair(&self, id: u16) -> Option<&[u8]> {
        self.pairs.iter().find_map(|(found, value)| (*found == id).then_some(value.as_slice()))
    }
}

fn pairs(mut info: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut pairs = Vec::new();
    while !info.is_empty() {
        let (id, length) = (u16_at(info, 0)?, usize::from(u16_at(info, 2)?));
        if id == AV_END {
            break;
        }
        pairs.push((id, info.get(4..4 + length)?.to_vec()));
        info = info.get(4 + length..)?;
    }
    Some(pairs)
}

/// Who proves it, with what, and what is new in every handshake.
pub(super) struct Proof<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a str,
    pub(super) domain: &'a str,
    /// A nonce of the client's own.
    pub(super) nonce: [u8; 8],
    /// The time, in tenths of microseconds since 1601; counts where the server does not tell its own.
    pub(super) time: u64,
}

/// Message 3, in answer to `challenge`, which came in answer to `negotiate`.
pub(super) fn authenticate(proof: &Proof<'_>, negotiate: &[u8], challenge: &Challenge) -> Vec<u8> {
    let key = v2_key(proof.username, proof.password, proof.domain);
    let timestamp = challenge.pair(AV_TIMESTAMP);
    let time = timestamp.and_then(|bytes| bytes.try_into().ok()).unwrap_or(proof.time.to_le_bytes());
    // A server that tells its time is told that there is a MIC, and gets no LMv2.
    let info = target_info(challenge, timestamp.is_some());
    let blob = [&[1, 1, 0, 0, 0, 0, 0, 0], &time[..], &proof.nonce, &[0; 4], &info, &[0; 4]].concat();
    let nt_proof = hmac_md5(&key, &[&challenge.nonce, &blob]);
    let nt = [&nt_proof[..], &blob].concat();
    let lm = if timestamp.is_some() {
        vec![0; 24]
    } else {
        [&hmac_md5(&key, &[&challenge.nonce, &proof.nonce])[..], &proof.nonce].concat()
    };
    let session_key = hmac_md5(&key, &[&nt_proof]);
    let (domain, user) = (utf16(proof.domain), utf16(proof.username));

    let mut message = Vec::new();
    message.extend_from_slice(SIGNATURE);
    message.extend_from_slice(&3u32.to_le_bytes());
    let mut at = HEAD;
    let mut field = |content: &[u8]| {
        let length = (content.len() as u16).to_le_bytes();
        message.extend_from_slice(&length);
        message.extend_from_slice(&length);
        message.extend_from_slice(&(at as u32).to_le_bytes());
        at += content.len();
    };
    // LM, NT, domain, user, workstation and session key, in this order.
    for content in [&lm, &nt, &domain, &user] {
        field(content);
    }
    field(&[]);
    field(&[]);
    message.extend_from_slice(&(FLAGS & challenge.flags).to_le_bytes());
    message.extend_from_slice(&[0; 8 + 16]);
    for content in [&lm, &nt, &domain, &user] {
        message.extend_from_slice(content);
    }
    if timestamp.is_some() {
        let mic = hmac_md5(&session_key, &[negotiate, &challenge.whole, &message]);
        if let Some(place) = message.get_mut(MIC_AT..HEAD) {
            place.copy_from_slice(&mic);
        }
    }
    message
}

fn target_info(challenge: &Challenge, with_mic: bool) -> Vec<u8> {
    let mut info = Vec::new();
    let mut push = |id: u16, value: &[u8]| {
        info.extend_from_slice(&id.to_le_bytes());
        info.extend_from_slice(&(value.len() as u16).to_le_bytes());
        info.extend_from_slice(value);
    };
    let flags = challenge.pair(AV_FLAGS).and_then(|value| u32_at(value, 0)).unwrap_or(0);
    for (id, value) in challenge.pairs.iter().filter(|(id, _)| *id != AV_FLAGS) {
        push(*id, value);
    }
    let flags = flags | if with_mic { 2 } else { 0 };
    if flags != 0 {
        push(AV_FLAGS, &flags.to_le_bytes());
    }
    push(AV_END, &[]);
    info
}

/// The key that stands for user, password and domain (`NTOWFv2`).
fn v2_key(username: &str, password: &str, domain: &str) -> [u8; 16] {
    let hash = Md4::digest(utf16(password));
    hmac_md5(&hash, &[&utf16(&username.to_uppercase()), &utf16(domain)])
}

fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { return [0; 16] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The values of MS-NLMP, section 4.2.4.
    const PROOF: Proof<'_> =
        Proof { username: "User", password: "Password", domain: "Domain", nonce: [0xaa; 8], time: 0 };

    fn challenge(pairs: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut info: Vec<u8> = Vec::new();
        for (id, value) in pairs {
            info.extend_from_slice(&id.to_le_bytes());
            info.extend_from_slice(&(value.len() as u16).to_le_bytes());
            info.extend_from_slice(value);
        }
        info.extend_from_slice(&[0; 4]);
        let mut message = [&SIGNATURE[..], &2u32.to_le_bytes(), &[0; 8], &0xe28a_8233_u32.to_le_bytes()].concat();
        message.extend_from_slice(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        message.extend_from_slice(&[0; 8]);
        let length = (info.len() as u16).to_le_bytes();
        message.extend_from_slice(&[length, length].concat());
        message.extend_from_slice(&56u32.to_le_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&info);
        message
    }

    #[test]
    fn the_examples_of_the_specification_come_out() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&v2_key("User", "Password", "Domain")), "0c868a403bfd7a93a3001ef22ef02e3f");
        let names = [(2, utf16("Domain")), (1, utf16("Server"))];
        let challenge = Challenge::read(&challenge(&names)).expect("a challenge");
        let message = authenticate(&PROOF, &negotiate(), &challenge);
        assert_eq!(hex(&message[HEAD..HEAD + 24]), "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa");
        assert_eq!(hex(&message[HEAD + 24..HEAD + 40]), "68cd0ab851e51c96aabc927bebef6a1c");
    }

    #[test]
    fn a_server_that_tells_its_time_gets_a_mic_and_no_lmv2() {
        let time = 0x01d0_0000_0000_0000_u64.to_le_bytes().to_vec();
        let challenge =
            Challenge::read(&challenge(&[(2, utf16("Domain")), (AV_TIMESTAMP, time.clone())])).expect("one");
        let message = authenticate(&PROOF, &negotiate(), &challenge);
        assert_eq!(message[HEAD..HEAD + 24], [0; 24]);
        assert_ne!(message[MIC_AT..HEAD], [0; 16]);
        let blob = &message[HEAD + 24 + 16..];
        assert_eq!(&blob[8..16], &time[..]);
        assert!(blob.windows(8).any(|window| window == [6, 0, 4, 0, 2, 0, 0, 0]), "the flag that there is one");
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        let fine = challenge(&[(2, utf16("Domain"))]);
        assert!(Challenge::read(&fine).is_ok());
        for length in 0..fine.len() - 4 {
            assert!(Challenge::read(&fine[..length]).is_err(), "{length} bytes");
        }
        let mut weak = fine.clone();
        weak[22] = 0;
        assert!(Challenge::read(&weak).unwrap_err().contains("NTLMv2"));
        assert!(Challenge::read(&negotiate()).unwrap_err().contains("type 2"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_challenge_or_refused(head in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let bytes = if head { [&SIGNATURE[..], &[2, 0, 0, 0], &bytes].concat() } else { bytes };
            if let Ok(challenge) = Challenge::read(&bytes) {
                let message = authenticate(&PROOF, &negotiate(), &challenge);
                prop_assert!(message.len() > HEAD);
            }
        }
    }
}
