//! Responses of any size cost bounded memory and time.

use super::*;
use crate::domain::Code;

#[tokio::test]
async fn a_long_response_is_cut_off_and_its_connection_kept() {
    let response = [&b"HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\n"[..], &*vec![b'x'; 50_000]].concat();
    let (url, count) = answering(response).await;
    let client = client(&options());
    for _ in 0..3 {
        let reply = client.send(&post(&url)).await;
        assert_eq!((reply.code, reply.body.len(), reply.truncated), (Code::status(200), 1000, true));
        assert_eq!(reply.error, None);
    }
    assert_eq!(taken(&count), 1);
}

#[tokio::test]
async fn a_response_of_just_the_size_is_whole() {
    for length in [0, 999, 1000] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let (url, _) = answering([head.as_bytes(), &vec![b'x'; length]].concat()).await;
        let reply = send(&url).await;
        assert_eq!((reply.code, reply.body.len(), reply.truncated), (Code::status(200), length, false));
    }
}

#[tokio::test]
async fn gigabytes_are_not_read() {
    for head in ["content-length: 99999999999", "transfer-encoding: chunked"] {
        let written = Taken::default();
        let count = Arc::clone(&written);
        let (url, _) = receiver(move |mut stream| {
            let count = Arc::clone(&count);
            async move {
                read_request(&mut stream).await;
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).await;
                let chunk = [&b"10000\r\n"[..], &vec![b'y'; 0x1_0000], b"\r\n"].concat();
                while stream.write_all(&chunk).await.is_ok() {
                    count.fetch_add(chunk.len(), Ordering::SeqCst);
                }
                count.fetch_add(1 << 40, Ordering::SeqCst);
            }
        })
        .await;
        let reply = send(&url).await;
        assert_eq!((reply.code, reply.body.len(), reply.truncated), (Code::status(200), 1000, true));
        while taken(&written) < 1 << 40 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // What the sockets hold is the system's to decide; beyond that only the bounded rest was taken.
        assert!(taken(&written) - (1 << 40) < 32 << 20, "{}", taken(&written) - (1 << 40));
    }
}

#[tokio::test]
async fn a_drip_beyond_what_is_kept_ends_soon_and_well() {
    let (url, count) = receiver(|mut stream| async move {
        read_request(&mut stream).await;
        let head = [b"HTTP/1.1 202 Accepted\r\ncontent-length: 5000\r\n\r\n", &[b'x'; 1001][..]].concat();
        let _ = stream.write_all(&head).await;
        while stream.write_all(b"z").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let client = client(&options());
    for sent in 1..=2 {
        let reply = client.send(&post(&url)).await;
        assert_eq!((reply.code, reply.body.len(), reply.truncated), (Code::status(202), 1000, true));
        assert_eq!(taken(&count), sent, "a connection that was not read to the end is not used again");
    }
}

#[tokio::test]
async fn a_long_response_is_refused_where_asked_to() {
    let (url, _) = answering([b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n", &[b'x'; 1001][..]].concat()).await;
    let reply = client(&ClientOptions { refuse_large: true, ..options() }).send(&post(&url)).await;
    assert_eq!(reply.code, Code::TOO_LARGE);
    assert_eq!(reply.error.as_deref(), Some("the response is larger than 1000 bytes"));
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (endless, _) = receiver(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
    })
    .await;
    let many = "x-many: 1\r\n".repeat(200);
    let (many, _) = closing(format!("HTTP/1.1 200 OK\r\n{many}\r\n")).await;
    for url in [endless, many] {
        let reply = send(&url).await;
        assert_eq!(reply.code, Code::TOO_LARGE, "{:?}", reply.error);
        assert_eq!(
            reply.error.as_deref(),
            Some("the head of the response, or its declared length, is larger than allowed")
        );
    }
}
