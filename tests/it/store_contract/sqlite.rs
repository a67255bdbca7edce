//! SQLite as a backend of the contract, and what is special to its files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orderhook::domain::{Clock, DeliveryStatus, IdSource, ManualClock, Timestamp};
use orderhook::store::sqlite::{Options, open};
use orderhook::store::{Acceptance, DeliveryFilter, Next, OrderFilter, OrderKey, Page, Recorded, Store, StoreError};
use tempfile::TempDir;

use super::world::*;

/// A directory with a database in it.
pub(super) struct Files(TempDir);

impl Files {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("store.db")
    }
}

impl Backend for Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn open(&self, ids: &IdSource, clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        open_url(&format!("sqlite://{}", self.path().display()), ids, clock)
    }
}

fn open_at(path: &Path) -> Result<Store, StoreError> {
    open_with(&Options { busy_timeout: Duration::from_millis(10), ..Options::new(path) })
}

fn open_with(options: &Options) -> Result<Store, StoreError> {
    let clock = ManualClock::new(Timestamp::from_millis(START));
    let ids = IdSource::new(Arc::new(clock.clone()), 1);
    open(options, &ids, Arc::new(clock), Arc::default())
}

fn failure(path: &Path) -> StoreError {
    open_at(path).err().expect("it cannot be opened")
}

#[test]
fn a_second_orderhook_on_the_file_is_refused_with_the_process_of_the_first() {
    let files = Files::new();
    let first = open_at(&files.path()).expect("a store");
    match failure(&files.path()) {
        StoreError::InUse { path, pid } => assert_eq!((path, pid), (files.path(), Some(std::process::id()))),
        other => panic!("{other}"),
    }
    drop(first);
    open_at(&files.path()).expect("free again");
}

#[tokio::test]
async fn a_closed_store_leaves_its_file_to_the_next_though_it_is_still_referred_to() {
    let files = Files::new();
    let first = open_at(&files.path()).expect("a store");
    first.close().await;
    open_at(&files.path()).expect("free again");
    drop(first);
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let files = Files::new();
    drop(open_at(&files.path()).expect("a store"));
    let conn = rusqlite::Connection::open(files.path()).expect("the file");
    let current: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a version");
    conn.pragma_update(None, "user_version", 99).expect("a later version");
    drop(conn);
    match failure(&files.path()) {
        StoreError::Newer { path, found: 99, known } => assert_eq!((path, known), (files.path(), current)),
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let files = Files::new();
    let text = "no database, but a letter ".repeat(100);
    std::fs::write(files.path(), &text).expect("a file");
    let error = failure(&files.path());
    assert!(matches!(&error, StoreError::NotAStore { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(files.path()).expect("the file"), text);
    assert!(error.to_string().contains(&files.path().display().to_string()));

    let files = Files::new();
    let conn = rusqlite::Connection::open(files.path()).expect("a file");
    conn.execute_batch("CREATE TABLE recipes (name TEXT)").expect("a table");
    drop(conn);
    let error = failure(&files.path());
    assert!(matches!(&error, StoreError::NotAStore { .. }), "{error}");

    let files = Files::new();
    let conn = rusqlite::Connection::open(files.path()).expect("a file");
    conn.pragma_update(None, "application_id", 77).expect("an id");
    drop(conn);
    assert!(matches!(failure(&files.path()), StoreError::NotAStore { .. }));
}

#[test]
fn a_database_whose_pages_are_garbage_is_corrupt() {
    let files = Files::new();
    drop(open_at(&files.path()).expect("a store"));
    let mut bytes = std::fs::read(files.path()).expect("the file");
    for byte in &mut bytes[100..] {
        *byte = 0xa5;
    }
    std::fs::write(files.path(), &bytes).expect("the file");
    let error = failure(&files.path());
    assert!(matches!(&error, StoreError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("store.db"), "{error}");
}

#[test]
fn a_path_that_cannot_be_opened_is_named() {
    let files = Files::new();
    for path in [files.0.path().join("missing/store.db"), files.0.path().to_owned()] {
        let error = failure(&path);
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    for url in ["mysql://user:secret@db/orders", "sqlite://", "orders.db"] {
        let clock = ManualClock::new(Timestamp::from_millis(START));
        let ids = IdSource::new(Arc::new(clock.clone()), 1);
        let error = open_url(url, &ids, Arc::new(clock)).err().expect("no such store").to_string();
        assert!(error.contains("sqlite://PATH") && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_file_locked_by_another_program_is_a_passing_error_at_start_and_later() {
    let files = Files::new();
    drop(open_at(&files.path()).expect("a store"));
    let other = rusqlite::Connection::open(files.path()).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let error = failure(&files.path());
    assert!(matches!(&error, StoreError::Locked(_)), "{error}");
    other.execute_batch("ROLLBACK").expect("no lock");
    let options = Options { busy_timeout: Duration::from_millis(10), ..Options::new(files.path()) };
    let world = World::<Files>::on(files, |ids, clock| open(&options, ids, clock, Arc::default()));
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let order = || {
        let mut order = world.order(&world.subject(""), &["erp"]);
        order.deliveries[0].slot = Some(world.slot());
        order
    };
    let error = world.store.ledger.accept_order(order()).await.expect_err("locked");
    assert!(matches!(&error, StoreError::Locked(_)) && error.is_passing(), "{error}");
    assert!(world.store.history.ping().await.is_err());
    assert!(world.lane.take().is_empty());
    assert_eq!(world.slots.available_permits(), SLOTS);
    other.execute_batch("ROLLBACK").expect("no lock");
    assert_eq!(world.accept(order()).await, Acceptance::New);
    assert_eq!(world.lane.take().len(), 1);
}

#[tokio::test]
async fn a_full_store_refuses_orders_until_there_is_room_again() {
    let options = |files: &Files| Options { max_size: Some(2 << 20), ..Options::new(files.path()) };
    let files = Files::new();
    let options = options(&files);
    let world = World::<Files>::on(files, |ids, clock| open(&options, ids, clock, Arc::default()));
    let mut last = None;
    let mut accepted = 0;
    let error = loop {
        let mut subject = (*world.subject("")).clone();
        subject.body = vec![b' '; 20_000].into();
        let mut order = world.order(&Arc::new(subject), &["erp"]);
        order.deliveries[0].slot = Some(world.slot());
        let id = order.deliveries[0].id;
        match world.store.ledger.accept_order(order).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        last = Some(id);
        assert!(accepted < 100);
    };
    assert!(matches!(&error, StoreError::Full(_)) && error.is_passing(), "{error}");
    assert!(accepted > 20, "{accepted}");
    assert!(matches!(world.store.history.ping().await, Err(StoreError::Full(_)) | Ok(())));
    let sizes = || {
        let entries = std::fs::read_dir(world.backend.path().parent().expect("a folder")).expect("a folder");
        entries
            .map(|entry| entry.expect("a file"))
            .filter_map(|entry| {
                let counted = !entry.file_name().to_string_lossy().ends_with("-shm");
                counted.then(|| entry.metadata().expect("a file").len())
            })
            .sum::<u64>()
    };
    assert!(sizes() <= 2 << 20, "{} with log and ballast", sizes());
    assert_eq!(world.lane.take().len(), accepted, "the order that was refused handed nothing over");
    // There is room for results.
    let id = last.expect("an order");
    assert_eq!(world.record(world.finished(id, 1, Next::End(DeliveryStatus::Accepted))).await, Recorded::Done);
    let filter = orderhook::store::DeliveryFilter::default();
    let change = orderhook::store::Change::Cancel;
    let done = world.store.queue.change_all(filter, change, world.now().into(), false).await.expect("a change");
    assert_eq!(done.count, accepted as u64 - 1);
    let now = world.advance(1);
    assert_eq!(world.store.queue.remove_finished(now).await.expect("removed"), accepted as u64);
    let id = world.leased("erp").await;
    assert_eq!(world.record(world.finished(id, 1, Next::End(DeliveryStatus::Accepted))).await, Recorded::Done);
    world.store.history.ping().await.expect("room again");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_harms_only_who_reads_it() {
    let world = World::<Files>::new();
    let (bad, good) = (world.waiting("bad").await, world.waiting("good").await);
    let other = rusqlite::Connection::open(world.backend.path()).expect("the file");
    other.execute("UPDATE deliveries SET event_type = 99 WHERE seq = ?1", [bad.sequence()]).expect("garbage");
    let claims = ["bad", "good"].map(|channel| world.store.queue.claim(world.claim(channel)));
    let results = futures_util::future::join_all(claims).await;
    assert!(matches!(&results[0], Err(StoreError::Corrupt(text)) if text.contains("deliveries.event_type")));
    assert_eq!(results[1].as_ref().expect("a claim")[0].id, good);
    assert!(matches!(world.store.history.delivery(bad).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn own_ids_are_found_across_slots_of_the_index_and_restarts() {
    let mut world = World::<Files>::new();
    let mut ids = Vec::new();
    for round in 0..5 {
        let mut calls = Vec::new();
        for at in 0..600 {
            let subject = world.subject(&if at == 7 { "same".to_owned() } else { format!("{round}-{at}") });
            let order = world.order(&subject, &["erp"]);
            ids.push((subject.order_id.clone(), subject.order().expect("an order"), order.deliveries[0].id));
            calls.push(world.store.ledger.accept_order(order));
        }
        for accepted in futures_util::future::join_all(calls).await {
            accepted.expect("accepted");
        }
        if round == 2 {
            world = world.reopen();
        }
    }
    let same: Vec<_> = ids.iter().filter(|(own, ..)| own == "same").collect();
    let page = Page { limit: 3, before: None };
    for (own, order, delivery) in ids.iter().step_by(311).chain(same.last().copied()) {
        let found = world.store.history.order(OrderKey::Own(own.clone())).await.expect("a read").expect("the order");
        assert_eq!(found.summary.id, *order, "{own}");
        let filter = OrderFilter { order_id: Some(own.clone()), ..OrderFilter::default() };
        assert_eq!(world.store.history.orders(filter, page).await.expect("a page").data[0].id, *order);
        let filter = DeliveryFilter { order_id: Some(own.clone()), ..DeliveryFilter::default() };
        assert_eq!(world.store.history.deliveries(filter, page).await.expect("a page").data[0].id, *delivery);
    }
    let filter = OrderFilter { order_id: Some("same".into()), ..OrderFilter::default() };
    let found = world.store.history.orders(filter, ALL).await.expect("a page").data;
    assert_eq!(
        found.iter().rev().map(|order| order.id).collect::<Vec<_>>(),
        same.iter().map(|(_, id, _)| *id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_write_ahead_log_stays_short() {
    let world = World::<Files>::new();
    let mut log = world.backend.path().into_os_string();
    log.push("-wal");
    let (mut written, mut longest) = (0, 0);
    while written < 240 << 20 {
        let orders: Vec<_> = (0..200)
            .map(|_| {
                let mut subject = (*world.subject("")).clone();
                subject.body = vec![b' '; 10_000].into();
                written += subject.body.len();
                world.store.ledger.accept_order(world.order(&Arc::new(subject), &["erp"]))
            })
            .collect();
        for accepted in futures_util::future::join_all(orders).await {
            accepted.expect("accepted");
        }
        longest = longest.max(std::fs::metadata(&log).expect("the log").len());
    }
    assert!(longest < 112 << 20, "{longest} of {written}");
}

#[tokio::test]
async fn a_replica_lives_for_thirty_seconds_after_its_last_sign() {
    let world = World::<Files>::new();
    world.store.queue.heartbeat(ME).await.expect("a heartbeat");
    let lost = world.leased("erp").await;
    world.advance(29);
    assert_eq!(world.store.queue.release_expired(OTHER).await.expect("it lives"), 0);
    world.advance(1);
    assert_eq!(world.store.queue.release_expired(OTHER).await.expect("it is silent"), 1);
    assert_eq!(world.claimed(world.claim("erp")).await, [lost]);
}
