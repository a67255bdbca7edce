//! What a mail says, in two forms: HTML without anything that runs, loads or hides, and readable plain text of the same.

use std::fmt;
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

use super::modest::{MAX_NESTING, is_modest};
use super::plain::plain;
use crate::outbound::encodings::steps;

/// The tags that stay. Others go and leave their text, but for scripts and styles, which go with it.
const TAGS: &[&str] = &[
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "ins",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
];

/// The only attributes beside `title`: where a link leads to, and what a table and a list cannot do without.
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("ol", &["start"]),
    ("td", &["colspan", "rowspan", "align"]),
    ("th", &["colspan", "rowspan", "align"]),
];

/// Where a link may lead to.
const SCHEMES: &[&str] = &["http", "https", "mailto", "tel"];

/// How large either form may become, by the source: four times its size and 2 MB at most.
fn largest(source: &str) -> usize {
    /// What a short text may become whatever its size: tags are longer than what they are written by.
    const LEAST: usize = 16 * 1024;
    const MOST: usize = 2_000_000;
    (4 * source.len()).clamp(LEAST, MOST)
}

/// Text up to a size.
struct Capped {
    out: String,
    left: usize,
}

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        steps::count(text.len());
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.out.push_str(text);
        Ok(())
    }
}

/// A text in both forms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Sanitised HTML, what stands within `<body>`.
    pub html: String,
    /// The same as plain text.
    pub text: String,
}

impl Page {
    /// Of Markdown (CommonMark with tables and strikethrough). Line breaks stay where they are; HTML in it is
    /// sanitised. What would grow or nest beyond bounds is shown as it came.
    pub fn of_markdown(source: &str) -> Self {
        Self::rendered(source).unwrap_or_else(|| Self::as_it_is(source))
    }

    fn rendered(source: &str) -> Option<Self> {
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        let mut depth = 0_usize;
        let events = Parser::new_ext(source, options).map_while(|event| {
            steps::count(1);
            match &event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth <= MAX_NESTING).then_some(event)
        });
        let events = events.filter_map(|event| match event {
            Event::SoftBreak => Some(Event::HardBreak),
            // A picture loaded from elsewhere tells who reads the mail: its description stays.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
            event => Some(event),
        });
        let largest = largest(source);
        // The sanitiser writes some tags shorter.
        let mut out = Capped { out: String::with_capacity(source.len() * 3 / 2), left: 2 * largest };
        html::write_html_fmt(&mut out, events).ok()?;
        // Events that nest too deep ended the text.
        (depth == 0).then_some(())?;
        Self::sanitised(&out.out, largest)
    }

    /// Of HTML, of which what [`TAGS`] allow stays. What would grow or nest beyond bounds is shown as it came.
    pub fn of_html(source: &str) -> Self {
        Self::sanitised(source, largest(source)).unwrap_or_else(|| Self::as_it_is(source))
    }

    /// A text of which nothing is read as markup.
    fn as_it_is(source: &str) -> Self {
        let mut text: String = source.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        text.truncate(text.trim_end().len());
        let mut html = String::with_capacity(text.len() * 5 / 4);
        for c in text.chars() {
            match c {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                c => html.push(c),
            }
        }
        text.push('\n');
        Self { html: format!("<pre>{html}</pre>"), text }
    }

    /// `None`: it is not modest, or either form is larger than `largest`.
    fn sanitised(source: &str, largest: usize) -> Option<Self> {
        static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
            let mut builder = Builder::default();
            builder
                .tags(TAGS.iter().copied().collect())
                .tag_attributes(ATTRIBUTES.iter().map(|(tag, names)| (*tag, names.iter().copied().collect())).collect())
                .generic_attributes(["title"].into())
                .url_schemes(SCHEMES.iter().copied().collect())
                .url_relative(UrlRelative::Deny)
                .link_rel(Some("noopener noreferrer"));
            builder
        });
        if !is_modest(source) {
            return None;
        }
        let html = CLEANER.clean(source).to_string();
        if html.len() > largest {
            return None;
        }
        let text = plain(&html, largest)?;
        Some(Self { html, text })
    }

    /// One behind the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let join = |one: String, other: String, between: &str| match (one.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => one,
            _ => one + between + &other,
        };
        Self { html: join(self.html, other.html, "\n"), text: join(self.text, other.text, "\n") }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// The whole HTML document.
    pub(super) fn document(&self, title: &str) -> String {
        let title = ammonia::clean_text(title);
        format!(
            "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body>\n{}\n</body>\n</html>\n",
            self.html
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markdown_becomes_html_and_readable_text() {
        let page = Page::of_markdown(
            "Your key: **AB\\*C\\_D**\nfor `x*y*z`\n\n1. unpack\n2. run <https://example.com/go>\n\n```\na  *b*\n```\n",
        );
        assert_eq!(page.text, "Your key: AB*C_D\nfor x*y*z\n\n1. unpack\n2. run https://example.com/go\n\na  *b*\n");
        assert!(page.html.contains("<strong>AB*C_D</strong><br>"), "{}", page.html);
        assert!(page.html.contains("<code>x*y*z</code>"), "{}", page.html);
    }

    #[test]
    fn every_character_with_a_meaning_can_be_escaped() {
        let escaped = r#"\\ \` \* \_ \{ \} \[ \] \( \) \# \+ \- \. \! \| \~ \< \> \& \""#;
        assert_eq!(Page::of_markdown(escaped).text, "\\ ` * _ { } [ ] ( ) # + - . ! | ~ < > & \"\n");
        assert_eq!(Page::of_markdown("`\\* <b> &amp;`").text, "\\* <b> &amp;\n", "code is shown as it is");
    }

    #[test]
    fn what_runs_loads_or_hides_is_gone() {
        for source in ["[key](javascript:x())", "[key](data:text/html,x)", "![key](https://example.com/t.png)"] {
            let page = Page::of_markdown(source);
            let gone = |text: &str| !text.contains("x()") && !text.contains("data:") && !text.contains("t.png");
            assert!(gone(&page.html) && page.text == "key\n", "{source}: {page:?}");
        }
        for (source, gone) in [
            ("<script>alert(1)</script>key", "alert"),
            ("<style>p{display:none}</style>key", "display"),
            ("<p onclick=\"x()\">key</p>", "onclick"),
            ("<a href=\"javascript:x()\">key</a>", "javascript"),
            ("key<img src=\"https://example.com/t.png\">", "t.png"),
            ("<p style=\"background:url(https://example.com/t)\">key</p>", "background"),
            ("<iframe src=\"https://example.com\"></iframe>key", "iframe"),
            ("<form action=\"https://example.com\"><input name=a>key</form>", "<form"),
            ("<svg onload=x()>key</svg>", "onload"),
            ("<!-- hidden -->key", "hidden"),
            ("<meta http-equiv=refresh content=0>key", "meta"),
            ("<a href=\"/relative\">key</a>", "relative"),
        ] {
            for page in [Page::of_html(source), Page::of_markdown(source)] {
                assert!(!page.html.contains(gone) && !page.text.contains(gone), "{source}: {page:?}");
                assert!(page.html.contains("key") || source.starts_with("<s"), "{source}: {page:?}");
            }
        }
    }

    #[test]
    fn pages_stand_one_behind_the_other() {
        let page = Page::of_html("<p>How to</p>").and(Page::of_markdown("KEY"));
        assert_eq!(page.text, "How to\n\nKEY\n");
        assert_eq!(Page::of_html("").and(Page::of_markdown("KEY")), Page::of_markdown("KEY"));
        assert!(Page::of_html("<p> </p>").is_empty());
    }

    #[test]
    fn what_would_grow_or_nest_beyond_bounds_is_shown_as_it_came() {
        for source in [
            "<blockquote>".repeat(400) + &"x<br>".repeat(40_000),
            "1. ".repeat(50_000),
            "> ".repeat(50_000) + "key",
            "<table>".to_owned() + &"x<br>".repeat(40_000),
            "[key](https://a.b/) ".repeat(2) + &"<b title='a'><b title='b'>".repeat(100) + &"<p>x".repeat(10_000),
        ] {
            let page = Page::of_markdown(&source);
            assert_eq!(page.text.trim_end(), source.trim_end(), "{}", source.get(..40).unwrap_or_default());
            assert!(
                page.html.starts_with("<pre>") && !page.html.contains("<b"),
                "{}",
                page.html.get(..80).unwrap_or_default()
            );
            assert!(page.html.len() <= 4 * source.len() + 16 * 1024);
        }
        let lines = Page::of_markdown(&"x\n".repeat(300_000));
        assert_eq!((lines.text.len(), lines.html.starts_with("<p>x<br>\nx<br>")), (600_000, true));
        let quoted = Page::of_markdown(&("> ".repeat(20) + "key"));
        assert_eq!(quoted.text, "> ".repeat(20) + "key\n");
    }

    #[test]
    fn a_target_that_is_filled_in_ends_where_the_template_says() {
        let page = Page::of_markdown("[key](https://a.example/?x=&#41;&#40;y)");
        assert!(page.html.contains("href=\"https://a.example/?x=)(y\""), "{}", page.html);
    }

    #[test]
    fn hostile_nesting_costs_no_stack_and_little_time() {
        for piece in ["<div>", "> ", "[", "*a _", "- ", "<b><i>", "![", "`", "<a href=", "&#x", "| a |\n"] {
            let source = piece.repeat(40_000 / piece.len());
            let _ = Page::of_markdown(&source);
            let _ = Page::of_html(&source);
        }
    }

    /// What stands between `<` and the `>` that ends it, which is none in the value of an attribute.
    fn tags(html: &str) -> Vec<&str> {
        let (mut tags, mut rest) = (Vec::new(), html);
        while let Some((_, tag)) = rest.split_once('<') {
            let mut quoted = false;
            let end = tag.find(|letter| {
                quoted ^= letter == '"';
                letter == '>' && !quoted
            });
            let (tag, behind) = tag.split_at(end.unwrap_or(tag.len()));
            tags.push(tag);
            rest = behind;
        }
        tags
    }

    proptest! {
        #[test]
        fn whatever_comes_no_script_leaves(source in "(<script>|</script>|<img src=x onerror=|javascript:|\\[a\\]\\(|\\)|\"|'|<a href=|>|`|\\\\|[ -~]|\n){0,40}") {
            let html = Page::of_markdown(&source).html.to_lowercase();
            let leads = |tag: &str| tag.contains(" href=\"javascript:") || tag.contains(" src=\"");
            let hostile = |tag: &&str| tag.starts_with("script") || tag.starts_with("img") || leads(tag);
            prop_assert!(!tags(&html).iter().any(hostile), "{html}");
        }
    }

    proptest! {
        #[test]
        fn work_is_linear_in_the_text(
            start in "(<blockquote>|<table>|<b>|> |- |1. |`|\\*|\\[|<p |){0,3}",
            unit in "(<b>|</b>|<p>|<div>|</div>|<br>|<td>|<!--|-->|<p a=|'|\"|&amp;|&|> |- |1\\. |\\*|_|`|~|\\[|\\]\\(|!\\[|\\||\n|\n\n| |x|\\\\){1,5}",
            times in 1_usize..300,
        ) {
            let work = |text: &str| steps::of(|| drop((Page::of_markdown(text), Page::of_html(text))));
            let (small, large) = (start.clone() + &unit.repeat(times), start + &unit.repeat(4 * times));
            let (one, four) = (work(&small), work(&large));
            // What is written, and read again as HTML and as text, is bounded by what a short text may become.
            prop_assert!(four <= 5 * one + 40 * large.len() + 200_000, "{one}, then {four} for {} bytes", large.len());
        }
    }
}
