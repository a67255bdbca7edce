//! What acceptance is compared with: an axum handler that reads the body and answers, in a process of its own as the
//! service is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::post;

use super::children::Owned;
use super::generator::PATH;
use super::{Failure, Result};

/// The argument that turns this program into the baseline.
pub const ARGUMENT: &str = "--baseline-server";

/// The baseline, running.
#[derive(Debug)]
pub struct Baseline {
    /// Where it listens.
    pub address: SocketAddr,
    process: Owned,
}

impl Baseline {
    /// Starts this program again as the baseline.
    ///
    /// # Errors
    /// It does not start, or does not say where it listens.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Owned::spawn(&mut command)?;
        let output = process.child.stdout.take().ok_or_else(|| Failure::new("no output of the baseline"))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self { address: line.trim().parse()?, process })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }
}

/// Serves until the input closes, which it does when the parent ends.
///
/// # Errors
/// No port to be had.
pub fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    std::thread::spawn(|| {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(0);
    });
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, Router::new().route(PATH, post(read_and_answer))).await?;
        Ok(())
    })
}

async fn read_and_answer(body: Bytes) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
    let answer = format!(r#"{{"status":"completed","bytes":{}}}"#, body.len());
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], answer)
}
