//! A real HTTP receiver on loopback that does as it is told, and keeps all that it was sent.
//!
//! It speaks HTTP/1.1 on raw TCP, so that it can also speak it wrongly. Answers are scripted for a path
//! ([`Receiver::on`]) or for all others ([`Receiver::answer`]): a list of [`Reply`] is gone through in sequence, and
//! its last one stays. Tests wait for what arrives ([`Receiver::next`], [`Receiver::wait_for`]) and never sleep.
//! Misbehaviour is a list of [`Act`]s, as reply ([`Reply::Acts`]) or in place of service ([`Accept::Acts`]). Behind TLS
//! ([`Receiver::behind_tls`]) a client that wants HTTP/2 has its requests read, but all replies are the test's own bytes,
//! which `frames.rs` makes.

mod act;
pub(crate) mod frames;
mod reply;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) use act::Act;
use act::Stream;
pub(crate) use reply::Reply;
pub(crate) use wire::Request;

/// The longest that a test waits for anything. Reached only by a test that fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What becomes of a connection before anything is read from it, TLS included.
#[derive(Debug, Clone)]
pub(crate) enum Accept {
    /// It is served.
    Serve,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
    /// It is kept open, and nothing is ever read.
    Ignore,
    /// It gets this, whatever it speaks.
    Acts(Vec<Act>),
}

/// Holds replies back until it is opened. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets one reply through.
    pub(crate) fn pass(&self) {
        self.0.add_permits(1);
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.0.close();
    }

    async fn wait(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// The receiver. Ends with its test.
pub(crate) struct Receiver {
    address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    state: Mutex<State>,
    arrived: watch::Sender<usize>,
    bytes_sent: AtomicU64,
}

struct State {
    requests: Vec<Request>,
    read: usize,
    scripts: Vec<(String, VecDeque<Reply>)>,
    answer: VecDeque<Reply>,
    accept: Accept,
    in_flight: usize,
    most_in_flight: usize,
    connections: usize,
    open: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Receiver {
    /// A receiver that answers everything with an empty 200.
    pub(crate) async fn start() -> Self {
        Self::listen(None).await
    }

    /// The same behind TLS, for the host `localhost`.
    pub(crate) async fn behind_tls(acceptor: TlsAcceptor) -> Self {
        Self::listen(Some(acceptor)).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>) -> Self {
        let tls = acceptor.is_some();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                requests: Vec::new(),
                read: 0,
                scripts: Vec::new(),
                answer: VecDeque::from([Reply::status(200)]),
                accept: Accept::Serve,
                in_flight: 0,
                most_in_flight: 0,
                connections: 0,
                open: 0,
            }),
            arrived: watch::Sender::new(0),
            bytes_sent: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept_all(listener, acceptor, Arc::clone(&shared))).abort_handle();
        Self { address, tls, shared, task }
    }

    /// Answers requests for `path` (without its query) with `replies` in sequence; the last one stays.
    pub(crate) fn on(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies: VecDeque<Reply> = replies.into_iter().collect();
        assert!(!replies.is_empty(), "a script has one reply at least");
        let mut state = self.shared.state();
        state.scripts.retain(|(scripted, _)| scripted != path);
        state.scripts.push((path.to_owned(), replies));
    }

    /// Answers all requests that no script is for.
    pub(crate) fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        let replies: VecDeque<Reply> = replies.into_iter().collect();
        assert!(!replies.is_empty(), "a script has one reply at least");
        self.shared.state().answer = replies;
    }

    /// Treats new connections like that.
    pub(crate) fn accept(&self, accept: Accept) {
        self.shared.state().accept = accept;
    }

    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT`, and `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        if self.tls {
            return format!("https://localhost:{}{path}", self.address.port());
        }
        format!("http://{}{path}", self.address)
    }

    /// A configuration in which `RECEIVER` stands for this receiver's URL.
    pub(crate) fn fill(&self, yaml: &str) -> String {
        yaml.replace("RECEIVER", &self.url(""))
    }

    /// How many requests have come.
    pub(crate) fn count(&self) -> usize {
        self.shared.state().requests.len()
    }

    /// How many requests for `path` have come.
    pub(crate) fn count_on(&self, path: &str) -> usize {
        self.shared.state().requests.iter().filter(|request| request.path() == path).count()
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// How many connections are being served.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared.state().open
    }

    /// How many requests are under way: come, and not yet answered or given up.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.state().in_flight
    }

    /// The most requests that were ever under way at once.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.shared.state().most_in_flight
    }

    /// Bytes of replies that the sockets took.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.shared.bytes_sent.load(Ordering::Relaxed)
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// All requests for `path` so far.
    pub(crate) fn requests_on(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// The next request that no call of this has returned yet.
    pub(crate) async fn next(&self) -> Request {
        self.until("a request", |state| {
            let request = state.requests.get(state.read).cloned()?;
            state.read += 1;
            Some(request)
        })
        .await
    }

    /// Waits until `count` requests have come; returns all of them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Request> {
        self.until(&format!("{count} requests"), |state| {
            (state.requests.len() >= count).then(|| state.requests.clone())
        })
        .await
    }

    /// Waits until `count` requests for `path` have come; returns all of them.
    pub(crate) async fn wait_for_on(&self, path: &str, count: usize) -> Vec<Request> {
        self.until(&format!("{count} requests for {path}"), |state| {
            let matching: Vec<_> = state.requests.iter().filter(|request| request.path() == path).cloned().collect();
            (matching.len() >= count).then_some(matching)
        })
        .await
    }

    async fn until<T>(&self, what: &str, mut check: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut arrived = self.shared.arrived.subscribe();
        let wait = async {
            loop {
                arrived.borrow_and_update();
                if let Some(found) = check(&mut self.shared.state()) {
                    return found;
                }
                arrived.changed().await.expect("the receiver lives");
            }
        };
        if let Ok(found) = tokio::time::timeout(DEADLINE, wait).await {
            return found;
        }
        let came: Vec<_> = self.requests().iter().map(ToString::to_string).collect();
        panic!("waited {DEADLINE:?} for {what}; these came: {came:#?}")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port of loopback on which nobody listens, and nobody else can begin to while this lives.
pub(crate) struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// Takes a port.
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port on loopback");
        Self(socket)
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().expect("an address"))
    }
}

async fn accept_all(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (accept, number) = {
            let mut state = shared.state();
            state.connections += 1;
            (state.accept.clone(), state.connections)
        };
        while connections.try_join_next().is_some() {}
        match accept {
            Accept::Serve => {
                connections.spawn(serve(stream, acceptor.clone(), number, Arc::clone(&shared)));
            }
            Accept::Close => drop(stream),
            Accept::Reset => {
                let _ = stream.set_zero_linger();
            }
            Accept::Acts(acts) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let mut stream: Stream = Box::new(stream);
                    let _ = act::perform(acts, &mut stream, &shared.bytes_sent).await;
                });
            }
            Accept::Ignore => {
                connections.spawn(async move {
                    std::future::pending::<()>().await;
                    drop(stream);
                });
            }
        }
    }
}

/// Serves one connection, behind TLS where there is an acceptor.
async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, number: usize, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return converse(Box::new(stream), false, number, shared).await };
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => {
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            converse(Box::new(stream), h2, number, shared).await;
        }
        // The alert goes out before the connection does.
        Err((_, mut stream)) => _ = stream.read_to_end(&mut Vec::new()).await,
    }
}

/// Talks on one connection until either side has had enough.
async fn converse(stream: Stream, h2: bool, number: usize, shared: Arc<Shared>) {
    let mut wire = wire::Wire::new(stream, h2);
    shared.state().open += 1;
    let _open = Open(Arc::clone(&shared));
    while let Some(mut request) = wire.request().await {
        request.connection = number;
        request.at = Some(Instant::now());
        let reply = {
            let mut state = shared.state();
            request.number = state.requests.len() + 1;
            let path = request.path().to_owned();
            let found = state.scripts.iter().position(|(scripted, _)| *scripted == path);
            let script = match found {
                Some(at) => &mut state.scripts[at].1,
                None => &mut state.answer,
            };
            let reply = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
            state.requests.push(request);
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            reply.expect("a script has one reply at least")
        };
        shared.arrived.send_modify(|count| *count += 1);
        let under_way = UnderWay(Arc::clone(&shared));
        let goes_on = reply.play(&mut wire.stream, &shared.bytes_sent).await;
        drop(under_way);
        if !goes_on {
            return;
        }
    }
}

/// A connection being served.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state().open -= 1;
    }
}

/// A request under way. A value, so that an abandoned connection gives it back as well.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        self.0.arrived.send_modify(|_| ());
    }
}

mod tests;
