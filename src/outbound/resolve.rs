//! Names to addresses, with a failure that can be told from others.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name {name} has no address: {cause}")]
pub(super) struct NoAddress {
    pub(super) name: String,
    pub(super) cause: std::io::Error,
}

/// The system's resolver.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect::<Vec<SocketAddr>>);
            match found {
                Ok(found) => Ok(Box::new(found.into_iter()) as Addrs),
                Err(cause) => Err(NoAddress { name, cause }.into()),
            }
        })
    }
}
