//! `demo`: the service on a temporary store, receivers of different tempers on loopback, and orders flowing.
//!
//! Everything is real: the orders go in over HTTP, the receivers are servers. What is shown is what the receivers saw
//! and what the API says.

mod client;
mod happening;
mod orders;
mod receivers;
mod show;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::app::{App, Loader, Parts};
use crate::config;
use crate::system::{self, SystemClock};

use super::{output, serve};
use client::Client;
use happening::Happening;
use show::Show;

/// How long the demo waits for the last deliveries before it says that they did not arrive.
const SETTLE: Duration = Duration::from_secs(60);

/// How often the picture is drawn anew.
const FRAME: Duration = Duration::from_millis(250);

/// The demo's options.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// Ends after so many orders, with a summary; without it the demo runs until Ctrl-C or SIGTERM.
    #[arg(long, value_name = "N")]
    orders: Option<u64>,
    /// Orders a second.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rate: u64,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
}

pub(super) fn run(args: &DemoArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime could not be started: {error}")),
    };
    let code = runtime.block_on(demo(args));
    runtime.shutdown_background();
    code
}

fn fail(text: &str) -> ExitCode {
    output::error(text);
    ExitCode::FAILURE
}

async fn demo(args: &DemoArgs) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("orderhook-demo-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return fail(&format!("{}: {error}", folder.display()));
    }
    let code = in_folder(args, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    code
}

async fn in_folder(args: &DemoArgs, folder: &std::path::Path) -> ExitCode {
    let stop = match serve::signals() {
        Ok(stop) => stop,
        Err(error) => return fail(&format!("signals cannot be waited for: {error}")),
    };
    let (events, happenings) = mpsc::unbounded_channel();
    let receivers = match receivers::start(events.clone()).await {
        Ok(address) => address,
        Err(error) => return fail(&format!("the receivers could not be started: {error}")),
    };
    let listen = free_port(args.port).await;
    let mut environment = config::Environment::new();
    environment.insert("DEMO_RECEIVERS".to_owned(), format!("http://{receivers}"));
    environment.insert("DEMO_STORE".to_owned(), folder.join("demo.db").display().to_string());
    environment.insert("DEMO_LISTEN".to_owned(), listen.to_string());
    let loader =
        Loader::new(move |_| config::load_text("demo.yaml", include_str!("../../../config/demo.yaml"), &environment));
    let settings = match loader.load() {
        Ok(settings) => settings,
        Err(faults) => return fail(&faults.to_string()),
    };
    let parts = Parts { clock: Arc::new(SystemClock), seed: system::seed(), loader };
    let app = match App::start(settings, parts).await {
        Ok(app) => app,
        Err(error) => return fail(&error.to_string()),
    };
    let client = match Client::new(app.address()) {
        Ok(client) => Arc::new(client),
        Err(error) => return fail(&error),
    };
    let mut show = Show::new(app.address(), args.port != 0 && args.port != app.address().port());
    show.begin();
    let mut orders = tokio::spawn(orders::post(Arc::clone(&client), args.orders, args.rate, events));
    let whole = tokio::select! {
        whole = watch(&mut show, happenings, &client, &mut orders, args.orders.is_some()) => whole,
        () = stop => true,
    };
    orders.abort();
    show.end();
    app.stop().await;
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows what happens until the orders have been posted and all their deliveries have ended. Returns whether nothing is
/// missing.
async fn watch(
    show: &mut Show,
    mut happenings: mpsc::UnboundedReceiver<Happening>,
    client: &Client,
    orders: &mut tokio::task::JoinHandle<()>,
    ends: bool,
) -> bool {
    let mut frame = tokio::time::interval(FRAME);
    frame.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut posted_all = None;
    loop {
        tokio::select! {
            Some(happening) = happenings.recv() => show.happened(happening),
            _ = frame.tick() => {
                show.channels(client.channels().await);
                show.draw();
                if let Some(since) = posted_all {
                    let since: tokio::time::Instant = since;
                    if show.is_settled() {
                        return show.is_whole();
                    }
                    if since.elapsed() > SETTLE {
                        return false;
                    }
                }
            }
            _ = &mut *orders, if ends && posted_all.is_none() => posted_all = Some(tokio::time::Instant::now()),
        }
    }
}

/// The address asked for, or one with a free port where that is taken.
async fn free_port(port: u16) -> SocketAddr {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match tokio::net::TcpListener::bind(wanted).await {
        Ok(_) => wanted,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}
