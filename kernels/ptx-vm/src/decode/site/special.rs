//! The special registers by name.

use crate::program::Special;

/// The special registers that are fixed once a warp starts.
pub(super) fn special(name: &str) -> Option<Special> {
    use crate::program::LaneMask;
    let axis = |name: &str| match name {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        _ => None,
    };
    let (name, component) = name.strip_prefix('%')?.split_once('.').unwrap_or((&name[1..], ""));
    Some(match (name, axis(component)) {
        ("tid", Some(i)) => Special::Tid(i),
        ("ntid", Some(i)) => Special::Ntid(i),
        ("ctaid", Some(i)) => Special::Ctaid(i),
        ("nctaid", Some(i)) => Special::Nctaid(i),
        ("clusterid", Some(i)) => Special::Ctaid(i),
        ("nclusterid", Some(i)) => Special::Nctaid(i),
        ("cluster_ctaid", Some(_)) => Special::Fixed(0),
        ("cluster_nctaid", Some(_)) => Special::Fixed(1),
        _ if !component.is_empty() => return None,
        ("laneid", _) => Special::LaneId,
        ("warpid", _) => Special::WarpId,
        ("nwarpid", _) => Special::WarpCount,
        ("smid" | "gridid" | "cluster_ctarank", _) => Special::Fixed(0),
        ("aggr_smem_size", _) => Special::TotalShared,
        ("nsmid" | "cluster_nctarank", _) => Special::Fixed(1),
        ("lanemask_eq", _) => Special::LaneMask(LaneMask::Eq),
        ("lanemask_le", _) => Special::LaneMask(LaneMask::Le),
        ("lanemask_lt", _) => Special::LaneMask(LaneMask::Lt),
        ("lanemask_ge", _) => Special::LaneMask(LaneMask::Ge),
        ("lanemask_gt", _) => Special::LaneMask(LaneMask::Gt),
        ("dynamic_smem_size", _) => Special::DynamicShared,
        ("total_smem_size", _) => Special::TotalShared,
        _ => return None,
    })
}
