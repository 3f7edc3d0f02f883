//! `cvt`: every pair of types. What is common runs lane by lane through exact numbers (`general`); what kernels do all
//! the time has vector code (`integers`, `floats`).

mod floats;
mod general;
mod integers;
mod kind;
mod packs;

use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run};
use crate::registers::Slot;

use crate::arithmetic::format::{Format, Rounding};
use kind::{Conversion, Kind};

/// Rounding modifiers: `.rn` and its kin, and those that round to an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modifier {
    Float(Rounding),
    Integer(Rounding),
}

fn take_rounding(modifiers: &mut Modifiers<'_>) -> Option<Modifier> {
    modifiers.take_one(|part| {
        Some(match part {
            "rn" => Modifier::Float(Rounding::Nearest),
            "rz" => Modifier::Float(Rounding::Zero),
            "rm" => Modifier::Float(Rounding::Down),
            "rp" => Modifier::Float(Rounding::Up),
            "rna" => Modifier::Float(Rounding::Away),
            "rni" => Modifier::Integer(Rounding::Nearest),
            "rzi" => Modifier::Integer(Rounding::Zero),
            "rmi" => Modifier::Integer(Rounding::Down),
            "rpi" => Modifier::Integer(Rounding::Up),
            _ => return None,
        })
    })
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    if modifiers.take("pack") {
        return packs::decode(site, modifiers);
    }
    let rounding = take_rounding(&mut modifiers);
    let (sat, relu) = (modifiers.take("sat"), modifiers.take("relu"));
    let (satfinite, ftz) = (modifiers.take("satfinite"), modifiers.take("ftz"));
    let to = modifiers.take_one(Kind::parse).ok_or_else(|| site.error("cvt needs two types"))?;
    let from = modifiers.take_one(Kind::parse).ok_or_else(|| site.error("cvt needs two types"))?;
    modifiers.finish()?;
    let flags = kind::Flags { sat, relu, satfinite, ftz };
    let conversion = conversion(from, to, rounding, flags).map_err(|e| site.error(e))?;
    if to.pair || from.pair {
        return pairs(site, conversion);
    }
    single(site, conversion)
}

/// Puts the parts together, if they go together.
fn conversion(
    from: Kind,
    to: Kind,
    rounding: Option<Modifier>,
    flags: kind::Flags,
) -> Result<Conversion, String> {
    let refuse = |what: &str| Err(format!("cvt to {to} from {from}: {what}"));
    let narrow = to.narrower_than(from);
    let rounding = match (rounding, from.float(), to.float()) {
        (None, None, None) => (Rounding::Zero, false),
        (Some(_), None, None) => return refuse("nothing to round"),
        (Some(Modifier::Integer(rounding)), Some(_), None) => (rounding, false),
        (_, Some(_), None) => return refuse("needs .rni, .rzi, .rmi or .rpi"),
        (Some(Modifier::Float(rounding)), None, Some(_)) => (rounding, false),
        (_, None, Some(_)) => return refuse("needs .rn, .rz, .rm or .rp"),
        (Some(Modifier::Integer(rounding)), Some(a), Some(b)) if a == b => (rounding, true),
        (Some(Modifier::Float(rounding)), Some(_), Some(_)) if narrow || to.pair => {
            (rounding, false)
        }
        // Of a bf16 to something wider a rounding may be asked for; the result is exact.
        (Some(Modifier::Float(rounding)), Some(Format::BF16), Some(Format::F32 | Format::F64))
            if rounding != Rounding::Away =>
        {
            (Rounding::Nearest, false)
        }
        (None, Some(_), Some(_)) if !narrow && !to.pair => (Rounding::Nearest, false),
        (None, ..) => return refuse("needs a rounding"),
        (Some(_), ..) => return refuse("takes no such rounding"),
    };
    if rounding.0 == Rounding::Away && to.float() != Some(Format::TF32) {
        return refuse(".rna is for tf32");
    }
    let (rounding, integral) = rounding;
    match kind::permitted(from, to, rounding, flags) {
        Ok(()) => Ok(Conversion { from, to, rounding, integral, flags }),
        Err(what) => refuse(what),
    }
}

fn single(site: &mut Site<'_, '_, '_>, conversion: Conversion) -> LoadResult<()> {
    site.expect_operands(2)?;
    let (from, wide_from) = site.source_in_wider(1, conversion.from.operand())?;
    let operand = site.operand(0)?;
    let (to, declared) = site.destination(operand, conversion.to.operand())?;
    let wide_to = declared.bytes() == 8;
    let widths = (conversion.from.bits == 64, conversion.to.bits == 64);
    let natural = (wide_from, wide_to) == widths && {
        // A register of 16 bits is a row like one of 32, but its upper half has to stay clear.
        declared.bytes() * 8 == conversion.to.bits.max(16) || conversion.to.float().is_some()
    };
    let fast = match natural {
        true => floats::run(site.host(), &conversion)
            .or_else(|| integers::run(site.host(), &conversion)),
        false => None,
    };
    let run = fast.unwrap_or_else(|| general::run(wide_from, wide_to));
    emit(site, conversion, run, &[to, from], declared.bytes() * 8)
}

/// `cvt.rn.bf16x2.f32 d, a, b`, `cvt.rn.e4m3x2.f16x2 d, a` and `cvt.rn.f16x2.e4m3x2 d, a`: two numbers at once.
fn pairs(site: &mut Site<'_, '_, '_>, conversion: Conversion) -> LoadResult<()> {
    let Conversion { from, to, .. } = conversion;
    let mut operands = vec![site.typed_operand(0, to.operand())?];
    if from.pair {
        site.expect_operands(2)?;
        operands.push(site.typed_operand(1, from.operand())?);
        return emit(site, conversion, general::pair_to_pair, &operands, to.bits * 2);
    }
    site.expect_operands(3)?;
    operands.push(site.typed_operand(1, from.operand())?);
    operands.push(site.typed_operand(2, from.operand())?);
    let run = floats::pair(site.host(), &conversion).unwrap_or(general::two_to_pair);
    emit(site, conversion, run, &operands, to.bits * 2)
}

fn emit(
    site: &mut Site<'_, '_, '_>,
    conversion: Conversion,
    run: Run,
    operands: &[Slot],
    register_bits: u32,
) -> LoadResult<()> {
    site.emit(Encoded {
        number: conversion.number(),
        detail: register_bits,
        ..Encoded::new(run, Family::Convert, operands)
    })
}
