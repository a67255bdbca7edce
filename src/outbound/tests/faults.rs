//! What goes wrong, and the code it gets.

use super::*;
use crate::domain::Code;

#[track_caller]
fn is(reply: &Reply, code: Code, sentence: &str) {
    let error = reply.error.as_deref().unwrap_or("no error");
    assert_eq!(reply.code, code, "{error}");
    assert!(error.contains(sentence), "{error}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let reply = send(&format!("http://{address}/")).await;
    is(&reply, Code::NO_CONNECTION, &format!("no connection to {address}: Connection refused"));
}

#[tokio::test]
async fn a_name_without_address_is_told_apart() {
    is(&send("http://nowhere.invalid/").await, Code::DNS, "DNS lookup for nowhere.invalid failed");
}

#[tokio::test]
async fn tls_with_a_port_that_speaks_none_fails_as_tls() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let (url, _) = receiver(move |mut stream| async move {
            let mut hello = [0; 512];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(answer).await;
        })
        .await;
        is(&send(&url.replace("http:", "https:")).await, Code::TLS, "TLS with 127.0.0.1:");
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_times_out() {
    let (url, _) = receiver(|mut stream| async move { while read_request(&mut stream).await.is_some() {} }).await;
    let short = Duration::from_millis(60);
    for timeout in [Timeout::Total(short), Timeout::Phases { connect: LONG, transfer: short }] {
        let started = tokio::time::Instant::now();
        let reply = client(&ClientOptions { timeout, ..options() }).send(&post(&url)).await;
        is(&reply, Code::TIMEOUT, "no complete response within 60ms");
        assert!(started.elapsed() >= short);
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_timeout_while_connecting() {
    let (url, _) = receiver(|mut stream| async move {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    })
    .await;
    let short = Duration::from_millis(60);
    for timeout in [Timeout::Total(short), Timeout::Phases { connect: short, transfer: LONG }] {
        let client = client(&ClientOptions { timeout, ..options() });
        let reply = client.send(&post(&url.replace("http:", "https:"))).await;
        is(&reply, Code::CONNECT_TIMEOUT, "within 60ms");
    }
}

#[tokio::test]
async fn a_body_that_drips_times_out_and_what_came_is_known() {
    let (url, _) = receiver(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-shop: acme\r\ncontent-length: 500\r\n\r\n").await;
        while stream.write_all(b"z").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let timeout = Timeout::Total(Duration::from_millis(150));
    let reply = client(&ClientOptions { timeout, ..options() }).send(&post(&url)).await;
    is(&reply, Code::TIMEOUT, "no complete response within 150ms");
    assert_eq!(reply.headers["x-shop"], "acme");
    assert!(!reply.body.is_empty() && reply.body.iter().all(|byte| *byte == b'z'));
}

#[tokio::test]
async fn a_connection_that_closes_early_is_told_apart_from_a_timeout() {
    for response in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123",
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
    ] {
        let (url, _) = closing(response).await;
        is(&send(&url).await, Code::CLOSED, "the connection closed before the response was complete");
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_is_closed_too() {
    let (url, _) = receiver(|stream| async move {
        // Closing with unread bytes resets the connection.
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(stream);
    })
    .await;
    is(&send(&url).await, Code::CLOSED, "the connection closed");
}

#[tokio::test]
async fn garbage_is_no_http() {
    for response in [
        "220 mail.example ESMTP\r\n",
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
    ] {
        let (url, _) = closing(response).await;
        is(&send(&url).await, Code::CLOSED, "the response is not valid HTTP");
    }
    let (url, _) = closing("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a number\r\n").await;
    assert_eq!(send(&url).await.code, Code::CLOSED);
}

#[tokio::test]
async fn a_response_with_no_length_ends_with_the_connection() {
    let (url, _) = closing("HTTP/1.0 200 OK\r\n\r\nfine").await;
    let reply = send(&url).await;
    assert_eq!((reply.code, &reply.body[..], reply.error), (Code::status(200), &b"fine"[..], None));
}

#[tokio::test]
async fn a_url_that_no_request_can_go_to_is_never_tried() {
    for url in ["ftp://a.example/", "http://ann:pw@a.example/"] {
        let reply = send(url).await;
        is(&reply, Code::NOT_BUILT, "the request cannot be sent");
        assert!(!format!("{reply:?}").contains("pw"));
    }
}
