//! `POST /v1/config/reload`: the configuration is read anew, checked whole, and takes over.

use axum::extract::{Extension, RawQuery, Request, State};
use axum::response::Response;

use crate::store::Act;

use super::ports::NotReloaded;
use super::problem::{Fault, Kind, Problem};
use super::state::Api;
use super::tokens::Caller;
use super::{answer, audit, query, reason};

/// `POST /v1/config/reload`.
pub(super) async fn post(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    query::Query::new(query.as_deref(), &[]).finish()?;
    let force = reason::optional(&api, request, &["force"], |reader| reader.flag("force")).await?;
    let changes = api.components.reload.reload(force.unwrap_or(false)).await?;
    let cause = caller.cause(api.components.clock.now(), None);
    audit::keep(&api, Act::new("reload", cause).with_detail(&changes)).await;
    Ok(answer::json(&changes))
}

impl From<NotReloaded> for Problem {
    fn from(not: NotReloaded) -> Self {
        match not {
            NotReloaded::Wrong(faults) => {
                let faults = faults.iter().map(|fault| Fault {
                    file: Some(fault.file().to_owned()),
                    ..Fault::new(fault.path(), fault.message().trim_end())
                });
                Self::faults(Kind::WrongConfiguration, faults.collect())
            }
            NotReloaded::Store(error) => error.into(),
            NotReloaded::Stopping => Self::new(Kind::ShuttingDown, not.to_string()),
        }
    }
}
