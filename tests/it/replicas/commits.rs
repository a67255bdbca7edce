//! Commits whose answers are lost: each order that was answered 2xx is there, once, and so is each that was not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::{Load, replica};
use crate::harness::eventually;
use crate::receiver::Receiver;
use crate::store_contract::cluster;

const YAML: &str = "channels: [{name: erp, url: RECEIVER/erp, retry: {attempts: 20, interval: 100ms, jitter: 0}}]";

/// `COMMIT` as a client sends it, and as the server answers it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// One commit in that many is cut off.
const RARITY: usize = 5;

/// How long a late commit is held back: long enough for the client to have connected again and asked.
const LATE: Duration = Duration::from_millis(300);

/// Cuts nothing off.
const WHOLE: u8 = 0;
/// Cuts the client off once the server has committed.
const AFTER: u8 = 1;
/// Cuts the client off before the server has the commit, and then hands it over.
const BEFORE: u8 = 2;

#[derive(Default)]
struct Cuts {
    kind: AtomicU8,
    commits: AtomicUsize,
    made: AtomicUsize,
}

impl Cuts {
    /// Whether a commit is to be cut off in that way.
    fn falls_on(&self, kind: u8, bytes: &[u8], message: &[u8]) -> bool {
        let cut = self.kind.load(Ordering::SeqCst) == kind
            && bytes.windows(message.len()).any(|found| found == message)
            && self.commits.fetch_add(1, Ordering::SeqCst).is_multiple_of(RARITY);
        self.made.fetch_add(usize::from(cut), Ordering::SeqCst);
        cut
    }
}

/// A TCP proxy between a replica and its server. Ends with its test.
struct Proxy {
    cuts: Arc<Cuts>,
    task: AbortHandle,
}

impl Proxy {
    /// Starts it in front of the server of a URL; returns the URL through it as well.
    async fn start(database: &str) -> (Self, String) {
        let (before, rest) = database.split_once('@').expect("a user");
        let (server, name) = rest.split_once('/').expect("a database");
        let server: SocketAddr = server.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("an address");
        let cuts = Arc::new(Cuts::default());
        let shared = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, server, Arc::clone(&shared)));
            }
        });
        (Self { cuts, task: task.abort_handle() }, format!("{before}@{address}/{name}"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, server: SocketAddr, cuts: Arc<Cuts>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let answers = tokio::spawn(answers(from_server, to_client, Arc::clone(&cuts)));
    if let Some((late, mut to_server)) = requests(from_client, to_server, &cuts).await {
        answers.abort();
        let _ = answers.await;
        tokio::time::sleep(LATE).await;
        let _ = to_server.write_all(&late).await;
        // The server commits before it finds that nobody reads its answer.
        tokio::time::sleep(LATE).await;
    } else {
        answers.abort();
    }
}

/// Forwards what the client sends; returns a commit that is to be late.
async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    cuts: &Cuts,
) -> Option<(Vec<u8>, OwnedWriteHalf)> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = client.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        if cuts.falls_on(BEFORE, &buffer[..read], COMMIT) {
            return Some((buffer[..read].to_vec(), server));
        }
        server.write_all(&buffer[..read]).await.ok()?;
    }
}

/// Forwards what the server answers, until a commit is to be cut off.
async fn answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, cuts: Arc<Cuts>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        if cuts.falls_on(AFTER, &buffer[..read], COMMITTED) || client.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _ = client.shutdown().await;
}

/// Posts orders until that many commits were cut off.
async fn cut_off(kind: u8, count: usize) {
    let receiver = Receiver::start().await;
    let (proxy, database) = Proxy::start(&cluster::database()).await;
    let process = replica(&database, &receiver, YAML).await;
    let load = Load::start(&[&process.api]);
    load.wait_for_more(20).await;
    proxy.cuts.kind.store(kind, Ordering::SeqCst);
    eventually("commits that are cut off", || async {
        (proxy.cuts.made.load(Ordering::SeqCst) >= count).then_some(())
    })
    .await;
    proxy.cuts.kind.store(WHOLE, Ordering::SeqCst);
    load.wait_for_more(20).await;
    assert_eq!(load.refused(), 0, "a commit that is found out is no error:\n{}", process.log);
    let posted = load.stop().await;
    posted.assert_delivered(&process.api, &receiver, "/erp").await;
    let log = process.log.clone();
    process.stop().await;
    assert!(log.raw().iter().any(|line| line.contains("the answer to a commit was lost")), "{log}");
    let errors: Vec<_> = log.lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test]
async fn a_commit_whose_answer_is_cut_off_is_found_out() {
    cut_off(AFTER, 100).await;
}

#[tokio::test]
async fn a_commit_that_comes_late_is_waited_for() {
    cut_off(BEFORE, 20).await;
}

#[tokio::test]
async fn a_start_whose_commits_are_cut_off_is_made_again() {
    let receiver = Receiver::start().await;
    for cut in 0..RARITY {
        let (proxy, database) = Proxy::start(&cluster::database()).await;
        // The first one that is cut off has that number.
        proxy.cuts.commits.store(RARITY - cut, Ordering::SeqCst);
        proxy.cuts.kind.store(AFTER, Ordering::SeqCst);
        let process = replica(&database, &receiver, YAML).await;
        proxy.cuts.kind.store(WHOLE, Ordering::SeqCst);
        assert!(proxy.cuts.made.load(Ordering::SeqCst) > 0, "commit {cut} was cut off");
        process.api.order(&serde_json::json!({"id": "A-1"})).await;
        process.api.all_settled().await;
        process.stop().await;
    }
}
