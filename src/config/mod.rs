//! Configuration: layers of YAML and environment become typed [`settings`], or all that is wrong with them at once.
//!
//! The way of a value: `layers` merges defaults, files and environment (crate `config`); `node` keeps where each value
//! comes from and fills in `${NAME}`; `schema` says as data which keys there are; `read` checks a block by its table
//! and `field` its values;
//! `sections`, `chains`, `channels`, `mail` and `requests` turn blocks into domain values. What is wrong goes to `faults`.
//!
//! To add a key: its table in `schema`, one line where its block is resolved, a field in [`settings`].
//! To add a preset: see `presets`.

mod auth;
mod chains;
mod changes;
mod channels;
mod environment;
mod expand;
mod faults;
mod field;
mod files;
mod fingerprints;
mod holding;
mod jwt_key;
mod layers;
mod limits;
mod mail;
mod network;
mod node;
mod overlay;
mod presets;
mod public_url;
pub(crate) mod ranges;
mod reach;
mod read;
mod reference;
mod relationships;
mod requests;
mod scalars;
mod schedules;
mod schema;
mod secrets;
mod sections;
pub mod settings;
mod settled;
mod shown;
mod slips;
mod summary;
mod telemetry;
mod tls;
mod unique;
mod urls;
mod values;
mod warnings;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use changes::{Changes, Named};
pub use faults::{Fault, Faults};
pub use fingerprints::{Fingerprint, Fingerprints};
pub use jwt_key::{Algorithm, JwtKey};
pub use presets::{preset, preset_names, sample};
pub use reference::reference;
pub use secrets::{is_secret_name, secrets_of_query, shown_url};
pub use settings::Settings;
pub use settled::Reading;
pub use summary::summary;

use faults::{Path, Report};
use layers::Text;
use read::Reader;

/// The environment: names and values.
pub type Environment = BTreeMap<String, String>;

/// The environment of this process. A variable that is no Unicode counts as one that is not set.
pub fn process_environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Loads the built-in defaults, the files in `sources` over them (later ones win; the `*.yaml` of a folder are read as
/// one file), and `ORDERHOOK__SECTION__KEY` of
/// `environment` over all. `${NAME}` in any text is filled in from `environment` too. With no file at all the defaults
/// hold.
///
/// # Errors
/// Everything that is wrong, in all files, at once.
pub fn load(sources: &[PathBuf], environment: &Environment) -> Result<Settings, Faults> {
    load_as(Reading::Now, sources, environment)
}

/// The same, with the files read as `reading` says. Blocks the thread.
///
/// # Errors
/// Everything that is wrong, in all files, at once.
pub fn load_as(reading: Reading, sources: &[PathBuf], environment: &Environment) -> Result<Settings, Faults> {
    let report = Report::reading(reading);
    let layers: Vec<Vec<Text>> = sources.iter().map(|source| files::read(source, &report)).collect();
    load_layers(&layers, environment, report)
}

/// The same from one text of YAML, which messages call `name`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_text(name: &str, yaml: &str, environment: &Environment) -> Result<Settings, Faults> {
    let text = Text { name: name.to_owned(), yaml: yaml.to_owned() };
    load_layers(&[vec![text]], environment, Report::default())
}

fn load_layers(layers: &[Vec<Text>], environment: &Environment, report: Report) -> Result<Settings, Faults> {
    let root = layers::merge(layers, environment, &report);
    let settings = sections::settings(&Reader::open(&schema::ROOT, &root, &Path::default(), false, &report));
    let overrides = report.overrides();
    let settings = settings.map(|settings| Settings { overrides, ..settings });
    report.finish(settings)
}
