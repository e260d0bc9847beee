//! The page: figures, charts and tables in one file that needs nothing else.

use std::fmt::Write as _;

use super::machine::Machine;
use super::plot::{self, Key, Plot};
use super::svg::escape;
use super::table::{self, Table, number, optional};
use super::{Case, Report};

const STYLE: &str = include_str!("page.css");

/// A report as a page; `tables` are shown besides the table of all cases.
pub(crate) fn page(report: &Report, tables: &[(&str, &Table)]) -> String {
    let mut out = head(&report.title);
    let Machine { processor, cores, kernel, load } = &report.machine;
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<header><p class=\"brand\">rillcast-loadtest</p><h1>{}</h1>\
         <p class=\"machine\">{} · {cores} cores · Linux {} · load {load:.1} before · {}</p></header>",
        escape(&report.title),
        escape(processor),
        escape(kernel),
        date(report.began)
    );
    out.push_str(&tiles(report));
    for plot in plot::all(report) {
        section(&mut out, &plot);
    }
    for (title, table) in tables {
        let _ = write!(out, "<section class=\"wide\"><h2>{}</h2>{}</section>", escape(title), html_table(table));
    }
    let all = table::of(report);
    let _ = write!(
        out,
        "<section class=\"wide\"><h2>All figures</h2><p>Medians over the runs; delays and times to the first frame in \
         milliseconds, over all runs.</p>{}</section>",
        html_table(&all)
    );
    footer(&mut out, report);
    out.push_str("</main></body></html>\n");
    out
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>",
        escape(title)
    )
}

/// The figures that one looks for first: of the first server, under the largest load.
fn tiles(report: &Report) -> String {
    let first = report.cases.iter().find(|case| !case.name.starts_with("floor")).or(report.cases.first());
    let same = report.cases.iter().filter(|case| first.is_some_and(|first| plot::name(first) == plot::name(case)));
    let shown = same.max_by_key(|case| case.load);
    let Some(case) = shown else { return String::new() };
    let mut out = format!(
        "<p class=\"of\">{} over {}, {}</p><div class=\"tiles\">",
        escape(&case.name),
        case.protocol,
        case.load
    );
    for (figure, unit, label) in figures(case) {
        let _ = write!(out, "<div class=\"tile\"><b>{figure}<i>{unit}</i></b><span>{label}</span></div>");
    }
    out.push_str("</div>");
    out
}

fn figures(case: &Case) -> Vec<(String, &'static str, &'static str)> {
    let rate = case.median(|run| Some(run.delivered_gigabits / run.seconds));
    let share = case.median(|run| run.delivered_share);
    let mut figures = vec![
        (optional(rate, number), " Gbit/s", "delivered"),
        (optional(share, |share| format!("{:.1}", share * 100.0)), " %", "of what was published"),
    ];
    if case.delay.count > 0 {
        figures.push((number(case.delay.p50), " ms", "delay, half of all messages"));
        figures.push((number(case.delay.p99), " ms", "delay, 99 % of all messages"));
    }
    if let Some(cost) = case.cost() {
        figures.push((number(cost), " ms", "CPU per delivered Gbit"));
    }
    // With many streams, most of what a server grows by are their rings.
    let resident = case.median(|run| run.resident_per_player).filter(|_| case.load.streams == 1);
    if let Some(bytes) = resident {
        figures.push((number(bytes / 1024.0), " KB", "memory per player"));
    }
    figures
}

fn section(out: &mut String, plot: &Plot) {
    let Plot { title, text, svg, wide, legend } = plot;
    let class = if *wide { " class=\"wide\"" } else { "" };
    let _ = write!(out, "<section{class}><h2>{title}</h2><p>{text}</p>{svg}");
    if legend.len() > 1 {
        out.push_str("<ul class=\"legend\">");
        for Key { colour, stroke, name } in legend {
            let stroke = stroke.class();
            let _ = write!(out, "<li><span class=\"key c{colour}{stroke}\"></span>{}</li>", escape(name));
        }
        out.push_str("</ul>");
    }
    out.push_str("</section>");
}

fn html_table(table: &Table) -> String {
    let mut out = "<div class=\"scroll\"><table>".to_owned();
    for (index, row) in table.rows().iter().enumerate() {
        let cell = if index == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        for text in row {
            let class =
                if matches!(text.as_str(), "yes" | "no") { format!(" class=\"{text}\"") } else { String::new() };
            let _ = write!(out, "<{cell}{class}>{}</{cell}>", escape(text));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    out
}

fn footer(out: &mut String, report: &Report) {
    out.push_str("<footer>");
    for note in &report.notes {
        let _ = write!(out, "<p>{}</p>", escape(note));
    }
    let _ = write!(out, "<p>Made by <code>{}</code></p></footer>", escape(&report.command));
}

/// The day and minute in UTC, by the civil calendar (days counted from 1 March 0000).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_798_761_599), "2026-12-31 23:59 UTC");
    }

    #[test]
    fn an_empty_report_is_a_page_that_refers_to_nothing_else() {
        let report = Report {
            title: "<nothing>".to_owned(),
            command: "x".to_owned(),
            began: 0,
            machine: Machine::here(),
            cases: Vec::new(),
            notes: Vec::new(),
        };
        let page = page(&report, &[]);
        assert!(page.contains("&lt;nothing&gt;"));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
    }
}
