//! JSON as templates see it: read into values without recursion, looked up by name without regard to case, written
//! again as JSON.
//!
//! Read here rather than by serde, because a template must not fail on a number that fits no machine type, nor on
//! a deep document; and it saves building the tree twice.

mod read;
mod values;
mod write;

pub(super) use read::parse;
pub(super) use values::{LongNumber, Unknown, field, from_map, from_tree, number};
pub(super) use write::{number_text, write, write_escaped, write_number};
