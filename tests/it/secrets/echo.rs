//! A receiver that shows every request in its answer, in every writing, and a token endpoint that does the same. The
//! first part of the path is the status.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::form_urlencoded;

pub(super) struct Echo {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

/// What to answer with.
struct Plan {
    /// Tokens that `/token/…` gives out.
    token: String,
}

impl Echo {
    /// Starts it; its token endpoint gives out that token.
    pub(super) async fn start(token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (log, plan) = (Arc::clone(&seen), Arc::new(Plan { token: token.to_owned() }));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&plan)));
            }
        });
        Self { address, seen }
    }

    /// What came that is a proof of who sends: names and values.
    pub(super) fn proofs(&self) -> Vec<(String, String)> {
        self.seen.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<(String, String)>>>, plan: Arc<Plan>) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                break at;
            }
            (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while bytes.len() < end + 4 + length {
            (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
        }
        let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
        bytes.drain(..end + 4 + length);
        let target = head.split(' ').nth(1)?.to_owned();
        let path = match target.strip_prefix("http://") {
            Some(rest) => rest.split_once('/')?.1.to_owned(),
            None => target.trim_start_matches('/').to_owned(),
        };
        note(&log, &header, if path.starts_with("token/") { &body } else { "" });
        let answer = if path.starts_with("token/") {
            token(&path, &head, &body, &plan)
        } else if let (true, Some(challenge)) = (path.contains("ntlm"), challenge(header("authorization"))) {
            format!("HTTP/1.1 401 Who\r\nWWW-Authenticate: NTLM {challenge}\r\nContent-Length: 0\r\n\r\n")
        } else {
            shown(&path, &head, &body)
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

fn note(log: &Mutex<Vec<(String, String)>>, header: &impl Fn(&str) -> Option<String>, body: &str) {
    let mut log = log.lock();
    for name in ["authorization", "proxy-authorization"] {
        let value = header(name).filter(|value| !value.starts_with("NTLM TlRMTVNTUAAB"));
        log.extend(value.and_then(|value| Some((name.to_owned(), value.split_once(' ')?.1.to_owned()))));
    }
    if let Some(url) = header("orderhook-accept-url") {
        let key = url.split('=').next_back().unwrap_or_default();
        log.push(("accept key".to_owned(), key.to_owned()));
    }
    for (name, value) in form_urlencoded::parse(body.as_bytes()) {
        if name.ends_with("assertion") {
            log.push((name.into_owned(), value.into_owned()));
        }
    }
}

/// What answers the first message of NTLM, or a request without any: the challenge.
fn challenge(authorization: Option<String>) -> Option<String> {
    let first = authorization.is_none_or(|value| value.starts_with("NTLM TlRMTVNTUAAB"));
    let mut message = b"NTLMSSP\0\x02\0\0\0\0\0\0\0\x38\0\0\0".to_vec();
    message.extend_from_slice(&0xe28a_8233_u32.to_le_bytes());
    message.extend_from_slice(
        b"\x01\x23\x45\x67\x89\xab\xcd\xef\0\0\0\0\0\0\0\0\x04\0\x04\0\x38\0\0\0\x06\0\x70\x17\0\0\0\x0f",
    );
    message.extend_from_slice(&[0; 4]);
    first.then(|| STANDARD.encode(message))
}

/// The request, in every writing.
fn shown(path: &str, head: &str, body: &str) -> String {
    let status = path.split('/').next().unwrap_or_default();
    let values: Vec<&str> = head.lines().filter_map(|line| line.split_once(": ")).map(|(_, value)| value).collect();
    let request = format!("{head}\n{body}");
    let mut page = String::new();
    let cut = path.contains("cut");
    if cut {
        page.push_str(values.iter().find(|value| value.contains("Bearer")).unwrap_or(&""));
    } else {
        let json = json!({ "you": request, "headers": values }).to_string();
        let html = request.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('/', "&#x2F;");
        let form: String = form_urlencoded::byte_serialize(request.as_bytes()).collect();
        let percent: String = request
            .bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") },
            )
            .collect();
        let ascii: String =
            json.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) }).collect();
        for page_part in
            [&request, &json, &json!(json).to_string(), &json.replace('/', "\\/"), &ascii, &html, &form, &percent]
        {
            page.push_str(page_part);
            page.push('\n');
        }
    }
    let echo: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("X-Echo-{at}: {value}\r\n")).collect();
    let reason = values.join(" ").replace(|c: char| c.is_control(), " ");
    // An answer of JSON becomes a callout's context.
    let page = if path.contains("json") { json!({ "you": page, "first": values }).to_string() } else { page };
    format!(
        "HTTP/1.1 {status} {reason}\r\nWWW-Authenticate: Basic realm=\"{}\"\r\n{}Set-Cookie: session=abc\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{page}",
        values.first().unwrap_or(&"").replace('"', ""),
        echo.concat(),
        page.len()
    )
}

/// A token, or a refusal that repeats what came.
fn token(path: &str, head: &str, body: &str, plan: &Plan) -> String {
    let authorization = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization")).unwrap_or("");
    let proxy = head.lines().find(|line| line.to_ascii_lowercase().starts_with("proxy-")).unwrap_or("");
    let values: Vec<String> =
        form_urlencoded::parse(body.as_bytes()).map(|(name, value)| format!("{name} {value}")).collect();
    let refusal = |words: &str| json!({ "error": words, "error_description": words }).to_string();
    let (status, kind, page) = match path.trim_start_matches("token/") {
        "good" => (
            200,
            "application/json".to_owned(),
            json!({ "access_token": plan.token, "token_type": "Bearer", "expires_in": 3600, "you": body }).to_string(),
        ),
        "form" => (400, "application/json".to_owned(), refusal(&format!("{authorization} {proxy} {body}"))),
        "values" => (401, "application/json".to_owned(), refusal(&values.join(" "))),
        "secret" => (401, "application/json".to_owned(), refusal(values.last().map_or("", String::as_str))),
        "kind" => (200, format!("text/html; you=\"{body}\""), "<h1>Log in</h1>".to_owned()),
        "type" => {
            (200, "application/json".to_owned(), json!({ "access_token": plan.token, "token_type": body }).to_string())
        }
        _ => (500, "text/plain".to_owned(), format!("{head}{body}")),
    };
    format!("HTTP/1.1 {status} {body}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{page}", page.len())
}
