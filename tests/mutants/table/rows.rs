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
            &["activation", "dropout", "linear", "norm", "sum"],
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
                within(
                    "linear.rs",
                    "dweight without the norm",
                    "rows.normalise_again(*kept, of_norm);",
                    "of_norm.copy_from_slice(rows.inp);",
                ),
                within(
                    "linear.rs",
                    "norm left out backward",
                    "kept, dout: of_norm",
                    "kept, dout: inp",
                ),
                cpu(
                    "norm's parameters exchanged",
                    "[norm, norm.map(|i| i + 1)].map(|i| pass",
                    "[norm.map(|i| i + 1), norm].map(|i| pass",
                ),
                within(
                    "linear.rs",
                    "ReLU ignored",
                    "Activation::Relu => S::ZERO,",
                    "Activation::Relu => dout,",
                ),
                cpu(
                    "activation left out of dweight",
                    "if self.differentiates() { dpre } else { pass.dout }",
                    "if self.drop.is_some() { dpre } else { pass.dout }",
                ),
                within(
                    "linear.rs",
                    "dinp set for add",
                    "multiply(MatrixMut::new(dinp, rows, inputs), write,",
                    "multiply(MatrixMut::new(dinp, rows, inputs), Write::Set,",
                ),
                cpu(
                    "residual adds to anything",
                    "rows::write_all(dresidual, write,",
                    "rows::write_all(dresidual, crate::write::Write::Add,",
                ),
                within("linear.rs", "bias of the last row", "*sum += d;", "*sum = d;"),
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
            "mlp",
            &["activation", "dropout", "linear", "norm", "sum"],
            vec![
                cpu("residual's gradient overwritten", "*write = Write::Add;", ""),
                cpu(
                    "residual adds to anything",
                    "rows::write_all(dresidual, write,",
                    "rows::write_all(dresidual, Write::Add,",
                ),
                cpu(
                    "other numbers than forward",
                    "drop.apply(d, pass.dout, sizes.samples, pass.random)",
                    "drop.apply(d, pass.dout, sizes.samples, crate::rng::Philox::new(1, 2))",
                ),
                cpu(
                    "nothing dropped backward",
                    "drop.apply(d, pass.dout, sizes.samples, pass.random)",
                    "{ let _ = drop; d.copy_from_slice(pass.dout) }",
                ),
                cpu(
                    "norm's parameters exchanged",
                    "[norm, norm.map(|i| i + 1)].map(|i| pass",
                    "[norm.map(|i| i + 1), norm].map(|i| pass",
                ),
                cpu(
                    "no activation",
                    "activate_both(hidden, derivatives, pre, self.activation);",
                    "activate_both(hidden, derivatives, pre, Activation::None);",
                ),
                cpu(
                    "no derivative",
                    "second.backward_through(d, derivatives, dpre);",
                    "second.backward_through(d, &vec![S::ONE; derivatives.len()], dpre);",
                ),
                within(
                    "linear.rs",
                    "dweight2 of what is not activated",
                    "Activation::Gelu => gelu_both(pre),",
                    "Activation::Gelu => (pre, gelu_both(pre).1),",
                ),
                cpu(
                    "made again without the bias",
                    "let bias = Some(inputs.real(2));",
                    "let bias = None;",
                ),
                cpu(
                    "biases exchanged",
                    "(pass.wanted(Some(3)), pass.wanted(Some(4)))",
                    "(pass.wanted(Some(3)), pass.wanted(Some(2)))",
                ),
                within(
                    "linear.rs",
                    "derivative at another row",
                    "&derivatives[row * inputs + col..]",
                    "&derivatives[col..]",
                ),
                within(
                    "activation.rs",
                    "GELU's second term",
                    "distribution + x * density",
                    "distribution",
                ),
                within(
                    "mod.rs",
                    "first bias not read",
                    "(!self.keep_hidden, false)",
                    "(false, false)",
                ),
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
