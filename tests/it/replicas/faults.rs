//! Replicas that die, hang, or lose their server under load: nothing that was answered 2xx is lost.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Load, replica, replicas};
use crate::harness::eventually;
use crate::receiver::{Receiver, Reply};
use crate::store_contract::cluster::{self, Cluster};

/// A replica is declared dead after that time without a heartbeat.
const TTL: Duration = Duration::from_secs(15);

const YAML: &str = "channels: [{name: erp, url: RECEIVER/erp, retry: {attempts: 20, interval: 100ms, jitter: 0}}]";

#[tokio::test]
async fn what_a_killed_replica_accepted_is_delivered_by_the_others() {
    let receiver = Receiver::start().await;
    // Some of it waits for its next attempt when the replica is killed.
    receiver.answer((0..6000_u32).map(|number| Reply::status(if number % 4 == 1 { 503 } else { 200 })));
    let mut processes = replicas(3, &receiver, YAML).await;
    let load = Load::start(&processes.iter().map(|process| &process.api).collect::<Vec<_>>());
    load.wait_for_more(150).await;
    processes[0].kill();
    load.wait_for_more(150).await;
    let posted = load.stop().await;
    posted.assert_delivered(&processes[1].api, &receiver, "/erp").await;
    for process in processes.drain(1..) {
        process.stop().await;
    }
}

#[tokio::test]
async fn a_replica_that_hung_for_longer_than_its_lease_starts_over() {
    let receiver = Receiver::start().await;
    let processes = replicas(2, &receiver, YAML).await;
    let (hung, other) = (&processes[0], &processes[1]);
    let load = Load::start(&[&hung.api, &other.api]);
    load.wait_for_more(100).await;
    hung.signal(Signal::STOP);
    tokio::time::sleep(TTL + Duration::from_secs(5)).await;
    hung.signal(Signal::CONT);
    // It looks at its clock, finds its lease over, and takes a new one.
    eventually("the new start", || async {
        hung.log.raw().iter().any(|line| line.contains("starts over")).then_some(())
    })
    .await;
    eventually("a replica that is ready", || async {
        let ready = hung.api.try_call("GET", "/readyz", &[], b"").await.ok()?;
        (ready.status == 200).then_some(())
    })
    .await;
    load.wait_for_more(50).await;
    let posted = load.stop().await;
    posted.assert_delivered(&other.api, &receiver, "/erp").await;
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_crashes_and_comes_back_costs_no_accepted_order() {
    let receiver = Receiver::start().await;
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    let processes = [replica(&database, &receiver, YAML).await, replica(&database, &receiver, YAML).await];
    let load = Load::start(&[&processes[0].api, &processes[1].api]);
    load.wait_for_more(100).await;
    for down in [Duration::from_secs(2), Duration::from_secs(18)] {
        let refused = load.refused();
        cluster.crash();
        let begun = Instant::now();
        for process in &processes {
            eventually("a replica that is not ready", || async {
                let ready = process.api.try_call("GET", "/readyz", &[], b"").await.ok()?;
                (ready.status == 503).then_some(())
            })
            .await;
        }
        eventually("refused orders", || async { (load.refused() > refused).then_some(()) }).await;
        tokio::time::sleep(down.saturating_sub(begun.elapsed())).await;
        cluster.restart();
        for process in &processes {
            eventually("a replica that is ready", || async {
                let ready = process.api.try_call("GET", "/readyz", &[], b"").await.ok()?;
                (ready.status == 200).then_some(())
            })
            .await;
        }
        load.wait_for_more(100).await;
    }
    let posted = load.stop().await;
    posted.assert_delivered(&processes[0].api, &receiver, "/erp").await;
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test]
async fn connections_that_the_server_ends_again_and_again_cost_no_accepted_order() {
    let receiver = Receiver::start().await;
    let database = cluster::database();
    let processes = [replica(&database, &receiver, YAML).await, replica(&database, &receiver, YAML).await];
    let load = Load::start(&[&processes[0].api, &processes[1].api]);
    for _ in 0..20_u8 {
        load.wait_for_more(5).await;
        cluster::shared().execute(
            &database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    load.wait_for_more(50).await;
    let posted = load.stop().await;
    posted.assert_delivered(&processes[0].api, &receiver, "/erp").await;
    for process in processes {
        process.stop().await;
    }
}
