//! The Prometheus text format, as far as tests read it.

use std::collections::BTreeMap;

/// A scrape: every series, as written (`name{label="value"}`), with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads a scrape.
    pub fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            series
                .map(|line| {
                    let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
                    (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("not a number: {line}")))
                })
                .collect(),
        )
    }

    /// Whether there is a series of this name, whatever its labels.
    pub fn has(&self, name: &str) -> bool {
        self.series(name).next().is_some()
    }

    /// The sum over all label values of a name.
    pub fn sum(&self, name: &str) -> f64 {
        self.series(name).map(|(_, value)| value).sum()
    }

    /// One labelled series, zero when it is not there.
    pub fn labelled(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        self.series(name)
            .filter(|(labels, _)| labels.split(',').any(|pair| pair == wanted))
            .map(|(_, value)| value)
            .sum()
    }

    /// The values of a name by one label's values.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let prefix = format!("{label}=\"");
        let value_of = |labels: &str| {
            labels.split(',').find_map(|pair| Some(pair.strip_prefix(&prefix)?.trim_end_matches('"').to_owned()))
        };
        self.series(name).filter_map(|(labels, value)| Some((value_of(labels)?, value))).collect()
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(series, value)| {
            let rest = series.strip_prefix(name)?;
            let labels = if rest.is_empty() { rest } else { rest.strip_prefix('{')?.strip_suffix('}')? };
            Some((labels, *value))
        })
    }
}

/// By how much each reason of `rillcast_disconnects_total` grew between two scrapes.
pub fn new_disconnects(before: &Metrics, after: &Metrics) -> BTreeMap<String, f64> {
    const NAME: &str = "rillcast_disconnects_total";
    let old = before.by_label(NAME, "reason");
    let growth = |(reason, value): (String, f64)| {
        let grown = value - old.get(&reason).copied().unwrap_or(0.0);
        (grown > 0.0).then_some((reason, grown))
    };
    after.by_label(NAME, "reason").into_iter().filter_map(growth).collect()
}
