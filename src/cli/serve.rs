//! `serve`: the service, until a signal.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Loader, Parts, SIGNAL, Service};
use crate::config;
use crate::system::{self, SystemClock};
use crate::telemetry;

use super::args::{ConfigArgs, LogArgs};
use super::output;

pub(super) fn run(args: &ConfigArgs, logs: &LogArgs) -> ExitCode {
    let files = args.config.clone();
    let loader = Loader::new(move |reading| config::load_as(reading, &files, &config::process_environment()));
    let settings = match loader.load() {
        Ok(settings) => settings,
        Err(faults) => {
            output::error(&faults.to_string());
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = telemetry::init_logs(logs.log_format.into(), &logs.log) {
        output::error(&format!("--log: {error}"));
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("the runtime could not be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        system::raise_open_files();
        if let Err(error) = system::survive_file_size_limit() {
            output::error(&format!("SIGXFSZ cannot be caught: {error}"));
            return ExitCode::FAILURE;
        }
        let parts = Parts { clock: Arc::new(SystemClock), seed: system::seed(), loader };
        let (stop, hangups) = match signals().and_then(|stop| Ok((stop, signal(SignalKind::hangup())?))) {
            Ok(signals) => signals,
            Err(error) => {
                output::error(&format!("signals cannot be waited for: {error}"));
                return ExitCode::FAILURE;
            }
        };
        // Listened for only once the first one has come.
        let again = async {
            match signals() {
                Ok(again) => again.await,
                Err(_) => std::future::pending().await,
            }
        };
        match App::start(settings, parts).await {
            Ok(app) => {
                tokio::spawn(reload(hangups, app.service()));
                app.run(stop, again).await;
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!(%error, "not started");
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_background();
    code
}

/// Threads that serve: every second processor. Lanes and the store's writer have threads of their own, and each further
/// thread costs wake-ups.
fn workers() -> usize {
    system::processors().div_ceil(2)
}

/// Takes up the configuration anew at each SIGHUP. What came of it is in the log.
async fn reload(mut hangups: Signal, service: Arc<Service>) {
    while hangups.recv().await.is_some() {
        let _ = service.reload(SIGNAL, false).await;
    }
}

/// Ends at the next SIGTERM or SIGINT from now on.
pub(super) fn signals() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
