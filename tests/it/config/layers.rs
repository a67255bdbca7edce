//! Several files as one configuration, and the forms in which a value may be written.

use super::*;

/// Loads files of these names and contents from a folder: each on its own, or the folder as a whole.
fn load_files(files: &[(&str, &str)], whole: bool, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (name, yaml) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, yaml).unwrap();
        paths.push(path);
    }
    let sources = if whole { vec![folder.path().to_owned()] } else { paths };
    config::load(&sources, &environment(variables)).map_err(|faults| faults.to_string())
}

#[test]
fn named_lists_of_several_files_are_joined_by_name_and_key() {
    let first = "
server: {tokens: [{name: shop, token: one, scopes: [ingest]}]}
channels:
  - {name: a, url: 'http://a', auth: {type: basic, username: u, password: p}, retry: {interval: 5s}, headers: {X-A: a}}
  - {name: b, url: 'http://b'}
";
    let second = "
server: {tokens: [{name: shop, token: two}, {name: support, token: three, scopes: [read]}]}
channels:
  - {name: c, url: 'http://c'}
  - {name: a, auth: {password: q}, retry: {schedule: [1s]}, headers: {X-B: b}}
";
    let settings = load_files(&[("a.yaml", first), ("b.yaml", second)], false, &[]).unwrap();
    let names: Vec<_> = settings.channels.iter().map(|channel| &*channel.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let channel = &settings.channels[0];
    assert!(
        matches!(&channel.auth, Auth::Basic { username, password, .. } if username == "u" && password.expose_secret() == "q")
    );
    assert_eq!(channel.retry.backoff(), &Backoff::Schedule(vec![Duration::from_secs(1)]));
    assert_eq!(channel.headers.len(), 2);
    let tokens: Vec<_> = settings.server.tokens.iter().map(|token| token.token.expose_secret()).collect();
    assert_eq!(tokens, ["two", "three"]);
    let twice = "channels: [{name: a, url: 'http://x'}, {name: a, url: 'http://y'}]";
    let problem = load_files(&[("a.yaml", first), ("b.yaml", twice)], false, &[]).unwrap_err();
    assert!(problem.contains("the name a is taken"), "{problem}");
}

#[test]
fn a_folder_is_read_as_one_file_in_which_nothing_is_set_twice() {
    let a = ("a.yaml", "server: {max_depth: 50}\nchannels: [{name: a, url: 'http://a'}]");
    let b = ("b.yaml", "server: {max_body: 2MiB}\nchannels: [{name: b, url: 'http://b'}]");
    let settings = load_files(&[b, a, (".c.yaml", "not read: ["), ("d.yml", "[")], true, &[]).unwrap();
    assert_eq!((settings.server.max_depth, settings.server.max_body), (50, 2 << 20));
    assert_eq!(settings.channels.iter().map(|channel| &*channel.name).collect::<Vec<_>>(), ["a", "b"]);
    let twice = ("c.yaml", "server: {max_depth: 60}\nchannels: [{name: a, url: 'http://a'}]");
    let problem = load_files(&[a, twice], true, &[]).unwrap_err();
    for line in problem.lines().take(2) {
        assert!(line.contains("a.yaml") && line.contains("c.yaml"), "{problem}");
    }
    assert!(problem.contains("server.max_depth: this key is already set"), "{problem}");
    assert!(problem.contains("channels: the name a is already used"), "{problem}");
    assert!(load_files(&[], true, &[]).unwrap_err().contains("no *.yaml file"));
}

#[test]
fn a_blank_file_is_refused() {
    for blank in ["", " \n\n", "\u{feff}\n"] {
        let problem = load_files(&[("a.yaml", blank)], false, &[]).unwrap_err();
        assert!(problem.contains("a.yaml: is empty"), "{problem}");
    }
    assert!(load_files(&[("a.yaml", "# the defaults\n")], false, &[]).is_ok());
}

#[test]
fn a_variable_may_name_a_secrets_file_and_wins_over_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pw");
    std::fs::write(&path, "s3cret").unwrap();
    let path = path.display().to_string();
    let yaml = "smtp: {url: 'smtp://localhost', from: a@shop.example, username: u, password: old}";
    let load = |path: &str| load_files(&[("a.yaml", yaml)], false, &[("ORDERHOOK__SMTP__PASSWORD_FILE", path)]);
    assert!(load(&path).is_ok());
    let problem = load("/nowhere/pw").unwrap_err();
    assert!(problem.contains("environment ORDERHOOK__SMTP__PASSWORD_FILE: smtp.password_file"), "{problem}");
    assert!(problem.contains("\"/nowhere/pw\" cannot be read"), "{problem}");
}

#[test]
fn a_variable_with_single_underscores_is_named_as_a_slip() {
    for (variable, meant) in [
        ("ORDERHOOK_SERVER_LISTEN", "ORDERHOOK__SERVER__LISTEN"),
        ("ORDERHOOK_SMTP__PASSWORD_FILE", "ORDERHOOK__SMTP__PASSWORD_FILE"),
        ("ORDERHOOK_STORE_MAX_SIZE", "ORDERHOOK__STORE__MAX_SIZE"),
    ] {
        let problem = load_files(&[], false, &[(variable, "x")]).unwrap_err();
        assert!(problem.contains(&format!("environment {variable}: ")), "{problem}");
        assert!(problem.contains(&format!("did you mean {meant},")), "{problem}");
    }
    let of_a_platform =
        [("ORDERHOOK_PORT", "tcp://10.0.0.1:80"), ("ORDERHOOK_SERVICE_HOST", "x"), ("ORDERHOOK_LOG", "x")];
    assert!(load_files(&[], false, &of_a_platform).is_ok());
}

#[test]
fn one_value_stands_for_a_list_of_one() {
    let settings = loaded(
        "
server: {tokens: {name: shop, token: one, scopes: ingest}}
channels: {name: a, url: 'http://a', events: order.rejected, outcomes: {on: 2xx, then: accepted}, retry: {schedule: 5s}}
",
    );
    assert_eq!(settings.server.tokens[0].scopes, [Scope::Ingest]);
    let channel = &settings.channels[0];
    assert_eq!(channel.events[0].as_str(), "order.rejected");
    assert_eq!(channel.retry.backoff(), &Backoff::Schedule(vec![Duration::from_secs(5)]));
    let channel = super::channel("signing: {secrets: whsec_b25lb25lb25lb25lb25lb25lb25lb25l}");
    assert!(!channel.shown.to_string().contains("whsec"), "{}", channel.shown);
}

#[test]
fn merge_keys_and_keys_of_ones_own_work() {
    let settings = loaded(
        "
x-common: &common {url: 'http://common', concurrency: 3}
channels:
  - {<<: *common, name: a, concurrency: 4}
  - {<<: [{timeout: {total: 7s}}, *common], name: b, x-note: of our own}
",
    );
    let [a, b] = &settings.channels[..] else { panic!("two channels") };
    assert_eq!((a.concurrency, b.concurrency), (4, 3));
    assert_eq!((a.url.source(), b.timeout), ("http://common", Timeout::Total(Duration::from_secs(7))));
}

#[test]
fn an_unquoted_reference_between_braces_is_explained() {
    let problem = faults("channels:\n  - {name: a, url: 'http://a', auth: {type: bearer, token: ${PW}}}");
    assert!(problem.contains("line 2: put ${PW} in quotes"), "{problem}");
}

#[test]
fn null_where_a_value_is_needed_is_not_called_missing() {
    let problem = faults("channels: [{name: null, url: null, auth: {type: bearer, token: null}}]");
    assert!(problem.contains("channels[0].name: found null, allowed:"), "{problem}");
    assert!(problem.contains("channels[0].auth.token: found null, allowed:"), "{problem}");
}

#[test]
fn what_the_environment_fills_in_is_shown_nowhere() {
    let variables = [("V", "hunter2"), ("N", "987654")];
    for yaml in [
        "server: {request_timeout: '${V}'}",
        "server: {request_timeout: '${N}'}",
        "server: {max_depth: '${N}', public_url: '${V}'}",
        "orders: {id: '${V}'}",
        "channels: [{name: a, url: '${V}', method: '${V}', kind: '${V}', preset: '${V}'}]",
        "channels: [{name: a, url: 'http://a', events: '${V}', when: '${V} +'}]",
        "channels: [{name: a, url: 'http://a', retry: {attempts: '${N}'}, auth: {type: '${V}'}}]",
        "channels: '${V}'",
    ] {
        let told = config::load_text("a.yaml", yaml, &environment(&variables)).unwrap_err().to_string();
        assert!(!told.contains("hunter2") && !told.contains("987654"), "{told}");
    }
    let told = faults("channels: [{name: a, url: 'http://a', auth: {type: baisc}}]");
    assert!(told.contains("auth.type: found \"baisc\""), "{told}");
}

#[test]
fn reserved_headers_are_refused_in_channels_and_callouts() {
    for name in ["Idempotency-Key", "webhook-id", "Webhook-Timestamp", "webhook-signature", "traceparent"] {
        let channel = faults(&format!("channels: [{{name: a, url: 'http://a', headers: {{{name}: x}}}}]"));
        let callout = faults(&format!(
            "chains: [{{name: a, plugins: [{{name: calloutPlugin, options: {{endpoint: 'http://a', headers: {{{name}: x}}}}}}]}}]"
        ));
        for problem in [channel, callout] {
            assert!(problem.contains(name) && problem.contains("this header is reserved"), "{problem}");
        }
    }
}

#[test]
fn numbers_are_shown_as_written_and_keep_their_digits_or_are_refused() {
    for written in ["01234", "+5", ".5", "5.", "0x1F", ".inf"] {
        let told = faults(&format!("channels: [{{name: a, url: 'http://a', parameters: {{zip: {written}}}}}]"));
        assert!(told.contains(&format!("channels[0].parameters.zip: found {written}, allowed: ")), "{told}");
        assert!(told.contains("JSON cannot hold this number as written; put it in quotes to make it text"), "{told}");
    }
    for written in ["01234", "1.10", "20261129000000000001"] {
        let told = faults(&format!("channels: [{{name: a, url: 'http://a', headers: {{X-No: {written}}}}}]"));
        assert!(told.contains(&format!("found {written}, allowed: ")) && told.contains("put it in quotes"), "{told}");
    }
    let told = faults("channels: [{name: 0123, url: 'http://a', products: [1.10]}]");
    assert!(told.contains("channels[0].name: found 0123,") && told.contains("products[0]: found 1.10,"), "{told}");
    let told = faults("server: 1.10");
    assert!(told.contains("server: found 1.10,"), "{told}");

    let numbers =
        "parameters: {01: 1.10, price: 1.10, big: 20261129000000000001}, products: [01234, 99999999999999999999]";
    let settings =
        load_files(&[("a.yaml", &format!("channels: [{{name: a, url: 'http://a', {numbers}}}]"))], false, &[]).unwrap();
    let channel = &settings.channels[0];
    assert_eq!(channel.parameters[0].0, "01");
    let shown = serde_json::to_string(&channel.shown).unwrap();
    assert!(shown.contains(r#""price":1.10,"big":20261129000000000001"#), "{shown}");
    let products = &channel.items.as_ref().unwrap().products;
    assert_eq!(*products, ["01234", "99999999999999999999"]);
}
