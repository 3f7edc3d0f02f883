//! The instructions, one file a family: each decodes its own and says what it does for the lanes of a warp.

pub mod address;
pub mod approximate;
pub mod atomic;
pub mod barrier;
pub mod bits;
pub mod carry;
pub mod cluster;
pub mod compare;
pub mod control;
pub mod convert;
pub mod division;
pub mod exchange;
pub mod external;
pub mod extreme;
pub mod fence;
pub mod float;
pub mod half;
pub mod integer;
pub mod logic;
pub mod moves;
pub mod pairs;
pub mod product;
pub mod quotient;
pub mod relation;
pub mod rounded;
pub mod routine;
pub mod scalar;
pub mod select;
pub mod shift;
pub mod tensor;
pub mod transfer;
pub mod video;

use crate::decode::Site;
use crate::error::LoadResult;

/// Gives an instruction to its family.
///
/// # Errors
/// No family knows it, or the one that does refuses a modifier or operand.
pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    match site.opcode() {
        "bra" | "brx" | "ret" | "exit" | "call" | "trap" | "brkpt" | "nanosleep" => {
            control::decode(site)
        }
        "bar" | "barrier" => barrier::decode(site),
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => exchange::decode(site),
        "atom" | "red" => atomic::decode(site),
        "ld" | "ldu" | "st" => transfer::decode(site),
        "cvta" | "isspacep" | "prefetch" | "prefetchu" | "discard" | "applypriority"
        | "createpolicy" => address::decode(site),
        "mapa" | "getctarank" => cluster::decode(site),
        "vabsdiff2" | "vabsdiff4" => video::decode(site),
        "fence" | "membar" => fence::decode(site),
        "ldmatrix" | "stmatrix" | "movmatrix" | "mma" | "wmma" | "cp" | "mbarrier" | "wgmma"
        | "setmaxnreg" | "griddepcontrol" => tensor::decode(site),
        "mov" => moves::decode(site),
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "abs" | "neg" | "min" | "max" | "sad" => {
            scalar::decode(site)
        }
        "mul24" | "mad24" | "dp4a" | "dp2a" => product::decode(site),
        "rem" => division::decode(site),
        "addc" | "subc" | "madc" => carry::decode(site),
        "popc" | "clz" | "bfind" | "brev" | "bfe" | "bfi" | "bmsk" | "fns" | "szext" | "prmt" => {
            bits::decode(site)
        }
        "shl" | "shr" | "shf" => shift::decode(site),
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" => logic::decode(site),
        "setp" => compare::decode_predicates(site),
        "set" => compare::decode_number(site),
        "selp" | "slct" | "testp" | "copysign" => select::decode(site),
        "rcp" | "sqrt" | "rsqrt" => quotient::decode(site),
        "ex2" | "lg2" | "sin" | "cos" | "tanh" => approximate::decode(site),
        "cvt" => convert::decode(site),
        "tex" | "tld4" | "txq" | "suld" | "sust" | "sured" | "suq" | "istypep" => {
            Err(site.error("textures and surfaces are no part of this machine"))
        }
        other => Err(site.error(format!("unknown instruction {other}"))),
    }
}
