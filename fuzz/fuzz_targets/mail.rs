//! Any text as Markdown and as HTML: never a panic, within its bounds, and nothing in it that runs or loads.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orderhook::outbound::mail::Page;

fuzz_target!(|source: &str| {
    for page in [Page::of_markdown(source), Page::of_html(source)] {
        let most = (4 * source.len()).max(16 * 1024);
        assert!(page.text.len() <= most + 1 && page.html.len() <= (5 * source.len()).max(most) + 16);
        let html = page.html.to_lowercase();
        assert!(!html.contains("<script") && !html.contains("<img"));
        // In the text it is nothing but text.
        let mut tags = html.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
        assert!(!tags.any(|(tag, _)| tag.contains("href=\"javascript:")));
    }
});
