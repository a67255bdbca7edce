//! The connections of this process: a fixed number, opened as they are needed, and opened anew when they break.
//!
//! Each has a number, which names its row in `commits`: so it can be found out later whether a commit took place whose answer was
//! lost.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::fault;
use crate::store::StoreError;

/// Statements that a connection keeps prepared.
const PREPARED: usize = 300;

/// Names the schema, has a transaction end that this process leaves alone (it has stopped, or is cut off), and holds the server to plans
/// by index. Every statement is made for one, with few rows; what the server thinks of a table that
/// was empty a moment ago, or of parameters that it does not know, shall not make it read and sort all of it, nor start workers or
/// a compiler for that.
const SESSION: &str = "SET search_path TO orderhook; SET idle_in_transaction_session_timeout = 5000; SET jit = off; SET max_parallel_workers_per_gather = 0;
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";

/// How long to wait for a free connection, and for a new one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The connections.
pub(super) struct Connections {
    address: Address,
    /// Where their sockets are served.
    runtime: Handle,
    idle: Mutex<Vec<Idle>>,
    free: Arc<Semaphore>,
    end: CancellationToken,
}

struct Idle {
    number: i16,
    connection: Option<Connection>,
}

/// A connection to the server.
pub(super) struct Connection {
    client: Client,
    prepared: Mutex<HashMap<String, Statement>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The server says no, or nothing.
    Server(tokio_postgres::Error),
    /// The store is closed.
    Closed,
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Server(error) => error.into(),
            ConnectError::Closed => Self::Closed,
        }
    }
}

/// A connection on loan; given back when dropped.
pub(super) struct Loan {
    pub(super) number: i16,
    connection: Option<Connection>,
    home: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(address: Address, count: u16, runtime: Handle) -> Arc<Self> {
        let count = i16::try_from(count).unwrap_or(i16::MAX);
        let idle = (0..count).rev().map(|number| Idle { number, connection: None }).collect();
        let free = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(1)));
        Arc::new(Self { address, runtime, idle: Mutex::new(idle), free, end: CancellationToken::new() })
    }

    /// Opens a connection of its own, which is not one of the pool's. What the server says without being asked goes to `heard`.
    /// It is served by the store's runtime, whoever opens it.
    pub(super) async fn open(
        &self,
        heard: impl FnMut(AsyncMessage) + Send + 'static,
    ) -> Result<Connection, ConnectError> {
        let (config, connector) = (self.address.config.clone(), MakeRustlsConnect::new(self.address.tls.clone()));
        let opening = self.runtime.spawn(async move {
            let (client, mut connection) = config.connect(connector).await?;
            let mut heard = heard;
            tokio::spawn(async move {
                while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    match message {
                        Ok(message) => heard(message),
                        Err(error) => {
                            return tracing::debug!(
                                error = fault::sentence(&error),
                                "a connection to PostgreSQL ended"
                            );
                        }
                    }
                }
            });
            client.batch_execute(SESSION).await?;
            Ok(client)
        });
        let client = opening.await.map_err(|_| ConnectError::Closed)?.map_err(ConnectError::Server)?;
        Ok(Connection { client, prepared: Mutex::default() })
    }

    /// Lends a connection, as soon as one is free.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Loan, StoreError> {
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.free).acquire_owned()).await;
        let permit = permit
            .map_err(|_| {
                StoreError::Unavailable("all connections to PostgreSQL are busy (store.connections)".to_owned())
            })?
            .map_err(|_| StoreError::Closed)?;
        let Some(Idle { number, connection }) = self.idle.lock().pop() else {
            return Err(StoreError::Closed);
        };
        let mut loan = Loan { number, connection, home: Arc::clone(self), _permit: permit };
        loan.ready().await?;
        Ok(loan)
    }

    /// Whether none is lent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.free.is_closed()
    }

    /// Waits until none is lent any more.
    pub(super) async fn closed(&self) {
        self.end.cancelled().await;
    }

    /// Lends none any more.
    pub(super) fn close(&self) {
        self.free.close();
        self.end.cancel();
        for idle in self.idle.lock().iter_mut() {
            idle.connection = None;
        }
    }
}

impl Loan {
    /// Opens the connection anew where it is broken.
    pub(super) async fn ready(&mut self) -> Result<(), StoreError> {
        if self.connection.as_ref().is_some_and(|connection| !connection.client.is_closed()) {
            return Ok(());
        }
        self.connection = None;
        let opened = tokio::time::timeout(PATIENCE, self.home.open(|_| {})).await;
        let opened = opened.map_err(|_| StoreError::Unavailable("PostgreSQL does not answer".to_owned()))?;
        self.connection = Some(opened?);
        Ok(())
    }

    /// Gives the connection up: the next loan opens another one.
    pub(super) fn break_off(&mut self) {
        self.connection = None;
    }

    fn open_one(&self) -> Result<&Connection, StoreError> {
        self.connection
            .as_ref()
            .ok_or_else(|| StoreError::Unavailable("the connection to PostgreSQL is lost".to_owned()))
    }

    /// The connection.
    pub(super) fn connection(&self) -> Result<&Connection, StoreError> {
        self.open_one()
    }

    /// As [`Connection::query`].
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        Ok(self.open_one()?.query(sql, params).await?)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let idle = Idle { number: self.number, connection: self.connection.take() };
        self.home.idle.lock().push(idle);
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Connection {
    /// Rows of a statement, which stays prepared.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client.query(&statement, params).await
    }

    /// Executes a statement, which stays prepared; returns the number of rows.
    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client.execute(&statement, params).await
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.known(sql) {
            return Ok(known);
        }
        let statement = self.client.prepare(sql).await?;
        let mut prepared = self.prepared.lock();
        if prepared.len() >= PREPARED {
            prepared.clear();
        }
        prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn known(&self, sql: &str) -> Option<Statement> {
        self.prepared.lock().get(sql).cloned()
    }
}
