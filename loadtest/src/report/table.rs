//! The table at the end: one row a case.

use std::fmt::Write as _;

use super::{Case, Report};

/// Rows of text in columns as wide as they must be; the first column to the left, the others to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a header.
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|text| (*text).to_owned()).collect()] }
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The rows, for other forms.
    pub(crate) fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// As text.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Writing to a string cannot fail.
                let _ = if column == 0 { write!(line, "{cell:<width$}") } else { write!(line, "  {cell:>width$}") };
            }
            out.push_str(line.trim_end());
            out.push('\n');
            if index == 0 {
                out.push_str(&"─".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
                out.push('\n');
            }
        }
        out
    }
}

/// The figures of all cases.
pub(crate) fn of(report: &Report) -> Table {
    let mut table = Table::new(&[
        "case",
        "players",
        "streams",
        "stalled",
        "Gbit/s",
        "delivered",
        "ms/Gbit",
        "cores",
        "delay p50",
        "p99",
        "max",
        "first p50",
        "p99",
        "KB/player",
        "missing",
        "failed",
        "dropped",
    ]);
    for case in &report.cases {
        table.push(row(case));
    }
    table
}

fn row(case: &Case) -> Vec<String> {
    let milliseconds = |count: u64, value: f64| if count == 0 { "–".to_owned() } else { number(value) };
    let (delay, first) = (&case.delay, &case.first_frame);
    vec![
        case.label(),
        case.load.players.to_string(),
        case.load.streams.to_string(),
        case.load.stalled.to_string(),
        optional(case.median(|run| Some(run.delivered_gigabits / run.seconds)), |value| format!("{value:.2}")),
        optional(case.median(|run| run.delivered_share), |share| format!("{:.1} %", share * 100.0)),
        optional(case.cost(), number),
        optional(case.median(|run| run.cores), |cores| format!("{cores:.2}")),
        milliseconds(delay.count, delay.p50),
        milliseconds(delay.count, delay.p99),
        milliseconds(delay.count, delay.max),
        milliseconds(first.count, first.p50),
        milliseconds(first.count, first.p99),
        optional(case.median(|run| run.resident_per_player), |bytes| format!("{:.1}", bytes / 1024.0)),
        case.runs.iter().map(|run| run.missing_messages).sum::<u64>().to_string(),
        case.sum(|run| run.failed).to_string(),
        case.sum(|run| run.dropped).to_string(),
    ]
}

/// A figure, or a dash.
pub(crate) fn optional(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), format)
}

/// Three digits that say something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A count with its thousands apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_stands_in_them() {
        let mut table = Table::new(&["case", "ms"]);
        table.push(vec!["edge".to_owned(), "–".to_owned()]);
        table.push(vec!["a".to_owned(), "1000".to_owned()]);
        assert_eq!(table.render(), "case    ms\n──────────\nedge     –\na     1000\n");
    }

    #[test]
    fn numbers_have_three_digits_and_counts_their_thousands_apart() {
        assert_eq!([number(0.123), number(12.34), number(123.4)], ["0.12", "12.3", "123"]);
        assert_eq!([grouped(7), grouped(1_000), grouped(10_000_000)], ["7", "1,000", "10,000,000"]);
    }
}
