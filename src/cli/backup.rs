//! `backup`: a consistent copy of the store while the service runs.

use std::path::Path;
use std::process::ExitCode;

use crate::store;

use super::args::load;
use super::output;

pub(super) fn run(config: &[std::path::PathBuf], file: &Path) -> ExitCode {
    let settings = match load(config) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match store::backup(&settings.store, file) {
        Ok(bytes) => {
            output::line(&format!("{bytes} bytes written to {}", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::error(&format!("the backup failed: {error}"));
            ExitCode::FAILURE
        }
    }
}
