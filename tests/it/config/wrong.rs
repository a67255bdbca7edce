//! What is said about configurations that are wrong.

use super::*;

/// Wrong configurations, each with what is wrong about it.
const WRONG: &[(&str, &str)] = &[
    ("several things at once", "
server: {listn: x, max_body: big, max_depth: 4000, request_timeout: 30}
store: {retention: soon}
delivery: {workers: 0}
chanels: []
channels:
  - {name: a, url: 'https://example.com', retry: {attempts: 8, intervall: 5s}}
  - {name: b, url: 'https://example.com', retry: {interval: 30}}
"),
    ("workers", "
delivery: {workers: 2}
channels:
  - {name: a, url: 'http://a'}
  - {name: b, url: 'http://b'}
  - {name: c, url: 'http://c'}
  - {name: d, url: 'http://d', enabled: false}
"),
    ("types", "
server: 5
store: [a]
chains: {a: b}
channels:
  - erp
  - {name: 5, url: true, enabled: 'yes', when: 1, events: order.completed, concurrency: 2.5, headers: [a], retry: 3,
     timeout: 15s, outcomes: any, parameters: {a: [1], b: {c: d}}, body: {a: 1}, method: post, format: yaml, syntax: jinga}
"),
    ("methods", "
channels:
  - {name: a, url: 'http://a', methods: [GET, DELETE]}
  - {name: b, url: 'http://b', methods: [GET, post]}
  - {name: c, url: 'http://c', methods: [], payload: body}
"),
    ("ranges", "
server: {max_body: 2GiB, shutdown_grace: 2h, max_connections: -1, header_timeout: 0}
limits: {max_attempts: 5, max_interval: 1h}
channels:
  - {name: a, url: 'http://a', retry: {attempts: 6, schedule: [1h, 2h, 61m], jitter: 1.5}, concurrency: 0, timeout: {total: 0s}}
  - {name: b, url: 'http://b', retry: {attempts: 0, interval: 1d}}
  - {name: c, url: 'http://c'}
"),
    ("filters", "
channels:
  - {name: a, url: 'http://a', filter: 'OrderType=SALE'}
  - {name: b, url: 'http://b', granularity: ORDER, filter: 'Data.Lines(*.Code=X'}
  - {name: c, url: 'http://c', granularity: operation, filter: 5}
"),
    ("schedules", "
channels:
  - {name: a, url: 'http://a', schedule: {every: 59s}}
  - {name: b, url: 'http://b', schedule: {every: 25h, batch: 0, bucket: 101}}
  - {name: c, url: 'http://c', schedule: {batch: 5}}
  - {name: d, url: 'http://d', schedule: {every: 15m, cron: '0 6 * * *'}}
  - {name: e, url: 'http://e', schedule: {cron: '0 25 * * *'}}
  - {name: f, url: 'http://f', schedule: {cron: '0 6 30 2 *', batch: 5, bucket: 6}}
  - {name: g, url: 'http://g/{{ order.id }}', method: GET, format: xml, headers: {X: '{{ order.id }}'}, schedule: {every: 15m, bucket: 2}}
  - {name: h, url: 'http://h', preset: secutix, schedule: null}
  - {name: i, url: 'http://i', preset: secutix, method: PUT}
"),
    ("names", "
chains:
  - {name: One, plugins: [{name: calloutplugin, options: {}}]}
  - name: two
    plugins:
      - {name: calloutPlugin, id: calloutPlugin-2, options: {endpoint: 'http://a'}}
      - {name: calloutPlugin, options: {endpoint: 'http://a'}}
      - {name: calloutPlugin, id: 'a b', options: {endpoint: 'http://a'}}
  - {name: two, plugins: []}
channels:
  - {name: a, url: 'http://a', preset: standart}
  - {name: a, url: 'http://a', preset: zuorra}
  - {name: b, url: 'http://b', events: [order.complete, '', 'with space', delivery.x*, invoice.paid]}
  - {url: 'http://b'}
"),
    ("the callout's options", "
chains:
  - name: a
    plugins:
      - name: calloutPlugin
        options: {endpoint: example.com, timeoutvalue: 5, timeoutValue: 2s, shouldRejectOn: [404], payload: body,
                  capture: {a: account/id, b: /x~y}, body: 'not json', method: HEAD}
      - name: calloutPlugin
        options: {endpoint: 'https://a', shouldRejectOn: {status: [timeout, 600, 4x, 200-100, null]}, auth: basic}
      - {name: calloutPlugin}
      - {options: {endpoint: 'https://a'}}
"),
    ("urls", "
server: {public_url: 'ftp://example.com'}
channels:
  - {name: a, url: 'https://user:hunter2@example.com/'}
  - {name: b, url: example.com}
  - {name: c, url: 'https://'}
  - {name: d, url: 'https://exa mple.com'}
  - {name: e, url: 'https://example.com:port'}
  - {name: f}
"),
    ("alternatives", "
channels:
  - {name: a, url: 'http://a', timeout: {total: 1s, connect: 1s}, retry: {interval: 1s, schedule: [1s]}}
  - {name: b, url: 'http://b', timeout: {connect: 1s}, retry: {schedule: null}}
  - {name: c, url: 'http://c', timeout: {transfer: 1s}, retry: {schedule: []}}
  - {name: d, url: 'http://d', timeout: null, retry: null, events: []}
"),
    ("outcomes", "
channels:
  - name: a
    url: http://a
    outcomes:
      - {on: [2xx, 999, timeuot, 7xx, 500-400], then: accepted}
      - {on: [any], then: retried}
      - {on: [], then: failed}
      - {then: failed}
      - {on: 2xx, then: accepted, else: failed}
"),
    ("secrets", "
server:
  tokens:
    - {name: a, token: hunter2-same, scopes: [ingest]}
    - {name: b, token: hunter2-same, scopes: [read]}
    - {name: a, token: hunter2-other, scopes: [write]}
    - {name: slow, token: hunter2-slow, scopes: [read], rate_limit: 5/s}
    - {name: odd, token: hunter2-odd, scopes: [ingest], rate_limit: 5 per s}
    - {name: Hunter2, token: '', scopes: []}
    - {name: d, token: hunter2 with spaces, scope: [read]}
    - {name: e, token: 12345678, scopes: hunter2}
    - {name: f, token: x, token_file: /hunter2, scopes: [read]}
    - {name: g, token_file: /nonexistent/secret, scopes: [read]}
    - hunter2
channels:
  - {name: a, url: 'http://a', auth: {type: barer, token: hunter2}}
  - {name: b, url: 'http://b', auth: {type: bearer, tokn: hunter2}}
  - {name: c, url: 'http://c', auth: {type: basic, username: 'hunter2:', password: 12345678, preemptive: hunter2}}
  - {name: d, url: 'http://d', auth: {token: hunter2}}
  - {name: e, url: 'http://e', auth: 'Bearer hunter2'}
  - {name: f, url: 'http://f', auth: {type: header, name: 'hunter2 hunter2', value: \"hunter2\\nx\"}}
  - {name: g, url: 'http://g', auth: {type: bearer, token: [hunter2]}}
  - {name: h, url: 'http://h', auth: {type: oauth2, token_url: hunter2}}
  - {name: i, url: 'http://i', headers: {X-Key: \"hunter2\\nx\"}}
  - {name: j, url: 'http://j', headers: {X-Key: 'hunter2 {{', Cookie: 12345678}}
"),
    ("tokens of providers", "
oauth_providers:
  - {name: corp, token_url: 'ftp://hunter2', client_id: '', client_secret: ''}
  - {name: corp, token_url: 'https://u:hunter2@id', client_id: shop, client_secret: 12345678}
  - {name: fine, token_url: 'https://id', client_id: shop, client_secret: hunter2}
channels:
  - {name: a, url: 'http://a', auth: {type: oauth2, provider: hunter2}}
  - {name: b, url: 'http://b', auth: {type: oauth2, provider: fine, client_id: shop, client_secret: hunter2}}
  - {name: c, url: 'http://c', auth: {type: oauth2, client_id: shop}}
  - {name: d, url: 'http://d', auth: {type: oauth2, provider: corp, scope: ''}}
  - {name: e, url: 'http://e', auth: {type: oauth3}}
"),
    ("keys of assertions", "
channels:
  - {name: a, url: 'http://a', auth: {type: jwt_bearer, issuer: '', algorithm: RS512, use: assertion, key: hunter2}}
  - {name: b, url: 'http://b', auth: {type: jwt_bearer, token_url: 'https://id', issuer: shop, key: hunter2}}
  - {name: c, url: 'http://c', auth: {type: jwt_bearer, token_url: 'https://id', issuer: shop, key_file: /nonexistent/secret}}
  - {name: d, url: 'http://d', auth: {type: jwt_bearer, token_url: 'https://id', issuer: shop, key: hunter2, algorithm: HS256}}
  - {name: e, url: 'http://e', auth: {type: jwt_bearer, token_url: 'https://id', issuer: shop, key: '-----BEGIN PUBLIC KEY-----'}}
"),
    ("users of NTLM", "
channels:
  - {name: a, url: 'http://a', auth: {type: ntlm, username: 'SHOP\\hunter2', password: hunter2}}
  - {name: b, url: 'http://b', auth: {type: ntlm, domain: ''}}
"),
    ("headers and bodies", "
channels:
  - {name: a, url: 'http://a', headers: {'X Y': a, Content-Length: '5', X-A: a, x-a: b, X-N: 5}}
  - {name: b, url: 'http://b', body: '{\"a\": '}
"),
    (
        "templates and expressions",
        "
chains: [{name: a, when: 'order.type in [', plugins: []}]
channels:
  - {name: a, url: 'https://example.com/{{ order.id', when: 'order.total >'}
  - {name: b, url: 'https://example.com/{% if %}', headers: {X-A: '{{ }}'}, parameters: {a: '{{ order.a | nofilter }}'}}
  - {name: c, url: 'http://c', body: '{\"a\": {{ order.a }'}
",
    ),
    ("the outside without tokens", "server: {listen: '0.0.0.0:8080'}"),
    ("an address that is none", "server: {listen: 'localhost:8080'}"),
    ("pointers", "orders: {id: id, type: /a/~2, customer_email: 5, items: /items}"),
    ("stores", "store: {url: 'postgres://me:hunter2@db/orders', max_size: 0}"),
    ("a store in memory", "store: {url: 'sqlite://:memory:'}"),
    ("variables that are not set", "
server: {public_url: 'https://${HOST}/${PLACE}', tokens: [{name: a, token: '${TOKEN}', scopes: [read]}]}
channels: [{name: a, url: '${URL}', retry: {interval: '${WAIT:-soon}'}}]
"),
    ("keys that reach into a section", "server.listen: x\nchannels[99999999999]: y\n\"\": z\n'a b.c': 1"),
    ("null where a default holds", "server: {listen: null}\ndelivery: {workers: null}\nlimits: null"),
    ("mail without a server", "
channels:
  - {name: a, kind: email, email: {to: a@example.com, subject: a, body: b}}
  - {name: b, url: 'http://b', email: {}}
  - {name: c, kind: mail, url: 'http://c'}
"),
    ("mail", "
smtp: {url: 'smtp://localhost', from: a@example.com}
channels:
  - {name: a, kind: email, url: 'http://a', method: PUT, headers: {A: b}, email: {to: a@example.com, subject: a}}
  - {name: b, kind: email}
  - {name: c, kind: email, email: {to: 'a@example.com, b@example.com', subject: '{{ order.id', body: b, instructions: c}}
  - {name: d, url: 'http://d', email: {body: a, tos: b}}
  - {name: e, preset: email, email: {body: a}}
"),
    ("a mail server's URL", "smtp: {url: 'smtp://hunter2:hunter2@mail.example.com', from: 'hunter2'}"),
    ("a mail server's password in the open", "smtp: {url: 'smtp://mail.example.com', from: a@example.com, username: hunter2, password: hunter2}"),
    ("half of a mail server's credentials", "smtp: {url: 'smtps://mail.example.com/x', username: hunter2, ca_file: /nonexistent/secret}"),
    ("another kind of mail server", "smtp: {url: 'http://hunter2', from: 'a@example.com, b@example.com', password_file: /nonexistent}"),
    ("keys of later versions", "locale: en\nchannels: [{name: a, url: 'http://a', signing: {}, ordering: none, rate_limit: 5/s}]"),
    ("no YAML", "server: {listen: ]"),
    ("a key twice", "server: {}\nstore: {}\nserver: {}"),
    ("a list", "- server"),
];

#[test]
fn wrong_configurations_are_told_in_full() {
    let mut told = String::new();
    for (what, yaml) in WRONG {
        let faults = load(yaml).expect_err(what);
        let known = |file: &str| file == "shop.yaml" || file.starts_with("preset ");
        assert!(faults.iter().all(|fault| known(fault.file())), "{what}: {faults}");
        assert!(!faults.to_string().contains("unter2"), "{what}: {faults}");
        assert!(!faults.to_string().contains("12345678"), "{what}: {faults}");
        told.push_str(&format!("# {what}\n{faults}\n\n"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn all_files_are_told_about_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, yaml: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, yaml).unwrap();
        path
    };
    let files = [
        write("a.yaml", b"server: {max_depth: deep}"),
        write("b.yaml", b"server: ["),
        write("c.yaml", b"store: {urll: x}"),
        write("d.yaml", b"store: \xff"),
        folder.path().join("missing.yaml"),
    ];
    let faults = config::load(&files, &Environment::new()).unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| (fault.file().rsplit('/').next().unwrap(), fault.path())).collect();
    assert_eq!(
        told,
        [
            ("a.yaml", "server.max_depth".to_owned()),
            ("b.yaml", String::new()),
            ("c.yaml", "store.urll".to_owned()),
            ("d.yaml", String::new()),
            ("missing.yaml", String::new()),
        ]
    );
}

#[test]
fn loopback_needs_no_tokens_and_the_outside_does() {
    for listen in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:8080"] {
        assert!(load(&format!("server: {{listen: '{listen}'}}")).is_ok(), "{listen}");
    }
    for listen in ["0.0.0.0:80", "[::]:80", "192.168.1.1:80"] {
        assert!(faults(&format!("server: {{listen: '{listen}'}}")).contains("no tokens"), "{listen}");
        let token = "tokens: [{name: a, token: t, scopes: [ingest]}]";
        assert!(load(&format!("server: {{listen: '{listen}', {token}}}")).is_ok(), "{listen}");
    }
}

#[test]
fn a_template_out_of_the_environment_is_not_shown() {
    let variables = environment(&[("KEY", "hunter2 {{ x")]);
    let yaml = "channels: [{name: a, url: 'http://a', headers: {X-Key: '${KEY}'}}]";
    let faults = config::load_text("a.yaml", yaml, &variables).unwrap_err().to_string();
    assert!(faults.starts_with("a.yaml: channels[0].headers.X-Key: ") && !faults.contains("hunter2"), "{faults}");
}
