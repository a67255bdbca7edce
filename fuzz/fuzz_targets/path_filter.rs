//! Any filter on any order, of whatever granularity: never a panic, and what a filter says of an order it says of the
//! same order written anew.
//!
//! The input is a filter, a NUL, and an order.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use orderhook::domain::Granularity;
use orderhook::template::PathFilter;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let source = parts.next().and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default();
    let order = parts.next().unwrap_or(b"{}");
    match PathFilter::compile(source) {
        Err(error) => assert!(error.line >= 1 && error.column >= 1 && error.excerpt.ends_with('^')),
        Ok(filter) => {
            for granularity in Granularity::ALL {
                let _ = filter.holds(&support::scope(order), *granularity);
                let _ = granularity.trim(order);
            }
            // The two readers of JSON differ in what they take, not in what they find.
            let whole = filter.holds(&support::scope(order), Granularity::Tickets);
            if let (Ok(holds), Ok(written)) = (whole, Granularity::Tickets.trim(order)) {
                assert_eq!(filter.holds(&support::scope(&written), Granularity::Tickets), Ok(holds));
            }
        }
    }
});
