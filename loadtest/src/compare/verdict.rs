//! What the figures say: ratios of medians, and whether the project's targets are met.

use crate::report::Case;
use crate::report::load::Load;
use crate::report::table::{Table, number, optional};
use crate::target::Protocol;

/// From so many players on, the memory that a server grows by is the players'.
const PLAYERS_FOR_MEMORY: usize = 1_000;
/// How much longer those that read may wait, at most, because others do not read.
const STALLED_DELAY: f64 = 1.1;
const REFERENCES: [&str; 4] = ["floor-0", "floor-100", "floor-350", "nginx-rtmp"];

/// The cost of each case over that of the references with the same load.
pub(crate) fn ratios(cases: &[Case]) -> Table {
    let present = |name: &&&str| cases.iter().any(|case| case.name == **name);
    let references: Vec<&str> = REFERENCES.iter().filter(present).copied().collect();
    let titles: Vec<String> = references.iter().map(|name| format!("× {name}")).collect();
    let mut header = vec!["CPU per Gbit, ratio of medians", "players", "streams", "ms/Gbit"];
    header.extend(titles.iter().map(String::as_str));
    let mut table = Table::new(&header);
    for case in cases {
        let mut row = vec![case.label(), case.load.players.to_string(), case.load.streams.to_string()];
        row.push(optional(case.cost(), number));
        row.extend(references.iter().map(|reference| optional(ratio(cases, case, reference), number)));
        table.push(row);
    }
    table
}

fn ratio(cases: &[Case], case: &Case, reference: &str) -> Option<f64> {
    Some(case.cost()? / find(cases, reference, case.load)?.cost()?)
}

fn find<'a>(cases: &'a [Case], name: &str, load: Load) -> Option<&'a Case> {
    cases.iter().find(|case| case.name == name && case.load == load)
}

/// The same case while all players read.
fn without_stalled<'a>(cases: &'a [Case], case: &Case) -> Option<&'a Case> {
    let load = Load { stalled: 0, ..case.load };
    cases.iter().find(|other| other.name == case.name && other.protocol == case.protocol && other.load == load)
}

/// Something that should be at most a limit.
struct Check {
    what: String,
    measured: f64,
    limit: f64,
    unit: &'static str,
}

/// The targets that these cases can tell about.
pub(crate) fn targets(cases: &[Case]) -> Table {
    let mut table = Table::new(&["target", "measured", "limit", "met"]);
    for case in cases {
        for Check { what, measured, limit, unit } in checks(cases, case) {
            let met = if measured <= limit { "yes" } else { "no" };
            let what = format!("{} {}, {}: {what}", case.name, case.protocol, case.load);
            table.push(vec![
                what,
                format!("{}{unit}", number(measured)),
                format!("{}{unit}", number(limit)),
                met.to_owned(),
            ]);
        }
    }
    table
}

fn checks(cases: &[Case], case: &Case) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |what: &str, measured: Option<f64>, limit: f64, unit| {
        checks.extend(measured.map(|measured| Check { what: what.to_owned(), measured, limit, unit }));
    };
    let rtmp = case.protocol == Protocol::Rtmp;
    let by_protocol = |over_rtmp: f64, over_http: f64| if rtmp { over_rtmp } else { over_http };
    let p50 = (case.delay.count > 0).then_some(case.delay.p50);
    match case.name.as_str() {
        "edge-350" => check("CPU × floor-350", ratio(cases, case, "floor-350"), by_protocol(1.2, 1.3), ""),
        "edge-0" => {
            check("CPU × floor-0", ratio(cases, case, "floor-0"), by_protocol(1.15, 1.25), "");
            if let Some(floor) = find(cases, "floor-0", case.load) {
                check("delay p50", p50, floor.delay.p50 + 2.0, " ms");
            }
            check("delay p99", p50.map(|_| case.delay.p99), 15.0, " ms");
        }
        "edge-auto" if case.load.players <= 100 => check("delay p50", p50, 2.0, " ms"),
        "edge-auto" if case.load.players == 5_000 => {
            check("CPU × floor-350", ratio(cases, case, "floor-350"), 2.2, "");
            check("delay p50", p50, 60.0, " ms");
        }
        "origin-auto" if case.load.streams >= 100 => {
            check("CPU × nginx-rtmp", ratio(cases, case, "nginx-rtmp"), 1.0, "");
            check("first frame, all", Some(case.first_frame.max), 100.0, " ms");
        }
        _ => {}
    }
    if case.name.starts_with("edge") {
        // Of a few players, or with many rings, most of what grows is not the players'.
        let enough = case.load.players >= PLAYERS_FOR_MEMORY && case.load.streams == 1;
        let kilobytes = case.median(|run| run.resident_per_player).filter(|_| enough).map(|bytes| bytes / 1024.0);
        check("memory per player", kilobytes, by_protocol(6.0, 16.0), " KB");
        check("first frame p50", Some(case.first_frame.p50), 1.0, " ms");
        check("first frame p99", Some(case.first_frame.p99), 10.0, " ms");
    }
    if case.load.stalled > 0 {
        let missing = case.runs.iter().map(|run| run.missing_messages).sum::<u64>();
        check("messages missing", Some(missing as f64), 0.0, "");
        if let Some(other) = without_stalled(cases, case) {
            check("delay p50", p50, other.delay.p50 * STALLED_DELAY, " ms");
        }
    }
    checks
}
