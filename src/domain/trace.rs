//! W3C trace context: every request that leaves carries where it belongs.

/// A `traceparent` header: `trace` is the id of the order or event, so that all its requests share a trace; `span` is
/// the request's own.
pub fn traceparent(trace: u128, span: u64) -> String {
    // An all-zero id is invalid by the specification.
    format!("00-{:032x}-{:016x}-01", trace.max(1), span.max(1))
}
