//! Mistakes in operations with a softmax over keys.

use super::{Subject, cpu, subject, within};

/// The attention that three operations share.
const BACKWARD: &str = "attention/backward.rs";

/// These operations with their mistakes.
pub fn subjects() -> Vec<Subject> {
    vec![
        subject(
            "cross_attention",
            &["attention", "softmax"],
            vec![
                cpu("dk for dv", "[0, channels].map(|first|", "[channels, 0].map(|first|"),
                cpu("mask ignored", "k, v, mask, lse:", "k, v, mask: None, lse:"),
                cpu("dq set for add", "write: *write,", "write: crate::write::Write::Set,"),
                within(
                    BACKWARD,
                    "later segments dropped",
                    "|(total, &x)| *total += x",
                    "|(_, _)| ()",
                ),
            ],
        ),
        subject(
            "self_attention",
            &["attention", "softmax"],
            vec![
                cpu("dk for dv", "[0, channels, 2 * channels]", "[0, 2 * channels, channels]"),
                within("softmax.rs", "softmax's mean dropped", "p * (*d - mean)", "p * *d"),
                within(
                    BACKWARD,
                    "dk without scale",
                    "rows.clone(), scale, q)",
                    "rows.clone(), 1.0, q)",
                ),
                within(BACKWARD, "dq without scale", "all(scale, count)", "all(1.0, count)"),
                within(
                    BACKWARD,
                    "dk from p",
                    "Left::transposed(ds, lanes)",
                    "Left::transposed(p, lanes)",
                ),
                within(BACKWARD, "sums begin with anything", "partial.fill(S::ZERO);", ""),
                within(
                    BACKWARD,
                    "another sample's sums",
                    "lse[self.number * queries",
                    "lse[self.number % heads * queries",
                ),
            ],
        ),
        subject(
            "softmax_weighted_sum",
            &["attention", "softmax"],
            vec![
                cpu(
                    "words for values",
                    "let gradients = [0, 1, 2].map(|i| pass",
                    "let gradients = [0, 2, 1].map(|i| pass",
                ),
                cpu("mask ignored", "k, v, mask, lse:", "k, v, mask: None, lse:"),
                cpu("set for add", "write: *write", "write: crate::write::Write::Set"),
                within(
                    "softmax.rs",
                    "softmax's probability dropped",
                    "p * (*d - mean)",
                    "*d - mean",
                ),
            ],
        ),
        subject(
            "window_attention",
            &["softmax"],
            vec![
                within(
                    "backward.rs",
                    "padding ignored",
                    "in padding.iter_mut().zip(values)",
                    "in padding.iter_mut().take(0).zip(values)",
                ),
                within(
                    "backward.rs",
                    "dq without scale",
                    "Part::Query, self.source.scale(), rows.q, &mut []",
                    "Part::Query, S::ONE, rows.q, &mut []",
                ),
                within("backward.rs", "table in reverse", "total[reversed]", "total[i]"),
                within("backward.rs", "first task only", "*total += x;", "let _ = (&total, x);"),
                within("backward.rs", "last window only", "*sum += *ds;", "*sum = *ds;"),
                within(
                    "backward.rs",
                    "set for add",
                    "Write::Add => write.put_all(slots",
                    "Write::Add => Write::Set.put_all(slots",
                ),
                within("softmax.rs", "softmax's mean dropped", "p * (*d - mean)", "p * *d"),
            ],
        ),
    ]
}
