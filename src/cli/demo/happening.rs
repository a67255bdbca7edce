//! The events of the demo that are shown.

use std::time::Duration;

use serde_json::Value;

/// An event of the demo.
pub(super) enum Happening {
    /// An order was answered, or was not.
    Order { id: String, result: Result<(u16, Value), String>, took: Duration },
    /// A receiver got a request.
    Received { receiver: &'static str, order: String, status: u16 },
}
