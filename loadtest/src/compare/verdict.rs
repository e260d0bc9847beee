//! What the figures say: ratios of medians, and whether the project's targets are met.

use crate::report::Case;
use crate::report::load::Load;
use crate::report::table::{Table, number, optional};
use crate::target::Protocol;

/// How much longer those that read may wait, at most, because others do not read.
const STALLED_DELAY: f64 = 1.1;
const REFERENCES: [&str; 4] = ["floor-0", "floor-100", "floor-350", "nginx-rtmp"];

/// The cost of each case over that of the references with the same load, if they kept up with it.
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
    cases.iter().find(|case| case.name == name && case.load == load && case.keeps_up())
}

/// The same case while all players read.
fn without_stalled<'a>(cases: &'a [Case], case: &Case) -> Option<&'a Case> {
    let load = Load { stalled: 0, ..case.load };
    cases.iter().find(|other| other.name == case.name && other.protocol == case.protocol && other.load == load)
}

/// Kilobytes of each player more than the same case has with the fewest. What the stream's ring takes is in neither.
fn kilobytes_per_further_player(cases: &[Case], case: &Case) -> Option<f64> {
    let alike = |other: &&Case| {
        let load = Load { players: case.load.players, ..other.load };
        other.name == case.name && other.protocol == case.protocol && load == case.load
    };
    let fewest = cases.iter().filter(alike).min_by_key(|other| other.load)?;
    let grown_by = |case: &Case| Some(case.median(|run| run.resident_per_player)? * case.load.players as f64);
    let further = case.load.players - fewest.load.players;
    let bytes = grown_by(case)? - grown_by(fewest)?;
    (further > 0).then(|| bytes / 1024.0 / further as f64)
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
            let what = format!("{}, {}: {what}", case.label(), case.load);
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
        check("memory of a further player", kilobytes_per_further_player(cases, case), by_protocol(6.0, 16.0), " KB");
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

/// What makes figures of a case not comparable.
pub(crate) fn warnings(cases: &[Case]) -> Vec<String> {
    let behind = cases.iter().filter(|case| !case.keeps_up());
    let text = |case: &Case| {
        let pace = optional(case.median(|run| run.pace), number);
        format!("{}, {}: players fell behind, at {pace} seconds of stream in each second", case.label(), case.load)
    };
    behind.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Run;

    const LOAD: Load = Load { players: 5_000, streams: 1, stalled: 0 };

    fn case(name: &str, load: Load, run: Run) -> Case {
        Case::new(name.to_owned(), Protocol::Rtmp, load, vec![run])
    }

    fn costs(cpu_ms_per_gigabit: f64, pace: f64) -> Run {
        Run { cpu_ms_per_gigabit: Some(cpu_ms_per_gigabit), pace: Some(pace), ..Run::default() }
    }

    fn takes(bytes_per_player: f64) -> Run {
        Run { resident_per_player: Some(bytes_per_player), ..Run::default() }
    }

    #[test]
    fn a_cost_is_compared_with_the_floor_of_the_same_load() {
        let half = Load { players: 2_500, ..LOAD };
        let cases = [
            case("floor-350", half, costs(50.0, 1.0)),
            case("floor-350", LOAD, costs(20.0, 1.0)),
            case("edge-350", LOAD, costs(23.0, 1.0)),
        ];
        assert_eq!(ratio(&cases, &cases[2], "floor-350"), Some(1.15));
    }

    #[test]
    fn a_floor_that_does_not_keep_up_is_told_and_compared_with_nothing() {
        let cases = [case("floor-0", LOAD, costs(200.0, 0.4)), case("edge-0", LOAD, costs(130.0, 1.0))];
        assert_eq!(ratio(&cases, &cases[1], "floor-0"), None);
        let warnings = warnings(&cases);
        assert!(warnings.len() == 1 && warnings[0].contains("0.40 seconds"), "{warnings:?}");
    }

    #[test]
    fn the_memory_of_players_is_told_from_what_a_server_takes_anyway() {
        let few = Load { players: 1_000, ..LOAD };
        let cases = [case("edge-0", few, takes(9.0 * 1024.0)), case("edge-0", LOAD, takes(5.0 * 1024.0))];
        assert_eq!(kilobytes_per_further_player(&cases, &cases[1]), Some(4.0));
        assert_eq!(kilobytes_per_further_player(&cases, &cases[0]), None);
    }

    #[test]
    fn readers_beside_stalled_players_are_held_to_the_delay_without_those() {
        let delayed = |milliseconds: f64, load: Load| {
            let mut case = case("edge-350", load, costs(20.0, 1.0));
            (case.delay.count, case.delay.p50) = (1, milliseconds);
            case
        };
        let cases = [delayed(200.0, LOAD), delayed(230.0, Load { stalled: 1_000, ..LOAD })];
        let checks = checks(&cases, &cases[1]);
        let delay = checks.iter().find(|check| check.what == "delay p50").unwrap();
        assert_eq!((delay.measured, delay.limit.round()), (230.0, 220.0));
    }
}
