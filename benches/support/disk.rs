//! How long the disk under the store takes to make 4 KB durable.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use super::Result;
use super::latency::Latencies;

const BLOCK: [u8; 4096] = [0x5a; 4096];

/// fdatasync after each of `times` blocks appended to a new file in `folder`.
///
/// # Errors
/// The file cannot be written.
pub fn appended(folder: &Path, times: u32) -> Result<Latencies> {
    probe(folder, times, false)
}

/// The same, but over blocks that were there before, as a log that is used again.
///
/// # Errors
/// As [`appended`].
pub fn overwritten(folder: &Path, times: u32) -> Result<Latencies> {
    probe(folder, times, true)
}

fn probe(folder: &Path, times: u32, existing: bool) -> Result<Latencies> {
    let path = folder.join("fdatasync.probe");
    let mut file = File::create(&path)?;
    if existing {
        for _ in 0..times {
            file.write_all(&BLOCK)?;
        }
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
    }
    let mut latencies = Latencies::default();
    for _ in 0..times {
        let start = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        latencies.add(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(latencies)
}
