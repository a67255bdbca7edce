//! Receivers of every temper, written by hand on TCP: what becomes of a request to each.

mod auth;
mod bounds;
mod connections;
mod egress;
mod faults;
mod record;
mod secure;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, ClientOptions, Reply, Request, Url};
use crate::config::settings::{Auth, Egress, Method, Timeout};
use crate::domain::Body;
use crate::system::SystemClock;

/// Long enough never to be met in a test that does not mean it.
const LONG: Duration = Duration::from_secs(20);

fn options() -> ClientOptions {
    ClientOptions {
        timeout: Timeout::Total(LONG),
        max_response: 1000,
        refuse_large: false,
        pool: 8,
        resend: false,
        auth: Auth::None,
        shared: Vec::new(),
        egress: Arc::new(Egress::anywhere()),
        covered: false,
        clock: Arc::new(SystemClock),
        tls: None,
    }
}

fn client(options: &ClientOptions) -> Client {
    Client::new(options).expect("a client")
}

fn post(url: &str) -> Request {
    Request {
        method: Method::Post,
        url: Url::parse(url).expect("a URL"),
        headers: HeaderMap::new(),
        again: HeaderMap::new(),
        body: Body::whole("{}"),
        order: bytes::Bytes::new(),
    }
}

/// Counts the connections that a receiver took.
type Taken = Arc<AtomicUsize>;

/// A receiver that does `answer` on every connection. Its URL, and how many it took.
async fn receiver<F, A>(answer: F) -> (String, Taken)
where
    F: Fn(TcpStream) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    let taken = Taken::default();
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(stream));
        }
    });
    (url, taken)
}

/// Reads one request, body included; `None` where the connection ends first.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

/// A receiver that answers every request on a connection with the same bytes, and keeps the connection.
async fn answering(response: impl Into<Vec<u8>>) -> (String, Taken) {
    let response: Arc<[u8]> = response.into().into();
    receiver(move |mut stream| {
        let response = Arc::clone(&response);
        async move {
            while read_request(&mut stream).await.is_some() {
                if stream.write_all(&response).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// A receiver that answers one request with these bytes and closes.
async fn closing(response: impl Into<Vec<u8>>) -> (String, Taken) {
    let response: Arc<[u8]> = response.into().into();
    receiver(move |mut stream| {
        let response = Arc::clone(&response);
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&response).await;
        }
    })
    .await
}

async fn send(url: &str) -> Reply {
    client(&options()).send(&post(url)).await
}

fn taken(count: &Taken) -> usize {
    count.load(Ordering::SeqCst)
}
