//! The known word nearest to one that is not known, for "did you mean".

/// Longer words are nobody's slip of the finger, and the comparison is quadratic.
const LONGEST: usize = 64;

/// The candidate that `word` could have been meant for, if there is one.
///
/// Case counts for nothing; of two that are equally near, the first wins.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let typed = word.to_ascii_lowercase();
    let known: Vec<&str> = candidates.into_iter().filter(|known| known.len() <= LONGEST).collect();
    slip(&typed, &known).or_else(|| shared_start(&typed, &known))
}

fn slip<'c>(typed: &str, known: &[&'c str]) -> Option<&'c str> {
    known
        .iter()
        .copied()
        .map(|known| (distance(typed, &known.to_ascii_lowercase()), known))
        // A third of the letters may be wrong, and one in the shortest of words.
        .filter(|(far, known)| *far <= known.len().div_ceil(3))
        .min_by_key(|(far, _)| *far)
        .map(|(_, known)| known)
}

/// The known word that was typed in part (`lease`), or with more behind it (`filename`).
fn shared_start<'c>(typed: &str, known: &[&'c str]) -> Option<&'c str> {
    const LEAST: usize = 3;
    known.iter().copied().find(|known| {
        let known = known.to_ascii_lowercase();
        typed.len().min(known.len()) >= LEAST && (known.starts_with(typed) || typed.starts_with(&known))
    })
}

/// How many letters must be added, dropped or changed to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.chars().enumerate() {
        let mut diagonal = row;
        let mut left = row.saturating_add(1);
        let mut line = vec![left];
        for (theirs, up) in other.iter().zip(above.iter().skip(1)) {
            let changed = diagonal.saturating_add(usize::from(letter != *theirs));
            left = changed.min(left.saturating_add(1)).min(up.saturating_add(1));
            diagonal = *up;
            line.push(left);
        }
        above = line;
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_letter_slips() {
        for (one, other, far) in
            [("", "", 0), ("gatway", "gateway", 1), ("kitten", "sitting", 3), ("abc", "", 3), ("", "abc", 3)]
        {
            assert_eq!(distance(one, other), far, "{one} to {other}");
        }
    }

    #[test]
    fn the_nearest_known_word_is_found() {
        let known = ["gateway", "ranges", "subnet", "ip", "mac"];
        for (word, near) in [
            ("gatway", Some("gateway")),
            ("GATEWAY", Some("gateway")),
            ("range", Some("ranges")),
            ("pi", None),
            ("ipp", Some("ip")),
            ("gate", Some("gateway")),
            ("macAddress", Some("mac")),
            ("ipAddress", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
        assert_eq!(nearest(&"g".repeat(LONGEST + 1), known), None);
    }
}
