//! What goes over the wire, and which connection it takes.

use super::*;
use crate::domain::Code;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The one request that `request` becomes.
async fn wire(request: impl FnOnce(&str) -> Request) -> String {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let (url, _) = receiver(move |mut stream| {
        let seen = seen.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let _ = seen.send(request);
                let _ = stream.write_all(OK).await;
            }
        }
    })
    .await;
    let reply = client(&options()).send(&request(&url)).await;
    assert_eq!(reply.code, Code::status(200), "{:?}", reply.error);
    requests.recv().await.expect("a request").replace(url.trim_start_matches("http://").trim_end_matches('/'), "HOST")
}

#[tokio::test]
async fn a_request_goes_out_as_it_was_made() {
    let text = wire(|url| {
        let mut request = post(&format!("{url}a%20b/c?x=1&y=%2F#part"));
        request.headers.insert("x-shop", "acme".parse().expect("a value"));
        request.body = Body { head: "{\"order\":".into(), spliced: Some("}".into()) };
        request.order = "{\"id\":1}".into();
        request
    })
    .await;
    let agent = concat!("orderhook/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        text,
        format!(
            "POST /a%20b/c?x=1&y=%2F HTTP/1.1\r\nx-shop: acme\r\ncontent-length: 18\r\naccept: */*\r\n\
             user-agent: {agent}\r\nhost: HOST\r\n\r\n{{\"order\":{{\"id\":1}}}}"
        )
    );
}

#[tokio::test]
async fn a_header_cannot_change_the_framing() {
    let text = wire(|url| {
        let mut request = post(url);
        request.headers.insert("content-length", "77".parse().expect("a value"));
        request.headers.insert("transfer-encoding", "chunked".parse().expect("a value"));
        request
    })
    .await;
    assert!(text.contains("content-length: 2\r\n") && !text.contains("77") && !text.contains("chunked"), "{text}");
}

#[tokio::test]
async fn every_method_goes_out() {
    for method in Method::ALL {
        let text = wire(|url| Request { method: *method, body: Body::default(), ..post(url) }).await;
        assert!(text.starts_with(&format!("{} / HTTP/1.1\r\n", method.as_str())), "{text}");
        assert_eq!(text.contains("content-length: 0"), method.has_body(), "{text}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (url, count) = answering(OK).await;
    let client = client(&options());
    for _ in 0..5 {
        assert_eq!(client.send(&post(&url)).await.body, "ok");
    }
    assert_eq!(taken(&count), 1);
    let (none, count) = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    for _ in 0..3 {
        assert_eq!(client.send(&post(&none)).await.code, Code::status(204));
    }
    assert_eq!(taken(&count), 1);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let (url, count) = answering(OK).await;
    let none = client(&ClientOptions { pool: 0, ..options() });
    for _ in 0..2 {
        none.send(&post(&url)).await;
    }
    assert_eq!(taken(&count), 2);
    let one = client(&ClientOptions { pool: 1, ..options() });
    let request = post(&url);
    futures_util::future::join_all((0..3).map(|_| one.send(&request))).await;
    assert_eq!(taken(&count), 5);
    futures_util::future::join_all((0..2).map(|_| one.send(&request))).await;
    assert_eq!(taken(&count), 6);
}

#[tokio::test]
async fn a_connection_that_closed_while_idle_costs_no_request() {
    let (url, count) = closing(OK).await;
    let client = client(&options());
    for sent in 1..=4 {
        let reply = client.send(&post(&url)).await;
        assert_eq!(reply.code, Code::status(200), "{:?}", reply.error);
        assert_eq!(taken(&count), sent);
        // The news of the closing is on its way.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// A receiver that answers so many requests on a connection; it closes it instead of answering another one, or resets it.
async fn tired(answers: usize, resets: bool) -> (String, Taken) {
    receiver(move |mut stream| async move {
        for _ in 0..answers {
            read_request(&mut stream).await;
            let _ = stream.write_all(OK).await;
        }
        read_request(&mut stream).await;
        if resets {
            let _ = stream.set_zero_linger();
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_that_closes_as_a_request_goes_out_costs_none_where_it_may_be_sent_again() {
    for resets in [false, true] {
        let (url, count) = tired(1, resets).await;
        let client = client(&ClientOptions { resend: true, ..options() });
        for sent in 1..=3 {
            let reply = client.send(&post(&url)).await;
            assert_eq!((reply.code, taken(&count)), (Code::status(200), sent), "{:?}", reply.error);
        }
    }
}

#[tokio::test]
async fn a_request_goes_out_once_where_nothing_else_is_said_or_on_a_new_connection() {
    for resets in [false, true] {
        let (url, count) = tired(1, resets).await;
        let client = client(&options());
        for (sent, code) in [(1, Code::status(200)), (1, Code::CLOSED), (2, Code::status(200))] {
            assert_eq!((client.send(&post(&url)).await.code, taken(&count)), (code, sent));
        }
        let (url, count) = tired(0, resets).await;
        let client = self::client(&ClientOptions { resend: true, ..options() });
        assert_eq!((client.send(&post(&url)).await.code, taken(&count)), (Code::CLOSED, 1));
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_asked_for_again() {
    let (url, count) = receiver(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        read_request(&mut stream).await;
        let _ = stream.write_all(&OK[..OK.len() - 1]).await;
    })
    .await;
    let client = client(&ClientOptions { resend: true, ..options() });
    for code in [Code::status(200), Code::CLOSED] {
        assert_eq!((client.send(&post(&url)).await.code, taken(&count)), (code, 1));
    }
}

#[tokio::test]
async fn clients_share_no_connection() {
    let (url, count) = answering(OK).await;
    for _ in 0..2 {
        send(&url).await;
    }
    assert_eq!(taken(&count), 2);
}

#[tokio::test]
async fn a_request_on_a_kept_connection_has_the_time_to_transfer() {
    let (url, count) = receiver(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        while read_request(&mut stream).await.is_some() {}
    })
    .await;
    let timeout = Timeout::Phases { connect: LONG, transfer: Duration::from_millis(100) };
    let client = client(&ClientOptions { timeout, ..options() });
    assert_eq!(client.send(&post(&url)).await.code, Code::status(200));
    assert_eq!(client.send(&post(&url)).await.code, Code::TIMEOUT);
    assert_eq!(taken(&count), 1);
    assert_eq!(client.send(&post(&url)).await.code, Code::status(200), "on a connection of its own");
    assert_eq!(taken(&count), 2);
}

#[tokio::test]
async fn a_redirect_is_a_response_like_any_other() {
    let (url, count) = answering("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").await;
    let reply = send(&url).await;
    assert_eq!((reply.code, taken(&count)), (Code::status(302), 1));
    assert_eq!(reply.headers["location"], "/elsewhere");
}

#[tokio::test]
async fn interim_responses_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let (url, _) = answering([interim.as_bytes(), OK].concat()).await;
    let reply = send(&url).await;
    assert_eq!((reply.code, &reply.body[..]), (Code::status(200), &b"ok"[..]));
    assert!(!reply.headers.contains_key("link"));
}

#[tokio::test]
async fn a_receiver_may_answer_before_it_has_read_the_request() {
    let (url, _) = receiver(|mut stream| async move {
        let mut some = [0; 1024];
        let _ = stream.read(&mut some).await;
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
        tokio::time::sleep(LONG).await;
    })
    .await;
    let request = Request { body: Body::whole(vec![b'x'; 16 << 20]), ..post(&url) };
    assert_eq!(client(&options()).send(&request).await.code, Code::status(413));
}

#[tokio::test]
async fn bytes_behind_a_response_do_not_become_the_next_one() {
    let (url, count) = answering([OK, b"HTTP/1.1 500 Smuggled\r\ncontent-length: 0\r\n\r\n"].concat()).await;
    let client = client(&options());
    for sent in 1..=2 {
        assert_eq!(client.send(&post(&url)).await.code, Code::status(200));
        assert_eq!(taken(&count), sent);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
