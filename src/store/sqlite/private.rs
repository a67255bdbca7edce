//! The files of a store are private to its user: they hold orders, and what makes accept URLs.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::system;

/// Read and written by the owner alone.
pub(super) const MODE: u32 = 0o600;

/// What the files next to the database are called, behind its name.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", ".lock"];

/// The path of a file next to the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the database's file where there is none, and takes the rights of others to it and to the files next to it
/// away. SQLite gives its log and its index the mode of the database. Called before the database is opened: to close a
/// file loses the locks that the process has on it.
pub(super) fn make(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => restrict(path),
        Err(error) => return Err(cannot_open(path, &error)),
    }
    for suffix in COMPANIONS {
        restrict(&beside(path, suffix));
    }
    Ok(())
}

/// Leaves a file to its owner. One that belongs to another user stays as it is, and the log says so.
fn restrict(path: &Path) {
    let Ok(found) = fs::metadata(path) else { return };
    let open = found.permissions().mode() & 0o077 != 0;
    if open && let Err(error) = fs::set_permissions(path, Permissions::from_mode(MODE)) {
        tracing::warn!(file = %path.display(), %error, "other users can read the store, and its mode cannot be changed");
    }
}

/// Why a file of the store cannot be opened, and what to do about it where its folder belongs to somebody else.
pub(super) fn cannot_open(path: &Path, error: &io::Error) -> StoreError {
    let mut text = format!("{}: {error}", path.display());
    if error.kind() == io::ErrorKind::PermissionDenied {
        text.push_str(&advice(path));
    }
    StoreError::Unavailable(text)
}

/// What to do about a file or folder that this process may not write.
fn advice(path: &Path) -> String {
    let (user, group) = system::user();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = if path.exists() { path } else { folder };
    let Ok(found) = fs::metadata(place) else { return String::new() };
    let (owner, owners, mode) = (found.uid(), found.gid(), found.mode() & 0o7777);
    let place = place.display();
    format!(
        " ({place} belongs to user {owner} and group {owners} with mode {mode:04o}, and orderhook runs as user {user} and \
         group {group}; let that user write there: chown -R {user}:{group} {folder}, or run orderhook as user {owner})",
        folder = folder.display()
    )
}
