//! A chart as inline SVG: a frame, two axes, lines and dots.
//!
//! Owns geometry and scales; knows nothing of what is plotted. Colours are classes, so that the page can choose them.

use std::fmt::Write as _;

/// How an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Evenly, from zero.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// An axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// What it counts.
    pub(crate) label: &'static str,
    /// How.
    pub(crate) scale: Scale,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// Without gaps.
    Solid,
    /// In strokes.
    Dashed,
    /// In dots.
    Dotted,
}

impl Stroke {
    /// The class of lines and keys.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Solid => "",
            Self::Dashed => " dashed",
            Self::Dotted => " dotted",
        }
    }
}

/// A line through points, or points alone.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Its colour's number.
    pub(crate) colour: usize,
    /// What it stands for.
    pub(crate) name: String,
    /// In the axes' units.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether the points are joined.
    pub(crate) joined: bool,
    /// Whether the points are dots, with the name beside the last.
    pub(crate) dots: bool,
    /// How the line is drawn.
    pub(crate) stroke: Stroke,
}

/// A chart's width and height.
pub(crate) type Size = (f64, f64);

const LEFT: f64 = 72.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// Where values lie on the paper.
struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let positive = values.clone().filter(|value| *value > 0.0);
        let high = values.fold(0.0, f64::max);
        match scale {
            Scale::Linear => {
                let high = high.max(1e-9);
                let step = step(high);
                Self { scale, low: 0.0, high: (high / step).ceil() * step }
            }
            Scale::Logarithmic => {
                let low = positive.fold(f64::INFINITY, f64::min).min(high);
                let low = if low.is_finite() && low > 0.0 { low } else { 0.1 };
                let (low, high) = (low * 0.8, (high * 1.25).max(low));
                // At least a decade, with the values in its middle.
                let more = (low * 10.0 / high).max(1.0).sqrt();
                Self { scale, low: low / more, high: high * more }
            }
        }
    }

    /// From 0 to 1.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = step(self.high);
                let count = (self.high / step).round() as u32;
                (0..=count).map(|index| f64::from(index) * step).collect()
            }
            Scale::Logarithmic => {
                let decades = (self.high / self.low).log10();
                let factors: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let first = self.low.log10().floor() as i32;
                let last = self.high.log10().ceil() as i32;
                let all =
                    (first..=last).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
                all.filter(|value| *value >= self.low && *value <= self.high).collect()
            }
        }
    }
}

/// A round number of which about five make the whole.
fn step(whole: f64) -> f64 {
    let rough = whole / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
    factor * power
}

/// Draws a chart.
pub(crate) fn chart(title: &str, size: Size, x_axis: &Axis, y_axis: &Axis, series: &[Series]) -> String {
    let (width, height) = size;
    let points = || series.iter().flat_map(|series| series.points.iter());
    let x_range = Range::new(x_axis.scale, points().map(|point| point.0));
    let y_range = Range::new(y_axis.scale, points().map(|point| point.1));
    let x = |value: f64| LEFT + x_range.place(value) * (width - LEFT - RIGHT);
    let y = |value: f64| height - BOTTOM - y_range.place(value) * (height - TOP - BOTTOM);
    let mut out = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">", escape(title));
    grid(&mut out, size, (&x_range, &x), (&y_range, &y));
    labels(&mut out, size, x_axis.label, y_axis.label);
    for one in series {
        let placed: Vec<(f64, f64)> = one.points.iter().map(|point| (x(point.0), y(point.1))).collect();
        draw(&mut out, one, &placed);
    }
    name_dots(&mut out, size, series, x, y);
    out.push_str("</svg>");
    out
}

fn grid(
    out: &mut String,
    size: Size,
    (x_range, x): (&Range, &dyn Fn(f64) -> f64),
    (y_range, y): (&Range, &dyn Fn(f64) -> f64),
) {
    let (right, bottom) = (size.0 - RIGHT, size.1 - BOTTOM);
    // Writing to a string cannot fail.
    for value in y_range.ticks() {
        let (at, text) = (y(value), tick_text(value));
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for value in x_range.ticks() {
        let (at, text) = (x(value), tick_text(value));
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            bottom + 17.0
        );
    }
    let _ = write!(out, "<path class=\"frame\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>");
}

fn labels(out: &mut String, (width, height): Size, x_label: &str, y_label: &str) {
    let middle = (TOP + height - BOTTOM) / 2.0;
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
         <text class=\"label\" transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        width - RIGHT,
        height - 6.0,
        escape(x_label),
        escape(y_label)
    );
}

fn draw(out: &mut String, series: &Series, placed: &[(f64, f64)]) {
    let colour = series.colour;
    if series.joined && placed.len() > 1 {
        let stroke = series.stroke.class();
        let _ = write!(out, "<polyline class=\"line c{colour}{stroke}\" points=\"");
        for (x, y) in placed {
            let _ = write!(out, "{x:.1},{y:.1} ");
        }
        let _ = write!(out, "\"><title>{}</title></polyline>", escape(&series.name));
    }
    if series.dots {
        for ((x, y), (x_value, y_value)) in placed.iter().zip(&series.points) {
            let _ = write!(
                out,
                "<circle class=\"dot c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}: {} / {}</title></circle>",
                escape(&series.name),
                tick_text(*x_value),
                tick_text(*y_value)
            );
        }
    }
}

/// Names stand beside single dots, where no other name stands already.
fn name_dots(out: &mut String, size: Size, series: &[Series], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
    const LINE: f64 = 15.0;
    // As wide as system fonts come in bold.
    const LETTER: f64 = 8.2;
    const GAP: f64 = 10.0;
    let single = series.iter().filter(|series| series.dots && !series.joined);
    let mut dots: Vec<(f64, f64, &str)> = single
        .filter_map(|series| series.points.last().map(|point| (x(point.0), y(point.1), series.name.as_str())))
        .collect();
    dots.sort_by(|one, other| one.1.total_cmp(&other.1));
    // From left to right on a line, by whatever stands there.
    let mut taken: Vec<(f64, f64, f64)> = dots.iter().map(|(x, y, _)| (x - 6.0, x + 6.0, y + 4.0)).collect();
    for (x, y, name) in dots {
        let width = name.chars().count() as f64 * LETTER;
        let is_free = |(left, line): &(f64, f64)| {
            let inside =
                *left > LEFT && left + width < size.0 - RIGHT && (TOP + 8.0..=size.1 - BOTTOM - 3.0).contains(line);
            let apart =
                |(from, to, other): &(f64, f64, f64)| left > to || left + width < *from || (line - other).abs() >= LINE;
            inside && taken.iter().all(apart)
        };
        // As near as possible: to the right or to the left, a little lower or higher.
        let heights = (0..100).flat_map(|step| [f64::from(step), -f64::from(step)]);
        let mut places = heights.flat_map(|step| [x + GAP, x - GAP - width].map(|left| (left, y + 4.0 + 2.0 * step)));
        let (left, line) = places.find(is_free).unwrap_or((x + GAP, y + 4.0));
        taken.push((left, left + width, line));
        let (at, anchor) = if left < x { (x - GAP, "end") } else { (left, "start") };
        let _ = write!(
            out,
            "<text class=\"name\" x=\"{at:.1}\" y=\"{line:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escape(name)
        );
    }
}

fn tick_text(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 1000.0 => super::table::grouped(value.round() as u64),
        size if size >= 10.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Text for HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis { label: "x", scale }
    }

    #[test]
    fn every_point_lies_on_the_paper_on_both_scales() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let range = Range::new(scale, [0.5, 12.0, 340.0].into_iter());
            for value in [0.5, 12.0, 340.0] {
                assert!((0.0..=1.0).contains(&range.place(value)));
            }
            let ticks = range.ticks();
            assert!((3..=12).contains(&ticks.len()), "{ticks:?}");
        }
    }

    #[test]
    fn nothing_at_all_can_be_drawn_too() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let svg = chart("t", (600.0, 330.0), &axis(scale), &axis(scale), &[]);
            assert!(svg.ends_with("</svg>") && !svg.contains("NaN"));
        }
    }

    #[test]
    fn names_cannot_break_the_page() {
        let series = Series {
            colour: 0,
            name: "<b>&".to_owned(),
            points: vec![(1.0, 1.0)],
            joined: false,
            dots: true,
            stroke: Stroke::Solid,
        };
        let svg = chart("t", (600.0, 330.0), &axis(Scale::Linear), &axis(Scale::Linear), &[series]);
        assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"));
    }
}
