//! The figures of an evaluation as a table and as JSON.

use serde_json::{Value, json};

use super::metrics::{Agreement, Scores};

/// Scores of all samples, and of each kind of phrase in the order of first appearance.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub title: String,
    pub all: Scores,
    pub kinds: Vec<(String, Scores)>,
}

impl Report {
    /// `kinds` says what each sample speaks of; samples without a kind are in no group.
    pub fn new<'a>(
        title: &str,
        samples: &[Agreement],
        kinds: impl Iterator<Item = Option<&'a str>>,
    ) -> Self {
        let mut groups: Vec<(String, Vec<Agreement>)> = Vec::new();
        for (&sample, kind) in samples.iter().zip(kinds) {
            let Some(kind) = kind else { continue };
            match groups.iter_mut().find(|(name, _)| name == kind) {
                Some((_, members)) => members.push(sample),
                None => groups.push((kind.to_owned(), vec![sample])),
            }
        }
        let scored = |(name, members): (String, Vec<Agreement>)| (name, Scores::of(members));
        Self {
            title: title.to_owned(),
            all: Scores::of(samples.iter().copied()),
            kinds: groups.into_iter().map(scored).collect(),
        }
    }

    /// An aligned table, in percent.
    pub fn table(&self) -> String {
        let rows = std::iter::once((self.title.as_str(), &self.all));
        let kinds = self.kinds.iter().map(|(name, scores)| (name.as_str(), scores));
        let rows: Vec<(&str, &Scores)> = rows.chain(kinds).collect();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut table = format!("{:width$}  samples", "");
        for (name, _) in self.all.percent() {
            table += &format!("  {name:>6}");
        }
        for (name, scores) in rows {
            table += &format!("\n{name:width$}  {:7}", scores.samples);
            for (_, value) in scores.percent() {
                table += &format!("  {value:6.2}");
            }
        }
        table
    }

    /// One object; figures in percent with two decimals.
    pub fn json(&self) -> Value {
        let mut line = json!({"evaluated": self.title});
        put(&mut line, &self.all);
        if !self.kinds.is_empty() {
            line["kinds"] = json!({});
        }
        for (name, scores) in &self.kinds {
            line["kinds"][name] = json!({});
            put(&mut line["kinds"][name], scores);
        }
        line
    }
}

fn put(line: &mut Value, scores: &Scores) {
    line["samples"] = json!(scores.samples);
    for (name, value) in scores.percent() {
        line[name] = json!((value * 100.0).round() / 100.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_columns_stand_in_line() {
        let half = Agreement { intersection: 1, union: 2 };
        let full = Agreement { intersection: 8, union: 8 };
        let kinds = [Some("colour"), None, Some("size"), Some("colour")];
        let report = Report::new("val", &[half, full, full, full], kinds.into_iter());
        let lines: Vec<String> = report.table().lines().map(str::to_owned).collect();
        assert_eq!(
            lines[0],
            "        samples    mIoU    oIoU   Pr@50   Pr@60   Pr@70   Pr@80   Pr@90"
        );
        assert_eq!(
            lines[1],
            "val           4   87.50   96.15  100.00   75.00   75.00   75.00   75.00"
        );
        assert!(lines[2].starts_with("colour        2   75.00"), "{}", lines[2]);
        assert!(lines[3].starts_with("size          1  100.00"), "{}", lines[3]);
        assert_eq!(report.json()["kinds"]["colour"]["mIoU"], json!(75.0));
    }
}
