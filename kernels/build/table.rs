//! The table of modules and kernels, as Rust for `src/cuda/kernels.rs` to include.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::source::{Source, Target};

/// PTX of one kernel file for one target.
#[derive(Debug)]
pub struct Ptx {
    module: String,
    target: Target,
    pub text: String,
}

impl Ptx {
    pub fn new(source: &Source, target: Target, text: String) -> Self {
        Self { module: source.name.clone(), target, text }
    }

    pub fn file_name(&self) -> String {
        format!("{}.{}.ptx", self.module, self.target.name)
    }

    /// The names of its kernels.
    fn entries(&self) -> impl Iterator<Item = &str> {
        let after = self.text.lines().filter_map(|line| Some(line.split_once(".entry ")?.1));
        after.filter_map(|rest| rest.split(['(', ' ']).next())
    }
}

/// The two enums `Module` and `Kernel` and what they lead to, sorted by name.
pub fn table(ptx: &[Ptx]) -> Result<String, String> {
    let mut modules: BTreeMap<&str, String> = BTreeMap::new();
    let mut kernels: BTreeMap<&str, &str> = BTreeMap::new();
    for made in ptx {
        let mut list = String::new();
        for entry in made.entries() {
            let module = *kernels.entry(entry).or_insert(&made.module);
            if module != made.module || !entry.starts_with(&format!("{module}_")) {
                return Err(format!(
                    "crformer: kernels/{}.cu has a kernel {entry}; a kernel's name begins with the \
                     name of its file",
                    made.module
                ));
            }
            write!(list, "Kernel::{}, ", variant(entry)).map_err(|e| e.to_string())?;
        }
        *modules.entry(&made.module).or_default() += &format!(
            "Ptx {{ compute: Compute::{}, text: include_str!(concat!(env!(\"OUT_DIR\"), \"/{}\")), \
             kernels: &[{list}] }}, ",
            made.target.variant,
            made.file_name()
        );
    }
    let variants = modules.iter().map(|(module, list)| (*module, format!("&[{list}]")));
    let homes =
        kernels.iter().map(|(entry, module)| (*entry, format!("Module::{}", variant(module))));
    Ok(enumeration(
        "Module",
        "A file of kernels.",
        "variants",
        "&'static [Ptx]",
        variants.collect(),
    ) + &enumeration("Kernel", "A kernel.", "module", "Module", homes.collect()))
}

/// An enum of `rows` with `ALL`, `name()` and one more method, which returns each row's value.
fn enumeration(
    name: &str,
    comment: &str,
    method: &str,
    returns: &str,
    rows: Vec<(&str, String)>,
) -> String {
    let each = |line: &dyn Fn(&str, &str) -> String| -> String {
        rows.iter().map(|(name, value)| line(name, value)).collect()
    };
    format!(
        "#[doc = \"{comment}\"]\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n\
         pub enum {name} {{\n{}}}\n\
         impl {name} {{\n\
         pub const ALL: [Self; {}] = [{}];\n\
         pub const fn name(self) -> &'static str {{\nmatch self {{\n{}}}\n}}\n\
         pub const fn {method}(self) -> {returns} {{\nmatch self {{\n{}}}\n}}\n\
         }}\n",
        each(&|name, _| format!("#[doc = \"`{name}`\"]\n{},\n", variant(name))),
        rows.len(),
        each(&|name, _| format!("Self::{}, ", variant(name))),
        each(&|name, _| format!("Self::{} => \"{name}\",\n", variant(name))),
        each(&|name, value| format!("Self::{} => {value},\n", variant(name))),
    )
}

/// `layer_norm_forward_f32` as `LayerNormForwardF32`.
fn variant(name: &str) -> String {
    let upper = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_ascii_uppercase().to_string())
            + letters.as_str()
    };
    name.split('_').map(upper).collect()
}
