//! How requests prove who sent them.

use super::kinds::{Block, Key, Kind};
use super::shared::NAME;

/// The ways to prove who sends a request.
pub(crate) const AUTH: Kind = Kind::Variants(&[
    ("none", &NONE),
    ("basic", &BASIC),
    ("bearer", &BEARER),
    ("header", &HEADER),
    ("ntlm", &NTLM),
    ("oauth2", &OAUTH2),
    ("jwt_bearer", &JWT_BEARER),
]);

const TYPE: Key =
    Key::new("type", Kind::Text("none, basic, bearer, header, ntlm, oauth2 or jwt_bearer"), "Which kind this is.")
        .required();

static NONE: Block = Block {
    title: "auth {type: none}",
    doc: "No authentication. The default without an `auth` block.",
    example: "",
    keys: &[TYPE],
    either: &[],
};

static BASIC: Block = Block {
    title: "auth {type: basic}",
    doc: "HTTP Basic (RFC 7617), in UTF-8. See `docs/authentication.md` for each kind.",
    example: "\
channels:
  - name: erp
    url: https://erp.example.com/orders
    auth: {type: basic, username: shop, password: \"${ERP_PASSWORD}\", preemptive: true}
",
    keys: &[
        TYPE,
        Key::new("username", Kind::Text("text without a colon"), "The user.").required(),
        Key::new("password", Kind::Secret, "The password. It may be empty, for receivers that take a key as the user.")
            .required(),
        Key::new(
            "preemptive",
            Kind::Boolean,
            "`true` sends the credentials with the first request; `false` waits for the receiver to ask for them.",
        )
        .or("false"),
    ],
    either: &[],
};

static BEARER: Block = Block {
    title: "auth {type: bearer}",
    doc: "A bearer token (RFC 6750) in the `Authorization` header.",
    example: "\
channels:
  - name: crm
    url: https://crm.example.com/orders
    auth: {type: bearer, token: \"${CRM_TOKEN}\"}
",
    keys: &[TYPE, Key::new("token", Kind::Secret, "The token.").required()],
    either: &[],
};

static HEADER: Block = Block {
    title: "auth {type: header}",
    doc: "A secret in a header of your choice.",
    example: "\
channels:
  - name: stock
    url: https://stock.example.com/orders
    auth: {type: header, name: X-Api-Key, value: \"${STOCK_KEY}\"}
",
    keys: &[
        TYPE,
        Key::new("name", Kind::Text("the name of an HTTP header"), "The header.").required(),
        Key::new("value", Kind::Secret, "Its value.").required(),
    ],
    either: &[],
};

static NTLM: Block = Block {
    title: "auth {type: ntlm}",
    doc: "NTLM (NTLMv2), over kept-alive HTTP/1.1 connections that only this channel or step uses.",
    example: "\
channels:
  - name: erp
    url: https://erp.example.com/orders
    auth: {type: ntlm, username: shop, password: \"${ERP_PASSWORD}\", domain: CORP}
",
    keys: &[
        TYPE,
        Key::new("username", Kind::Text("text without a backslash"), "The user.").required(),
        Key::new("password", Kind::Secret, "The password.").required(),
        Key::new("domain", ID, "The domain that the user belongs to. Without it: the receiver's own."),
    ],
    either: &[],
};

/// A provider of tokens that channels share.
pub(crate) static OAUTH_PROVIDER: Block = Block {
    title: "oauth_providers[]",
    doc: "A token endpoint and a client there (OAuth 2.0 client credentials), named once and chosen by `auth: {type: oauth2, provider: NAME}`. Each channel and each step has a token of its own.",
    example: "\
oauth_providers:
  - {name: corp, token_url: \"https://id.example.com/token\", client_id: shop, client_secret: \"${OAUTH_SECRET}\", scope: orders}
channels:
  - name: erp
    url: https://erp.example.com/orders
    auth: {type: oauth2, provider: corp}
",
    keys: &[
        Key::new("name", NAME, "Its name. Unique.").required(),
        Key::new("token_url", TOKEN_URL, "The token endpoint.").required(),
        Key::new("client_id", ID, "The client.").required(),
        Key::new("client_secret", Kind::Secret, "Its secret.").required(),
        Key::new("scope", SCOPE, "The scope to request."),
        Key::new("audience", ID, "The audience of the token, if the provider requires one."),
    ],
    either: &[],
};

static OAUTH2: Block = Block {
    title: "auth {type: oauth2}",
    doc: "A bearer token by OAuth 2.0 client credentials (RFC 6749): of a named provider, or of one described here. The token is kept until shortly before it expires.",
    example: "\
channels:
  - name: erp
    url: https://erp.example.com/orders
    auth: {type: oauth2, token_url: \"https://id.example.com/token\", client_id: shop, client_secret: \"${OAUTH_SECRET}\"}
",
    keys: &[
        TYPE,
        Key::new("provider", NAME, "A name under `oauth_providers`, in place of the next three."),
        Key::new("token_url", TOKEN_URL, "The token endpoint."),
        Key::new("client_id", ID, "The client."),
        Key::new("client_secret", Kind::Secret, "Its secret."),
        Key::new("scope", SCOPE, "The scope to request. Next to `provider`: replaces the provider's."),
        Key::new(
            "audience",
            ID,
            "The audience of the token, if the provider requires one. Next to `provider`: replaces the provider's.",
        ),
    ],
    either: &[],
};

static JWT_BEARER: Block = Block {
    title: "auth {type: jwt_bearer}",
    doc: "A bearer token by a signed JWT (RFC 7523), created for each token request. The token is kept until shortly before it expires.",
    example: "\
channels:
  - name: partner
    url: https://partner.example.com/orders
    auth:
      type: jwt_bearer
      token_url: https://id.example.com/token
      issuer: shop
      algorithm: HS256
      key: \"${PARTNER_JWT_SIGNING_SECRET}\"
      use: client_assertion
",
    keys: &[
        TYPE,
        Key::new("token_url", TOKEN_URL, "The token endpoint.").required(),
        Key::new("issuer", ID, "The claim `iss`: who signs.").required(),
        Key::new("subject", ID, "The claim `sub`: the subject. Without it: the issuer."),
        Key::new("audience", ID, "The claim `aud`: the audience. Without it: `token_url`."),
        Key::new("scope", SCOPE, "The scope to request."),
        Key::new(
            "key",
            Kind::Secret,
            "The private key in PEM (PKCS #8, PKCS #1 or SEC 1); for HS256 the secret itself, of 32 bytes at least.",
        )
        .required(),
        Key::new("algorithm", Kind::Choice(&["RS256", "ES256", "EdDSA", "HS256"]), "How it is signed.").or("RS256"),
        Key::new("key_id", ID, "The header `kid`: names the key that the provider verifies with."),
        Key::new(
            "use",
            Kind::Choice(&["grant", "client_assertion"]),
            "`grant`: the assertion is the grant. `client_assertion`: it authenticates the client instead of a secret; the grant is client credentials.",
        )
        .or("grant"),
    ],
    either: &[],
};

const TOKEN_URL: Kind = Kind::Text("an http or https URL without user name and password");

const ID: Kind = Kind::Text("text without control characters");

const SCOPE: Kind = Kind::Text("scopes, separated by spaces");
