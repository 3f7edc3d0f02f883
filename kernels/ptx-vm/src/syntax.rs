//! What a PTX text says: its modules, functions and instructions as the parser hands them on. Names of registers,
//! labels and variables are resolved here already (scopes are gone); what an instruction means is not.

/// A parsed text. Parts of the text are borrowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Module<'a> {
    /// `.version 8.0` is `(8, 0)`.
    pub version: (u32, u32),
    /// `.target sm_90a, debug` is `["sm_90a", "debug"]`.
    pub target: Vec<&'a str>,
    /// Variables at module scope: `.global`, `.const`, `.shared`.
    pub variables: Vec<Variable<'a>>,
    pub functions: Vec<Function<'a>>,
    /// `.file 1 "layer_norm.cu"`.
    pub files: Vec<(u32, String)>,
}

/// The fundamental types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    B8,
    B16,
    B32,
    B64,
    B128,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    Tf32,
    F32,
    F64,
    Pred,
}

impl Type {
    /// `u32` to `Type::U32`; `None` for anything else.
    pub fn parse(name: &str) -> Option<Type> {
        Some(match name {
            "u8" => Type::U8,
            "u16" => Type::U16,
            "u32" => Type::U32,
            "u64" => Type::U64,
            "s8" => Type::S8,
            "s16" => Type::S16,
            "s32" => Type::S32,
            "s64" => Type::S64,
            "b8" => Type::B8,
            "b16" => Type::B16,
            "b32" => Type::B32,
            "b64" => Type::B64,
            "b128" => Type::B128,
            "f16" => Type::F16,
            "f16x2" => Type::F16x2,
            "bf16" => Type::Bf16,
            "bf16x2" => Type::Bf16x2,
            "tf32" => Type::Tf32,
            "f32" => Type::F32,
            "f64" => Type::F64,
            "pred" => Type::Pred,
            _ => return None,
        })
    }

    /// Bytes of a value in memory; a predicate has none (0).
    pub fn bytes(self) -> u32 {
        match self {
            Type::U8 | Type::S8 | Type::B8 => 1,
            Type::U16 | Type::S16 | Type::B16 | Type::F16 | Type::Bf16 => 2,
            Type::U32 | Type::S32 | Type::B32 | Type::F32 => 4,
            Type::F16x2 | Type::Bf16x2 | Type::Tf32 => 4,
            Type::U64 | Type::S64 | Type::B64 | Type::F64 => 8,
            Type::B128 => 16,
            Type::Pred => 0,
        }
    }

    pub fn is_signed(self) -> bool {
        matches!(self, Type::S8 | Type::S16 | Type::S32 | Type::S64)
    }
}

/// Where a variable lives, or an address points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    Generic,
    Global,
    Shared,
    Local,
    Constant,
    Parameter,
}

/// A variable with memory of its own, or a formal parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable<'a> {
    pub space: Space,
    pub name: &'a str,
    /// Type of one element.
    pub element: Type,
    /// Elements: 1 for a scalar, 0 for `x[]` (dynamic shared memory).
    pub length: u64,
    /// As declared, or the element's own size.
    pub align: u32,
    pub external: bool,
    /// A `.reg` parameter or result of a `.func`: the register of the body that carries it (no memory then).
    pub register: Option<RegisterId>,
    pub initial: Vec<Initial>,
    pub line: u32,
}

impl Variable<'_> {
    pub fn bytes(&self) -> u64 {
        self.length.saturating_mul(u64::from(self.element.bytes()))
    }
}

/// One initial value of an element, in order; elements without one are zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Integers fit the element, signed or unsigned. Floats are of the element's width, but an f32 may be given
    /// with 64 bits (a decimal) and an f64 with 32: to be converted.
    Value(Immediate),
    /// The address of another variable or function (`generic(x) + 4` has `generic` set).
    Address { symbol: Symbol, offset: i64, generic: bool },
    /// One byte of an address, 0 the lowest: nvcc writes `0xFF00(generic(x) + 4)` for pointers in packed structures.
    AddressByte { symbol: Symbol, offset: i64, generic: bool, byte: u32 },
}

/// A kernel (`.entry`) or a device function (`.func`).
#[derive(Debug, Clone, PartialEq)]
pub struct Function<'a> {
    pub entry: bool,
    pub name: &'a str,
    pub parameters: Vec<Variable<'a>>,
    /// `.func (.param .b32 retval0) f(...)`: what it gives back.
    pub returns: Vec<Variable<'a>>,
    /// `None` for a declaration (`.extern .func vprintf`).
    pub body: Option<Body<'a>>,
    /// `.maxntid`.
    pub most_threads: Option<[u32; 3]>,
    /// `.reqntid`.
    pub exact_threads: Option<[u32; 3]>,
    /// `.minnctapersm`.
    pub least_blocks: Option<u32>,
    /// `.reqnctapercluster`: blocks of a cluster.
    pub cluster: Option<[u32; 3]>,
    /// `.maxnreg`.
    pub most_registers: Option<u32>,
    pub line: u32,
}

/// Instructions of a function; scopes (`{ }`) are flattened, each register, label and variable has a number of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Body<'a> {
    /// Those an instruction names, in the order of their first use: `.reg .b32 %r<1000>` alone declares none.
    pub registers: Vec<Register>,
    /// `.shared`, `.local` and `.param` variables declared inside, whatever their scope. (`.global` and `.const`
    /// ones are with the module's.)
    pub variables: Vec<Variable<'a>>,
    /// For each label the instruction it stands before (`instructions.len()` at the end).
    pub labels: Vec<usize>,
    /// `.branchtargets` lists: where `brx.idx` may go.
    pub targets: Vec<Vec<LabelId>>,
    /// `.callprototype` directives: what indirect calls hand over.
    pub prototypes: Vec<Prototype<'a>>,
    pub instructions: Vec<Instruction<'a>>,
}

/// What a function called by its address takes and gives back.
#[derive(Debug, Clone, PartialEq)]
pub struct Prototype<'a> {
    pub returns: Vec<Variable<'a>>,
    pub parameters: Vec<Variable<'a>>,
}

/// A declared register that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    pub kind: Type,
}

/// Index into [`Body::registers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegisterId(pub u32);

/// Index into [`Body::labels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelId(pub u32);

/// What a name that is no register and no label stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// Index into [`Module::variables`].
    Module(u32),
    /// Index into [`Body::variables`].
    Body(u32),
    /// Index into [`Function::parameters`] of the function the instruction stands in.
    Parameter(u32),
    /// Index into [`Function::returns`] of the function the instruction stands in.
    Return(u32),
    /// Index into [`Module::functions`].
    Function(u32),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Instruction<'a> {
    /// `@p` or `@!p`.
    pub guard: Option<Guard>,
    /// The name split at its dots: `["ld", "global", "nc", "v4", "f32"]`; `shared::cta` and `L2::128B` stay whole.
    pub parts: Vec<&'a str>,
    pub operands: Vec<Operand<'a>>,
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// `.loc` in force.
    pub source: Option<Source>,
    /// A bit for each byte of a load that the program makes use of (`.pragma "used_bytes_mask"`); `None` for all.
    pub used_bytes: Option<u32>,
}

/// Where an instruction comes from: numbers of a file and of a line in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub at: (u32, u32),
    /// Where the function that holds it was inlined, through all that were inlined into each other.
    pub inlined_at: Option<(u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    pub register: RegisterId,
    pub negated: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand<'a> {
    Register(RegisterId),
    /// `!p`.
    Not(RegisterId),
    Immediate(Immediate),
    /// `%tid.x`, `%laneid`, `%clock64`, ... with the percent sign.
    Special(&'a str),
    /// A variable's or function's name, alone or with an offset: its address.
    Symbol {
        symbol: Symbol,
        offset: i64,
    },
    /// `[base + offset]`.
    Address {
        base: Base,
        offset: i64,
    },
    /// `[tensor map, {coordinates}]`: the tensor operand of bulk copies.
    Tensor {
        base: Base,
        offset: i64,
        coordinates: Vec<Operand<'a>>,
    },
    /// `{a, b, c, d}`, also with `_` inside.
    Vector(Vec<Operand<'a>>),
    /// `(a, b)`: argument and result lists of `call`.
    List(Vec<Operand<'a>>),
    /// `p|q`: two results (`setp`, `shfl`, `elect`).
    Pair(Box<(Operand<'a>, Operand<'a>)>),
    Label(LabelId),
    /// The name of a `.branchtargets` list: index into [`Body::targets`].
    Targets(u32),
    /// The name of a `.callprototype`: index into [`Body::prototypes`].
    Prototype(u32),
    /// `_`: a result nobody wants.
    Sink,
}

/// What an address starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    Register(RegisterId),
    Symbol(Symbol),
    /// `[16]`: the offset alone.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Immediate {
    /// Integer literals, two's complement in 64 bits; whether it had a minus or a `U` is of no account.
    Integer(u64),
    /// `0f3F800000`: the bits of an f32.
    F32(u32),
    /// `0d3FF0000000000000` and decimal literals (`1.5`): the bits of an f64.
    F64(u64),
}
