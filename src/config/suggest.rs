//! What somebody who misspelt a key probably meant.
//!
//! Owns the comparison of names. The readers of tables and of the environment ask it for their messages.

/// Longer names are compared with nothing: no key is that long, and the comparison takes quadratic time.
const MAX_CHARS: usize = 64;

/// The name that is closest to `wrong`, if one is close: at most a third of its letters differ.
pub(super) fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong: Vec<char> = wrong.chars().take(MAX_CHARS + 1).collect();
    if wrong.len() > MAX_CHARS {
        return None;
    }
    known
        .into_iter()
        .map(|name| (distance(&wrong, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters have to be added, dropped or changed (Levenshtein), one row of the table at a time.
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (to_index, to_letter) in to.chars().enumerate() {
        let mut diagonal = to_index;
        let mut left = to_index + 1;
        for (from_letter, cell) in from.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let changed = diagonal + usize::from(*from_letter != to_letter);
            left = changed.min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = to_index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn the_distance_counts_added_dropped_and_changed_letters() {
        assert_eq!(distance(&letters("linger"), "linger"), 0);
        assert_eq!(distance(&letters("kitten"), "sitting"), 3);
        assert_eq!(distance(&letters(""), "abc"), 3);
        assert_eq!(distance(&letters("abc"), ""), 3);
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let keys = ["gop_cache", "gop_max_bytes", "hard_lag"];
        assert_eq!(closest("gop_cach", keys), Some("gop_cache"));
        assert_eq!(closest("gop-max-bytes", keys), Some("gop_max_bytes"));
        assert_eq!(closest("hardlag", keys), Some("hard_lag"));
    }

    #[test]
    fn a_name_like_no_other_finds_none() {
        assert_eq!(closest("volume", ["gop_cache", "hard_lag"]), None);
        assert_eq!(closest(&"gop_cache".repeat(1000), ["gop_cache"]), None);
    }
}
