//! Schedules of channels.

use super::kinds::{Block, DAY, Key, Kind, MINUTE};

/// When a channel sends what waits.
pub(super) static SCHEDULE: Block = Block {
    title: "channels[].schedule",
    doc: "When a channel sends its waiting deliveries, retries included: at runs, `every` so often or by `cron`. Deliveries that exceed the batch wait for the next run; the oldest go first. A run that was missed, because the service was down or the channel paused, is caught up once. A run whose predecessor still has deliveries to start begins when they are started.",
    example: "\
channels:
  - name: nightly
    url: https://nightly.example.com/orders
    schedule: {cron: \"0 6 * * *\", batch: 1000, bucket: 50}
    retry: {attempts: 3, schedule: null}
",
    keys: &[
        Key::new(
            "every",
            Kind::Duration(MINUTE, DAY),
            "The time between two runs. They lie at multiples of it since 1970 in UTC: `15m` is at each full quarter of an hour, `1h` at each full hour.",
        ),
        Key::new(
            "cron",
            Kind::Text("a cron expression of five fields such as 0 6 * * *"),
            "The runs by minute, hour, day of month, month and day of week, in `timezone`: numbers, lists (`1,15`), ranges (`8-18`), steps (`*/15`, `8-18/2`) and names (`jan`, `mon`); 0 and 7 are Sunday. As in Vixie's cron, a day matches if day of month or day of week does where both are restricted, and must match both where one of them begins with `*`, such as `*/2`.",
        ),
        Key::new(
            "timezone",
            Kind::Text("an IANA time zone such as Europe/Zurich"),
            "The time zone of `cron`. A run in an hour that the clocks skip is an hour later; in one that they show twice, it is in the first, or in both where minute or hour begins with `*`. Without it: UTC.",
        ),
        Key::new("batch", Kind::Integer(1, 10_000, "deliveries"), "The most deliveries that a run sends.").or("60"),
        Key::new(
            "bucket",
            Kind::Integer(1, 100, "deliveries"),
            "How many deliveries one request carries, as a JSON array of their payloads. 1: each by itself, in no array. More need a method with a body, `format: json`, and a URL and headers without templates.",
        )
        .or("1"),
    ],
    either: &[&["every"], &["cron"]],
};
