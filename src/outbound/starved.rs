//! No connection because this machine has no file descriptor or socket buffer left: nobody else's failure, so that
//! whoever connects waits and tries again within its time, and no attempt is charged.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use rustix::io::Errno;

use crate::telemetry::Throttle;

/// How long to wait between two tries.
const WAIT: Duration = Duration::from_millis(200);

/// What the machine has none of, if that is why it could not connect.
pub(super) fn lacking(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some("file descriptors (EMFILE: raise the limit of open files)"),
        Errno::NFILE => Some("file descriptors (ENFILE)"),
        Errno::NOBUFS => Some("socket buffers (ENOBUFS)"),
        _ => None,
    }
}

/// Waits before the next try, and says so in the log. In a box: the attempts that need none, nearly all, need not make
/// room for it.
pub(super) fn wait(why: &dyn std::fmt::Display) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    static THROTTLE: Throttle = Throttle::new();
    if let Some(suppressed) = THROTTLE.admit() {
        tracing::warn!(%why, suppressed, "new outbound connections wait");
    }
    Box::pin(tokio::time::sleep(WAIT))
}
