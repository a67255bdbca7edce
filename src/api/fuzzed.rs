//! What fuzz targets and tests see of the readers of this module.

use super::query;

/// Reads the query of each list.
pub fn query(text: &str) {
    let _ = (query::orders(Some(text)), query::deliveries(Some(text)), query::order(Some(text)));
    let _ = (query::problems(Some(text)), query::audit(Some(text)), query::filter_of(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_query_is_read_without_panic(text in "(cursor|limit|since|q|status|=|&|%|-|[0-9]{1,20}|\\PC){0,12}") {
            super::query(&text);
        }
    }
}
