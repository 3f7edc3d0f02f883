//! The command line.

use ptx_vm::driver::settings::Settings;

use crate::values::Spec;

pub const HELP: &str = "\
Runs one kernel of a PTX text on the machine and prints what it did.

ptx-vm KERNEL.ptx [--kernel NAME] [--grid X[,Y,Z]] [--block X[,Y,Z]] [--shared BYTES] [--arg SPEC]... [OPTION]...

  --kernel NAME       needed where the text has more than one
  --grid X[,Y,Z]      blocks (1)
  --block X[,Y,Z]     threads of a block (1)
  --shared BYTES      dynamic shared memory (0)
  --arg SPEC          one for each parameter, in order:
                        u32:5  i32:-1  f32:1.5  u64:0x10     a value; u8 to u64, i8 to i64, f32, f64
                        f32[1024]=random                     device memory; also zeros, iota, unset (nobody
                                                             wrote it) and a number for all elements
                        u8[..]=@file.bin                     device memory with a file's bytes
                        f32[1024]=zeros>result.bin           written to a file after the run
  --races             unordered accesses to one word are faults
  --adversarial SEED  warps in a random order, asynchronous work as late as allowed
  --target TARGET     sm_80, sm_89 or sm_90 (sm_90)
  --set NAME=VALUE    any setting: written, races, counts, cache, adversarial, threads, instructions, memory
  --json              counts as JSON

Exit codes: 0 done, 1 the kernel broke a rule, 2 usage, 3 the text was refused.
";

/// What to do.
pub enum Parsed {
    Help,
    Run(Box<Arguments>),
}

/// A run as the command line describes it.
pub struct Arguments {
    pub path: String,
    pub kernel: Option<String>,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub specs: Vec<Spec>,
    pub settings: Settings,
    pub json: bool,
}

impl Arguments {
    /// # Errors
    /// What is wrong with which word.
    pub fn parse(words: &[String]) -> Result<Parsed, String> {
        let mut settings = Settings::default();
        settings.set("counts", "1")?;
        let mut arguments = Self {
            path: String::new(),
            kernel: None,
            grid: [1; 3],
            block: [1; 3],
            dynamic_shared: 0,
            specs: Vec::new(),
            settings,
            json: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if matches!(word.as_str(), "--help" | "-h") {
                return Ok(Parsed::Help);
            }
            arguments.take(word, &mut words)?;
        }
        match arguments.path.is_empty() {
            true => Err("which PTX file?".to_owned()),
            false => Ok(Parsed::Run(Box::new(arguments))),
        }
    }

    fn take<'a>(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), String> {
        let mut value =
            || rest.next().map(String::as_str).ok_or(format!("{word}: its value is missing"));
        match word {
            "--kernel" => self.kernel = Some(value()?.to_owned()),
            "--grid" => self.grid = extent(word, value()?)?,
            "--block" => self.block = extent(word, value()?)?,
            "--shared" => {
                let bytes = value()?;
                let expected = || format!("--shared {bytes}: expected a number of bytes");
                self.dynamic_shared = bytes.parse().map_err(|_| expected())?;
            }
            "--arg" => self.specs.push(Spec::parse(value()?)?),
            "--races" => self.settings.set("races", "1")?,
            "--adversarial" => self.settings.set("adversarial", value()?)?,
            "--target" => self.settings.set("target", value()?)?,
            "--set" => {
                let text = value()?;
                let (name, setting) =
                    text.split_once('=').ok_or(format!("--set {text}: expected NAME=VALUE"))?;
                self.settings.set(name, setting)?;
            }
            "--json" => self.json = true,
            _ if word.starts_with('-') => return Err(format!("{word}: no such option")),
            _ if self.path.is_empty() => word.clone_into(&mut self.path),
            _ => return Err(format!("{word}: one PTX file is enough")),
        }
        Ok(())
    }
}

/// `X`, `X,Y` or `X,Y,Z`.
fn extent(option: &str, text: &str) -> Result<[u32; 3], String> {
    let mut extent = [1; 3];
    let parts: Vec<&str> = text.split(',').collect();
    let wrong = || format!("{option} {text}: expected X, X,Y or X,Y,Z");
    if parts.len() > 3 {
        return Err(wrong());
    }
    for (size, part) in extent.iter_mut().zip(parts) {
        *size = part.parse().map_err(|_| wrong())?;
    }
    Ok(extent)
}
