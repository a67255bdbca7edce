//! A consistent copy of a database, also while a service works on it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::open;
use super::options::Options;
use crate::store::StoreError;

/// Copies the database at `from` to the file `to`, which must not exist, as it is at one moment. Returns the bytes of the
/// copy. Writers go on meanwhile.
pub(super) fn backup(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let about = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", to.display()));
    let source = open::connect_reader(from, &Options::new(from))
        .and_then(|source| open::check(&source, from).map(|()| source))?;
    // Made first, so that nothing is overwritten and nobody else can read it.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(about)?;
    let copied = copy(&source, to).and_then(|()| std::fs::metadata(to).map_err(about));
    match copied {
        Ok(found) => Ok(found.len()),
        Err(error) => {
            let _ = std::fs::remove_file(to);
            Err(error)
        }
    }
}

fn copy(source: &Connection, to: &Path) -> Result<(), StoreError> {
    let mut target = Connection::open(to)?;
    // One step is one snapshot.
    Backup::new(source, &mut target)?.step(-1)?;
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}
