//! Mistakes in operations on rows, elements and scalars.

use super::{Subject, cpu, subject, within};

/// These operations with their mistakes.
pub fn subjects() -> Vec<Subject> {
    vec![
        subject(
            "add",
            &[],
            vec![
                cpu("last sample only", "write = Write::Add;", ""),
                cpu("ReLU ignored", "if b > S::ZERO { dout } else { S::ZERO }", "dout"),
                cpu("set for add", "da.write, pass.dout", "Write::Set, pass.dout"),
            ],
        ),
        subject(
            "concat",
            &[],
            vec![
                cpu(
                    "first part for all",
                    "(pass.dout, Columns { row_len, start })",
                    "(pass.dout, Columns { row_len, start: 0 })",
                ),
                cpu("set for add", "copy(to, dinput.write,", "copy(to, Write::Set,"),
            ],
        ),
        subject(
            "embedding",
            &["sum"],
            vec![
                cpu("sample for position", "|row| row % words", "|row| row / words"),
                cpu("other types not cleared", "dtype.write.begin(others);", ""),
                cpu("repeated words", "*value += d;", "*value = d;"),
                cpu("tables not cleared", "table.write.begin(values);", ""),
                within("sum.rs", "sums begin with anything", "write.begin(out);", ""),
            ],
        ),
        subject(
            "layer_norm",
            &["norm"],
            vec![
                within("norm.rs", "mean's term dropped", "d * w - mean_g - (x", "d * w - (x"),
                within("norm.rs", "variance's term dropped", "- (x - mean) * rstd * mean_gn)", ")"),
                within("norm.rs", "weight dropped", "rstd * (d * w - mean_g", "rstd * (d - mean_g"),
                within(
                    "norm.rs",
                    "scale dropped",
                    "((x - self.mean) * self.rstd)",
                    "(x - self.mean)",
                ),
                within(
                    "norm.rs",
                    "dweight for dbias",
                    "add_up(dbias, workspace, channels, channels)",
                    "add_up(dbias, workspace, channels, 0)",
                ),
            ],
        ),
        subject(
            "linear",
            &["activation", "dropout", "norm", "sum"],
            vec![
                cpu(
                    "other numbers than forward",
                    "drop.apply(dpre, pass.dout, samples, pass.random)",
                    "drop.apply(dpre, pass.dout, samples, crate::rng::Philox::new(1, 2))",
                ),
                cpu(
                    "nothing dropped backward",
                    "drop.apply(dpre, pass.dout, samples, pass.random)",
                    "{ let _ = (drop, samples); dpre.copy_from_slice(pass.dout) }",
                ),
                cpu(
                    "dweight without the norm",
                    "rows.normalise_again(statistics(&pass), of_norm);",
                    "of_norm.copy_from_slice(rows.inp);",
                ),
                cpu(
                    "norm left out backward",
                    "kept: statistics(&pass), dout: dn",
                    "kept: statistics(&pass), dout: inp",
                ),
                cpu(
                    "norm's parameters exchanged",
                    "[0, 2, 3].map(|i| pass",
                    "[0, 3, 2].map(|i| pass",
                ),
                cpu("ReLU ignored", "Activation::Relu => S::ZERO,", "Activation::Relu => dout,"),
                cpu(
                    "activation left out of dweight",
                    "dweight.write, gradient.t(), Matrix::new(n",
                    "dweight.write, Matrix::new(pass.dout, rows, outputs).t(), Matrix::new(n",
                ),
                cpu(
                    "dinp set for add",
                    "dinp.write, gradient",
                    "crate::write::Write::Set, gradient",
                ),
                cpu(
                    "residual adds to anything",
                    "dresidual.write, pass.dout",
                    "crate::write::Write::Add, pass.dout",
                ),
                cpu("bias of the last row", "*sum += d;", "*sum = d;"),
                within(
                    "activation.rs",
                    "GELU's second term",
                    "distribution + x * density",
                    "distribution",
                ),
                within(
                    "mod.rs",
                    "output not read",
                    "reads_out: self.activation == Activation::Relu",
                    "reads_out: false",
                ),
            ],
        ),
        subject(
            "masked_mean",
            &[],
            vec![
                cpu("other rows not cleared", "dinp.write.begin(values);", ""),
                cpu("mean's factor dropped", "weight * d", "d"),
                cpu("mask ignored", "if counted.counts(sample, row) {", "if true {"),
            ],
        ),
        subject(
            "mse",
            &[],
            vec![
                cpu("sign", "(1, -scale)", "(1, scale)"),
                cpu("square's factor dropped", "2.0 / a.len() as f64", "1.0 / a.len() as f64"),
                cpu("upstream gradient ignored", " * pass.dout[0];", ";"),
            ],
        ),
        subject(
            "scaled_add",
            &[],
            vec![
                cpu("dalpha from dout alone", "&a[range])", "&dout[range])"),
                cpu("alpha dropped", "|&d| alpha * d", "|&d| d"),
                cpu("db set for add", "db.write, dout", "Write::Set, dout"),
            ],
        ),
        subject(
            "slice",
            &[],
            vec![
                cpu("rest not cleared", "if dinp.write == Write::Set {", "if false {"),
                cpu(
                    "set for add",
                    "(dinp.values, whole), dinp.write,",
                    "(dinp.values, whole), Write::Set,",
                ),
            ],
        ),
        subject(
            "weighted_sum",
            &[],
            vec![
                cpu("weight dropped", "S::from_f64(weight) * pass.dout[0]", "pass.dout[0]"),
                cpu(
                    "upstream gradient ignored",
                    "S::from_f64(weight) * pass.dout[0]",
                    "S::from_f64(weight)",
                ),
            ],
        ),
    ]
}
