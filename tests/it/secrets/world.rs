//! One configuration with every kind of secret that there is, each marked.

use std::collections::BTreeSet;
use std::fmt::Write;

use rcgen::{CertificateParams, KeyPair};

use super::echo::Echo;
use super::marks::Marks;
use crate::smtp::MailServer;

/// The configuration, and all that it needs around it.
pub(super) struct World {
    pub(super) marks: Marks,
    pub(super) yaml: String,
    /// The section `egress`, which is not the same in every run.
    pub(super) proxied: String,
    pub(super) environment: Vec<(String, String)>,
    /// The token of the API that may do everything.
    pub(super) token: String,
    /// What orders are signed by.
    pub(super) signer: String,
    pub(super) channels: Vec<String>,
    pub(super) echo: Echo,
    pub(super) mail: MailServer,
    files: tempfile::TempDir,
    /// The keys that have a marked value: the title of their block in the reference, and their name.
    pub(super) covered: BTreeSet<(String, String)>,
    _behind: crate::tls::Files,
}

/// A text as YAML takes it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

impl World {
    pub(super) async fn new() -> Self {
        let mut marks = Marks::default();
        let echo = Echo::start(&marks.token("access token")).await;
        let password = marks.text("smtp password");
        let mail = MailServer::with(&["--auth", &format!("shop:{password}")]).await;
        let (secure, ca, behind) = crate::tls::behind_tls().await;
        let mut world = Self {
            marks,
            yaml: String::new(),
            proxied: String::new(),
            environment: Vec::new(),
            token: String::new(),
            signer: String::new(),
            channels: Vec::new(),
            echo,
            mail,
            files: tempfile::tempdir().expect("a temporary directory"),
            covered: BTreeSet::new(),
            _behind: behind,
        };
        world.covers("smtp", "password");
        world.write_sections(&password);
        world.write_chains();
        world.write_channels(&secure, &ca);
        world
    }

    fn covers(&mut self, block: &str, key: &str) {
        self.covered.insert((block.to_owned(), key.to_owned()));
    }

    /// Through the environment.
    fn variable(&mut self, value: &str) -> String {
        let name = format!("MARKED_{}", self.environment.len());
        self.environment.push((name.clone(), value.to_owned()));
        format!("\"${{{name}}}\"")
    }

    /// In a file.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).expect("a file");
        quoted(&path.display().to_string())
    }

    fn write_sections(&mut self, password: &str) {
        self.token = self.marks.token("token of the API");
        let token = self.token.clone();
        self.covers("server.tokens[]", "token");
        self.covers("signing and verify", "secrets");
        self.signer = self.marks.webhook("verify", "whsec_");
        let other = self.marks.webhook("verify by Ed25519", "whsk_");
        let verify = self.file("verify", &format!("{}\n{other}\n", self.signer));
        let token = self.variable(&token);
        let smtp = self.mail.section("smtp", &format!(", username: shop, password: {}", quoted(password)));
        self.covers("oauth_providers[]", "client_secret");
        let provider = quoted(&self.marks.text("secret at a provider"));
        self.covers("egress", "proxy_password");
        let proxy = quoted(&self.marks.text("proxy password"));
        let address = self.echo.address;
        self.proxied = format!(
            "egress: {{allow: [127.0.0.0/8], proxy: 'http://{address}', proxy_username: me, proxy_password: {proxy}}}\n"
        );
        write!(
            self.yaml,
            "server:\n  tokens: [{{name: all, token: {token}, scopes: [ingest, manage]}}]\n  verify: {{secrets_file: {verify}}}\n{smtp}oauth_providers:\n  - {{name: corp, token_url: 'http://{address}/token/good', client_id: shop, client_secret: {provider}}}\n"
        )
        .expect("written");
    }

    /// A block `auth` of each kind, with a name.
    fn auths(&mut self, whose: &str) -> Vec<(String, String)> {
        let good = format!("token_url: 'http://{}/token/good'", self.echo.address);
        let mut marked = |kind: &str, key: &str, what: &str, token: bool| {
            self.covered.insert((format!("auth {{type: {kind}}}"), key.to_owned()));
            let what = format!("{what} of {whose}");
            if token { self.marks.token(&what) } else { self.marks.text(&what) }
        };
        let basic = quoted(&marked("basic", "password", "basic", false));
        let first = marked("basic", "password", "basic at once", false);
        let bearer = marked("bearer", "token", "bearer", true);
        let header = quoted(&marked("header", "value", "header", true));
        let ntlm = quoted(&marked("ntlm", "password", "ntlm", false));
        let oauth = quoted(&marked("oauth2", "client_secret", "oauth2", false));
        let shared = quoted(&marked("jwt_bearer", "key", "jwt by HS256", false));
        let pem = self.marks.pem(&format!("jwt by ES256 of {whose}"));
        let first = self.file(&format!("first-{whose}"), &format!("{first}\n"));
        let pem = self.file(&format!("pem-{whose}"), &pem);
        let bearer = self.variable(&bearer);
        [
            ("basic", format!("type: basic, username: ann, password: {basic}")),
            ("first", format!("type: basic, username: ann, preemptive: true, password_file: {first}")),
            ("bearer", format!("type: bearer, token: {bearer}")),
            ("header", format!("type: header, name: X-Odd, value: {header}")),
            ("ntlm", format!("type: ntlm, username: ann, domain: SHOP, password: {ntlm}")),
            ("oauth", format!("type: oauth2, {good}, client_id: shop, client_secret: {oauth}")),
            ("provider", "type: oauth2, provider: corp".to_owned()),
            ("shared", format!("type: jwt_bearer, {good}, issuer: shop, algorithm: HS256, key: {shared}")),
            (
                "pem",
                format!(
                    "type: jwt_bearer, {good}, issuer: shop, algorithm: ES256, use: client_assertion, key_file: {pem}"
                ),
            ),
        ]
        .map(|(name, auth)| (name.to_owned(), auth))
        .to_vec()
    }

    fn write_chains(&mut self) {
        let address = self.echo.address;
        let key = self.marks.token("header of a callout");
        let (shop, query) = (self.variable(&key), self.marks.plain("query of a callout"));
        let mut all = String::new();
        let mut critical = String::new();
        for (name, auth) in self.auths("callouts") {
            for status in [200, 401, 500] {
                let step = format!(
                    "      - {{name: calloutPlugin, id: {name}-{status}, options: {{endpoint: 'http://{address}/{status}/json/{name}?api_key={query}', payload: order, headers: {{X-Shop-Key: {shop}}}, shouldRejectOn: {{status: [500]}}, auth: {{{auth}}}}}}}\n"
                );
                all.push_str(&step);
                if name == "basic" && status == 401 {
                    critical = step.replace("{name:", "{critical: true, name:").replace("[500]", "[4xx]");
                }
            }
        }
        // What cannot be built.
        writeln!(
            all,
            "      - {{name: calloutPlugin, id: wrong, options: {{endpoint: 'http://{{{{ order.host }}}}:{{{{ order.port }}}}/?api_key={query}', headers: {{X-Shop-Key: {shop}}}}}}}"
        )
        .expect("written");
        write!(
            self.yaml,
            "chains:\n  - name: bad\n    when: order.type == 'bad'\n    plugins:\n{critical}  - name: all\n    when: order.type != 'plain'\n    plugins:\n{all}"
        )
        .expect("written");
    }

    fn channel(&mut self, name: &str, path: &str, keys: &str) {
        let address = self.echo.address;
        let url = if path.starts_with("http") { path.to_owned() } else { format!("http://{address}/{path}") };
        let timeout = if keys.contains("timeout") { "" } else { "timeout: {total: 5s}, " };
        let kept = "payload: order, retry: {attempts: 1, interval: 1s}";
        writeln!(self.yaml, "  - {{name: {name}, url: '{url}', {kept}, {timeout}{keys}}}").expect("written");
        self.channels.push(name.to_owned());
    }

    fn write_channels(&mut self, secure: &str, ca: &str) {
        self.yaml.push_str("channels:\n");
        for (name, auth) in self.auths("channels") {
            for status in [200, 401, 500] {
                self.channel(&format!("{name}-{status}"), &format!("{status}/{name}"), &format!("auth: {{{auth}}}"));
            }
            for max in [40, 49] {
                let keys = format!("max_response: {max}, auth: {{{auth}}}");
                self.channel(&format!("{name}-cut-{max}"), &format!("200/{name}/cut"), &keys);
            }
            for how in ["form", "values", "secret", "kind", "type", "down"] {
                if auth.contains("token/good") {
                    let auth = auth.replace("token/good", &format!("token/{how}"));
                    self.channel(&format!("{name}-{how}"), "200/x", &format!("auth: {{{auth}}}"));
                }
            }
        }
        let signing = [self.marks.webhook("signing", "whsec_"), self.marks.webhook("signing by Ed25519", "whsk_")];
        self.channel("signed", "200/signed", &format!("signing: {{secrets: ['{}', '{}']}}", signing[0], signing[1]));
        let keys =
            [self.marks.token("header of a channel"), self.marks.token("cookie"), self.marks.token("filled header")];
        let filled = self.variable(&keys[2]);
        let query = self.marks.plain("query of a channel");
        let headers = format!(
            "headers: {{X-Api-Key: {}, Cookie: {}, X-Shop-Key: {}}}",
            quoted(&keys[0]),
            quoted(&keys[1]),
            filled.replace("}\"", "}{{ order.id }}\"")
        );
        for status in [200, 500] {
            self.channel(&format!("keys-{status}"), &format!("{status}/keys?api_key={query}&a=1"), &headers);
        }
        self.channel("unbuilt", &format!("200/{{{{ order.none }}}}?api_key={query}"), &headers);
        self.channel(
            "unbuilt-too",
            &format!("http://{{{{ order.host }}}}:{{{{ order.port }}}}/?api_key={query}"),
            &headers,
        );
        self.channel("refused", &format!("http://10.0.0.1/?api_key={query}"), &headers);
        let dispatched = "preset: orderful, timeout: {total: 6s}";
        for status in [200, 202, 400] {
            self.channel(&format!("partner-{status}"), &format!("{status}/partner"), dispatched);
        }
        self.channel("failures", "200/failures", "events: [delivery.failed, order.step_failed]");
        let mailed = "preset: fulfillment, parameters: {id: '{{ order.id }}'}, max_response: 600KB, email: {to: ann@shop.example}";
        let auth = self.marks.token("bearer of a mailed answer");
        self.channel("mailed", "200/mailed", &format!("{mailed}, auth: {{type: bearer, token: {}}}", quoted(&auth)));
        let client = KeyPair::generate().expect("a key");
        self.marks.key("client key", &client);
        let certificate = CertificateParams::new(vec!["shop".to_owned()]).expect("parameters").self_signed(&client);
        let certificate = self.file("client.pem", &certificate.expect("a certificate").pem());
        let key = self.file("client.key", &client.serialize_pem());
        let tls = format!("tls: {{ca_file: {}, client_cert_file: {certificate}, client_key_file: {key}}}", quoted(ca));
        self.channel("mutual", secure, &tls);
    }
}
