//! Which charts a report has, and what is in them.

use super::load::Load;
use super::svg::{Axis, Scale, Series, Size, Stroke, chart};
use super::table::grouped;
use super::{Case, Report};
use crate::target::Protocol;

/// A curve that is not drawn.
static NOTHING: Vec<(f64, f64)> = Vec::new();

/// Half the page, and all of it.
const HALF: Size = (600.0, 330.0);
const WIDE: Size = (1200.0, 420.0);

/// A chart with its heading and what it tells.
pub(crate) struct Plot {
    /// The heading.
    pub(crate) title: &'static str,
    /// How to read it.
    pub(crate) text: &'static str,
    /// The chart.
    pub(crate) svg: String,
    /// Whether it takes the page's width.
    pub(crate) wide: bool,
    /// The colours and what they stand for, unless names stand in the chart.
    pub(crate) legend: Vec<Key>,
}

/// What a line stands for.
pub(crate) struct Key {
    /// Its colour's number.
    pub(crate) colour: usize,
    /// How it is drawn.
    pub(crate) stroke: Stroke,
    /// Its name.
    pub(crate) name: String,
}

/// Those that the report has figures for.
pub(crate) fn all(report: &Report) -> Vec<Plot> {
    let sweeps: Vec<Plot> = [by_players(report), by_streams(report)].into_iter().flatten().collect();
    let ramp = if sweeps.is_empty() { over_the_ramp(report) } else { None };
    let first = [cost_and_delay(report), delay(report), throughput(report)].into_iter().flatten();
    first.chain(sweeps).chain(ramp).chain(first_frame(report)).collect()
}

const PLAYERS: Axis = Axis { label: "players", scale: Scale::Linear };
/// Servers have the first colours, in their order, and floors the last ones, which are greys.
const SERVER_COLOURS: usize = 9;
const FLOOR_COLOURS: usize = 3;

/// The same for a server whatever it speaks and however many players it has.
fn colour(report: &Report, case: &Case) -> usize {
    let identity = |case: &Case| (case.name.clone(), case.load.stalled > 0);
    let mut seen = Vec::new();
    for other in report.cases.iter().filter(|other| is_floor(other) == is_floor(case)) {
        if !seen.contains(&identity(other)) {
            seen.push(identity(other));
        }
    }
    let number = seen.iter().position(|other| *other == identity(case)).unwrap_or(0);
    if is_floor(case) { SERVER_COLOURS + number % FLOOR_COLOURS } else { number % SERVER_COLOURS }
}

fn is_floor(case: &Case) -> bool {
    case.name.starts_with("floor")
}

fn stroke(case: &Case) -> Stroke {
    match case.protocol {
        _ if is_floor(case) => Stroke::Dotted,
        Protocol::Rtmp => Stroke::Solid,
        Protocol::HttpFlv | Protocol::WsFlv | Protocol::Hls => Stroke::Dashed,
    }
}

/// How a case is called: a floor by what it merges, a server also by what it speaks, and both by who does not read.
pub(crate) fn name(case: &Case) -> String {
    let name = if is_floor(case) { case.name.clone() } else { case.label() };
    if case.load.stalled > 0 { format!("{name}, {} stalled", grouped(case.load.stalled as u64)) } else { name }
}

/// The cases with the largest load: those that charts of single loads show.
fn heaviest(report: &Report) -> impl Iterator<Item = &Case> {
    let most = |case: &Case| {
        report.cases.iter().filter(|other| name(other) == name(case)).map(|other| other.load).max() == Some(case.load)
    };
    report.cases.iter().filter(move |case| most(case))
}

fn cost_and_delay(report: &Report) -> Option<Plot> {
    let series: Vec<Series> = heaviest(report)
        .filter_map(|case| {
            let point = (case.delay.p50, case.cost()?);
            let dot = Series { joined: false, dots: true, ..line(report, case, vec![point]) };
            (case.delay.count > 0).then_some(dot)
        })
        .collect();
    let x_axis = Axis { label: "delay p50, ms (logarithmic)", scale: Scale::Logarithmic };
    let y_axis = Axis { label: "CPU ms per delivered Gbit (logarithmic)", scale: Scale::Logarithmic };
    (series.len() > 1).then(|| Plot {
        title: "Cost and delay",
        text: "Each dot is a server: what a delivered gigabit costs it, and how late half of its messages are at most. \
               Down and to the left is better; the floor is what the kernel alone takes.",
        svg: chart("Cost and delay", WIDE, &x_axis, &y_axis, &series),
        wide: true,
        legend: Vec::new(),
    })
}

fn delay(report: &Report) -> Option<Plot> {
    distribution(
        report,
        "Delay",
        "From the publisher's stamp to the player's socket. Read it as: so many per cent of all messages are at most so late.",
        |case| &case.delay.curve,
    )
}

fn first_frame(report: &Report) -> Option<Plot> {
    distribution(
        report,
        "Time to the first frame",
        "From the player's connect, handshake and commands included, to the first whole frame.",
        // The floor has no GOP to begin with.
        |case| if is_floor(case) { &NOTHING } else { &case.first_frame.curve },
    )
}

fn distribution(
    report: &Report,
    title: &'static str,
    text: &'static str,
    curve: impl Fn(&Case) -> &Vec<(f64, f64)>,
) -> Option<Plot> {
    let cases: Vec<&Case> = heaviest(report).filter(|case| !curve(case).is_empty()).collect();
    let series: Vec<Series> = cases
        .iter()
        .map(|case| {
            let points = curve(case).iter().map(|(share, value)| (value.max(0.01), share * 100.0)).collect();
            line(report, case, points)
        })
        .collect();
    let x_axis = Axis { label: "ms (logarithmic)", scale: Scale::Logarithmic };
    let y_axis = Axis { label: "per cent at most", scale: Scale::Linear };
    let legend = legend(&series);
    (!series.is_empty()).then(|| Plot {
        title,
        text,
        svg: chart(title, HALF, &x_axis, &y_axis, &series),
        wide: false,
        legend,
    })
}

fn throughput(report: &Report) -> Option<Plot> {
    let cases: Vec<&Case> = heaviest(report).filter(|case| !case.runs.is_empty()).collect();
    let series: Vec<Series> = cases
        .iter()
        .filter_map(|case| {
            let run = case.runs.first()?;
            // A second at a time: shorter ones would show the merge windows.
            let points = run.timeline.windows(4).map(|ticks| {
                let mean = ticks.iter().map(|tick| tick.gigabits_per_second).sum::<f64>() / ticks.len() as f64;
                (ticks.last().map_or(0.0, |tick| tick.at), mean)
            });
            Some(line(report, case, points.collect()))
        })
        .collect();
    let x_axis = Axis { label: "seconds", scale: Scale::Linear };
    let y_axis = Axis { label: "Gbit/s to all players", scale: Scale::Linear };
    let legend = legend(&series);
    (!series.is_empty()).then(|| Plot {
        title: "Throughput",
        text: "What all players together got, from the first connect to the end of the first run.",
        svg: chart("Throughput", HALF, &x_axis, &y_axis, &series),
        wide: false,
        legend,
    })
}

/// Over the loads, if they have several numbers of players.
fn by_players(report: &Report) -> Option<Plot> {
    let most_streams = report.cases.iter().map(|case| case.load.streams).max();
    let alike = report.cases.iter().filter(|case| Some(case.load.streams) == most_streams);
    let series = sweep(report, alike, |load| load.players);
    let text =
        "Cores that the server kept busy at each number of players: a straight line is a constant cost per player.";
    cores("CPU against players", text, &PLAYERS, &series)
}

/// Over the loads, if they have several numbers of streams.
fn by_streams(report: &Report) -> Option<Plot> {
    let most_players = report.cases.iter().map(|case| case.load.players).max();
    let alike = report.cases.iter().filter(|case| Some(case.load.players) == most_players);
    let series = sweep(report, alike, |load| load.streams);
    let x_axis = Axis { label: "streams (logarithmic)", scale: Scale::Logarithmic };
    let text = "Cores that the server kept busy while as many players were spread over more streams, taking the streams \
                in included: a level line is a constant cost per player, at no cost per stream.";
    cores("CPU against streams", text, &x_axis, &series)
}

/// While players came, if there is no sweep.
fn over_the_ramp(report: &Report) -> Option<Plot> {
    let series: Vec<Series> = heaviest(report).filter_map(|case| ramp(report, case)).collect();
    let text =
        "Cores that the server kept busy while players came, handshakes included, and its mean when all were there.";
    cores("CPU against players", text, &PLAYERS, &series)
}

/// A line for each server that had several loads, with a dot for each of them.
fn sweep<'a>(report: &Report, cases: impl Iterator<Item = &'a Case>, number: impl Fn(&Load) -> usize) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for case in cases {
        let Some(cores) = case.median(|run| run.cores) else { continue };
        let point = (number(&case.load) as f64, cores);
        match all.iter_mut().find(|series| series.name == name(case)) {
            Some(series) => series.points.push(point),
            None => all.push(Series { dots: true, ..line(report, case, vec![point]) }),
        }
    }
    all.retain(|series| series.points.len() > 1);
    for series in &mut all {
        series.points.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    all
}

fn cores(title: &'static str, text: &'static str, x_axis: &Axis, series: &[Series]) -> Option<Plot> {
    let y_axis = Axis { label: "cores kept busy", scale: Scale::Linear };
    (!series.is_empty()).then(|| Plot {
        title,
        text,
        svg: chart(title, HALF, x_axis, &y_axis, series),
        wide: false,
        legend: legend(series),
    })
}

fn ramp(report: &Report, case: &Case) -> Option<Series> {
    let run = case.runs.first()?;
    let ramp = run.timeline.iter().filter(|tick| !tick.measured && tick.players < run.connected);
    let mut points: Vec<(f64, f64)> = ramp.filter_map(|tick| Some((tick.players as f64, tick.cores?))).collect();
    points.insert(0, (0.0, 0.0));
    points.push((run.connected as f64, run.cores?));
    Some(line(report, case, points))
}

fn line(report: &Report, case: &Case, points: Vec<(f64, f64)>) -> Series {
    Series { colour: colour(report, case), name: name(case), points, joined: true, dots: false, stroke: stroke(case) }
}

fn legend(series: &[Series]) -> Vec<Key> {
    let key = |series: &Series| Key { colour: series.colour, stroke: series.stroke, name: series.name.clone() };
    series.iter().map(key).collect()
}
