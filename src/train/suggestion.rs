//! What someone may have meant who typed a key that is not known.

/// The known key closest to `typed`: one of the same last part, else the one with the fewest
/// changed letters, if these are few.
pub fn suggestion<'a>(typed: &str, known: &'a [String]) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let same_last = known.iter().find(|key| last(key) == last(typed));
    let closest = || {
        let far = |key: &String| distance(typed, key).min(distance(&last(typed), &last(key)) + 1);
        known.iter().map(|key| (far(key), key)).min().filter(|(d, _)| *d <= typed.len() / 3 + 1)
    };
    same_last.or_else(|| closest().map(|(_, key)| key)).map(String::as_str)
}

/// Letters to change, put in or take out to come from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for j in 0..b.len() {
            let changed = diagonal + usize::from(letter != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn suggests_what_is_close_and_nothing_else() {
        let known = ["optimiser.learning_rate", "training.batch", "run.keep"].map(String::from);
        assert_eq!(suggestion("optimizer.learning_rate", &known), Some("optimiser.learning_rate"));
        assert_eq!(suggestion("training.bach", &known), Some("training.batch"));
        assert_eq!(suggestion("batch", &known), Some("training.batch"));
        assert_eq!(suggestion("training.colour_of_sky", &known), None);
    }
}
