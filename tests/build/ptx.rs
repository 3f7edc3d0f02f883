//! What the build script does with PTX that is up to date, out of date, or not to be had.

use crate::project::Project;

const SOURCES: [(&str, &str); 4] = [
    ("add.cu", "#include \"common/sum.cuh\"\nkernel add_forward_f32\nkernel add_backward_f32\n"),
    ("scale.cu", "// targets: compute_80 compute_90a\nkernel scale_forward_f32\n"),
    ("common/sum.cuh", "#pragma once\n#include \"word.cuh\"\n"),
    ("common/word.cuh", "#pragma once\n"),
];

#[test]
fn ptx_of_the_sources_as_they_are_needs_no_compiler() {
    let project = Project::committed(&SOURCES);
    let told = project.succeed(false);
    assert_eq!(project.compiled(), [""; 0]);
    let table = project.read("out/kernels.rs");
    for part in [
        "Self::ScaleForwardF32 => Module::Scale",
        "Self::AddBackwardF32 => \"add_backward_f32\"",
        "compute: Compute::Compute90a",
        "pub const ALL: [Self; 3]",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    for file in ["add.cu", "scale.cu", "common/sum.cuh", "common/word.cuh", "ptx"] {
        assert!(told.contains(&format!("cargo::rerun-if-changed=kernels/{file}\n")), "{told}");
    }
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn changed_sources_without_compiler_stop_the_build_with_three_lines() {
    for changed in ["add.cu", "common/word.cuh"] {
        let project = Project::committed(&SOURCES);
        project.write(changed, "#pragma once\nkernel add_forward_f32\n");
        let said = project.fail(false);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 3, "{said}");
        assert!(lines[0].contains("kernels/ptx/add.compute_80.ptx"), "{said}");
        assert!(lines[2].contains("kernels/nvcc.sh"), "{said}");
    }
}

#[test]
fn a_header_is_lowered_to_what_older_drivers_take() {
    let project = Project::committed(&SOURCES);
    for (file, version) in [("scale.compute_80", "7.8"), ("scale.compute_90a", "8.0")] {
        let text = project.read(&format!("kernels/ptx/{file}.ptx"));
        assert!(text.starts_with("// Made from sources of hash "), "{text}");
        assert!(text.contains(&format!("\n.version {version}\n")), "{text}");
        assert!(!text.contains(".version 9.0"), "{text}");
    }
}

#[test]
fn only_what_changed_is_compiled_and_only_once() {
    let mut project = Project::committed(&SOURCES);
    project.use_nvcc("13.0.88", "9.0");
    project.write("common/sum.cuh", "#pragma once\n");
    let told = project.succeed(false);
    assert_eq!(project.compiled(), ["kernels/add.cu compute_80"]);
    assert!(told.contains("cargo::warning=kernels/add.cu is newer than its PTX"), "{told}");
    let before = project.read("kernels/ptx/add.compute_80.ptx");
    project.succeed(false);
    assert_eq!(project.compiled(), [""; 0], "it was compiled before");
    project.succeed(true);
    assert_eq!(project.compiled().len(), 3, "kernels/ptx is made as a whole");
    assert_ne!(project.read("kernels/ptx/add.compute_80.ptx"), before);
    assert!(!project.succeed(false).contains("warning"));
}

#[test]
fn another_compiler_builds_but_does_not_write() {
    let mut project = Project::committed(&SOURCES);
    project.use_nvcc("12.4.131", "8.4");
    project.succeed(false);
    assert_eq!(project.compiled(), [""; 0], "the PTX is up to date");
    let before = project.read("kernels/ptx/scale.compute_80.ptx");
    std::fs::remove_file(project.path("out/kernels.rs")).expect("a table");
    assert!(project.fail(true).contains("13.0.88"));
    assert_eq!(project.read("kernels/ptx/scale.compute_80.ptx"), before);

    project.write("add.cu", "kernel add_forward_f32\n");
    let told = project.succeed(false);
    assert_eq!(project.compiled(), ["kernels/add.cu compute_80"]);
    assert!(told.contains("nvcc 12.4.131") && told.contains("13.0.88"), "{told}");
    assert!(project.read("out/add.compute_80.ptx").contains(".version 8.4\n"));
    project.use_nvcc("13.0.88", "9.0");
    project.succeed(false);
    assert_eq!(project.compiled(), ["kernels/add.cu compute_80"], "by the compiler there is");
}

#[test]
fn no_kernels_make_an_empty_table() {
    let project = Project::committed(&[]);
    project.succeed(false);
    assert_eq!(project.read("out/kernels.rs").matches("[Self; 0] = []").count(), 2);
}
