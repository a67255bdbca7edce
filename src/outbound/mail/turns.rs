//! Whose turn it is in a dialog before STARTTLS: the server sends one reply to each command, and nothing else.
//!
//! A reply that somebody puts into the clear part of the connection would otherwise wait in lettre's buffer and be read
//! as one that came under TLS (CVE-2021-38371 and its kind). lettre 0.11.23 keeps its buffer over the upgrade, so the
//! connection below it ends at the first byte that is not part of the reply expected.

/// Follows the replies in the clear, up to the one to `STARTTLS`.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The first four bytes of the present line: three digits and, on the last line of a reply, no hyphen.
    start: [u8; 4],
    /// Length of the present line so far.
    length: usize,
    /// Whether the reply is complete.
    replied: bool,
    /// Whether the last command was `STARTTLS`.
    upgrading: bool,
}

impl Turns {
    /// Takes note of a command on its way to the server.
    pub(super) fn sent(&mut self, command: &[u8]) {
        self.replied = false;
        self.upgrading = command.trim_ascii().eq_ignore_ascii_case(b"STARTTLS");
    }

    /// Takes note of bytes from the server. `Err`: they go on after the end of the reply.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for byte in bytes {
            if self.replied {
                return Err("the server sent more than a reply before TLS began");
            }
            if *byte == b'\n' {
                self.replied = self.length < 4 || self.start.last() != Some(&b'-');
                self.length = 0;
            } else {
                if let Some(at) = self.start.get_mut(self.length) {
                    *at = *byte;
                }
                self.length += 1;
            }
        }
        Ok(())
    }

    /// Whether the reply to `STARTTLS` has come, so that TLS follows.
    pub(super) fn are_over(&self) -> bool {
        self.upgrading && self.replied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_one_reply_in_pieces_or_whole() {
        let mut turns = Turns::default();
        for piece in ["22", "0 rea", "dy\r", "\n"] {
            turns.received(piece.as_bytes()).expect("a greeting");
        }
        turns.sent(b"EHLO a\r\n");
        turns.received(b"250-mail\r\n250-SIZE\r\n250 STARTTLS\r\n").expect("one reply of three lines");
        assert!(!turns.are_over());
        turns.sent(b"STARTTLS\r\n");
        assert!(!turns.are_over());
        turns.received(b"220 go\r\n").expect("a reply");
        assert!(turns.are_over());
    }

    #[test]
    fn a_byte_after_the_reply_is_refused_in_the_same_piece_and_in_the_next() {
        for pieces in [&["220 go\r\n250 x"][..], &["220 go\r\n", "2"], &["220-a\r\n220 b\r\n\n"], &["\n", "250 x\r\n"]]
        {
            let mut turns = Turns::default();
            turns.sent(b"STARTTLS\r\n");
            let all: Result<Vec<()>, _> = pieces.iter().map(|piece| turns.received(piece.as_bytes())).collect();
            assert!(all.is_err(), "{pieces:?}");
        }
    }
}
