//! What a request brings along with an order or event besides its body.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::trace::TraceContext;

/// The trace that a request belongs to, and the attributes of a CloudEvent. Kept with the order or event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The caller's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// The attributes of a CloudEvent as received, without its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloudevent: Option<Map<String, Value>>,
}

impl Arrival {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.trace.is_none() && self.cloudevent.is_none()
    }
}
