//! `serve`: the service, until a signal.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Loader, Parts, SIGNAL, Service, Socket, StartError};
use crate::config::{self, Settings};
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
        serve(settings, parts).await
    });
    runtime.shutdown_background();
    code
}

/// How long to wait before a service that lost its store is started again.
const AGAIN: Duration = Duration::from_millis(500);

/// Serves until a signal; anew where it had to give up what it held.
async fn serve(settings: Settings, parts: Parts) -> ExitCode {
    // SIGHUP does not end the process, whenever it comes.
    let stop = match signal(SignalKind::hangup()).and_then(|_| signals()) {
        Ok(stop) => stop,
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
    let (mut stop, mut again) = (pin!(stop.fuse()), pin!(again));
    let failed = |error: StartError| {
        tracing::error!(%error, "not started");
        ExitCode::FAILURE
    };
    let address = settings.server.listen;
    let socket = match Socket::bind(address) {
        Ok(socket) => Arc::new(socket),
        Err(error) => return failed(StartError::Listen { address, error }),
    };
    let (mut settings, mut lost) = (settings, None);
    loop {
        // A replica of its own each time: the one before may still be on record, and what it sent may still arrive.
        let parts = Parts { seed: system::seed(), ..parts.clone() };
        let app = tokio::select! {
            started = App::start_at(&socket, settings.clone(), parts, lost) => match started {
                Ok(app) => app,
                // The store was back, and is away again: a service that has been running waits on.
                Err(error) if lost.is_some() && error.is_passing() => {
                    tracing::warn!(%error, "not started yet, trying again");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(error) => return failed(error),
            },
            // While it waits for its store.
            () = &mut stop => return ExitCode::SUCCESS,
        };
        let reloads = match signal(SignalKind::hangup()) {
            Ok(hangups) => tokio::spawn(reload(hangups, app.service())),
            Err(error) => {
                output::error(&format!("signals cannot be waited for: {error}"));
                return ExitCode::FAILURE;
            }
        };
        match app.run(&mut stop, &mut again).await {
            None => return ExitCode::SUCCESS,
            Some((again, before)) => (settings, lost) = (again, Some(before)),
        }
        reloads.abort();
    }
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
