//! Secrets that cannot be right: each is a fault of the configuration that says what to do.

use super::*;

/// Keys of a channel, the place of the fault, and what it says.
const WRONG: &[(&str, &str, &str)] = &[
    ("auth: {type: bearer, token: ''}", "auth.token", "is empty; write the secret here"),
    ("auth: {type: bearer, token: '  '}", "auth.token", "is empty; write the secret here"),
    ("auth: {type: bearer, token_file: /dev/null}", "auth.token_file", "is empty; write the secret here"),
    ("auth: {type: bearer, token: '${EMPTY}'}", "auth.token", "is empty; write the secret here"),
    ("auth: {type: header, name: X-Key, value: ''}", "auth.value", "is empty; write the secret here"),
    ("auth: {type: header, name: X-Key, value: \"a\\nb\"}", "auth.value", "such as a line break; take them out"),
    ("auth: {type: ntlm, username: a, password: ''}", "auth.password", "is empty; write the secret here"),
    (
        "auth: {type: oauth2, token_url: 'https://id', client_id: a, client_secret: ''}",
        "auth.client_secret",
        "is empty; write the secret here",
    ),
    (
        "auth: {type: jwt_bearer, token_url: 'https://id', issuer: a, algorithm: HS256, key: short}",
        "auth.key",
        "is too short: HS256 needs a secret of 32 bytes at least",
    ),
    (
        "auth: {type: jwt_bearer, token_url: 'https://id', issuer: a, key: ''}",
        "auth.key",
        "contains no private key in PEM (-----BEGIN PRIVATE KEY-----)",
    ),
    (
        "auth: {type: jwt_bearer, token_url: 'https://id', issuer: a, key_file: /nonexistent}",
        "auth.key_file",
        "the file \"/nonexistent\" cannot be read: No such file",
    ),
    (
        "auth: {type: jwt_bearer, token_url: 'https://id', issuer: a, key: a, algorithm: none}",
        "auth.algorithm",
        "allowed: RS256, ES256, EdDSA or HS256",
    ),
    ("signing: {secrets: []}", "signing.secrets", "found ***"),
    ("signing: {secrets: ['']}", "signing.secrets[0]", "begins with whsec_ (a shared secret) or whsk_"),
    ("signing: {secrets: [whsec_]}", "signing.secrets[0]", "a secret is 24 to 64 bytes, in base64"),
    ("signing: {secrets: [whsec_c2hvcnQ=]}", "signing.secrets[0]", "a secret is 24 to 64 bytes, in base64"),
    ("signing: {secrets: ['whsec_%']}", "signing.secrets[0]", "is not base64; copy the whole secret"),
    ("signing: {secrets: [whsk_c2hvcnQ=]}", "signing.secrets[0]", "a private key is an Ed25519 seed of 32 bytes"),
    ("signing: {secrets_file: /dev/null}", "signing.secrets_file", "found ***"),
];

#[test]
fn secrets_that_cannot_be_right_are_told_with_what_to_do() {
    let environment = environment(&[("EMPTY", "")]);
    for (keys, path, says) in WRONG {
        let yaml = format!("channels: [{{name: a, url: 'https://a.example.com', {keys}}}]");
        let faults = config::load_text("a.yaml", &yaml, &environment).expect_err(keys).to_string();
        assert!(faults.contains(&format!("channels[0].{path}: ")) && faults.contains(says), "{keys}: {faults}");
    }
    for (yaml, path) in [
        ("smtp: {url: 'smtps://mail', from: a@b.example, username: a, password: ''}", "smtp.password"),
        ("egress: {proxy: 'http://proxy:1', proxy_username: a, proxy_password: ''}", "egress.proxy_password"),
        (
            "oauth_providers: [{name: a, token_url: 'https://id', client_id: a, client_secret: ''}]",
            "oauth_providers[0].client_secret",
        ),
    ] {
        let told = faults(yaml);
        assert!(told.contains(&format!("{path}: is empty; write the secret here")), "{yaml}: {told}");
    }
    assert!(
        faults("server: {tokens: [{name: a, token: '', scopes: [read]}]}")
            .contains("one or more printable ASCII characters")
    );
    // A key can be the user, and the password nothing.
    channel("auth: {type: basic, username: a, password: ''}");
}
