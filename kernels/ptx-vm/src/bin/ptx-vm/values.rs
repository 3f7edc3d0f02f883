//! Arguments of a kernel: values, and device memory with what it holds at first.

use ptx_vm::memory::Memory;
use ptx_vm::program::Kernel;
use ptx_vm::random::Random;

/// Seed of random contents: every run sees the same.
const SEED: u64 = 0x5eed;

/// Types of values and elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unsigned(usize),
    Signed(usize),
    F32,
    F64,
}

impl Kind {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "u8" => Kind::Unsigned(1),
            "u16" => Kind::Unsigned(2),
            "u32" => Kind::Unsigned(4),
            "u64" => Kind::Unsigned(8),
            "i8" => Kind::Signed(1),
            "i16" => Kind::Signed(2),
            "i32" => Kind::Signed(4),
            "i64" => Kind::Signed(8),
            "f32" => Kind::F32,
            "f64" => Kind::F64,
            _ => return Err(format!("{name}: no type; there are u8 to u64, i8 to i64, f32, f64")),
        })
    }

    fn bytes(self) -> usize {
        match self {
            Kind::Unsigned(bytes) | Kind::Signed(bytes) => bytes,
            Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }

    /// The bytes of a number, as written.
    fn number(self, text: &str) -> Result<Vec<u8>, String> {
        let wrong = || format!("{text}: no value of {} bytes of its type", self.bytes());
        let bits = match self {
            Kind::F32 => u64::from(text.parse::<f32>().map_err(|_| wrong())?.to_bits()),
            Kind::F64 => text.parse::<f64>().map_err(|_| wrong())?.to_bits(),
            Kind::Unsigned(bytes) => {
                let number = match text.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => text.parse(),
                };
                let number = number.map_err(|_| wrong())?;
                let most = u64::MAX >> (64 - 8 * bytes);
                if number > most { Err(wrong()) } else { Ok(number) }?
            }
            Kind::Signed(bytes) => {
                let number: i64 = text.parse().map_err(|_| wrong())?;
                let shift = 64 - 8 * bytes;
                if number << shift >> shift != number { Err(wrong()) } else { Ok(number as u64) }?
            }
        };
        Ok(bits.to_le_bytes()[..self.bytes()].to_vec())
    }

    /// The bytes of a small whole number.
    fn counted(self, index: usize) -> Vec<u8> {
        let bits = match self {
            Kind::F32 => u64::from((index as f32).to_bits()),
            Kind::F64 => (index as f64).to_bits(),
            _ => index as u64,
        };
        bits.to_le_bytes()[..self.bytes()].to_vec()
    }

    /// Floats from -1 to 1, integers of any bits.
    fn random(self, random: &mut Random) -> Vec<u8> {
        let bits = random.next();
        let unit = (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        let bits = match self {
            Kind::F32 => u64::from((unit as f32).to_bits()),
            Kind::F64 => unit.to_bits(),
            _ => bits,
        };
        bits.to_le_bytes()[..self.bytes()].to_vec()
    }
}

/// One `--arg`.
#[derive(Debug)]
pub enum Spec {
    Value(Vec<u8>),
    Array { bytes: u64, content: Option<Vec<u8>>, result: Option<String> },
}

impl Spec {
    /// # Errors
    /// What was expected and what was found.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |message: String| format!("--arg {text}: {message}");
        if let Some((kind, number)) = text.split_once(':')
            && !kind.contains('[')
        {
            let bytes = Kind::parse(kind).and_then(|kind| kind.number(number)).map_err(wrong)?;
            return Ok(Spec::Value(bytes));
        }
        let parts = text.split_once('[').and_then(|(kind, rest)| {
            let (count, rest) = rest.split_once("]=")?;
            Some((kind, count, rest))
        });
        let Some((kind, count, rest)) = parts else {
            return Err(wrong("expected TYPE:VALUE or TYPE[COUNT]=CONTENT".to_owned()));
        };
        let (content, result) = match rest.split_once('>') {
            Some((content, path)) => (content, Some(path.to_owned())),
            None => (rest, None),
        };
        let kind = Kind::parse(kind).map_err(wrong)?;
        let (bytes, content) = array(kind, count, content).map_err(wrong)?;
        Ok(Spec::Array { bytes, content, result })
    }
}

/// Size and content of device memory; no content where nobody writes it.
fn array(kind: Kind, count: &str, content: &str) -> Result<(u64, Option<Vec<u8>>), String> {
    if let Some(path) = content.strip_prefix('@') {
        let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let size = bytes.len();
        let expected = match count {
            ".." => size,
            _ => elements(count)? * kind.bytes(),
        };
        return match size == expected && size > 0 && size % kind.bytes() == 0 {
            true => Ok((size as u64, Some(bytes))),
            false => {
                Err(format!("{path} has {size} bytes, not {count} elements of {}", kind.bytes()))
            }
        };
    }
    let count = elements(count)?;
    let mut random = Random::new(SEED);
    let content: Option<Vec<u8>> = match content {
        "unset" => None,
        "zeros" => Some(vec![0; count * kind.bytes()]),
        "iota" => Some((0..count).flat_map(|i| kind.counted(i)).collect()),
        "random" => Some((0..count).flat_map(|_| kind.random(&mut random)).collect()),
        number => Some(kind.number(number)?.repeat(count)),
    };
    Ok(((count * kind.bytes()) as u64, content))
}

fn elements(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=1 << 32).contains(&count) => Ok(count),
        _ => Err(format!("{text} elements; 1 to 2^32")),
    }
}

/// Arguments in place: parameters as the kernel reads them, memory filled.
pub struct Prepared {
    pub parameters: Vec<u8>,
    /// What goes to which file afterwards: address, size, path.
    results: Vec<(u64, u64, String)>,
}

impl Prepared {
    /// # Errors
    /// Not what the kernel takes, or no room.
    pub fn new(specs: &[Spec], kernel: &Kernel, memory: &Memory) -> Result<Self, String> {
        let sizes: Vec<u32> = kernel.parameters.iter().map(|&(_, size)| size).collect();
        if specs.len() != sizes.len() {
            return Err(format!(
                "{} arguments; {} takes {} (of {sizes:?} bytes)",
                specs.len(),
                kernel.name,
                sizes.len()
            ));
        }
        let mut prepared =
            Self { parameters: vec![0; kernel.parameter_bytes as usize], results: Vec::new() };
        for (index, (spec, &(offset, size))) in specs.iter().zip(&kernel.parameters).enumerate() {
            let bytes = prepared.place(spec, memory)?;
            if bytes.len() != size as usize {
                let found = bytes.len();
                return Err(format!("argument {index} has {found} bytes, the parameter {size}"));
            }
            prepared.parameters[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        Ok(prepared)
    }

    /// The bytes of an argument, its memory filled.
    fn place(&mut self, spec: &Spec, memory: &Memory) -> Result<Vec<u8>, String> {
        match spec {
            Spec::Value(bytes) => Ok(bytes.clone()),
            Spec::Array { bytes, content, result } => {
                let address = memory.allocate(*bytes).map_err(|e| e.to_string())?;
                if let Some(content) = content {
                    memory.write(address, content).map_err(|e| e.to_string())?;
                }
                if let Some(path) = result {
                    self.results.push((address, *bytes, path.clone()));
                }
                Ok(address.to_le_bytes().to_vec())
            }
        }
    }

    /// Writes the files that were asked for.
    ///
    /// # Errors
    /// The file that cannot be written.
    pub fn write_results(&self, memory: &Memory) -> Result<(), String> {
        for (address, size, path) in &self.results {
            let mut bytes = vec![0; *size as usize];
            memory.read(*address, &mut bytes).map_err(|e| e.to_string())?;
            std::fs::write(path, bytes).map_err(|e| format!("{path}: {e}"))?;
        }
        Ok(())
    }
}
