//! What the history keeps.

use proptest::prelude::*;

use super::super::exchange;
use super::*;

#[tokio::test]
async fn an_exchange_is_on_record_without_its_secrets() {
    let response = "HTTP/1.1 201 Created\r\nset-cookie: session=s-3\r\nx-shop: acme\r\ncontent-length: 4\r\n\r\ndone";
    let (url, _) = answering(response).await;
    let mut request = post(&format!("{url}hook?api_key=s-1&id=7"));
    for (name, value) in [("x-api-key", "s-4"), ("x-tenant", "acme"), ("authorization", "s-5")] {
        request.headers.insert(name, value.parse().expect("a value"));
    }
    let mut marked: http::HeaderValue = "s-6".parse().expect("a value");
    marked.set_sensitive(true);
    request.headers.insert("x-marked", marked);
    let auth = Auth::Bearer { token: "s-2".to_owned().into() };
    let reply = client(&ClientOptions { auth, ..options() }).send(&request).await;
    let record = exchange(&request, &reply);
    assert_eq!((record.method.as_str(), &record.url), ("POST", &format!("{url}hook?api_key=***&id=7")));
    let pairs = |headers: &crate::domain::HeaderLines| -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    };
    let agent = concat!("user-agent: orderhook/", env!("CARGO_PKG_VERSION"));
    let mut sent = pairs(&record.request_headers);
    sent.sort();
    assert_eq!(sent, ["authorization: ***", agent, "x-api-key: ***", "x-marked: ***", "x-tenant: acme"]);
    assert_eq!(pairs(&record.response_headers), ["set-cookie: ***", "x-shop: acme", "content-length: 4"]);
    assert_eq!((&record.request_body, &record.response_body[..]), (&Body::whole("{}"), &b"done"[..]));
    assert!(!format!("{record:?} {reply:?}").contains("s-2"), "{reply:?}");
}

#[tokio::test]
async fn without_a_response_the_record_holds_the_request() {
    let request = post("http://nowhere.invalid/x");
    let reply = client(&options()).send(&request).await;
    let record = exchange(&request, &reply);
    assert_eq!(record.url, "http://nowhere.invalid/x");
    assert!(record.response_headers.is_empty() && record.response_body.is_empty());
}

proptest! {
    #[test]
    fn secrets_in_a_query_are_masked_whatever_stands_beside_them(
        fields in proptest::collection::vec(("[a-z&=ü ]{0,5}", "[a-z&=ü ]{0,5}"), 0..4),
        at in 0usize..5,
    ) {
        let mut fields = fields;
        fields.insert(at.min(fields.len()), ("Api_Key".into(), "SECRET".into()));
        let mut url = Url::parse("http://a.example/x").expect("a URL");
        url.query_pairs_mut().extend_pairs(fields);
        let request = Request { url, ..post("http://a.example/") };
        let reply = Reply {
            starved: false,
            again: false,
            code: crate::domain::Code::CLOSED,
            elsewhere: false,
            auth: false,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            truncated: false,
            times: None,
            error: None,
            credentials: None,
        };
        let shown = exchange(&request, &reply).url;
        prop_assert!(!shown.contains("SECRET") && shown.contains("Api_Key=***"), "{}", shown);
    }
}
