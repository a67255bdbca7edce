//! W3C trace context: the trace that every outgoing request belongs to.
//!
//! An order or event that arrives with a valid `traceparent` continues that trace; any other begins a trace whose id is
//! the order's or event's own.

use std::collections::HashSet;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// Members of a `tracestate` at most.
const MAX_MEMBERS: usize = 32;

/// Bytes of a `tracestate` at most; a longer one is dropped.
pub const MAX_STATE: usize = 512;

/// The trace that a caller's request belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// 32 lower-case hexadecimal digits.
    trace_id: String,
    /// The caller's span, 16 lower-case hexadecimal digits; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    span: Option<String>,
    /// Whether the caller may have recorded the trace.
    sampled: bool,
    /// The caller's `tracestate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

impl TraceContext {
    /// Reads a caller's headers. `None` where `traceparent` is not valid, which is ignored as the specification says; a
    /// `tracestate` that is not valid is left out.
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = parent.split('-');
        let (version, trace_id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = (version.len(), trace_id.len(), span.len(), flags.len()) == (2, 32, 16, 2);
        let valid = lengths
            && [version, trace_id, span, flags].iter().all(|part| is_hex(part))
            && version != "ff"
            // A later version may have more parts.
            && (version != "00" || parts.next().is_none())
            && [trace_id, span].iter().all(|id| id.bytes().any(|byte| byte != b'0'));
        if !valid {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        let (trace_id, span) = (trace_id.to_owned(), Some(span.to_owned()));
        Some(Self { trace_id, span, sampled, state: state.and_then(valid_state) })
    }

    /// The `traceparent` of a request whose own id is `span`.
    pub fn parent(&self, span: u64) -> String {
        let mut text = format!("00-{}-{:016x}-", self.trace_id, span.max(1));
        let _ = write!(text, "{:02x}", u8::from(self.sampled));
        text
    }

    /// The trace's id.
    pub fn trace_id(&self) -> u128 {
        u128::from_str_radix(&self.trace_id, 16).unwrap_or_default()
    }

    /// The id of the caller's span.
    pub fn span(&self) -> Option<u64> {
        u64::from_str_radix(self.span.as_deref()?, 16).ok()
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The `tracestate` to send along.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// A `tracestate` without empty members; `None` where it breaks the specification.
fn valid_state(text: &str) -> Option<String> {
    let members: Vec<&str> =
        text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|m| !m.is_empty()).collect();
    let mut keys = HashSet::new();
    let valid = !members.is_empty()
        && members.len() <= MAX_MEMBERS
        && members.iter().all(|member| {
            member.split_once('=').is_some_and(|(key, value)| is_key(key) && is_value(value) && keys.insert(key))
        });
    let joined = members.join(",");
    (valid && joined.len() <= MAX_STATE).then_some(joined)
}

fn is_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    key.len() <= 256
        && key.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(allowed)
        && key.matches('@').count() <= 1
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

/// The `traceparent` of a request without a caller's trace: `trace` is the id of the order or event, so that all its
/// requests share a trace; `span` is the request's own.
pub fn traceparent(trace: u128, span: u64) -> String {
    // An all-zero id is invalid by the specification.
    format!("00-{:032x}-{:016x}-01", trace.max(1), span.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_continued_with_its_flag_and_state() {
        let read = TraceContext::read(PARENT, Some("rojo=00f067aa0ba902b7 , ,congo@a=t61")).expect("valid");
        assert_eq!(read.parent(7), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        assert_eq!(read.state(), Some("rojo=00f067aa0ba902b7,congo@a=t61"));
        let ids = (read.trace_id(), read.span(), read.is_sampled());
        assert_eq!(ids, (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, Some(0x00f0_67aa_0ba9_02b7), true));
        let unsampled = PARENT.replace("-01", "-00");
        assert!(TraceContext::read(&unsampled, None).expect("valid").parent(7).ends_with("-00"));
        // A later version is read as far as it is known, and sent as the version known here.
        let later = TraceContext::read(&format!("{}-more", PARENT.replacen("00", "cc", 1)), None).expect("valid");
        assert!(later.parent(7).starts_with("00-4bf9"), "{later:?}");
    }

    #[test]
    fn what_breaks_the_specification_is_ignored() {
        for parent in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::read(parent, None), None, "{parent}");
        }
        let long = format!("a={}", "x".repeat(600));
        for state in ["", "a", "A=1", "a=1,a=2", "a=b=c", "a=ü", "=1", &long, &vec!["a=1"; 40].join(",")] {
            assert_eq!(TraceContext::read(PARENT, Some(state)).expect("the parent is valid").state(), None, "{state}");
        }
    }

    proptest! {
        #[test]
        fn any_headers_are_read_without_panic(parent in "[0-9a-f-]{0,60}|.{0,60}", state in ".{0,60}") {
            if let Some(read) = TraceContext::read(&parent, Some(&state)) {
                let span = read.span().expect("a caller's span");
                let again = TraceContext::read(&read.parent(span), read.state());
                prop_assert_eq!(again, Some(read));
            }
        }
    }
}
