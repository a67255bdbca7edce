//! What commands print: results to standard output, errors to standard error, colours only where they are seen.

use std::io::Write;

/// Prints a result. A reader that has gone away is not an error.
pub(super) fn line(text: &str) {
    let _ = writeln!(anstream::stdout(), "{}", text.trim_end_matches('\n'));
}

/// Prints an error.
pub(super) fn error(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", text.trim_end_matches('\n'));
}

/// The terminal's width in columns; `None` where the output is no terminal.
pub(super) fn width() -> Option<u16> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return None;
    }
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok())
}
