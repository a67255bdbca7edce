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
    assert!(found.contains("cannot contain spaces") && found.contains("did you mean `${orderId}`?"), "{found}");
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
        ("https://a/<DataSource.Account Id>", "cannot contain spaces", "column 30"),
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
        (
            "syntax: merge_fields\nbody: '{\"a\": <Account.Nothing>}'",
            "body is not valid JSON after filling (line 1, column 7, in <Account.Nothing>): ",
        ),
        ("syntax: merge_fields\nbody: '{\"a\": <Account.Name>}'", "body: `Account.Name` is text, which needs quotes"),
        (
            "body: '{\"a\": {{ order.nothing }}}'",
            "body is not valid JSON after filling (line 1, column 7, in {{ order.nothing }}): ",
        ),
        (
            "body: '{\"i\": \"{{ order.id }}\", \"a\": {{ order.nothing }} , \"b\": {{ order.id }}}'",
            "body is not valid JSON after filling (line 1, column 21, in {{ order.nothing }}): ",
        ),
        (
            "body: '{\"i\": \"{{ order.id }}\", \"a\": , \"b\": 1}'",
            "body is not valid JSON after filling (line 1, column 20): ",
        ),
        (
            "body: '{\"a\": {{ order.nothing }}'",
            "body is not valid JSON after filling (line 1, column 6, in {{ order.nothing }}): EOF",
        ),
        (
            "format: xml\nbody: '<a>{% if order.paid %}<b>{% endif %}</a>'",
            "body is not well-formed XML after filling (line 1, column ",
        ),
    ] {
        let error = unsent(&format!("url: RECEIVER/\n{keys}"), &order()).await;
        assert!(error.starts_with(said), "{keys}: {error}");
    }
    assert!(refused("url: http://a\nbody: '{'").contains("the body is not valid JSON (line 1, column 1)"));
    assert!(
        refused("url: http://a\nformat: xml\nbody: '<a>'").contains("the body is not well-formed XML (line 1, column ")
    );
}

#[tokio::test]
async fn a_line_break_in_a_filled_header_stops_the_delivery() {
    for keys in ["headers: {X-Name: '{{ order.name }}'}", "syntax: merge_fields\nheaders: {X-Name: <DataSource.Name>}"]
    {
        let error = unsent(&format!("url: RECEIVER/\n{keys}"), &json!({"id": "1", "name": "a\r\nX-Evil: 1"})).await;
        assert!(error.starts_with("headers.") && error.contains("line breaks"), "{error}");
    }
}

#[tokio::test]
async fn url_rules_hold_for_what_is_filled_in() {
    for (keys, said) in [
        (
            "url: RECEIVER/\nurl_rules: {max_length: 60}\nmethod: GET\nparameters: {note: '{{ order.note }}'}",
            "max_length",
        ),
        ("url: RECEIVER/{{ order.note }}\nurl_rules: {max_length: 60}", "max_length"),
        ("url: <order.base>/x\nsyntax: merge_fields\nurl_rules: {https: true}", "https://"),
        ("url: <order.base>/x\nsyntax: merge_fields\nurl_rules: {port: false}", "port"),
    ] {
        let note = "x".repeat(60);
        let (request, delivery) =
            deliver("", keys, &json!({"id": "1", "note": note, "order": {"base": "http://127.0.0.1:1"}})).await;
        assert!(request.is_none());
        assert_eq!(delivery["attempts"][0]["code"], -2000, "{delivery:#}");
        let error = text(&delivery["attempts"][0], "error");
        assert!(error.starts_with("url: ") && error.contains(said), "{error}");
    }
    let keys = "url: RECEIVER/{{ order.note }}\nurl_rules: {max_length: 60}";
    assert_eq!(sent(keys, &json!({"id": "1", "note": "short"})).await.target, "/short");
}

#[test]
fn url_rules_are_checked_at_once_where_the_url_is_known() {
    for (keys, said) in [
        ("url: http://a.example/x\nurl_rules: {https: true}", "it must begin with https:// (url_rules.https)"),
        ("url: 'http://a.example/{{ order.id }}'\nurl_rules: {https: true}", "it must begin with https://"),
        ("url: https://a.example:443/x\nurl_rules: {port: false}", "it must not name a port (url_rules.port)"),
        ("url: 'https://a.example:{{ order.port }}/'", "a value next to the host's own text"),
        ("url: 'http://api{{ order.h }}/'", "a value next to the host's own text"),
        ("url: 'https://<Account.Base>.evil.com/'\nsyntax: merge_fields", "a value next to the host's own text"),
        ("url: 'https://${orderId}.evil.com/'\nsyntax: placeholder", "a value next to the host's own text"),
        (
            "url: https://a.example/0123456789\nurl_rules: {max_length: 20}",
            "more than the 20 allowed (url_rules.max_length)",
        ),
        ("url: https://a.example/<A.b>/0123456789\nsyntax: merge_fields\nurl_rules: {max_length: 20}", "max_length"),
    ] {
        let found = refused(keys);
        assert!(found.contains("channels[0].url: found ") && found.contains(said), "{keys}: {found}");
    }
    let long = format!("url: https://a.example/{}", "x".repeat(8200));
    assert!(refused(&long).contains("more than the 8192 allowed"));
}

#[tokio::test]
async fn empty_strings_filled_in_go_out_as_null_where_that_is_asked_for() {
    let keys = "syntax: merge_fields\nurl: RECEIVER/\nparameters: {Empty: <Account.Empty>, Missing: <Account.Nothing>, Null: <Account.Base>, Id: <Account.Id>, Static: ''}";
    let request = sent(&format!("{keys}\nempty_as_null: true"), &order()).await;
    assert_eq!(
        request.json(),
        json!({"Empty": "null", "Missing": "null", "Null": "null", "Id": "A/1 ü", "Static": "null"})
    );
    assert_eq!(
        sent(keys, &order()).await.json(),
        json!({"Empty": "", "Missing": "", "Null": "", "Id": "A/1 ü", "Static": ""})
    );
    let keys = "empty_as_null: true\nurl: RECEIVER/\nheaders: {X-Empty: 'a{{ order.account.empty }}'}\nbody: '{\"a\": \"{{ order.account.empty }}\", \"b\": {{ order.nothing }}}'";
    let request = sent(keys, &order()).await;
    assert_eq!(request.json(), json!({"a": "null", "b": null}));
    assert_eq!(request.header("x-empty"), Some("a"), "only parameters and body");
    let keys = "empty_as_null: true\nmethod: GET\nurl: RECEIVER/\nparameters: {a: '{{ order.account.empty }}'}";
    assert_eq!(sent(keys, &order()).await.target, "/?a=null");
}

#[tokio::test]
async fn dates_are_filled_in_by_the_locale() {
    let order = json!({"id": "1", "Day": "2026-11-21", "Time": "2026-11-21T14:05:09.5Z", "Text": "on 2026-11-21"});
    let keys = "syntax: merge_fields\nurl: RECEIVER/<DataSource.Day>\nparameters: {day: <DataSource.Day>, time: <DataSource.Time>, text: <DataSource.Text>}";
    let request = sent(keys, &order).await;
    assert_eq!(request.json(), json!({"day": "2026-11-21", "time": "2026-11-21T14:05:09.5Z", "text": "on 2026-11-21"}));
    let (request, _) = deliver("locale: en-US", keys, &order).await;
    let request = request.expect("a request");
    assert_eq!(request.target, "/Nov%2021%2C%202026");
    assert_eq!(
        request.json(),
        json!({"day": "Nov 21, 2026", "time": "Nov 21, 2026, 2:05:09 PM", "text": "on 2026-11-21"})
    );
    let (request, _) = deliver("locale: en-US", &format!("{keys}\nlocale: de-DE"), &order).await;
    assert_eq!(request.expect("a request").json()["time"], "21.11.2026, 14:05:09");
    let (request, _) = deliver("locale: en-US", "url: RECEIVER/\nparameters: {day: '{{ order.day }}'}", &order).await;
    assert_eq!(request.expect("a request").json()["day"], "2026-11-21", "only merge fields");
}

#[test]
fn an_unknown_locale_is_told() {
    let found = refused("url: http://a\nlocale: klingon");
    assert!(found.contains("channels[0].locale: found \"klingon\", allowed: a locale such as en-US"), "{found}");
    let found = config::load_text("shop.yaml", "locale: xx-YY", &Environment::new()).expect_err("unknown").to_string();
    assert!(found.contains("locale: found \"xx-YY\""), "{found}");
}

#[tokio::test]
async fn a_template_that_requires_a_field_names_it_and_its_key() {
    for (keys, error) in [
        ("body: '{\"a\": \"{{ order.account.nothing | required }}\"}'", "body: `order.account.nothing` is missing"),
        ("parameters: {Id: '{{ order.account.base | required }}'}", "parameters.Id: `order.account.base` is missing"),
        ("headers: {X-Id: '{{ order.nothing | required }}'}", "headers.x-id: `order.nothing` is missing"),
    ] {
        assert_eq!(unsent(&format!("url: RECEIVER/\n{keys}"), &order()).await, error);
    }
    let keys = "url: RECEIVER/\nparameters: {Id: '{{ order.account.id | required }}'}\nheaders: {X-Name: 'ü{{ order.account.id }}'}";
    let request = sent(keys, &order()).await;
    assert_eq!(request.json(), json!({"Id": "A/1 ü"}));
}

#[test]
fn the_examples_of_the_page_about_templates_load() {
    let page = include_str!("../../docs/templates.md");
    let examples: Vec<_> = page.split("```yaml\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    assert!(examples.len() >= 4, "{}", examples.len());
    for example in examples {
        config::load_text("templates.md", example, &Environment::new()).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

#[tokio::test]
async fn a_value_fills_its_part_of_the_path_or_nothing_is_sent() {
    for (keys, name) in [
        ("url: RECEIVER/orders/{{ order.id }}/close", "order.id"),
        ("syntax: merge_fields\nurl: RECEIVER/orders/<DataSource.id>/close", "DataSource.id"),
        ("syntax: placeholder\nurl: RECEIVER/orders/${orderId}/close", "${orderId}"),
    ] {
        for (id, dots) in [("..", ".."), (".", "."), ("%2e%2E", ".."), ("%252e.", "..")] {
            let error = unsent(keys, &json!({"id": id})).await;
            let expected = format!("url: `{name}` makes `{dots}` a segment of the path, which is another path");
            assert_eq!(error, expected, "{keys} {id}");
        }
        assert_eq!(sent(keys, &json!({"id": "1..2"})).await.target, "/orders/1..2/close");
    }
    let error = unsent("url: RECEIVER/a/{{ order.dot }}{{ order.dot }}/b", &json!({"id": "1", "dot": "."})).await;
    assert!(error.contains("`..` a segment of the path"), "{error}");
}

#[tokio::test]
async fn an_empty_value_in_a_path_is_as_a_missing_one() {
    for (keys, name) in [
        ("url: RECEIVER/orders/{{ order.ref }}/close", "order.ref"),
        ("url: RECEIVER/orders/{{ order.ref }}", "order.ref"),
        ("syntax: merge_fields\nurl: RECEIVER/orders/<DataSource.ref>/close", "DataSource.ref"),
    ] {
        let order = json!({"id": "1", "ref": ""});
        assert_eq!(unsent(keys, &order).await, format!("url: `{name}` is empty"), "{keys}");
    }
    let request = sent("url: RECEIVER/orders?ref={{ order.ref }}", &json!({"id": "1", "ref": ""})).await;
    assert_eq!(request.target, "/orders?ref=");
    let keys = "url: RECEIVER/orders{% if order.ref %}/{{ order.ref }}{% endif %}";
    assert_eq!(sent(keys, &json!({"id": "1", "ref": ""})).await.target, "/orders");
}

#[tokio::test]
async fn a_space_is_percent_20_in_a_query_of_parameters_as_everywhere() {
    let order = json!({"id": "1", "name": "a b+c&d=é"});
    let keys = "method: GET\nurl: RECEIVER/x?k=v\nparameters: {'n m': '{{ order.name }}', empty: ''}";
    assert_eq!(sent(keys, &order).await.target, "/x?k=v&n%20m=a%20b%2Bc%26d%3D%C3%A9&empty=");
    let keys = "method: GET\nurl: RECEIVER/x\nparameters: {n: '{{ order.name }}'}";
    assert_eq!(sent(keys, &order).await.target, "/x?n=a%20b%2Bc%26d%3D%C3%A9");
}

#[tokio::test]
async fn a_refused_body_is_on_record_without_secrets() {
    let keys = "url: RECEIVER/x\nauth: {type: bearer, token: t0psecret}\n\
                body: '{\"n\": {{ order.n | safe }}, \"note\": \"t0psecret\"}'";
    let (request, delivery) = deliver("", keys, &json!({"id": "1", "n": "1 2"})).await;
    assert!(request.is_none(), "{request:?}");
    assert_eq!(delivery["attempts"][0]["code"], -2000);
    assert_eq!(delivery["attempts"][0]["request"]["body"], r#"{"n": 1 2, "note": "***"}"#, "{delivery:#}");
}
