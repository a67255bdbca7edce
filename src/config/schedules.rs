//! What of events a channel gets and when: path filter, granularity, schedule, and how they fit the rest.

use super::field::Field;
use super::read::Reader;
use super::schema::one_of;
use super::settings::Method;
use jiff::tz::TimeZone;

use crate::domain::{Granularity, Runs, Schedule};
use crate::template::{PathFilter, Template};

/// `filter`, which needs a `granularity`.
#[expect(clippy::option_option, reason = "wrong is not the same as absent")]
pub(crate) fn filter(block: &Reader<'_>) -> Option<Option<PathFilter>> {
    let filter = block.optional("filter", Field::path_filter);
    if let (Some(field), None) = (block.get("filter"), block.get("granularity")) {
        let words: Vec<_> = Granularity::ALL.iter().map(|word| word.as_str()).collect();
        field.fault(format!("also needs granularity: how much of the order it sees; {}", one_of(&words)));
        return None;
    }
    filter
}

/// `granularity`.
#[expect(clippy::option_option, reason = "wrong is not the same as absent")]
pub(crate) fn granularity(block: &Reader<'_>) -> Option<Option<Granularity>> {
    block.optional("granularity", |field| field.choice(Granularity::from_name))
}

/// `schedule`.
#[expect(clippy::option_option, reason = "wrong is not the same as absent")]
pub(crate) fn schedule(block: &Reader<'_>) -> Option<Option<Schedule>> {
    block.optional("schedule", |field| read(&field.block()?))
}

fn read(block: &Reader<'_>) -> Option<Schedule> {
    let every = block.optional("every", Field::duration);
    let zone = block.optional("timezone", |field| field.text_as(|name| TimeZone::get(name).ok()));
    if let (Some(field), None) = (block.get("timezone"), block.get("cron")) {
        field.fault("applies to cron; runs of every lie at multiples of it in UTC");
        return None;
    }
    let cron = block.optional("cron", |field| {
        let read = Runs::cron(field.text()?, zone.clone()?.unwrap_or(TimeZone::UTC));
        read.map_err(|problem| field.wrong_with::<()>(&problem)).ok()
    });
    let batch = block.get("batch").and_then(Field::integer);
    let bucket = block.get("bucket").and_then(|field| {
        let bucket = field.integer::<usize>()?;
        if batch.is_some_and(|batch| bucket > batch) {
            return field.wrong_with("a bucket cannot be larger than the batch");
        }
        Some(bucket)
    });
    let runs = match (every?, cron?) {
        (Some(every), None) => Runs::Every(every),
        (None, Some(cron)) => cron,
        (None, None) => return block.refuse("needs every or cron"),
        (Some(_), Some(_)) => return block.refuse("has every and cron; give only one of the two"),
    };
    Some(Schedule { runs, batch: batch?, bucket: bucket? })
}

/// Whether a request of several orders can be what the channel says: what is in it is not of one order alone.
pub(crate) fn takes_buckets(
    block: &Reader<'_>,
    schedule: Option<&Schedule>,
    method: Option<Method>,
    url: Option<&Template>,
    headers: Option<&[(String, Template)]>,
) -> Option<()> {
    if schedule.is_none_or(|schedule| schedule.bucket == 1) {
        return Some(());
    }
    let mut fine = true;
    let mut refuse = |key: &str, problem: &str| {
        fine = false;
        if let Some(field) = block.get(key) {
            field.fault(format!("{problem}; schedule.bucket packs several orders into one request"));
        }
    };
    if block.get("email").is_some() {
        refuse("email", "is about one order");
    }
    if method.is_some_and(|method| !method.has_body()) {
        refuse("method", "has no body");
    }
    if block.get("format").is_some_and(|field| field.text() != Some("json")) {
        refuse("format", "is not json");
    }
    if url.is_some_and(|url| url.as_static().is_none()) {
        refuse("url", "is filled in");
    }
    if let Some((name, _)) = headers.unwrap_or_default().iter().find(|(_, value)| value.as_static().is_none()) {
        refuse("headers", &format!("{name} is filled in"));
    }
    fine.then_some(())
}
