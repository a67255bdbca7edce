//! A real HTTP receiver on loopback that does as it is told, and keeps all that it was sent.
//!
//! It speaks HTTP/1.1 on raw TCP, so that it can also speak it wrongly. Answers are scripted for a path
//! ([`Receiver::on`]) or for all others ([`Receiver::answer`]): a list of [`Reply`] is gone through in sequence, and
//! its last one stays. Tests wait for what arrives ([`Receiver::next`], [`Receiver::wait_for`]) and never sleep. To
//! add a misbehaviour, add a variant to [`Reply`] and teach `reply.rs` to play it.

mod reply;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

pub(crate) use reply::Reply;
pub(crate) use wire::Request;

/// The longest that a test waits for anything. Reached only by a test that fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What becomes of a connection before anything is read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// It is served.
    Serve,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
    /// It is kept open, and nothing is ever read.
    Ignore,
    /// It gets a plain HTTP error at once, whatever it speaks.
    Plain,
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver {
    /// A receiver that answers everything with an empty 200.
    pub(crate) async fn start() -> Self {
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
        let task = tokio::spawn(accept_all(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, task }
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

    /// `http://127.0.0.1:PORT` and `path`.
    pub(crate) fn url(&self, path: &str) -> String {
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

async fn accept_all(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (accept, number) = {
            let mut state = shared.state();
            state.connections += 1;
            (state.accept, state.connections)
        };
        while connections.try_join_next().is_some() {}
        match accept {
            Accept::Serve => {
                connections.spawn(converse(stream, number, Arc::clone(&shared)));
            }
            Accept::Close => drop(stream),
            Accept::Reset => {
                let _ = stream.set_zero_linger();
            }
            Accept::Plain => {
                connections.spawn(refuse_plainly(stream));
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

async fn refuse_plainly(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

/// Serves one connection until either side has had enough.
async fn converse(stream: TcpStream, number: usize, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut wire = wire::Wire::new(stream);
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

mod tests {
    //! The receiver must be right, or no other test means anything.

    use super::*;
    use crate::client::Api;

    fn api(receiver: &Receiver) -> Api {
        Api::new(receiver.address)
    }

    #[tokio::test]
    async fn the_receiver_goes_through_its_script_and_stays_with_the_last_reply() {
        let receiver = Receiver::start().await;
        receiver.on("/a", [Reply::status(500), Reply::body(201, "text/plain", "made")]);
        let api = api(&receiver);
        for expected in [500, 201, 201] {
            assert_eq!(api.post_bytes("/a?q=1", b"body").await.status, expected);
        }
        assert_eq!(api.get("/b").await.status, 200);
        let requests = receiver.wait_for(4).await;
        assert_eq!((requests[0].path(), requests[0].query(), requests[0].text()), ("/a", Some("q=1"), "body"));
        assert_eq!(receiver.next().await.number, 1);
        assert_eq!(receiver.next().await.number, 2);
        assert_eq!((receiver.count_on("/a"), receiver.connections(), receiver.in_flight()), (3, 4, 0));
    }

    #[tokio::test]
    async fn the_receiver_holds_replies_back_and_counts_what_is_under_way() {
        let receiver = Receiver::start().await;
        let gate = Gate::new();
        receiver.answer([Reply::status(200).held(&gate)]);
        let mut calls = JoinSet::new();
        for _ in 0..3 {
            let api = api(&receiver);
            calls.spawn(async move { api.get("/").await.status });
        }
        receiver.wait_for(3).await;
        assert_eq!(receiver.in_flight(), 3);
        gate.pass();
        assert_eq!(calls.join_next().await.expect("a call").expect("a status"), 200);
        gate.open();
        calls.join_all().await;
        assert_eq!((receiver.in_flight(), receiver.most_in_flight()), (0, 3));
    }

    #[tokio::test]
    async fn the_receiver_misbehaves_as_it_is_told() {
        let receiver = Receiver::start().await;
        let call = |reply: Reply| {
            receiver.answer([reply]);
            let api = api(&receiver);
            async move {
                let call = api.try_call("GET", "/", &[], b"");
                tokio::time::timeout(Duration::from_millis(100), call).await
            }
        };
        for reply in
            [Reply::Close, Reply::Reset, Reply::ResetInHead, Reply::ResetInBody, Reply::ShortBody, Reply::Garbage]
        {
            let what = format!("{reply:?}");
            assert!(call(reply).await.is_ok_and(|answer| answer.is_err()), "{what} ends without an answer");
        }
        for reply in [
            Reply::HangBeforeHead,
            Reply::HangInBody,
            Reply::Drip(Duration::from_millis(5)),
            Reply::EndlessHeaders,
            Reply::EndlessBody,
        ] {
            let what = format!("{reply:?}");
            assert!(call(reply).await.is_err(), "{what} does not end");
        }
        for accept in [Accept::Close, Accept::Reset] {
            receiver.accept(accept);
            assert!(call(Reply::status(200)).await.is_ok_and(|answer| answer.is_err()), "{accept:?}");
        }
        receiver.accept(Accept::Ignore);
        assert!(call(Reply::status(200)).await.is_err());
        let closed = ClosedPort::new();
        let address = closed.0.local_addr().expect("an address");
        let refused = Api::new(address).try_call("GET", "/", &[], b"").await.expect_err("no connection");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
