//! NTLM (NTLMv2): it vouches for a connection, not for a request.
//!
//! A request asks (message 1), is answered by a challenge (2), and goes out again with the proof (3), all on one HTTP/1.1
//! connection. Each connection is a client of its own behind a [`gate::Gate`], used by one attempt at a time and given
//! back for the next, which then needs no handshake: the receiver knows the connection. They belong to one channel or
//! step, and so to one identity.

mod gate;
mod message;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::challenge::{Challenges, challenges};
use super::value::secret;
use crate::domain::Clock;
use crate::outbound::call::Call;
use crate::outbound::dialer::{Dialer, Http};
use crate::outbound::fault::Fault;
use crate::outbound::request::host;
use crate::outbound::transport::Transport;
use crate::system;
pub(in crate::outbound) use gate::{Gate, Lost};
use message::{Challenge, Proof};

/// A connection is not used again after it has been idle for so long: receivers close theirs at some time.
const IDLE: Duration = Duration::from_secs(30);

/// From 1601, where Windows begins to count, to 1970, in milliseconds.
const SINCE_1601: i64 = 11_644_473_600_000;

/// Who is vouched for.
pub(super) struct Identity {
    pub(super) username: String,
    pub(super) password: SecretString,
    pub(super) domain: String,
}

/// The connections of one identity.
pub(in crate::outbound) struct Ntlm {
    dialer: Dialer,
    identity: Identity,
    clock: Arc<dyn Clock>,
    /// Those that nobody uses now.
    idle: Mutex<Vec<Wire>>,
    most: usize,
}

/// A connection.
struct Wire {
    http: Http,
    used: Instant,
}

impl Ntlm {
    pub(super) fn new(dialer: &Dialer, identity: Identity, clock: Arc<dyn Clock>, most: usize) -> Self {
        Self { dialer: dialer.clone(), identity, clock, idle: Mutex::default(), most }
    }

    /// Sends a request on a connection that is known to the receiver, or becomes so.
    pub(in crate::outbound) async fn send(&self, transport: &Transport, call: &mut Call<'_>) -> Result<(), Fault> {
        while let Some(wire) = self.take() {
            match transport.step(&wire.http, call).await {
                // Closed while nobody used it: nothing has been sent.
                Err(Fault::Lost) => continue,
                Err(_) if call.hung_up && transport.resend => continue,
                Err(fault) => return Err(fault),
                Ok(()) => {}
            }
            if !call.is_refused() {
                self.give_back(wire, call);
                return Ok(());
            }
            // It is asked for each time.
            if closes(call) {
                break;
            }
            return self.shake_hands(transport, call, wire).await;
        }
        let http = self.dialer.single(Gate::default());
        let http = http.map_err(|error| Fault::NotSent(error.to_string()))?;
        self.shake_hands(transport, call, Wire { http, used: Instant::now() }).await
    }

    async fn shake_hands(&self, transport: &Transport, call: &mut Call<'_>, wire: Wire) -> Result<(), Fault> {
        let host = host(&call.request.url);
        let failed = |why: &str| Fault::NoCredentials(format!("no NTLM with {host}: {why}"));
        let again = call.received.status.is_some();
        let negotiate = message::negotiate();
        call.go_again(Some(header(&negotiate)?));
        call.again = again;
        transport.step(&wire.http, call).await?;
        if !call.is_refused() {
            self.give_back(wire, call);
            return Ok(());
        }
        let offered = challenges(&call.received.headers);
        let token = offered.of("ntlm").and_then(|challenge| challenge.token.as_deref());
        let token = token.ok_or_else(|| failed(&why_not(&offered)))?;
        let bytes = STANDARD
            .decode(token)
            .map_err(|_| failed("its challenge is not valid base64; look for a proxy in between that changes it"))?;
        let challenge = Challenge::read(&bytes)
            .map_err(|why| failed(&format!("{why}; look for a proxy in between that changes it")))?;
        if closes(call) {
            return Err(failed(CLOSED));
        }
        let proof = self.proof(&negotiate, &challenge).map_err(|why| failed(&why))?;
        call.go_again(Some(header(&proof)?));
        match transport.step(&wire.http, call).await {
            Err(Fault::Lost) => return Err(failed(CLOSED)),
            result => result?,
        }
        if !call.is_refused() {
            self.give_back(wire, call);
        }
        Ok(())
    }

    fn proof(&self, negotiate: &[u8], challenge: &Challenge) -> Result<Vec<u8>, String> {
        let mut nonce = [0; 8];
        nonce.iter_mut().zip(system::secret()?).for_each(|(byte, chance)| *byte = chance);
        let millis = self.clock.now().as_millis().saturating_add(SINCE_1601);
        let proof = Proof {
            username: &self.identity.username,
            password: self.identity.password.expose_secret(),
            domain: &self.identity.domain,
            nonce,
            time: u64::try_from(millis).unwrap_or(0).saturating_mul(10_000),
        };
        Ok(message::authenticate(&proof, negotiate, challenge))
    }

    /// A connection that was vouched for, and is probably still open.
    fn take(&self) -> Option<Wire> {
        let mut idle = self.idle.lock();
        let oldest = Instant::now().checked_sub(IDLE);
        idle.retain(|wire| oldest.is_none_or(|oldest| wire.used > oldest));
        idle.pop()
    }

    fn give_back(&self, mut wire: Wire, call: &Call<'_>) {
        let mut idle = self.idle.lock();
        if idle.len() < self.most && !closes(call) {
            wire.used = Instant::now();
            idle.push(wire);
        }
    }
}

const CLOSED: &str = "the connection was closed in the middle of the handshake; NTLM needs one that is kept, so look for a proxy in between, or for a receiver without keep-alive";

/// Whether the receiver closes the connection behind this response.
fn closes(call: &Call<'_>) -> bool {
    let closes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
    call.received.headers.get_all(CONNECTION).iter().any(closes)
}

/// Message 3 in answer to message 2, for fuzzing.
pub(super) fn fuzzed(message: &[u8]) -> Option<Vec<u8>> {
    let challenge = message::Challenge::read(message).ok()?;
    let proof = message::Proof { username: "user", password: "secret", domain: "D", nonce: [7; 8], time: 1 };
    Some(message::authenticate(&proof, &message::negotiate(), &challenge))
}

fn header(message: &[u8]) -> Result<(HeaderName, HeaderValue), Fault> {
    let value = secret(&format!("NTLM {}", STANDARD.encode(message)));
    Ok((AUTHORIZATION, value.map_err(|error| Fault::NotSent(error.to_string()))?))
}

fn why_not(offered: &Challenges) -> String {
    let schemes = offered.schemes();
    if offered.of("ntlm").is_some() {
        return "the receiver offers it, but does not answer its first message; look for a balancer in between that spreads one connection's requests".to_owned();
    }
    if schemes.is_empty() {
        return "the receiver answers 401 without naming a scheme; check whether NTLM is enabled there".to_owned();
    }
    if offered.of("negotiate").is_some() {
        return format!(
            "the receiver offers {schemes} only, and Kerberos is not supported; configure it to offer NTLM too"
        );
    }
    format!("the receiver asks for {schemes}; choose another kind of auth")
}
