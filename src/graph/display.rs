//! A graph as text, one node a line, for people.

use std::fmt;

use super::network::Graph;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in self.nodes() {
            let out = self.get(node.out);
            write!(f, "{} {} = {}(", out.name, out.of, node.op.operation().name())?;
            for (i, &input) in node.inputs.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                write!(f, "{comma}{}", self.get(input).name)?;
            }
            writeln!(f, ")")?;
        }
        Ok(())
    }
}
