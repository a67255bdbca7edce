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
    for reply in [Reply::Close, Reply::Reset, Reply::ResetInHead, Reply::ShortBody, Reply::Garbage] {
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
        receiver.accept(accept.clone());
        assert!(call(Reply::status(200)).await.is_ok_and(|answer| answer.is_err()), "{accept:?}");
    }
    receiver.accept(Accept::Ignore);
    assert!(call(Reply::status(200)).await.is_err());
    let closed = ClosedPort::new();
    let address = closed.0.local_addr().expect("an address");
    let refused = Api::new(address).try_call("GET", "/", &[], b"").await.expect_err("no connection");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
