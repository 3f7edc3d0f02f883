//! Names of parameters by pattern: `*` stands for any letters, dots too.

use crate::error::{Error, Result};

/// Whether `pattern` describes all of `name`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or("");
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.len() >= end.len() && left.ends_with(end)
}

/// Refuses a pattern of the setting `key` that describes none of `names`: a slip of the pen there
/// would train what should stand still without a word.
pub fn check(key: &str, patterns: &[String], names: &[&str]) -> Result<()> {
    let idle = |pattern: &&String| !names.iter().any(|name| matches(pattern, name));
    match patterns.iter().find(idle) {
        None => Ok(()),
        Some(pattern) => Err(Error::usage(format!(
            "{key}: the pattern {pattern:?} matches no parameter of this model; take it out or \
             correct it"
        ))),
    }
}

/// Whether one of `patterns` describes `name`.
pub fn any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name) in [
            ("head.weight", "head.weight"),
            ("text.layers.1.*", "text.layers.1.mlp.fc1.weight"),
            ("*norm*", "decoder.layers.0.norm1.bias"),
            ("*.bias", "head.bias"),
            ("*", ""),
            ("a*b*c", "aXbbc"),
            ("*ab*ab", "abab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("head", "head.weight"),
            ("text.layers.1.*", "text.layers.10.mlp.fc1.weight"),
            ("*.bias", "bias"),
            ("a*a", "a"),
            ("*ab*ab", "aab"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn an_idle_pattern_is_refused() {
        let patterns = ["head.*", "tail.*"].map(String::from);
        let error = check("optimiser.frozen", &patterns, &["head.weight"]).expect_err("tail");
        assert!(error.to_string().contains("optimiser.frozen: the pattern \"tail.*\""), "{error}");
    }
}
