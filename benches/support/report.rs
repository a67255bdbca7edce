//! The table at the end: what is required, what was measured.

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// The figure.
    pub figure: String,
    /// What it must reach.
    pub required: Requirement,
    /// What was measured.
    pub measured: f64,
    /// Of what: a ratio has none.
    pub unit: &'static str,
    /// The absolute values behind it.
    pub notes: String,
}

/// What a figure must reach.
#[derive(Debug, Clone, Copy)]
pub enum Requirement {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Nothing: shown because it explains another one.
    Shown,
}

impl Row {
    /// Whether it is as required.
    pub fn passes(&self) -> bool {
        match self.required {
            Requirement::AtLeast(bound) => self.measured >= bound,
            Requirement::AtMost(bound) => self.measured <= bound,
            Requirement::Shown => true,
        }
    }
}

/// Prints all rows as a Markdown table, which reads well in a terminal too.
pub fn print(rows: &[Row]) {
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let (required, verdict) = match row.required {
                Requirement::AtLeast(bound) => (format!("≥ {}{}", number(bound), row.unit), row.passes()),
                Requirement::AtMost(bound) => (format!("≤ {}{}", number(bound), row.unit), row.passes()),
                Requirement::Shown => (String::new(), true),
            };
            let verdict = match (row.required, verdict) {
                (Requirement::Shown, _) => "",
                (_, true) => "pass",
                (_, false) => "missed",
            };
            let measured = format!("{}{}", number(row.measured), row.unit);
            [row.figure.clone(), required, measured, verdict.to_owned(), row.notes.clone()]
        })
        .collect();
    let heads = ["figure", "required", "measured", "", "notes"].map(str::to_owned);
    let rule = ["-", "-", "-", "-", "-"].map(str::to_owned);
    let widths: Vec<usize> = (0..5)
        .map(|column| cells.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    println!();
    for (index, row) in [&heads, &rule].into_iter().chain(&cells).enumerate() {
        let fill = if index == 1 { '-' } else { ' ' };
        let padded = row.iter().zip(&widths).map(|(cell, width)| {
            let missing = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", std::iter::repeat_n(fill, missing).collect::<String>())
        });
        println!("| {} |", padded.collect::<Vec<_>>().join(" | "));
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        20.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}
