//! `preview` and `test`: what a channel would send, and what comes back for it, without a running service.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::delivery::{Preview, PreviewError, Previewer, Tested};
use crate::domain::{DeliveryStatus, Exchange, HeaderLines, json};
use crate::system::{self, SystemClock};

use super::args::load;
use super::output;

/// `orderhook preview`.
pub(super) fn preview(config: &[std::path::PathBuf], channel: &str, order: Option<&Path>) -> ExitCode {
    run(config, order, |previewer, order| async move {
        let preview = previewer.preview(channel, order).await?;
        sent(&preview);
        Ok(ExitCode::SUCCESS)
    })
}

/// `orderhook test`.
pub(super) fn test(config: &[std::path::PathBuf], channel: &str, order: Option<&Path>) -> ExitCode {
    run(config, order, |previewer, order| async move {
        let Tested { preview, code, outcome, error, mail, duration_ms } = previewer.test(channel, order).await?;
        sent(&preview);
        output::line("");
        let Exchange { response_headers, response_body, truncated, .. } = &preview.exchange;
        if code.http_status().is_some() {
            output::line(&format!("{} in {duration_ms} ms", code.as_i32()));
            headers(response_headers);
            if !response_body.is_empty() {
                output::line("");
                output::line(&String::from_utf8_lossy(response_body));
            }
            if *truncated {
                output::line("… (more than max_response)");
            }
        }
        if let Some(error) = error {
            output::line(&format!("{} after {duration_ms} ms: {error}", code.as_i32()));
        }
        output::line(&format!("\noutcome: {outcome}"));
        match mail {
            Some(Ok(exchange)) => {
                output::line("\nthe mail of this response (not sent):\n");
                request(&exchange);
            }
            Some(Err(error)) => output::line(&format!("\nno mail can be built from this response: {error}")),
            None => {}
        }
        let good = matches!(outcome.ends_as(), Some(DeliveryStatus::Accepted | DeliveryStatus::Dispatched));
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn run<F: Future<Output = Result<ExitCode, PreviewError>>>(
    config: &[std::path::PathBuf],
    order: Option<&Path>,
    work: impl FnOnce(Arc<Previewer>, Option<bytes::Bytes>) -> F,
) -> ExitCode {
    let settings = match load(config) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let order = match order.map(|path| read(path).map_err(|error| (path, error))).transpose() {
        Ok(order) => order.map(|order| bytes::Bytes::copy_from_slice(order.strip_prefix(json::BOM).unwrap_or(&order))),
        Err((path, error)) => {
            output::error(&format!("--order {}: {error}", path.display()));
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("the runtime could not be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let previewer = Arc::new(Previewer::alone(settings, Arc::new(SystemClock), system::seed()));
    runtime.block_on(work(previewer, order)).unwrap_or_else(|fault| {
        output::error(&fault.to_string());
        ExitCode::FAILURE
    })
}

/// The content of a file, or of standard input for `-`.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return std::fs::read(path);
    }
    let mut content = Vec::new();
    io::stdin().lock().read_to_end(&mut content)?;
    Ok(content)
}

fn sent(preview: &Preview) {
    if let Some(skip) = &preview.skipped {
        let detail = skip.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        output::line(&format!("# this order would be skipped: {}{detail}", skip.reason));
    }
    if preview.deliveries > 1 {
        output::line(&format!("# the first of {} deliveries", preview.deliveries));
    }
    request(&preview.exchange);
}

fn request(exchange: &Exchange) {
    let Exchange { method, url, request_headers, request_body, .. } = exchange;
    output::line(&format!("{method} {url}"));
    headers(request_headers);
    if !request_body.head.is_empty() {
        output::line("");
        output::line(&String::from_utf8_lossy(&request_body.head));
    }
}

fn headers(headers: &HeaderLines) {
    for (name, value) in headers.iter() {
        output::line(&format!("{name}: {value}"));
    }
}
