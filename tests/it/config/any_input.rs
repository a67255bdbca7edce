//! Whatever stands in a configuration, it loads or is told wrong.

use proptest::prelude::*;

use super::*;

/// A word that may mean something somewhere.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "server",
            "store",
            "delivery",
            "orders",
            "chains",
            "channels",
            "limits",
            "name",
            "url",
            "retry",
            "auth",
            "type",
            "basic",
            "token",
            "token_file",
            "tokens",
            "plugins",
            "options",
            "calloutPlugin",
            "endpoint",
            "status",
            "shouldRejectOn",
            "timeout",
            "total",
            "outcomes",
            "on",
            "then",
            "any",
            "events",
            "preset",
            "standard",
            "5s",
            "1MiB",
            "http://a",
            "{{ x }}",
            "{{",
            "${A}",
            "${A:-b}",
            "${",
            "/a",
            "listen",
            "body",
            "headers",
            "parameters",
            "capture",
            "schedule",
            "interval",
            "attempts",
            "scopes",
            "when",
            "a > 1",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,8}",
    ]
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        word().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::vec((word(), inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// The value of a known section, so that reading gets further than the first key.
fn sections() -> impl Strategy<Value = serde_json::Value> {
    let name = prop::sample::select(vec!["server", "store", "delivery", "orders", "chains", "channels", "limits"]);
    prop::collection::vec((name, tree()), 0..4).prop_map(|pairs| {
        serde_json::Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

proptest! {
    #[test]
    fn any_tree_loads_or_is_told_wrong(tree in prop_oneof![tree(), sections()]) {
        if let Err(faults) = load(&tree.to_string()) {
            prop_assert!(faults.len() > 0);
            prop_assert!(faults.to_string().lines().count() >= faults.len());
        }
    }

    #[test]
    fn any_channel_loads_or_is_told_wrong(keys in prop::collection::vec((word(), tree()), 0..8)) {
        let mut block = serde_json::json!({"name": "a", "url": "http://a"});
        block.as_object_mut().unwrap().extend(keys);
        let _ = load(&serde_json::json!({"channels": [block]}).to_string());
    }

    #[test]
    fn any_text_loads_or_is_told_wrong(text in "([ -~]|\n|\t|: |- |&a |[*]a |server: |[|]|é){0,60}") {
        let _ = load(&text);
    }

    #[test]
    fn a_password_in_a_url_is_never_told(user in "[a-z]{1,8}", scheme in "(https?|ftp|x)", rest in "[ -~&&[^@]]{0,12}") {
        let url = format!("{scheme}://{user}:hunter2@example.com/{rest}");
        let yaml = serde_json::json!({"channels": [{"name": "a", "url": url}], "server": {"public_url": url}});
        let told = load(&yaml.to_string()).unwrap_err().to_string();
        prop_assert!(!told.contains("hunter2"), "{}", told);
    }
}
