//! A response's body as text, for channels whose receivers answer with one.

use encoding_rs::{Encoding, UTF_8};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

/// The text of a response: by the `charset` of its `Content-Type`, else UTF-8, without a byte order mark. `Err` says
/// in a sentence why it is no text: empty or nothing but white space, bytes that are none of its charset, a NUL, a
/// charset that nobody knows.
pub fn text(headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    if let Some(coding) = compression(headers, body) {
        return Err(format!("the response is compressed ({coding}), which was not requested"));
    }
    let encoding = match charset(headers) {
        None => UTF_8,
        Some(label) => Encoding::for_label_no_replacement(label.as_bytes())
            .ok_or_else(|| format!("the response's charset {:?} is unknown", short(&label)))?,
    };
    let text = encoding.decode_with_bom_removal(body);
    let (text, wrong) = text;
    if wrong {
        return Err(format!("the response is not text: it has bytes that are not {}", encoding.name()));
    }
    if text.contains('\0') {
        return Err("the response is not text: it contains a NUL character".to_owned());
    }
    if text.trim().is_empty() {
        return Err(
            if text.is_empty() { "the response is empty" } else { "the response contains only white space" }.to_owned()
        );
    }
    Ok(text.into_owned())
}

/// How the response is compressed: as its `Content-Encoding` says, or as its bytes show.
fn compression(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let named = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> = named.flat_map(|value| value.split(',')).map(|one| one.trim().to_lowercase()).collect();
    let named = named.into_iter().find(|coding| !matches!(coding.as_str(), "" | "identity"));
    named.map(|coding| short(&coding)).or_else(|| body.starts_with(&[0x1f, 0x8b]).then(|| "gzip".to_owned()))
}

/// The `charset` parameter of a `Content-Type`.
fn charset(headers: &HeaderMap) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(CONTENT_TYPE)?.as_bytes()).into_owned();
    value.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn short(label: &str) -> String {
    label.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    fn read(content_type: &str, body: &[u8]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a value"));
        }
        text(&headers, body)
    }

    #[test]
    fn a_text_is_read_by_its_charset() {
        assert_eq!(read("", "KEY-é".as_bytes()).as_deref(), Ok("KEY-é"));
        assert_eq!(read("text/plain; Charset=\"ISO-8859-1\"", b"KEY-\xe9\n").as_deref(), Ok("KEY-é\n"));
        assert_eq!(read("text/plain; charset=utf-16le", b"K\0E\0").as_deref(), Ok("KE"));
        assert_eq!(read("application/json", b"\xef\xbb\xbf{}").as_deref(), Ok("{}"));
    }

    #[test]
    fn what_is_no_text_says_why() {
        for (content_type, body, error) in [
            ("", &b""[..], "the response is empty"),
            ("", b"\xef\xbb\xbf", "the response is empty"),
            ("", b" \r\n\t", "the response contains only white space"),
            ("", b"KEY\xff", "the response is not text: it has bytes that are not UTF-8"),
            ("text/plain; charset=utf-8", b"a\0b", "the response is not text: it contains a NUL character"),
            ("text/plain; charset=klingon", b"a", "the response's charset \"klingon\" is unknown"),
            ("text/plain; charset=utf-16le", b"K", "the response is not text: it has bytes that are not UTF-16LE"),
        ] {
            assert_eq!(read(content_type, body), Err(error.to_owned()), "{content_type} {body:?}");
        }
    }

    #[test]
    fn a_compressed_response_says_so() {
        let gzip = Err("the response is compressed (gzip), which was not requested".to_owned());
        assert_eq!(read("text/plain", b"\x1f\x8b\x08\0\0"), gzip);
        let coded = |coding: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
            text(&headers, b"KEY")
        };
        assert_eq!(coded("identity, GZIP"), gzip);
        assert_eq!(coded("br").unwrap_err(), "the response is compressed (br), which was not requested");
        assert_eq!(coded("identity").as_deref(), Ok("KEY"));
    }

    proptest! {
        #[test]
        fn any_response_is_text_or_says_why(content_type in "[ -~]{0,30}", body: Vec<u8>) {
            let _ = read(&content_type, &body);
        }

        #[test]
        fn utf_8_stays_as_it_is(body in "[^\0\u{feff}]{1,40}") {
            prop_assert_eq!(read("", body.as_bytes()).ok(), (!body.trim().is_empty()).then_some(body));
        }
    }
}
