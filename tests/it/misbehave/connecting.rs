//! Faults on the way to a receiver: names, connections, TLS.

use std::time::Duration;

use super::fault::{Certificate, Fault, Place};
use crate::receiver::{Accept, Act, Reply};

pub(super) fn names() -> Vec<Fault> {
    vec![
        Fault::at(Place::Name("no-such-host.invalid"), "the name does not exist")
            .is(-2, "DNS lookup for no-such-host.invalid failed: …"),
        Fault::at(
            Place::Name("a-label-of-more-than-sixty-three-characters-is-none-that-dns-can-hold.invalid"),
            "the name is none that DNS can hold",
        )
        .is(
            -2,
            "DNS lookup for a-label-of-more-than-sixty-three-characters-is-none-that-dns-can-hold.invalid failed: …",
        ),
    ]
}

pub(super) fn connections() -> Vec<Fault> {
    let plain = |what| Fault::at(Place::Plain, what);
    vec![
        Fault::at(Place::Nowhere, "nobody listens").is(-1, "no connection to HOST: Connection refused (os error 111)"),
        Fault::at(Place::BlackHole, "nothing answers the attempt to connect").never_connects(),
        plain("it is accepted, and nothing is read").accepts(Accept::Ignore).takes_its_time(),
        plain("it is accepted and closed")
            .accepts(Accept::Close)
            .is(-6, "the connection closed before the response was complete…"),
        plain("it is accepted and reset")
            .accepts(Accept::Reset)
            .is(-6, "the connection closed before the response was complete…")
            .is(-1, "no connection to HOST: Connection reset by peer (os error 104)"),
    ]
}

pub(super) fn tls() -> Vec<Fault> {
    let good = |what| Fault::at(Place::Tls(Certificate::Good), what);
    let greets = |what, acts: Vec<Act>| good(what).accepts(Accept::Acts([vec![Act::Read], acts].concat()));
    let handshake = |kind: u8, length: u16| [&[kind, 3, 3], &length.to_be_bytes()[..]].concat();
    // A server hello that is longer than any may be, a record at a time.
    let long = [handshake(22, 0x4000), vec![2, 0xff, 0xff, 0xff], vec![0; 0x4000 - 4]].concat();
    let more = [handshake(22, 0x4000), vec![0; 0x4000]].concat();
    vec![
        greets("plain HTTP comes back", vec![Act::send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")])
            .is(-3, "TLS with HOST failed: the response is not TLS; this port may speak plain HTTP"),
        Fault::at(Place::Tls(Certificate::Expired), "the certificate is no longer valid")
            .is(-3, "TLS with HOST failed: its certificate expired on 2021-01-01T00:00:00.000Z"),
        Fault::at(Place::Tls(Certificate::ForAnotherHost), "the certificate is for another host")
            .is(-3, "TLS with HOST failed: its certificate is for another host: other.example"),
        Fault::at(Place::Tls(Certificate::OfAnUnknownAuthority), "the certificate is from an unknown authority")
            .is(-3, "TLS with HOST failed: its certificate is self-signed or from an unknown authority; to trust a private authority, set tls.ca_file"),
        greets("the connection closes in the handshake", Vec::new()).is(-3, "TLS with HOST failed: the connection closed in the handshake"),
        greets("the connection is reset in the handshake", vec![Act::Reset])
            .is(-1, "no connection to HOST: Connection reset by peer (os error 104)"),
        greets("a fatal alert", vec![Act::send([21, 3, 3, 0, 2, 2, 40])]).is(-3, "TLS with HOST failed: …"),
        greets("no answer to the handshake", vec![Act::Hang]).never_connects(),
        greets("a handshake that drips", vec![Act::Drip(more.clone(), Duration::from_millis(5))]).never_connects(),
        greets("a handshake without end", vec![Act::Send(long), Act::Endless(more)])
            .is(-3, "TLS with HOST failed: …"),
        greets("alerts without end", vec![Act::Endless(vec![21, 3, 3, 0, 2, 1, 90])]).is(-3, "TLS with HOST failed: …"),
        good("nothing, behind the handshake").replies(Reply::HangBeforeHead).takes_its_time(),
        good("a body that ends without the word of TLS that it ends")
            .replies(Reply::Acts(vec![Act::send("HTTP/1.1 200 OK\r\n\r\nhalf"), Act::Cut]))
            .is(-6, "the connection closed before the response was complete: peer closed connection without sending TLS close_notify"),
    ]
}
