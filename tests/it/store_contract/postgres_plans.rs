//! How much the reads of a PostgreSQL store read: by index and a bounded number of rows, whatever is in the tables, whatever the server
//! knows about them, and also once it has turned to plans that do not depend on parameters.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use orderhook::domain::{Code, Codes, DeliveryStatus, IdSource, ManualClock, OrderStatus, Timestamp};
use orderhook::store::postgres::{Options, TTL, open};
use orderhook::store::{DeliveryFilter, History, OrderFilter, OrderKey, Page, Replica, Store, StoreError};

use super::cluster;
use super::world::START;

/// Orders in the tables, each with a delivery that was accepted at once.
const ORDERS: i64 = 40_000;

/// How often each read is made: from the sixth time on its plan may be one for any parameters.
const TIMES: u64 = 8;

/// Rows and entries of indexes that a page of fifty may read, with what belongs to them, and the opening of the store.
const PAGE: u64 = 2_000;

/// A day that the store has no partition for.
const DAY: i64 = 19_600;

static STARTS: AtomicI64 = AtomicI64::new(1);

/// Fills a partition. Nothing in it has been analyzed: statistics come when they may.
fn fill(url: &str) {
    let (first, next) = ((DAY * 86_400_000) << 15, ((DAY + 1) * 86_400_000) << 15);
    let partitions: String = ["orders", "steps", "order_ends", "events", "deliveries", "attempts"]
        .map(|table| format!("CREATE TABLE {table}_{DAY} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({next});"))
        .concat();
    let sql = format!(
        r"SET search_path TO orderhook;
        {partitions}
        INSERT INTO partitions VALUES ({first}, {next});
        INSERT INTO channels (name) SELECT 'shop-' || i FROM generate_series(1, 10) i;
        CREATE TEMP TABLE made AS SELECT i, {first} + ((i * 1000) << 15) AS key FROM generate_series(1, {ORDERS}::bigint) i;
        INSERT INTO orders (seq, rest, status, received_at, kind, order_id, email, deliveries, body)
            SELECT key, i, CASE WHEN i % 500 = 0 THEN 1 ELSE 2 END, key >> 15, 'new', 'A' || i, 'c' || i || '@shop.example',
                ARRAY[key + 1], '\x7b7d' FROM made;
        INSERT INTO processing (seq, owner, resumed) SELECT key, NULL, 0 FROM made WHERE i % 1000 = 0;
        INSERT INTO order_ends (seq, status, ended_at) SELECT key, 3, key >> 15 FROM made WHERE i % 1000 = 500;
        INSERT INTO deliveries (seq, rest, channel, origin, born, due_at, event_at)
            SELECT key + 1, i, 1 + i % 10, key, 5, key >> 15, key >> 15 FROM made;
        INSERT INTO attempts (delivery, number, id, started_at, duration_ms, code, outcome, exchange)
            SELECT key + 1, 1, decode(md5(i::text), 'hex'), key >> 15, 10, 200, 'accepted', '{{}}' FROM made;
        INSERT INTO states (delivery, channel, state, lease, attempts, round_start, due_at, updated_at, last_code,
                broke_promise, cause)
            SELECT key + 1, 1 + i % 10, CASE WHEN i % 200 = 1 THEN 6 WHEN i % 400 = 2 THEN 5 WHEN i % 400 = 3 THEN 7
                    WHEN i % 400 = 4 THEN 4 WHEN i % 200 = 5 THEN 1 ELSE 3 END, 1, 2, 0, key >> 15, key >> 15,
                CASE WHEN i % 200 = 1 THEN 503 WHEN i % 400 = 2 THEN 400 ELSE 200 END,
                i % 400 = 6, CASE WHEN i % 200 = 1 THEN 1 + i % 10 END
            FROM made WHERE i % 4 <> 0 OR i % 200 < 7;
        INSERT INTO causes (channel, code, likeness, open, first_at, last_at)
            SELECT i, 503, 'no', 20, 0, {first} >> 15 FROM generate_series(1, 10) i;"
    );
    cluster::shared().execute(url, &sql);
}

async fn opened(url: &str) -> Store {
    let clock = ManualClock::new(Timestamp::from_millis(START));
    let ids = IdSource::new(Arc::new(clock.clone()), 1);
    let options = Options { url: url.to_owned(), password: None, connections: 3, ttl: TTL };
    // A process chooses another one at each start.
    let replica = Replica(STARTS.fetch_add(1, Ordering::Relaxed));
    open(&options, replica, &ids, Arc::new(clock), Arc::default()).await.expect("a store")
}

/// Rows and entries of indexes that were read in the store's tables since the last call.
fn read(url: &str) -> u64 {
    let server = cluster::shared();
    let name = url.rsplit('/').next().expect("a name");
    let connected =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'");
    let counted = "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'orderhook')
        + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'orderhook' AND relname <> 'channels')";
    // A connection reports what it read as it ends.
    let begun = Instant::now();
    while server.execute(&server.url("postgres"), &connected).trim() != "0" {
        assert!(begun.elapsed() < Duration::from_secs(20), "a closed store keeps a connection");
        std::thread::sleep(Duration::from_millis(20));
    }
    let read = server.execute(url, counted).trim().parse().expect("a number");
    server.execute(url, "SELECT pg_stat_reset()");
    read
}

/// Makes a read several times on a store of its own; what it returned at last.
async fn within<T, F: Future<Output = Result<T, StoreError>>>(
    url: &str,
    most: u64,
    what: &str,
    make: impl Fn(Arc<dyn History>) -> F,
) -> T {
    read(url);
    let store = opened(url).await;
    let mut returned = None;
    for _ in 0..TIMES {
        returned = Some(make(Arc::clone(&store.history)).await.expect("a read"));
    }
    store.close().await;
    drop(store);
    let read = read(url) / TIMES;
    assert!(read <= most, "{what} reads {read} rows");
    returned.expect("a read")
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_by_index_and_bounded() {
    let url = cluster::database();
    opened(&url).await.close().await;
    fill(&url);
    let page = Page { limit: 50, before: None };
    let orders = OrderFilter::default;
    for (found, filter) in [
        (50, orders()),
        (40, OrderFilter { status: vec![OrderStatus::Processing], ..orders() }),
        (40, OrderFilter { status: vec![OrderStatus::Rejected], ..orders() }),
        (50, OrderFilter { status: vec![OrderStatus::Processing, OrderStatus::Rejected], ..orders() }),
        (1, OrderFilter { order_id: Some("A77".into()), ..orders() }),
        (0, OrderFilter { order_id: Some("B77".into()), ..orders() }),
    ] {
        let made = |store: Arc<dyn History>| {
            let filter = filter.clone();
            async move { store.orders(filter, page).await }
        };
        let orders = within(&url, PAGE, &format!("{filter:?}"), made).await;
        assert_eq!(orders.data.len(), found, "{filter:?}");
    }
    let by_email = |store: Arc<dyn History>| async move {
        let filter = OrderFilter { q: Some("C77@shop.example".into()), ..OrderFilter::default() };
        store.orders(filter, Page { limit: 1, before: None }).await
    };
    assert_eq!(within(&url, PAGE, "an e-mail", by_email).await.data.len(), 1);

    let deliveries = DeliveryFilter::default;
    let of = |status: DeliveryStatus| DeliveryFilter { status: vec![status], ..DeliveryFilter::default() };
    let code = |from, to| DeliveryFilter { code: vec![Codes { from, to }], ..DeliveryFilter::default() };
    for (found, filter) in [
        (50, deliveries()),
        (50, of(DeliveryStatus::Accepted)),
        (50, of(DeliveryStatus::Failed)),
        (50, of(DeliveryStatus::Rejected)),
        (50, of(DeliveryStatus::Cancelled)),
        (50, of(DeliveryStatus::Dispatched)),
        (50, of(DeliveryStatus::Pending)),
        (0, DeliveryFilter { channel: Some("none".into()), ..of(DeliveryStatus::Failed) }),
        (50, DeliveryFilter { status: vec![DeliveryStatus::Failed, DeliveryStatus::Rejected], ..deliveries() }),
        (50, DeliveryFilter { channel: Some("shop-3".into()), ..deliveries() }),
        (50, code(500, 599)),
        (50, code(400, 400)),
        (0, code(-9, -9)),
        (50, code(200, 299)),
        (50, DeliveryFilter { late: Some(true), ..deliveries() }),
        (50, DeliveryFilter { late: Some(false), ..deliveries() }),
        (50, DeliveryFilter { cause: Some(2), ..deliveries() }),
        (1, DeliveryFilter { order_id: Some("A77".into()), ..deliveries() }),
    ] {
        let made = |store: Arc<dyn History>| {
            let filter = filter.clone();
            async move { store.deliveries(filter, page).await }
        };
        let deliveries = within(&url, PAGE, &format!("{filter:?}"), made).await;
        assert_eq!(deliveries.data.len(), found, "{filter:?}");
        for delivery in &deliveries.data {
            assert!(filter.status.is_empty() || filter.status.contains(&delivery.status), "{delivery:?}");
            let code = delivery.last_code.map_or(0, Code::as_i32);
            assert!(filter.code.is_empty() || filter.code.iter().any(|asked| (asked.from..=asked.to).contains(&code)));
        }
    }

    let order = |store: Arc<dyn History>| async move { store.order(OrderKey::Own("A77".into())).await };
    let order = within(&url, PAGE, "an order", order).await.expect("an order");
    let id = order.deliveries.first().expect("a delivery").id;
    let delivery = |store: Arc<dyn History>| async move {
        let filter = DeliveryFilter { q: Some(id.to_string()), ..DeliveryFilter::default() };
        store.deliveries(filter, Page { limit: 1, before: None }).await.map(|found| found.data.len())
    };
    assert_eq!(within(&url, PAGE, "a delivery by its id", delivery).await, 1);
    let causes = |store: Arc<dyn History>| async move { store.causes(None).await };
    assert!(!within(&url, PAGE, "causes", causes).await.is_empty());
    let backlog = |store: Arc<dyn History>| async move { store.backlog().await };
    let pending: u64 = within(&url, PAGE, "the backlog", backlog).await.iter().map(|backlog| backlog.pending).sum();
    assert_eq!(pending, 200);
}
