//! Reading configuration files: one by its path, or all `*.yaml` of a folder.

use std::path::{Path as FilePath, PathBuf};

use super::faults::{Path, Report};
use super::layers::Text;

/// The texts that a `--config` names: a file, or the `*.yaml` of a folder in the order of their names. One that cannot
/// be read or says nothing is reported.
pub(crate) fn read(source: &FilePath, report: &Report) -> Vec<Text> {
    let files = if source.is_dir() { in_folder(source) } else { Ok(vec![source.to_owned()]) };
    match files {
        Ok(files) => files.iter().filter_map(|file| read_file(file, report)).collect(),
        Err(problem) => {
            report.fault(&source.display().to_string(), &Path::default(), problem);
            Vec::new()
        }
    }
}

/// The folder's files that end in `.yaml`, hidden ones left out.
fn in_folder(folder: &FilePath) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "yaml") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err("this folder has no *.yaml file".to_owned()) } else { Ok(files) }
}

fn read_file(source: &FilePath, report: &Report) -> Option<Text> {
    let name = source.display().to_string();
    let text = report.read_once(source).map_err(|error| format!("cannot be read: {error}"));
    let text = text.and_then(|bytes| {
        String::from_utf8(bytes)
            .map_err(|error| format!("is not UTF-8: byte {} is wrong", error.utf8_error().valid_up_to()))
    });
    let text = text.and_then(|text| {
        let blank = text.trim().is_empty();
        if blank { Err("is empty; to use only the defaults, leave the file out".to_owned()) } else { Ok(text) }
    });
    match text {
        Ok(yaml) => Some(Text { name, yaml }),
        Err(problem) => {
            report.fault(&name, &Path::default(), problem);
            None
        }
    }
}
