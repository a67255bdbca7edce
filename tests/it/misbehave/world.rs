//! The receivers of the matrix, one for each fault, and what a configuration says about them.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::fault::{Certificate, Fault, Place};
use crate::receiver::{ClosedPort, Receiver, Reply};
use crate::tls::{Authority, Files, Identity, acceptor, authority, pem};

/// Who vouches for receivers.
pub(super) struct World {
    ca: Authority,
    files: Files,
}

/// A receiver, for as long as this lives.
pub(super) struct Stage {
    pub(super) url: String,
    /// `HOST` in errors.
    pub(super) host: String,
    server: Server,
}

enum Server {
    Receiver(Receiver),
    Closed { _port: ClosedPort },
    Full { _queue: FullQueue },
    None,
}

impl World {
    pub(super) fn new() -> Self {
        Self { ca: authority("Private CA"), files: Files::new() }
    }

    /// The key `tls` of every channel and callout.
    pub(super) fn tls(&self) -> String {
        format!("{{ca_file: '{}'}}", self.files.with("ca.pem", &pem("CERTIFICATE", self.ca.der())))
    }

    /// Sets the stage for a fault.
    pub(super) async fn stage(&self, fault: &Fault) -> Stage {
        let (url, server) = match fault.place {
            Place::Plain => Self::play(fault, Receiver::start().await),
            Place::Tls(certificate) => {
                let identity = self.identity(certificate);
                Self::play(fault, Receiver::behind_tls(acceptor(&identity, &["http/1.1"], None)).await)
            }
            Place::Http2 => {
                let identity = self.identity(Certificate::Good);
                Self::play(fault, Receiver::behind_tls(acceptor(&identity, &["h2"], None)).await)
            }
            Place::Nowhere => {
                let port = ClosedPort::new();
                (port.url("/"), Server::Closed { _port: port })
            }
            Place::BlackHole => {
                let queue = FullQueue::new().await;
                (format!("http://{}/", queue.address), Server::Full { _queue: queue })
            }
            Place::Name(name) => (format!("http://{name}/"), Server::None),
        };
        let host = url.split('/').nth(2).expect("a host").to_owned();
        Stage { url, host, server }
    }

    fn play(fault: &Fault, receiver: Receiver) -> (String, Server) {
        receiver.answer([fault.reply.clone()]);
        receiver.accept(fault.accept.clone());
        (receiver.url("/"), Server::Receiver(receiver))
    }

    fn identity(&self, certificate: Certificate) -> Identity {
        match certificate {
            Certificate::Good => Identity::issued(&self.ca, "localhost", |_| ()),
            Certificate::Expired => Identity::issued(&self.ca, "localhost", |params| {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2021, 1, 1);
            }),
            Certificate::ForAnotherHost => Identity::issued(&self.ca, "other.example", |_| ()),
            Certificate::OfAnUnknownAuthority => Identity::issued(&authority("Other CA"), "localhost", |_| ()),
        }
    }
}

impl Stage {
    /// Bytes that the receiver's sockets took.
    pub(super) fn bytes_sent(&self) -> u64 {
        if let Server::Receiver(receiver) = &self.server { receiver.bytes_sent() } else { 0 }
    }

    /// Connections that the receiver serves.
    pub(super) fn open_connections(&self) -> usize {
        if let Server::Receiver(receiver) = &self.server { receiver.open_connections() } else { 0 }
    }

    /// From now on the receiver answers as it should, where it can.
    pub(super) fn recover(&self, fault: &Fault) -> bool {
        let Server::Receiver(receiver) = &self.server else { return false };
        if !matches!(fault.place, Place::Plain | Place::Tls(Certificate::Good)) {
            return false;
        }
        receiver.accept(crate::receiver::Accept::Serve);
        receiver.answer([Reply::body(200, "text/plain", "recovered")]);
        true
    }
}

/// A port whose queue of connections is full: the system answers no further attempt to connect.
struct FullQueue {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullQueue {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port on loopback");
        let listener = socket.listen(1).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut waiting = Vec::new();
        let patience = std::time::Duration::from_millis(300);
        while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            waiting.push(stream.expect("a connection"));
            assert!(waiting.len() < 100, "the queue is never full");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}
