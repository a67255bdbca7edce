//! Sanitised HTML as plain text that reads well: paragraphs, lists, quotes, code as it is, links with their target.
//!
//! It reads what the sanitiser writes, and nothing else: every tag is closed, every attribute quoted, and `&`, `<`, `>`
//! are character references.

use crate::outbound::encodings::steps;

/// The text of `html`, with a line break at its end; empty where there is none. `None`: it is longer than `largest`.
pub(super) fn plain(html: &str, largest: usize) -> Option<String> {
    let mut writer = Writer { largest, ..Writer::default() };
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        steps::count(at + 1);
        writer.text(&decoded(before));
        let (tag, behind) = tag(from);
        steps::count(from.len() - behind.len());
        writer.tag(tag);
        rest = behind;
        if writer.out.len() > largest {
            return None;
        }
    }
    writer.text(&decoded(rest));
    Some(writer.finish()).filter(|text| text.len() <= largest)
}

/// The tag that `from` begins with, without its brackets, and what follows it. A `>` within quotes belongs to it.
fn tag(from: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, c) in from.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return (from.get(1..at).unwrap_or_default(), from.get(at + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    (from.get(1..).unwrap_or_default(), "")
}

/// The value of an attribute.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, from) = tag.split_once(&format!(" {name}=\""))?;
    from.split_once('"').map(|(value, _)| decoded(value))
}

/// Character references resolved, as far as the sanitiser writes them.
fn decoded(text: &str) -> String {
    let text = text.replace("&nbsp;", "\u{a0}").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Beyond it, nothing more is written.
    largest: usize,
    /// What the lines of open lists and quotes begin with.
    indents: Vec<String>,
    /// The mark of a list's entry whose first line is still to come.
    mark: Option<String>,
    /// The numbers of open lists; `None` for one without.
    lists: Vec<Option<u64>>,
    /// Where the text of open links begins, and where they lead to.
    links: Vec<(usize, String)>,
    /// Within how many `pre`.
    verbatim: usize,
    /// Line breaks still to come: before text, and only there.
    breaks: usize,
    space: bool,
    /// Whether the row has a cell already.
    cell: bool,
}

impl Writer {
    fn tag(&mut self, tag: &str) {
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        match (name, closes) {
            ("br", _) => self.breaks = (self.breaks + 1).min(2),
            ("hr", _) => {
                self.block(2);
                self.text("----");
                self.block(2);
            }
            ("ul" | "ol", false) => {
                self.block(if self.lists.is_empty() { 2 } else { 1 });
                let first = attribute(tag, "start").and_then(|start| start.parse().ok()).unwrap_or(1);
                self.lists.push((name == "ol").then_some(first));
            }
            ("ul" | "ol", true) => {
                self.lists.pop();
                self.block(if self.lists.is_empty() { 2 } else { 1 });
            }
            ("li", false) => {
                self.block(1);
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number = number.saturating_add(1);
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.indents.push(" ".repeat(mark.len()));
                self.mark = Some(mark);
            }
            ("li", true) => {
                self.mark = None;
                self.indents.pop();
                self.block(1);
            }
            ("blockquote", false) => {
                self.block(2);
                self.indents.push("> ".to_owned());
            }
            ("blockquote", true) => {
                self.indents.pop();
                self.block(2);
            }
            ("pre", false) => {
                self.block(2);
                self.verbatim += 1;
            }
            ("pre", true) => {
                self.verbatim = self.verbatim.saturating_sub(1);
                self.block(2);
            }
            ("tr", _) => {
                self.block(1);
                self.cell = false;
            }
            ("td" | "th", false) => {
                let between = if std::mem::replace(&mut self.cell, true) { " | " } else { "" };
                self.text(between);
            }
            ("dt" | "dd", _) => self.block(1),
            ("p", _) if self.mark.is_some() => {}
            ("p" | "div" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "dl", _) => self.block(2),
            ("a", false) => {
                let target = attribute(tag, "href").unwrap_or_default();
                self.links.push((self.out.len(), target));
            }
            ("a", true) => self.end_link(),
            _ => {}
        }
    }

    /// Says where a link leads to, unless its text does.
    fn end_link(&mut self) {
        let Some((from, target)) = self.links.pop() else { return };
        let shown = self.out.get(from..).unwrap_or_default().trim();
        let same = |target: &str| shown == target || target.strip_prefix("mailto:") == Some(shown);
        if !target.is_empty() && !same(&target) {
            self.text(&format!(" ({target})"));
        }
    }

    /// A block begins or ends: at least so many line breaks before the next text.
    fn block(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
        self.space = false;
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            if self.out.len() > self.largest {
                return;
            }
            match c {
                '\n' if self.verbatim > 0 => self.breaks += 1,
                c if self.verbatim == 0 && c.is_ascii_whitespace() => self.space = true,
                c => {
                    self.begin();
                    self.out.push(c);
                }
            }
        }
    }

    /// Writes what is due in front of a character.
    fn begin(&mut self) {
        let starts = self.out.is_empty() || self.breaks > 0;
        if !self.out.is_empty() {
            for at in 0..self.breaks {
                self.out.truncate(self.out.trim_end_matches(' ').len());
                self.out.push('\n');
                // Quotes go on over an empty line.
                if at + 1 < self.breaks {
                    let indent = self.indents.concat();
                    self.out.push_str(indent.trim_end());
                }
            }
        }
        if starts {
            let open = self.indents.len() - usize::from(self.mark.is_some());
            self.out.extend(self.indents.iter().take(open).map(String::as_str));
            if let Some(mark) = self.mark.take() {
                self.out.push_str(&mark);
            }
        } else if self.space {
            self.out.push(' ');
        }
        self.breaks = 0;
        self.space = false;
    }

    fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end().len());
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::super::Page;

    #[track_caller]
    fn assert_reads(html: &str, expected: &str) {
        assert_eq!(Page::of_html(html).text, expected, "{html}");
    }

    #[test]
    fn blocks_are_set_apart_and_spaces_collapse() {
        assert_reads("<p>One\n  two</p>\n<p>Three</p>", "One two\n\nThree\n");
        assert_reads("a<br>b<br><br>c", "a\nb\n\nc\n");
        assert_reads("<h1>Title</h1><div>Text</div><hr>end", "Title\n\nText\n\n----\n\nend\n");
        assert_reads("<pre><code>a  b\n\n  c\n</code></pre>", "a  b\n\n  c\n");
        assert_reads("5 &lt; 6 &amp;amp; &quot;x&quot;", "5 < 6 &amp; \"x\"\n");
        assert_reads("", "");
    }

    #[test]
    fn lists_and_quotes() {
        assert_reads("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>d", "- a\n- b\n  - c\n\nd\n");
        assert_reads("<ol start=\"9\"><li><p>a</p><p>b</p></li><li>c</li></ol>", "9. a\n\n   b\n\n10. c\n");
        assert_reads("<blockquote><p>a</p><p>b<br>c</p></blockquote>d", "> a\n>\n> b\n> c\n\nd\n");
        assert_reads("<ul><li></li><li>x</li></ul>", "- x\n");
    }

    #[test]
    fn links_say_where_they_lead() {
        assert_reads(
            "<a href=\"https://example.com/?a=1&amp;b=2\">here</a>.",
            "here (https://example.com/?a=1&b=2).\n",
        );
        assert_reads("<a href=\"https://example.com\">https://example.com</a>", "https://example.com\n");
        assert_reads("<a href=\"mailto:a@example.com\">a@example.com</a>", "a@example.com\n");
        assert_reads("<a title=\"a > b\">x</a>", "x\n");
    }

    #[test]
    fn tables_keep_their_rows() {
        assert_reads(
            "<table><thead><tr><th>Key</th><th>For</th></tr></thead><tbody><tr><td>A</td><td>B</td></tr></tbody></table>",
            "Key | For\nA | B\n",
        );
    }
}
