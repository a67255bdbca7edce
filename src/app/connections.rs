//! How many callers may be connected, given the files that the process may open.

use crate::api::ConnectionLimits;
use crate::config::Settings;
use crate::system;

/// Files for the store, its log, threads, and whatever else is neither a caller nor a receiver.
const RESERVE: u64 = 128;

/// Returns the limits for callers. Logs it where there are fewer connections than `server.max_connections`.
pub(super) fn limits(settings: &Settings) -> ConnectionLimits {
    let mut limits = ConnectionLimits::from(&settings.server);
    let Some(files) = system::open_files() else { return limits };
    // Each chain may hold as many orders in the background as it has callers waiting.
    let callouts = settings.chains.len().saturating_mul(settings.delivery.chain_concurrency).saturating_mul(2);
    let room = room(files, settings.delivery.workers.saturating_add(callouts));
    if room < limits.max_connections {
        tracing::warn!(
            max_connections = room,
            configured = limits.max_connections,
            open_files = files,
            "the limit of open files allows fewer connections than server.max_connections; raise it (ulimit -n)"
        );
        limits.max_connections = room;
    }
    limits
}

/// Connections that callers may take: what attempts and callouts leave, half of the files at least.
fn room(files: u64, outbound: usize) -> usize {
    let files = files.saturating_sub(RESERVE);
    let outbound = (outbound as u64).min(files / 2);
    usize::try_from(files - outbound).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_leave_files_for_the_store_and_for_receivers() {
        for (files, outbound, expected) in
            [(1024, 1536, 448), (1024, 100, 796), (1_048_576, 1536, 1_046_912), (128, 10, 1), (0, 10, 1)]
        {
            assert_eq!(room(files, outbound), expected, "{files} {outbound}");
        }
    }
}
