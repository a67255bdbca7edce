//! Schedules of channels.

use super::{Block, DAY, Key, Kind, MINUTE};

/// When a channel sends what waits.
pub(super) static SCHEDULE: Block = Block {
    title: "channels[].schedule",
    doc: "When a channel sends what waits, retries too: at runs, `every` so often or by `cron`. What there is no room for in a run waits for the next one, and what has waited longest goes first. A run that was missed, because the service was down or the channel paused, is made up for once. A run whose predecessor still has deliveries to start begins when they are started.",
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
            "The runs by minute, hour, day of the month, month and day of the week, in UTC.",
        ),
        Key::new("batch", Kind::Integer(1, 10_000, "deliveries"), "How many deliveries a run sends at most.").or("60"),
        Key::new(
            "bucket",
            Kind::Integer(1, 100, "deliveries"),
            "How many deliveries go out in one request, as a JSON array of their payloads. 1: each by itself, in no array. More need a method with a body, `format: json`, and a URL and headers without templates.",
        )
        .or("1"),
    ],
    either: &[&["every"], &["cron"]],
};
