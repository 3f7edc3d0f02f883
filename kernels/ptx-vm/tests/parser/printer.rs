//! A module as PTX text again: names are made from numbers, those of labels from where they stand; scopes and lines
//! are gone.

use std::collections::HashSet;
use std::fmt::Write;

use ptx_vm::syntax::{
    Base, Body, Function, Immediate, Initial, Instruction, Module, Operand, Source, Space, Symbol,
    Type, Variable,
};

pub fn print(module: &Module<'_>) -> String {
    let (major, minor) = module.version;
    let mut text = format!(".version {major}.{minor}\n.target {}\n", module.target.join(", "));
    text += ".address_size 64\n";
    for (number, name) in &module.files {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, ".file {number} \"{name}\"");
    }
    for function in &module.functions {
        text += &prototype(module, function, ";\n");
    }
    for (index, variable) in module.variables.iter().enumerate() {
        let name = symbol(module, Symbol::Module(index as u32));
        let _ = writeln!(text, "{};", self::variable(module, variable, &name));
    }
    for function in &module.functions {
        let Some(body) = &function.body else { continue };
        text += &prototype(module, function, &tuning(function));
        text += &block(module, body);
    }
    text
}

fn prototype(module: &Module<'_>, function: &Function<'_>, end: &str) -> String {
    let list = |parameters: &[Variable<'_>], symbol_of: fn(u32) -> Symbol| {
        let item = |(index, parameter): (usize, &Variable<'_>)| match parameter.register {
            Some(id) => format!(".reg .{} r{}", kind(parameter.element), id.0),
            None => variable(module, parameter, &symbol(module, symbol_of(index as u32))),
        };
        parameters.iter().enumerate().map(item).collect::<Vec<_>>().join(", ")
    };
    let parameters = list(&function.parameters, Symbol::Parameter);
    let linkage = if function.body.is_none() { ".extern " } else { "" };
    if function.entry {
        return format!("{linkage}.entry {}({parameters}){end}", function.name);
    }
    let returns = list(&function.returns, Symbol::Return);
    let returns = if returns.is_empty() { returns } else { format!("({returns}) ") };
    format!("{linkage}.func {returns}{}({parameters}){end}", function.name)
}

fn tuning(function: &Function<'_>) -> String {
    let mut text = String::from("\n");
    let extents = |[x, y, z]: [u32; 3]| format!("{x}, {y}, {z}");
    for (name, value) in [
        ("maxntid", function.most_threads.map(extents)),
        ("reqntid", function.exact_threads.map(extents)),
        ("minnctapersm", function.least_blocks.map(|count| count.to_string())),
        ("reqnctapercluster", function.cluster.map(extents)),
        ("maxnreg", function.most_registers.map(|count| count.to_string())),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, ".{name} {value}");
        }
    }
    text
}

fn block(module: &Module<'_>, body: &Body<'_>) -> String {
    let mut text = String::from("{\n");
    for (index, register) in body.registers.iter().enumerate() {
        let _ = writeln!(text, ".reg .{} r{index};", kind(register.kind));
    }
    for (index, variable) in body.variables.iter().enumerate() {
        let name = symbol(module, Symbol::Body(index as u32));
        let _ = writeln!(text, "{};", self::variable(module, variable, &name));
    }
    for (index, targets) in body.targets.iter().enumerate() {
        let labels: Vec<String> =
            targets.iter().map(|id| format!("L{}", body.labels[id.0 as usize])).collect();
        let _ = writeln!(text, "T{index}: .branchtargets {};", labels.join(", "));
    }
    for (index, prototype) in body.prototypes.iter().enumerate() {
        let list = |list: &[Variable<'_>]| {
            let each = list.iter().map(|it| self::variable(module, it, "_"));
            each.collect::<Vec<_>>().join(", ")
        };
        let (returns, parameters) = (list(&prototype.returns), list(&prototype.parameters));
        let _ = writeln!(text, "C{index}: .callprototype ({returns}) _ ({parameters});");
    }
    let places: HashSet<usize> = body.labels.iter().copied().collect();
    for at in 0..=body.instructions.len() {
        if places.contains(&at) {
            let _ = writeln!(text, "L{at}:");
        }
        if let Some(instruction) = body.instructions.get(at) {
            let _ = writeln!(text, "{}", self::instruction(module, body, instruction));
        }
    }
    text + "}\n"
}

fn instruction(module: &Module<'_>, body: &Body<'_>, instruction: &Instruction<'_>) -> String {
    let mut text = String::new();
    // Where an inlined function was called is for reports only.
    if let Some(Source { at: (file, line), .. }) = instruction.source {
        let _ = writeln!(text, ".loc {file} {line} 0");
    }
    if let Some(mask) = instruction.used_bytes {
        let _ = writeln!(text, ".pragma \"used_bytes_mask {mask}\";");
    }
    if let Some(guard) = instruction.guard {
        let _ = write!(text, "@{}r{} ", if guard.negated { "!" } else { "" }, guard.register.0);
    }
    format!(
        "{text}{} {};",
        instruction.parts.join("."),
        operands(module, body, &instruction.operands)
    )
}

fn operands(module: &Module<'_>, body: &Body<'_>, operands: &[Operand<'_>]) -> String {
    let texts: Vec<String> = operands.iter().map(|each| operand(module, body, each)).collect();
    texts.join(", ")
}

fn operand(module: &Module<'_>, body: &Body<'_>, operand: &Operand<'_>) -> String {
    match operand {
        Operand::Register(id) => format!("r{}", id.0),
        Operand::Not(id) => format!("!r{}", id.0),
        Operand::Immediate(value) => immediate(*value),
        Operand::Special(name) => (*name).to_owned(),
        Operand::Symbol { symbol: it, offset: 0 } => symbol(module, *it),
        Operand::Symbol { symbol: it, offset } => format!("{}+{offset}", symbol(module, *it)),
        Operand::Address { base, offset } => format!("[{}]", address(module, *base, *offset)),
        Operand::Tensor { base, offset, coordinates } => {
            let coordinates = operands(module, body, coordinates);
            format!("[{}, {{{coordinates}}}]", address(module, *base, *offset))
        }
        Operand::Vector(elements) => format!("{{{}}}", operands(module, body, elements)),
        Operand::List(elements) => format!("({})", operands(module, body, elements)),
        Operand::Pair(pair) => {
            format!(
                "{}|{}",
                self::operand(module, body, &pair.0),
                self::operand(module, body, &pair.1)
            )
        }
        Operand::Label(id) => format!("L{}", body.labels[id.0 as usize]),
        Operand::Targets(index) => format!("T{index}"),
        Operand::Prototype(index) => format!("C{index}"),
        Operand::Sink => "_".to_owned(),
    }
}

fn address(module: &Module<'_>, base: Base, offset: i64) -> String {
    let name = match base {
        Base::Register(id) => format!("r{}", id.0),
        Base::Symbol(it) => symbol(module, it),
        Base::None => return offset.to_string(),
    };
    if offset == 0 { name } else { format!("{name}+{offset}") }
}

fn symbol(module: &Module<'_>, symbol: Symbol) -> String {
    match symbol {
        Symbol::Module(index) => format!("m{index}"),
        Symbol::Body(index) => format!("b{index}"),
        Symbol::Parameter(index) => format!("p{index}"),
        Symbol::Return(index) => format!("o{index}"),
        Symbol::Function(index) => module.functions[index as usize].name.to_owned(),
    }
}

fn variable(module: &Module<'_>, variable: &Variable<'_>, name: &str) -> String {
    let space = match variable.space {
        Space::Global => "global",
        Space::Shared => "shared",
        Space::Local => "local",
        Space::Constant => "const",
        Space::Parameter => "param",
        Space::Generic => panic!("a variable lives in no generic space"),
    };
    let linkage = if variable.external { ".extern " } else { "" };
    let extent = match variable.length {
        0 => "[]".to_owned(),
        1 => String::new(),
        length => format!("[{length}]"),
    };
    let (align, element) = (variable.align, kind(variable.element));
    let text = format!("{linkage}.{space} .align {align} .{element} {name}{extent}");
    let values: Vec<String> = variable.initial.iter().map(|each| initial(module, each)).collect();
    match (values.len(), variable.length) {
        (0, _) => text,
        (_, 1) => format!("{text} = {}", values[0]),
        _ => format!("{text} = {{{}}}", values.join(", ")),
    }
}

fn initial(module: &Module<'_>, initial: &Initial) -> String {
    let address = |it: Symbol, offset: i64, generic: bool| {
        let name = symbol(module, it);
        if offset == 0 && matches!(it, Symbol::Function(_)) {
            // ptxas takes the name of a function with nothing behind it.
            return name;
        }
        if generic { format!("generic({name})+{offset}") } else { format!("{name}+{offset}") }
    };
    match *initial {
        Initial::Value(value) => immediate(value),
        Initial::Address { symbol, offset, generic } => address(symbol, offset, generic),
        Initial::AddressByte { symbol, offset, generic, byte } => {
            format!("{:#x}({})", 0xff_u64 << (8 * byte), address(symbol, offset, generic))
        }
    }
}

fn immediate(value: Immediate) -> String {
    match value {
        Immediate::Integer(value) => (value as i64).to_string(),
        Immediate::F32(bits) => format!("0f{bits:08X}"),
        Immediate::F64(bits) => format!("0d{bits:016X}"),
    }
}

fn kind(kind: Type) -> String {
    format!("{kind:?}").to_lowercase()
}
