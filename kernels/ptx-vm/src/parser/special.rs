//! The special registers: names a program may read without declaring them.

/// Special registers of three (four with `.w`, which reads 0) components.
const VECTORS: [&str; 8] = [
    "%tid",
    "%ntid",
    "%ctaid",
    "%nctaid",
    "%clusterid",
    "%nclusterid",
    "%cluster_ctaid",
    "%cluster_nctaid",
];

const SCALARS: [&str; 29] = [
    "%laneid",
    "%warpid",
    "%nwarpid",
    "%smid",
    "%nsmid",
    "%gridid",
    "%is_explicit_cluster",
    "%cluster_ctarank",
    "%cluster_nctarank",
    "%lanemask_eq",
    "%lanemask_le",
    "%lanemask_lt",
    "%lanemask_ge",
    "%lanemask_gt",
    "%clock",
    "%clock_hi",
    "%clock64",
    "%globaltimer",
    "%globaltimer_lo",
    "%globaltimer_hi",
    "%reserved_smem_offset_begin",
    "%reserved_smem_offset_end",
    "%reserved_smem_offset_cap",
    "%reserved_smem_offset_0",
    "%reserved_smem_offset_1",
    "%total_smem_size",
    "%aggr_smem_size",
    "%dynamic_smem_size",
    "%current_graph_exec",
];

/// Numbered ones: a prefix, how many there are, and what may stand behind the number.
const NUMBERED: [(&str, u32, &str); 3] = [("%envreg", 32, ""), ("%pm", 8, ""), ("%pm", 8, "_64")];

/// Whether `name` may have a component (`.x`) behind it.
pub(super) fn is_vector(name: &str) -> bool {
    VECTORS.contains(&name)
}

/// Whether `name` is a special register of the PTX manual.
pub(super) fn is_special(name: &str) -> bool {
    is_vector(name) || SCALARS.contains(&name) || NUMBERED.iter().any(|&row| is_numbered(name, row))
}

fn is_numbered(name: &str, (prefix, count, suffix): (&str, u32, &str)) -> bool {
    let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
    number.is_some_and(|digits| {
        let plain = digits == "0" || !digits.starts_with('0');
        plain
            && digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse::<u32>().is_ok_and(|n| n < count)
    })
}
