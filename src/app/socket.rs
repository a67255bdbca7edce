//! The socket that callers connect to: bound once, and listened on by whoever serves at the time.

use std::io;
use std::net::SocketAddr;

use parking_lot::Mutex;
use tokio::net::TcpListener;

/// A bound socket.
#[derive(Debug)]
pub struct Socket {
    /// `None` once it is closed.
    listener: Mutex<Option<std::net::TcpListener>>,
    address: SocketAddr,
}

impl Socket {
    /// Binds an address.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener: Mutex::new(Some(listener)), address })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it, as others may do before and after.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let listener = self.listener.lock();
        let listener = listener.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        TcpListener::from_std(listener.try_clone()?)
    }

    /// Closes it: callers are refused once nobody listens on it any more.
    pub(super) fn close(&self) {
        *self.listener.lock() = None;
    }
}
