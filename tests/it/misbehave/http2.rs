//! Faults in HTTP/2, which is spoken with receivers behind TLS that offer it.

use std::time::Duration;

use super::fault::{Fault, Place};
use crate::receiver::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, OK, PING, field, frame, goaway, reset_stream, settings,
    window_update,
};
use crate::receiver::{Act, Reply};

const CLOSED: &str = "the connection closed before the response was complete…";
const NO_HTTP: &str = "the response is not valid HTTP: …";
const FLOOD: &str = "the response exceeds the limits for HTTP/2: …";
const LARGE: &str = "the response is larger than 1048576 bytes";

/// Reasons, as HTTP/2 numbers them.
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A receiver whose connection begins as it should, and goes on with these acts.
fn answer(what: &'static str, acts: impl IntoIterator<Item = Act>) -> Fault {
    let acts = [Act::Send(settings())].into_iter().chain(acts).collect();
    Fault::at(Place::Http2, what).replies(Reply::Acts(acts))
}

/// The head of a proper response.
fn head() -> Act {
    Act::Send(frame(HEADERS, END_HEADERS, 1, &[OK]))
}

fn half() -> Act {
    Act::Send(frame(DATA, 0, 1, b"half"))
}

fn endless(frame: Vec<u8>) -> Act {
    Act::Endless(frame)
}

/// As `endless`, where nothing but the timeout ends it.
fn paced(frame: Vec<u8>) -> Act {
    Act::Paced(frame)
}

pub(super) fn streams() -> Vec<Fault> {
    let gone = |last, reason| Act::Send(goaway(last, reason));
    vec![
        answer("GOAWAY instead of an answer", [gone(0, NO_ERROR)]).is(-6, CLOSED),
        answer("GOAWAY: calm down", [gone(0, ENHANCE_YOUR_CALM)]).is(-6, CLOSED),
        answer("GOAWAY in the body, and the end", [head(), half(), gone(1, NO_ERROR)]).is(-6, CLOSED),
        answer("GOAWAY in the body, and nothing more", [head(), half(), gone(1, NO_ERROR), Act::Hang]).takes_its_time(),
        answer("the stream is reset instead of an answer", [Act::Send(reset_stream(INTERNAL_ERROR)), Act::Hang])
            .is(-6, CLOSED),
        answer("the stream is refused", [Act::Send(reset_stream(REFUSED_STREAM)), Act::Hang]).is(-6, CLOSED),
        answer("the stream is reset in the body", [head(), half(), Act::Send(reset_stream(INTERNAL_ERROR)), Act::Hang])
            .is(-6, CLOSED),
        answer(
            "the stream is reset without error in the body",
            [head(), half(), Act::Send(reset_stream(NO_ERROR)), Act::Hang],
        )
        .keeps(200, 4),
        answer("the connection closes instead", []).is(-6, CLOSED),
        answer("nothing comes", [Act::Hang]).takes_its_time(),
        answer("the body stops in the middle", [head(), half(), Act::Hang]).takes_its_time(),
        answer(
            "the body drips",
            [head(), Act::Drip(frame(DATA, END_STREAM, 1, &[b'x'; 1000]), Duration::from_millis(5))],
        )
        .takes_its_time(),
        answer(
            "fewer bytes than `content-length` says",
            [
                Act::Send(frame(HEADERS, END_HEADERS, 1, &[&[OK][..], &field("content-length", "1000")].concat())),
                Act::Send(frame(DATA, END_STREAM, 1, b"short")),
                Act::Hang,
            ],
        )
        .is(-6, NO_HTTP),
        answer("a body without end", [head(), endless(frame(DATA, 0, 1, &[b'x'; 16_000]))])
            .keeps(200, 60_000)
            .but_for_a_callout(-7, LARGE)
            .but_for_a_callout(-6, "the response is not valid HTTP: it violates HTTP/2 (FLOW_CONTROL_ERROR)"),
    ]
}

pub(super) fn floods() -> Vec<Fault> {
    // One field of 4000 bytes, and 12,000 times the same again by its number in the table.
    let bomb = [&[OK, 0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4000], &[0xbe; 12_000]].concat();
    let hundred = [0x08, 3, b'1', b'0', b'0'];
    let many = field("x-many", "1").repeat(1000);
    vec![
        answer(
            "a head of 10,000 fields",
            [
                Act::Send(frame(HEADERS, 0, 1, &[&[OK][..], &many].concat())),
                Act::Send(frame(CONTINUATION, 0, 1, &many).repeat(8)),
                Act::Send(frame(CONTINUATION, END_HEADERS | END_STREAM, 1, &many)),
                Act::Hang,
            ],
        )
        .is(-7, FLOOD),
        answer(
            "a head of 40 KB",
            [
                Act::Send(frame(HEADERS, END_STREAM, 1, &[&[OK][..], &many].concat())),
                Act::Send(frame(CONTINUATION, END_HEADERS, 1, &[])),
                Act::Hang,
            ],
        )
        .keeps(200, 0),
        answer(
            "a head of 80 KB",
            [
                Act::Send(frame(HEADERS, END_STREAM, 1, &[&[OK][..], &many].concat())),
                Act::Send(frame(CONTINUATION, END_HEADERS, 1, &many)),
                Act::Hang,
            ],
        )
        .is(
            -6,
            "the response is not valid HTTP: it violates HTTP/2 (PROTOCOL_ERROR), or its head is larger than 65536 bytes",
        ),
        answer(
            "CONTINUATION without end",
            [Act::Send(frame(HEADERS, 0, 1, &[OK])), endless(frame(CONTINUATION, 0, 1, &many))],
        )
        .is(-7, FLOOD),
        answer(
            "empty CONTINUATION without end",
            [Act::Send(frame(HEADERS, 0, 1, &[OK])), endless(frame(CONTINUATION, 0, 1, &[]))],
        )
        .is(-7, FLOOD),
        answer(
            "a head of 16 KB that unfolds to 48 MB",
            [Act::Send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)), Act::Hang],
        )
        .is(-7, FLOOD),
        answer("100 without end", [paced(frame(HEADERS, END_HEADERS, 1, &hundred))]).takes_its_time(),
        answer("SETTINGS without end", [paced(settings())]).takes_its_time(),
        answer("PING without end", [paced(frame(PING, 0, 0, &[0; 8]))]).takes_its_time(),
        answer("WINDOW_UPDATE without end", [paced(window_update(0, 1))]).takes_its_time(),
        answer("empty DATA without end", [head(), paced(frame(DATA, 0, 1, &[]))]).is(-7, FLOOD),
        answer("frames of an unknown kind without end", [paced(frame(0xbb, 0, 0, &[0; 100]))]).takes_its_time(),
    ]
}

pub(super) fn no_http() -> Vec<Fault> {
    let speaks =
        |what, bytes: &[u8]| Fault::at(Place::Http2, what).replies(Reply::Acts(vec![Act::send(bytes), Act::Hang]));
    vec![
        speaks("HTTP/1.1 although HTTP/2 was agreed upon", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
            .is(-6, NO_HTTP),
        speaks("binary", &[0xff; 64]).is(-6, NO_HTTP),
        answer("a frame that is too large", [Act::send([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]), Act::Hang])
            .is(-6, NO_HTTP),
        answer("a head that cannot be unpacked", [Act::Send(frame(HEADERS, END_HEADERS, 1, &[0xff; 10])), Act::Hang])
            .is(-6, NO_HTTP),
        answer("a body without a head", [half(), Act::Hang]).is(-6, NO_HTTP),
        answer("an answer that nobody asked for", [Act::Send(frame(HEADERS, END_HEADERS, 101, &[OK])), Act::Hang])
            .is(-6, NO_HTTP),
        answer(
            "a head without a status",
            [Act::Send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &field("x-a", "b"))), Act::Hang],
        )
        .is(-6, NO_HTTP),
    ]
}
