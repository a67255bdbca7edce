//! Faults in a response of HTTP/1.1.

use std::time::Duration;

use super::fault::Fault;
use crate::receiver::{Act, Reply};

const CLOSED: &str = "the connection closed before the response was complete…";
const NO_HTTP: &str = "the response is not valid HTTP: …";
const LARGE_HEAD: &str = "the head of the response, or its declared length, is larger than allowed";
const LARGE: &str = "the response is larger than 1048576 bytes";

/// What of a response a channel keeps by default.
const KEPT: usize = 60_000;

/// The beginning of a response.
fn ok(rest: &str) -> Act {
    Act::send(format!("HTTP/1.1 200 OK\r\n{rest}"))
}

fn whole(rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{rest}")
}

fn drip(text: &str) -> Act {
    Act::Drip(text.as_bytes().to_vec(), Duration::from_millis(5))
}

fn endless(text: &str) -> Act {
    Act::Endless(text.as_bytes().to_vec())
}

/// As `endless`, where nothing but the timeout ends it.
fn paced(text: &str) -> Act {
    Act::Paced(text.as_bytes().to_vec())
}

pub(super) fn heads() -> Vec<Fault> {
    vec![
        Fault::answer("the connection closes instead", []).is(-6, CLOSED),
        Fault::answer("the connection is reset instead", [Act::Reset]).is(-6, CLOSED),
        Fault::answer("nothing comes", [Act::Hang]).takes_its_time(),
        Fault::answer("the connection closes in the head", [ok("Content-Le")]).is(-6, CLOSED),
        Fault::answer("the connection is reset in the head", [ok("Content-Le"), Act::Reset]).is(-6, CLOSED),
        Fault::answer("the head stops in the middle", [ok("Content-Le"), Act::Hang]).takes_its_time(),
        Fault::answer("the head drips", [drip(&whole(&"X-Drip: 1\r\n".repeat(100)))]).takes_its_time(),
        Fault::answer("a status line without end", [Act::send("HTTP/1.1 200 "), endless("OK")]).is(-7, LARGE_HEAD),
        Fault::answer("a header without end", [ok("X-Long: "), endless("v")]).is(-7, LARGE_HEAD),
        Fault::answer("headers without end", [ok(""), Act::Numbered("X-Header-#: value\r\n".to_owned())])
            .is(-7, LARGE_HEAD),
        Fault::answer("headers without end, without values", [ok(""), endless("X:\r\n")]).is(-7, LARGE_HEAD),
        Fault::bytes("200 headers", whole(&format!("{}\r\n", "X-Many: 1\r\n".repeat(200)))).is(-7, LARGE_HEAD),
        Fault::answer("line breaks without end in front of the head", [endless("\r\n")]).is(-7, LARGE_HEAD),
    ]
}

pub(super) fn no_http() -> Vec<Fault> {
    vec![
        Fault::bytes("HTTP/0.9: a page without a head", "<html>hello</html>\r\n").is(-6, NO_HTTP),
        Fault::bytes("another version", "HTTP/9.9 200 OK\r\n\r\n").is(-6, NO_HTTP),
        Fault::bytes("a status that is not a number", "HTTP/1.1 two OK\r\n\r\n").is(-6, NO_HTTP),
        Fault::bytes("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n").is(-6, NO_HTTP),
        Fault::bytes("the greeting of a mail server", "220 mail.example ESMTP\r\n").is(-6, NO_HTTP),
        Fault::bytes("binary", b"\x00\x01\x02\xff\xfe\r\n\r\n".to_vec()).is(-6, NO_HTTP),
        Fault::bytes("TLS on a port for plain text", b"\x15\x03\x03\x00\x02\x02\x46".to_vec()).is(-6, NO_HTTP),
        Fault::bytes("HTTP/2 that nobody agreed upon", crate::receiver::frames::settings()).is(-6, NO_HTTP),
        Fault::bytes("a header without a colon", whole("no colon\r\n\r\n")).is(-6, NO_HTTP),
        Fault::bytes("a NUL in a header", whole("X-Nul: a\0b\r\n\r\n")).is(-6, NO_HTTP),
    ]
}

pub(super) fn interim() -> Vec<Fault> {
    let hundred = "HTTP/1.1 100 Continue\r\n\r\n";
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let some = [hundred, hints].concat().repeat(10);
    vec![
        Fault::answer("100 without end", [paced(hundred)]).takes_its_time(),
        Fault::answer("103 without end", [paced(hints)]).takes_its_time(),
        Fault::response("20 of them, then 200", format!("{some}{}", whole("Content-Length: 4\r\n\r\nfine")))
            .keeps(200, 4),
        Fault::bytes("20 of them, then the end", some).is(-6, CLOSED),
        Fault::bytes(
            "101: protocols that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02",
        )
        .keeps(101, 0),
        Fault::response("a redirect to itself", "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
            .keeps(302, 0),
    ]
}

pub(super) fn lengths() -> Vec<Fault> {
    vec![
        Fault::bytes("fewer bytes than `Content-Length` says", whole("Content-Length: 1000\r\n\r\nshort"))
            .is(-6, CLOSED),
        Fault::response(
            "more bytes than `Content-Length` says",
            whole(&format!("Content-Length: 4\r\n\r\nfine{}", whole("Content-Length: 8\r\n\r\nsmuggled"))),
        )
        .keeps(200, 4),
        Fault::bytes(
            "two of `Content-Length` that differ",
            whole("Content-Length: 4\r\nContent-Length: 5\r\n\r\nfine!"),
        )
        .is(-6, NO_HTTP),
        Fault::bytes("a `Content-Length` below zero", whole("Content-Length: -4\r\n\r\nfine")).is(-6, NO_HTTP),
        Fault::bytes(
            "a `Content-Length` of 30 digits",
            whole(&format!("Content-Length: {}\r\n\r\nfine", "9".repeat(30))),
        )
        .is(-6, NO_HTTP),
        Fault::bytes("a `Content-Length` of 2^64 - 1", whole("Content-Length: 18446744073709551615\r\n\r\nfine"))
            .is(-7, LARGE_HEAD),
        Fault::bytes(
            "an exabyte is announced, and does not come",
            whole("Content-Length: 1000000000000000000\r\n\r\nfine"),
        )
        .is(-6, CLOSED),
        Fault::response(
            "`Content-Length` and chunks",
            whole("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"),
        )
        .keeps(200, 4),
        Fault::response("a body where there is none: 204", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody")
            .keeps(204, 0),
        Fault::response(
            "a body where there is none: 304",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody",
        )
        .keeps(304, 0),
    ]
}

pub(super) fn chunks() -> Vec<Fault> {
    let chunked = |rest: &str| ok(&format!("Transfer-Encoding: chunked\r\n\r\n{rest}"));
    vec![
        Fault::answer("a size that is not a number", [chunked("many\r\nbytes\r\n0\r\n\r\n"), Act::Hang])
            .is(-6, NO_HTTP),
        Fault::answer("a size of 20 digits", [chunked("fffffffffffffffffff0\r\nbytes"), Act::Hang]).is(-6, NO_HTTP),
        Fault::answer("a size without end", [chunked(""), paced("0")]).takes_its_time(),
        Fault::answer("no line break behind a chunk", [chunked("4\r\nfine4\r\nfine"), Act::Hang]).is(-6, NO_HTTP),
        Fault::answer("a chunk extension without end", [chunked("4;x="), endless("y")]).is(-6, NO_HTTP),
        Fault::answer("extensions on chunks without end", [chunked(""), endless("1;x=y\r\nb\r\n")]).is(-6, NO_HTTP),
        Fault::answer(
            "trailers without end",
            [chunked("4\r\nfine\r\n0\r\n"), Act::Numbered("X-Trailer-#: v\r\n".to_owned())],
        )
        .is(-6, NO_HTTP),
        Fault::answer("a trailer without end", [chunked("4\r\nfine\r\n0\r\nX-Trailer: "), endless("v")])
            .is(-6, NO_HTTP),
        Fault::answer("the connection closes in a chunk", [chunked("ff\r\nhalf")]).is(-6, CLOSED),
        Fault::answer("no last chunk", [chunked("4\r\nfine\r\n")]).is(-6, CLOSED),
        Fault::answer("no last chunk, and nothing more", [chunked("4\r\nfine\r\n"), Act::Hang]).takes_its_time(),
        Fault::answer("chunks of 20 bytes without end", [chunked(""), endless("14\r\nxxxxxxxxxxxxxxxxxxxx\r\n")])
            .keeps(200, KEPT)
            .but_for_a_callout(-7, LARGE),
        Fault::bytes(
            "`Transfer-Encoding` of a kind that nobody asked for",
            whole("Transfer-Encoding: gzip\r\n\r\nfine"),
        )
        .keeps(200, 4),
    ]
}

pub(super) fn bodies() -> Vec<Fault> {
    let chunk = format!("10000\r\n{}\r\n", "e".repeat(0x1_0000));
    vec![
        Fault::answer("the connection is reset in the body", [ok("Content-Length: 1000\r\n\r\nhalf"), Act::Reset])
            .is(-6, CLOSED),
        Fault::answer("the body stops in the middle", [ok("Content-Length: 1000\r\n\r\nhalf"), Act::Hang])
            .takes_its_time(),
        Fault::answer("the body drips", [drip(&whole(&format!("Content-Length: 1000\r\n\r\n{}", "x".repeat(1000))))])
            .takes_its_time(),
        Fault::answer("a body without end, in chunks", [ok("Transfer-Encoding: chunked\r\n\r\n"), endless(&chunk)])
            .keeps(200, KEPT)
            .but_for_a_callout(-7, LARGE),
        Fault::answer("a body without end, of no length", [ok("\r\n"), endless("x")])
            .keeps(200, KEPT)
            .but_for_a_callout(-7, LARGE),
        Fault::answer(
            "a body without end, of an exabyte",
            [ok("Content-Length: 1000000000000000000\r\n\r\n"), endless("x")],
        )
        .keeps(200, KEPT)
        .but_for_a_callout(-7, LARGE),
        Fault::at(super::fault::Place::Plain, "bytes that are none of the charset they name")
            .replies(Reply::body(200, "text/plain; charset=utf-8", &b"cl\xe9 \xff\xfe"[..]))
            .keeps(200, 6),
        Fault::at(super::fault::Place::Plain, "a charset that nobody knows")
            .replies(Reply::body(200, "text/plain; charset=klingon", "Qapla'"))
            .keeps(200, 6),
        Fault::at(super::fault::Place::Plain, "only NUL characters")
            .replies(Reply::body(200, "text/plain", vec![0; 1000]))
            .keeps(200, 1000),
        Fault::response(
            "JSON as deep as it is long",
            whole(&format!("Content-Type: application/json\r\nContent-Length: 50000\r\n\r\n{}", "[".repeat(50_000))),
        )
        .keeps(200, 50_000),
    ]
}

/// Deflated zeros, 2064 of them: in a stream that begins with 0x63, as often as wanted.
const ZEROS: [u8; 13] = [0x18, 0x05, 0xa3, 0x60, 0x14, 0x8c, 0x82, 0x51, 0x30, 0x0a, 0x46, 0xc1, 0x28];

/// 100 MiB of zeros, as Brotli packs them.
const BROTLI: [u8; 172] = [
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f, 0xff, 0xff, 0x7f, 0xf0, 0x4f,
    0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f, 0xff, 0xff, 0xff, 0xe0, 0x9f, 0x00, 0x88, 0xc3, 0x02, 0x00, 0xdd,
    0xfb, 0x3f, 0xfe, 0xff, 0xff, 0xc1, 0x3f, 0x01, 0x10, 0x87, 0x05, 0x00, 0xba, 0xf7, 0x7f, 0xfc, 0xff, 0xff, 0x83,
    0x7f, 0x02, 0x20, 0x0e, 0x0b, 0x00, 0x74, 0xef, 0xff, 0xf8, 0xff, 0xff, 0x07, 0xff, 0x04, 0x40, 0x1c, 0x16, 0x00,
    0xe8, 0xde, 0xff, 0xf1, 0xff, 0xff, 0x0f, 0xfe, 0x09, 0x80, 0x38, 0x2c, 0x00, 0xd0, 0xbd, 0xff, 0xe3, 0xff, 0xff,
    0x1f, 0xfc, 0x13, 0x00, 0x71, 0x58, 0x00, 0xa0, 0x7b, 0xff, 0xc7, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb0,
    0x00, 0x40, 0xf7, 0xfe, 0x8f, 0xff, 0xff, 0x7f, 0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x01, 0x80, 0xee, 0xfd, 0x1f, 0xff,
    0xff, 0xff, 0xe0, 0x9f, 0x00, 0x88, 0xc3, 0x02, 0x00, 0xdd, 0xfb, 0x3f, 0xfe, 0xff, 0xff, 0xc1, 0x3f, 0x01, 0x10,
    0x87, 0x05, 0x00, 0xba, 0xf7, 0x7f, 0xf9, 0xff, 0xff, 0x83, 0x7f, 0x02, 0x20, 0x0e, 0x0b, 0x00, 0x74, 0xef, 0x7f,
    0x00,
];

pub(super) fn bombs() -> Vec<Fault> {
    let zeros = [&[0x63][..], &ZEROS.repeat(50_000), &[0, 0]].concat();
    let packed = |encoding: &str, body: &[u8]| {
        let head = whole(&format!("Content-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", body.len()));
        [head.as_bytes(), body].concat()
    };
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], &zeros[..], &[0; 8]].concat();
    let deflate = [&[0x78, 0x01], &zeros[..], &[0; 4]].concat();
    let endless = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], &[0x63][..]].concat();
    vec![
        Fault::response("gzip of 100 MB", packed("gzip", &gzip)).keeps(200, KEPT),
        Fault::response("deflate of 100 MB", packed("deflate", &deflate)).keeps(200, KEPT),
        Fault::response("br of 100 MB", packed("br", &BROTLI)).keeps(200, BROTLI.len()),
        Fault::answer(
            "gzip without end",
            [Act::send(whole("Content-Encoding: gzip\r\n\r\n")), Act::Send(endless), Act::Endless(ZEROS.to_vec())],
        )
        .keeps(200, KEPT)
        .but_for_a_callout(-7, LARGE),
    ]
}
