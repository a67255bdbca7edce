//! What templates promise, seen from outside: the three syntaxes, formats, escaping, and what is never sent.

use orderhook::config::{self, Environment};
use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Request};

/// Sends `order` through a channel of these keys. `RECEIVER` is the receiver's address.
async fn deliver(top: &str, keys: &str, order: &Value) -> (Option<Request>, Value) {
    let receiver = Receiver::start().await;
    let keys: String = keys.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    let yaml = receiver.fill(&format!("{top}\nchannels:\n  - name: erp\n{keys}"));
    let service = Service::start(&yaml).await;
    let answer = service.api.order(&order.clone()).await;
    let delivery = service.api.settled(&delivery_to(&answer, "erp")).await;
    service.stop().await;
    (receiver.requests().into_iter().next(), delivery)
}

async fn sent(keys: &str, order: &Value) -> Request {
    let (request, delivery) = deliver("", keys, order).await;
    request.unwrap_or_else(|| panic!("nothing was sent: {delivery:#}"))
}

/// The error of an attempt that could not be built; nothing has been sent.
async fn unsent(keys: &str, order: &Value) -> String {
    let (request, delivery) = deliver("", keys, order).await;
    assert!(request.is_none(), "{request:?}");
    assert_eq!((&delivery["status"], &delivery["attempts"][0]["code"]), (&json!("failed"), &json!(-2000)));
    text(&delivery["attempts"][0], "error").to_owned()
}

/// What is wrong with a channel of these keys.
#[track_caller]
fn refused(keys: &str) -> String {
    let keys: String = keys.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    let yaml = format!("channels:\n  - name: erp\n{keys}");
    config::load_text("shop.yaml", &yaml, &Environment::new()).expect_err("a wrong configuration").to_string()
}

fn order() -> Value {
    json!({
        "id": "4711",
        "Account": {"Id": "A/1 ü", "name": "say \"hi\"", "Balance": 12.5, "Empty": "", "Base": null},
        "Lines": [{"Sku": "X"}, {"Sku": "Y&Z"}],
        "paid": true,
    })
}

#[tokio::test]
async fn merge_fields_fill_url_parameters_headers_and_body() {
    let keys = "syntax: merge_fields\nurl: RECEIVER/zuora/<DataSource.Account.Id>?e=<Event.type>\n\
                headers: {X-Account: 'no <Account.Balance> <b>'}\n\
                parameters: {AccountId: <DataSource.Account.Id>, Sku: '<lines.1.sku>', Missing: '<Account.Nothing>', Html: '<b>x</b>'}";
    let request = sent(keys, &order()).await;
    assert_eq!(request.target, "/zuora/A%2F1%20%C3%BC?e=order.completed");
    assert_eq!(request.header("x-account"), Some("no 12.5 <b>"));
    assert_eq!(request.json(), json!({"AccountId": "A/1 ü", "Sku": "Y&Z", "Missing": "", "Html": "<b>x</b>"}));

    let body = r#"body: '{"a": "<account.NAME>", "n": <Account.Balance>, "all": <DataSource.Lines>, "text": "<Account.Lines><Lines.0>", "d": "<Delivery.id>"}'"#;
    let request = sent(&format!("syntax: merge_fields\nurl: RECEIVER/\n{body}"), &order()).await;
    let sent = request.json();
    assert_eq!(sent["a"], "say \"hi\"");
    assert_eq!((&sent["n"], &sent["all"]), (&json!(12.5), &order()["Lines"]));
    assert_eq!(sent["text"], r#"{"Sku":"X"}"#, "an object between quotes is text");
    assert!(text(&sent, "d").starts_with("dlv_"));
}

#[tokio::test]
async fn merge_fields_see_what_the_chain_gathered() {
    let receiver = Receiver::start().await;
    receiver.answer([crate::receiver::Reply::json(200, &json!({"userId": "u 1"}))]);
    let yaml = receiver.fill(
        "chains: [{name: all, plugins: [{name: calloutPlugin, critical: true, options: {endpoint: RECEIVER/users}}]}]\n\
         channels: [{name: erp, url: 'RECEIVER/<Context.userId>', syntax: merge_fields}]",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.order(&order()).await;
    service.api.settled(&delivery_to(&answer, "erp")).await;
    assert_eq!(receiver.requests().last().map(|request| request.target.clone()).as_deref(), Some("/u%201"));
    service.stop().await;
}

#[tokio::test]
async fn a_merge_field_at_the_start_of_a_url_gives_its_base() {
    let receiver = Receiver::start().await;
    let yaml = "channels: [{name: erp, url: '<Account.Base>/x/<Account.Id>', syntax: merge_fields}]";
    let service = Service::start(yaml).await;
    let mut order = order();
    order["Account"]["Base"] = receiver.fill("RECEIVER/base").into();
    let answer = service.api.order(&order).await;
    let delivery = service.api.settled(&delivery_to(&answer, "erp")).await;
    assert_eq!(delivery["status"], "accepted", "{delivery:#}");
    assert_eq!(receiver.next().await.target, "/base/x/A%2F1%20%C3%BC");
    for base in ["no url", "ftp://x", "http://user:pw@x", "http://x y"] {
        order["Account"]["Base"] = base.into();
        let answer = service.api.order(&order).await;
        let delivery = service.api.settled(&delivery_to(&answer, "erp")).await;
        assert_eq!(delivery["attempts"][0]["code"], -2000, "{base}");
    }
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_field_missing_in_a_url_names_itself_and_the_key() {
    let error = unsent("syntax: merge_fields\nurl: RECEIVER/<Account.Nothing>", &order()).await;
    assert_eq!(error, "url: `Account.Nothing` is missing");
    let error = unsent("url: RECEIVER/{{ order.account.nothing }}", &order()).await;
    assert_eq!(error, "url: `order.account.nothing` is missing");
}

#[tokio::test]
async fn the_placeholder_is_the_orders_own_id() {
    for (url, target) in [
        ("RECEIVER/${orderId}", "/4711"),
        ("RECEIVER/path/?data=${orderId}", "/path/?data=4711"),
        ("RECEIVER/path/${orderId}?update=true", "/path/4711?update=true"),
        ("RECEIVER/whatever${orderId}whatever", "/whatever4711whatever"),
    ] {
        let request = sent(&format!("syntax: placeholder\nmethod: GET\nurl: {url}"), &order()).await;
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", target));
    }
    let keys = "syntax: placeholder\nurl: RECEIVER/orders\nbody: '{\"id\": \"${orderId}\", \"n\": ${orderId}}'";
    assert_eq!(sent(keys, &order()).await.json(), json!({"id": "4711", "n": 4711}));
    let keys = "syntax: placeholder\nurl: RECEIVER/orders\nbody: '{\"id\": \"${orderId}\"}'";
    let hostile = json!({"id": "x\", \"admin\": \"1"});
    assert_eq!(sent(keys, &hostile).await.json(), json!({"id": "x\", \"admin\": \"1"}));
}

#[test]
fn a_placeholder_written_wrongly_is_told_with_what_is_right() {
    let found = refused("syntax: placeholder\nurl: http://dev.environment.com/?data={orderId}");
    assert!(
        found.contains("channels[0].url") && found.contains("`${orderId}`") && found.contains("column 34"),
        "{found}"
    );
    assert!(found.contains("http://dev.environment.com/?data={orderId}\n"), "{found}");
    assert!(found.lines().any(|line| line.trim() == "^"), "{found}");
    let found = refused("syntax: placeholder\nurl: http://dev.environment.com/?data=${order id}");
    assert!(found.contains("no spaces") && found.contains("did you mean `${orderId}`?"), "{found}");
    let found = refused("syntax: placeholder\nmethod: GET\nurl: http://dev.environment.com/orders");
    assert!(found.contains("channels[0].url") && found.contains("${orderId}") && found.contains("GET"), "{found}");
    for (url, said) in [
        ("http://a/${orderld}", "did you mean `${orderId}`?"),
        ("http://a/${something}", "there is ${orderId}, "),
        ("http://a/${orderId", "is not closed"),
        ("http://a/{{ order.id }}", "`${orderId}`"),
    ] {
        let found = refused(&format!("syntax: placeholder\nurl: '{url}'"));
        assert!(found.contains(said), "{url}: {found}");
    }
}

#[test]
fn a_merge_field_written_wrongly_is_told_with_its_place() {
    for (url, said, column) in [
        ("https://a/<DataSource.Account.Id", "not closed", "column 33"),
        ("https://a/<DataSource..Id>", "a name is missing", "column 23"),
        ("https://a/<Event.typ>", "did you mean <Event.type>?", "column 18"),
        ("https://a/<DataSource.Account Id>", "no spaces", "column 30"),
    ] {
        let found = refused(&format!("syntax: merge_fields\nurl: '{url}'"));
        assert!(found.contains(said) && found.contains(column), "{url}: {found}");
    }
}

#[tokio::test]
async fn form_writes_fields_and_says_so() {
    let keys = "format: form\nurl: RECEIVER/\nparameters: {id: '{{ order.id }}', name: '{{ order.account.name }}', n: 3, none: null}";
    let request = sent(keys, &order()).await;
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.text(), "id=4711&name=say%20%22hi%22&n=3&none=");
    let request = sent("format: form\nurl: RECEIVER/", &order()).await;
    let fields: Vec<(String, String)> = url_fields(&request);
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["type", "timestamp", "data"]);
    let data: Value = serde_json::from_str(&fields[2].1).expect("JSON within the field");
    assert_eq!(data["order"], order());
    let keys = "format: form\nurl: RECEIVER/\nbody: 'a={{ order.account.name }}&b={{ order.id }}'";
    let request = sent(keys, &json!({"id": "1", "account": {"name": "x&admin=1"}})).await;
    assert_eq!(request.text(), "a=x%26admin%3D1&b=1");
}

fn url_fields(request: &Request) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

#[tokio::test]
async fn xml_writes_elements_and_says_so() {
    let keys = "format: xml\nurl: RECEIVER/\nparameters: {id: '{{ order.id }}', '1 na:me': '{{ order.account.name }}', n: 3, none: null}";
    let request = sent(keys, &order()).await;
    assert_eq!(request.header("content-type"), Some("application/xml"));
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<order><id>4711</id><_1_na_me>say &quot;hi&quot;</_1_na_me><n>3</n><none/></order>";
    assert_eq!(request.text(), expected);
    let request = sent("format: xml\nurl: RECEIVER/", &json!({"id": "1", "xml:a<b>": "\u{1}]]>", "l": [1, 2]})).await;
    let order = "<data><order><id>1</id><_xml_a_b_>\u{fffd}]]&gt;</_xml_a_b_><l>1</l><l>2</l></order>";
    assert!(request.text().contains(order), "{request}");
    let keys = "format: xml\nurl: RECEIVER/\nbody: '<o a=\"{{ order.name }}\">{{ order.name }}</o>'";
    let request = sent(keys, &json!({"id": "1", "name": "\"><admin/>"})).await;
    assert_eq!(request.text(), "<o a=\"&quot;&gt;&lt;admin/&gt;\">&quot;&gt;&lt;admin/&gt;</o>");
}

#[tokio::test]
async fn a_body_that_is_not_its_format_once_filled_in_is_never_sent() {
    for (keys, said) in [
        ("syntax: merge_fields\nbody: '{\"a\": <Account.Nothing>}'", "body: filled in, it is no JSON: "),
        ("syntax: merge_fields\nbody: '{\"a\": <Account.Name>}'", "body: `Account.Name` is text, which needs quotes"),
        ("body: '{\"a\": {{ order.nothing }}}'", "body: filled in, it is no JSON: "),
        ("format: xml\nbody: '<a>{% if order.paid %}<b>{% endif %}</a>'", "body: filled in, it is no XML: "),
    ] {
        let error = unsent(&format!("url: RECEIVER/\n{keys}"), &order()).await;
        assert!(error.starts_with(said), "{keys}: {error}");
    }
    assert!(refused("url: http://a\nbody: '{'").contains("the body is no JSON"));
    assert!(refused("url: http://a\nformat: xml\nbody: '<a>'").contains("the body is no XML"));
}

#[tokio::test]
async fn a_line_break_in_a_filled_header_stops_the_delivery() {
    for keys in ["headers: {X-Name: '{{ order.name }}'}", "syntax: merge_fields\nheaders: {X-Name: <DataSource.Name>}"]
    {
        let error = unsent(&format!("url: RECEIVER/\n{keys}"), &json!({"id": "1", "name": "a\r\nX-Evil: 1"})).await;
        assert!(error.starts_with("headers.") && error.contains("line breaks"), "{error}");
    }
}
