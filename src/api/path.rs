//! The part of a path that names something.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::problem::{Fault, Kind, Problem};

/// The name in a path, percent-decoded: it may hold slashes and whatever else an order's own id is made of.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = || Problem::faults(Kind::InvalidParameters, vec![Fault::new("path", "is not UTF-8 when decoded")]);
        // axum decodes the part, and refuses what is not UTF-8.
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| wrong())?;
        params.iter().next().map(|(_, value)| Self(value.to_owned())).ok_or_else(wrong)
    }
}
