//! How well masks agree: the figures of the field, from pixel counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// At which size prediction and truth are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// At the model's `S x S`, the truth resized by nearest neighbour: the lineage's tables.
    Lavt,
    /// At the picture's own size, the logits upsampled to it.
    Original,
}

/// The figure by which the best model is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Select {
    #[serde(rename = "mIoU")]
    MeanIou,
    #[serde(rename = "oIoU")]
    OverallIou,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Lavt => "lavt",
            Protocol::Original => "original",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "lavt" => Ok(Protocol::Lavt),
            "original" => Ok(Protocol::Original),
            other => Err(format!("no protocol {other:?}; there are lavt and original")),
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Select::MeanIou => "mIoU",
            Select::OverallIou => "oIoU",
        })
    }
}

/// Pixels that prediction and truth of one sample share, and that either has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    pub intersection: u64,
    pub union: u64,
}

impl Agreement {
    /// Of two masks of one size; not 0 is the object.
    pub fn of(predicted: &[u8], truth: &[u8]) -> Self {
        assert_eq!(predicted.len(), truth.len(), "masks of one size");
        let mut agreement = Self::default();
        for (&p, &t) in predicted.iter().zip(truth) {
            agreement.intersection += u64::from(p != 0 && t != 0);
            agreement.union += u64::from(p != 0 || t != 0);
        }
        agreement
    }

    /// Intersection over union; 0 if both masks are empty.
    pub fn iou(self) -> f64 {
        match self.union {
            0 => 0.0,
            union => self.intersection as f64 / union as f64,
        }
    }
}

/// IoU from which a sample counts for `Pr@50` to `Pr@90`.
pub const THRESHOLDS: [f64; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];

/// The figures of a set of samples, as shares of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    pub samples: usize,
    /// Mean over the samples.
    pub mean_iou: f64,
    /// All intersections over all unions.
    pub overall_iou: f64,
    /// Share of samples whose IoU reaches each of [`THRESHOLDS`].
    pub precision: [f64; 5],
}

impl Scores {
    /// Of any number of samples; of none, all figures are 0.
    pub fn of(samples: impl IntoIterator<Item = Agreement>) -> Self {
        let (mut count, mut sum, mut total) = (0usize, 0.0, Agreement::default());
        let mut reached = [0usize; 5];
        for sample in samples {
            let iou = sample.iou();
            count += 1;
            sum += iou;
            total.intersection += sample.intersection;
            total.union += sample.union;
            for (reached, threshold) in reached.iter_mut().zip(THRESHOLDS) {
                *reached += usize::from(iou >= threshold);
            }
        }
        let all = count.max(1) as f64;
        Self {
            samples: count,
            mean_iou: sum / all,
            overall_iou: total.iou(),
            precision: reached.map(|n| n as f64 / all),
        }
    }

    /// The figure that models are chosen by.
    pub fn selected(&self, by: Select) -> f64 {
        match by {
            Select::MeanIou => self.mean_iou,
            Select::OverallIou => self.overall_iou,
        }
    }

    /// Names and values in percent, in the order of the tables.
    pub fn percent(&self) -> [(&'static str, f64); 7] {
        let [p50, p60, p70, p80, p90] = self.precision;
        let named = [
            ("mIoU", self.mean_iou),
            ("oIoU", self.overall_iou),
            ("Pr@50", p50),
            ("Pr@60", p60),
            ("Pr@70", p70),
            ("Pr@80", p80),
            ("Pr@90", p90),
        ];
        named.map(|(name, share)| (name, 100.0 * share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        let sample = |intersection, union| Agreement { intersection, union };
        let scores = Scores::of([sample(3, 5), sample(0, 0), sample(9, 10), sample(1, 4)]);
        assert_eq!(scores.samples, 4);
        assert!((scores.mean_iou - (0.6 + 0.0 + 0.9 + 0.25) / 4.0).abs() < 1e-15);
        assert!((scores.overall_iou - 13.0 / 19.0).abs() < 1e-15);
        // 3 / 5 reaches 0.6 and 9 / 10 reaches 0.9: the comparison includes the bound.
        assert_eq!(scores.precision, [0.5, 0.5, 0.25, 0.25, 0.25]);
    }

    #[test]
    fn agreement_counts_pixels() {
        let agreement = Agreement::of(&[1, 1, 0, 0], &[255, 0, 1, 0]);
        assert_eq!(agreement, Agreement { intersection: 1, union: 3 });
        assert_eq!(Agreement::of(&[0; 4], &[0; 4]).iou(), 0.0);
    }
}
