//! Credentials: when they go out, and when they were refused.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::domain::Code;

/// A receiver that gives `answers` one after another, the last one on and on, and tells the `Authorization` of each
/// request, or its `X-Key`.
async fn guarded(answers: &'static [&'static str]) -> (String, UnboundedReceiver<Option<String>>) {
    let (seen, requests) = unbounded_channel();
    let count = Arc::new(AtomicUsize::new(0));
    let (url, _) = receiver(move |mut stream| {
        let seen = seen.clone();
        let count = Arc::clone(&count);
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let header = |line: &str| {
                    let (name, value) = line.split_once(": ")?;
                    ["authorization", "x-key"].contains(&name).then(|| value.to_owned())
                };
                let _ = seen.send(request.lines().find_map(header));
                let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                let _ =
                    stream.write_all(format!("HTTP/1.1 {}\r\ncontent-length: 0\r\n\r\n", answers[at]).as_bytes()).await;
            }
        }
    })
    .await;
    (url, requests)
}

const CHALLENGE: &str = "401 Unauthorized\r\nwww-authenticate: Digest realm=\"a, Basic b\", Basic realm=\"shop\"";

fn basic(preemptive: bool) -> Auth {
    Auth::Basic { username: "ann".into(), password: "secret".to_owned().into(), preemptive }
}

async fn go(auth: Auth, answers: &'static [&'static str]) -> (Reply, Vec<Option<String>>) {
    let (url, mut requests) = guarded(answers).await;
    let reply = client(&ClientOptions { auth, ..options() }).send(&post(&url)).await;
    let mut seen = Vec::new();
    while let Ok(request) = requests.try_recv() {
        seen.push(request);
    }
    (reply, seen)
}

const ANN: &str = "Basic YW5uOnNlY3JldA==";

#[tokio::test]
async fn preemptive_credentials_go_out_with_the_first_request() {
    let bearer = Auth::Bearer { token: "t-1".to_owned().into() };
    let header = Auth::Header { name: "X-Key".into(), value: "k-1".to_owned().into() };
    for (auth, expected) in [(basic(true), ANN), (bearer, "Bearer t-1"), (header, "k-1")] {
        let (reply, seen) = go(auth.clone(), &["200 OK"]).await;
        assert_eq!((reply.code, reply.auth), (Code::status(200), false));
        assert_eq!(seen, [Some(expected.to_owned())]);
        let (reply, seen) = go(auth, &[CHALLENGE]).await;
        assert_eq!((reply.code, reply.auth, seen.len()), (Code::status(401), true, 1));
    }
}

#[tokio::test]
async fn without_credentials_a_401_is_only_a_status() {
    let (reply, seen) = go(Auth::None, &[CHALLENGE]).await;
    assert_eq!((reply.code, reply.auth), (Code::status(401), false));
    assert_eq!(seen, [None]);
}

#[tokio::test]
async fn a_challenge_is_answered_on_the_same_connection() {
    let (reply, seen) = go(basic(false), &[CHALLENGE, "200 OK"]).await;
    assert_eq!((reply.code, reply.auth), (Code::status(200), false));
    assert_eq!(seen, [None, Some(ANN.to_owned())]);
}

#[tokio::test]
async fn a_second_401_ends_it() {
    let (reply, seen) = go(basic(false), &[CHALLENGE]).await;
    assert_eq!((reply.code, reply.auth), (Code::status(401), true));
    assert_eq!(seen, [None, Some(ANN.to_owned())]);
}

#[tokio::test]
async fn a_401_that_asks_for_nothing_or_something_else_ends_it_too() {
    for answer in [&["401 Unauthorized"][..], &["401 Unauthorized\r\nwww-authenticate: Bearer realm=\"Basic\""]] {
        let (reply, seen) = go(basic(false), answer).await;
        assert_eq!((reply.code, reply.auth), (Code::status(401), false));
        assert_eq!(seen, [None]);
    }
}

#[tokio::test]
async fn without_a_challenge_no_credentials_go_out() {
    for answer in [&["200 OK"][..], &["403 Forbidden\r\nwww-authenticate: Basic realm=\"x\""]] {
        let (reply, seen) = go(basic(false), answer).await;
        assert!(!reply.auth);
        assert_eq!(seen, [None]);
    }
}
