//! Limits of connections.

use std::time::Duration;

use crate::config::settings::Server;

/// What a connection may use up.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The longest time for a request's head to arrive, from its first byte; and for the first head of a connection.
    pub header_timeout: Duration,
    /// The longest time for which a caller may leave an answer unread.
    pub body_timeout: Duration,
    /// Connections open at once; further ones wait to be accepted.
    pub max_connections: usize,
}

impl From<&Server> for ConnectionLimits {
    fn from(server: &Server) -> Self {
        Self {
            header_timeout: server.header_timeout,
            body_timeout: server.body_timeout,
            max_connections: server.max_connections,
        }
    }
}
