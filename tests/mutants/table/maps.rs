//! Mistakes in operations on maps, and in the loss over pixels.

use super::{Subject, cpu, subject, within};

/// These operations with their mistakes.
pub fn subjects() -> Vec<Subject> {
    vec![
        subject(
            "avg_pool",
            &[],
            vec![
                cpu("mean's factor dropped", "map(|&d| d * quarter)", "copied()"),
                cpu("wrong column", "pixel % width / 2;", "pixel % (width / 2);"),
                cpu("set for add", "dinp.write.put_all", "crate::write::Write::Set.put_all"),
            ],
        ),
        subject(
            "conv",
            &["sum"],
            vec![
                cpu(
                    "kernel not mirrored",
                    "let (i, j) = (kernel - 1 - tap / kernel, kernel - 1 - tap % kernel);",
                    "let (i, j) = (tap / kernel, tap % kernel);",
                ),
                cpu(
                    "kernel transposed",
                    "let (i, j) = (kernel - 1 - tap / kernel, kernel - 1 - tap % kernel);",
                    "let (i, j) = (kernel - 1 - tap % kernel, kernel - 1 - tap / kernel);",
                ),
                cpu("border not cleared", "_ => dproduct.fill(S::ZERO),", "_ => {}"),
                cpu("weight set for add", "write.put(slot, d)", "Write::Set.put(slot, d)"),
                cpu("bias of the last pixel", "*sum += d;", "*sum = d;"),
                within("sum.rs", "sums begin with anything", "write.begin(out);", ""),
            ],
        ),
        subject(
            "cross_entropy",
            &["interpolation"],
            vec![
                cpu("sign of the class", "scale * weight * sign /", "scale * weight /"),
                cpu("class weight dropped", "scale * weight * sign /", "scale * sign /"),
                cpu(
                    "plain mean",
                    "pass.dout[0].to_f64() / pass.kept[0][0].to_f64()",
                    "pass.dout[0].to_f64() / pixels.mask.len() as f64",
                ),
                cpu("upstream gradient ignored", "pass.dout[0].to_f64()", "1.0"),
                cpu("logits exchanged", "[-d, d]", "[d, -d]"),
                cpu("right neighbour dropped", "+= dot(dd, fractions);", "+= S::ZERO;"),
                cpu("set for add", "write.put_all(slots, sums", "Write::Set.put_all(slots, sums"),
            ],
        ),
        subject(
            "image_patches",
            &[],
            vec![
                cpu(
                    "wrong row",
                    "channel * patch + r % patch;",
                    "channel * patch + r / patch % patch;",
                ),
                cpu("set for add", "dimage.write.put_all", "crate::write::Write::Set.put_all"),
            ],
        ),
        subject(
            "patch_merging",
            &[],
            vec![
                cpu("neighbours exchanged", "c % 2 * 2 + r % 2;", "r % 2 * 2 + c % 2;"),
                cpu("set for add", "dinp.write.put_all", "crate::write::Write::Set.put_all"),
            ],
        ),
        subject(
            "resize",
            &["interpolation"],
            vec![
                cpu("left neighbours only", "sizes.across.touching(c)", "sizes.across.cell(c)"),
                cpu("weight of the row below", "down.at(y).weight(r)", "down.at(y).fraction"),
                cpu("set adds to anything", "write.begin(dinp);", ""),
                within("interpolation.rs", "second weight dropped", "first + second\n", "first\n"),
            ],
        ),
        subject(
            "transpose",
            &[],
            vec![
                cpu(
                    "as forward",
                    "dinp.write, pass.dout, rows, cols)",
                    "dinp.write, pass.dout, cols, rows)",
                ),
                cpu("set for add", "dinp.write, pass.dout", "Write::Set, pass.dout"),
            ],
        ),
    ]
}
