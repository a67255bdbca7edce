//! Several replicas: real processes on one database of a real PostgreSQL server, and what befalls them.

mod commits;
mod faults;
mod load;
mod together;

use std::sync::Arc;

use crate::harness::{Home, Process};
use crate::receiver::Receiver;
use crate::store_contract::cluster;

use load::Load;

/// Starts a replica on the database of that URL; its receivers are at `RECEIVER`.
async fn replica(database: &str, receiver: &Receiver, yaml: &str) -> Process {
    let yaml = format!("store: {{url: \"{database}\"}}\n{}", receiver.fill(yaml));
    Process::start_in(&Arc::new(Home::new()), &yaml).await
}

/// Starts that many replicas on a database of their own.
async fn replicas(count: usize, receiver: &Receiver, yaml: &str) -> Vec<Process> {
    let database = cluster::database();
    let mut started = Vec::new();
    for _ in 0..count {
        started.push(replica(&database, receiver, yaml).await);
    }
    started
}
